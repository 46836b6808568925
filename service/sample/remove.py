"""Remove the sample: what is marked, and everything that refers to it, found by the tables' own references, so that a
table that is added later goes along. Nothing else is touched, but for what real rows only lean on the sample with.
"""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, delete, false, func, or_, select, update
from sqlmodel import Session, SQLModel

from store.asked import SEGMENTS, ask_for
from store.clock import Clock
from store.engine import table_of, transaction
from store.errors import NotFound
from store.locks import DELIVERIES, lock_until_end
from store.models import (
    AuditEntry,
    CampaignDraft,
    CampaignRun,
    Customer,
    Delivery,
    FileImport,
    RunMember,
    RunTally,
    SampleRow,
)

marked, delivery, tally = table_of(SampleRow), table_of(Delivery), table_of(RunTally)
# rows of these hold ids without a foreign key, for speed: see Delivery
LOOSE = {
    (of.name, column): table_of(model)
    for of in (delivery, table_of(RunMember))
    for column, model in (("customer_id", Customer), ("run_id", CampaignRun))
}
# rows of people's own that only lean on what goes: they stay, without it
STAY = ((table_of(FileImport), "channel_id"), (table_of(CampaignDraft), "campaign_id"))


def is_loaded(session: Session) -> bool:
    """Whether the sample is in."""
    return session.scalar(select(marked.c.row_id).limit(1)) is not None


def remove_sample(engine: Engine, *, actor: str, clock: Clock) -> int:
    """Remove the sample, in one transaction, and ask for a computation; returns how many rows. Raises NotFound when it
    isn't in."""
    now = clock()
    with transaction(engine) as session:
        if not is_loaded(session):
            raise NotFound("there is no sample data")
        lock_until_end(session.connection(), DELIVERIES)
        removed = _remove(session)
        session.execute(delete(SampleRow))
        _note(session, actor, removed, now)
    return removed


def _remove(session: Session) -> int:
    for table, column in STAY:
        goes = _goes(_parents(table)[column])
        parent = _parents(table)[column]
        leaning = table.c[column].in_(select(parent.c.id).where(goes))
        session.execute(update(table).where(leaning).values({column: None}))
    _count_out(session)
    removed = 0
    for table in reversed(SQLModel.metadata.sorted_tables):
        if table.name != marked.name and _can_go(table):
            removed += session.execute(delete(table).where(_goes(table))).rowcount  # type: ignore[attr-defined]
    return removed


@cache
def _parents(table: Table) -> dict[str, Table]:
    """Column -> the table whose id it holds."""
    found = {key.parent.name: key.column.table for key in table.foreign_keys}
    return found | {column: parent for (name, column), parent in LOOSE.items() if name == table.name}


@cache
def _can_go(table: Table) -> bool:
    """Whether rows of a table may belong to the sample: its own kinds, and what refers to them."""
    return table.name in ("channel", "customer", "product", "campaign") or any(map(_can_go, _parents(table).values()))


def _goes(table: Table) -> ColumnElement[bool]:
    """SQL: this row is marked, or refers to one that goes."""
    conditions: list[Any] = []
    if table.name in ("channel", "customer", "product", "campaign"):
        conditions.append(table.c.id.in_(select(marked.c.row_id).where(marked.c.table_name == table.name)))
    for column, parent in _parents(table).items():
        if _can_go(parent) and (table, column) not in STAY:
            conditions.append(table.c[column].in_(select(parent.c.id).where(_goes(parent))))
    return or_(false(), *conditions)


def _count_out(session: Session) -> None:
    """Take people of the sample out of the kept sums of real runs, where they were skipped for want of an account."""
    run = table_of(CampaignRun)
    theirs = delivery.c.customer_id.in_(select(marked.c.row_id).where(marked.c.table_name == "customer"))
    ours = delivery.c.run_id.not_in(select(run.c.id).where(_goes(run)))
    key = (
        delivery.c.run_id,
        func.coalesce(delivery.c.variant_id, 0).label("variant_id"),
        func.coalesce(delivery.c.segment, "none").label("segment"),
        delivery.c.state,
        func.coalesce(delivery.c.reason, "").label("reason"),
    )
    loose = select(*key, func.count().label("people")).where(theirs, ours, delivery.c.batch_number.is_(None))
    for row in session.execute(loose.group_by(*key)).mappings().all():
        same = [tally.c[name] == row[name] for name in ("run_id", "variant_id", "segment", "state", "reason")]
        fewer = update(tally).where(*same, tally.c.batch_number == 0).values(people=tally.c.people - row["people"])
        session.execute(fewer)


def _note(session: Session, actor: str, removed: int, now: datetime) -> None:
    session.add(AuditEntry(at=now, actor=actor, action="remove sample data", detail={"rows": removed}))
    ask_for(session, SEGMENTS, actor=actor, now=now)
