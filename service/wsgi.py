"""What the web server loads in each of its processes: `service.wsgi:application`, set up from the environment."""

import atexit

from service.app import build
from service.logging import set_up_logging
from service.settings import load_settings
from store.engine import open_engine

_settings = load_settings()
_settings.require_fit()
set_up_logging(_settings.log_level, as_json=_settings.log_json)
application, _close = build(_settings, open_engine(_settings.database_url))
atexit.register(_close)
