"""`retarget serve`, `worker` and `up`: the processes of the service."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Annotated

import structlog
import typer
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from service.cli.context import open_database, settings_for_command
from service.parent import when_parent_dies
from service.settings import Settings
from store.engine import is_sqlite
from store.errors import BadInput

log = structlog.get_logger()

# An idle connection kept open by a peer must not keep a stopping server alive. What was answered is committed.
SHUTDOWN_SECONDS = 5


# Given by `up` to its children; by hand nobody needs it: a worker started from a shell may outlive the shell.
Parent = Annotated[int | None, typer.Option(hidden=True, help="End when this process, our parent, has ended.")]


def register(app: typer.Typer) -> None:
    """Add `serve`, `worker` and `up`."""
    app.command()(serve)
    app.command()(worker)
    app.command()(up)


def _ready_settings() -> Settings:
    settings = settings_for_command()
    settings.require_fit()
    if settings.retarget_env != "production":
        for weakness in settings.weaknesses():
            log.warning("not_fit_for_production", weakness=weakness)
    return settings


def _end_with(parent: int | None) -> None:
    if parent is not None:
        when_parent_dies(parent, lambda: os.kill(os.getpid(), signal.SIGTERM))


def serve(parent: Parent = None) -> None:
    """Run the web server: webhook, tracked links and console, at HOST and PORT."""
    settings = _ready_settings()
    _end_with(parent)
    engine = open_database(settings)
    if is_sqlite(engine) and settings.web_workers > 1:
        raise BadInput("SQLite takes one writing web process: set WEB_WORKERS=1, or use PostgreSQL")
    engine.dispose()
    Server(
        "service.wsgi:application",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.web_workers,
        blocking_threads=settings.web_threads,
        log_access=False,
        workers_kill_timeout=SHUTDOWN_SECONDS,
        log_level=LogLevels(settings.log_level.lower()),
    ).serve()


def worker(parent: Parent = None) -> None:
    """Run the scheduler and the sending. Any number of workers may run on PostgreSQL, one on SQLite."""
    settings = _ready_settings()
    _end_with(parent)
    from service.worker import work  # here, not above: the parent of web and worker needs none of it

    # What a computation spills goes with us, also where it is left in the middle.
    with tempfile.TemporaryDirectory(prefix="retarget-worker-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        have_ended = work(open_database(settings), settings)
    if not have_ended:
        log.warning("worker_left_jobs_in_the_middle")
        os._exit(0)  # else the interpreter would wait for their threads


def up() -> None:
    """Run web server and worker together, for one machine. Ctrl-C ends both; if one ends, so does the other."""
    settings = _ready_settings()
    open_database(settings).dispose()
    children = [
        subprocess.Popen([sys.executable, "-m", "service.cli", name, "--parent", str(os.getpid())])  # noqa: S603  (ours)
        for name in ("serve", "worker")
    ]

    def end_all(*_: object) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, end_all)
    signal.signal(signal.SIGINT, end_all)
    while all(child.poll() is None for child in children):
        time.sleep(0.2)
    end_all()
    codes = [child.wait() for child in children]
    sys.exit(max(abs(code) if code not in (-signal.SIGTERM, 0) else 0 for code in codes))
