"""The erasure of one person: whatever says who they are or what they said goes; audited, and it can't be undone.

The facts that the books need (orders, deliveries, clicks, the segments of the time) stay, of a customer without a name.
Whoever writes or buys again afterwards is a new customer. Copies elsewhere are the operator's: backups, and the
snapshot of the facts until its next renewal.

Nothing more is sent to them. A message that may be on its way at that moment keeps its address until it is known what
became of it, since the same retry key must name the same people again; `forget_settled` takes it out then.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlmodel import Session

from store.bodies import changing_bodies
from store.changes import note_changes
from store.engine import table_of
from store.locks import DELIVERIES, lock_until_end
from store.models import (
    AuditEntry,
    BehaviourEvent,
    CampaignRun,
    Click,
    CustomerHour,
    CustomerListMember,
    CustomerPrediction,
    CustomerTag,
    CustomerWord,
    Delivery,
    Enrolment,
    LineAccount,
    Reply,
    RunMember,
    WebhookBody,
)
from store.persons import customer_of
from store.unsent import skip_unsent

FORGOTTEN = (CustomerTag, CustomerWord, CustomerListMember, Enrolment, CustomerHour, CustomerPrediction, RunMember)
ERASED = "erased:"  # what an address begins with once it is nobody's
RUNS_OVER = ("sent", "cancelled", "failed")  # nobody is sent to any more


def erase_person(session: Session, customer_id: int, *, actor: str, now: datetime) -> None:
    """Take out who they are and what they said, and let nothing more be sent to them. Raises NotFound."""
    lock_until_end(session.connection(), DELIVERIES)  # no delivery is made from the address as it was, nobody merged
    one = customer_of(session, customer_id)
    session.refresh(one, with_for_update=True)  # nor is a tag written by what was read before
    one.member_id = one.name = one.gender = one.birthday = one.city = one.language = None
    one.attributes, one.marketing_refused_at, one.marketing_agreed_at = {}, one.marketing_refused_at or now, None
    session.add(one)
    _forget_bodies(session, _forget_accounts(session, customer_id))
    _forget_words(session, customer_id)
    for model in FORGOTTEN:
        session.execute(delete(model).where(table_of(model).c.customer_id == customer_id))
    skip_unsent(session, [customer_id], "refused")
    _forget_addresses(session, [customer_id])
    note_changes(session, [customer_id], now)
    session.add(AuditEntry(at=now, actor=actor, action="erase customer", detail={"customer_id": customer_id}))


def forget_settled(session: Session) -> int:
    """Take the address out of deliveries to people erased earlier that were under way then and are over by now, and
    delete answers that were. Returns how many deliveries."""
    account = table_of(LineAccount)
    # not by a range: what lies between two texts hangs on the database's collation
    erased = select(account.c.customer_id).where(account.c.line_user_id.startswith(ERASED, autoescape=True))
    _forget_answers(session, erased)
    return _forget_addresses(session, erased)


def _forget_accounts(session: Session, customer_id: int) -> list[str]:
    """Returns the LINE ids that they had."""
    accounts = session.scalars(select(LineAccount).where(table_of(LineAccount).c.customer_id == customer_id)).all()
    had = [account.line_user_id for account in accounts]
    for account in accounts:
        account.line_user_id, account.display_name, account.profile_language = f"{ERASED}{account.id}", None, None
        account.is_following, account.profile_due_at = False, None
        session.add(account)
    return had


def _forget_words(session: Session, customer_id: int) -> None:
    """What they wrote, what was answered, and which device they tapped with."""
    event, click = table_of(BehaviourEvent), table_of(Click)
    _forget_answers(session, [customer_id])
    session.execute(update(BehaviourEvent).where(event.c.customer_id == customer_id).values(payload={}))
    tapped = (click.c.customer_id == customer_id) | (click.c.tapped_by_id == customer_id)
    session.execute(update(Click).where(tapped).values(user_agent=""))


def _forget_answers(session: Session, customer_ids: Any) -> None:
    event, reply = table_of(BehaviourEvent), table_of(Reply)
    answered = reply.c.event_id.in_(select(event.c.id).where(event.c.customer_id.in_(customer_ids)))
    of_them = answered | reply.c.customer_id.in_(customer_ids)
    session.execute(delete(Reply).where(of_them, reply.c.state != "sending"))


def _forget_bodies(session: Session, user_ids: list[str]) -> None:
    """Bodies that were set aside and name them: few, and read by nobody but the operator."""
    body = table_of(WebhookBody)
    with changing_bodies(session) as bodies:
        for key, raw in bodies.execute(select(body.c.id, body.c.body).where(body.c.problem.is_not(None))).all():
            if any(user_id.encode() in bytes(raw) for user_id in user_ids):
                bodies.execute(delete(WebhookBody).where(body.c.id == key))


def _forget_addresses(session: Session, customer_ids: Any) -> int:
    delivery, run = table_of(Delivery), table_of(CampaignRun)
    over = select(run.c.id).where(run.c.state.in_(RUNS_OVER))
    done = session.execute(
        update(delivery)
        .where(delivery.c.customer_id.in_(customer_ids), delivery.c.line_user_id.is_not(None))
        .where(or_(delivery.c.state != "chosen", delivery.c.run_id.in_(over)))
        .values(line_user_id=None)
    )
    return int(done.rowcount)  # type: ignore[attr-defined]
