"""Tags put on and taken off by people, and by people's taps on links: audited, never undone by a computation.

Only tags of people (source `hand`) can be put on so. A tag has one source of truth: what a computation puts on, it
would take off again at its next turn, so asking for it by hand is refused. So is asking for one that is switched off;
but a last day that was given with it still ends it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlmodel import Session

from segmentation.tags.catalogue import tag_named
from segmentation.tags.definitions import BY_PEOPLE, InvalidTag, check_name
from store.changes import note_changes
from store.clock import YEARS
from store.engine import insert_for, table_of
from store.errors import BadInput
from store.models import AuditEntry, Customer, CustomerTag, Tag

tag, on, customer = table_of(Tag), table_of(CustomerTag), table_of(Customer)

MAX_NOTE = 500
_IDS_AT_ONCE = 1_000


class ComputedTag(InvalidTag):
    """The tag is put on and taken off by computation."""


class ArchivedTag(InvalidTag):
    """The tag is switched off: it stays where it is."""


def put_on(
    session: Session,
    name: str,
    customer_ids: Iterable[int],
    *,
    actor: str,
    now: datetime,
    note: str | None = None,
    until: date | None = None,
    today: date,
) -> int:
    """Put the tag on those who don't have it; returns how many that were. `until`: the day (of the brand) on which it
    comes off by itself, after `today`. Who has it already keeps it as it is.

    Raises NotFound for an unknown tag, ComputedTag, ArchivedTag, BadInput for customers who don't exist, a day that has
    come or lies beyond YEARS, or too long a note.
    """
    found = _by_people(session, name)
    if until is not None and until <= today:
        raise BadInput(f"the day on which the tag comes off must be after today, {today}; got {until}")
    if until is not None and until.year not in YEARS:
        raise BadInput(f"the day on which the tag comes off lies before {YEARS.stop}, not on {until}")
    if note is not None and len(note) > MAX_NOTE:
        raise BadInput(f"a note has at most {MAX_NOTE} characters")
    ids = _known(session, customer_ids)
    evidence = {"by": actor} if note is None else {"by": actor, "note": note}
    put = _put(session, [(found.id, customer_id, evidence) for customer_id in ids], "hand", now, until)
    _record(session, "put tag on", found, len(put), actor, now)
    return len(put)


def take_off(
    session: Session, name: str, customer_ids: Iterable[int], *, actor: str, now: datetime, note: str | None = None
) -> int:
    """Take the tag off those who have it; returns how many that were. Raises as `put_on`."""
    found = _by_people(session, name)
    ids = _known(session, customer_ids)
    evidence = {"by": actor} if note is None else {"by": actor, "note": note}
    taken = 0
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = on.c.customer_id.in_(ids[start : start + _IDS_AT_ONCE])
        mine = (on.c.tag_id == found.id, on.c.until.is_(None), some)
        taken += _end(session, mine, evidence, now)
    _record(session, "take tag off", found, taken, actor, now)
    return taken


@dataclass(frozen=True)
class TopicTap:
    """A person tapped a link about a topic."""

    customer_id: int
    topic: str
    link_id: int
    campaign_id: int | None  # None: a code that hangs in a shop
    clicked_at: datetime


def put_on_by_taps(session: Session, taps: Sequence[TopicTap], now: datetime) -> int:
    """Put on each tap's tag, the one of the topic's name, which is made if need be; returns how many were put on.

    A topic that is the name of a computed tag, or of one that is switched off, puts nothing on: the tap is an event
    like any other, from which computed tags draw their own conclusions. Taps are noted as changes by their events.
    """
    if not taps:
        return 0
    names = sorted({tap.topic for tap in taps})
    rows = [{"name": check_name(name), "created_at": now} for name in names]
    session.execute(insert_for(session, Tag).on_conflict_do_nothing(index_elements=["name"]), rows)
    usable = select(tag.c.name, tag.c.id).where(tag.c.name.in_(names), tag.c.source == "hand", tag.c.is_active)
    tag_ids = {row.name: row.id for row in session.execute(usable)}
    first = {(tag_ids[tap.topic], tap.customer_id): tap for tap in reversed(taps) if tap.topic in tag_ids}
    evidence = [
        (*key, {"link_id": tap.link_id, "campaign_id": tap.campaign_id, "clicked_at": tap.clicked_at.isoformat()})
        for key, tap in sorted(first.items(), key=lambda item: item[0])
    ]
    return len(_put(session, evidence, "link", now, None))


def take_off_ended(session: Session, *, today: date, now: datetime) -> int:
    """Take off what people put on until a day that has come; returns how many."""
    of_people = on.c.tag_id.in_(select(tag.c.id).where(tag.c.source == "hand"))
    ended = (of_people, on.c.until.is_(None), on.c.source.in_(BY_PEOPLE), on.c.falls_off_on <= today)
    return _end(session, ended, {"reason": "its last day has passed"}, now)


def _by_people(session: Session, name: str) -> Tag:
    found = tag_named(session, name)
    if found.source != "hand":
        raise ComputedTag(
            f"the tag {name!r} is put on and taken off by a computation ({found.source}); it can't be changed by hand"
        )
    if not found.is_active:
        raise ArchivedTag(f"the tag {name!r} is switched off: it stays where it is until it is switched on again")
    return found


def _known(session: Session, customer_ids: Iterable[int]) -> list[int]:
    """The ids, each once, of customers who stay there until the transaction ends. Raises BadInput."""
    ids = sorted(set(customer_ids))
    there: set[int] = set()
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = customer.c.id.in_(ids[start : start + _IDS_AT_ONCE])
        held = select(customer.c.id).where(some).order_by(customer.c.id).with_for_update(read=True, key_share=True)
        there |= set(session.scalars(held))
    if missing := [str(one) for one in ids if one not in there]:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise BadInput(f"there is no customer {', '.join(missing[:5])}{more}; nothing was changed")
    return ids


def _put(
    session: Session, wanted: list[tuple[Any, int, dict[str, Any]]], source: str, now: datetime, until: date | None
) -> list[int]:
    """Put on what isn't on; the customers who got something. Whoever else puts the same on at the same time wins or
    waits, by the unique index."""
    common = {"since": now, "strength": 1.0, "source": source, "falls_off_on": until}
    rows = [{"tag_id": t, "customer_id": c, "evidence": evidence, **common} for t, c, evidence in wanted]
    got: list[int] = []
    statement = insert_for(session, CustomerTag).on_conflict_do_nothing(
        index_elements=["tag_id", "customer_id"], index_where=on.c.until.is_(None)
    )
    for start in range(0, len(rows), _IDS_AT_ONCE):
        part = statement.values(rows[start : start + _IDS_AT_ONCE]).returning(on.c.customer_id)
        got += session.execute(part).scalars()
    note_changes(session, got, now)
    return got


def _end(session: Session, which: tuple[Any, ...], evidence: dict[str, Any], now: datetime) -> int:
    values = {"until": now, "off_evidence": evidence, "falls_off_on": None}
    gone = list(session.execute(update(on).where(*which).values(values).returning(on.c.customer_id)).scalars())
    note_changes(session, gone, now)
    return len(gone)


def _record(session: Session, action: str, found: Tag, count: int, actor: str, now: datetime) -> None:
    detail = {"tag_id": found.id, "customers": count}
    session.execute(insert(table_of(AuditEntry)).values(at=now, actor=actor, action=action, detail=detail))
