"""A worker lost in the middle costs time, never a result."""

import os
import signal
import threading
import time
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.engine import Request, compute, open_duckdb
from segmentation.files import segment_file
from segmentation.spark import engine as _registered  # noqa: F401 - what Spark keeps and counts in its own way
from segmentation.spark.parquet import read_orders
from segmentation.spark.session import SparkConnection, open_spark
from tests.spark.conftest import Cluster, NewCluster

TAIPEI = ZoneInfo("Asia/Taipei")
ORDERS = """
    COPY (
        SELECT (hash(i) % 40000)::BIGINT AS customer_id,
            (TIMESTAMPTZ '2023-01-01 00:00:00Z' + INTERVAL 1 SECOND * (hash(i + 1) % 90000000)) AS ordered_at,
            (hash(i + 2) % 1000000)::DECIMAL(18, 2) / 4 AS amount
        FROM range(1500000) t(i)
    ) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 100000)
"""


def _kill_when_kept(spark: SparkConnection, cluster: Cluster, killed: list[float]) -> None:
    """Kill a worker and its executor while the second table, and so what was kept of the first, is being used."""
    tracker = spark.session.sparkContext.statusTracker()
    while True:
        running = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        if len(spark.kept_names) > 1 and any(stage is not None and stage.numActiveTasks for stage in running):
            break
        time.sleep(0.01)
    os.killpg(cluster.workers[1].pid, signal.SIGKILL)
    killed.append(time.monotonic())


def test_a_worker_killed_in_the_middle_leaves_the_result_right(new_cluster: NewCluster, tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    duckdb.sql(ORDERS.format(path=path))
    request = Request(date(2026, 1, 1), TAIPEI, None, models="all")
    segment_file(path, tmp_path / "wanted.parquet", request)
    killed: list[float] = []
    with new_cluster() as cluster, open_spark(cluster.master) as spark, read_orders(spark, str(path), TAIPEI) as paid:
        assassin = threading.Thread(target=_kill_when_kept, args=(spark, cluster, killed), daemon=True)
        assassin.start()
        segmented = compute(spark, paid, request)
        rows = pa.Table.from_batches(list(spark.batches(segmented.table)))
        done = time.monotonic()
        assassin.join(timeout=60)
        left = spark.session.sparkContext._jsc.sc().getExecutorMemoryStatus().size()
    assert killed
    assert killed[0] < done
    assert left == 2  # this process and the worker that is left
    with open_duckdb(TAIPEI) as duck:
        duck.con.register("found", rows)
        money = ", ".join(f"({name} * 10000)::BIGINT AS {name}" for name in ("monetary", "paid_total"))
        wanted = f"(SELECT * REPLACE ({money}) FROM '{tmp_path / 'wanted.parquet'}')"
        names = ", ".join(rows.column_names)
        pair = f"SELECT {names} FROM {{}} EXCEPT SELECT {names} FROM {{}}"
        assert duck.con.execute(pair.format(wanted, "found")).fetchall() == []
        assert duck.con.execute(pair.format("found", wanted)).fetchall() == []
    assert rows.num_rows == 40_000
