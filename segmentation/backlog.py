"""The log of changed customers, as those read it who compute them anew: what waits, and what is done with."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Engine,
    Select,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlmodel import Session

from store.engine import is_sqlite, let_others_write, reading, table_of, transaction
from store.models import Customer, CustomerChange, SegmentRun

DELETED_AT_ONCE = 5_000
MOST_RANGES = 100  # of the log that are looked between, the newest: between older ones rows were only deleted
LEASE_NAME = "changes"  # whoever computes what waits holds it (leases.py)

log, run, customer = table_of(CustomerChange), table_of(SegmentRun), table_of(Customer)


@dataclass(frozen=True)
class Backlog:
    """How many customers wait to be computed anew, and since when; None: nobody waits."""

    customers: int
    oldest_at: datetime | None


def may_be_done(now: datetime) -> ColumnElement[bool]:
    """Of a row of the log: it doesn't wait for a run, or that run is over (or dead) at `now`."""
    at_work = exists().where(run.c.id == log.c.after_run_id, run.c.state == "running", run.c.lease_until >= now)
    return or_(log.c.after_run_id.is_(None), ~at_work.correlate(log))


def backlog(session: Session, now: datetime) -> Backlog:
    """Who waits, those who wait for a run aside."""
    counts = select(func.count(log.c.customer_id.distinct()), func.min(log.c.noted_at)).where(may_be_done(now))
    customers, oldest_at = session.execute(counts).one()
    return Backlog(customers, oldest_at)


def seen_changes(engine: Engine) -> list[tuple[int, int]]:
    """The ids of every row of the log there is, as ranges without a gap, (first, last). What is committed later isn't
    among them, even with a lower id, as can happen on PostgreSQL."""
    numbered = select(log.c.id, (log.c.id - func.row_number().over(order_by=log.c.id)).label("island")).subquery()
    ranges = select(func.min(numbered.c.id), func.max(numbered.c.id)).group_by(numbered.c.island)
    with reading(engine) as session:
        return sorted((first, last) for first, last in session.execute(ranges))


def forget_seen(engine: Engine, seen: Sequence[tuple[int, int]]) -> None:
    """Delete exactly the rows that `seen_changes` saw, in short transactions."""
    for first, last in seen:
        for start in range(first, last + 1, DELETED_AT_ONCE):
            end = min(start + DELETED_AT_ONCE - 1, last)
            with transaction(engine) as session:
                session.execute(delete(log).where(log.c.id.between(start, end)))
            let_others_write(engine)


def forget_changes(engine: Engine, ids: Sequence[int], hold: Callable[[Session], None] | None = None) -> None:
    """Delete exactly these rows of the log, in short transactions; `hold` is called first in each of them."""
    for start in range(0, len(ids), DELETED_AT_ONCE):
        if start:
            let_others_write(engine)
        with transaction(engine) as session:
            if hold is not None:
                hold(session)
            session.execute(delete(log).where(log.c.id.in_(ids[start : start + DELETED_AT_ONCE])))


def changed_since(
    session: Session, seen: Sequence[tuple[int, int]], customer_ids: Sequence[int], *, by_runs_too: bool
) -> set[int]:
    """Those of these customers who came into the log since `seen_changes` looked; `by_runs_too`: also by a row that
    waits for a run, for whoever was computed beside it. Nobody of them is merged away or erased until the transaction
    ends, and who just was is known to be."""
    if not is_sqlite(session):
        held = select(customer.c.id).where(customer.c.id.in_(_listed(session, customer_ids))).order_by(customer.c.id)
        session.execute(held.with_for_update(read=True, key_share=True))
    newest = seen[-MOST_RANGES:]
    gaps = [log.c.id.between(before[1] + 1, after[0] - 1) for before, after in pairwise(newest)]
    gaps += [log.c.id > seen[-1][1] if seen else true()]
    gaps += [log.c.id < seen[0][0]] if len(newest) == len(seen) > 0 else []
    asked = select(log.c.customer_id).where(or_(*gaps), log.c.customer_id.in_(_listed(session, customer_ids)))
    return set(session.scalars(asked if by_runs_too else asked.where(log.c.after_run_id.is_(None))))


def _listed(session: Session, ids: Sequence[int]) -> Select[Any]:
    """Many ids as a query: as one parameter, however many."""
    if is_sqlite(session):
        return select(func.json_each(json.dumps(list(ids))).table_valued("value").c.value)
    return select(func.unnest(literal(list(ids), ARRAY(BigInteger))))
