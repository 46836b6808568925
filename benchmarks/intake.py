"""How long a webhook waits while a campaign is planned and sent by the same machine: `retarget up` on SQLite.

Bodies come at a steady rate, each with its own event, from before the campaign is planned until after it is closed;
LINE is the simulator with its rates. Web server, worker, simulator and load share one machine's processors.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlmodel import SQLModel

from benchmarks.dispatch import ask, line, plan, prepared, settings_of, wait_for_workers, wait_until_closed, worker
from benchmarks.figures import Figure
from benchmarks.servers import free_port
from store.bodies import open_bodies
from store.engine import reading, table_of
from store.errors import BadInput
from store.models import BehaviourEvent, WebhookBody

RATE = 100  # bodies a second
PACE = 1_900  # people sent to in a second, at the least: for how long bodies must come
BEFORE_SECONDS, AFTER_SECONDS = 3, 12
GOAL_P99_MS = 100
WINDOW_SECONDS = 5
PEOPLE = {"quick": 6_000, "full": 100_000}


def run(scale: str) -> list[Figure]:
    """p99 of the webhook over all, and in its worst seconds. A minute and a half in full.

    Raises BadInput for a scale that is neither "quick" nor "full"; RuntimeError when a body answered 200 is not stored,
    or anybody is left out or sent to twice.
    """
    if scale not in PEOPLE:
        raise BadInput(f"the scale is quick or full, not {scale!r}")
    people = PEOPLE[scale]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'bench.db'}"
        engine, port = prepared(url, people), free_port()
        with line("simulator", str(people)) as line_port:
            variables = settings_of(url, line_port, PORT=str(port))
            with worker(variables, folder, "up"):
                wait_for_workers(engine)
                idle = _Load(port, 5)
                before = idle.report()
                load = _Load(port, BEFORE_SECONDS + people / PACE + AFTER_SECONDS)
                time.sleep(BEFORE_SECONDS)
                begun = time.perf_counter()
                wait_until_closed(engine, plan(engine, "push"), 60 + people / 500)
                seconds = time.perf_counter() - begun
                report = load.report()
            proof = ask(line_port, "/proof")
        if proof["times"] != {"1": people}:
            raise RuntimeError(f"{people} people were to be sent to once; LINE counted {proof}")
        # A body is deleted once its one event is stored.
        bodies = open_bodies(engine)
        stored = _count(bodies, WebhookBody) + _count(engine, BehaviourEvent)
        bodies.dispose()
        engine.dispose()
        answered = before["answered"] + report["answered"]
        if stored != answered:
            raise RuntimeError(f"{answered} bodies were answered 200, and {stored} are stored")
    what = f"webhook at {RATE}/s while {people:,} people are planned and sent ({seconds:.0f} s)"
    return [
        Figure(
            f"p99 of the {what}",
            *(report["p99_ms"], "ms", "p99 before", before["p99_ms"], report["p99_ms"] / before["p99_ms"]),
            goal=f"<= {GOAL_P99_MS} ms",
            met=report["p99_ms"] <= GOAL_P99_MS,
        ),
        Figure(f"p99 of its worst {WINDOW_SECONDS} s", report["worst_p99_ms"], "ms"),
        Figure("the longest wait", report["longest_ms"], "ms"),
    ]


def _count(engine: Engine, model: type[SQLModel]) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table_of(model))) or 0


class _Load:
    """A load generator at work for so many seconds."""

    def __init__(self, port: int, seconds: float) -> None:
        numbers = [str(n) for n in (port, RATE, int(seconds * RATE), WINDOW_SECONDS)]
        command = [sys.executable, "-m", "benchmarks.webhook_load", "steady", *numbers]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._seconds = seconds

    def report(self) -> dict[str, Any]:
        """What it found, once it is over. Raises RuntimeError when it failed."""
        answer, _ = self._process.communicate(timeout=self._seconds + 60)
        if self._process.returncode:
            raise RuntimeError("the load generator failed")
        report: dict[str, Any] = json.loads(answer)
        return report
