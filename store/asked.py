"""What people ask the worker for: written in the request, done by the worker, told when it is over."""

from datetime import datetime

from sqlalchemy import select, update
from sqlmodel import Session

from store.engine import insert_for, table_of
from store.models import AuditEntry, WorkRequest

SEGMENTS, LABELS, SAMPLE_LOAD, SAMPLE_REMOVE = "segments", "product labels", "sample load", "sample remove"

table = table_of(WorkRequest)


def ask_for(session: Session, work: str, *, actor: str, now: datetime, anew: bool = False) -> bool:
    """Ask the worker for `work`; False when it was asked for already and isn't done yet. With `anew` that is asked for
    once more: something was changed just now, of which work that is under way knows nothing. Never commits."""
    fresh = {"asked_at": now, "asked_by": actor, "done_at": None, "problem": None}
    again = insert_for(session, WorkRequest).values(work=work, **fresh)
    is_over = None if anew else table.c.done_at.is_not(None)
    again = again.on_conflict_do_update(index_elements=["work"], set_=fresh, where=is_over)
    if session.execute(again.returning(table.c.work)).scalar() is None:
        return False
    session.add(AuditEntry(at=now, actor=actor, action=f"ask for {work}", detail={}))
    return True


def request_for(session: Session, work: str) -> WorkRequest | None:
    """The newest asking for `work`, done or not."""
    return session.get(WorkRequest, work)


def waiting_work(session: Session) -> list[WorkRequest]:
    """What is asked for and not done, the oldest first."""
    return list(session.scalars(select(WorkRequest).where(table.c.done_at.is_(None)).order_by(table.c.asked_at)))


def note_done(session: Session, asked: WorkRequest, *, problem: str | None, now: datetime) -> None:
    """Note that this asking was answered. One that came meanwhile stays open. Never commits."""
    same = (table.c.work == asked.work, table.c.asked_at == asked.asked_at)
    session.execute(update(table).where(*same).values(done_at=now, problem=problem))
