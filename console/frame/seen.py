"""A form that somebody else may have changed since it was opened: it carries a mark of what it was opened on, so that
nobody's work is written over unseen."""

import json
from typing import Any
from zlib import crc32

from store.errors import ExpectedError

FIELD = "seen"
WAS = "was"  # the field of the name that it had then
CHANGED_SINCE = "somebody changed this since the page was opened; save again to put yours in its place"
RENAMED = "有人把「{was}」改名為「{name}」了，您的修改存在新的名稱底下。"


class ChangedSince(ExpectedError):
    """What a form would change is no longer what it was opened on. Sent once more with the newer mark, it is saved."""

    http_status = 409
    may_try_again = True


def mark(held: Any) -> str:
    """Eight signs by which what is stored (JSON values; None: nothing is) is told from anything else."""
    return f"{crc32(json.dumps(held, sort_keys=True, default=str).encode()):08x}"


def check_seen(seen: str, held: Any, wanted: Any) -> None:
    """Raises ChangedSince where what is stored, `held`, is neither what the form was opened on nor what it asks for: a
    form that is sent twice asks for what the first of them stored."""
    if mark(held) not in (seen, mark(wanted)):
        raise ChangedSince(CHANGED_SINCE)
