"""Skipping who of a run is not to be sent to any more: cancelled, or overtaken by quiet hours or by time."""

from datetime import datetime
from typing import Any

from sqlalchemy import and_, exists, false, or_, select, update
from sqlmodel import Session

from store.engine import table_of
from store.models import Delivery, SendBatch

# the reasons of deliveries that may have gone out before the end
IN_DOUBT = {reason: f"{reason} in doubt" for reason in ("cancelled", "quiet_hours", "missed")}
UNSENT = ("waiting", "due", "claimed")  # states of batches that are still to be sent
BATCHES_SKIPPED = 6  # of a cancelled run in one transaction: 3,000 people, some 50 ms


def skip_batches(session: Session, run_id: int, reason: str, which: Any) -> bool:
    """Skip the people of some batches of a run, of those that `which` (SQL on send_batch) names; whether there are
    more."""
    batch, delivery = table_of(SendBatch), table_of(Delivery)
    unsent = (batch.c.run_id == run_id, which)
    numbers = list(
        session.scalars(
            select(batch.c.batch_number).where(*unsent).order_by(batch.c.batch_number).limit(BATCHES_SKIPPED)
        )
    )
    # Who was chosen and never called is skipped; where a call may have got through, nobody can know.
    in_doubt = or_(
        delivery.c.first_attempt_at.is_not(None),
        exists().where(
            batch.c.run_id == run_id,
            batch.c.batch_number == delivery.c.batch_number,
            batch.c.first_attempt_at.is_not(None),
            or_(batch.c.begun_up_to.is_(None), delivery.c.customer_id <= batch.c.begun_up_to),
        ),
    )
    rest = (delivery.c.run_id == run_id, delivery.c.state == "chosen", delivery.c.batch_number.in_(numbers))
    session.execute(update(delivery).where(*rest, in_doubt).values(state="unknown", reason=IN_DOUBT[reason]))
    session.execute(update(delivery).where(*rest).values(state="skipped", reason=reason))
    session.execute(
        update(batch)
        .where(*unsent, batch.c.batch_number.in_(numbers))
        .values(state="done", claimed_by=None, lease_until=None, is_tallied=False)
    )
    return len(numbers) == BATCHES_SKIPPED


def had_its_time(send_from: datetime, way: str) -> Any:
    """SQL on send_batch: whether it could be sent during all of the time since `send_from`, or was tried in vain. Not
    what waits for a person's hour, or for what others teach; nor a narrowcast that LINE may have: it is followed."""
    batch = table_of(SendBatch)
    had_it = or_(batch.c.attempts > 0, batch.c.not_before.is_(None), batch.c.not_before <= send_from)
    may_be_sent = batch.c.first_attempt_at.is_not(None) if way == "narrowcast" else false()
    return and_(batch.c.state == "due", had_it, ~may_be_sent)
