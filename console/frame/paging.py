"""Lists paged by key: where a page begins."""

from flask import request

BIGGEST = 2**63  # beyond every id that a database keeps


def after_id() -> int:
    """The id behind which the page that is asked for begins (`after` in the address); 0, the beginning, for none and
    for what can be no id."""
    asked = request.args.get("after", 0, type=int)
    return asked if 0 < asked < BIGGEST else 0


def before_id() -> int | None:
    """The id before which the page that is asked for begins (`before` in the address), in lists with the newest first;
    None, the newest of all, for none and for what can be no id."""
    asked = request.args.get("before", type=int)
    return asked if asked is not None and 0 < asked < BIGGEST else None
