"""Who is signed in: a random token in the browser's cookie, its hash in the database."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlmodel import Session

from console.access.roles import Role, SignedIn
from console.access.users import hash_token
from store.engine import table_of
from store.models import ConsoleSession, ConsoleUser

IDLE = timedelta(hours=12)
LASTS = timedelta(days=14)
SEEN_EVERY = timedelta(minutes=1)

row, user = table_of(ConsoleSession), table_of(ConsoleUser)


def begin(session: Session, user_id: int, *, user_agent: str, now: datetime) -> str:
    """A new session; returns its token, which is stored nowhere else."""
    token = secrets.token_urlsafe(32)
    session.add(
        ConsoleSession(
            token_hash=hash_token(token), user_id=user_id, created_at=now, last_seen_at=now, user_agent=user_agent[:200]
        )
    )
    return token


def find(session: Session, token: str, now: datetime) -> tuple[int, SignedIn, bool] | None:
    """(id of the session, who it is, whether it is to be marked as seen); None when it ended, or sat idle for 12 hours,
    or is 14 days old, or its account is disabled."""
    found = session.execute(
        select(row.c.id, row.c.last_seen_at, user.c.id, user.c.email, user.c.name, user.c.role)
        .join(user, user.c.id == row.c.user_id)
        .where(
            row.c.token_hash == hash_token(token),
            row.c.ended_at.is_(None),
            row.c.last_seen_at > now - IDLE,
            row.c.created_at > now - LASTS,
            user.c.disabled_at.is_(None),
        )
    ).first()
    if found is None:
        return None
    session_id, seen, user_id, email, name, role = found
    return session_id, SignedIn(user_id, email, name, Role(role)), now - seen > SEEN_EVERY


def mark_seen(session: Session, session_id: int, now: datetime) -> None:
    """So that it doesn't end for being idle."""
    session.execute(update(ConsoleSession).where(row.c.id == session_id).values(last_seen_at=now))


def end(session: Session, session_id: int, user_id: int, now: datetime) -> bool:
    """Sign one browser of an account out. False when it was out, or isn't theirs."""
    theirs = (row.c.id == session_id, row.c.user_id == user_id, row.c.ended_at.is_(None))
    done = session.execute(update(ConsoleSession).where(*theirs).values(ended_at=now))
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]


def open_sessions(session: Session, user_id: int, now: datetime) -> list[ConsoleSession]:
    """An account's browsers that are signed in, the newest first."""
    alive = (row.c.ended_at.is_(None), row.c.last_seen_at > now - IDLE, row.c.created_at > now - LASTS)
    found = select(ConsoleSession).where(row.c.user_id == user_id, *alive).order_by(row.c.id.desc())
    return list(session.scalars(found))


def forget_ended(session: Session, now: datetime) -> None:
    """Delete sessions that can never be used again, a day after they ended."""
    before = now - timedelta(days=1)
    over = or_(row.c.ended_at < before, row.c.last_seen_at < before - IDLE, row.c.created_at < before - LASTS)
    session.execute(row.delete().where(over))
