"""Who moved between two days, read from the changes in between alone, never from everybody.

Between two whole runs a mover's segment before is what their first move in between found, and their segment after is
what their last one left; who has none stayed. Those who stayed are therefore a segment's size on the last day less the
movers who stood there then. Whom lines drawn anew put elsewhere (other settings, another day) did not move.

A million customers can change more between two days than a page has time to read. Then the worker finds it out, once,
when somebody asks, and keeps it; what it kept holds as long as both days have the runs that it had.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, delete, func, or_, select, update
from sqlmodel import Session

from segmentation.leases import leased, lengthened
from segmentation.models import MODELS, segments_of
from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.models import SegmentChange, SegmentMovement, SegmentRun, SegmentSizeOnDay

MOST_CHANGES = 150_000  # read for a page: about 1 ms of processor for each thousand
LEASE_NAME, LEASE = "movements", timedelta(seconds=15)
KEPT = timedelta(days=30)  # then it is found out again, should anybody ask

change, run, size = table_of(SegmentChange), table_of(SegmentRun), table_of(SegmentSizeOnDay)
kept = table_of(SegmentMovement)


@dataclass(frozen=True)
class Movement:
    """Customers by (segment on `first`, segment on `last`); None: the model said nothing of them then. `counts` is None
    as long as the worker has not found it out, and `asked_at` is since when it has been asked to (None: nobody asked).
    `relabelled`: how many lines drawn anew put elsewhere in between."""

    first: date
    last: date
    counts: Mapping[tuple[str | None, str | None], int] | None
    relabelled: int = 0
    asked_at: datetime | None = None

    def of(self, before: str | None, after: str | None) -> int:
        """Customers from `before` to `after`."""
        return (self.counts or {}).get((before, after), 0)

    @property
    def has_newcomers(self) -> bool:
        """Whether somebody came from, or went to, where the model says nothing."""
        return any(None in pair for pair in self.counts or {})


@dataclass(frozen=True)
class Between:
    """The changes of two days' newest whole runs: those after the change `first` and up to `last`, ids of the newest
    change when each was over. `first` above `last`: the earlier day was computed anew after the later one."""

    first: int
    last: int

    @property
    def changes(self) -> ColumnElement[bool]:
        """Those in between, whichever way."""
        low, high = sorted((self.first, self.last))
        inside: ColumnElement[bool] = (change.c.id > low) & (change.c.id <= high)
        return inside

    @property
    def is_much(self) -> bool:
        """Whether there is more than a page has time to read."""
        return abs(self.last - self.first) > MOST_CHANGES


@dataclass(frozen=True)
class Moves:
    """What is kept: rows of (segment on the first day, on the last day by moves alone, on the last day by all changes,
    people), and how many people lines drawn anew put elsewhere."""

    rows: list[tuple[str | None, str | None, str | None, int]]
    relabelled: int


def moved(session: Session, model: str, first: date, last: date, people: Mapping[str, int]) -> Movement:
    """Between the newest whole runs for the days `first` and `last` (ascending); `people` by segment on the last day.
    Reads only: at most MOST_CHANGES changes, and what the worker kept. Raises NotFound for an unknown model."""
    segments = [segment.name for segment in segments_of(model)]
    between = _between(session, first, last)
    row = session.get(SegmentMovement, (model, first, last)) if between.is_much else None
    if row is not None and (row.first_change_id, row.last_change_id) != (between.first, between.last):
        row = None  # a day was computed anew since
    if between.is_much and (row is None or row.moves is None):
        return Movement(first, last, None, asked_at=row.asked_at if row else None)
    found = _read(row) if row is not None else find_moves(session, model, between)
    counts: Counter[tuple[str | None, str | None]] = Counter()
    stood: Counter[str | None] = Counter()
    for before, after, on_last, count in found.rows:
        counts[before, after] += count
        stood[on_last] += count
    del counts[None, None]  # who came and went
    for name in segments:
        counts[name, name] += max(people.get(name, 0) - stood[name], 0)
    return Movement(first, last, counts, found.relabelled)


def ask_for_moves(session: Session, model: str, first: date, last: date, now: datetime) -> None:
    """Ask the worker for what `moved` must not read itself; nothing where it may, or the worker was asked already.
    Never commits. Raises NotFound for an unknown model."""
    segments_of(model)
    between = _between(session, first, last)
    if not between.is_much:
        return
    ids = {"first_change_id": between.first, "last_change_id": between.last}
    fresh = {**ids, "asked_at": now, "found_at": None, "moves": None, "relabelled": 0}
    ask = insert_for(session, SegmentMovement).values(model=model, first_day=first, last_day=last, **fresh)
    is_outdated = or_(*(kept.c[name] != value for name, value in ids.items()))
    keys = ["model", "first_day", "last_day"]
    session.execute(ask.on_conflict_do_update(index_elements=keys, set_=fresh, where=is_outdated))


def ask_for_newest_moves(session: Session, now: datetime) -> None:
    """The same for every model between the two newest days, which its page shows first. Never commits."""
    for model in MODELS:
        days = select(size.c.as_of).where(size.c.model == model).distinct().order_by(size.c.as_of.desc()).limit(2)
        newest = list(session.scalars(days))
        if len(newest) == 2:
            ask_for_moves(session, model, newest[1], newest[0], now)


def find_asked_moves(engine: Engine, clock: Clock) -> int:
    """Find out whatever is asked for, the newest asking first; returns how much was. One process at a time."""
    if _next_asked(engine) is None:
        return 0
    done = 0
    with leased(engine, LEASE_NAME, LEASE, clock) as held:
        while held is not None and (asked := _next_asked(engine)) is not None:
            with lengthened(engine, held), reading(engine) as session:
                found = find_moves(session, asked.model, Between(asked.first_change_id, asked.last_change_id))
            with transaction(engine) as session:
                held.hold(session)
                _keep(session, asked, found, clock())
            done += 1
    return done


def _keep(session: Session, asked: SegmentMovement, found: Moves, now: datetime) -> None:
    """Unless a day was computed anew meanwhile and it is asked for again. What nobody asked for lately goes."""
    names = ("model", "first_day", "last_day", "first_change_id", "last_change_id")
    same = (kept.c[name] == getattr(asked, name) for name in names)
    values = {"moves": found.rows, "relabelled": found.relabelled, "found_at": now}
    session.execute(update(SegmentMovement).where(*same).values(**values))
    session.execute(delete(SegmentMovement).where(kept.c.asked_at < now - KEPT))


def find_moves(session: Session, model: str, between: Between) -> Moves:
    """Read the changes in between, however many. Reads only."""
    rows = [(row[0], row[1], row[2], int(row[3])) for row in session.execute(_edges(model, between))]
    is_relabelled = (between.changes, change.c.is_relabelled, _is_other(model))
    relabelled = select(func.count(change.c.customer_id.distinct())).where(*is_relabelled)
    return Moves(rows, session.scalar(relabelled) or 0)


def _edges(model: str, between: Between) -> Select[Any]:
    """Segment on the first day, on the last one by moves alone, on the last one by any change, and how many people."""
    is_move, is_forwards = _is_other(model) & ~change.c.is_relabelled, between.first <= between.last
    at_last = func.max(change.c.id) if is_forwards else func.min(change.c.id)
    edges = (
        select(
            func.min(change.c.id).filter(is_move).label("early"),
            func.max(change.c.id).filter(is_move).label("late"),
            at_last.label("at_last"),
        )
        .where(between.changes)
        .group_by(change.c.customer_id)
        .subquery()
    )
    early, late, at_last_day = change.alias("early"), change.alias("late"), change.alias("at_last_day")
    was, became = early.c[f"old_{model}"], late.c[model]
    before, after = (was, became) if is_forwards else (became, was)
    on_last = at_last_day.c[model if is_forwards else f"old_{model}"]
    joined = edges.join(early, early.c.id == edges.c.early).join(late, late.c.id == edges.c.late)
    return (
        select(before, after, on_last, func.count())
        .select_from(joined.join(at_last_day, at_last_day.c.id == edges.c.at_last))
        .group_by(before, after, on_last)
    )


def _is_other(model: str) -> ColumnElement[bool]:
    is_other: ColumnElement[bool] = change.c[f"old_{model}"].is_distinct_from(change.c[model])
    return is_other


def _between(session: Session, first: date, last: date) -> Between:
    return Between(_last_change(session, first), _last_change(session, last))


def _last_change(session: Session, day: date) -> int:
    """Of the newest whole run for the day."""
    newest = select(run.c.last_change_id).where(run.c.state == "finished", run.c.as_of == day)
    return session.scalar(newest.order_by(run.c.id.desc()).limit(1)) or 0


def _next_asked(engine: Engine) -> SegmentMovement | None:
    waiting = select(SegmentMovement).where(kept.c.found_at.is_(None)).order_by(kept.c.asked_at.desc()).limit(1)
    with reading(engine) as session:
        return session.scalars(waiting).first()


def _read(row: SegmentMovement) -> Moves:
    assert row.moves is not None
    return Moves([(before, after, on_last, people) for before, after, on_last, people in row.moves], row.relabelled)
