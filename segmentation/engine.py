"""DuckDB in this process: runs the expressions of rfm.py and nesl.py over a table of paid orders.

Only the connection and the two small questions (cut points, mean scores) are DuckDB's business; the rest is Ibis.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import ibis

from segmentation import nesl, rfm

MEMORY_LIMIT = "640MB"  # beyond it DuckDB spills to disk; the whole process stays below 1 GiB
SEGMENT_COLUMNS = ("rf4", "rf11", "rfm3", "rfm8", "nesl")
POPULATION = "population"
DEFAULT_CYCLE_DAYS = 30

Table = Any


@dataclass(frozen=True)
class Request:
    """What to compute. `cycle_days` of None: take the cycle proposed from the orders themselves."""

    as_of: date
    zone: ZoneInfo
    cycle_days: int | None = DEFAULT_CYCLE_DAYS
    look_back_days: int | None = None
    scoring: rfm.Scoring = field(default_factory=rfm.Scoring)
    propose_cycle: bool = False  # work out the proposal even when `cycle_days` is given


@dataclass(frozen=True)
class Segmented:
    """A computed population: `table` has one row per customer with a paid order (customer_id, recency_days,
    frequency, monetary in ten-thousandths, r, f, m and the segment of each model)."""

    table: Table
    people: int
    cycle_days: int
    proposed_cycle_days: int | None  # None: not asked for, or nobody ordered twice
    cuts: rfm.Cuts | None  # None: nobody to score


class UnreadableRows(Exception):
    """Some rows lack a customer, time or amount: the reader of the rows must find out which and why."""


@contextmanager
def open_duckdb(zone: ZoneInfo, *, memory_limit: str = MEMORY_LIMIT) -> Iterator[Any]:
    """An Ibis connection to a DuckDB of its own, whose session zone is the brand's; spills into a folder that is
    removed with it."""
    with tempfile.TemporaryDirectory(prefix="segments-") as folder:
        connection = ibis.duckdb.connect(
            memory_limit=memory_limit, temp_directory=folder, preserve_insertion_order=False
        )
        connection.raw_sql(f"SET TimeZone = '{zone.key}'")
        try:
            yield connection
        finally:
            connection.disconnect()


def compute(connection: Any, orders: Table, request: Request, *, lines: bool = False) -> Segmented:
    """Score and segment everyone with an order that counts. `orders` and `lines` as in `rfm.aggregates`.

    Writes the temporary table `population` on the connection. Raises UnreadableRows when a row lacks a value,
    duckdb.Error when the rows can't be computed with (a sum out of range).
    """
    whole = rfm.aggregates(orders, request.as_of, request.zone, request.look_back_days, lines=lines)
    population = connection.create_table(POPULATION, whole, temp=True)
    proposed = None
    if request.cycle_days is None or request.propose_cycle:
        proposed = proposed_cycle(connection, orders, request, lines=lines)
    cycle_days = request.cycle_days or proposed or DEFAULT_CYCLE_DAYS
    found = _row(connection, rfm.cut_points(population))
    if found["unread"]:
        raise UnreadableRows
    if not found["people"]:
        return Segmented(_with_segments(population, None, cycle_days), 0, cycle_days, proposed, None)
    fixed = request.scoring.fixed_cuts()
    points = {name: fixed[name] or tuple(found[name]) for name in rfm.MEASURES}
    sums = _row(connection, rfm.score_sums(population, points))
    high = request.scoring.high_from
    cuts = rfm.Cuts(points, {n: high or rfm.first_high(sums[n], found["people"]) for n in rfm.MEASURES})
    return Segmented(_with_segments(population, cuts, cycle_days), found["people"], cycle_days, proposed, cuts)


def proposed_cycle(connection: Any, orders: Table, request: Request, *, lines: bool = False) -> int | None:
    """The purchase cycle that the orders propose, in whole days; None when nobody ordered twice."""
    rows = orders.filter(rfm.counted(orders, request.as_of, request.zone, request.look_back_days))
    day = rows.ordered_at if rows.ordered_at.type().is_date() else rows.ordered_at.date()
    days = rows.mutate(day=day)
    if lines:
        alone = days.filter(days.order_id.isnull()).select("customer_id", "day")
        together = days.filter(days.order_id.notnull()).group_by(["customer_id", "order_id"])
        days = alone.union(together.aggregate(day=days.day.max()).select("customer_id", "day"))
    median = _row(connection, nesl.median_gap(days.select("customer_id", "day")))["days"]
    return nesl.whole_cycle(median)


def _row(connection: Any, one_row: Table) -> dict[str, Any]:
    found: dict[str, Any] = connection.to_pyarrow(one_row).to_pylist()[0]
    return found


def _with_segments(population: Table, cuts: rfm.Cuts | None, cycle_days: int) -> Table:
    """The population with scores and segments, without `unread`; when nobody is there, an empty table of that shape."""
    cuts = cuts or rfm.Cuts(dict.fromkeys(rfm.MEASURES, (0, 0, 0, 0)), dict.fromkeys(rfm.MEASURES, 1))
    scored = population.drop("unread").mutate(**rfm.scores(population, cuts.points))
    r, f, m = (scored[name] >= cuts.high_from[name] for name in rfm.MEASURES)
    return scored.mutate(
        rf4=rfm.rf4(r, f),
        rf11=rfm.rf11(scored.r, scored.f),
        rfm3=rfm.rfm3(r, f, m, scored.frequency),
        rfm8=rfm.rfm8(r, f, m),
        nesl=nesl.nesl(scored.recency_days, scored.frequency, cycle_days),
    )
