"""The same models on the cluster and in DuckDB, to the last row: what the two engines could see differently."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
import pytest

from segmentation.activity import Activity
from segmentation.engine import Request, Segmented, compute, open_duckdb
from segmentation.facts import keep
from segmentation.rfm import Scoring
from segmentation.spark import engine as _registered  # noqa: F401 - what Spark keeps and counts in its own way
from segmentation.spark.quantiles import quantiles
from segmentation.spark.session import SparkConnection
from store.errors import ExpectedError

TAIPEI, NEW_YORK, SANTIAGO = ZoneInfo("Asia/Taipei"), ZoneInfo("America/New_York"), ZoneInfo("America/Santiago")
INSTANT = pa.timestamp("us", "UTC")

Both = Callable[..., tuple[pa.Table, pa.Table]]


@pytest.fixture
def both(spark: SparkConnection) -> Both:
    """Call with orders and a request: the results of DuckDB and of Spark, each by customer; what is said of the whole
    population is compared here."""

    def compare(orders: pa.Table, request: Request, **more: Any) -> tuple[pa.Table, pa.Table]:
        acts = more.pop("acts", None)
        with open_duckdb(request.zone) as duck:
            of_acts = {} if acts is None else {"acts": keep(duck, "acts", acts)}
            here = compute(duck, keep(duck, "orders", orders), request, **of_acts, **more)
            wanted = duck.to_pyarrow(here.table)
            by_cycles = None if here.by_cycles is None else duck.to_pyarrow(here.by_cycles)
        spark.prepare(request.zone, orders.num_rows)
        of_acts = {} if acts is None else {"acts": spark.table("acts", spark.session.createDataFrame(acts))}
        there = compute(spark, _on_spark(spark, orders), request, **of_acts, **more)
        assert _said(there) == _said(here)
        assert (there.by_cycles is None) == (by_cycles is None)
        if by_cycles is not None:
            of_duck, of_spark = _alike(by_cycles, there.by_cycles, spark)
            assert of_spark == of_duck
        return _alike(wanted, there.table, spark)

    return compare


def _alike(wanted: pa.Table, found: Any, spark: SparkConnection) -> tuple[pa.Table, pa.Table]:
    """What DuckDB found and what Spark does, of the same types and by customer."""
    schema, by = found.schema().to_pyarrow(), [("customer_id", "ascending")]
    of_spark = [batch for batch in spark.batches(found) if batch.num_rows]
    rows = pa.Table.from_batches(of_spark, spark.to_pyarrow(found.limit(0)).schema)
    return wanted.cast(schema).sort_by(by), rows.cast(schema).sort_by(by)


def _said(segmented: Segmented) -> Any:
    return replace(segmented, table=None, by_cycles=None)


def _on_spark(spark: SparkConnection, orders: pa.Table) -> Any:
    """`orders` on the cluster. Wall times stay wall times, which createDataFrame would make instants of."""
    from pyspark.sql import functions

    kind = orders.schema.field("ordered_at").type
    naive = pa.types.is_timestamp(kind) and kind.tz is None
    frame = spark.session.createDataFrame(orders)
    if naive:
        frame = frame.withColumn("ordered_at", functions.col("ordered_at").cast("timestamp_ntz"))
    return spark.table("some_orders", frame)


def _orders(customers: Any, times: Any, amounts: Any, kind: Any = INSTANT, **more: Any) -> pa.Table:
    columns = {
        "customer_id": pa.array(customers, pa.int64()),
        "ordered_at": pa.array(times, kind),
        "amount": pa.array(amounts, pa.int64()),
    }
    return pa.table(columns | {name: pa.array(values, pa.string()) for name, values in more.items()})


def _cdnow() -> pa.Table:
    table = pq.read_table(BytesIO(files("simulator").joinpath("data/cdnow.parquet").read_bytes()))
    days = table["days"].to_numpy().astype("int64")
    instants = (np.datetime64("1996-12-31T17:00", "us") + days.astype("timedelta64[D]")).astype("int64")
    return _orders(
        table["customer"].to_numpy(), pa.array(instants).cast(INSTANT), table["cents"].to_numpy().astype("int64") * 100
    )


def test_cdnow_by_all_models_with_a_proposed_cycle(both: Both) -> None:
    wanted, found = both(_cdnow(), Request(date(1998, 7, 1), TAIPEI, None, models="all"))
    assert wanted.num_rows == 23_570
    assert found.equals(wanted)


def test_core_models_of_lines_with_ties_look_back_thresholds_and_amounts_of_a_trillion(both: Both) -> None:
    random = np.random.default_rng(20261122)
    count = 3_000
    seconds = random.integers(0, 700 * 24 * 3600, count)
    times = [datetime(2024, 12, 1, tzinfo=UTC) + timedelta(seconds=int(second)) for second in seconds]
    # a few values many times over, of both signs, and a trillion of money (ten-thousandths)
    amounts = random.choice([-50_000, 0, 1, 990_000, 990_000, 12_500_000, 10**16, 10**16 + 1], count)
    ids = [None if number % 7 == 0 else f"o{number}" for number in random.integers(0, 900, count)]
    orders = _orders(random.integers(1, 400, count), times, amounts, order_id=ids)
    request = Request(date(2026, 9, 1), NEW_YORK, None, look_back_days=400)
    for scoring in (
        Scoring(),
        Scoring(
            r_days=(7, 30, 90, 180),
            f_orders=(1, 2, 4, 9),
            m_amount=(Decimal(0), Decimal(99), Decimal(1250), Decimal(10**12)),
        ),
    ):
        wanted, found = both(orders, replace(request, scoring=scoring), lines=True)
        assert wanted.num_rows > 300
        assert found.equals(wanted)


def test_all_models_of_lines_with_look_back_and_acts(both: Both) -> None:
    random = np.random.default_rng(3)
    orders_of, acts_of = random.integers(1, 60, 500), random.integers(40, 90, 800)

    def times(count: int) -> list[datetime]:
        return [
            datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=int(m)) for m in random.integers(0, 860_000, count)
        ]

    ids = [None if number == 0 else f"o{number}" for number in random.integers(0, 150, 500)]
    orders = _orders(orders_of, times(500), random.integers(-10_000, 10**9, 500), order_id=ids)
    acts = pa.table({"customer_id": pa.array(acts_of), "occurred_at": pa.array(times(800), INSTANT)})
    request = Request(date(2026, 8, 1), SANTIAGO, 45, look_back_days=300, models="all", cycle_weight=2)
    request = replace(request, activity=Activity(new_days=200, returned_days=90), scoring=Scoring(high_from=4))
    wanted, found = both(orders, request, lines=True, acts=acts)
    assert wanted.num_rows == len({*orders_of, *acts_of})
    assert len(set(wanted["activity"].to_pylist())) > 3
    assert found.equals(wanted)


def test_days_where_the_clock_skips_midnight_are_still_a_day_apart(both: Both) -> None:
    """In Santiago 2025-09-07 began at one o'clock: midnight to midnight the days are shorter than they count."""
    days = [date(2025, 9, day) for day in (5, 6, 7, 8)]
    naive = [datetime(2025, 9, day, 23, 59, 59, 999_999) for day in (5, 6, 7, 8)]  # noqa: DTZ001 - wall time is meant
    instants = [datetime(2025, 9, 6, 23, 30, tzinfo=SANTIAGO), datetime(2025, 9, 7, 1, 0, tzinfo=SANTIAGO)]
    request = Request(date(2025, 9, 9), SANTIAGO, None, models="all")
    for orders in (
        _orders([1, 1, 1, 1], days, [1] * 4, pa.date32()),
        _orders([1, 1, 1, 1], naive, [1] * 4, pa.timestamp("us")),
        _orders([1, 1, 2, 2], [*instants, *instants], [1] * 4),
    ):
        wanted, found = both(orders, request)
        assert found.equals(wanted)
        assert wanted["recency_days"].to_pylist()[0] in (1, 2)


def test_nobody_with_an_order_that_counts(both: Both) -> None:
    future = _orders([1, 2], [datetime(2026, 1, 1, tzinfo=TAIPEI)] * 2, [10_000, 20_000])
    wanted, found = both(future, Request(date(2026, 1, 1), TAIPEI, None))
    assert (wanted.num_rows, found.num_rows) == (0, 0)


def test_a_customer_alone(both: Both) -> None:
    orders = _orders([7], [datetime(2025, 12, 31, 23, 59, tzinfo=TAIPEI)], [10_000])
    wanted, found = both(orders, Request(date(2026, 1, 1), TAIPEI, None))
    assert found.equals(wanted)
    assert found["recency_days"].to_pylist() == [1]


def test_a_sum_that_cannot_be_held_fails_and_never_wraps(spark: SparkConnection) -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    orders = _orders([1, 1], [moment, moment], [2**63 - 1, 1])
    from pyspark.errors import ArithmeticException

    with pytest.raises(ArithmeticException, match="OVERFLOW"):
        compute(spark, _on_spark(spark, orders), Request(date(2026, 1, 1), TAIPEI, 30))


@pytest.mark.parametrize("spread", [3, 2**17 + 1, 2**40, 2**62])
def test_cut_points_are_the_exact_quantiles(spark: SparkConnection, spread: int) -> None:
    random = np.random.default_rng(spread)
    values = random.integers(-spread, spread, 1_003) // random.choice([1, 1, 1_000], 1_003)
    with open_duckdb(TAIPEI) as duck:
        kept = keep(duck, "some_values", pa.table({"value": values}))
        query = f"SELECT quantile_disc(value, [0.2, 0.4, 0.6, 0.8]) FROM {kept.get_name()}"
        wanted = duck.con.execute(query).fetchone()[0]
    table = spark.table("some_values", spark.session.createDataFrame(pa.table({"value": values})))
    found = quantiles(spark, table, int(values.min()), int(values.max()), len(values))
    assert list(found) == wanted


def test_an_address_that_is_no_cluster_is_refused() -> None:
    from segmentation.spark.session import open_spark

    with pytest.raises(ExpectedError, match="spark://host:7077"), open_spark("yarn"):
        pass
