"""The logs of people whose facts changed, so that only they are computed anew: for segments and tags, and, of those who
are in a campaign's run, for its results.

Whoever writes a fact of a customer (an order, an event, a tag by hand, an attribute) notes it in the same transaction.
The log is only ever added to: a row that another transaction has not committed yet is seen later, never lost, which an
"is there already" could not promise.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, insert, literal, or_, select
from sqlmodel import Session

from store.engine import table_of
from store.models import CampaignRun, Customer, CustomerChange, Delivery, ResponseDue
from store.types import BigId, UTCDateTime

IDS_AT_ONCE = 5_000  # parameters of one statement: databases have a limit

_log, _due = table_of(CustomerChange), table_of(ResponseDue)
_customer, _delivery, _run = table_of(Customer), table_of(Delivery), table_of(CampaignRun)


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


def note_responses(session: Session | Connection, customer_ids: Iterable[int] | Select[Any]) -> None:
    """Note that these customers tapped, bought or left, or that what was known of it changed: of those who are in a
    run the results are worked out anew. A Select of one column of ids stays in the database. Never commits."""
    if isinstance(customer_ids, Select):
        _note_due(session, _customer.c.id.in_(customer_ids))
        return
    ids = sorted(set(customer_ids))
    for start in range(0, len(ids), IDS_AT_ONCE):
        _note_due(session, _customer.c.id.in_(ids[start : start + IDS_AT_ONCE]))


def _note_due(session: Session | Connection, these: ColumnElement[bool]) -> None:
    # While an audience is being frozen its deliveries can't all be seen yet.
    is_freezing = exists().where(_run.c.frozen_at.is_(None), _run.c.state.in_(("planned", "paused")))
    in_a_run = or_(exists().where(_delivery.c.customer_id == _customer.c.id), is_freezing)
    source = select(_customer.c.id).where(and_(these, in_a_run)).order_by(_customer.c.id)
    session.execute(insert(_due).from_select(["customer_id"], source))
