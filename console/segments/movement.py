"""Who moved between two days, for a page: read from the changes in between alone, never from everybody.

Between two whole runs a customer's segment before is what their first change in between found, and their segment after
is what their last one left; who has no change stayed. Those who stayed are therefore the segment's size on the first
day less those who left it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select
from sqlmodel import Session

from console.segments.sizes import Size
from segmentation.models import segments_of
from store.engine import table_of
from store.models import SegmentChange, SegmentRun

MOST_CHANGES = 150_000  # read for a page: about 1 ms of processor for each thousand

change, run = table_of(SegmentChange), table_of(SegmentRun)


@dataclass(frozen=True)
class Movement:
    """Customers by (segment on `first`, segment on `last`); None: the model said nothing of them then. `counts` is None
    when too many changed for a page."""

    first: date
    last: date
    counts: Mapping[tuple[str | None, str | None], int] | None

    def of(self, before: str | None, after: str | None) -> int:
        """Customers from `before` to `after`."""
        return (self.counts or {}).get((before, after), 0)

    @property
    def has_newcomers(self) -> bool:
        """Whether somebody came from, or went to, where the model says nothing."""
        return any(None in pair for pair in self.counts or {})


def moved(session: Session, model: str, first: date, last: date, sizes: Mapping[str, Size]) -> Movement:
    """Between the newest whole runs for the days `first` and `last` (ascending); `sizes` of the first day. Raises
    NotFound for an unknown model."""
    segments = segments_of(model)
    start, end = (_last_change(session, day) for day in (first, last))
    if end - start > MOST_CHANGES:
        return Movement(first, last, None)
    between = (change.c.id > start, change.c.id <= end)
    edges = (
        select(func.min(change.c.id).label("first"), func.max(change.c.id).label("last"))
        .where(*between)
        .group_by(change.c.customer_id)
        .subquery()
    )
    early, late = change.alias("early"), change.alias("late")
    before, after = early.c[f"old_{model}"], late.c[model]
    rows = session.execute(
        select(before, after, func.count())
        .select_from(edges.join(early, early.c.id == edges.c.first).join(late, late.c.id == edges.c.last))
        .where(before.is_distinct_from(after))
        .group_by(before, after)
    )
    counts: dict[tuple[str | None, str | None], int] = {(row[0], row[1]): row[2] for row in rows}
    for segment in segments:
        name = segment.name
        left = sum(count for (was, _), count in counts.items() if was == name)
        counts[name, name] = max(sizes[name].customers - left, 0) if name in sizes else 0
    return Movement(first, last, counts)


def _last_change(session: Session, day: date) -> int:
    found = select(func.max(run.c.last_change_id)).where(run.c.state == "finished", run.c.as_of == day)
    return session.scalar(found) or 0
