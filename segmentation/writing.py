"""Customers' segments and their history into the operational database, in bulk: executemany on SQLite, COPY on
PostgreSQL. Money stays in ten-thousandths on the way, as the tables store it; SQLAlchemy's types are not asked."""

import io
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.csv  # type: ignore[import-untyped, unused-ignore]
from sqlmodel import Session

from store.engine import is_sqlite

SEGMENTS = ("rf4", "rf11", "rfm3", "rfm8", "nesl", "nes")
VALUES = ("last_ordered_on", "frequency", "monetary", "r", "f", "m", *SEGMENTS)

_OLD = tuple(f"old_{name}" for name in SEGMENTS)
_ROW = ("customer_id", *VALUES)
_UPSERT = f"""
    INSERT INTO customer_segment ({", ".join(_ROW)}) {{source}}
    ON CONFLICT (customer_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in VALUES)}
"""
_HISTORY = f"""
    INSERT INTO segment_change (customer_id, run_id, {", ".join((*_OLD, *SEGMENTS))}) {{source}}
"""
_IS_THERE = "EXISTS (SELECT 1 FROM customer WHERE id = {id})"  # a customer may be merged away while we compute


def write_changes(session: Session, run_id: int, rows: pa.Table) -> int:
    """Store `rows` (customer_id, VALUES with the day as text, old segments, is_move) in the session's transaction,
    and as history of `run_id` those that moved. Customers no longer there are left out. Returns how many moved."""
    moved = rows.filter(rows["is_move"])
    if is_sqlite(session):
        _insert_sqlite(session, run_id, rows, moved)
    else:
        _copy_postgresql(session, run_id, rows)
    return int(moved.num_rows)


def _insert_sqlite(session: Session, run_id: int, rows: pa.Table, moved: pa.Table) -> None:
    connection = session.connection()
    for statement, table, names in (
        (_UPSERT, rows, _ROW),
        (_HISTORY, moved, ("customer_id", "run_id", *_OLD, *SEGMENTS)),
    ):
        if table.num_rows == 0:
            continue
        source = f"SELECT {', '.join('?' * len(names))} WHERE {_IS_THERE.format(id='?')}"
        columns: list[Any] = [
            [run_id] * table.num_rows if name == "run_id" else table[name].to_pylist() for name in names
        ]
        values = list(zip(*columns, columns[0], strict=True))
        connection.exec_driver_sql(statement.format(source=source), values)


def _copy_postgresql(session: Session, run_id: int, rows: pa.Table) -> None:
    connection = session.connection()
    connection.exec_driver_sql(
        "CREATE TEMP TABLE IF NOT EXISTS staged_segment"
        " (LIKE customer_segment, old_rf4 text, old_rf11 text, old_rfm3 text, old_rfm8 text, old_nesl text,"
        " old_nes text, is_move boolean) ON COMMIT DELETE ROWS"
    )
    names = (*_ROW, *_OLD, "is_move")
    text = io.BytesIO()
    pyarrow.csv.write_csv(rows.select(names), text, pyarrow.csv.WriteOptions(include_header=False))
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY staged_segment ({', '.join(names)}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(text.getvalue())
    there = f"FROM staged_segment s WHERE {_IS_THERE.format(id='s.customer_id')}"
    connection.exec_driver_sql(_UPSERT.format(source=f"SELECT {', '.join(_ROW)} {there}"))
    moved = f"SELECT customer_id, {int(run_id)}, {', '.join((*_OLD, *SEGMENTS))} {there} AND is_move"
    connection.exec_driver_sql(_HISTORY.format(source=moved))
