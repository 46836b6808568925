"""Orders from Parquet files that the whole cluster sees: a file, a folder of files, or an address such as hdfs://….

The columns are those of the files form (docs/segments.md), but of proper types: text is not read as times or amounts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from segmentation.files import fault_of, fault_sentence, known_columns, paid_rows, require_one_currency
from segmentation.measures import UnreadableRows
from segmentation.spark.session import SparkConnection, Table, cause_of
from store.errors import BadInput

FILE, ROW = "file_of_row", "row_in_file"


@contextmanager
def read_orders(spark: SparkConnection, path: str, zone: ZoneInfo) -> Iterator[Table]:
    """The paid orders at `path`, for work inside the block, in the shape of `rfm.aggregates` (rows with the same
    `order_id`, where there is that column, being one order). Raises BadInput for files that can't be read, are empty
    or lack a column; the block raises UnreadableRows when a row that it needs lacks a value, and that becomes a
    BadInput which names the row."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException
    from pyspark.sql import functions

    address = path if "://" in path else Path(path).resolve().as_uri()
    try:
        files = spark.session.read.parquet(address)
        count = files.count()
    except (Py4JJavaError, PySparkException) as error:
        raise BadInput(f"{path} can't be read as Parquet: {cause_of(error)}") from error
    if count == 0:
        raise BadInput(f"{path} has no orders")
    spark.prepare(zone, count)
    places = {FILE: functions.col("_metadata.file_path"), ROW: functions.col("_metadata.row_index")}
    raw = known_columns(spark.table("parquet_orders", files.withColumns(places)), path)
    _require_types(raw, path)
    require_one_currency(spark, raw, path)
    try:
        yield paid_rows(raw)
    except UnreadableRows:
        raise BadInput(_first_fault(spark, raw)) from None


def _require_types(raw: Table, path: str) -> None:
    for name, wanted in (("ordered_at", "dates or times"), ("amount", "numbers")):
        if raw[name].type().is_string():
            raise BadInput(f"{path}: on Spark the column {name} must hold {wanted}, not text")


def _first_fault(spark: SparkConnection, raw: Table) -> str:
    """What is wrong with the first row that can't be read. Rows are counted from 1 in each file."""
    checked = raw.mutate(fault=fault_of(raw))
    first = checked.filter(checked.fault.notnull()).order_by(FILE, ROW).limit(1)
    found: dict[str, Any] = spark.to_pyarrow(first).to_pylist()[0]
    return fault_sentence(f"{found[FILE]}, row {found[ROW] + 1}", found["fault"], found[found["fault"]])
