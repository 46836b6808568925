"""SQLite's rows as Arrow batches, by a child process: see sqlite_reader.py for why and how they talk.

A child that has answered is kept for the next question, since starting one takes a third of a second and a
computation asks a dozen; it ends with this process. One that failed or was not heard to the end is not used again.
"""

import atexit
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation import sqlite_reader
from segmentation.sqlite_reader import END

_idle: list["_Child"] = []
_lock = threading.Lock()  # of the list: two threads at once have a child each


class _Child:
    """One reading process."""

    def __init__(self) -> None:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        command = [sys.executable, "-m", sqlite_reader.__name__]
        self.process = subprocess.Popen(  # noqa: S603 - our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints
        )

    def ask(self, **question: str | int) -> pa.RecordBatchReader:
        """The answer, still coming. Raises OSError or pyarrow.ArrowInvalid when the child dies before its first row."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(question).encode() + b"\n")
        stdin.flush()
        return pa.ipc.open_stream(stdout)

    def hear_out(self, rows: pa.RecordBatchReader) -> None:
        """Read what is left of the answer. Raises EOFError when it breaks off."""
        for _ in rows:
            pass
        assert self.process.stdout is not None
        if self.process.stdout.read(len(END)) != END:
            raise EOFError

    def end(self) -> str | None:
        """Stop it; what it died of, where it did not die of this."""
        self.process.terminate()
        code = self.process.wait()
        with suppress(BrokenPipeError):  # a question that the dead did not take
            self.process.communicate()
        with self._complaints as complaints:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines()
        if code == -signal.SIGTERM:
            return None
        return said[-1] if said else f"the reader ended with {code}"


@contextmanager
def sqlite_batches(url: str, query: str, batch_rows: int) -> Iterator[pa.RecordBatchReader]:
    """The rows of `query` on the SQLite file at `url` (connectorx's words), within the block. Raises RuntimeError when
    they can't be read, at the latest when the block ends: what was made of them is then not whole."""
    child = _free_child()
    try:
        rows = child.ask(url=url, query=query, batch_rows=batch_rows)
        yield rows
        child.hear_out(rows)
    except BaseException as error:
        died_of = child.end()
        if died_of is not None:
            raise RuntimeError(f"the database could not be read: {died_of}") from error
        raise
    with _lock:
        _idle.append(child)


@atexit.register
def end_idle() -> None:
    """Stop the children that wait for a question."""
    with _lock:
        while _idle:
            _idle.pop().end()


def _free_child() -> _Child:
    with _lock:
        while _idle:
            child = _idle.pop()
            if child.process.poll() is None:
                return child
            child.end()  # it was killed meanwhile
    return _Child()
