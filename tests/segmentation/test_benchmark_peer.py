"""The pandas that `retarget bench segmentation` compares with computes the same, so that the comparison is one."""

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from benchmarks.segmentation import write_orders
from benchmarks.segmentation_pandas import segment_by_pandas
from segmentation.engine import Request
from segmentation.files import segment_file

AS_OF = date(2026, 1, 1)


def test_pandas_gives_the_same_rows(tmp_path: Path) -> None:
    orders, ours, theirs = (tmp_path / f"{name}.parquet" for name in ("orders", "ours", "theirs"))
    write_orders(orders, customers=3_000, orders=20_000)
    segment_file(orders, ours, Request(AS_OF, ZoneInfo("Asia/Taipei"), models="all"))
    segment_by_pandas(orders, theirs, AS_OF)
    with duckdb.connect() as connection:
        columns = [name for name, *_ in connection.execute(f"DESCRIBE FROM '{ours}'").fetchall()]
        rows = [
            connection.execute(f"SELECT {', '.join(columns)} FROM '{path}' ORDER BY customer_id").fetchall()
            for path in (ours, theirs)
        ]
    assert len(rows[0]) > 2_000
    money = [columns.index(name) for name in ("monetary", "paid_total")]
    for found in rows:
        found[:] = [
            tuple(round(float(cell), 2) if place in money else cell for place, cell in enumerate(row)) for row in found
        ]
    assert rows[0] == rows[1]
