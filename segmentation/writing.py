"""Customers' segments and their history into the operational database, in bulk: executemany on SQLite, COPY on
PostgreSQL. Money stays in ten-thousandths on the way, as the tables store it; SQLAlchemy's types are not asked."""

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import repeat
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.csv  # type: ignore[import-untyped, unused-ignore]
from sqlmodel import Session

from store.engine import is_sqlite

SEGMENTS = ("rf4", "rf11", "rfm3", "rfm8", "nesl", "nes")
VALUES = ("last_ordered_on", "frequency", "monetary", "r", "f", "m", *SEGMENTS)

_OLD = tuple(f"old_{name}" for name in SEGMENTS)
_ROW = ("customer_id", *VALUES)
_RENEWED = ", ".join(f"{name} = excluded.{name}" for name in (*VALUES, "computed_at"))
_UPSERT = f"""
    INSERT INTO customer_segment ({", ".join(_ROW)}, computed_at) {{source}}
    ON CONFLICT (customer_id) DO UPDATE SET {_RENEWED}
"""
_MOVE = ("customer_id", *_OLD, *SEGMENTS)
_STAMPED = "nesl_personal, nes_personal, activity, run_id, as_of, changed_at"
_HISTORY = f"INSERT INTO segment_change ({', '.join(_MOVE)}, {_STAMPED}) {{source}}"
_IS_THERE = "EXISTS (SELECT 1 FROM customer WHERE id = {id})"  # a customer may be merged away while we compute


@dataclass(frozen=True)
class Stamp:
    """What every row of one computation says: its run (None: between runs), the day it is for, and when (aware)."""

    run_id: int | None
    as_of: date
    at: datetime

    @property
    def stored_time(self) -> str:
        """`at` as both databases read it: naive UTC on SQLite, and PostgreSQL is told that it is UTC."""
        return f"{self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


@dataclass(frozen=True)
class RunStamp(Stamp):
    """The stamp of a whole run."""

    run_id: int


def write_changes(session: Session, stamp: Stamp, rows: pa.Table) -> int:
    """Store `rows` (customer_id, VALUES with the day as text, old segments, is_move) in the session's transaction,
    and as history those that moved, in the order of the rows. Customers no longer there are left out. Returns how many
    moved."""
    moved = rows.filter(rows["is_move"])
    if is_sqlite(session):
        _insert_sqlite(session, stamp, rows, moved)
    else:
        _copy_postgresql(session, stamp, rows)
    return int(moved.num_rows)


def _insert_sqlite(session: Session, stamp: Stamp, rows: pa.Table, moved: pa.Table) -> None:
    connection = session.connection()
    of_run = ("never", "never", "none", stamp.run_id, stamp.as_of.isoformat(), stamp.stored_time)
    for statement, table, names, constants in (
        (_UPSERT, rows, _ROW, of_run[-1:]),
        (_HISTORY, moved, _MOVE, of_run),
    ):
        if table.num_rows == 0:
            continue
        marks = ", ".join("?" * (len(names) + len(constants)))
        columns: list[Any] = [table[name].to_pylist() for name in names]
        values = list(zip(*columns, *map(repeat, constants), columns[0]))  # noqa: B905 - constants have no end
        source = f"SELECT {marks} WHERE {_IS_THERE.format(id='?')}"
        connection.exec_driver_sql(statement.format(source=source), values)


def _copy_postgresql(session: Session, stamp: Stamp, rows: pa.Table) -> None:
    connection = session.connection()
    connection.exec_driver_sql(
        "CREATE TEMP TABLE IF NOT EXISTS staged_segment ("
        "customer_id bigint, last_ordered_on date, frequency integer, monetary bigint, r integer, f integer,"
        " m integer, "
        + ", ".join(f"{name} text" for name in (*SEGMENTS, *_OLD))
        + ", is_move boolean) ON COMMIT DELETE ROWS"
    )
    names = (*_ROW, *_OLD, "is_move")
    text = io.BytesIO()
    pyarrow.csv.write_csv(rows.select(names), text, pyarrow.csv.WriteOptions(include_header=False))
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY staged_segment ({', '.join(names)}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(text.getvalue())
    there = f"FROM staged_segment s WHERE {_IS_THERE.format(id='s.customer_id')}"
    moment = f"TIMESTAMPTZ '{stamp.stored_time}+00'"
    connection.exec_driver_sql(_UPSERT.format(source=f"SELECT {', '.join(_ROW)}, {moment} {there}"))
    run_id = "NULL::bigint" if stamp.run_id is None else str(int(stamp.run_id))
    of_run = f"'never', 'never', 'none', {run_id}, DATE '{stamp.as_of}', {moment}"
    moved = f"SELECT {', '.join(_MOVE)}, {of_run} {there} AND is_move"
    connection.exec_driver_sql(_HISTORY.format(source=f"{moved} ORDER BY customer_id"))
