"""Who moved between two days, for a page: read from the changes in between alone, never from everybody.

Between two whole runs a mover's segment before is what their first move in between found, and their segment after is
what their last one left; who has none stayed. Those who stayed are therefore a segment's size on the last day less the
movers who ended there. Whom lines drawn anew put elsewhere (other settings, another day) did not move.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
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
    when too many changed for a page. `relabelled`: how many lines drawn anew put elsewhere in between."""

    first: date
    last: date
    counts: Mapping[tuple[str | None, str | None], int] | None
    relabelled: int = 0

    def of(self, before: str | None, after: str | None) -> int:
        """Customers from `before` to `after`."""
        return (self.counts or {}).get((before, after), 0)

    @property
    def has_newcomers(self) -> bool:
        """Whether somebody came from, or went to, where the model says nothing."""
        return any(None in pair for pair in self.counts or {})


def moved(session: Session, model: str, first: date, last: date, sizes: Mapping[str, Size]) -> Movement:
    """Between the newest whole runs for the days `first` and `last` (ascending); `sizes` of the last day. Raises
    NotFound for an unknown model."""
    segments = segments_of(model)
    start, end = (_last_change(session, day) for day in (first, last))
    if end - start > MOST_CHANGES:
        return Movement(first, last, None)
    between = (change.c.id > start, change.c.id <= end)
    counts: Counter[tuple[str | None, str | None]] = Counter()
    ended: Counter[str | None] = Counter()
    for before, after, end_at, people in session.execute(_moves(model, between)):
        counts[before, after] += people
        ended[end_at] += people
    del counts[None, None]  # who came and went
    for name in (segment.name for segment in segments):
        counts[name, name] += max(sizes[name].customers - ended[name], 0) if name in sizes else 0
    is_relabelled = (*between, change.c.is_relabelled, _is_other(model))
    relabelled = select(func.count(change.c.customer_id.distinct())).where(*is_relabelled)
    return Movement(first, last, counts, session.scalar(relabelled) or 0)


def _moves(model: str, between: tuple[Any, ...]) -> Select[Any]:
    """Segment before the first move, after the last one, after the last change of any kind, and how many people."""
    is_move = _is_other(model) & ~change.c.is_relabelled
    edges = (
        select(
            func.min(change.c.id).filter(is_move).label("first"),
            func.max(change.c.id).filter(is_move).label("last"),
            func.max(change.c.id).label("newest"),
        )
        .where(*between)
        .group_by(change.c.customer_id)
        .subquery()
    )
    early, late, newest = change.alias("early"), change.alias("late"), change.alias("newest_change")
    before, after, end_at = early.c[f"old_{model}"], late.c[model], newest.c[model]
    joined = edges.join(early, early.c.id == edges.c.first).join(late, late.c.id == edges.c.last)
    return (
        select(before, after, end_at, func.count())
        .select_from(joined.join(newest, newest.c.id == edges.c.newest))
        .group_by(before, after, end_at)
    )


def _is_other(model: str) -> ColumnElement[bool]:
    is_other: ColumnElement[bool] = change.c[f"old_{model}"].is_distinct_from(change.c[model])
    return is_other


def _last_change(session: Session, day: date) -> int:
    found = select(func.max(run.c.last_change_id)).where(run.c.state == "finished", run.c.as_of == day)
    return session.scalar(found) or 0
