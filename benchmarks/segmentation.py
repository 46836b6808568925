"""Segments at scale: all models, files against DuckDB's bare group-by of the same columns and against pandas, and
database to database; as a scale of its own, "large", how time and memory grow to 100 million orders.

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
from sqlalchemy import Engine

from benchmarks.figures import Figure
from benchmarks.segmentation_pandas import segment_by_pandas
from benchmarks.servers import database
from segmentation.engine import Request
from segmentation.files import segment_file
from segmentation.run import run_segments
from store.engine import table_of
from store.migrate import upgrade
from store.models import SalesOrder

SCALES = {  # customers, orders
    "quick": (100_000, 1_000_000),
    "full": (1_000_000, 10_000_000),
    "50m": (5_000_000, 50_000_000),
    "100m": (10_000_000, 100_000_000),
}
FOLDER = Path("bench-data")
AS_OF = date(2026, 1, 1)
ZONE = ZoneInfo("Asia/Taipei")
REPEATS = 11  # beside others at work few are undisturbed
BARE_GOAL, PANDAS_GOAL = 1.5, 8.0  # times: at most, at least
MEMORY_GOAL_GIB = 1.0
DATABASE_GOAL_SECONDS = 60.0


def run(scale: str) -> list[Figure]:
    """Figures at `scale`: "quick", "full", or "large", which is growth alone."""
    if scale == "large":
        return _growth()
    orders, is_full = make_orders(scale), scale == "full"  # at the small scale fixed costs decide
    figures = _of_files(orders, is_full)
    for kind in ("sqlite", "postgresql"):
        seconds = _child(kind, orders)["seconds"]
        met = seconds <= DATABASE_GOAL_SECONDS if is_full else None
        figures.append(Figure(f"{kind} to {kind}, first run with history", seconds, "s", goal="at most 60 s", met=met))
    return figures


def _of_files(orders: Path, is_full: bool) -> list[Figure]:
    files, pandas = _child("files", orders), _child("pandas", orders)
    bare, peer = files["bare_seconds"], "DuckDB's bare group-by of the same columns"
    figures = []
    for models in ("all", "core"):
        ratio = files[f"{models}_seconds"] / bare
        is_goal = is_full and models == "all"
        figures.append(
            Figure(
                f"{models} models, Parquet to Parquet",
                *(files[f"{models}_seconds"], "s", peer, bare, ratio),
                goal=f"ratio at most {BARE_GOAL:g}" if models == "all" else "",
                met=ratio <= BARE_GOAL if is_goal else None,
            )
        )
    processor, bare_processor = files["all_processor_seconds"], files["bare_processor_seconds"]
    faster, peak = pandas["seconds"] / files["all_seconds"], files["peak_gib"]
    return [
        *figures,
        Figure("all models, processor time", processor, "s", peer, bare_processor, processor / bare_processor),
        Figure(
            "all models in pandas",
            *(pandas["seconds"], "s", "ours", files["all_seconds"], faster),
            goal=f"at least {PANDAS_GOAL:g} times ours",
            met=faster >= PANDAS_GOAL if is_full else None,
        ),
        Figure("peak memory of ours", peak, "GiB", goal="below 1 GiB", met=peak < MEMORY_GOAL_GIB),
        Figure("peak memory of pandas", pandas["peak_gib"], "GiB"),
    ]


def _growth() -> list[Figure]:
    """Time and peak memory of all models at three sizes; the ratio is to the smallest, linear growth the goal."""
    figures: list[Figure] = []
    smallest, fewest = 0.0, SCALES["full"][1]
    for scale in ("full", "50m", "100m"):
        found, count = _child("once", make_orders(scale)), SCALES[scale][1]
        seconds, peak = found["seconds"], found["peak_gib"]
        smallest = smallest or seconds
        times = count // fewest
        figures += [
            Figure(
                f"all models of {count:,} orders",
                *(seconds, "s", f"{fewest:,} orders", smallest, seconds / smallest),
                goal=f"ratio at most {times}" if times > 1 else "",
                met=seconds <= times * smallest if times > 1 else None,
            ),
            Figure("peak memory of it", peak, "GiB", goal="below 1 GiB", met=peak < MEMORY_GOAL_GIB),
        ]
    return figures


def make_orders(scale: str) -> Path:
    """The synthetic orders of `scale` as Parquet, made once."""
    path = FOLDER / f"orders-{scale}.parquet"
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / ".gitignore").write_text("*\n")
        write_orders(path, *SCALES[scale])
    return path


def write_orders(path: Path, customers: int, orders: int) -> None:
    """Four years of orders, a few customers buy much, most little."""
    with duckdb.connect() as connection:
        connection.execute(f"""
            COPY (SELECT (pow(hash(i) % 1000000000 / 1e9, 2) * {customers})::BIGINT + 1 AS customer_id,
                         TIMESTAMP '2022-01-01' + to_seconds((hash(i * 7 + 1) % 126144000)::BIGINT) AS ordered_at,
                         ((hash(i * 3 + 2) % 1000000) / 100)::DECIMAL(18, 2) AS amount
                  FROM range({orders}) AS numbers (i)) TO '{path}'
        """)


def _child(part: str, orders: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.segmentation", part, str(orders)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def measure_files(orders: Path) -> dict[str, Any]:
    """Best of REPEATS of the bare group-by and of our work, taken in turn; the peak of both is ours to answer for."""
    out = orders.with_name("segments.parquet")
    works: dict[str, Callable[[], object]] = {
        "bare": lambda: _bare_group_by(orders),
        "core": lambda: segment_file(orders, out, Request(AS_OF, ZONE)),
        "all": lambda: segment_file(orders, out, Request(AS_OF, ZONE, models="all")),
    }
    best: dict[str, float] = {}
    for _ in range(REPEATS):
        for name, work in works.items():
            processor = time.process_time()
            took = {f"{name}_seconds": _seconds(work), f"{name}_processor_seconds": time.process_time() - processor}
            best.update({key: min(value, best.get(key, value)) for key, value in took.items()})
    return {**best, "peak_gib": _peak_gib()}


def measure_once(work: Callable[[], object]) -> dict[str, Any]:
    """Time and peak memory of `work`, which this process does for the only time."""
    return {"seconds": _seconds(work), "peak_gib": _peak_gib()}


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux tells KiB


def _bare_group_by(orders: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE bare AS SELECT customer_id, max(ordered_at), count(*), sum(amount)"
            f" FROM '{orders}' GROUP BY customer_id"
        ).fetchall()


def measure_database(kind: str, orders: Path) -> dict[str, Any]:
    """Seconds of a first run on a fresh database of `kind` that holds the orders."""
    with database(kind, orders.parent / kind) as engine:
        return _run_on(engine, orders)


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
    indexes = list(table_of(SalesOrder).indexes)
    for index in indexes:  # made after the rows: several times as fast
        index.drop(engine)
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
    for index in indexes:
        index.create(engine)
    if engine.dialect.name != "sqlite":
        raw.cursor().execute("ANALYZE")
        raw.commit()
    raw.close()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(part: str, orders: Path) -> dict[str, Any]:
    """What one process of the benchmark measures."""
    out = orders.with_name(f"segments-{part}.parquet")
    if part == "files":
        return measure_files(orders)
    if part == "pandas":
        return measure_once(lambda: segment_by_pandas(orders, out, AS_OF))
    if part == "once":
        return measure_once(lambda: segment_file(orders, out, Request(AS_OF, ZONE, models="all")))
    return measure_database(part, orders)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
