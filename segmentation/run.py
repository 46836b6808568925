"""One computation of all segments over the operational database: read in bulk, compute in DuckDB, write differences.

The run's row is made first and holds a lease: a unique index lets only one run be `running`, and a later run takes
over from one whose lease is over. Results are then written in short transactions, so that webhooks are never kept
waiting; each writes some customers' segments together with their history. A crash in between leaves whole customers
done and whole customers not yet done: the next run compares with what is stored and writes what is missing.
Before each write a run makes sure that it still owns its row, so one that was taken over can't write any more.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from segmentation import nesl
from segmentation.engine import Request, Segmented, compute, open_duckdb
from segmentation.reading import read_into, read_orders
from segmentation.rfm import Scoring
from segmentation.writing import SEGMENTS, VALUES, RunStamp, write_changes
from store.clock import Clock
from store.engine import reading, table_of, transaction
from store.errors import ExpectedError
from store.models import SegmentRun
from store.types import from_ten_thousandths

LEASE = timedelta(minutes=5)
CHUNK_CUSTOMERS = 10_000  # about 0.2 s of writing
BREATH_SECONDS = 0.01  # between chunks, so that SQLite's other writers get the lock

CUSTOMERS = "SELECT id FROM customer"
CURRENT = f"SELECT customer_id, {', '.join(VALUES)} FROM customer_segment"  # noqa: S608 - names of columns

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
    settings: dict[str, Any] = field(default_factory=dict)


def run_segments(
    engine: Engine,
    *,
    as_of: date,
    zone: ZoneInfo,
    clock: Clock,
    cycle_days: int | None = 30,
    look_back_days: int | None = None,
    scoring: Scoring | None = None,
) -> SegmentRunResult:
    """Compute every customer's segments as of the start of `as_of` in `zone` and store what differs.

    `cycle_days` of None takes the cycle proposed from the orders. A run that finds the newest result to be of the
    same day and settings and nothing to change leaves the database as it was. Writes in transactions of its own.
    Raises SegmentRunBusy while another run is at work.
    """
    request = Request(as_of, zone, cycle_days, look_back_days, scoring or Scoring(), propose_cycle=True)
    with _claimed(engine, as_of, clock) as stamp, open_duckdb(zone) as connection:
        segmented = _computed(connection, engine, request)
        settings = settings_of(request, segmented)
        target, differences = _differences(connection, engine, segmented, as_of)
        people = int(connection.to_pyarrow(target.count()).as_py())
        former = _newest(engine)
        if differences.num_rows == 0 and former and (former.as_of, former.settings) == (as_of, settings):
            _forget(engine, stamp.run_id)
            kept, changed = int(former.id), 0
        else:
            changed = _write(engine, stamp, differences, clock)
            _finish(engine, stamp.run_id, clock, settings, people, changed)
            kept = stamp.run_id
    return SegmentRunResult(
        kept, people, changed, kept != stamp.run_id, segmented.cycle_days, segmented.proposed_cycle_days, settings
    )


def settings_of(request: Request, segmented: Segmented) -> dict[str, Any]:
    """What made a result, as JSON holds it: cycle, look-back, zone, and per measure how it was scored, with which
    cut points (days for R, decimals as text for M) and from which score it is high."""
    fixed = request.scoring.fixed_cuts()
    cuts = segmented.cuts
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
    }


def _shown(measure: str, point: int) -> int | str:
    """A cut point in a marketer's units."""
    if measure == "m":
        return str(from_ten_thousandths(point))
    return -point if measure == "r" else point


@contextmanager
def _claimed(engine: Engine, as_of: date, clock: Clock) -> Iterator[RunStamp]:
    """The stamp of a new run that is ours alone. Left by an error, the run is marked failed, so that the next may start
    at once; left by a dying process, its lease runs out."""
    now = clock()
    row = {"as_of": as_of, "state": "running", "settings": {}, "started_at": now, "lease_until": now + LEASE}
    try:
        with transaction(engine) as session:
            stale = (run_table.c.state == "running") & (run_table.c.lease_until < now)
            session.execute(update(run_table).where(stale).values(state="failed"))
            values = {**row, "customer_count": 0, "change_count": 0}
            run_id = int(session.execute(insert(run_table).values(values)).inserted_primary_key[0])  # type: ignore[attr-defined]
    except IntegrityError as error:
        raise SegmentRunBusy("another segment run is at work; try again when it has finished") from error
    try:
        yield RunStamp(run_id, as_of, now)
    except BaseException:
        with transaction(engine) as session:
            ours = (run_table.c.id == run_id) & (run_table.c.state == "running")
            session.execute(update(run_table).where(ours).values(state="failed"))
        raise


def _computed(connection: Any, engine: Engine, request: Request) -> Segmented:
    try:
        return compute(connection, read_orders(connection, engine), request)
    except duckdb.OutOfRangeException as error:
        raise ExpectedError("the orders of one customer add up to more than can be stored") from error


def _differences(connection: Any, engine: Engine, segmented: Segmented, as_of: date) -> tuple[Table, pa.Table]:
    """What every customer should have (one row each), and the rows of those whose stored values differ, ascending,
    with what is stored as `old_…`."""
    customers = read_into(connection, "customers", engine, CUSTOMERS)
    current = read_into(connection, "current_segments", engine, CURRENT)
    found = segmented.table.mutate(
        # by way of a timestamp: ibis takes the difference for a date already, DuckDB doesn't
        last_ordered_on=(ibis.literal(as_of) - segmented.table.recency_days.as_interval("D"))
        .cast("timestamp")
        .cast("date")
    )
    target = customers.left_join(found, customers.id == found.customer_id)
    state = target.nesl.fill_null("never")
    target = target.mutate(nesl=state, nes=nesl.nes(state)).select("nes", "nesl", *VALUES[:-2], customer_id="id")
    old = current.rename({f"old_{name}": name for name in current.columns})
    joined = target.left_join(old, target.customer_id == old.old_customer_id)
    same = [joined[name].identical_to(joined[f"old_{name}"]) for name in VALUES]
    changed = joined.filter(~ibis.and_(*same)).order_by("customer_id")
    is_move = ~ibis.and_(*[joined[name].identical_to(joined[f"old_{name}"]) for name in SEGMENTS])
    changed = changed.mutate(is_move=is_move, last_ordered_on=changed.last_ordered_on.cast("string"))
    wanted = ["customer_id", *VALUES, *(f"old_{name}" for name in SEGMENTS), "is_move"]
    return target, connection.to_pyarrow(changed.select(*wanted))


def _write(engine: Engine, stamp: RunStamp, differences: pa.Table, clock: Clock) -> int:
    """Write the differences chunk by chunk; returns how many customers' segments changed."""
    changed = 0
    for start in range(0, differences.num_rows, CHUNK_CUSTOMERS):
        if start:
            time.sleep(BREATH_SECONDS)
        with transaction(engine) as session:
            _hold(session, stamp.run_id, clock)
            changed += write_changes(session, stamp, differences.slice(start, CHUNK_CUSTOMERS))
    return changed


def _hold(session: Any, run_id: int, clock: Clock, **values: Any) -> None:
    """Lengthen the lease and set `values`. Raises SegmentRunBusy when the run is no longer ours."""
    ours = (run_table.c.id == run_id) & (run_table.c.state == "running")
    values = {"lease_until": clock() + LEASE, **values}
    if session.execute(update(run_table).where(ours).values(values)).rowcount != 1:
        raise SegmentRunBusy("another segment run took over because this one was too slow; its results stand")


def _finish(engine: Engine, run_id: int, clock: Clock, settings: dict[str, Any], people: int, changed: int) -> None:
    with transaction(engine) as session:
        done = {"state": "finished", "finished_at": clock(), "settings": settings}
        _hold(session, run_id, clock, **done, customer_count=people, change_count=changed)


def _forget(engine: Engine, run_id: int) -> None:
    with transaction(engine) as session:
        session.execute(delete(run_table).where(run_table.c.id == run_id))


def _newest(engine: Engine) -> Any:
    with reading(engine) as session:
        newest = select(run_table).where(run_table.c.state == "finished").order_by(run_table.c.id.desc()).limit(1)
        return session.execute(newest).first()
