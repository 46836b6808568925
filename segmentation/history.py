"""What the stored segments say: sizes now, members now, who was in which segment when, and who moved. Reads only.

Every result is a set of changes in the order of their ids, written by a whole run or, between runs, for single
customers. Runs for earlier days may have been made later, so what was known of a day is found by the day that results
are for, and then everything written up to the last of them is replayed.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, RowMapping, Select, Subquery, case, func, literal, select
from sqlmodel import Session

from segmentation.backlog import LEASE_NAME, Backlog, backlog
from segmentation.models import MODELS, Segment, segments_of
from store.engine import table_of
from store.models import CustomerSegment, Lease, SegmentChange, SegmentRun, SegmentSizeOnDay

now = table_of(CustomerSegment)
change = table_of(SegmentChange)
run = table_of(SegmentRun)
size = table_of(SegmentSizeOnDay)
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
    model said nothing of the customer; `after` of None: it no longer does."""

    id: int
    customer_id: int
    before: str | None
    after: str | None
    as_of: date
    changed_at: datetime


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


def segment_sizes(session: Session, model: str) -> list[SegmentSize]:
    """Every segment of `model` in the order marketers read them, empty ones too. Customers without a paid order are
    in NESL, NES and activity only. Raises NotFound for an unknown model."""
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


def sizes_over_time(session: Session, model: str) -> dict[date, dict[str, tuple[int, Decimal]]]:
    """Day -> segment -> (customers, what they had paid), days ascending, as each day's newest whole run found them;
    empty segments are absent. Raises NotFound for an unknown model."""
    segments_of(model)
    rows = session.execute(select(size).where(size.c.model == model).order_by(size.c.as_of))
    found: dict[date, dict[str, tuple[int, Decimal]]] = {}
    for row in rows:
        found.setdefault(row.as_of, {})[row.segment] = (row.customers, row.value)
    return found


def members(session: Session, model: str, segment: str) -> list[int]:
    """Ids of the customers in `segment` now, ascending. Raises NotFound for an unknown model."""
    segments_of(model)
    found = select(now.c.customer_id).where(now.c[model] == segment).order_by(now.c.customer_id)
    return list(session.scalars(found))


def segment_at(session: Session, model: str, as_of: date) -> dict[int, str]:
    """Customer id -> segment, by the newest results for days up to and including `as_of`; empty when there were none.
    Customers whom the model said nothing of (no paid order) are absent. Raises NotFound for an unknown model."""
    segments_of(model)
    state = _state(model, _last_change_up_to(session, as_of))
    return {row.customer_id: row.segment for row in session.execute(select(state))}


def transitions(session: Session, model: str, from_day: date, to_day: date) -> dict[tuple[str | None, str | None], int]:
    """(segment by the results for days up to `from_day`, by those up to `to_day`) -> customers. None: the model said
    nothing of them then; both None is absent. Raises NotFound for an unknown model."""
    segments_of(model)
    sides = [_state(model, _last_change_up_to(session, day)) for day in (from_day, to_day)]
    both = select(sides[0], literal(0).label("side")).union_all(select(sides[1], literal(1))).subquery()
    before, after = (func.max(case((both.c.side == side, both.c.segment))) for side in (0, 1))
    pairs = select(before.label("before"), after.label("after")).group_by(both.c.customer_id).subquery()
    counted = select(pairs.c.before, pairs.c.after, func.count()).group_by(pairs.c.before, pairs.c.after)
    return {(row[0], row[1]): row[2] for row in session.execute(counted)}


def movements(
    session: Session,
    model: str,
    *,
    after_id: int = 0,
    from_: str | None = None,
    to: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 1_000,
) -> list[Movement]:
    """Those who moved in `model`, in the order in which it was written, at most `limit` (up to MOST_MOVEMENTS).

    Reading on from the last `id` seen gives every movement exactly once: ids are committed in their order. `from_` and
    `to` are segments, None for any; a customer's first result is a movement from None. `since` (inclusive) and `until`
    bound the time of the computation. Raises NotFound for an unknown model.
    """
    names = {segment.name for segment in segments_of(model)}
    assert {from_, to} - {None} <= names, (from_, to)
    old, new = change.c[f"old_{model}"], change.c[model]
    wanted: list[ColumnElement[bool]] = [change.c.id > after_id, old.is_distinct_from(new)]
    wanted += [column == name for column, name in ((old, from_), (new, to)) if name is not None]
    wanted += [] if since is None else [change.c.changed_at >= since]
    wanted += [] if until is None else [change.c.changed_at < until]
    columns = (change.c.id, change.c.customer_id, old, new, change.c.as_of, change.c.changed_at)
    found = select(*columns).where(*wanted).order_by(change.c.id).limit(min(limit, MOST_MOVEMENTS))
    return [Movement(*row) for row in session.execute(found)]


def newest_change_id(session: Session) -> int:
    """Where a feed of movements that wants only what comes from now on begins to read."""
    return session.scalar(select(func.max(change.c.id))) or 0


def relabelling_runs(session: Session, after_id: int) -> list[int]:
    """The runs with changes above the id `after_id` whose moves say nothing of what customers did: the first run there
    was, one by other settings than the run before, one for an earlier day, and the one that comes back from there."""
    finished = run.c.state == "finished"
    base = session.scalar(select(func.max(run.c.id)).where(finished, run.c.last_change_id <= after_id)) or 0
    newest: date | None = session.scalar(select(func.max(run.c.as_of)).where(finished, run.c.id <= base))
    columns = (run.c.id, run.c.state, run.c.as_of, run.c.settings)
    found, former = [], None
    for row in session.execute(select(*columns).where(run.c.id >= base).order_by(run.c.id)):
        if row.id != base and not _goes_on_from(former, row, newest):
            found.append(row.id)
        if row.state == "finished":
            former, newest = row, max(newest or row.as_of, row.as_of)
    return found


def _goes_on_from(former: Row[Any] | None, row: Row[Any], newest: date | None) -> bool:
    if former is None or newest is None or not former.as_of == newest <= row.as_of:
        return False
    return bool(former.settings.get("chosen") == row.settings.get("chosen"))


def history_of(session: Session, customer_id: int) -> dict[str, list[Movement]]:
    """Model -> the customer's movements in it, the oldest first. Empty lists for a customer without results."""
    rows = session.execute(select(change).where(change.c.customer_id == customer_id).order_by(change.c.id)).all()
    return {model: [move for row in rows if (move := _movement(row, model)) is not None] for model in MODELS}


def _movement(row: Row[Any], model: str) -> Movement | None:
    values: RowMapping = row._mapping
    before, after = values[f"old_{model}"], values[model]
    if before == after:
        return None
    return Movement(row.id, row.customer_id, before, after, row.as_of, row.changed_at)


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
