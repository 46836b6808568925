"""Rows of the operational database, read by the cluster itself: each task reads a range of ids.

PostgreSQL is read as of one moment: the snapshot of a transaction that stays open here is given to every task, also to
those that run again after a worker is lost (PostgreSQL, "Snapshot Synchronization Functions"). SQLite is a file, which
the workers must see under the same path; its ranges are each read at their own moment.

The functions that run on the workers need Python with pyarrow, numpy and psycopg there, but nothing of this project:
they refer to no name of this module, so that they travel whole.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from sqlalchemy import URL

from segmentation.reading import PASSIVE_KINDS
from segmentation.spark.session import SparkConnection, Table
from store.errors import ExpectedError

IDS_A_TASK = 500_000
POSTGRESQL_EPOCH_US = 946_684_800_000_000  # 2000-01-01, from which its binary times count
COPY_HEAD_BYTES, COPY_TAIL_BYTES = 19, 2  # PostgreSQL, "COPY", binary format: signature, flags, extension; end mark


@dataclass(frozen=True)
class Source:
    """Rows of a table: a customer, when, and perhaps an amount (ten-thousandths). No column of them may be null."""

    name: str
    columns: dict[str, str]  # ours: theirs
    where: str

    def query(self) -> str:
        """The rows of a range of ids, from `{start}` up to but without `{end}`."""
        columns = ", ".join(self.columns.values())
        return f"SELECT {columns} FROM {self.name} WHERE id >= {{start}} AND id < {{end}} AND {self.where}"  # noqa: S608


ORDERS = Source(
    "sales_order", {"customer_id": "customer_id", "ordered_at": "ordered_at", "amount": "total"}, "status = 'paid'"
)
ACTS = Source(
    "behaviour_event",
    {"customer_id": "customer_id", "occurred_at": "occurred_at"},
    f"customer_id IS NOT NULL AND kind NOT IN {PASSIVE_KINDS}",
)


class DatabaseOnSpark:
    """An open database, whose rows become tables kept on the cluster; for as long as `open_database` lasts."""

    def __init__(
        self, spark: SparkConnection, ends: Callable[[str], tuple[int, int]], reader: Callable[[Source], Any]
    ) -> None:
        self._spark = spark
        self._ends = ends
        self._reader = reader

    def count(self, source: Source) -> int:
        """About how many rows there are: the ids from the first to the last."""
        first, last = self._ends(source.name)
        return last - first + 1

    def read(self, source: Source) -> Table:
        """The rows of `source`."""
        first, last = self._ends(source.name)
        tasks = max(1, -(-(last - first + 1) // IDS_A_TASK))
        starts = self._spark.session.range(first, first + tasks * IDS_A_TASK, IDS_A_TASK, tasks)
        types = ", ".join(f"{name} {'timestamp' if name.endswith('_at') else 'long'}" for name in source.columns)
        return self._spark.keep(source.name, starts.mapInArrow(self._reader(source), types))


@contextmanager
def open_database(spark: SparkConnection, url: URL) -> Iterator[DatabaseOnSpark]:
    """The operational database at `url`, for reading inside the block. On PostgreSQL a transaction stays open so."""
    if url.get_backend_name() == "sqlite":
        path = str(Path(str(url.database)).resolve())
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as file:
            yield DatabaseOnSpark(
                spark,
                lambda table: file.execute(_ends_of(table)).fetchone(),
                lambda source: _sqlite_reader(path, source),
            )
        return
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        server = psycopg.connect(address)
    except psycopg.OperationalError as error:
        raise ExpectedError("the database can't be reached") from error
    with server:
        server.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        found = server.execute("SELECT pg_export_snapshot()").fetchone()
        assert found is not None
        snapshot = str(found[0])

        def ends(table: str) -> tuple[int, int]:
            found = server.execute(_ends_of(table)).fetchone()  # type: ignore[arg-type, unused-ignore]
            assert found is not None
            return int(found[0]), int(found[1])

        yield DatabaseOnSpark(spark, ends, lambda source: _postgresql_reader(address, snapshot, source))


def _ends_of(table: str) -> str:
    return f"SELECT coalesce(min(id), 0), coalesce(max(id), -1) FROM {table}"  # noqa: S608 - our own words


def _postgresql_reader(address: str, snapshot: str, source: Source) -> Any:
    """For the workers: batches of starts of ranges in, batches of rows out, by binary COPY, whose rows without nulls
    are all of one width."""
    names, query, ids = list(source.columns), source.query(), IDS_A_TASK
    head, tail, epoch = COPY_HEAD_BYTES, COPY_TAIL_BYTES, POSTGRESQL_EPOCH_US

    def read(batches: Any) -> Any:
        import numpy as np
        import psycopg
        import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

        fields = [field for name in names for field in ((f"{name}_bytes", ">i4"), (name, ">i8"))]
        row = np.dtype([("count", ">i2"), *fields])
        with psycopg.connect(address) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            for batch in batches:
                for start in batch.column(0).to_pylist():
                    copy_out = f"COPY ({query.format(start=start, end=start + ids)}) TO STDOUT (FORMAT binary)"
                    with connection.cursor().copy(copy_out) as copy:
                        data = b"".join(copy)
                    rows = np.frombuffer(data, row, (len(data) - head - tail) // row.itemsize, head)
                    if len(data) != head + rows.nbytes + tail or (rows["count"] != len(names)).any():
                        raise ValueError(f"rows {start} to {start + ids} are not of the width expected")
                    columns = {name: rows[name].astype(np.int64) for name in names}
                    yield pa.RecordBatch.from_pydict(
                        {
                            name: pa.array(values + epoch, pa.timestamp("us", "UTC"))
                            if name.endswith("_at")
                            else pa.array(values)
                            for name, values in columns.items()
                        }
                    )

    return read


def _sqlite_reader(path: str, source: Source) -> Any:
    """For the workers: as `_postgresql_reader`, of a SQLite file (times are text in UTC there)."""
    names, query, ids = list(source.columns), source.query(), IDS_A_TASK
    address = f"file:{quote(path)}?mode=ro"

    def read(batches: Any) -> Any:
        import sqlite3

        import pyarrow as pa

        connection = sqlite3.connect(address, uri=True)
        for batch in batches:
            for start in batch.column(0).to_pylist():
                rows = connection.execute(query.format(start=start, end=start + ids))
                while some := rows.fetchmany(100_000):
                    columns = dict(zip(names, map(pa.array, zip(*some, strict=True)), strict=True))
                    yield pa.RecordBatch.from_pydict(
                        {
                            name: values.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
                            if name.endswith("_at")
                            else values
                            for name, values in columns.items()
                        }
                    )
        connection.close()

    return read
