"""A folder of Parquet files from end to end by way of the cluster."""

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

from segmentation.engine import Request
from segmentation.files import segment_file
from segmentation.spark.files import segment_files
from tests.spark.conftest import Cluster

TAIPEI = ZoneInfo("Asia/Taipei")
REQUEST = Request(date(2026, 1, 1), TAIPEI, None, models="all")
MOMENT = datetime(2025, 6, 1, 12, 0, tzinfo=TAIPEI)


def _orders(count: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    # halves of ten-thousandths, both ways: where a cut-off or another rounding would show
    amounts = random.integers(0, 10**7, count) / 20_000
    status = random.choice(["paid", "Paid ", "refunded", "cancelled"], count)
    return pa.table(
        {
            "Customer_ID": pa.array([f"c{number}" for number in random.integers(0, 300, count)]),
            "ordered_at": pa.array(
                [MOMENT + timedelta(minutes=int(m)) for m in random.integers(-300_000, 300_000, count)]
            ),
            "amount": amounts,
            "order_id": random.integers(0, 600, count),
            "status": status,
        }
    )


def test_a_folder_of_files_gives_what_one_file_gives_without_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    whole = _orders(2_000, seed=1)
    folder = tmp_path / "orders"
    folder.mkdir()
    pq.write_table(whole, tmp_path / "whole.parquet")
    for number in range(4):
        pq.write_table(whole.slice(number * 500, 500), folder / f"{number}.parquet")
    wanted = segment_file(tmp_path / "whole.parquet", tmp_path / "here.csv", REQUEST)
    found = segment_files(cluster.master, str(folder), tmp_path / "there.csv", REQUEST)
    assert (found.customer_count, found.cycle_days) == (wanted.customer_count, wanted.cycle_days)
    here, there = (tmp_path / name for name in ("here.csv", "there.csv"))
    assert sorted(there.read_text().splitlines()) == sorted(here.read_text().splitlines())
    assert [path.name for path in tmp_path.glob(".unfinished*")] == []
