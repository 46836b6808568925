"""The operational database's rows into DuckDB, in bulk: Arrow batches by connectorx, never a row in Python."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import connectorx
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import URL, Engine

from segmentation import sqlite_reader

BATCH_ROWS = 200_000

# Plain columns only: connectorx takes SQLite's types from their declarations, and an expression has none.
ORDERS = "SELECT customer_id, ordered_at, total FROM sales_order WHERE status = 'paid'"
CUSTOMERS = "SELECT id FROM customer"
CURRENT = (
    "SELECT customer_id, last_ordered_on, frequency, monetary, r, f, m, rf4, rf11, rfm3, rfm8, nesl, nes"
    " FROM customer_segment"
)


def read_orders(connection: Any, engine: Engine) -> Any:
    """All paid orders as `rfm.aggregates` takes them: customer_id, ordered_at (with a zone), amount."""
    # SQLite's times arrive naive, in UTC; by way of microseconds both kinds become instants
    instant = "SELECT customer_id, make_timestamptz(epoch_us(ordered_at)) AS ordered_at, total AS amount"
    return read_into(connection, "orders", engine, ORDERS, instant)


def read_into(connection: Any, table: str, engine: Engine, query: str, select: str = "SELECT *") -> Any:
    """Run `query` on the database of `engine` and keep `select` of its rows as the temporary DuckDB table `table`;
    returns that Ibis table."""
    duck = connection.con
    with _batches(engine.url, query) as batches:
        duck.register("incoming", batches)
        try:
            duck.execute(f"CREATE TEMP TABLE {table} AS {select} FROM incoming").fetchall()
        finally:
            duck.unregister("incoming")
    return connection.table(table)


@contextmanager
def _batches(url: URL, query: str) -> Iterator[pa.RecordBatchReader]:
    """The rows of `query` as Arrow batches. SQLite is read by a process of its own: see sqlite_reader.py."""
    if url.get_backend_name() != "sqlite":
        yield connectorx.read_sql(address(url), query, return_type="arrow_stream", batch_size=BATCH_ROWS)
        return
    command = [sys.executable, "-m", sqlite_reader.__name__, address(url), query, str(BATCH_ROWS)]
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints) as reader:  # noqa: S603 - our own
            assert reader.stdout is not None
            batches = None
            with suppress(pa.ArrowInvalid):  # it died: what it said is told below
                batches = pa.ipc.open_stream(reader.stdout)
            if batches is not None:
                yield batches
        if reader.returncode != 0:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(f"the database could not be read: {said[-1] if said else 'the reader was killed'}")


def address(url: URL) -> str:
    """The address of `url` in connectorx's words."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite://{quote(str(Path(str(url.database)).resolve()))}"
    host = url.query.get("host") or url.host or "localhost"  # a folder: the server's Unix socket
    user = quote(url.username or "", safe="")
    word = f":{quote(url.password, safe='')}" if url.password else ""
    return f"postgresql://{user}{word}@{quote(str(host), safe='')}:{url.port or 5432}/{quote(url.database or '')}"
