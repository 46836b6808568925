"""Which segments and tags grow: sizes that are kept by day, and the history of tags. Reads only.

A group grows when it gained more than chance would: more than twice the square root of its former size. Segments whose
lines were drawn anew in between did not grow: only days by the same settings are compared.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import sqrt
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlmodel import Session

from store.engine import table_of
from store.models import CustomerTag, SegmentRun, SegmentSizeOnDay, Tag

# One model of each kind: the others say the same of the same people in fewer words.
MODELS = ("rf11", "rfm3", "rfm8", "nesl", "activity")
MIN_PEOPLE = 20
MOST_GROUPS = 12

size, tag, customer_tag = table_of(SegmentSizeOnDay), table_of(Tag), table_of(CustomerTag)
run = table_of(SegmentRun)


@dataclass(frozen=True)
class Group:
    """A segment ("MODEL=SEGMENT") or a tag ("tag:NAME") with how many customers it had before and has now; None where
    that was not counted, because the group was asked for by its name."""

    key: str
    before: int | None = None
    now: int | None = None

    @property
    def gained(self) -> int:
        """How many more it has now."""
        return (self.now or 0) - (self.before or 0)


def growing_groups(session: Session, *, now: datetime, days: int) -> list[Group]:
    """The groups that grew most over the last `days`, most people gained first, MOST_GROUPS at most. Segments are
    compared between the newest day with sizes and the newest at least `days` before it."""
    found = [*_segments(session, days), *_tags(session, now, now - timedelta(days=days))]
    growing = [g for g in found if (g.now or 0) >= MIN_PEOPLE and g.gained > 2 * sqrt(max(g.before or 0, 1))]
    return sorted(growing, key=lambda g: (-g.gained, g.key))[:MOST_GROUPS]


def _segments(session: Session, days: int) -> list[Group]:
    counted = size.c.model.in_(MODELS)  # a day may have sizes of tags alone, when its run broke off after them
    newest: date | None = session.scalar(select(func.max(size.c.as_of)).where(counted))
    if newest is None:
        return []
    last = newest - timedelta(days=days)
    older = (counted, size.c.as_of <= last, size.c.as_of.not_in(_otherwise_drawn(session, newest)))
    former: date | None = session.scalar(select(func.max(size.c.as_of)).where(*older))
    if former is None:
        return []
    rows = select(size).where(size.c.as_of.in_([former, newest]), counted)
    sizes = {(row.as_of, f"{row.model}={row.segment}"): row.customers for row in session.execute(rows)}
    keys = {key for _, key in sizes}
    return [Group(key, sizes.get((former, key), 0), sizes.get((newest, key), 0)) for key in keys]


def _otherwise_drawn(session: Session, newest: date) -> list[date]:
    """The days whose newest run was by other settings than that of the day `newest`."""
    rows = select(run.c.as_of, run.c.settings).where(run.c.state == "finished").order_by(run.c.id)
    chosen: dict[date, Any] = {row.as_of: row.settings.get("chosen") for row in session.execute(rows)}
    return [day for day, settings in chosen.items() if settings != chosen.get(newest)]


def _tags(session: Session, now: datetime, then: datetime) -> list[Group]:
    """Tags that were on at any time since `then`. One that is younger than `then` has grown from nothing: what was not
    there yet was not measured, so it is left out."""

    def was_on(at: datetime) -> Any:
        on = and_(customer_tag.c.since <= at, or_(customer_tag.c.until.is_(None), customer_tag.c.until > at))
        return func.count().filter(on)

    counted = (
        select(tag.c.name, was_on(then).label("before"), was_on(now).label("now"))
        .join(customer_tag, customer_tag.c.tag_id == tag.c.id)
        .where(tag.c.is_active, tag.c.created_at <= then)
        .group_by(tag.c.name)
    )
    return [Group(f"tag:{row.name}", row.before, row.now) for row in session.execute(counted)]
