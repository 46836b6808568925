"""Messages that nobody has begun to send, taken back for some people: as after any refusal they are skipped."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import and_, exists, select, tuple_, update
from sqlmodel import Session

from store.engine import table_of
from store.models import Campaign, CampaignRun, Delivery, LineAccount, Reply, SendBatch

delivery, batch, run, reply = (table_of(one) for one in (Delivery, SendBatch, CampaignRun, Reply))
campaign, account = table_of(Campaign), table_of(LineAccount)


def skip_unsent(
    session: Session, customer_ids: Collection[int], reason: str, *, accounts: Collection[int] | None = None
) -> None:
    """Skip for `reason` what waits to be sent to these customers; with `accounts` only what would go to those of these
    LINE accounts (ids) that don't follow now. What may be on its way, with a call or a reply, is left: whoever sends it
    notes what became of it. Never commits."""
    if not customer_ids:
        return
    found = session.execute(
        _waiting(customer_ids, accounts).order_by(batch.c.run_id, batch.c.batch_number).with_for_update(of=batch)
    ).all()  # locked, so that no worker takes it in between; in order, so that two wait in one direction only
    mine = tuple_(delivery.c.run_id, delivery.c.customer_id).in_([(row.run_id, row.customer_id) for row in found])
    session.execute(update(delivery).where(mine, delivery.c.state == "chosen").values(state="skipped", reason=reason))
    of_them = tuple_(batch.c.run_id, batch.c.batch_number).in_({(row.run_id, row.batch_number) for row in found})
    session.execute(update(batch).where(of_them).values(is_tallied=False))


def _waiting(customer_ids: Collection[int], accounts: Collection[int] | None) -> Any:
    """The query of (run_id, batch_number, customer_id) of what nobody has begun to send."""
    is_riding = exists().where(reply.c.run_id == delivery.c.run_id, reply.c.customer_id == delivery.c.customer_id)
    # Their deliveries first ("offset 0" keeps it so): PostgreSQL would go through the batches of all runs that wait.
    theirs = (
        select(delivery.c.run_id, delivery.c.batch_number, delivery.c.customer_id, delivery.c.line_user_id)
        .where(
            delivery.c.customer_id.in_(customer_ids),
            delivery.c.state == "chosen",
            delivery.c.first_attempt_at.is_(None),
            ~is_riding,
        )
        .offset(0)
        .subquery()
    )
    found = (
        select(batch.c.run_id, batch.c.batch_number, theirs.c.customer_id)
        .join(batch, and_(batch.c.run_id == theirs.c.run_id, batch.c.batch_number == theirs.c.batch_number))
        .join(run, run.c.id == batch.c.run_id)
        .where(batch.c.state.in_(("waiting", "due")), batch.c.first_attempt_at.is_(None), run.c.way != "narrowcast")
    )
    if accounts is None:
        return found
    goes_there = (
        account.c.id.in_(accounts),
        account.c.is_following.is_(False),
        account.c.line_user_id == theirs.c.line_user_id,
        campaign.c.id == run.c.campaign_id,
        campaign.c.channel_id == account.c.channel_id,
    )
    return found.where(exists().where(*goes_there))
