"""A form that must do its work once, however often it is pressed: it carries a key, from which LINE's retry key
follows."""

import uuid
from datetime import UTC, datetime, timedelta

from store.errors import BadInput

FIELD = "once"
LASTS = timedelta(hours=23)  # LINE remembers a retry key for 24 hours ("Retry failed API requests")


def new_key(now: datetime) -> str:
    """The key of a form made at `now` (aware UTC)."""
    return f"{int(now.timestamp())}-{uuid.uuid4()}"


def retry_key(given: str, what: str, now: datetime) -> uuid.UUID:
    """The retry key of `what` a form with the key `given` asks for: the same for each press of it.

    Raises BadInput for no key, or one that is older than LINE would remember.
    """
    seconds, _, key = given.partition("-")
    try:
        made_at, form = datetime.fromtimestamp(int(seconds), UTC), uuid.UUID(key)
    except (ValueError, OverflowError, OSError) as error:
        raise BadInput("this form has no key, so that it could be sent twice; open the page anew") from error
    if not -LASTS <= now - made_at <= LASTS:
        raise BadInput("this form is too old to be sent once for sure; open the page anew")
    return uuid.uuid5(form, what)
