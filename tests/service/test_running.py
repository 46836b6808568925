"""The service's processes: none outlives the one that started it, and a restart finds the port its own."""

import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.stories.processes import environment, start, wait_until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
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
        wait_until(lambda: left_of(running) == [], seconds=15, what="its children ended")
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
        assert running.wait(timeout=15) == signal.SIGKILL
        assert not is_served(variables)
    finally:
        if left_of(running):
            os.killpg(running.pid, signal.SIGKILL)
