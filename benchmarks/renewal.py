"""Segments and tags after a change: everybody's customers, orders and tags are in the store, one order is imported,
and the clock stands still when its customer is right.

Each database is measured in a process of its own, on the orders of benchmarks/segmentation.py.
"""

import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from benchmarks.figures import Figure
from benchmarks.segmentation import FOLDER, SCALES, ZONE, _fill, make_orders
from benchmarks.servers import database
from segmentation.renew import Ground, prepare, renew_changed, renew_everyone
from segmentation.settings import SegmentSettings
from segmentation.tags.catalogue import create_tag
from service.logging import set_up_logging
from store.clock import system_clock
from store.engine import reading, table_of, transaction
from store.imports import import_orders
from store.migrate import upgrade
from store.models import Customer, CustomerSegment, CustomerTag, Tag

GOAL_SECONDS = 5.0
ORDERS = 12
LOOK_SECONDS = 1.0  # how often the worker looks for changes
RULE_TAGS = 20
OFTEN = "買很多次"  # the tag that the imported orders must put on
FIRST_NEW = 10**9

segment, customer_tag, tag = table_of(CustomerSegment), table_of(CustomerTag), table_of(Tag)


def run(scale: str) -> list[Figure]:
    """Figures at `scale`, "quick" or "full"."""
    orders = make_orders(scale)
    customers = SCALES[scale][0]
    figures = []
    for kind in ("sqlite", "postgresql"):
        command = [sys.executable, "-m", "benchmarks.renewal", kind, str(orders)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        worst, whole = found["worst_seconds"], found["whole_seconds"]
        is_full = scale == "full"
        figures += [
            Figure(
                f"{kind}: one order to segments and tags, of {customers:,} customers, median",
                *(found["median_seconds"], "s"),
                goal=f"below {GOAL_SECONDS:g} s",
                met=found["median_seconds"] < GOAL_SECONDS if is_full else None,
            ),
            Figure(
                f"{kind}: worst of {ORDERS}",
                *(worst, "s"),
                goal=f"below {GOAL_SECONDS:g} s",
                met=worst < GOAL_SECONDS if is_full else None,
            ),
            Figure(f"{kind}: computing alone, median", found["computing_seconds"], "s"),
            Figure(f"{kind}: getting ready for the first", found["ready_seconds"], "s"),
            Figure(
                f"{kind}: everybody, all models with history and {RULE_TAGS + 5} tags, first time",
                *(whole, "s"),
            ),
            Figure(f"{kind}: everybody once more, nothing changed", found["again_seconds"], "s"),
            Figure(f"{kind}: peak memory of all that", found["peak_gib"], "GiB"),
        ]
    return figures


def measure(kind: str, orders: Path) -> dict[str, float]:
    """The figures on a fresh database of `kind`."""
    folder = (FOLDER / f"renewal-{kind}").resolve()
    with database(kind, folder) as engine:
        return _measure_on(engine, orders, folder)


def _measure_on(engine: Engine, orders: Path, folder: Path) -> dict[str, float]:
    upgrade(engine)
    _fill(engine, orders)
    if engine.dialect.name == "postgresql":  # filled with ids of our own, which its sequence knows nothing of
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "SELECT setval(pg_get_serial_sequence('sales_order', 'id'), (SELECT max(id) FROM sales_order))"
            )
    with transaction(engine) as session:
        for number in range(1, RULE_TAGS + 1):
            window = {"last_days": 30 * number}
            when = {"type": "orders", "measure": "count", "at_least": 2 + number % 4, "window": window}
            create_tag(
                session, f"規則 {number}", source="rule", definition={"when": when}, kind="model", now=system_clock()
            )
        when = {"type": "orders", "measure": "count", "at_least": 1, "window": {"last_days": 2}}
        create_tag(session, OFTEN, source="rule", definition={"when": when}, kind="model", now=system_clock())
    ground = Ground(engine, ZONE, system_clock)
    whole = _seconds(lambda: renew_everyone(ground, SegmentSettings()))
    again = _seconds(lambda: renew_everyone(ground, SegmentSettings()))
    ready = _seconds(lambda: prepare(ground))  # as the worker does while nobody has changed
    waits, computing = _after_orders(ground, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux tells KiB
    engine.dispose()
    return {
        "median_seconds": statistics.median(waits),
        "worst_seconds": max(waits),
        "ready_seconds": ready,
        "computing_seconds": statistics.median(computing),
        "whole_seconds": whole,
        "again_seconds": again,
        "peak_gib": peak,
    }


def _after_orders(ground: Ground, folder: Path) -> tuple[list[float], list[float]]:
    """For each of ORDERS imported orders the seconds from the end of the import until its customer's segments and tag
    are right; and the seconds that the renewals took. A thread looks for changes as the worker does."""
    computing: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            start = time.perf_counter()
            if renew_changed(ground, SegmentSettings()):
                computing.append(time.perf_counter() - start)

    with reading(ground.engine) as session:
        members = list(session.scalars(select(table_of(Customer).c.id).order_by(table_of(Customer).c.id).limit(ORDERS)))
    with transaction(ground.engine) as session:
        for who in members:
            session.get_one(Customer, who).member_id = f"m{who}"
    worker = threading.Thread(target=look)
    worker.start()
    try:
        waits = [_wait_for(ground, folder, who, FIRST_NEW + number) for number, who in enumerate(members)]
    finally:
        over.set()
        worker.join()
    return waits, computing


def _wait_for(ground: Ground, folder: Path, who: int, order_id: int) -> float:
    """Import an order of today and wait until the customer has bought once more, and has the tag."""
    time.sleep((order_id * 0.37) % LOOK_SECONDS)  # orders come at any time between two looks
    path = folder / "one.csv"
    path.write_text(
        f"order_id,customer_id,ordered_at,amount\nn{order_id},m{who},{system_clock().isoformat()},500\n",
        encoding="utf-8",
    )
    query = (
        select(segment.c.frequency, customer_tag.c.id)
        .outerjoin(customer_tag, (customer_tag.c.customer_id == segment.c.customer_id) & customer_tag.c.until.is_(None))
        .outerjoin(tag, tag.c.id == customer_tag.c.tag_id)
        .where(segment.c.customer_id == who)
    )
    with reading(ground.engine) as session:
        before = session.execute(query).first()
    assert before is not None
    import_orders(ground.engine, path, zone=ZONE, clock=system_clock)
    start = time.perf_counter()
    while True:
        with reading(ground.engine) as session:
            rows = session.execute(query.add_columns(tag.c.name)).all()
        if rows and rows[0][0] == before[0] + 1 and OFTEN in {row[2] for row in rows}:
            return time.perf_counter() - start
        if time.perf_counter() - start > 60:
            raise RuntimeError("the customer was not right within a minute")
        time.sleep(0.02)


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    set_up_logging("WARNING")
    sys.stdout.write(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
