"""A process of its own that reads SQLite files by connectorx: `python -m segmentation.sqlite_reader`.

connectorx brings its own copy of SQLite. Two copies in one process cancel each other's file locks (SQLite, "How To
Corrupt An SQLite Database File", 2.2.1), and closing one of them removes the write-ahead log under the other: seen
here as lost commits. Between processes the locks hold.

It answers one question after the other until its standard input ends, which it does when the asking process dies. A
question is a line of JSON; the answer an Arrow stream and then END, since Arrow takes a stream that breaks off between
two batches for a whole one. A question that can't be answered ends the process. The other side is sqlite_batches.py.
"""

import json
import sys
from typing import BinaryIO

import connectorx
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

END = b"."


def answer(out: BinaryIO, url: str, query: str, batch_rows: int) -> None:
    """Write the rows of `query` to `out`."""
    batches = connectorx.read_sql(url, query, return_type="arrow_stream", batch_size=batch_rows)
    with pa.ipc.new_stream(out, batches.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
    out.write(END)
    out.flush()


if __name__ == "__main__":
    for line in sys.stdin:
        answer(sys.stdout.buffer, **json.loads(line))
