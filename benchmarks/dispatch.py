"""How fast a campaign goes out, and whether it stays below LINE's rates: real workers, a LINE in its own process.

Times run from the moment a campaign is planned for now until its run is closed: planning, freezing, sending and all
bookkeeping. Everything shares one machine's processors, so read the sender's processor time and the ratios too. Whom it
reached, how often and how many in one second is what LINE's side counted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, func, select, text

from benchmarks.figures import Figure
from benchmarks.servers import START_SECONDS, free_port, postgres, process
from campaigns.audience.target import Audience
from campaigns.planning.plan import Plan, create_campaign, one_step
from store.clock import system_clock
from store.engine import is_sqlite, open_engine, reading, table_of, transaction
from store.errors import BadInput
from store.migrate import upgrade
from store.models import CampaignRun, Channel, Heartbeat

ZONE = ZoneInfo("Asia/Taipei")
PUSH_LIMIT, MULTICAST_LIMIT = 2_000, 200  # LINE's, a second
WORKER_SECONDS = 120.0  # for a worker to be at work: a busy machine imports slowly
PERSONAL = "{{ name or '朋友' }} 您好，本週精選在這裡 https://shop.example/picks?utm_source=line 期待您的光臨"
PLAIN = "週年慶開跑，全館滿千折百，只到週日"
SECONDS_A_PERSON = 0.02  # after which a run is given up, with a minute on top: a busy machine is slow


@dataclass(frozen=True)
class _Scale:
    pushes: int
    multicasts: int  # people
    free: int  # pushes unthrottled
    peer: int
    rounds: int


SCALES = {"quick": _Scale(6_000, 50_000, 6_000, 1_000, 1), "full": _Scale(100_000, 1_000_000, 30_000, 3_000, 2)}


@dataclass(frozen=True)
class Sent:
    """One campaign gone out: seconds from planned to closed, the workers' processor seconds, and LINE's own count."""

    people: int
    seconds: float
    cpu_seconds: float
    peaks: dict[str, int]

    @property
    def cpu_per_person(self) -> float:
        """The workers' processor seconds for each person."""
        return self.cpu_seconds / self.people


def run(scale: str) -> list[Figure]:
    """Multicasts, pushes, unthrottled pushes, two machines and slow answers, on both databases. Many minutes in full.

    Raises BadInput for a scale that is neither "quick" nor "full"; RuntimeError when LINE's count shows anybody left
    out or sent to twice.
    """
    if scale not in SCALES:
        raise BadInput(f"the scale is quick or full, not {scale!r}")
    size, figures = SCALES[scale], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {
            "SQLite": f"sqlite:///{folder / 'bench.db'}",
            "PostgreSQL": stack.enter_context(postgres(folder / "postgres")),
        }
        peer = _peer(size.peer)
        for name, url in urls.items():
            engine = prepared(url, size.pushes)
            stack.callback(engine.dispose)
            figures += _push_figures(name, url, engine, size, peer, folder)
            add_people(engine, size.pushes + 1, size.multicasts)
            figures.append(_multicast_figure(name, url, engine, size, folder))
    return figures


def _push_figures(name: str, url: str, engine: Engine, size: _Scale, peer: float, folder: Path) -> list[Figure]:
    paced = [send(url, engine, "push", size.pushes, folder) for _ in range(size.rounds)]
    slow = send(url, engine, "push", size.pushes, folder, latency=0.1)
    free = [
        send(url, engine, "push", size.pushes, folder, is_lean=True, PUSH_PER_SECOND="100000")
        for _ in range(size.rounds)
    ]
    crowds = [("one process", paced)]
    if not is_sqlite(engine):
        crowds.append(("two processes", [send(url, engine, "push", size.pushes, folder, workers=2)]))
    best, floor = min(sent.seconds for sent in paced), size.pushes / PUSH_LIMIT
    fastest = max(sent.people / sent.seconds for sent in free)
    cpu = min(sent.cpu_per_person for sent in (*paced, *free))
    figures = [
        _time_figure(f"pushes with fields and links, {size.pushes:,} people, {name}", best, floor, 1.06),
        _time_figure(f"the same with 100 ms of latency, {name}", slow.seconds, floor, 1.06),
        Figure(
            f"pushes unthrottled, {name}",
            fastest,
            "pushes/s",
            "LINE's limit",
            PUSH_LIMIT,
            fastest / PUSH_LIMIT,
            ">= 1.8 x",
            fastest / PUSH_LIMIT >= 1.8,
        ),
        Figure(
            f"worker's processor time per push, {name}",
            cpu * 1e6,
            "us",
            "bare line-bot-sdk push",
            peer * 1e6,
            cpu / peer,
            "<= 0.4 x",
            cpu / peer <= 0.4,
        ),
    ]
    return figures + [_peak_figure(f"{who}, {name}", "push", PUSH_LIMIT, sent) for who, sent in crowds]


def _multicast_figure(name: str, url: str, engine: Engine, size: _Scale, folder: Path) -> Figure:
    sent = [send(url, engine, "multicast", size.multicasts, folder) for _ in range(size.rounds)]
    best, floor = min(s.seconds for s in sent), size.multicasts / 500 / MULTICAST_LIMIT
    peak = max(s.peaks["multicast"] for s in sent)
    title = f"multicast, {size.multicasts:,} people, {name} (most in one second: {peak})"
    return _time_figure(title, best, floor, 1.1)


def _time_figure(title: str, seconds: float, floor: float, goal: float) -> Figure:
    ratio = seconds / floor
    return Figure(title, seconds, "s", "LINE's floor", floor, ratio, f"<= {goal} x", ratio <= goal)


def _peak_figure(who: str, way: str, limit: int, sent: Sequence[Sent]) -> Figure:
    peak = max(s.peaks[way] for s in sent)
    return Figure(
        f"most {way} calls in one second, {who}", peak, "", "LINE's limit", limit, peak / limit, "<= 1", peak <= limit
    )


def _peer(count: int) -> float:
    from benchmarks.dispatch_peer import cpu_per_push  # the SDK takes a second to import

    with line() as port:
        return min(cpu_per_push(port, count // 3, PERSONAL) for _ in range(3))


# --- one campaign ----------------------------------------------------------------------------------------------


def send(
    url: str,
    engine: Engine,
    way: str,
    people: int,
    folder: Path,
    *,
    workers: int = 1,
    is_lean: bool = False,
    latency: float = 0.0,
    **environment: str,
) -> Sent:
    """Plan a campaign to everyone for now, with workers already waiting, and wait until it is closed.

    Raises RuntimeError unless LINE's own count says that everybody was sent to exactly once.
    """
    with line() if is_lean else line("simulator", str(people)) as port, ExitStack() as stack:
        if latency:
            ask(port, "/simulator/faults", [{"endpoint": "*", "kind": "latency", "seconds": latency}])
        variables = settings_of(url, port, **environment)
        crowd = [stack.enter_context(worker(variables, folder)) for _ in range(workers)]
        wait_for_workers(engine)
        cpu = sum(cpu_seconds(pid) for pid in crowd)
        begun = time.perf_counter()
        campaign_id = plan(engine, way)
        wait_until_closed(engine, campaign_id, 60 + people * SECONDS_A_PERSON)
        seconds = time.perf_counter() - begun
        cpu = sum(cpu_seconds(pid) for pid in crowd) - cpu
        proof = ask(port, "/proof")
    if proof["times"] != {"1": people}:
        raise RuntimeError(f"{people} people were to be sent to once; LINE counted {proof}")
    if proof["repeats"] or proof["refused"]:
        sys.stderr.write(f"{way}, {people:,} people: {proof['repeats']} repeats, {proof['refused']} refused\n")
    return Sent(people, seconds, cpu, proof["peaks"])


def plan(engine: Engine, way: str) -> int:
    """Plan a campaign to everyone for now; its id."""
    messages = [{"type": "text", "text": PERSONAL if way == "push" else PLAIN}]
    now = system_clock()
    order = Plan("bench", Audience(("all",)), one_step(messages), now, way, holdout_percent=Decimal(0))
    with transaction(engine) as session:
        channel_id = session.scalars(select(table_of(Channel).c.id)).one()
        return create_campaign(session, order, channel_id=channel_id, zone=ZONE, now=now).id or 0


def wait_until_closed(engine: Engine, campaign_id: int, seconds: float) -> None:
    """Return when every run of the campaign is over. Raises RuntimeError after so many seconds."""
    run_, deadline = table_of(CampaignRun), time.monotonic() + seconds
    while True:
        with reading(engine) as session:
            states = set(session.scalars(select(run_.c.state).where(run_.c.campaign_id == campaign_id)))
        if states and states <= {"sent", "cancelled"}:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"campaign {campaign_id} is still {states or 'not fired'} after {seconds:.0f} s")
        time.sleep(0.02)


def wait_for_workers(engine: Engine) -> None:
    """Return when the workers have done their first round of jobs."""
    beat, started, deadline = table_of(Heartbeat), system_clock(), time.monotonic() + WORKER_SECONDS
    while time.monotonic() < deadline:
        with reading(engine) as session:
            at = session.scalar(select(func.min(beat.c.finished_at)).where(beat.c.job == "campaigns"))
        if at is not None and at > started:
            time.sleep(2.0)  # a second worker's imports, and what it does when it starts
            return
        time.sleep(0.1)
    raise RuntimeError("no worker began to work")


@contextmanager
def line(*kind: str) -> Iterator[int]:
    """A LINE in a process of its own; its port. See benchmarks/dispatch_line.py for the kinds; none: the lean one."""
    port = free_port()
    with process([sys.executable, "-m", "benchmarks.dispatch_line", str(port), *(kind or ("lean",))], port):
        yield port


@contextmanager
def worker(variables: dict[str, str], folder: Path, command: str = "worker") -> Iterator[int]:
    """A worker of the product; its process id. Run in `folder`, so that no `.env` of ours is read."""
    with subprocess.Popen([sys.executable, "-m", "service.cli", command], env=variables, cwd=folder) as child:
        try:
            yield child.pid
        finally:
            child.terminate()
            child.wait(START_SECONDS)


def settings_of(url: str, port: int, **more: str) -> dict[str, str]:
    """The environment of a process of the product over `url`, talking to LINE at `port`."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "DATABASE_URL": url,
        "SECRET_KEY": "bench-" + "k7" * 20,
        "LINE_CHANNEL_SECRET": "0123456789abcdef0123456789abcdef",
        "LINE_CHANNEL_ACCESS_TOKEN": "simulated-access-token",
        "LINE_API_BASE": f"http://127.0.0.1:{port}",
        "SEGMENT_AT_HOUR": "23",
        "LOG_LEVEL": "ERROR",
        **more,
    }


def ask(port: int, path: str, document: Any = None) -> Any:
    """GET `path` of LINE's process, or POST a JSON document there; its answer."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return json.load(answer)


def cpu_seconds(pid: int) -> float:
    """Processor seconds that a process of this machine (Linux) has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- people ----------------------------------------------------------------------------------------------------


def prepared(url: str, people: int) -> Engine:
    """An engine for an up-to-date database with one channel and so many people who follow it."""
    engine = open_engine(url)
    upgrade(engine)
    with transaction(engine) as session:
        session.add(Channel(name="main"))
    add_people(engine, 1, people)
    return engine


def add_people(engine: Engine, first: int, last: int) -> None:
    """Make people numbered from `first` to `last`, both included: customers with a LINE account that follows."""
    hex_id = "printf('%032x', i)" if is_sqlite(engine) else "lpad(to_hex(i), 32, '0')"
    numbers = f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) "
    customers = (
        "INSERT INTO customer (id, member_id, name, city, attributes, refusal_changed_ms, created_at)"
        " SELECT i, 'm' || i, '客' || i, '台北市', '{}', 0, '2026-01-01 00:00:00' FROM n"
    )
    accounts = (
        "INSERT INTO line_account"
        " (channel_id, line_user_id, customer_id, is_following, follow_changed_ms, profile_tries)"
        f" SELECT 1, 'U' || {hex_id}, i, true, 0, 0 FROM n"
    )
    for insert_people in (customers, accounts):
        with transaction(engine) as session:
            session.connection().exec_driver_sql(numbers + insert_people)
    if not is_sqlite(engine):
        with transaction(engine) as session:
            session.execute(text("SELECT setval('customer_id_seq', :last)"), {"last": last})
    # The day's segments: the worker of a shop that goes on has them, a fresh one would compute them while it sends.
    address = engine.url.render_as_string(hide_password=False)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "service.cli", "segment", "run"]
        subprocess.run(command, env=settings_of(address, 1), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if is_sqlite(engine) else "VACUUM ANALYZE")
