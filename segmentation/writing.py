"""Customers' segments and their history into the operational database, in bulk: executemany on SQLite, COPY on
PostgreSQL. Money stays in ten-thousandths on the way, as the tables store it; SQLAlchemy's types are not asked.

Nobody overwrites what he has not seen: a row goes in only if what is stored of the customer is still what was read
before the facts. Who was computed anew by somebody else meanwhile is left alone and told to the caller.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import repeat
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.csv  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import func, select
from sqlmodel import Session

from segmentation.facts import MODEL_COLUMNS
from segmentation.results import VALUES
from store.engine import is_sqlite

# PostgreSQL advisory locks: see lock_segments and lock_history
SEGMENTS_LOCK = 0x5E6_0002
HISTORY_LOCK = 0x5E6_0001

_ROW = ("customer_id", *VALUES)
_RENEWED = ", ".join(f"{name} = excluded.{name}" for name in (*VALUES, "computed_at"))
_UPSERT = f"""
    INSERT INTO customer_segment ({", ".join(_ROW)}, computed_at) {{source}}
    ON CONFLICT (customer_id) DO UPDATE SET {_RENEWED}
"""
_OLD = tuple(f"old_{name}" for name in MODEL_COLUMNS)
_MOVE = ("customer_id", *_OLD, *MODEL_COLUMNS, "is_relabelled")
_HISTORY = f"INSERT INTO segment_change ({', '.join(_MOVE)}, run_id, as_of, changed_at) {{source}}"
_STORED_SQLITE = """
    SELECT customer.id, computed_at FROM customer LEFT JOIN customer_segment ON customer_id = customer.id
    WHERE customer.id IN (SELECT value FROM json_each(?))
"""
# The customers are held, so that nobody merges them away before our rows that name them are in.
_STORED_POSTGRESQL = """
    SELECT customer.id, to_char(computed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
    FROM customer LEFT JOIN customer_segment ON customer_id = customer.id
    WHERE customer.id = ANY(%s) ORDER BY customer.id FOR KEY SHARE OF customer
"""
_TYPES = {
    **dict.fromkeys(("customer_id", "monetary", "paid_total"), "bigint"),
    **dict.fromkeys(("frequency", "r", "f", "m", "cycle_days"), "integer"),
    **dict.fromkeys(("loyalty", "loyalty_percentile"), "double precision"),
    "last_ordered_on": "date",
    **dict.fromkeys(("is_move", "is_relabelled"), "boolean"),
}


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
    is_relabelling: bool  # it draws lines anew: see history.draws_anew
    lease: timedelta  # of its row, from each sign of life on


@dataclass(frozen=True)
class Written:
    """What became of some rows: how many customers moved, and the ids of those who are there but were computed anew
    by somebody else meanwhile."""

    moved: int
    overtaken: Sequence[int]


def lock_segments(session: Session, *, alone: bool) -> None:
    """Until this transaction ends: `alone` is who computes single customers; a whole run begins, writes and ends beside
    itself only, so that in between nobody takes one population for another. SQLite has one writer at a time anyway."""
    if not is_sqlite(session):
        lock = func.pg_advisory_xact_lock if alone else func.pg_advisory_xact_lock_shared
        session.execute(select(lock(SEGMENTS_LOCK)))


def lock_history(session: Session) -> None:
    """Let the history grow in the order of its ids until this transaction ends: who has read up to an id has then seen
    everything before it. SQLite has one writer at a time anyway."""
    if not is_sqlite(session):
        session.execute(select(func.pg_advisory_xact_lock(HISTORY_LOCK)))


def write_changes(session: Session, stamp: Stamp, rows: pa.Table) -> Written:
    """Store `rows` (see results.differences) in the session's transaction, and as history those that moved, in their
    order. Customers no longer there, and those who were overtaken, are left out. The writers of a whole run, which has
    each customer once, write side by side; nobody else beside them, nor beside each other."""
    lock_segments(session, alone=not isinstance(stamp, RunStamp))
    rows, overtaken = _untouched(session, rows)
    moved = rows.filter(rows["is_move"])
    if is_sqlite(session):
        _insert_sqlite(session, stamp, rows, moved)
    else:
        _copy_postgresql(session, stamp, rows)
    return Written(int(moved.num_rows), overtaken)


def _untouched(session: Session, rows: pa.Table) -> tuple[pa.Table, list[int]]:
    """The rows of customers whose stored row is the one that was read, and the ids of those where it is not."""
    ids = rows["customer_id"].to_pylist()
    connection = session.connection()
    if is_sqlite(session):
        found = connection.exec_driver_sql(_STORED_SQLITE, (f"[{','.join(map(str, ids))}]",))
    else:
        found = connection.exec_driver_sql(_STORED_POSTGRESQL, (ids,))
    stored: dict[int, str | None] = {row[0]: row[1] for row in found}
    read = rows["stored_at"].to_pylist()
    is_same = [key in stored and stored[key] == at for key, at in zip(ids, read, strict=True)]
    overtaken = [key for key, same in zip(ids, is_same, strict=True) if not same and key in stored]
    return rows.filter(pa.array(is_same, pa.bool_())), overtaken


def _insert_sqlite(session: Session, stamp: Stamp, rows: pa.Table, moved: pa.Table) -> None:
    connection = session.connection()
    at = (stamp.stored_time,)
    of_run = (stamp.run_id, stamp.as_of.isoformat(), *at)
    for statement, table, names, constants in ((_UPSERT, rows, _ROW, at), (_HISTORY, moved, _MOVE, of_run)):
        if table.num_rows == 0:
            continue
        columns: list[Any] = [table[name].to_pylist() for name in names]
        values = list(zip(*columns, *map(repeat, constants)))  # noqa: B905 - constants have no end
        marks = ", ".join("?" * (len(names) + len(constants)))
        connection.exec_driver_sql(statement.format(source=f"VALUES ({marks})"), values)


def _copy_postgresql(session: Session, stamp: Stamp, rows: pa.Table) -> None:
    connection = session.connection()
    names = (*_ROW, *_OLD, "is_move", "is_relabelled")
    columns = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in names)
    connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS staged_segment ({columns}) ON COMMIT DELETE ROWS")
    text = io.BytesIO()
    pyarrow.csv.write_csv(rows.select(names), text, pyarrow.csv.WriteOptions(include_header=False))
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY staged_segment ({', '.join(names)}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(text.getvalue())
    moment = f"TIMESTAMPTZ '{stamp.stored_time}+00'"
    staged = f"SELECT {', '.join(_ROW)}, {moment} FROM staged_segment"  # noqa: S608 - our own words
    connection.exec_driver_sql(_UPSERT.format(source=staged))
    lock_history(session)
    run_id = "NULL::bigint" if stamp.run_id is None else str(int(stamp.run_id))
    of_run = f"{run_id}, DATE '{stamp.as_of}', {moment}"
    moved = f"SELECT {', '.join(_MOVE)}, {of_run} FROM staged_segment WHERE is_move ORDER BY customer_id"  # noqa: S608
    connection.exec_driver_sql(_HISTORY.format(source=moved))
