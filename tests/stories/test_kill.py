"""Kill -9 at any moment and start again: nobody gets it twice, nobody is left out, says the simulator's ledger."""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.channels import Friend
from simulator.faults import Fault, FaultKind
from simulator.server import Simulator, SimulatorThread
from tests.stories.processes import environment, run, start, wait_until

PEOPLE = 1_200
KILLS = 5


@pytest.fixture
def line() -> Iterator[SimulatorThread]:
    with SimulatorThread(Simulator()) as running:
        yield running


def user_id(number: int) -> str:
    return f"U{number:032x}"


def write_customers(folder: Path) -> Path:
    path = folder / "customers.csv"
    rows = "".join(f"m{n},{user_id(n)},客{n}\n" for n in range(PEOPLE))
    path.write_text("customer_id,line_user_id,name\n" + rows, encoding="utf-8")
    return path


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_killed_workers_send_everything_exactly_once(
    database_url: str, line: SimulatorThread, tmp_path: Path, way: str
) -> None:
    line.platform.add_friends(Friend(user_id(n), f"朋友{n}") for n in range(PEOPLE))
    faults = [Fault("*", kind, 0.03, None, 1.0) for kind in (FaultKind.ERROR_500_AFTER_ACCEPT, FaultKind.DROP_BEFORE)]
    line.simulator.faults.replace([*faults, Fault("*", FaultKind.DROP_AFTER_ACCEPT, 0.03, None)], seed=3)
    # Slow enough that the kills fall into the middle of it.
    variables = environment(database_url, line.url, PUSH_PER_SECOND="250", MULTICAST_PER_SECOND="1")
    imported = run(variables, "import", "customers", str(write_customers(tmp_path)), folder=tmp_path)
    assert imported.returncode == 0, imported.stderr
    text = "您好 {{ name }} https://shop.example/" if way == "push" else "大家好"
    plan = ["--name", "once", "--to", "all", "--text", text, "--way", way, "--holdout", "0", "--at", "now", "--json"]
    created = run(variables, "campaign", "create", *plan, folder=tmp_path)
    assert created.returncode == 0, created.stderr
    campaign_id = str(json.loads(created.stdout)["id"])

    # PostgreSQL is served by three workers, SQLite by the one it takes. Fifty kills: `retarget bench kills`.
    crowd = 3 if database_url.startswith("postgresql") else 1
    workers = [start(variables, "worker", folder=tmp_path) for _ in range(crowd)]
    dice = random.Random(5)
    try:
        for _ in range(KILLS):
            time.sleep(dice.uniform(1.2, 2.5))
            place = dice.randrange(len(workers))
            kill(workers[place])
            workers[place] = start(variables, "worker", folder=tmp_path)
        wait_until(lambda: shown(variables, campaign_id, tmp_path)["state"] == "sent", seconds=200, what="all sent")
    finally:
        for worker in workers:
            kill(worker)

    result = shown(variables, campaign_id, tmp_path)
    with line.platform.lock:
        entries = line.platform.channels[0].ledger.entries
        got = Counter(user for entry in entries for user in entry.to)
    assert set(got) == {user_id(n) for n in range(PEOPLE)}, "somebody was left out"
    assert max(got.values()) == 1, "somebody got it twice"
    assert result["deliveries"]["accepted"] == PEOPLE


def kill(worker: subprocess.Popen[bytes]) -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def shown(variables: dict[str, str], campaign_id: str, folder: Path) -> dict[str, Any]:
    answer = run(variables, "campaign", "show", campaign_id, "--json", folder=folder)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found
