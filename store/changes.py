"""The log of people whose facts changed, so that only they are computed anew.

Whoever writes a fact of a customer (an order, an event, a tag by hand, an attribute) notes it in the same transaction.
The log is only ever added to: a row that another transaction has not committed yet is seen later, never lost, which an
"is there already" could not promise.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, literal, select
from sqlmodel import Session

from store.engine import table_of
from store.models import CustomerChange
from store.types import BigId, UTCDateTime

_log = table_of(CustomerChange)


def note_changes(
    session: Session | Connection,
    customer_ids: Iterable[int] | Select[Any],
    now: datetime,
    *,
    after_run_id: int | None = None,
) -> None:
    """Note that facts of these customers changed at `now` (aware UTC); a Select of one column of ids stays in the
    database. With `after_run_id` they are computed anew when that segment run is over. Never commits."""
    if isinstance(customer_ids, Select):
        wanted = customer_ids.distinct().subquery()
        source = select(wanted.c[0], literal(now, UTCDateTime(timezone=True)), literal(after_run_id, BigId))
        session.execute(insert(_log).from_select(["customer_id", "noted_at", "after_run_id"], source))
        return
    noted = {"noted_at": now, "after_run_id": after_run_id}
    rows = [{"customer_id": customer_id, **noted} for customer_id in sorted(set(customer_ids))]
    if rows:
        session.execute(insert(_log), rows)
