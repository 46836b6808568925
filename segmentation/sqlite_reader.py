"""A process of its own that reads SQLite files by connectorx: `python -m segmentation.sqlite_reader`.

connectorx brings its own copy of SQLite. Two copies in one process cancel each other's file locks (SQLite, "How To
Corrupt An SQLite Database File", 2.2.1), and closing one of them removes the write-ahead log under the other: seen
here as lost commits. Between processes the locks hold.

It answers one question after the other until its standard input ends, which it does when the asking process dies.
A question is a line of JSON; the answer an Arrow stream in frames (length, bytes), ended by an empty frame: so whoever
reads it can't read into the next answer. The other side is sqlite_batches.py.
"""

import io
import json
import struct
import sys
from typing import BinaryIO

import connectorx
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

LENGTH = struct.Struct(">I")
FRAME_BYTES = 1 << 20


class Framing(io.RawIOBase):
    """Writes everything as frames."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        size = len(data)
        if size:  # an empty frame is the end
            self._out.write(LENGTH.pack(size))
            self._out.write(data)
        return size


def answer(out: BinaryIO, url: str, query: str, batch_rows: int) -> None:
    """Write the rows of `query` to `out`."""
    batches = connectorx.read_sql(url, query, return_type="arrow_stream", batch_size=batch_rows)
    with io.BufferedWriter(Framing(out), FRAME_BYTES) as sink, pa.ipc.new_stream(sink, batches.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
    out.write(LENGTH.pack(0))
    out.flush()


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        answer(sys.stdout.buffer, asked["url"], asked["query"], asked["batch_rows"])
