"""Tracked links under load: the product's durable redirect beside the same written with an ORM, in turns.

granian, one worker with 32 threads. Processor time is the server's own, and PostgreSQL's where it stores the rows. Then
the server is killed (SIGKILL) in the middle of the load: every 302 that was given must have its row.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import Engine, delete, func, insert, select

from benchmarks.figures import Figure
from benchmarks.servers import free_port, postgres, process
from store.engine import open_engine, reading, table_of, transaction
from store.errors import BadInput
from store.migrate import upgrade
from store.models import Campaign, CampaignRun, Channel, Click, Customer, TrackedLink

GOAL_CPU, GOAL_P99_MS, RATE = 0.3, 40, 1_000
LOAD_SECONDS = 300


@dataclass(frozen=True)
class _Scale:
    rounds: int
    taps: int  # at 1,000 a second
    orm_taps: int  # unthrottled, it is slower than 1,000 a second
    kills: int


SCALES = {"quick": _Scale(1, 3_000, 600, 1), "full": _Scale(5, 10_000, 2_000, 5)}


@dataclass(frozen=True)
class Place:
    """A database with one link, its run and so many customers."""

    url: str
    engine: Engine
    link_id: int
    run_id: int


def run(scale: str) -> list[Figure]:
    """Figures of both databases. Raises BadInput for an unknown scale; RuntimeError when a tap answered 302 is lost."""
    if scale not in SCALES:
        raise BadInput(f"the scale is quick or full, not {scale!r}")
    size, figures = SCALES[scale], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {
            "SQLite": f"sqlite:///{folder / 'bench.db'}",
            "PostgreSQL": stack.enter_context(postgres(folder / "pg")),
        }
        for name, url in urls.items():
            place = prepared(url, max(size.taps, size.orm_taps))
            stack.callback(place.engine.dispose)
            figures += _speed(name, place, size)
            lost, answered = 0, 0
            for number in range(size.kills):
                given, missing = kill_in_the_middle(place, size.taps, after_taps=500 + 200 * number)
                answered, lost = answered + given, lost + missing
            title = f"taps lost of {answered:,} answered before {size.kills} kills, {name}"
            figures.append(Figure(name=title, value=lost, unit="taps", goal="0", met=lost == 0))
    return figures


def _speed(name: str, place: Place, size: _Scale) -> list[Figure]:
    mine, theirs, p99, pace = [], [], [], []
    for _ in range(size.rounds):
        load, cpu = _measured("door", place, RATE, size.taps)
        mine.append(cpu)
        p99.append(load["p99_ms"])
        pace.append(load["per_second"])
        theirs.append(_measured("orm", place, 1_000_000, size.orm_taps)[1])
    ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
    tail = statistics.median(p99)
    return [
        Figure(
            name=f"processor time of a tap, {name}",
            value=statistics.median(mine),
            unit="us",
            peer="SQLModel get, add, commit, same server",
            peer_value=statistics.median(theirs),
            ratio=ratio,
            goal=f"<= {GOAL_CPU} x",
            met=ratio <= GOAL_CPU,
        ),
        Figure(
            name=f"p99 of a tap at {statistics.median(pace):,.0f}/s, {name}, from when it was due",
            value=tail,
            unit="ms",
            goal=f"< {GOAL_P99_MS} ms",
            met=tail < GOAL_P99_MS,
        ),
    ]


def _measured(factory: str, place: Place, rate: float, count: int) -> tuple[dict[str, Any], float]:
    """The load's report, and µs of processor time a tap."""
    _forget(place)
    with serving(f"benchmarks.click_apps:{factory}", BENCH_DATABASE_URL=place.url) as port:
        _load(port, rate, 200, place)  # warm: connections, caches
        _forget(place)
        before = _seconds_used(port, place)
        report = _load(port, rate, count, place)
        used = _seconds_used(port, place) - before
    _require_stored(place, report["stored"])
    return report, used / count * 1e6


def _load(port: int, rate: float, count: int, place: Place) -> dict[str, Any]:
    numbers = [str(n) for n in (port, rate, count, place.link_id, place.run_id)]
    command = [sys.executable, "-m", "benchmarks.click_load", *numbers]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=LOAD_SECONDS)
    report: dict[str, Any] = json.loads(answer.stdout)
    return report


def kill_in_the_middle(place: Place, taps: int, *, after_taps: int) -> tuple[int, int]:
    """(taps answered 302, those of them that are not in the database) when the server is killed under load, once
    so many are stored."""
    _forget(place)
    with serving("benchmarks.click_apps:door", BENCH_DATABASE_URL=place.url) as port:
        _load(port, RATE, 50, place)
        _forget(place)
        killer = threading.Thread(target=_kill_when, args=(place, after_taps, _servers(port)))
        killer.start()
        stored = _load(port, RATE, taps, place)["stored"]
        killer.join()
    return len(stored), len(set(stored) - _in_database(place))


def _kill_when(place: Place, taps: int, servers: list[psutil.Process]) -> None:
    deadline = time.monotonic() + LOAD_SECONDS
    while len(_in_database(place)) < taps and time.monotonic() < deadline:
        time.sleep(0.02)
    for server in servers:
        server.kill()


@contextmanager
def serving(factory: str, **environment: str) -> Iterator[int]:
    """The port of granian serving `factory` (module:name)."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--blocking-threads", "32", "--log-level", "critical"]
    with process([*command, factory], port, **environment):
        yield port


def _servers(port: int) -> list[psutil.Process]:
    """granian's processes, by the port in their command line; the one that would start others anew first."""
    mine = psutil.Process(os.getpid()).children(recursive=True)
    roots = [p for p in mine if str(port) in p.cmdline() and "granian" in " ".join(p.cmdline())]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


def _seconds_used(port: int, place: Place) -> float:
    processes = _servers(port)
    if place.engine.dialect.name == "postgresql":
        processes += [p for p in psutil.process_iter(["name"]) if p.info["name"] == "postgres"]
    return sum(_seconds_of(process) for process in {p.pid: p for p in processes}.values())


def _seconds_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def prepared(url: str, people: int) -> Place:
    """An upgraded database with `people` customers (ids from 1), a campaign, its link and its run."""
    engine = open_engine(url, pool_size=8)
    upgrade(engine)
    now = datetime(2026, 11, 1, tzinfo=UTC)
    with transaction(engine) as session:
        session.execute(
            insert(table_of(Customer)),
            [{"id": n, "attributes": {}, "created_at": now} for n in range(1, people + 1)],
        )
        session.add(Channel(id=1, name="main"))
        session.flush()
        session.add(Campaign(id=1, channel_id=1, name="bench", way="push", created_at=now))
        session.flush()
        session.add(TrackedLink(id=1, campaign_id=1, url="https://shop.example/sale?utm_source=line"))
        session.add(CampaignRun(id=1, campaign_id=1, scheduled_for=now, way="push", fired_at=now))
    return Place(url, engine, 1, 1)


def _forget(place: Place) -> None:
    with transaction(place.engine) as session:
        session.execute(delete(table_of(Click)))


def _in_database(place: Place) -> set[int]:
    with reading(place.engine) as session:
        return set(session.scalars(select(table_of(Click).c.customer_id)))


def _require_stored(place: Place, answered: list[int]) -> None:
    missing = set(answered) - _in_database(place)
    with reading(place.engine) as session:
        count = session.scalar(select(func.count()).select_from(table_of(Click)))
    if missing or count != len(answered):
        raise RuntimeError(f"{len(answered)} taps were answered 302, {count} are stored, {len(missing)} are missing")
