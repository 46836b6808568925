"""Chunks of checked rows into temporary tables of the target database, ready for set-based statements.

The fastest door of each: COPY on PostgreSQL, one prepared INSERT on SQLite.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.csv  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import BigInteger, Column, Connection, Date, Engine, Integer, MetaData, Select, Table, Text, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from store.types import Decimal4, UTCDateTime

CHUNK = 5_000  # rows written in one transaction: short enough for the webhook's writer to come between
SQLITE_CACHE_KIB = 128 * 1024  # keys of a file come in any order: its indexes must fit, the usual 2 MiB don't hold them

TEXT, NUMBER, WHOLE, KEY, TIME, DAY = Text(), Decimal4(), Integer(), BigInteger(), UTCDateTime(), Date()
ColumnType = Text | Decimal4 | Integer | UTCDateTime | Date


def staged_table(name: str, /, *, keys: int = 1, **columns: ColumnType) -> Table:
    """A temporary table; its first `keys` columns are its key."""
    made = [
        Column(column, kind, primary_key=place < keys, autoincrement=False)
        for place, (column, kind) in enumerate(columns.items())
    ]
    return Table(name, MetaData(), *made, prefixes=["TEMPORARY"])


@contextmanager
def staging_connection(engine: Engine, *tables: Table) -> Iterator[Connection]:
    """A connection of its own with the temporary tables made; both are gone afterwards."""
    with engine.connect() as connection:
        connection.detach()  # closed for real at the end, and the temporary tables with it
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET TIME ZONE 'UTC'")  # what the staged times are written in
            else:
                connection.exec_driver_sql(f"PRAGMA cache_size = -{SQLITE_CACHE_KIB}")
            for table in tables:
                connection.execute(CreateTable(table))
        yield connection


def stage(connection: Connection, table: Table, rows: pa.Table) -> None:
    """Replace the content of the temporary `table` by `rows`, whose columns are the first of the table, in order.

    Times come as text of UTC with microseconds, days as ISO text, decimals as ten-thousandths.
    """
    names = ", ".join(column.name for column in list(table.columns)[: rows.num_columns])
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"DELETE FROM {table.name}")  # noqa: S608
        if rows.num_rows:
            marks = ", ".join("?" * rows.num_columns)
            values = list(zip(*(column.to_pylist() for column in rows.columns), strict=True))
            connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", values)  # noqa: S608
        return
    connection.exec_driver_sql(f"TRUNCATE {table.name}")
    sink = io.BytesIO()
    pyarrow.csv.write_csv(rows, sink, pyarrow.csv.WriteOptions(include_header=False))
    driver: Any = connection.connection.dbapi_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(sink.getbuffer())


def insert_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert `rows`, but for those that break a unique constraint: somebody else was faster."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(kind.insert(table).on_conflict_do_nothing(), rows)


def insert_new(connection: Connection, table: Table, rows: Select[Any], **constants: Any) -> int:
    """Insert the result of `rows` with `constants` in further columns; rows that break a unique constraint (another
    import was faster) are left out. Returns how many went in. `rows` must have a WHERE (SQLite's grammar)."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    fixed = [literal(value, table.c[name].type).label(name) for name, value in constants.items()]
    source = rows.add_columns(*fixed)
    names = [column.name for column in source.selected_columns]
    statement = kind.insert(table).from_select(names, source, include_defaults=False).on_conflict_do_nothing()
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
