"""Real processes of the service for stories: the worker and the web server as an operator starts them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from simulator.channels import ChannelOptions

ROOT = Path(__file__).parent.parent.parent


def environment(database_url: str, line_url: str, **more: str) -> dict[str, str]:
    """A clean set of variables under which a process serves `database_url` and talks to the simulated LINE."""
    options = ChannelOptions()
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database_url,
        "SECRET_KEY": "story-" + "k" * 40,
        "LINE_CHANNEL_SECRET": options.secret,
        "LINE_CHANNEL_ACCESS_TOKEN": options.access_token,
        "LINE_API_BASE": line_url,
        "LEASE_SECONDS": "2",
        "LOG_LEVEL": "ERROR",
        **more,
    }


def start(variables: Mapping[str, str], *arguments: str, folder: Path) -> subprocess.Popen[bytes]:
    """`retarget` with these arguments, running in `folder` (so that no `.env` of ours is read)."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.Popen(command, env=dict(variables), cwd=folder, start_new_session=True)


def run(variables: Mapping[str, str], *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`retarget` with these arguments, until it ends; output captured as text."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(command, env=dict(variables), cwd=folder, capture_output=True, text=True, timeout=550)


def wait_until(is_true: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Return when `is_true`; AssertionError naming `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_true():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s: {what}")
