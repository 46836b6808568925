"""What the web server loads in each of its processes: `service.wsgi:application`, set up from the environment."""

import atexit
import os

from service.app import build
from service.logging import set_up_logging
from service.parent import when_parent_dies
from service.settings import load_settings
from store.engine import open_engine

_settings = load_settings()
_settings.require_fit()
set_up_logging(_settings.log_level, as_json=_settings.log_json)
application, _close = build(_settings, open_engine(_settings.database_url))
atexit.register(_close)
# At once, as the server that started us was killed: what was answered is committed, all else LINE sends again.
when_parent_dies(os.getppid(), lambda: os._exit(1))
