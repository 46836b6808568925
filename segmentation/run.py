"""One computation of all segments over the operational database: read in bulk, compute in DuckDB, write differences.

The run's row is made first and holds a lease: a unique index lets only one run be `running`, and a later run takes
over from one whose lease is over. A healthy run must not be taken over while it computes, so the lease is as long as
some runs of this brand. Results are then written in short transactions, so that webhooks are never kept waiting, two
side by side on PostgreSQL; each writes some customers' segments together with their history. A crash in between leaves
whole customers done and whole customers not yet done: the next run compares with what is stored and writes what is
missing.
Before each commit a run makes sure that it still owns its row, so one that was taken over can't write any more.

Meanwhile single customers go on being computed anew after a change (renew.py). A run never overwrites them: it leaves
out whoever isn't stored any more as it was read, and they are computed once more when it is over.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import Engine, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from segmentation.backlog import forget_seen, seen_changes
from segmentation.day_matrix import SumTooLarge
from segmentation.engine import Request, Segmented, compute, kept, open_duckdb
from segmentation.facts import MODEL_COLUMNS
from segmentation.history import draws_anew
from segmentation.measures import all_acts
from segmentation.reading import read_acts, read_current, read_into, read_orders
from segmentation.results import CELLS, differences, sizes, targets
from segmentation.settings import SegmentSettings
from segmentation.spark.engine import compute_database
from segmentation.writing import RunStamp, Stamp, lock_history, lock_segments, write_changes
from store.changes import note_changes
from store.clock import Clock
from store.engine import is_sqlite, let_others_write, reading, table_of, transaction
from store.errors import ExpectedError
from store.models import SegmentChange, SegmentRun, SegmentSizeOnDay
from store.types import from_ten_thousandths

LEASE = timedelta(minutes=5)
LEASE_RUNS = 3  # of the last run's length, where that is more: who reads and computes gives no sign of life
MOST_DOUBLINGS = 3  # of the lease, one for each run that came to nothing
COUNTED = (*MODEL_COLUMNS, CELLS)  # tags are counted by their own renewal
CHUNK_CUSTOMERS = 2_500  # written in one transaction, which SQLite's other writers wait for
POSTGRESQL_WRITERS = 2  # at once: each has a process of the server to itself
CUSTOMERS = "SELECT id AS customer_id FROM customer"

run_table = table_of(SegmentRun)
Table = Any


class SegmentRunBusy(ExpectedError):
    """Another segment run is at work, or has taken over."""

    http_status = 409
    may_try_again = True


@dataclass(frozen=True)
class SegmentRunResult:
    """What a run came to. When `unchanged`, `run_id` is the former run that already says all this."""

    run_id: int
    customer_count: int
    change_count: int  # customers whose segment changed in some model
    unchanged: bool
    cycle_days: int
    proposed_cycle_days: int | None  # None: nobody has ordered twice
    is_past: bool  # a later day is computed: tags were left as they are
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Computed:
    """A population, or some customers, computed, on the DuckDB connection where it was."""

    connection: Any
    segments: Table  # as `segments` of Facts, a row for each of them
    groups: Table  # customer_id and the five groups; who is missing is in none
    segmented: Segmented
    request: Request
    stamp: Stamp
    seen: Sequence[tuple[int, int]] = ()  # of the log of changes, before anything was read


Hold = Callable[[Session], None]  # makes sure, in a transaction that writes, that nobody has taken the work over
Also = Callable[[Computed, Hold], None]  # what else is to be done for everybody while the run is ours, such as tags


def run_segments(
    engine: Engine,
    *,
    as_of: date,
    zone: ZoneInfo,
    clock: Clock,
    settings: SegmentSettings | None = None,
    also: Also | None = None,
    spark: str | None = None,
) -> SegmentRunResult:
    """Compute every customer's segments as of the start of `as_of` in `zone` and store what differs.

    A run that finds the newest result to be of the same day and settings and nothing to change leaves the database as
    it was. Whatever was noted as changed before it read is then done with; after a run for a day before one that is
    computed it waits on, and `also` is not done: it is about now. `spark` is the master of a cluster that
    computes; None: DuckDB, here. Writes in transactions of its own. Raises SegmentRunBusy while another run is at work;
    what `also` raises, when the segments are stored.
    """
    settings = settings or SegmentSettings()
    seen = seen_changes(engine)
    with _claimed(engine, as_of, settings, clock) as stamp, open_duckdb(zone) as connection:
        current = read_current(connection, engine)  # before the facts: see results.differences
        request = settings.request(as_of, zone)
        is_past = _is_past(engine, as_of)
        done = replace(_computed(connection, engine, request, stamp, spark), seen=seen)
        rows = differences(connection, done.segments, current, relabelled=stamp.is_relabelling)
        said = {**settings_of(request, done.segmented), "chosen": settings.as_dict()}
        people = int(connection.to_pyarrow(done.segments.count()).as_py())
        former = _newest(engine)
        held = None if former is None else (former.as_of, former.settings, former.customer_count)
        unchanged = rows.num_rows == 0 and held == (as_of, said, people)
        changed = 0 if unchanged else _write(engine, stamp, rows, clock)
        problem = _problem_of(None if is_past else also, done, lambda session: _hold(session, stamp, clock()))
        if unchanged:
            _forget(engine, stamp.run_id)
        else:
            counts = {"customer_count": people, "change_count": changed, "settings": said}
            _finish(engine, stamp, clock, sizes(connection, done.segments), counts)
    if problem is not None:
        raise problem
    if not is_past:
        forget_seen(engine, seen)
    run_id = int(former.id) if unchanged else stamp.run_id
    cycles = (done.segmented.cycle_days, done.segmented.proposed_cycle_days)
    return SegmentRunResult(run_id, people, changed, unchanged, *cycles, is_past, said)


def settings_of(request: Request, segmented: Segmented) -> dict[str, Any]:
    """What made a result, as JSON holds it: cycle, look-back, zone, and per measure how it was scored, with which
    cut points (days for R, decimals as text for M) and from which score it is high; and as `population` all that a
    few customers are later measured by."""
    fixed = request.scoring.fixed_cuts()
    cuts, population = segmented.cuts, segmented.population
    return {
        "cycle_days": segmented.cycle_days,
        "cycle": "proposed" if request.cycle_days is None else "set",
        "proposed_cycle_days": segmented.proposed_cycle_days,
        "look_back_days": request.look_back_days,
        "zone": request.zone.key,
        "high": "above the mean" if request.scoring.high_from is None else "fixed",
        "scores": {
            name: {
                "by": "quantile" if fixed[name] is None else "threshold",
                "cut_points": [_shown(name, point) for point in cuts.points[name]] if cuts else None,
                "high_from": cuts.high_from[name] if cuts else None,
            }
            for name in ("r", "f", "m")
        },
        "population": population.as_dict() if population else None,
    }


def _shown(measure: str, point: int) -> int | str:
    """A cut point in a marketer's units."""
    if measure == "m":
        return str(from_ten_thousandths(point))
    return -point if measure == "r" else point


@contextmanager
def _claimed(engine: Engine, as_of: date, settings: SegmentSettings, clock: Clock) -> Iterator[RunStamp]:
    """The stamp of a new run that is ours alone. Left by an error, the run is marked failed, so that the next may start
    at once; left by a dying process, its lease runs out."""
    now = clock()
    row = {"as_of": as_of, "state": "running", "settings": {"chosen": settings.as_dict()}, "started_at": now}
    try:
        with transaction(engine) as session:
            lock_segments(session, alone=False)
            stale = (run_table.c.state == "running") & (run_table.c.lease_until < now)
            session.execute(update(run_table).where(stale).values(state="failed"))
            lease = _lease(session)
            counts = {"customer_count": 0, "change_count": 0, "last_change_id": 0}
            values = {**row, **counts, "lease_until": now + lease}
            run_id = int(session.execute(insert(run_table).values(values)).inserted_primary_key[0])  # type: ignore[attr-defined]
            is_relabelling = draws_anew(session, run_id, as_of, settings.as_dict())
    except IntegrityError as error:
        raise SegmentRunBusy("another segment run is at work; try again when it has finished") from error
    try:
        yield RunStamp(run_id, as_of, now, is_relabelling, lease)
    except BaseException:
        with transaction(engine) as session:
            ours = (run_table.c.id == run_id) & (run_table.c.state == "running")
            session.execute(update(run_table).where(ours).values(state="failed"))
        raise


def _lease(session: Session) -> timedelta:
    """How long a run may give no sign of life: by the last one that was finished, and twice as long for each since that
    came to nothing, so that the first run of a very large brand gets its time even where others wait to take over."""
    finished = select(run_table.c.id, run_table.c.started_at, run_table.c.finished_at)
    finished = finished.where(run_table.c.state == "finished").order_by(run_table.c.id.desc()).limit(1)
    last = session.execute(finished).first()
    took = last.finished_at - last.started_at if last is not None and last.finished_at else timedelta(0)
    failed = (run_table.c.state == "failed", run_table.c.id > (0 if last is None else last.id))
    doublings = session.scalar(select(func.count()).select_from(run_table).where(*failed)) or 0
    lease: timedelta = max(LEASE, LEASE_RUNS * took) * 2 ** min(doublings, MOST_DOUBLINGS)
    return lease


def _computed(connection: Any, engine: Engine, request: Request, stamp: RunStamp, spark: str | None) -> Computed:
    customers = read_into(connection, "customers", engine, CUSTOMERS)
    try:
        if spark is None:
            segmented = _segmented(connection, engine, request)
        else:
            segmented = compute_database(connection, spark, engine.url, request)
        whole = kept(connection, "computed", segmented.table)
    except SumTooLarge as error:
        raise ExpectedError("the orders of one customer add up to more than can be stored") from error
    segments = kept(connection, "target_segments", targets(customers, whole, request.as_of))
    return Computed(connection, segments, whole, segmented, request, stamp)


def _segmented(connection: Any, engine: Engine, request: Request) -> Segmented:
    orders, acts = read_orders(connection, engine), read_acts(connection, engine)
    # without other acts, and with all orders counting, the orders' own gaps are those of the acts
    is_orders_only = request.look_back_days is None and int(connection.to_pyarrow(acts.count()).as_py()) == 0
    return compute(connection, orders, request, acts=None if is_orders_only else all_acts(orders, acts))


def _write(engine: Engine, stamp: RunStamp, rows: pa.Table, clock: Clock) -> int:
    """Write the differences chunk by chunk; returns how many customers' segments changed."""

    def write(start: int) -> int:
        if start:
            let_others_write(engine)
        at = clock()
        with transaction(engine) as session:
            written = write_changes(session, stamp, rows.slice(start, CHUNK_CUSTOMERS))
            note_changes(session, written.overtaken, stamp.at, after_run_id=stamp.run_id)
            _hold(session, stamp, at)  # last: the run's row is one, and its other writer would wait for it
        return written.moved

    with ThreadPoolExecutor(1 if is_sqlite(engine) else POSTGRESQL_WRITERS) as writers:
        return sum(writers.map(write, range(0, rows.num_rows, CHUNK_CUSTOMERS)))


def _problem_of(also: Also | None, done: Computed, hold: Hold) -> Exception | None:
    """Do what else is to be done; its failure is no reason to lose the segments, and is raised after they are in."""
    try:
        if also is not None:
            also(done, hold)
    except SegmentRunBusy:
        raise
    except Exception as error:
        return error
    return None


def _hold(session: Session, stamp: RunStamp, at: datetime, **values: Any) -> None:
    """Lengthen the lease from `at` on and set `values`. Raises SegmentRunBusy when the run is no longer ours."""
    ours = (run_table.c.id == stamp.run_id) & (run_table.c.state == "running")
    values = {"lease_until": at + stamp.lease, **values}
    if session.execute(update(run_table).where(ours).values(values)).rowcount != 1:  # type: ignore[attr-defined]
        raise SegmentRunBusy("another segment run took over because this one was too slow; its results stand")


def _finish(
    engine: Engine, stamp: RunStamp, clock: Clock, found: list[tuple[str, str, int, int]], counts: dict[str, Any]
) -> None:
    """Mark the run finished, with the sizes of the segments on its day. From here on single customers are measured by
    this run's population."""
    size, change = table_of(SegmentSizeOnDay), table_of(SegmentChange)
    rows = [
        {"as_of": stamp.as_of, "model": m, "segment": s, "customers": n, "value": from_ten_thousandths(v)}
        for m, s, n, v in found
    ]
    at = clock()
    with transaction(engine) as session:
        lock_segments(session, alone=False)
        lock_history(session)
        newest = session.scalar(select(func.max(change.c.id))) or 0
        done = {"state": "finished", "finished_at": at, "last_change_id": newest}
        _hold(session, stamp, at, **done, **counts)
        session.execute(delete(size).where(size.c.as_of == stamp.as_of, size.c.model.in_(COUNTED)))
        if rows:
            session.execute(insert(size), rows)


def _is_past(engine: Engine, day: date) -> bool:
    """Whether a later day is computed."""
    later = exists().where(run_table.c.state == "finished", run_table.c.as_of > day)
    with reading(engine) as session:
        return bool(session.scalar(select(later)))


def _forget(engine: Engine, run_id: int) -> None:
    with transaction(engine) as session:
        session.execute(delete(run_table).where(run_table.c.id == run_id))


def _newest(engine: Engine) -> Any:
    with reading(engine) as session:
        newest = select(run_table).where(run_table.c.state == "finished").order_by(run_table.c.id.desc()).limit(1)
        return session.execute(newest).first()
