"""Profiles of people met through events, fetched later and a few at a time: the webhook never waits for LINE.

When to ask is a column, `line_account.profile_due_at`; asking again after a failure moves it on, further each time.
Source: Messaging API reference, "Get profile" (404: blocked, not a friend, or unknown).
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Engine, select, update
from sqlmodel import Session

from bot.line import LineError, Profile
from store.clock import Clock
from store.engine import is_sqlite, table_of, transaction
from store.models import LineAccount

CALLS_AT_ONCE = 8
MAX_TRIES = 10
FIRST_WAIT = timedelta(minutes=1)  # doubled with each try
LONGEST_WAIT = timedelta(hours=6)
TOKEN_REFUSED = (401, 403)  # the channel's trouble, not the person's: asked again, however often

_account = table_of(LineAccount)


class ProfileDoor(Protocol):
    """The part of a channel's door to LINE used here."""

    def profile(self, line_user_id: str) -> Profile | None:
        """A person's profile, None if LINE has none to give (404). Raises bot.line.LineError."""


class _Claimed(NamedTuple):
    account_id: int
    channel_id: int
    line_user_id: str
    tries: int  # this one included


def fetch_due_profiles(engine: Engine, doors: Mapping[int, ProfileDoor], *, clock: Clock, limit: int = 100) -> int:
    """Ask LINE for up to `limit` profiles that are due; return how many were asked for. Writes.

    `doors` is keyed by channel id; accounts of channels without a door stay due. Claiming moves the due time on, so a
    crash costs one wait and nothing else. No profile (404) ends the asking, as do MAX_TRIES failures.
    """
    with transaction(engine) as session:
        claimed = _claim(session, list(doors), clock(), limit)
    with ThreadPoolExecutor(max_workers=CALLS_AT_ONCE, thread_name_prefix="profile") as pool:
        calls = {pool.submit(_ask, doors[c.channel_id], c): c for c in claimed}
        for call in as_completed(calls):
            if values := call.result():
                with transaction(engine) as session:
                    session.execute(update(_account).where(_account.c.id == calls[call].account_id).values(values))
    return len(claimed)


def wait_after(tries: int) -> timedelta:
    """How long to wait after the given number of tries (1 or more)."""
    doublings: int = 2 ** min(tries - 1, 20)
    return min(FIRST_WAIT * doublings, LONGEST_WAIT)


def _claim(session: Session, channel_ids: list[int], now: datetime, limit: int) -> list[_Claimed]:
    """Take the accounts longest due, and make each due again for the case that its answer never gets recorded."""
    columns = (_account.c.id, _account.c.channel_id, _account.c.line_user_id, _account.c.profile_tries)
    due = (
        select(*columns)
        .where(_account.c.profile_due_at <= now, _account.c.channel_id.in_(channel_ids))
        .order_by(_account.c.profile_due_at)
        .limit(limit)
    )
    rows = session.execute(due if is_sqlite(session) else due.with_for_update(skip_locked=True)).all()
    claimed = [_Claimed(account_id, channel_id, user, tries + 1) for account_id, channel_id, user, tries in rows]
    for tries in {c.tries for c in claimed}:
        ids = [c.account_id for c in claimed if c.tries == tries]
        moved = {"profile_tries": tries, "profile_due_at": now + wait_after(tries)}
        session.execute(update(_account).where(_account.c.id.in_(ids)).values(moved))
    return claimed


def _ask(door: ProfileDoor, account: _Claimed) -> dict[str, Any]:
    """What to write on the account; empty: try again when it is due again."""
    try:
        profile = door.profile(account.line_user_id)
    except LineError as error:
        may_ask_again = error.may_try_again or error.status in TOKEN_REFUSED
        is_given_up = not may_ask_again or (account.tries >= MAX_TRIES and error.status not in TOKEN_REFUSED)
        return {"profile_due_at": None} if is_given_up else {}
    if profile is None:
        return {"profile_due_at": None}
    return {
        "display_name": profile.display_name.replace("\x00", ""),  # PostgreSQL's text can't hold it
        "profile_language": profile.language,
        "profile_due_at": None,
        "profile_tries": 0,
    }
