"""Kill -9 in the middle of sending, again and again, with LINE failing as well: is anybody left out or sent to twice?

Workers are killed at random moments of a campaign by push and started again; if a campaign is over before the kills
are, the next one is begun. The judge is the simulator's own ledger.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select

from benchmarks.dispatch import ask, line, plan, prepared, settings_of, wait_until_closed
from benchmarks.figures import Figure
from benchmarks.servers import START_SECONDS, postgres
from store.engine import is_sqlite, reading, table_of
from store.errors import BadInput
from store.models import CampaignRun, Delivery

WORKERS = 3  # on PostgreSQL; SQLite has one
KILL_AFTER_SECONDS = (2.0, 12.0)  # after the last one: from starting up, which takes seconds, to well under way
FAULTS = [
    {"endpoint": "*", "kind": kind, "probability": 0.01}
    for kind in ("error_500_after_accept", "error_500", "drop_before", "drop_after_accept")
]
# Each makes everybody wait a second, as LINE's "too fast" should: more often, the kills would only hit waiting workers.
FAULTS.append({"endpoint": "*", "kind": "error_429", "probability": 0.0001})


@dataclass(frozen=True)
class _Scale:
    people: int
    kills: int


SCALES = {"quick": _Scale(3_000, 4), "full": _Scale(100_000, 50)}


def run(scale: str) -> list[Figure]:
    """Duplicates and omissions after the kills, on both databases. Some fifteen minutes in full.

    Raises BadInput for a scale that is neither "quick" nor "full"; RuntimeError when a campaign does not end.
    """
    if scale not in SCALES:
        raise BadInput(f"the scale is quick or full, not {scale!r}")
    figures = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("SQLite", "PostgreSQL"):
            is_file = name == "SQLite"
            url = f"sqlite:///{folder / 'bench.db'}" if is_file else stack.enter_context(postgres(folder / "postgres"))
            engine = prepared(url, SCALES[scale].people)
            stack.callback(engine.dispose)
            figures += _figures(name, engine, url, SCALES[scale], folder)
    return figures


def _figures(name: str, engine: Engine, url: str, scale: _Scale, folder: Path) -> list[Figure]:
    with line("simulator", str(scale.people)) as port:
        ask(port, "/simulator/faults", {"faults": FAULTS, "seed": 1})
        campaigns = _send_and_kill(engine, settings_of(url, port, LEASE_SECONDS="2"), scale, folder)
        proof = ask(port, "/proof")
    times = {int(times): people for times, people in proof["times"].items()}
    duplicates = sum(max(0, n - campaigns) * people for n, people in times.items())
    got = sum(min(n, campaigns) * people for n, people in times.items())
    omissions = campaigns * scale.people - got
    delivery = table_of(Delivery)
    with reading(engine) as session:
        unsure = len(session.execute(select(delivery.c.run_id).where(delivery.c.state != "accepted")).all())
    what = (
        f"{scale.kills} kills over {campaigns * scale.people:,} deliveries, {name} ({proof['repeats']} keys repeated)"
    )
    return [
        Figure(f"duplicates, {what}", duplicates, "", goal="0", met=duplicates == 0),
        Figure(f"omissions, {what}", omissions, "", goal="0", met=omissions == 0),
        Figure(f"not recorded as accepted, {what}", unsure, "", goal="0", met=unsure == 0),
        Figure(
            f"most pushes in one second, {what}",
            proof["peaks"]["push"],
            "",
            goal="<= 2000",
            met=proof["peaks"]["push"] <= 2_000,
        ),
    ]


def _send_and_kill(engine: Engine, variables: dict[str, str], scale: _Scale, folder: Path) -> int:
    """Send with workers that are killed; how many campaigns it took."""
    dice = random.Random(7)
    command = [sys.executable, "-m", "service.cli", "worker"]

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, env=variables, cwd=folder, start_new_session=True)

    workers = [start() for _ in range(1 if is_sqlite(engine) else WORKERS)]
    campaigns = [plan(engine, "push")]
    try:
        for _ in range(scale.kills):
            time.sleep(dice.uniform(*KILL_AFTER_SECONDS))
            if not _is_sending(engine):
                campaigns.append(plan(engine, "push"))
            place = dice.randrange(len(workers))
            _kill(workers[place])
            workers[place] = start()
        for campaign_id in campaigns:
            wait_until_closed(engine, campaign_id, 600)
    finally:
        for worker in workers:
            _kill(worker)
    return len(campaigns)


def _is_sending(engine: Engine) -> bool:
    run_ = table_of(CampaignRun)
    with reading(engine) as session:
        states = list(session.scalars(select(run_.c.state)))
    return not states or bool({"planned", "sending"} & set(states))


def _kill(worker: "subprocess.Popen[bytes]") -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(START_SECONDS)
