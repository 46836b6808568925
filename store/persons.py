"""One person's data, all of it for them to take away, and their refusal. Each is audited. Erasure: store/erasure.py."""

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update
from sqlmodel import Session, SQLModel

from store.changes import note_changes
from store.engine import table_of
from store.errors import NotFound
from store.models import (
    AuditEntry,
    BehaviourEvent,
    Click,
    ConsentChange,
    Customer,
    CustomerHour,
    CustomerListMember,
    CustomerPrediction,
    CustomerSegment,
    CustomerTag,
    Delivery,
    Enrolment,
    FormerCustomer,
    LineAccount,
    OrderCredit,
    OrderLine,
    Reply,
    RunMember,
    RunResponse,
    SalesOrder,
    SegmentChange,
    Tag,
)

# What is written about somebody, by the name that a file of it has, and the columns that say whose it is.
KEPT: dict[str, tuple[type[SQLModel], tuple[str, ...]]] = {
    "accounts": (LineAccount, ("customer_id",)),
    "former_ids": (FormerCustomer, ("customer_id",)),
    "consent": (ConsentChange, ("customer_id",)),
    "events": (BehaviourEvent, ("customer_id",)),
    "replies": (Reply, ("customer_id",)),
    "orders": (SalesOrder, ("customer_id",)),
    "credited_orders": (OrderCredit, ("customer_id",)),
    "tags": (CustomerTag, ("customer_id",)),
    "lists": (CustomerListMember, ("customer_id",)),
    "enrolments": (Enrolment, ("customer_id",)),
    "audiences": (RunMember, ("customer_id",)),
    "deliveries": (Delivery, ("customer_id",)),
    "responses": (RunResponse, ("customer_id",)),
    "clicks": (Click, ("customer_id", "tapped_by_id")),
    "best_hours": (CustomerHour, ("customer_id",)),
    "segments": (CustomerSegment, ("customer_id",)),
    "segment_changes": (SegmentChange, ("customer_id",)),
    "prediction": (CustomerPrediction, ("customer_id",)),
}


def export_person(session: Session, customer_id: int, *, actor: str, now: datetime) -> dict[str, Any]:
    """All that is stored of somebody, as plain values for JSON. Raises NotFound."""
    found: dict[str, Any] = {"customer": customer_of(session, customer_id).model_dump(mode="json")}
    for name, (model, columns) in KEPT.items():
        theirs = or_(*(table_of(model).c[column] == customer_id for column in columns))
        if model is Reply:  # an answer in chat is theirs by the event that it answers
            event = table_of(BehaviourEvent)
            theirs_too = select(event.c.id).where(event.c.customer_id == customer_id)
            theirs = or_(theirs, table_of(Reply).c.event_id.in_(theirs_too))
        found[name] = [row.model_dump(mode="json") for row in session.scalars(select(model).where(theirs))]
    line, tag = table_of(OrderLine), table_of(Tag)
    of_orders = select(table_of(SalesOrder).c.id).where(table_of(SalesOrder).c.customer_id == customer_id)
    lines = session.scalars(select(OrderLine).where(line.c.sales_order_id.in_(of_orders)))
    found["order_lines"] = [row.model_dump(mode="json") for row in lines]
    names = {row.id: row.name for row in session.execute(select(tag.c.id, tag.c.name))}
    for row in found["tags"]:
        row["tag"] = names.get(row["tag_id"])
    session.add(AuditEntry(at=now, actor=actor, action="export customer", detail={"customer_id": customer_id}))
    return found


def note_refusal(session: Session, customer_id: int, refuses: bool, *, actor: str, now: datetime) -> None:
    """Obey a refusal of marketing that reached the brand otherwise than by LINE, or an agreement to it, which ends a
    refusal: at once, for every campaign. Raises NotFound."""
    one = customer_of(session, customer_id)
    refused, agreed = one.marketing_refused_at is not None, one.marketing_agreed_at is not None
    if refuses != refused or agreed == refuses:
        session.add(ConsentChange(customer_id=customer_id, at=now, refuses=refuses, actor=actor))
    one.marketing_refused_at = (one.marketing_refused_at or now) if refuses else None
    one.marketing_agreed_at = None if refuses else (one.marketing_agreed_at or now)
    session.add(one)
    if refuses:
        waiting = table_of(Enrolment)
        on_the_way = (waiting.c.customer_id == customer_id, waiting.c.state.in_(("waiting", "taken")))
        session.execute(update(Enrolment).where(*on_the_way).values(state="left", reason="refused"))
    note_changes(session, [customer_id], now)
    action = "note refusal" if refuses else "note end of refusal" if refused else "note agreement to marketing"
    session.add(AuditEntry(at=now, actor=actor, action=action, detail={"customer_id": customer_id}))


def customer_of(session: Session, customer_id: int) -> Customer:
    """The customer of that id. Raises NotFound."""
    one = session.get(Customer, customer_id) if 0 < customer_id < 2**63 else None
    if one is None:
        raise NotFound(f"there is no customer {customer_id}")
    return one
