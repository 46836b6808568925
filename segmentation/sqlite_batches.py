"""SQLite's rows as Arrow batches, by a child process: see sqlite_reader.py for why and how they talk.

A child that has answered is kept for the next question, since starting one takes a third of a second and a
computation asks a dozen; it ends with this process. One that failed or was not heard to the end is not used again.
"""

import io
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation import sqlite_reader
from segmentation.sqlite_reader import FRAME_BYTES, LENGTH

_idle: list["_Child"] = []
_lock = threading.Lock()


class _Frames(io.RawIOBase):
    """One answer: what its frames hold, up to the empty one. Raises EOFError when it breaks off."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._left = 0  # of the frame begun
        self._is_over = False
        self.is_broken = False  # the child died before the end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._left == 0 and not self._is_over:
            self._left = LENGTH.unpack(self._exactly(LENGTH.size))[0]
            self._is_over = self._left == 0
        if self._is_over:
            return 0
        data = self._exactly(min(self._left, len(buffer)))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def drain(self) -> None:
        """Read what is left of the answer."""
        while self.readinto(memoryview(bytearray(FRAME_BYTES))):
            pass

    def _exactly(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) < size:
            self.is_broken = True
            raise EOFError
        return data


class _Child:
    """One reading process."""

    def __init__(self) -> None:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()
        command = [sys.executable, "-m", sqlite_reader.__name__]
        self._process = subprocess.Popen(  # noqa: S603 - our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints
        )

    def ask(self, url: str, query: str, batch_rows: int) -> _Frames:
        """The beginning of the answer. Raises OSError when the child is dead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = json.dumps({"url": url, "query": query, "batch_rows": batch_rows})
        self._process.stdin.write(question.encode() + b"\n")
        self._process.stdin.flush()
        return _Frames(self._process.stdout)  # type: ignore[arg-type]

    def end(self) -> str:
        """Stop it; what it complained of last."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was still to be written to the dead
                pipe.close()  # type: ignore[union-attr]
        with self._complaints as complaints:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines()
        return said[-1] if said else "the reader was killed"


@contextmanager
def sqlite_batches(url: str, query: str, batch_rows: int) -> Iterator[pa.RecordBatchReader]:
    """The rows of `query` on the SQLite file at `url` (connectorx's words), within the block. Raises RuntimeError when
    they can't be read."""
    with _lock:
        child = _idle.pop() if _idle else _Child()
    frames = None
    try:
        frames = child.ask(url, query, batch_rows)
        yield pa.ipc.open_stream(io.BufferedReader(frames, FRAME_BYTES))
        frames.drain()  # the end of the answer, which Arrow doesn't ask for
    except BaseException as error:
        said = child.end()
        if frames is None or frames.is_broken:
            raise RuntimeError(f"the database could not be read: {said}") from error
        raise
    with _lock:
        _idle.append(child)
