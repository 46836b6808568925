"""A process of its own that reads a SQLite file by connectorx: `python -m segmentation.sqlite_reader URL QUERY ROWS`.

connectorx brings its own copy of SQLite. Two copies in one process cancel each other's file locks (SQLite, "How To
Corrupt An SQLite Database File", 2.2.1), and closing one of them removes the write-ahead log under the other: seen
here as lost commits. Between processes the locks hold.
"""

import sys

import connectorx
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]


def main(url: str, query: str, batch_rows: int) -> None:
    """Write the rows of `query` to standard output as an Arrow stream."""
    batches = connectorx.read_sql(url, query, return_type="arrow_stream", batch_size=batch_rows)
    with pa.ipc.new_stream(sys.stdout.buffer, batches.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
