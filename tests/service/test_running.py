"""The service's processes: none outlives the one that started it, and a restart finds the port its own."""

import os
import random
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from service.worker import JOBS_END_WITHIN_SECONDS
from store.clock import system_clock
from store.engine import open_engine, reading, transaction
from store.migrate import upgrade
from store.models import FileImport
from tests.stories.processes import environment, start, wait_until


def free_port() -> int:
    """Below those that the system gives to whoever asks for any: no other test gets it before the service has it."""
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture
def place(tmp_path: Path) -> tuple[dict[str, str], Path]:
    variables = environment(f"sqlite:///{tmp_path}/a.db", "http://127.0.0.1:1", PORT=str(free_port()))
    return variables, tmp_path


def is_served(variables: dict[str, str]) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{variables['PORT']}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def left_of(group: subprocess.Popen[bytes]) -> list[int]:
    """The processes of a command's group that are still there, zombies left out."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.mark.parametrize("command", ["serve", "up"])
def test_nothing_is_left_of_a_command_that_was_killed(place: tuple[dict[str, str], Path], command: str) -> None:
    variables, folder = place
    running = start(variables, command, folder=folder)
    try:
        wait_until(lambda: is_served(variables), seconds=90, what="served")
        os.kill(running.pid, signal.SIGKILL)  # it alone, not its children
        running.wait()
        wait_until(lambda: left_of(running) == [], seconds=60, what="its children ended")
        assert not is_served(variables)
    finally:
        if left_of(running):
            os.killpg(running.pid, signal.SIGKILL)


def test_up_ends_when_its_worker_dies_and_says_so(place: tuple[dict[str, str], Path]) -> None:
    variables, folder = place
    running = start(variables, "up", folder=folder)
    try:
        wait_until(lambda: is_served(variables), seconds=90, what="served")
        (worker,) = (child for child in psutil.Process(running.pid).children() if "worker" in child.cmdline())
        worker.kill()
        assert running.wait(timeout=60) == signal.SIGKILL
        assert not is_served(variables)
    finally:
        if left_of(running):
            os.killpg(running.pid, signal.SIGKILL)


def test_up_ends_soon_although_a_job_is_at_work(place: tuple[dict[str, str], Path]) -> None:
    variables, folder = place
    uploads, temporary = folder / "uploads", folder / "tmp"
    uploads.mkdir()
    temporary.mkdir()
    os.mkfifo(uploads / "1.csv")  # nobody writes into it: whoever reads it waits for ever
    engine = open_engine(variables["DATABASE_URL"])
    upgrade(engine)
    by: dict[str, Any] = {
        "uploaded_by": "me",
        "asked_by": "me",
        "uploaded_at": system_clock(),
        "asked_at": system_clock(),
    }
    file: dict[str, Any] = {"kind": "orders", "file_name": "orders.csv", "file_hash": "0" * 64, "size_bytes": 9}
    with transaction(engine) as session:
        session.add(FileImport(id=1, state="waiting", **file, **by))

    def state() -> str:
        with reading(engine) as session:
            return session.get_one(FileImport, 1).state

    running = start(variables | {"UPLOAD_DIR": str(uploads), "TMPDIR": str(temporary)}, "up", folder=folder)
    try:
        wait_until(lambda: state() == "running", seconds=90, what="import begun")
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(timeout=JOBS_END_WITHIN_SECONDS + 60) == 0
        assert left_of(running) == []
        assert state() == "running"  # left in the middle: the next worker takes it up
        assert list(temporary.iterdir()) == []
    finally:
        engine.dispose()
        if left_of(running):
            os.killpg(running.pid, signal.SIGKILL)
