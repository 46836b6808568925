"""What the stored tags say: whose they are and were and why, how many have them, who had one when. Reads only."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlmodel import Session

from segmentation.tags.catalogue import tag_named
from segmentation.tags.sizes import TAG_MODEL
from store.engine import table_of
from store.models import CustomerTag, SegmentSizeOnDay, Tag

tag, row, size = table_of(Tag), table_of(CustomerTag), table_of(SegmentSizeOnDay)


@dataclass(frozen=True)
class Assignment:
    """A tag on a customer, from `since` until `until` (None: on now). `evidence` says why it was put on, renewed when
    that changed materially; `off_evidence` why it came off. `falls_off_on`: the first day as of whose start it would
    be off if nothing more happened (of people's tags: the day on which it comes off); None: never, or unknown."""

    tag: str
    customer_id: int
    since: datetime
    until: datetime | None
    strength: float
    source: str
    evidence: dict[str, Any]
    off_evidence: dict[str, Any] | None
    falls_off_on: date | None


def tags_of(session: Session, customer_id: int, *, is_current: bool | None = None) -> list[Assignment]:
    """A customer's tags, what is on now first and the newest before the older; `is_current` True: on now only, False:
    those that came off only."""
    wanted = _assignments().where(row.c.customer_id == customer_id)
    if is_current is not None:
        wanted = wanted.where(row.c.until.is_(None) if is_current else row.c.until.is_not(None))
    order = (row.c.until.is_not(None), row.c.until.desc(), row.c.since.desc(), row.c.id.desc())
    return [Assignment(*found) for found in session.execute(wanted.order_by(*order))]


def assignments_of(session: Session, name: str, customer_id: int) -> list[Assignment]:
    """One tag's assignments to one customer, the newest first; empty if it was never on. Raises NotFound for an unknown
    tag."""
    found = tag_named(session, name)
    wanted = _assignments().where(row.c.customer_id == customer_id, row.c.tag_id == found.id)
    return [Assignment(*one) for one in session.execute(wanted.order_by(row.c.since.desc(), row.c.id.desc()))]


def members_at(
    session: Session, name: str, moment: datetime | None = None, *, after: int = 0, limit: int | None = None
) -> list[int]:
    """Ids above `after` of the customers who had the tag at `moment` (aware; the end of an assignment excluded), or who
    have it now; ascending, no duplicates. Raises NotFound."""
    found = tag_named(session, name)
    wanted = select(row.c.customer_id).where(row.c.tag_id == found.id, row.c.customer_id > after)
    if moment is None:
        wanted = wanted.where(row.c.until.is_(None))
    else:
        wanted = wanted.where(row.c.since <= moment, or_(row.c.until.is_(None), row.c.until > moment)).distinct()
    return list(session.scalars(wanted.order_by(row.c.customer_id).limit(limit)))


def size_now(session: Session, name: str) -> int:
    """How many have the tag now, counted through the index. Raises NotFound."""
    found = tag_named(session, name)
    wanted = select(func.count()).select_from(row).where(row.c.tag_id == found.id, row.c.until.is_(None))
    return int(session.scalar(wanted) or 0)


def sizes_on_days(session: Session, name: str) -> list[SegmentSizeOnDay]:
    """How many had the tag on each day that was computed, and what they had paid; by day."""
    mine = (size.c.model == TAG_MODEL, size.c.segment == name)
    return list(session.scalars(select(SegmentSizeOnDay).where(*mine).order_by(size.c.as_of)))


def newest_sizes(session: Session) -> dict[str, int]:
    """Tag name -> customers on the newest day that was computed; a tag made since then is absent."""
    newest = select(func.max(size.c.as_of)).where(size.c.model == TAG_MODEL).scalar_subquery()
    wanted = select(size.c.segment, size.c.customers).where(size.c.model == TAG_MODEL, size.c.as_of == newest)
    return {found.segment: found.customers for found in session.execute(wanted)}


def _assignments() -> Any:
    values = ("customer_id", "since", "until", "strength", "source", "evidence", "off_evidence", "falls_off_on")
    return select(tag.c.name, *(row.c[name] for name in values)).join(tag, tag.c.id == row.c.tag_id)
