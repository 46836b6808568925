"""How fast webhook bodies become durable, beside handlers that store nothing: same server, same run, in turns.

granian, one worker with 32 threads; 32 connections; every body signed and with its own webhookEventId. All of it, the
load generator too, shares one machine's processors: read the ratios.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, insert, select

from benchmarks.figures import Figure
from benchmarks.servers import free_port, postgres, process
from benchmarks.webhook_apps import CHANNEL_ID
from bot.inbox import process_inbox
from bot.replies import ReplyTexts
from store.bodies import open_bodies
from store.clock import system_clock
from store.engine import open_engine, reading, table_of, transaction
from store.errors import BadInput
from store.journal import Journal
from store.migrate import upgrade
from store.models import AuditEntry, BehaviourEvent, Channel, WebhookBody

THREADS = 32
LOAD_SECONDS = 300
P99_GOAL_MS = 40


@dataclass(frozen=True)
class _Scale:
    rounds: int
    requests: int  # of each kind in each round; the echo example gets a fifth, it is that much slower
    appends: int


SCALES = {"quick": _Scale(rounds=3, requests=5_000, appends=3_000), "full": _Scale(7, 20_000, 20_000)}


@dataclass(frozen=True)
class _Load:
    requests: int
    per_second: float
    p99_ms: float


def run(scale: str) -> list[Figure]:
    """Durable intake against an empty handler and line-bot-sdk's echo example; the journal; the inbox. Minutes at most.

    Raises BadInput for a scale that is neither "quick" nor "full", or when no PostgreSQL server is at hand;
    RuntimeError if a body that was answered 200 is not in the database.
    """
    if scale not in SCALES:
        raise BadInput(f"the scale is quick or full, not {scale!r}")
    size = SCALES[scale]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sqlite_url = f"sqlite:///{folder / 'bench.db'}"
        postgres_url = stack.enter_context(postgres(folder / "postgres"))
        engines = {name: _prepared(url) for name, url in (("sqlite", sqlite_url), ("postgres", postgres_url))}
        for engine in engines.values():
            stack.callback(engine.dispose)
        loads = _loads_in_turns(size, sqlite_url, postgres_url)
        for name, engine in engines.items():
            _require_all_stored(engine, sum(load.requests for load in loads[name]))
        figures = _webhook_figures(loads)
        figures += [_inbox_figure(name, engine) for name, engine in engines.items()]
        return figures + [_journal_figure(name, engine, size.appends) for name, engine in engines.items()]


def _loads_in_turns(size: _Scale, sqlite_url: str, postgres_url: str) -> dict[str, list[_Load]]:
    """Every server measured once per round, so that what else the machine does hits all alike."""
    line_port = free_port()
    loads: dict[str, list[_Load]] = {"sqlite": [], "empty": [], "echo": [], "postgres": []}
    with ExitStack() as stack:
        stack.enter_context(
            process([sys.executable, "-m", "benchmarks.webhook_load", "line", str(line_port)], line_port)
        )
        ports = {
            "sqlite": stack.enter_context(_serving("durable", BENCH_DATABASE_URL=sqlite_url)),
            "empty": stack.enter_context(_serving("empty")),
            "echo": stack.enter_context(_serving("echo", BENCH_LINE_API=f"http://127.0.0.1:{line_port}")),
            "postgres": stack.enter_context(_serving("durable", BENCH_DATABASE_URL=postgres_url)),
        }
        for _ in range(size.rounds):
            for name, port in ports.items():
                loads[name].append(_load(port, size.requests // 5 if name == "echo" else size.requests))
    return loads


def _webhook_figures(loads: dict[str, list[_Load]]) -> list[Figure]:
    figures = []
    for name, title in (("sqlite", "SQLite, synchronous=FULL"), ("postgres", "PostgreSQL")):
        for peer, peer_title, goal in (
            ("empty", "empty signature-checking Flask handler, same server", 1.0),
            ("echo", "line-bot-sdk echo example, replies, same server", 5.0),
        ):
            ratio = statistics.median(
                mine.per_second / other.per_second for mine, other in zip(loads[name], loads[peer], strict=True)
            )
            figures.append(
                Figure(
                    name=f"webhook bodies durable, {title}",
                    value=_median(loads[name], lambda load: load.per_second),
                    unit="bodies/s",
                    peer=peer_title,
                    peer_value=_median(loads[peer], lambda load: load.per_second),
                    ratio=ratio,
                    goal=f">= {goal:.1f} x",
                    met=ratio >= goal,
                )
            )
        p99 = _median(loads[name], lambda load: load.p99_ms)
        figures.append(
            Figure(
                name=f"webhook p99, {title}, 32 connections",
                value=p99,
                unit="ms",
                peer="empty handler",
                peer_value=_median(loads["empty"], lambda load: load.p99_ms),
                goal=f"<= {P99_GOAL_MS} ms",
                met=p99 <= P99_GOAL_MS,
            )
        )
    return figures


def _inbox_figure(name: str, engine: Engine) -> Figure:
    """Bodies that the load left behind, turned into events by one processor."""
    slowest, started = 0.0, time.perf_counter()
    texts, bodies = ReplyTexts(welcome="", refused="", resumed=""), open_bodies(engine)
    while True:
        begun = time.perf_counter()
        if not process_inbox(engine, bodies, clock=system_clock, texts=texts):
            break
        slowest = max(slowest, time.perf_counter() - begun)
    elapsed = time.perf_counter() - started
    with reading(engine) as session:
        count = session.execute(select(func.count()).select_from(table_of(BehaviourEvent))).scalar_one()
    title = f"inbox to events, {name}, one processor (slowest batch {slowest * 1000:.0f} ms)"
    return Figure(name=title, value=count / elapsed, unit="events/s")


def _journal_figure(name: str, engine: Engine, count: int) -> Figure:
    """Appends by 32 threads at once, as clicks come, against a transaction for each."""
    row = {"at": system_clock(), "actor": "bench", "action": "tap", "detail": {"link": 1, "customer": 123456}}
    table = table_of(AuditEntry)

    def commit_one(_: int) -> None:
        with transaction(engine) as session:
            session.execute(insert(table), [row])

    journal = Journal(engine)
    grouped = _appends_per_second(lambda _: journal.append(AuditEntry, row), count)
    journal.close()
    single = _appends_per_second(commit_one, count // 20)
    return Figure(
        name=f"journal appends, {name}, {THREADS} threads",
        value=grouped,
        unit="rows/s",
        peer="SQLAlchemy insert and commit for each",
        peer_value=single,
        ratio=grouped / single,
    )


def _appends_per_second(append: Callable[[int], None], count: int) -> float:
    with ThreadPoolExecutor(THREADS) as pool:
        started = time.perf_counter()
        for _ in pool.map(append, range(count)):
            pass
        return count / (time.perf_counter() - started)


def _median(loads: list[_Load], figure: Callable[[_Load], float]) -> float:
    return statistics.median(figure(load) for load in loads)


# --- servers and databases -------------------------------------------------------------------------------------


def _prepared(url: str) -> Engine:
    engine = open_engine(url, pool_size=THREADS)
    upgrade(engine)
    with transaction(engine) as session:
        session.execute(insert(table_of(Channel)).values(id=CHANNEL_ID, name="main"))
    return engine


def _require_all_stored(engine: Engine, answered: int) -> None:
    with reading(open_bodies(engine)) as session:
        stored = session.execute(select(func.count()).select_from(table_of(WebhookBody))).scalar_one()
    if stored != answered:
        raise RuntimeError(f"{answered} bodies were answered 200, but {stored} are stored")


@contextmanager
def _serving(factory: str, **environment: str) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--blocking-threads", str(THREADS), "--log-level", "error"]
    with process([*command, f"benchmarks.webhook_apps:{factory}"], port, **environment):
        yield port


def _load(port: int, requests: int) -> _Load:
    command = [sys.executable, "-m", "benchmarks.webhook_load", "load", str(port), str(requests), "1"]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=LOAD_SECONDS)
    return _Load(**json.loads(answer.stdout))
