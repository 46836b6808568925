"""A marketer's own LINE account, for test messages. It is theirs because the code on their page came from it: nobody
can have messages sent to somebody else's phone."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlmodel import Session

from store.engine import table_of
from store.models import AuditEntry, BehaviourEvent, ConsoleLine, LineAccount

CODE_LASTS = timedelta(minutes=30)
DIGITS = 8  # one guess in a hundred million, by somebody who would only bind their own phone

event, account, own = table_of(BehaviourEvent), table_of(LineAccount), table_of(ConsoleLine)


def make_code(session: Session, user_id: int, channel_id: int, *, actor: str, now: datetime) -> ConsoleLine:
    """A new code to be sent to the channel's account; an account that was bound stays until it comes."""
    one = session.get(ConsoleLine, (user_id, channel_id))
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    newest = session.scalar(select(func.max(event.c.id))) or 0
    if one is None:
        one = ConsoleLine(user_id=user_id, channel_id=channel_id, code=code, after_event_id=newest, asked_at=now)
    else:
        one.code, one.after_event_id, one.asked_at = code, newest, now
    session.add(one)
    detail = {"user_id": user_id, "channel_id": channel_id}
    session.add(AuditEntry(at=now, actor=actor, action="ask for code for own LINE account", detail=detail))
    return one


def own_lines(session: Session, user_id: int) -> dict[int, ConsoleLine]:
    """Channel id -> the person's own account there, bound or asked for."""
    return {one.channel_id: one for one in session.scalars(select(ConsoleLine).where(own.c.user_id == user_id))}


def sender_of_code(session: Session, one: ConsoleLine, *, now: datetime) -> int | None:
    """The LINE account that sent the code since it was made; None: nobody did, or it is too old. Looks only at events
    that came after it."""
    if not one.code or now - one.asked_at > CODE_LASTS:
        return None
    payload = event.c.payload
    said = select(payload["source"]["userId"].as_string()).where(
        event.c.id > one.after_event_id,
        event.c.kind == "message",
        event.c.channel_id == one.channel_id,
        payload["message"]["text"].as_string() == one.code,
    )
    user_id = session.scalar(said.order_by(event.c.id).limit(1))
    theirs = select(account.c.id).where(account.c.channel_id == one.channel_id, account.c.line_user_id == user_id)
    return session.scalar(theirs)


def bind(session: Session, one: ConsoleLine, account_id: int, *, actor: str, now: datetime) -> None:
    """Let `account_id` be the person's own; the code is used up."""
    mine = (own.c.user_id == one.user_id, own.c.channel_id == one.channel_id)
    session.execute(update(ConsoleLine).where(*mine).values(line_account_id=account_id, code=""))
    detail = {"user_id": one.user_id, "line_account_id": account_id}
    session.add(AuditEntry(at=now, actor=actor, action="bind own LINE account", detail=detail))


def unbind(session: Session, user_id: int, channel_id: int, *, actor: str, now: datetime) -> None:
    """Forget the person's own account on a channel."""
    one = session.get(ConsoleLine, (user_id, channel_id))
    if one is not None:
        session.delete(one)
        detail = {"user_id": user_id, "channel_id": channel_id}
        session.add(AuditEntry(at=now, actor=actor, action="forget own LINE account", detail=detail))
