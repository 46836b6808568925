"""Answers: which events are owed one, what it says, and sending it by reply token, once and in time.

What is owed is decided in the inbox's transaction (a Reply row per event); sending claims, commits, calls, records.
A reply has no retry key at LINE, so it is never repeated: after a crash it counts as unknown. It is free: what waits
for somebody's next one may ride along (`Riders`), and learns what became of it in the transaction that records it.
Source: Messaging API reference, "Send reply message > Reply token".
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Engine, and_, or_, select, update
from sqlmodel import Session

from bot.events import LineEvent
from bot.line import LineError
from bot.wishes import wish_of
from store.clock import Clock
from store.engine import is_sqlite, reading, table_of, transaction
from store.models import Reply

TOKEN_LIFE = timedelta(seconds=50)  # LINE: one minute from receipt; ten seconds are left for the call
TOKEN_LAST_USE = timedelta(minutes=19)  # LINE: redelivered tokens die 20 minutes after the event
MAX_MESSAGES = 5  # in one reply ("Send reply message")
CALLS_AT_ONCE = 32  # 100 a second when LINE takes 0.3 s: many answers fall due at once, and none may be late


@dataclass(frozen=True, slots=True)
class ReplyTexts:
    """The brand's words for each answer; an empty text means no answer."""

    welcome: str
    refused: str
    resumed: str


class ReplyDoor(Protocol):
    """The part of a channel's door to LINE used here."""

    def reply(self, reply_token: str, messages: list[dict[str, Any]]) -> None:
        """Answer an event. Raises bot.line.LineError."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A free reply due to a person alone with the account, and how many more messages fit into it (LINE takes 5)."""

    event_key: str
    channel_id: int
    customer_id: int
    room: int


class Ride(Protocol):
    """What rides along with a reply."""

    @property
    def run_id(self) -> int: ...
    @property
    def customer_id(self) -> int: ...
    @property
    def messages(self) -> list[dict[str, Any]]: ...


class Riders(Protocol):
    """Whoever has messages waiting for free replies; both are called inside a transaction and never call LINE."""

    def claim(self, session: Session, seats: Sequence[Seat], now: datetime) -> Mapping[str, Ride]:
        """Event key -> what rides along."""

    def settle(self, session: Session, run_id: int, customer_id: int, reply_state: str, now: datetime) -> None:
        """What became of the reply: sent, expired, failed or unknown."""


# --- what is owed ----------------------------------------------------------------------------------------------


def answer_to(event: LineEvent, texts: ReplyTexts) -> list[dict[str, Any]]:
    """The message objects owed for an event; empty list: none is."""
    wish = wish_of(event)
    if event.kind == "follow":
        text = texts.welcome
    elif wish is not None:
        text = texts.refused if wish == "refuse" else texts.resumed
    else:
        text = ""
    return [{"type": "text", "text": text}] if text else []


def expires_at(event: LineEvent) -> datetime:
    """Until when the event's reply token may be used (exclusive)."""
    return min(event.received_at + TOKEN_LIFE, event.occurred_at + TOKEN_LAST_USE)


# --- sending ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Claimed:
    reply_id: int
    channel_id: int
    reply_token: str
    messages: list[dict[str, Any]]
    expires_at: datetime


def send_due_replies(
    engine: Engine, doors: Mapping[int, ReplyDoor], *, clock: Clock, riders: Riders | None = None, limit: int = 64
) -> int:
    """Send up to `limit` answers that are due and return how many were taken; 0: nothing was due. Writes.

    `doors` is keyed by channel id. States: sent; expired (too late, not tried); failed (LINE said no, or the channel
    has no door); unknown (LINE may have it, or we crashed in between). None is ever tried twice.
    """
    with reading(engine) as session:  # asked for four times a second: on SQLite a look must not wait for a writer
        if not _is_anything_due(session, clock()):
            return 0
    with transaction(engine) as session:
        _settle_over(session, clock(), riders)
        claimed = _claim(session, limit)
    with ThreadPoolExecutor(max_workers=CALLS_AT_ONCE, thread_name_prefix="reply") as pool:
        calls = {pool.submit(_send, reply, doors.get(reply.channel_id), clock): reply for reply in claimed}
        for call in as_completed(calls):
            state, problem = call.result()
            with transaction(engine) as session:
                _record(session, calls[call].reply_id, state, problem, clock(), riders)
    return len(claimed)


def _is_anything_due(session: Session, now: datetime) -> bool:
    reply = table_of(Reply)
    is_due = or_(reply.c.state == "due", and_(reply.c.state == "sending", reply.c.expires_at <= now))
    return session.execute(select(reply.c.id).where(is_due).limit(1)).first() is not None


def _settle_over(session: Session, now: datetime, riders: Riders | None) -> None:
    """Settle the replies whose token is dead. Due still: expired, never tried. Still `sending`: its sender crashed, and
    LINE may or may not have the answer."""
    reply = table_of(Reply)
    over = select(reply.c.id, reply.c.state).where(reply.c.state.in_(("due", "sending")), reply.c.expires_at <= now)
    over = over.order_by(reply.c.id)
    for row in session.execute(over if is_sqlite(session) else over.with_for_update(skip_locked=True)).all():
        if row.state == "due":
            _record(session, row.id, "expired", None, now, riders)
        else:
            abandoned = "the sender stopped before LINE's answer was recorded"
            _record(session, row.id, "unknown", abandoned, now, riders)


def _claim(session: Session, limit: int) -> list[_Claimed]:
    """Mark due replies as being sent, so that no other sender takes them."""
    reply = table_of(Reply)
    due = select(reply).where(reply.c.state == "due").order_by(reply.c.expires_at).limit(limit)
    rows = session.execute(due if is_sqlite(session) else due.with_for_update(skip_locked=True)).all()
    if rows:
        session.execute(update(reply).where(reply.c.id.in_([r.id for r in rows])).values(state="sending"))
    return [_Claimed(r.id, r.channel_id, r.reply_token, r.messages, r.expires_at) for r in rows]


def _send(reply: _Claimed, door: ReplyDoor | None, clock: Clock) -> tuple[str, str | None]:
    """Call LINE; the reply's new state, and the problem if there was one."""
    if door is None:
        return "failed", "the channel has no access token"
    if clock() >= reply.expires_at:
        return "expired", None
    try:
        door.reply(reply.reply_token, reply.messages)
    except LineError as error:
        return "unknown" if error.in_doubt else "failed", str(error)
    return "sent", None


def _record(
    session: Session, reply_id: int, state: str, problem: str | None, now: datetime, riders: Riders | None
) -> None:
    """Write what became of a reply, and tell whoever rides along. The first word counts, but for a reply that was
    given up as unknown while its sender still lived: what LINE then says is better known."""
    reply = table_of(Reply)
    changed = session.execute(
        update(reply)
        .where(reply.c.id == reply_id, reply.c.state.in_(("due", "sending", "unknown")))
        .values(state=state, problem=problem)
        .returning(reply.c.run_id, reply.c.customer_id)
    ).first()
    if changed is not None and changed.run_id is not None:
        if riders is None:
            raise RuntimeError(f"reply {reply_id} carries a delivery, but nobody is there to be told what became of it")
        riders.settle(session, changed.run_id, changed.customer_id, state, now)
