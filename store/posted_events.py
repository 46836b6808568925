"""Behaviour events that the brand's site posts, a few at a time: checked one by one, stored together.

The same fields, rules and reasons as in store/imports/events.py, which reads files of millions; a test holds the two
against each other. Never commits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import select
from sqlmodel import Session

from store.changes import note_changes
from store.engine import insert_for, table_of
from store.imports.checks import MAX_ID, MAX_WORDS, TIME_PATTERN
from store.imports.events import (
    FAR_TIME,
    KEY_PREFIX,
    KIND_PATTERN,
    LAYOUT,
    LONG_PAYLOAD,
    MAX_PAYLOAD,
    NO_KIND,
    NO_TIME,
    ODD_KIND,
    ODD_TIME,
    RESERVED_KINDS,
    SOURCE,
    TAKEN_KIND,
)
from store.models import BehaviourEvent, Customer
from store.searchable import make_searchable

BLANKS = " \t\r\n\u00a0\u3000"
TWICE = "several rows of this event_id have different values"
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, tzinfo=UTC)

customer, event = table_of(Customer), table_of(BehaviourEvent)


class _Refused(Exception):
    """Why one event is not stored."""


@dataclass
class Posted:
    """What became of a list of events: how many were new, how many were there already (or twice in the list), and the
    places (from 0) of those refused, each with its reason."""

    added: int = 0
    unchanged: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)


def record_events(session: Session, rows: list[Any], *, zone: ZoneInfo, now: datetime) -> Posted:
    """Store the good ones of `rows` (JSON values, each to be an object), make the customers not seen before, and note
    all of them as changed. `zone` is that of times which name none."""
    posted = Posted()
    good: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for place, row in enumerate(rows):
        try:
            values = _read(row, zone)
        except _Refused as why:
            posted.refused.append((place, str(why)))
        else:
            good.setdefault(values["event_key"], []).append((place, values))
    single = []
    for _, same in sorted(good.items()):  # sorted, or two calls with the same people could wait for each other
        if all(values == same[0][1] for _, values in same):
            single.append(same[0][1])
        else:
            posted.refused += [(place, TWICE) for place, _ in same]
    posted.refused.sort()
    if single:
        posted.added = _store(session, single, now)
    posted.unchanged = len(rows) - posted.added - len(posted.refused)
    return posted


def _store(session: Session, good: list[dict[str, Any]], now: datetime) -> int:
    members = sorted({values["member_id"] for values in good})
    known = select(customer.c.member_id, customer.c.id).where(customer.c.member_id.in_(members))
    ids: dict[str, int] = {row.member_id: row.id for row in session.execute(known)}
    if unknown := [member for member in members if member not in ids]:
        empty = {"attributes": {}, "created_at": now, "refusal_changed_ms": 0}
        made = insert_for(session, Customer).on_conflict_do_nothing(index_elements=["member_id"])
        session.execute(made, [{"member_id": member, **empty} for member in unknown])
        ids = {row.member_id: row.id for row in session.execute(known)}
        make_searchable(session, [ids[member] for member in unknown])
    rows = [
        {
            "customer_id": ids[values["member_id"]],
            "source": SOURCE,
            "received_at": now,
            **{name: value for name, value in values.items() if name != "member_id"},
        }
        for values in good
    ]
    insert = insert_for(session, BehaviourEvent).on_conflict_do_nothing(index_elements=["event_key"])
    stored = session.scalars(insert.returning(event.c.customer_id), rows).all()
    note_changes(session, stored, now)
    return len(stored)


# --- one event -------------------------------------------------------------------------------------------------


def _read(row: Any, zone: ZoneInfo) -> dict[str, Any]:
    """The values of one event. Raises _Refused, in the order of the file's checks."""
    if not isinstance(row, Mapping):
        raise _Refused("not an object")
    cells = {name: _cell(row.get(name)) for name in LAYOUT.known}
    payload = {
        name: kept
        for name, value in row.items()
        if name not in LAYOUT.known and (kept := _kept(value)) not in (None, "")
    }
    if cells["text"] is not None:
        payload["text"] = cells["text"]
    written = msgspec.json.encode(payload).decode()
    if any("\0" in cell for cell in cells.values() if cell) or "\\u0000" in written:
        raise _Refused("a cell holds a NUL character")
    event_id, member_id = _id(cells["event_id"], "event_id"), _id(cells["customer_id"], "customer_id")
    kind, occurred_at = _kind(cells["kind"]), _moment(cells["occurred_at"], zone)
    if cells["sku"] is not None:
        _id(cells["sku"], "sku")
    if len(cells["topic"] or "") > MAX_WORDS:
        raise _Refused(f"topic is longer than {MAX_WORDS} characters")
    if len(written) > MAX_PAYLOAD:
        raise _Refused(LONG_PAYLOAD)
    return {
        "event_key": KEY_PREFIX + event_id,
        "member_id": member_id,
        "kind": kind,
        "occurred_at": occurred_at,
        "sku": cells["sku"],
        "topic": cells["topic"],
        "payload": payload,
    }


def _cell(value: Any) -> str | None:
    """A JSON value as the text a file's cell would hold, None for an empty one."""
    if value is None or isinstance(value, str):
        return (value or "").strip(BLANKS) or None
    return msgspec.json.encode(value).decode()


def _kept(value: Any) -> Any:
    """A value of a further field as it is kept."""
    return value.strip() if isinstance(value, str) else value


def _id(text: str | None, name: str) -> str:
    if text is None:
        raise _Refused(f"{name} is empty")
    if len(text) > MAX_ID:
        raise _Refused(f"{name} is longer than {MAX_ID} characters")
    return text


def _kind(text: str | None) -> str:
    if text is None:
        raise _Refused(NO_KIND)
    if not re.fullmatch(KIND_PATTERN, text):
        raise _Refused(ODD_KIND)
    if text in RESERVED_KINDS:
        raise _Refused(TAKEN_KIND)
    return text


def _moment(text: str | None, zone: ZoneInfo) -> datetime:
    """The aware UTC time that `text` says."""
    if text is None:
        raise _Refused(NO_TIME)
    found = re.fullmatch(TIME_PATTERN, text, re.ASCII)
    moment = _time(*found.groups(), zone=zone) if found else None
    if moment is None:
        raise _Refused(ODD_TIME)
    if not FIRST <= moment <= LAST:
        raise _Refused(FAR_TIME)
    return moment


def _time(day: str, clock: str | None, shift: str | None, *, zone: ZoneInfo) -> datetime | None:
    digits = re.split("[-/]", day) if not day.isdecimal() else [day[:4], day[4:6], day[6:]]
    hour, minute, second = [*(clock or "0:0").split(":"), "0"][:3]
    whole, _, part = second.partition(".")
    try:
        year, month, of_month = (int(number) for number in digits)
        local = datetime(year, month, of_month, int(hour), int(minute), int(whole), int(part[:6].ljust(6, "0")))  # noqa: DTZ001
    except ValueError:
        return None
    if not shift or shift in "Zz":
        meant: tzinfo = UTC if shift else zone
    else:
        minutes = int(shift[1:3]) * 60 + int(shift[3:].replace(":", "") or 0)
        meant = timezone(timedelta(minutes=-minutes if shift[0] == "-" else minutes))
    try:
        return local.replace(tzinfo=meant).astimezone(UTC)
    except OverflowError as error:  # the first or last day that there is
        raise _Refused(FAR_TIME) from error
