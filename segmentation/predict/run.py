"""One computation of everybody's predictions over the operational database: read in bulk, learn, write differences.

As with segments (segmentation/run.py), the run's row is made first and holds a lease, a unique index lets only one be
`running`, a later run takes over from one whose lease is over, and before each write a run makes sure that it still
owns its row. Where the data is too little for every horizon the run ends as `off` with the reason, and what an earlier
run said is removed: nothing stale is shown. At its end it keeps the lifetime value of every segment (ltv.py), which
takes a look at everybody, so that no page has to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import Engine, delete, insert, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from segmentation.engine import open_duckdb
from segmentation.facts import keep
from segmentation.predict.forecast import Forecast, forecast
from segmentation.predict.latest import latest_prediction_run
from segmentation.predict.ltv import values_to_keep
from segmentation.predict.paid import paid_before
from segmentation.predict.writing import VALUES, write_predictions
from segmentation.reading import read_facts, read_orders
from store.clock import Clock
from store.engine import let_others_write, reading, table_of, transaction
from store.errors import BadInput, ExpectedError
from store.models import PredictionRun

LEASE = timedelta(minutes=10)
CHUNK_CUSTOMERS = 3_000  # below 0.1 s of writing on SQLite
LONGEST_CYCLE_DAYS = 3660

run_table = table_of(PredictionRun)


class PredictionRunBusy(ExpectedError):
    """Another prediction run is at work, or has taken over."""

    http_status = 409
    may_try_again = True


@dataclass(frozen=True)
class PredictionRunResult:
    """What a run came to: `state` is finished or off, with `problem`. When `unchanged`, `run_id` is the former run that
    already says all this. `quality` as in `forecast.Forecast`."""

    run_id: int
    state: str
    problem: str | None
    cycle_days: int
    customer_count: int
    change_count: int  # customers whose numbers changed, came or went
    unchanged: bool
    quality: dict[str, Any] = field(default_factory=dict)


def run_predictions(
    engine: Engine, *, as_of: date, zone: ZoneInfo, clock: Clock, cycle_days: int
) -> PredictionRunResult:
    """Predict, from the paid orders before the start of `as_of` in `zone`, what everyone with one does from that day
    on, and store what differs. The next cycle has `cycle_days` days. A run that finds its own result already there
    leaves the database as it was. Writes in transactions of its own. Raises PredictionRunBusy while another is at
    work, BadInput for a cycle out of bounds."""
    if not 1 <= cycle_days <= LONGEST_CYCLE_DAYS:
        raise BadInput(f"the purchase cycle must be 1 to {LONGEST_CYCLE_DAYS} days, not {cycle_days}")
    with _claimed(engine, as_of, cycle_days, clock) as run_id, open_duckdb(zone) as connection:

        def still_ours() -> None:
            with transaction(engine) as session:
                _hold(session, run_id, clock)

        orders = read_orders(connection, engine)
        paid = paid_before(connection, orders, as_of, zone)
        connection.raw_sql(f"DROP TABLE {orders.get_name()}")  # its memory is needed for learning
        found = forecast(paid, as_of, cycle_days, still_ours)
        differences = _differences(connection, engine, found)
        problem, people = found.problem, found.rows.num_rows
        said = ("finished" if problem is None else "off", problem, cycle_days, people)
        former = latest_prediction_run(engine)
        _write(engine, run_id, differences, clock)
        with reading(engine) as session:
            values = values_to_keep(session, found.quality)
        if differences.num_rows == 0 and former and _says(former) == (as_of, *said, found.quality, values):
            _forget(engine, run_id)
            assert former.id is not None
            return PredictionRunResult(former.id, *said, 0, unchanged=True, quality=found.quality)
        _finish(engine, run_id, clock, said, {"quality": found.quality, "segment_values": values})
    return PredictionRunResult(run_id, *said, differences.num_rows, unchanged=False, quality=found.quality)


def _says(run: PredictionRun) -> tuple[Any, ...]:
    return (run.as_of, run.state, run.problem, run.cycle_days, run.customer_count, run.quality, run.segment_values)


@contextmanager
def _claimed(engine: Engine, as_of: date, cycle_days: int, clock: Clock) -> Iterator[int]:
    """The id of a new run that is ours alone. Left by an error, the run is marked failed, so that the next may start
    at once; left by a dying process, its lease runs out."""
    now = clock()
    row = {"as_of": as_of, "cycle_days": cycle_days, "state": "running", "started_at": now, "lease_until": now + LEASE}
    try:
        with transaction(engine) as session:
            stale = (run_table.c.state == "running") & (run_table.c.lease_until < now)
            session.execute(update(run_table).where(stale).values(state="failed"))
            made: Any = session.execute(insert(run_table).values(**row, quality={}, customer_count=0))
            run_id = int(made.inserted_primary_key[0])
    except IntegrityError as error:
        raise PredictionRunBusy("another prediction run is at work; try again when it has finished") from error
    try:
        yield run_id
    except BaseException:
        with transaction(engine) as session:
            ours = (run_table.c.id == run_id) & (run_table.c.state == "running")
            session.execute(update(run_table).where(ours).values(state="failed"))
        raise


def _differences(connection: Any, engine: Engine, found: Forecast) -> pa.Table:
    """The rows that customers should have and don't, and those that should not be there (is_gone), ascending."""
    current = read_facts(connection, engine, "predictions").predictions
    target = keep(connection, "predicted", found.rows)
    old = current.rename({f"old_{name}": name for name in current.columns})
    joined = target.left_join(old, target.customer_id == old.old_customer_id)
    same = ibis.and_(*[joined[name].identical_to(joined[f"old_{name}"]) for name in VALUES])
    changed = joined.filter(joined.old_customer_id.isnull() | ~same).select("customer_id", *VALUES)
    gone = current.anti_join(target, "customer_id").select("customer_id", *VALUES)
    both = changed.mutate(is_gone=ibis.literal(False)).union(gone.mutate(is_gone=ibis.literal(True)))
    return connection.to_pyarrow(both.order_by("customer_id"))


def _write(engine: Engine, run_id: int, differences: pa.Table, clock: Clock) -> None:
    for start in range(0, differences.num_rows, CHUNK_CUSTOMERS):
        if start:
            let_others_write(engine)
        with transaction(engine) as session:
            _hold(session, run_id, clock)
            write_predictions(session, run_id, differences.slice(start, CHUNK_CUSTOMERS))


def _hold(session: Session, run_id: int, clock: Clock, **values: Any) -> None:
    """Lengthen the lease and set `values`. Raises PredictionRunBusy when the run is no longer ours."""
    ours = (run_table.c.id == run_id) & (run_table.c.state == "running")
    values = {"lease_until": clock() + LEASE, **values}
    done: Any = session.execute(update(run_table).where(ours).values(values))
    if done.rowcount != 1:
        raise PredictionRunBusy("another prediction run took over because this one was too slow; its results stand")


def _finish(engine: Engine, run_id: int, clock: Clock, said: tuple[Any, ...], found: dict[str, Any]) -> None:
    state, problem, _, people = said
    with transaction(engine) as session:
        ended = {"state": state, "problem": problem, "finished_at": clock()}
        _hold(session, run_id, clock, **ended, **found, customer_count=people)


def _forget(engine: Engine, run_id: int) -> None:
    with transaction(engine) as session:
        session.execute(delete(run_table).where(run_table.c.id == run_id))
