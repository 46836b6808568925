"""What the stored segments say: sizes now, members now, and who was in which segment when. Reads only."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import func, select
from sqlmodel import Session

from segmentation.models import Segment, segments_of
from store.engine import table_of
from store.models import CustomerSegment, SegmentChange, SegmentRun

now = table_of(CustomerSegment)
change = table_of(SegmentChange)
run = table_of(SegmentRun)


@dataclass(frozen=True)
class SegmentSize:
    """A segment with how many customers are in it and what they have paid, in the look-back window."""

    segment: Segment
    customers: int
    value: Decimal


def latest_run(session: Session) -> SegmentRun | None:
    """The newest finished run; None before the first."""
    newest = select(SegmentRun).where(run.c.state == "finished").order_by(run.c.id.desc()).limit(1)
    return session.scalars(newest).first()


def segment_sizes(session: Session, model: str) -> list[SegmentSize]:
    """Every segment of `model` in the order marketers read them, empty ones too. Customers without a paid order are
    in NESL and NES only. Raises NotFound for an unknown model."""
    segments = segments_of(model)
    column = now.c[model]
    rows = session.execute(
        select(column, func.count(), func.sum(now.c.monetary)).where(column.is_not(None)).group_by(column)
    )
    found = {name: (count, value or Decimal(0)) for name, count, value in rows}
    return [SegmentSize(s, *found.get(s.name, (0, Decimal(0)))) for s in segments]


def segment_counts(session: Session, model: str) -> dict[str, int]:
    """Segment -> customers in it now, for every segment of `model`. Raises NotFound for an unknown model."""
    return {size.segment.name: size.customers for size in segment_sizes(session, model)}


def members(session: Session, model: str, segment: str) -> list[int]:
    """Ids of the customers in `segment` now, ascending. Raises NotFound for an unknown model."""
    segments_of(model)
    found = select(now.c.customer_id).where(now.c[model] == segment).order_by(now.c.customer_id)
    return list(session.scalars(found))


def segment_at(session: Session, model: str, as_of: date) -> dict[int, str]:
    """Customer id -> segment, as the newest run for a day up to and including `as_of` left it; empty when there was
    none. Customers whom the model said nothing of (no paid order) are absent. Raises NotFound for an unknown model.

    Runs for earlier days may have been made later, so the run is chosen by its day, and then everything written up
    to that run is replayed in the order of writing.
    """
    segments_of(model)
    known = (run.c.state == "finished") & (run.c.as_of <= as_of)
    chosen = session.scalar(select(run.c.id).where(known).order_by(run.c.as_of.desc(), run.c.id.desc()).limit(1))
    if chosen is None:
        return {}
    newest = (
        select(change.c.customer_id, func.max(change.c.run_id).label("run_id"))
        .where(change.c.run_id <= chosen)
        .group_by(change.c.customer_id)
        .subquery()
    )
    same = (change.c.customer_id == newest.c.customer_id) & (change.c.run_id == newest.c.run_id)
    rows = session.execute(select(change.c.customer_id, change.c[model]).join(newest, same))
    return {customer_id: segment for customer_id, segment in rows if segment is not None}
