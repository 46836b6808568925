"""From stored webhook bodies to behaviour events: a later, repeatable job, batch by batch.

One transaction records the events of some bodies and all that follows from them; the bodies are deleted with it on
PostgreSQL, after it on SQLite, where they lie in a file of their own (store/bodies.py). A crash at any point leaves
bodies where they were, and twice is once by the unique event key. It never calls LINE.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlmodel import Session

from bot.accounts import AccountKey, Known, find_or_make, record_follows, record_wishes
from bot.events import LineEvent, read_body, without_words
from bot.replies import MAX_MESSAGES, ReplyTexts, Riders, Seat, answer_to, expires_at
from store.changes import note_changes, note_responses
from store.clock import Clock
from store.engine import insert_for, is_sqlite, reading, table_of, transaction
from store.models import BehaviourEvent, Channel, Reply, WebhookBody
from store.unsent import skip_unsent

LAST_EVENT_WITHIN = timedelta(minutes=1)  # a channel's row isn't written with every batch: other processors would wait
MAX_EVENTS = 500  # in one transaction, about 30 ms: SQLite's other writers, clicks among them, wait that long
UNSEND_LOCK = 0x11E_0001  # PostgreSQL advisory lock: see _lock_out_unsends

_body = table_of(WebhookBody)
_event = table_of(BehaviourEvent)
_channel = table_of(Channel)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Press:
    """A button that comes back by webhook was tapped: its data, by whom, and when (aware UTC)."""

    data: str
    customer_id: int
    at: datetime


class Buttons(Protocol):
    """Whoever counts taps of buttons; called inside a transaction, once for each event."""

    def record(self, session: Session, presses: Sequence[Press]) -> None:
        """Keep those that are its own."""


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A body of the inbox, read. `problem`: why it is kept when its readable events are stored; None: it goes."""

    body_id: int
    channel_id: int
    destination: str | None
    events: list[LineEvent]
    problem: str | None


@dataclass(frozen=True, slots=True)
class Owing:
    """What is owed for events: the brand's answers, what rides along, and the count of buttons."""

    texts: ReplyTexts
    riders: Riders | None
    buttons: Buttons | None


def process_inbox(
    engine: Engine,
    bodies: Engine,
    *,
    clock: Clock,
    texts: ReplyTexts,
    riders: Riders | None = None,
    buttons: Buttons | None = None,
    limit: int = 500,
) -> int:
    """Turn up to `limit` waiting bodies into events; return how many bodies were taken, 0 when none waits. Writes.

    `bodies`: where they wait (store/bodies.py). `texts` are the answers owed, `riders` whoever has something waiting
    for free replies, `buttons` whoever counts taps of buttons. A body that can't be stored is set aside with its
    problem and holds up no other. Any number of these may run at once. Raises sqlalchemy.exc.OperationalError when a
    database is out of reach or the transaction lost a deadlock: call again.
    """
    inbox = _Inbox(engine, bodies, clock, Owing(texts, riders, buttons))
    waiting = select(_body).where(_body.c.problem.is_(None)).order_by(_body.c.id).limit(limit)
    try:
        return inbox.take(waiting)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # some body is at fault, whatever the fault: find it by taking each alone
        log.warning("webhook_batch_failed", error=type(error).__name__)
    with reading(bodies) as session:
        body_ids = list(session.scalars(waiting.with_only_columns(_body.c.id)))
    for body_id in body_ids:
        _take_alone(inbox, body_id)
    return len(body_ids)


@dataclass(frozen=True, slots=True)
class _Inbox:
    """Where bodies come from and their events go to."""

    engine: Engine
    bodies: Engine
    clock: Clock
    owing: Owing

    def take(self, query: Any) -> int:
        """Store the events of the bodies that `query` finds, and what follows from them; return how many bodies."""
        if self.bodies is self.engine:
            with transaction(self.engine) as session:
                claimed = _claim(session, query)
                _store(session, claimed, self.clock(), self.owing)
                _finish(session, claimed)
            return len(claimed)
        with reading(self.bodies) as session:
            claimed = _claim(session, query)
        if claimed:
            with transaction(self.engine) as session:
                _store(session, claimed, self.clock(), self.owing)
            with transaction(self.bodies) as session:  # last: killed before it, they are read once more
                _finish(session, claimed)
        return len(claimed)


def _take_alone(inbox: _Inbox, body_id: int) -> None:
    """One body by itself; set aside if that fails."""
    try:
        inbox.take(select(_body).where(_body.c.problem.is_(None), _body.c.id == body_id))
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        # The error's kind only: its text may quote the event.
        problem = f"can't be stored: {type(getattr(error, 'orig', None) or error).__name__}"
        with transaction(inbox.bodies) as session:
            session.execute(update(_body).where(_body.c.id == body_id).values(problem=problem))
        log.warning("webhook_body_set_aside", body_id=body_id, problem=problem)


def _claim(session: Session, query: Any) -> list[_Claimed]:
    """The bodies that `query` finds, in order of arrival, until they hold MAX_EVENTS events; the rest are left for the
    next batch. On PostgreSQL locked by this transaction and held by no other."""
    claimed: list[_Claimed] = []
    event_count = 0
    for row in session.execute(query if is_sqlite(session) else query.with_for_update(skip_locked=True)):
        read = read_body(row.body, row.channel_id, row.received_at)
        claimed.append(_Claimed(row.id, row.channel_id, read.destination, read.events, read.problem))
        event_count += len(read.events)
        if event_count >= MAX_EVENTS:
            break
    return claimed


def _store(session: Session, claimed: Sequence[_Claimed], now: datetime, owing: Owing) -> None:
    """Store the events of these bodies and what follows from them."""
    if not claimed:
        return
    _note_channels(session, claimed)
    events = [event for body in claimed for event in body.events]
    _lock_out_unsends(session, events)
    keys: set[AccountKey] = {(e.channel_id, e.line_user_id) for e in events if e.line_user_id is not None}
    known = find_or_make(session, keys, now)
    ids = _insert_events(session, events, known)
    new = {event.key: event for event in reversed(events) if event.key in ids}  # the first of two copies
    record_follows(session, new.values(), known, now)
    left = [known[e.channel_id, e.line_user_id] for e in new.values() if e.kind == "unfollow" and e.line_user_id]
    skip_unsent(session, {one.customer_id for one in left}, "blocked", accounts={one.account_id for one in left})
    record_wishes(session, new.values(), known, now)
    _remove_unsent_words(session, new.values())
    _count_presses(session, new.values(), known, owing)
    _owe_replies(session, new, ids, known, now, owing)
    acted = {known[e.channel_id, e.line_user_id].customer_id for e in new.values() if e.line_user_id}
    note_changes(session, acted, now)
    note_responses(session, {one.customer_id for one in left})


def _note_channels(session: Session, claimed: Sequence[_Claimed]) -> None:
    """Keep when each channel had its newest event, and the name of the account that its bodies are for: for the
    marketer, the signature has said whose they are."""
    columns = (_channel.c.id, _channel.c.destination, _channel.c.last_event_at)
    known = {row.id: row for row in session.execute(select(*columns))}
    for channel_id in sorted({body.channel_id for body in claimed}):  # two processors wait in one direction only
        mine, row = [body for body in claimed if body.channel_id == channel_id], known[channel_id]
        changes: dict[str, Any] = {}
        destination = next((body.destination for body in reversed(mine) if body.destination), row.destination)
        if destination != row.destination:
            if row.destination is not None:
                log.warning("channel_destination_changed", channel_id=channel_id)
            changes["destination"] = destination
        newest = max((event.received_at for body in mine for event in body.events), default=None)
        if newest and (row.last_event_at is None or newest - row.last_event_at >= LAST_EVENT_WITHIN):
            changes["last_event_at"] = newest
        if changes:
            session.execute(update(_channel).where(_channel.c.id == channel_id).values(changes))


def _lock_out_unsends(session: Session, events: Sequence[LineEvent]) -> None:
    """On PostgreSQL, keep a message and its unsending from being stored at the same time by two processors.

    Neither transaction would see the other's row, and the words would stay. Messages share the lock; an unsend, which
    is rare, waits for the transactions with messages and then sees their rows. SQLite has one writer at a time anyway.
    """
    kinds = {event.kind for event in events if event.message_id is not None}
    if is_sqlite(session) or not kinds:
        return
    lock = func.pg_advisory_xact_lock if "unsend" in kinds else func.pg_advisory_xact_lock_shared
    session.execute(select(lock(UNSEND_LOCK)))


def _insert_events(session: Session, events: Sequence[LineEvent], known: dict[AccountKey, Known]) -> dict[str, int]:
    """Store the events that are new, and return their ids by event key."""
    if not events:
        return {}
    rows: list[dict[str, Any]] = [
        {
            "event_key": event.key,
            "source": "line",
            "kind": event.kind,
            "channel_id": event.channel_id,
            "customer_id": known[event.channel_id, event.line_user_id].customer_id if event.line_user_id else None,
            "occurred_at": event.occurred_at,
            "received_at": event.received_at,
            "message_id": event.message_id,
            "payload": event.payload,
        }
        for event in events
    ]
    # Sorted: two processors with the same redelivered events then wait for each other in one direction only.
    rows.sort(key=lambda row: str(row["event_key"]))
    statement = insert_for(session, BehaviourEvent).on_conflict_do_nothing(index_elements=["event_key"])
    inserted = session.execute(statement.returning(_event.c.event_key, _event.c.id), rows)
    return {row.event_key: row.id for row in inserted}


def _count_presses(session: Session, new: Iterable[LineEvent], known: dict[AccountKey, Known], owing: Owing) -> None:
    """Hand the buttons that were tapped to who counts them, each event once."""
    presses = [
        Press(data, known[event.channel_id, event.line_user_id].customer_id, event.occurred_at)
        for event in new
        if (data := event.postback_data) is not None and event.line_user_id is not None
    ]
    if owing.buttons is not None and presses:
        owing.buttons.record(session, presses)


def _remove_unsent_words(session: Session, new: Any) -> None:
    """Take the words out of every message that was unsent, whichever of the two came first."""
    unsent = {e.message_id for e in new if e.kind == "unsend" and e.message_id is not None}
    said = {e.message_id for e in new if e.kind != "unsend" and e.message_id is not None} - unsent
    if said:
        query = select(_event.c.message_id).where(_event.c.kind == "unsend", _event.c.message_id.in_(said))
        unsent |= set(session.execute(query).scalars())
    if not unsent:
        return
    query = select(_event.c.id, _event.c.payload).where(_event.c.message_id.in_(unsent), _event.c.kind != "unsend")
    for event_id, payload in session.execute(query).all():  # rare: a statement each is no burden
        session.execute(update(_event).where(_event.c.id == event_id).values(payload=without_words(payload)))


def _owe_replies(
    session: Session,
    new: dict[str, LineEvent],
    ids: dict[str, int],
    known: dict[AccountKey, Known],
    now: datetime,
    owing: Owing,
) -> None:
    """A Reply row for each new event whose token is still good and that is owed an answer, or that something waiting
    for a free reply rides along with."""
    answers = {
        key: answer_to(event, owing.texts)
        for key, event in new.items()
        if event.reply_token and now < expires_at(event)
    }
    seats = [
        Seat(key, event.channel_id, known[event.channel_id, event.line_user_id].customer_id, MAX_MESSAGES - len(answer))
        for key, answer in answers.items()
        if (event := new[key]).is_one_to_one and event.line_user_id is not None
    ]
    rides = owing.riders.claim(session, seats, now) if owing.riders and seats else {}
    rows = [
        {
            "event_id": ids[key],
            "channel_id": new[key].channel_id,
            "reply_token": new[key].reply_token,
            "messages": [*answer, *(ride.messages if ride else [])],
            "expires_at": expires_at(new[key]),
            "state": "due",
            "run_id": ride.run_id if ride else None,
            "customer_id": ride.customer_id if ride else None,
        }
        for key, answer in answers.items()
        if (ride := rides.get(key)) or answer
    ]
    if rows:
        session.execute(insert(table_of(Reply)), rows)


def _finish(session: Session, claimed: Sequence[_Claimed]) -> None:
    """Delete the bodies that are done with, keep those with a problem."""
    done = [body.body_id for body in claimed if body.problem is None]
    session.execute(delete(_body).where(_body.c.id.in_(done)))
    for body in claimed:
        if body.problem is not None:
            session.execute(update(_body).where(_body.c.id == body.body_id).values(problem=body.problem))
            log.warning("webhook_body_set_aside", body_id=body.body_id, problem=body.problem)
