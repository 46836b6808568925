"""A multicast that LINE refused for one of its recipients: halved until the bad id is alone; the rest still go."""

from collections.abc import Sequence

from sqlalchemy import func, insert, select, update
from sqlmodel import Session

from campaigns.sending.claims import BY_CUSTOMER, Claimed, held_by
from store.engine import table_of
from store.models import CampaignRun, Delivery, SendBatch


def split_batch(session: Session, claimed: Claimed, worker: str, keys: Sequence[str]) -> None:
    """LINE refused a multicast for one of its recipients: two halves with new retry keys take its place.

    The old key was refused, so nobody got it. Bisection ends at the bad id; all others are sent to.
    """
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    session.execute(  # the run's row orders those who number new batches
        select(table_of(CampaignRun).c.id).where(table_of(CampaignRun).c.id == claimed.run_id).with_for_update()
    )
    held = session.execute(
        update(batch)
        .where(*held_by(claimed, worker))
        .values(state="split", claimed_by=None, is_tallied=False)
        .returning(batch.c.wave)
    ).first()
    if held is None:
        return  # the lease was lost and another worker decides
    people = list(
        session.scalars(
            select(delivery.c.customer_id)
            .where(
                delivery.c.run_id == claimed.run_id,
                delivery.c.batch_number == claimed.batch_number,
                delivery.c.state == "chosen",
            )
            .order_by(BY_CUSTOMER)
        )
    )
    last = session.scalar(select(func.max(batch.c.batch_number)).where(batch.c.run_id == claimed.run_id)) or 0
    middle = len(people) // 2
    for number, (key, half) in enumerate(zip(keys, (people[:middle], people[middle:]), strict=True), last + 1):
        session.execute(
            insert(batch).values(
                run_id=claimed.run_id,
                batch_number=number,
                recipient_count=len(half),
                variant_id=claimed.variant_id,
                language=claimed.language,
                wave=held.wave,  # whose shares gave its people their variant
                state="due",
                attempts=0,
                retry_key=key,
            )
        )
        session.execute(
            update(delivery)
            .where(
                delivery.c.run_id == claimed.run_id,
                delivery.c.batch_number == claimed.batch_number,
                delivery.c.customer_id.between(half[0], half[-1]),
                delivery.c.state == "chosen",
            )
            .values(batch_number=number)
        )
