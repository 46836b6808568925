"""Customers' predictions into the operational database, in bulk: executemany on SQLite, COPY on PostgreSQL. Money stays
in ten-thousandths on the way, as the tables store it."""

import io
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.csv  # type: ignore[import-untyped, unused-ignore]
from sqlmodel import Session

from store.engine import is_sqlite

VALUES = ("p_buy", "churn_risk", "expected_orders", "spend_90", "spend_365")

_ROW = ("customer_id", *VALUES)
_UPSERT = f"""
    INSERT INTO customer_prediction ({", ".join(_ROW)}, run_id) {{source}}
    ON CONFLICT (customer_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in (*VALUES, "run_id"))}
"""
_IS_THERE = "EXISTS (SELECT 1 FROM customer WHERE id = {id})"  # a customer may be merged away while we compute


def write_predictions(session: Session, run_id: int, rows: pa.Table) -> None:
    """Store `rows` (customer_id and VALUES; is_gone for those to be removed) in the session's transaction, as said by
    `run_id`. Customers no longer there are left out."""
    gone = [(customer_id,) for customer_id in rows.filter(rows["is_gone"])["customer_id"].to_pylist()]
    said = rows.filter(pa.compute.invert(rows["is_gone"])).select(_ROW)
    connection = session.connection()
    if is_sqlite(session):
        if gone:
            connection.exec_driver_sql("DELETE FROM customer_prediction WHERE customer_id = ?", gone)
        if said.num_rows:
            source = f"SELECT {', '.join('?' * 7)} WHERE {_IS_THERE.format(id='?')}"
            columns: list[Any] = [said[name].to_pylist() for name in _ROW]
            values = list(zip(*columns, [run_id] * said.num_rows, columns[0], strict=True))
            connection.exec_driver_sql(_UPSERT.format(source=source), values)
        return
    if gone:
        ids = ([customer_id for (customer_id,) in gone],)
        connection.exec_driver_sql("DELETE FROM customer_prediction WHERE customer_id = ANY(%s)", ids)
    if said.num_rows:
        _copy(connection, run_id, said)


def _copy(connection: Any, run_id: int, said: pa.Table) -> None:
    connection.exec_driver_sql(
        "CREATE TEMP TABLE IF NOT EXISTS staged_prediction (customer_id bigint, p_buy float8, churn_risk float8,"
        " expected_orders float8, spend_90 bigint, spend_365 bigint) ON COMMIT DELETE ROWS"
    )
    text = io.BytesIO()
    pyarrow.csv.write_csv(said, text, pyarrow.csv.WriteOptions(include_header=False))
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY staged_prediction ({', '.join(_ROW)}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(text.getvalue())
    there = f"FROM staged_prediction s WHERE {_IS_THERE.format(id='s.customer_id')}"
    connection.exec_driver_sql(_UPSERT.format(source=f"SELECT {', '.join(_ROW)}, {int(run_id)} {there}"))
