"""People as LINE's events show them: accounts made on first sight, follow state and refusals by LINE's time.

Inner functions of the inbox's transaction: each takes the session and never commits. All are set-based, and each says
the same twice over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, and_, bindparam, delete, func, insert, or_, select, update
from sqlmodel import Session

from bot.events import LineEvent
from bot.wishes import wish_of
from store.engine import insert_for, table_of
from store.models import AuditEntry, Channel, ConsentChange, Customer, Enrolment, LineAccount
from store.types import UTCDateTime

AccountKey = tuple[int, str]  # channel id, LINE user id

_account = table_of(LineAccount)
_customer = table_of(Customer)
_channel = table_of(Channel)
_enrolment = table_of(Enrolment)


@dataclass(frozen=True, slots=True)
class Known:
    """Ids of an account and of the person behind it."""

    account_id: int
    customer_id: int


def find_or_make(session: Session, keys: set[AccountKey], now: datetime) -> dict[AccountKey, Known]:
    """The account of every key, made together with its customer when seen for the first time.

    A LINE user id is the same on all channels of a provider, so someone known on another channel gets no second
    customer. Two processors that meet the same person make one account, by the unique constraint.
    """
    found = _find(session, keys)
    missing = sorted(keys - found.keys())  # sorted: two processors then lock in the same order
    if not missing:
        return found
    elsewhere = _customers_elsewhere(session, {line_user_id for _, line_user_id in missing})
    without = sorted({line_user_id for _, line_user_id in missing} - elsewhere.keys())
    new_ids: list[int] = []
    if without:
        made = insert(_customer).returning(_customer.c.id)
        blank = {"created_at": now, "attributes": {}, "refusal_changed_ms": 0}
        new_ids = list(session.execute(made, [blank] * len(without)).scalars())
    customer_of = elsewhere | dict(zip(without, new_ids, strict=True))
    accounts = [
        {
            "channel_id": channel_id,
            "line_user_id": line_user_id,
            "customer_id": customer_of[line_user_id],
            "follow_changed_ms": 0,
            "profile_due_at": now,
            "profile_tries": 0,
        }
        for channel_id, line_user_id in missing
    ]
    session.execute(insert_for(session, LineAccount).on_conflict_do_nothing(), accounts)
    found |= _find(session, set(missing))
    if lost := set(new_ids) - {known.customer_id for known in found.values()}:
        session.execute(delete(_customer).where(_customer.c.id.in_(lost)))  # another processor was first
    return found


def _find(session: Session, keys: set[AccountKey]) -> dict[AccountKey, Known]:
    columns = (_account.c.channel_id, _account.c.line_user_id, _account.c.id, _account.c.customer_id)
    found: dict[AccountKey, Known] = {}
    for channel_id in {channel_id for channel_id, _ in keys}:
        users = [line_user_id for channel, line_user_id in keys if channel == channel_id]
        query = select(*columns).where(_account.c.channel_id == channel_id, _account.c.line_user_id.in_(users))
        found |= {(row[0], row[1]): Known(row[2], row[3]) for row in session.execute(query)}
    return found


def _customers_elsewhere(session: Session, line_user_ids: set[str]) -> dict[str, int]:
    """Customer ids of those known on any channel; the channel is named in the query for its index."""
    channels = select(_channel.c.id).scalar_subquery()
    query = select(_account.c.line_user_id, _account.c.customer_id).where(
        _account.c.channel_id.in_(channels), _account.c.line_user_id.in_(line_user_ids)
    )
    return {row.line_user_id: row.customer_id for row in session.execute(query)}


def record_follows(
    session: Session, events: Iterable[LineEvent], known: Mapping[AccountKey, Known], now: datetime
) -> None:
    """Set who follows by LINE's timestamps: the newest wins whatever the order of arrival.

    Of a follow and an unfollow in the same millisecond the unfollow wins: better one message too few. Someone who
    talks to the account in private follows it, unless something better is known.
    """
    newest: dict[int, tuple[int, bool]] = {}  # account -> (timestamp_ms, is unfollow): the greatest wins
    talking: set[int] = set()
    for event in events:
        if event.line_user_id is None or not event.is_one_to_one:
            continue
        account_id = known[event.channel_id, event.line_user_id].account_id
        if event.kind in ("follow", "unfollow"):
            state = (event.timestamp_ms, event.kind == "unfollow")
            newest[account_id] = max(state, newest.get(account_id, state))
        elif event.kind in ("message", "postback"):
            talking.add(account_id)
    if newest:
        states = [{"key": key, "ms": ms, "follows": not left} for key, (ms, left) in sorted(newest.items())]
        _set_follow_states(session, states, now)
    if talking:
        is_unknown = and_(_account.c.id.in_(talking), _account.c.is_following.is_(None))
        session.execute(update(_account).where(is_unknown).values(is_following=True))


def _set_follow_states(session: Session, states: list[dict[str, int | bool]], now: datetime) -> None:
    changed_ms = _account.c.follow_changed_ms
    leaves = bindparam("follows", type_=Boolean).is_(False)
    is_newer = or_(changed_ms < bindparam("ms"), and_(changed_ms == bindparam("ms"), leaves))
    statement = (
        update(_account)
        .where(_account.c.id == bindparam("key"), is_newer)
        .values(is_following=bindparam("follows"), follow_changed_ms=bindparam("ms"))
    )
    session.connection().execute(statement, states)
    followers = [state["key"] for state in states if state["follows"]]
    nameless = and_(
        _account.c.id.in_(followers), _account.c.display_name.is_(None), _account.c.profile_due_at.is_(None)
    )
    # LINE gives no profile of someone who blocked us; now it does again.
    session.execute(update(_account).where(nameless).values(profile_due_at=now, profile_tries=0))


def record_wishes(
    session: Session, events: Iterable[LineEvent], known: Mapping[AccountKey, Known], now: datetime
) -> None:
    """Obey refusals of marketing and their withdrawal, by LINE's timestamps; each change is audited.

    The newest wins whatever the order of arrival; of two in the same millisecond the refusal does.
    """
    newest: dict[int, tuple[int, bool, LineEvent]] = {}  # customer -> (timestamp_ms, refuses, event)
    for event in events:
        if (wish := wish_of(event)) is None or event.line_user_id is None:
            continue
        customer_id = known[event.channel_id, event.line_user_id].customer_id
        state = (event.timestamp_ms, wish == "refuse", event)
        newest[customer_id] = max(state, newest.get(customer_id, state), key=lambda s: s[:2])
    audit, changes = [], []
    for customer_id, (ms, refuses, event) in sorted(newest.items()):  # rare: a statement each is no burden
        if _set_wish(session, customer_id, ms, refuses, event.occurred_at):
            if refuses:
                _end_sequences(session, customer_id)
            action = "marketing_refused" if refuses else "marketing_resumed"
            detail = {"customer_id": customer_id, "event_key": event.key}
            audit.append({"at": now, "actor": "customer", "action": action, "detail": detail})
            change = {"customer_id": customer_id, "at": event.occurred_at, "refuses": refuses, "actor": "customer"}
            changes.append(change)
    if audit:
        session.execute(insert(table_of(AuditEntry)), audit)
        session.execute(insert(table_of(ConsentChange)), changes)


def _end_sequences(session: Session, customer_id: int) -> None:
    """Whoever refuses leaves every campaign that they are on the way through, at once: a later resumption is no return.
    What was chosen for them is skipped when it would be sent."""
    on_the_way = (_enrolment.c.customer_id == customer_id, _enrolment.c.state.in_(("waiting", "taken")))
    session.execute(update(_enrolment).where(*on_the_way).values(state="left", reason="refused"))


def _set_wish(session: Session, customer_id: int, ms: int, refuses: bool, occurred_at: datetime) -> bool:
    """Whether the wish was newer than what was known, and so is now what holds."""
    changed_ms, refused = _customer.c.refusal_changed_ms, _customer.c.marketing_refused_at
    if refuses:
        is_newer = changed_ms <= ms
        since = func.coalesce(refused, bindparam("at", occurred_at, UTCDateTime))  # the first refusal's time is kept
        values: dict[str, Any] = {"marketing_refused_at": since, "marketing_agreed_at": None, "refusal_changed_ms": ms}
    else:  # a refusal noted elsewhere (by a marketer) has no LINE time, but a time all the same
        is_newer = and_(changed_ms < ms, or_(refused.is_(None), refused < occurred_at))
        values = {"marketing_refused_at": None, "marketing_agreed_at": occurred_at, "refusal_changed_ms": ms}
    statement = (
        update(_customer).where(_customer.c.id == customer_id, is_newer).values(values).returning(_customer.c.id)
    )
    return session.execute(statement).first() is not None
