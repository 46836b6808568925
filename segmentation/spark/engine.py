"""The computation of segmentation/engine.py on a Spark cluster, with the same expressions and the same result.

What comes out, a row for each customer, is brought here into DuckDB, so that whatever is done with a result is the same
for both engines.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import URL

from segmentation import engine, rfm
from segmentation.engine import Measured, Request, Segmented
from segmentation.facts import keep
from segmentation.measures import UnreadableRows, all_acts
from segmentation.spark import measures
from segmentation.spark.database import ACTS, ORDERS, open_database
from segmentation.spark.parquet import read_orders
from segmentation.spark.quantiles import quantiles
from segmentation.spark.session import SparkConnection, Table, open_spark

RESULT = "from_spark"


def compute_parquet(duck: Any, master: str, orders: str, request: Request) -> Segmented:
    """As `engine.compute`, of the Parquet files at `orders`, on the cluster at `master`; the result's table is one of
    the DuckDB connection `duck`, without the orders by cycles. Raises BadInput for files that can't be used,
    SparkFailed."""
    with open_spark(master) as spark, read_orders(spark, orders, request.zone) as paid:
        found = engine.compute(spark, paid, request, lines="order_id" in paid.columns)
        return replace(found, table=_brought(duck, spark, RESULT, found.table), by_cycles=None)


def compute_database(duck: Any, master: str, url: URL, request: Request) -> Segmented:
    """As `compute_parquet`, of the orders and acts in the operational database at `url`, and with the orders by cycles
    of all models."""
    with open_spark(master) as spark, open_database(spark, url) as database:
        spark.prepare(request.zone, database.count(ORDERS) + database.count(ACTS))
        orders, acts = database.read(ORDERS), database.read(ACTS)
        found = engine.compute(spark, orders, request, acts=all_acts(orders, acts))
        by_cycles = None
        if found.by_cycles is not None:
            by_cycles = _brought(duck, spark, f"{RESULT}_by_cycles", found.by_cycles)
        return replace(found, table=_brought(duck, spark, RESULT, found.table), by_cycles=by_cycles)


def _brought(duck: Any, spark: SparkConnection, name: str, rows: Table) -> Table:
    """`rows` of the cluster as the table `name` of DuckDB."""
    schema = rows.schema().to_pyarrow()
    batches = (pa.Table.from_batches([batch]).cast(schema).to_batches() for batch in spark.batches(rows))
    incoming = pa.RecordBatchReader.from_batches(schema, (part for parts in batches for part in parts))
    return keep(duck, name, incoming)


@engine.kept.register
def kept(spark: SparkConnection, name: str, rows: Table) -> Table:
    """`rows`, kept on the cluster."""
    return spark.keep(name, spark.frame(rows))


@engine.measured.register
def measured(
    spark: SparkConnection, orders: Table, acts: Table | None, request: Request, cycle_days: int | None
) -> Measured:
    """As `engine.measured`, by expressions: a cluster brings orders into order, and divides the customers itself."""
    as_of, zone, look_back = request.as_of, request.zone, request.look_back_days
    days = engine.kept(spark, "order_days", measures.by_day(orders, as_of, zone))
    act_days = None if acts is None else engine.kept(spark, "act_days", measures.acts_by_day(acts, as_of, zone))
    gaps = measures.counted_gap(days, as_of, look_back)
    often = dict(engine.counts(spark, gaps))
    of_acts = often if act_days is None else dict(engine.counts(spark, act_days.gap))
    proposed = engine.usual_gap(often)
    cycle = cycle_days or proposed or engine.DEFAULT_CYCLE_DAYS
    whole = measures.of_customers(days, act_days, request.spans(cycle))
    people = engine.kept(spark, engine.POPULATION, whole)
    usual = engine.usual_gap({gap: count for gap, count in of_acts.items() if gap > 0})
    return Measured(people, cycle, proposed, usual)


@engine.scale.register
def scale(
    spark: SparkConnection, people: Table, fixed: Mapping[str, tuple[int, ...] | None], _column: None
) -> tuple[int, dict[str, tuple[int, ...]], dict[str, int]]:
    """As `engine.scale`, without bringing a population into order."""
    values = rfm.better(people)
    ends = {f"{name}_{end}": getattr(values[name], end)() for name in rfm.MEASURES for end in ("min", "max")}
    found = _row(spark, people.aggregate(people=people.count(), unread=people.unread.sum(), **ends))
    count = found["people"]
    if found["unread"]:
        raise UnreadableRows
    if not count:
        return 0, {}, {}
    points = {
        name: fixed[name]
        or quantiles(spark, people.select(value=values[name]), found[f"{name}_min"], found[f"{name}_max"], count)
        for name in rfm.MEASURES
    }
    scores = rfm.scores(people, points)
    sums = _row(spark, people.aggregate(**{name: scores[name].cast("int64").sum() for name in rfm.MEASURES}))
    return count, points, sums


def _row(spark: SparkConnection, one_row: Table) -> dict[str, Any]:
    return dict(spark.to_pyarrow(one_row).to_pylist()[0])
