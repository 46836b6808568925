"""Plain Parquet files by way of the cluster: the same result as without it, and rows that can't be read are named."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
import pytest

from segmentation.engine import Request
from segmentation.spark import engine as _registered  # noqa: F401 - what Spark keeps and counts in its own way
from segmentation.spark.files import segment_files
from segmentation.spark.parquet import read_orders
from segmentation.spark.session import SparkConnection
from store.errors import BadInput

TAIPEI = ZoneInfo("Asia/Taipei")
REQUEST = Request(date(2026, 1, 1), TAIPEI, None, models="all")
MOMENT = datetime(2025, 6, 1, 12, 0, tzinfo=TAIPEI)


WriteOrders = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> WriteOrders:
    """Call with columns that differ from three good orders; returns the path."""

    def write(**columns: object) -> str:
        good = {
            "customer_id": [1, 2, 3],
            "ordered_at": [MOMENT] * 3,
            "amount": [Decimal("1.5000"), Decimal("2.0000"), Decimal("3.2500")],
        }
        path = tmp_path / "orders.parquet"
        pq.write_table(pa.table({**good, **columns}), path)  # type: ignore[arg-type, unused-ignore]
        return str(path)

    return write


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"customer_id": [1, None, 3]}, r"row 2: customer_id is empty"),
        ({"ordered_at": [MOMENT, MOMENT, None]}, r"row 3: ordered_at is empty"),
        ({"amount": [1.5, float("nan"), 2.0]}, r"row 2: amount 'nan' is not an amount"),
        ({"status": ["paid", "refunded", "gone"]}, r"row 3: status 'gone' is none of paid, refunded, cancelled"),
        ({"ordered_at": ["2025-01-01"] * 3}, r"the column ordered_at must hold dates or times, not text"),
        ({"amount": ["1", "2", "3"]}, r"the column amount must hold numbers, not text"),
    ],
)
def test_what_cannot_be_read_is_named(
    spark: SparkConnection, write: WriteOrders, columns: dict[str, object], sentence: str
) -> None:
    from segmentation.engine import compute

    path = write(**columns)
    with pytest.raises(BadInput, match=sentence), read_orders(spark, path, TAIPEI) as paid:
        compute(spark, paid, REQUEST)


def test_a_path_without_parquet_is_one_sentence(spark: SparkConnection, tmp_path: Path, write: WriteOrders) -> None:
    text = tmp_path / "orders.csv"
    text.write_text("customer_id,ordered_at,amount\n1,2025-01-01,5\n")
    empty = tmp_path / "empty.parquet"
    pq.write_table(pq.read_table(write()).slice(0, 0), empty)
    lacking = tmp_path / "lacking.parquet"
    pq.write_table(pq.read_table(write()).drop_columns(["amount"]), lacking)
    mixed = write(currency=["TWD", None, "usd"])
    for path, sentence in (
        (tmp_path / "nowhere", "can't be read as Parquet"),
        (text, "can't be read as Parquet"),
        (empty, "has no orders"),
        (lacking, "lacks the column amount"),
        (mixed, r"has orders in several currencies \(TWD, USD\)"),
    ):
        with pytest.raises(BadInput, match=sentence), read_orders(spark, str(path), TAIPEI):
            pass


def test_another_ending_of_the_result_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"must end in \.csv or \.parquet"):
        segment_files("spark://127.0.0.1:1", "orders", tmp_path / "result.xlsx", REQUEST)
