"""Differences of tags into the operational database, in bulk: executemany on SQLite, COPY on PostgreSQL.

Twice is the same as once: what is on already is not put on again (by the unique index of current tags), and only what
is still on is taken off or renewed, so two writers at once can't make two current rows or end one twice.
"""

import io
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped, unused-ignore]
import pyarrow.csv  # type: ignore[import-untyped, unused-ignore]
from sqlmodel import Session

from store.engine import is_sqlite

# `action` is put | take | keep (renew strength, evidence and the day); `id` of the current row, null for put; for take,
# `evidence` says why it came off. The day is text, or null.
SCHEMA = pa.schema(
    {
        "action": pa.string(),
        "id": pa.int64(),
        "tag_id": pa.int64(),
        "customer_id": pa.int64(),
        "strength": pa.float64(),
        "source": pa.string(),
        "falls_off_on": pa.string(),
        "evidence": pa.string(),
    }
)
COLUMNS = tuple(SCHEMA.names)

_PUT = "INSERT INTO customer_tag (tag_id, customer_id, strength, source, falls_off_on, evidence, since) {source}"
_ONCE = "ON CONFLICT (tag_id, customer_id) WHERE until IS NULL DO NOTHING"
_TAKE = "UPDATE customer_tag SET until = {now}, off_evidence = {evidence}, falls_off_on = NULL"
_KEEP = "UPDATE customer_tag SET strength = {strength}, falls_off_on = {day}, evidence = {evidence}"


def write_differences(session: Session, rows: pa.Table, now: datetime) -> tuple[int, int, int]:
    """Write `rows` (COLUMNS) in the session's transaction as of `now` (aware); customers no longer there are left out.
    Returns how many were put on, taken off and renewed."""
    if rows.num_rows == 0:
        return 0, 0, 0
    write = _write_sqlite if is_sqlite(session) else _copy_postgresql
    return write(session, rows, now)


def _write_sqlite(session: Session, rows: pa.Table, now: datetime) -> tuple[int, int, int]:
    connection = session.connection()
    moment = now.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")

    def run(action: str, statement: str, *names: str) -> int:
        part = rows.filter(pc.equal(rows["action"], action))
        if part.num_rows == 0:
            return 0
        values = list(zip(*(part[name].to_pylist() for name in names), strict=True))
        return int(connection.exec_driver_sql(statement, values).rowcount)

    there = f"SELECT ?, ?, ?, ?, ?, ?, '{moment}' WHERE EXISTS (SELECT 1 FROM customer WHERE id = ?) {_ONCE}"  # noqa: S608
    names = ("tag_id", "customer_id", "strength", "source", "falls_off_on", "evidence", "customer_id")
    put = run("put", _PUT.format(source=there), *names)
    still_on = " WHERE id = ? AND until IS NULL"
    take = run("take", _TAKE.format(now=f"'{moment}'", evidence="?") + still_on, "evidence", "id")
    keep_names = ("strength", "falls_off_on", "evidence", "id")
    keep = run("keep", _KEEP.format(strength="?", day="?", evidence="?") + still_on, *keep_names)
    return put, take, keep


def _copy_postgresql(session: Session, rows: pa.Table, now: datetime) -> tuple[int, int, int]:
    connection = session.connection()
    connection.exec_driver_sql(
        "CREATE TEMP TABLE IF NOT EXISTS staged_tag (action text, id bigint, tag_id bigint, customer_id bigint,"
        " strength double precision, source text, falls_off_on date, evidence json) ON COMMIT DELETE ROWS"
    )
    text = io.BytesIO()
    pyarrow.csv.write_csv(rows.select(COLUMNS), text, pyarrow.csv.WriteOptions(include_header=False))
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY staged_tag ({', '.join(COLUMNS)}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(text.getvalue())
    moment = f"'{now.astimezone(UTC).isoformat()}'::timestamptz"
    # Everybody inserts and locks in one order, so that two writers wait for each other rather than deadlock; a customer
    # who is being merged away is waited for, and then left out.
    there = (
        f"SELECT s.tag_id, s.customer_id, s.strength, s.source, s.falls_off_on, s.evidence, {moment}"  # noqa: S608
        " FROM staged_tag s JOIN customer c ON c.id = s.customer_id WHERE s.action = 'put'"
        f" ORDER BY s.customer_id, s.tag_id FOR KEY SHARE OF c {_ONCE}"
    )
    asked = set(pc.unique(rows["action"]).to_pylist())
    put = connection.exec_driver_sql(_PUT.format(source=there)).rowcount if "put" in asked else 0
    if asked == {"put"}:  # all of a first renewal: nothing is on that would have to be held
        return put, 0, 0
    connection.exec_driver_sql(
        "SELECT t.id FROM customer_tag t JOIN staged_tag s ON s.id = t.id ORDER BY t.id FOR UPDATE OF t"
    ).fetchall()
    still_on = " FROM staged_tag s WHERE s.action = '{}' AND s.id = customer_tag.id AND customer_tag.until IS NULL"
    take = _TAKE.format(now=moment, evidence="s.evidence") + still_on.format("take")
    keep = _KEEP.format(strength="s.strength", day="s.falls_off_on", evidence="s.evidence") + still_on.format("keep")
    return put, connection.exec_driver_sql(take).rowcount, connection.exec_driver_sql(keep).rowcount
