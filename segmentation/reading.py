"""The operational database's facts into DuckDB: everybody's in bulk (Arrow batches by connectorx, never a row in
Python), or a few customers' by the indexes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import connectorx
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import URL, Connection, Engine

from segmentation.facts import SCHEMAS, Facts, keep
from segmentation.sources import CURRENT, SHAPES, Source, arrow_type
from segmentation.sqlite_batches import sqlite_batches
from store.engine import reading

BATCH_ROWS = 200_000
IDS_AT_ONCE = 1_000  # of customers asked for by one statement

Table = Any

# Plain columns only: connectorx takes SQLite's types from their declarations, and an expression has none.
ORDERS = "SELECT customer_id, ordered_at, total FROM sales_order WHERE status = 'paid'"

# What was done to people, or undoes what they did, is no act of theirs.
PASSIVE_KINDS = ("unfollow", "unsend", "delivery")
ACTS = (
    "SELECT customer_id, occurred_at FROM behaviour_event"  # noqa: S608 - our own words
    f" WHERE customer_id IS NOT NULL AND kind NOT IN {PASSIVE_KINDS}"
)

_DUCK_TYPES = {
    "int64": "BIGINT",
    "int32": "INTEGER",
    "int8": "TINYINT",
    "string": "VARCHAR",
    "date": "DATE",
    "boolean": "BOOLEAN",
    "float64": "DOUBLE",
    "array<string>": "VARCHAR[]",
    "timestamp('UTC', 6)": "TIMESTAMPTZ",
}


def read_facts(connection: Any, engine: Engine, *names: str, customer_ids: Sequence[int] | None = None) -> Facts:
    """The tables `names` of Facts (all when none is named), of everybody or of `customer_ids` alone; products are
    always whole. Tables not named are empty; lines bring orders with them. Kept as temporary tables `fact_…` of the
    DuckDB `connection`, in place of former ones.

    A whole read is no snapshot: each table is as committed when it was read, in the order of Facts, so that a line
    whose order came later is left out. A few customers are read at one moment.
    """
    assert set(names) <= set(SCHEMAS), names
    wanted = set(names or SCHEMAS)
    if "lines" in wanted:
        wanted.add("orders")
    with _everybody(engine) if customer_ids is None else _few(engine, customer_ids) as rows_of:
        made = {name: _fact(connection, name, rows_of if name in wanted else None) for name in SCHEMAS}
    return Facts(**made)


def read_changes_again(connection: Any, engine: Engine, facts: Facts, customer_ids: Sequence[int]) -> Facts:
    """`facts` of these customers, with the history of their segments as it has become since they were read."""
    with _few(engine, customer_ids) as rows_of:
        return replace(facts, changes=_fact(connection, "changes", rows_of))


def read_current(connection: Any, engine: Engine, *, customer_ids: Sequence[int] | None = None) -> Table:
    """What is stored of everybody's segments, or of a few customers': the columns of `segments` in Facts, and
    `stored_at`, the text of when each was computed. To be read before the facts: whoever was computed anew since then
    is told by it."""
    moment = "strftime(make_timestamp(epoch_us(computed_at)), '%Y-%m-%d %H:%M:%S.%f')"
    select = f"SELECT * EXCLUDE (computed_at), {moment} AS stored_at FROM incoming"  # noqa: S608 - our own words
    reader = _everybody(engine) if customer_ids is None else _few(engine, customer_ids)
    with reader as rows_of, rows_of(CURRENT) as rows:
        return keep(connection, "current_segments", rows, select)


def read_acts(connection: Any, engine: Engine) -> Table:
    """All that people did, orders aside, as activity is judged by: customer_id, occurred_at."""
    instant = "SELECT customer_id, make_timestamptz(epoch_us(occurred_at)) AS occurred_at"
    return read_into(connection, "acts", engine, ACTS, instant)


RowsOf = Callable[[Source], AbstractContextManager[Any]]


def _fact(connection: Any, name: str, rows_of: RowsOf | None) -> Table:
    """The table `fact_<name>`; empty without rows."""
    if rows_of is None:
        return empty_fact(connection, name)
    columns, shape, table = _columns(name), SHAPES[name], f"fact_{name}"
    if shape.beside:
        with rows_of(shape.beside) as rows:
            keep(connection, "beside", rows)
    expressions = ((shape.columns.get(column, column), kind, column) for column, kind in columns.items())
    select = ", ".join(f"CAST({expression} AS {kind}) AS {column}" for expression, kind, column in expressions)
    with rows_of(shape.source) as rows:
        return keep(connection, table, rows, f"SELECT {select} FROM incoming {shape.rest}")  # noqa: S608 - our own words


def empty_fact(connection: Any, name: str) -> Table:
    """The table `fact_<name>` without a row."""
    nothing = ", ".join(f"NULL::{kind} AS {column}" for column, kind in _columns(name).items())
    connection.raw_sql(f"CREATE OR REPLACE TEMP TABLE fact_{name} AS SELECT {nothing} LIMIT 0").fetchall()
    return connection.table(f"fact_{name}")


def _columns(name: str) -> dict[str, str]:
    """Column of a table of facts -> its DuckDB type."""
    return {column: _DUCK_TYPES[str(kind)] for column, kind in SCHEMAS[name].items()}


@contextmanager
def _everybody(engine: Engine) -> Iterator[RowsOf]:
    def rows_of(source: Source) -> AbstractContextManager[Any]:
        query = source.query(engine).compile(engine, compile_kwargs={"literal_binds": True})
        return _batches(engine.url, str(query))

    yield rows_of


@contextmanager
def _few(engine: Engine, customer_ids: Sequence[int]) -> Iterator[RowsOf]:
    ids = sorted(set(customer_ids))
    with reading(engine) as session:
        database = session.connection()
        yield lambda source: nullcontext(_rows_of(database, source, engine, ids))


def _rows_of(database: Connection, source: Source, engine: Engine, ids: Sequence[int]) -> pa.Table:
    """The rows of `source` that belong to the customers, by its indexes."""
    query = source.query(engine)
    chunks = [ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE)]
    queries = [query] if source.of is None else [source.of(query, chunk) for chunk in chunks]
    rows = [row for part in queries for row in database.execute(part)]
    kinds = {column.name: arrow_type(column.type) for column in query.selected_columns}
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds.values(), strict=True)]
    return pa.table(arrays, names=list(kinds))


def read_orders(connection: Any, engine: Engine) -> Table:
    """All paid orders as `rfm.aggregates` takes them: customer_id, ordered_at (with a zone), amount."""
    # SQLite's times arrive naive, in UTC; by way of microseconds both kinds become instants
    instant = "SELECT customer_id, make_timestamptz(epoch_us(ordered_at)) AS ordered_at, total AS amount"
    return read_into(connection, "orders", engine, ORDERS, instant)


def read_into(connection: Any, table: str, engine: Engine, query: str, select: str = "SELECT *") -> Table:
    """Run `query` on the database of `engine` and keep `select` of its rows as the temporary DuckDB table `table`, in
    place of one that was there; returns that Ibis table."""
    with _batches(engine.url, query) as batches:
        return keep(connection, table, batches, f"{select} FROM incoming")


@contextmanager
def _batches(url: URL, query: str) -> Iterator[pa.RecordBatchReader]:
    """The rows of `query` as Arrow batches. SQLite is read by a process of its own: see sqlite_batches.py."""
    if url.get_backend_name() != "sqlite":
        yield connectorx.read_sql(address(url), query, return_type="arrow_stream", batch_size=BATCH_ROWS)
        return
    with sqlite_batches(address(url), query, BATCH_ROWS) as batches:
        yield batches


def address(url: URL) -> str:
    """The address of `url` in connectorx's words."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite://{quote(str(Path(str(url.database)).resolve()))}"
    host = url.query.get("host") or url.host or "localhost"  # a folder: the server's Unix socket
    user = quote(url.username or "", safe="")
    word = f":{quote(url.password, safe='')}" if url.password else ""
    return f"postgresql://{user}{word}@{quote(str(host), safe='')}:{url.port or 5432}/{quote(url.database or '')}"
