"""Work that only one process may do at a time, held by a row: a killed process is taken over when its lease is over.

Whoever holds one makes sure of it in every transaction that writes (`hold`), so that one who was taken over, because
he was too slow, can't write any more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Thread
from uuid import uuid4

import structlog
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.errors import ExpectedError
from store.models import Lease

log = structlog.get_logger()

lease = table_of(Lease)


class LeaseLost(ExpectedError):
    """Somebody else took the work over."""

    http_status = 409
    may_try_again = True


@dataclass(frozen=True)
class Held:
    """A lease that is ours."""

    name: str
    holder: str
    length: timedelta
    clock: Clock

    def hold(self, session: Session) -> None:
        """Lengthen the lease in the session's transaction. Raises LeaseLost when it is no longer ours."""
        ours = (lease.c.name == self.name) & (lease.c.holder == self.holder)
        later = update(lease).where(ours).values(lease_until=self.clock() + self.length)
        if session.execute(later).rowcount != 1:  # type: ignore[attr-defined]
            raise LeaseLost(f"the work {self.name!r} was taken over by another process, because this one was too slow")


@contextmanager
def leased(engine: Engine, name: str, length: timedelta, clock: Clock) -> Iterator[Held | None]:
    """The lease `name` for the length of the block; None while another process has it. Given back at the end."""
    held = Held(name, uuid4().hex, length, clock)
    now = clock()
    row = {"holder": held.holder, "taken_at": now, "lease_until": now + length}
    taken = _took(engine, name, row, now)
    if not taken:
        yield None
        return
    try:
        yield held
    finally:
        with transaction(engine) as session:
            session.execute(delete(lease).where(lease.c.name == name, lease.c.holder == held.holder))


@contextmanager
def lengthened(engine: Engine, held: Held) -> Iterator[None]:
    """Keep a short lease for the length of the block, which may ask one question for long: a thread lengthens it. So a
    process that is killed in the middle is taken over soon all the same. Once the lease is lost it stays lost: whoever
    then writes is told by `hold`."""
    is_over = Event()

    def lengthen() -> None:
        while not is_over.wait(held.length.total_seconds() / 3):
            try:
                with transaction(engine) as session:
                    held.hold(session)
            except (LeaseLost, SQLAlchemyError) as error:  # the database went away: others may be quicker
                log.warning("lease_not_kept", lease=held.name, error=type(error).__name__)
                return

    beat = Thread(target=lengthen, name=f"lease {held.name}", daemon=True)
    beat.start()
    try:
        yield
    finally:
        is_over.set()
        beat.join()


def _took(engine: Engine, name: str, row: dict[str, object], now: datetime) -> bool:
    """Whether the lease was free, or over, and is now this row's: one statement, so that one of two gets it."""
    with reading(engine) as session:  # cheap, and without the writer's lock
        if session.scalar(select(lease.c.lease_until).where(lease.c.name == name, lease.c.lease_until >= now)):
            return False
    with transaction(engine) as session:
        claim = insert_for(session, Lease).values(name=name, **row)
        claim = claim.on_conflict_do_update(index_elements=["name"], set_=row, where=lease.c.lease_until < now)
        return bool(session.execute(claim.returning(lease.c.name)).scalar() is not None)
