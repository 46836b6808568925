"""From a result to an audience: those who tapped, who didn't, who bought … as a list that campaigns can be sent to."""

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, and_, exists, func, insert, literal, not_, or_, select, update
from sqlmodel import Session

from campaigns.results.runs import runs_of
from campaigns.results.tally import effective_state, with_batch
from store.engine import reading, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import AuditEntry, CustomerList, CustomerListMember, Delivery, RunResponse

SLICE = 4_000  # people of a run looked at in one transaction, some 20 ms: SQLite's webhook waits that long

delivery, response = table_of(Delivery), table_of(RunResponse)
members, lists = table_of(CustomerListMember), table_of(CustomerList)

_BOUGHT = or_(response.c.orders > 0, response.c.tap_orders > 0, response.c.delivery_orders > 0)
# Name -> (the delivery's state that is asked for, what they must have done, what they must not have done)
WHO: dict[str, tuple[str, Any, Any]] = {
    "sent": ("accepted", None, None),
    "clicked": ("accepted", response.c.has_clicked, None),
    "not_clicked": ("accepted", None, response.c.has_clicked),
    "bought": ("accepted", _BOUGHT, None),
    "not_bought": ("accepted", None, _BOUGHT),
    "clicked_not_bought": ("accepted", response.c.has_clicked, _BOUGHT),
    "blocked": ("accepted", response.c.has_blocked, None),
    "held_out": ("held_out", None, None),
    "failed": ("failed", None, None),
    "unknown": ("unknown", None, None),
    "skipped": ("skipped", None, None),
}


def make_list(
    engine: Engine, campaign_id: int, *, who: str, name: str, actor: str, now: datetime, run_id: int | None = None
) -> int:
    """Make a CustomerList `name` of those whom `who` means, in all runs of a campaign or in one of them; returns how
    many. Who did something in any of the runs did it; the list doesn't move afterwards.

    It gets its name when it is whole. Raises BadInput for an unknown `who` or a name that is taken, NotFound.
    """
    if who not in WHO:
        raise BadInput(f"{who!r} is none of {', '.join(WHO)}")
    with transaction(engine) as session:
        run_ids = _runs(session, campaign_id, run_id)
        if session.execute(select(lists.c.id).where(lists.c.name == name)).first() is not None:
            raise BadInput(f"there is a list {name!r} already")
        origin = {"campaign_id": campaign_id, "run_ids": run_ids, "who": who}
        made = CustomerList(name=f"{name} (being made {now.isoformat()})", origin=origin, created_at=now)
        session.add(made)
        session.flush()
        list_id = made.id or 0
    for one in run_ids:
        _fill(engine, list_id, one, run_ids, who)
    with transaction(engine) as session:
        session.execute(update(lists).where(lists.c.id == list_id).values(name=name))
        count = session.scalar(select(func.count()).select_from(members).where(members.c.list_id == list_id)) or 0
        detail = {**origin, "list_id": list_id, "people": count}
        session.add(AuditEntry(at=now, actor=actor, action="make list of result", detail=detail))
    return count


def _runs(session: Session, campaign_id: int, run_id: int | None) -> list[int]:
    found = [run.id or 0 for run in runs_of(session, campaign_id)]
    if run_id is not None and run_id not in found:
        raise NotFound(f"campaign {campaign_id} has no run {run_id}")
    if not found:
        raise BadInput(f"campaign {campaign_id} has had no run yet")
    return found if run_id is None else [run_id]


def _fill(engine: Engine, list_id: int, run_id: int, run_ids: list[int], who: str) -> None:
    after = 0
    while True:
        with reading(engine) as session:
            ids = select(delivery.c.customer_id).where(delivery.c.run_id == run_id, delivery.c.customer_id > after)
            people = ids.order_by(delivery.c.customer_id).limit(SLICE).subquery()
            last = session.scalar(select(func.max(people.c.customer_id)))
        if last is None:
            return
        with transaction(engine) as session:
            session.execute(_add_members(list_id, run_id, run_ids, who, after, last))
        after = last


def _add_members(list_id: int, run_id: int, run_ids: list[int], who: str, after: int, last: int) -> Any:
    state, did, did_not = WHO[who]
    theirs = and_(response.c.customer_id == delivery.c.customer_id, response.c.run_id.in_(run_ids))
    wanted = [
        delivery.c.run_id == run_id,
        delivery.c.customer_id > after,
        delivery.c.customer_id <= last,
        effective_state() == state,
        ~exists().where(members.c.list_id == list_id, members.c.customer_id == delivery.c.customer_id),
    ]
    if did is not None:
        wanted.append(exists().where(theirs, did))
    if did_not is not None:
        wanted.append(not_(exists().where(theirs, did_not)))
    found = with_batch(select(literal(list_id), delivery.c.customer_id)).where(*wanted)
    return insert(members).from_select(["list_id", "customer_id"], found)
