"""After failed attempts in a row an account, and an address, must wait before the next: longer each time."""

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlmodel import Session

from store.engine import insert_for, table_of
from store.models import AuditEntry, ConsoleAttempt

FREE = {"account": 5, "address": 20}  # failures in a row before the first wait; many people may share an address
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
FORGOTTEN_AFTER = timedelta(hours=24)

NOBODY = "not signed in"  # who tried, in the audit log

WAIT = "試太多次了，請在 {when} 之後再試。"

attempt = table_of(ConsoleAttempt)


def must_wait(session: Session, email: str, address: str | None, now: datetime) -> datetime | None:
    """When `address` may try the account `email` again (aware UTC); None: now."""
    waits = [until for subject in subjects(email, address) if (until := waits_until(session, subject, now))]
    return max(waits, default=None)


def note_failed(
    session: Session,
    email: str,
    address: str | None,
    now: datetime,
    *,
    user_id: int | None,
    action: str = "fail to sign in",
    actor: str = NOBODY,
) -> None:
    """A wrong password or code for `email` from `address`. Of an account that there is, it stands in the audit log by
    its number, as often as the waits allow a guess; what was typed stands nowhere."""
    for subject in subjects(email, address):
        note_failure(session, subject, now)
    if user_id is not None:
        session.add(AuditEntry(at=now, actor=actor, action=action, detail={"user_id": user_id}))


def subjects(email: str, address: str | None) -> tuple[str, str]:
    """Under which names attempts are counted."""
    return account_subject(email), address_subject(address or "unknown")


def account_subject(email: str) -> str:
    """The subject of an account, known or not; its address itself isn't written down."""
    return "account:" + hashlib.sha256(email.lower().encode()).hexdigest()


def address_subject(address: str) -> str:
    """The subject of whoever asks from `address`."""
    return f"address:{address}"


def waits_until(session: Session, subject: str, now: datetime) -> datetime | None:
    """When `subject` may try again (aware UTC); None: now. 30 s after the failures that are free, then twice as long
    with each, up to an hour."""
    found = session.get(ConsoleAttempt, subject)
    if found is None or now - found.last_failed_at > FORGOTTEN_AFTER:
        return None
    beyond = found.failed_count - FREE[subject.partition(":")[0]]
    if beyond < 0:
        return None
    until = found.last_failed_at + min(FIRST_WAIT * 2 ** min(beyond, 10), LONGEST_WAIT)
    return until if until > now else None


def note_failure(session: Session, subject: str, now: datetime) -> None:
    """One more in a row."""
    found = session.get(ConsoleAttempt, subject)
    is_old = found is not None and now - found.last_failed_at > FORGOTTEN_AFTER
    count = 1 if found is None or is_old else attempt.c.failed_count + 1
    session.execute(
        insert_for(session, ConsoleAttempt)
        .values(subject=subject, failed_count=1, last_failed_at=now)
        .on_conflict_do_update(index_elements=["subject"], set_={"failed_count": count, "last_failed_at": now})
    )


def forget_failures(session: Session, *subjects: str) -> None:
    """They came in: the count begins anew."""
    session.execute(delete(ConsoleAttempt).where(attempt.c.subject.in_(subjects)))
