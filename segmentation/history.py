"""What the stored segments say: sizes now, who was in which segment when, and who moved. Reads only.

Every result is a set of changes in the order of their ids, written by a whole run or, between runs, for single
customers. Runs for earlier days may have been made later, so what was known of a day is found by the day that results
are for, and then everything written up to the last of them is replayed. That is wrong in one case: where single
customers were computed after a run for an earlier day, and before the next for a later one, the replay leaves all
others as the earlier day had them, from the day of the single ones up to the next day that is computed. Rules that ask
for the segment of an earlier day look customer by customer and are right there (rules/aggregates.past_segments).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, RowMapping, Select, Subquery, exists, func, select
from sqlmodel import Session

from segmentation.backlog import LEASE_NAME, Backlog, backlog
from segmentation.models import MODELS, Segment, segments_of
from segmentation.nesl import FINER, NESL_OF_NES
from store.engine import table_of
from store.models import CustomerSegment, Lease, SegmentChange, SegmentRun
from store.types import from_ten_thousandths, sum_parts, whole_sum

now = table_of(CustomerSegment)
change = table_of(SegmentChange)
run = table_of(SegmentRun)
lease = table_of(Lease)

MOST_MOVEMENTS = 10_000


@dataclass(frozen=True)
class SegmentSize:
    """A segment with how many customers are in it and what they have paid, in the look-back window."""

    segment: Segment
    customers: int
    value: Decimal


@dataclass(frozen=True)
class Movement:
    """A customer went from one segment of a model to another. `id` is what to read on from. `before` of None: the
    model said nothing of the customer; `after` of None: it no longer does. `is_relabelled`: by lines drawn anew, not by
    anything that happened."""

    id: int
    customer_id: int
    before: str | None
    after: str | None
    as_of: date
    changed_at: datetime
    is_relabelled: bool = False


@dataclass(frozen=True)
class Computation:
    """When segments were last computed, and what is under way. `is_stuck`: a process that computes has not been heard
    of for longer than its lease; the next one takes over."""

    run: SegmentRun | None  # the newest finished
    running_since: datetime | None
    last_change_at: datetime | None  # of any customer, in a run or between runs
    waiting: Backlog
    is_stuck: bool


def latest_run(session: Session) -> SegmentRun | None:
    """The newest finished run; None before the first."""
    newest = select(SegmentRun).where(run.c.state == "finished").order_by(run.c.id.desc()).limit(1)
    return session.scalars(newest).first()


def run_of_day(session: Session, as_of: date) -> SegmentRun | None:
    """The newest finished run for the day, which left the sizes that are kept of it; None without one."""
    newest = select(SegmentRun).where(run.c.state == "finished", run.c.as_of == as_of)
    return session.scalars(newest.order_by(run.c.id.desc()).limit(1)).first()


def running_run(session: Session, at: datetime) -> SegmentRun | None:
    """The run that is at work, by its lease, `at` (aware UTC); None when there is none."""
    return session.scalars(select(SegmentRun).where(run.c.state == "running", run.c.lease_until >= at)).first()


def last_computed(session: Session, at: datetime) -> Computation:
    """When everything was last computed, as seen `at` (aware UTC)."""
    running = session.execute(select(run).where(run.c.state == "running")).first()
    # Other work that is leased, such as finding a run's members, is none of ours; and who died with nothing left to do
    # holds nobody up.
    dead = select(func.count()).select_from(lease).where(lease.c.name == LEASE_NAME, lease.c.lease_until < at)
    waiting = backlog(session, at)
    is_held_up = waiting.customers > 0 and bool(session.scalar(dead))
    newest = select(change.c.changed_at).order_by(change.c.id.desc()).limit(1)
    return Computation(
        run=latest_run(session),
        running_since=running.started_at if running else None,
        last_change_at=session.scalar(newest),
        waiting=waiting,
        is_stuck=is_held_up or (running is not None and running.lease_until < at),
    )


def in_segment(row: Any, model: str, segment: str, *, by_customer: bool = False) -> ColumnElement[bool]:
    """SQL: whether a row of customer_segment is in the segment, by the index of its model. `by_customer`: the rows are
    wanted in the order of their customers, a page at a time.

    NES has no index of its own, its states are found as those of NESL. Those of S lie in three parts of that index,
    which would have to be sorted; the table has them in order, and most customers are there."""
    found: ColumnElement[bool] = row.c[model] == segment
    if model in FINER and not (by_customer and len(NESL_OF_NES[segment]) > 1):
        found = row.c[FINER[model]].in_(NESL_OF_NES[segment])
    return found


def segment_sizes(session: Session, model: str) -> list[SegmentSize]:
    """Every segment of `model` in the order marketers read them, empty ones too. Customers without a paid order are
    in NESL, NES and activity only. Raises NotFound for an unknown model."""
    segments = segments_of(model)
    column = now.c[model]
    rows = session.execute(
        select(column, func.count(), *sum_parts(now.c.monetary)).where(column.is_not(None)).group_by(column)
    )
    found = {name: (count, from_ten_thousandths(whole_sum(*parts))) for name, count, *parts in rows}
    return [SegmentSize(s, *found.get(s.name, (0, Decimal(0)))) for s in segments]


def segment_counts(session: Session, model: str) -> dict[str, int]:
    """Segment -> customers in it now, for every segment of `model`. Raises NotFound for an unknown model."""
    return {size.segment.name: size.customers for size in segment_sizes(session, model)}


def segment_at(session: Session, model: str, as_of: date) -> dict[int, str]:
    """Customer id -> segment, by the newest results for days up to and including `as_of`; empty when there were none.
    Customers whom the model said nothing of (no paid order) are absent. After a run for an earlier day see above.
    Raises NotFound for an unknown model."""
    segments_of(model)
    state = _state(model, _last_change_up_to(session, as_of))
    return {row.customer_id: row.segment for row in session.execute(select(state))}


def transitions(session: Session, model: str, from_day: date, to_day: date) -> dict[tuple[str | None, str | None], int]:
    """(segment before, segment after) -> customers, between the results for days up to `from_day` and those up to
    `to_day`: of who moved, before the first and after the last move in between; of who stayed, where they are at the
    end. None: the model said nothing of them; both None is absent. Lines drawn anew are no moves. After a run for an
    earlier day see above. Raises NotFound for an unknown model."""
    segments_of(model)
    start, end = (_last_change_up_to(session, day) for day in (from_day, to_day))
    low, high = sorted((start, end))
    is_move = ~change.c.is_relabelled & change.c[f"old_{model}"].is_distinct_from(change.c[model])
    edges = select(change.c.customer_id, func.min(change.c.id).label("first"), func.max(change.c.id).label("last"))
    moved = edges.where(change.c.id > low, change.c.id <= high, is_move).group_by(change.c.customer_id).subquery()
    early, late = change.alias("early"), change.alias("late")
    sides = (early.c[f"old_{model}"], late.c[model]) if start <= end else (late.c[model], early.c[f"old_{model}"])
    pairs = (
        select(*sides, func.count())
        .select_from(moved.join(early, early.c.id == moved.c.first).join(late, late.c.id == moved.c.last))
        .group_by(*sides)
    )
    found = Counter({(row[0], row[1]): row[2] for row in session.execute(pairs)})
    state = _state(model, high)
    stayed = select(state.c.segment, func.count()).outerjoin(moved, moved.c.customer_id == state.c.customer_id)
    rows = session.execute(stayed.where(moved.c.customer_id.is_(None)).group_by(state.c.segment))
    found.update({(row[0], row[0]): row[1] for row in rows})
    del found[None, None]
    return dict(found)


def movements(
    session: Session,
    model: str,
    *,
    after_id: int = 0,
    from_: str | None = None,
    to: str | None = None,
    limit: int = 1_000,
) -> list[Movement]:
    """Those who moved in `model`, in the order in which it was written, at most `limit` (up to MOST_MOVEMENTS).

    Reading on from the last `id` seen gives every movement exactly once: ids are committed in their order. `from_` and
    `to` are segments, None for any; a new customer's first result is a movement from None. Lines drawn anew are none.
    Raises NotFound for an unknown model.
    """
    names = {segment.name for segment in segments_of(model)}
    assert {from_, to} - {None} <= names, (from_, to)
    old, new = change.c[f"old_{model}"], change.c[model]
    wanted: list[ColumnElement[bool]] = [change.c.id > after_id, old.is_distinct_from(new), ~change.c.is_relabelled]
    wanted += [column == name for column, name in ((old, from_), (new, to)) if name is not None]
    columns = (change.c.id, change.c.customer_id, old, new, change.c.as_of, change.c.changed_at)
    found = select(*columns).where(*wanted).order_by(change.c.id).limit(min(limit, MOST_MOVEMENTS))
    return [Movement(*row) for row in session.execute(found)]


def draws_anew(session: Session, run_id: int, as_of: date, chosen: Mapping[str, Any]) -> bool:
    """Whether the run (for the day `as_of`, by the settings `chosen`) puts people elsewhere who did nothing: the first
    there is, one by other settings than the run before it, one for an earlier day, and the one that comes back from
    there; also where the run before it broke off after it had written."""
    before = (run.c.state == "finished", run.c.id < run_id)
    newest: date | None = session.scalar(select(func.max(run.c.as_of)).where(*before))
    row = session.execute(select(run).where(*before).order_by(run.c.id.desc()).limit(1)).first()
    if row is None or newest is None or not row.as_of == newest <= as_of:
        return True
    broken = [one for one in _unfinished(session, row) if one.id < run_id]
    return any(one.as_of < newest or one.settings.get("chosen") != chosen for one in (row, *broken))


def put_elsewhere(session: Session, newest: SegmentRun, customer_ids: Sequence[int]) -> set[int]:
    """Those of these customers who stand where a run after the `newest` finished one put them, by lines drawn anew: it
    is at work, or broke off. Measured by what the newest one found they come back, which is no move."""
    drawn = [
        one.started_at
        for one in _unfinished(session, newest)
        if draws_anew(session, one.id, one.as_of, one.settings.get("chosen", {}))
    ]
    theirs = select(now.c.customer_id).where(now.c.customer_id.in_(customer_ids), now.c.computed_at.in_(drawn))
    return set(session.scalars(theirs)) if drawn else set()


def _unfinished(session: Session, finished: Any) -> Sequence[Row[Any]]:
    """The runs after a `finished` one that have written something and not come to an end."""
    wrote = exists().where(change.c.id > finished.last_change_id, change.c.run_id == run.c.id)
    others = select(run).where(run.c.id > finished.id, run.c.state != "finished", wrote).order_by(run.c.id)
    return session.execute(others).all()


def history_of(session: Session, customer_id: int) -> dict[str, list[Movement]]:
    """Model -> the customer's changes in it, the oldest first, those by lines drawn anew too. Empty lists for somebody
    without results."""
    rows = session.execute(select(change).where(change.c.customer_id == customer_id).order_by(change.c.id)).all()
    return {model: [move for row in rows if (move := _movement(row, model)) is not None] for model in MODELS}


def _movement(row: Row[Any], model: str) -> Movement | None:
    values: RowMapping = row._mapping
    before, after = values[f"old_{model}"], values[model]
    if before == after:
        return None
    return Movement(row.id, row.customer_id, before, after, row.as_of, row.changed_at, row.is_relabelled)


def _last_change_up_to(session: Session, day: date) -> int:
    """The id of the last change that belongs to the newest results for days up to `day`; 0 for none. Results are
    finished runs, and changes between runs."""
    runs, single = run.c.state == "finished", change.c.run_id.is_(None)
    days = (
        session.scalar(select(func.max(run.c.as_of)).where(runs, run.c.as_of <= day)),
        session.scalar(select(func.max(change.c.as_of)).where(single, change.c.as_of <= day)),
    )
    newest = max((found for found in days if found is not None), default=None)
    if newest is None:
        return 0
    by_run = session.scalar(select(func.max(run.c.last_change_id)).where(runs, run.c.as_of == newest))
    by_one = session.scalar(select(func.max(change.c.id)).where(single, change.c.as_of == newest))
    return max(by_run or 0, by_one or 0)


def _state(model: str, up_to_id: int) -> Subquery:
    """customer_id, segment: as the changes up to an id left everybody whom the model says something of."""
    newest = (
        select(func.max(change.c.id).label("id"))
        .where(change.c.id <= up_to_id)
        .group_by(change.c.customer_id)
        .subquery()
    )
    state: Select[Any] = select(change.c.customer_id, change.c[model].label("segment"))
    return state.join(newest, newest.c.id == change.c.id).where(change.c[model].is_not(None)).subquery()
