"""The database side of sending: claim a batch, load its recipients, record outcomes, let go. Short transactions only;
none is open while LINE is being called.

A claim is a lease: a worker that dies loses it, and whoever takes over repeats with the stored retry keys, which LINE
accepts once. A key is only good for 24 hours ("Retrying an API request"), so what has been in doubt for longer is
marked unknown and never repeated blindly.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, exists, false, func, insert, literal, or_, select, tuple_, update
from sqlmodel import Session

from store.engine import table_of
from store.models import Campaign, CampaignRun, Channel, Customer, Delivery, LineAccount, SendBatch

KEY_LIFE = timedelta(hours=23)  # LINE keeps a retry key for 24; an hour is left for clocks and slow calls


@dataclass(frozen=True, slots=True)
class Claimed:
    """A batch in this worker's hands. `doubt_since`: since when an earlier worker may have called LINE for it."""

    run_id: int
    batch_number: int
    channel_id: int
    way: str
    variant_id: int | None
    language: str | None  # of a multicast's body; None: the plain version
    retry_key: str | None
    attempts: int
    doubt_since: datetime | None

    @property
    def key(self) -> tuple[int, int]:
        """Run id and batch number: which batch it is."""
        return self.run_id, self.batch_number


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person of a batch still to be sent to, with the fields that content may name."""

    customer_id: int
    line_user_id: str
    variant_id: int
    retry_key: str | None
    doubt_since: datetime | None
    fields: dict[str, Any]
    languages: tuple[str | None, str | None]  # the brand's word, then LINE's


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient: state accepted, failed, unknown or skipped; or `chosen` with `doubt_since`,
    when LINE may have it and the call must be repeated."""

    customer_id: int
    state: str
    reason: str | None = None
    request_id: str | None = None
    sent_at: datetime | None = None
    doubt_since: datetime | None = None


def claim_batches(
    session: Session,
    worker: str,
    *,
    limit: int,
    lease: timedelta,
    now: datetime,
    channels: Sequence[int],
    only_lapsed: bool = False,
) -> list[Claimed]:
    """Take up to `limit` batches of runs being sent on `channels`: those of a worker that died, and, unless
    `only_lapsed`, due ones."""
    batch, run, campaign = table_of(SendBatch), table_of(CampaignRun), table_of(Campaign)
    channel = table_of(Channel)
    is_due = and_(batch.c.state == "due", or_(batch.c.not_before.is_(None), batch.c.not_before <= now))
    is_free = or_(
        false() if only_lapsed else is_due,
        and_(batch.c.state == "claimed", batch.c.lease_until < now),
    )
    rows = session.execute(
        select(
            batch.c.run_id,
            batch.c.batch_number,
            campaign.c.channel_id,
            run.c.way,
            batch.c.variant_id,
            batch.c.language,
            batch.c.retry_key,
            batch.c.attempts,
            batch.c.first_attempt_at,
        )
        .join(run, run.c.id == batch.c.run_id)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .join(channel, channel.c.id == campaign.c.channel_id)
        .where(run.c.state == "sending", run.c.way != "narrowcast")
        .where(is_free, channel.c.id.in_(channels), channel.c.stopped_reason.is_(None))
        .where(_none_riding())
        .order_by(batch.c.run_id, batch.c.batch_number)
        .limit(limit)
        .with_for_update(of=batch, skip_locked=True)
    ).all()
    for row in rows:
        # A push's deliveries now change one by one; what becomes of a multicast stands on its batch.
        is_changing = {} if row.way == "multicast" else {"is_tallied": False}
        session.execute(
            update(batch)
            .where(batch.c.run_id == row.run_id, batch.c.batch_number == row.batch_number)
            .values(
                **is_changing,
                state="claimed",
                claimed_by=worker,
                lease_until=now + lease,
                not_before=None,
                attempts=batch.c.attempts + 1,
                first_attempt_at=func.coalesce(batch.c.first_attempt_at, literal(now, batch.c.first_attempt_at.type)),
            )
        )
    return [Claimed(*row) for row in rows]


def _none_riding() -> Any:
    """SQL: nobody of the batch is on the way by a free reply (campaigns/sending/rides.py); it waits until that is
    known. Looked up only for runs that wait for replies."""
    delivery, batch, run = table_of(Delivery), table_of(SendBatch), table_of(CampaignRun)
    riding = exists().where(
        delivery.c.run_id == batch.c.run_id,
        delivery.c.batch_number == batch.c.batch_number,
        delivery.c.state == "chosen",
        delivery.c.by_reply,
    )
    return or_(run.c.reply_until.is_(None), ~riding)


def renew(
    session: Session, worker: str, batches: Collection[tuple[int, int]], *, lease: timedelta, now: datetime
) -> None:
    """Keep those of `batches` (run id, batch number) that `worker` holds for another lease. One that it claimed and
    dropped, because the database went away in between, must lapse: so it says which are in its hands."""
    batch = table_of(SendBatch)
    mine = tuple_(batch.c.run_id, batch.c.batch_number).in_(batches)
    session.execute(
        update(batch)
        .where(mine, batch.c.claimed_by == worker, batch.c.state == "claimed")
        .values(lease_until=now + lease)
    )


def runs_to_stop(session: Session, run_ids: Sequence[int]) -> set[int]:
    """Which of these runs are no longer being sent: paused or cancelled meanwhile."""
    run = table_of(CampaignRun)
    return set(session.scalars(select(run.c.id).where(run.c.id.in_(run_ids), run.c.state != "sending")))


def recipients_of(session: Session, claimed: Claimed) -> list[Recipient]:
    """Who in a claimed batch is still to be sent to, by customer id. A refusal since the freeze is obeyed here:
    such a person is skipped now, unless LINE may already have the message."""
    delivery, customer, account = table_of(Delivery), table_of(Customer), table_of(LineAccount)
    mine = and_(
        delivery.c.run_id == claimed.run_id, delivery.c.batch_number == claimed.batch_number, ~delivery.c.by_reply
    )
    if claimed.doubt_since is None:
        refusing = select(customer.c.id).where(
            customer.c.id == delivery.c.customer_id, customer.c.marketing_refused_at.is_not(None)
        )
        refused = session.execute(
            update(delivery)
            .where(mine, delivery.c.state == "chosen", delivery.c.first_attempt_at.is_(None), refusing.exists())
            .values(state="skipped", reason="refused")
        )
        if refused.rowcount:  # type: ignore[attr-defined]
            batch = table_of(SendBatch)
            this = (batch.c.run_id == claimed.run_id, batch.c.batch_number == claimed.batch_number)
            session.execute(update(batch).where(*this).values(is_tallied=False))
    rows = session.execute(
        select(
            delivery.c.customer_id,
            delivery.c.line_user_id,
            delivery.c.variant_id,
            delivery.c.retry_key,
            delivery.c.first_attempt_at,
            customer.c.name,
            customer.c.gender,
            customer.c.city,
            customer.c.language,
            customer.c.member_id,
            customer.c.attributes,
            account.c.display_name,
            account.c.profile_language,
        )
        .join(customer, customer.c.id == delivery.c.customer_id)
        .outerjoin(
            account,
            and_(account.c.channel_id == claimed.channel_id, account.c.line_user_id == delivery.c.line_user_id),
        )
        .where(mine, delivery.c.state == "chosen")
        .order_by(delivery.c.customer_id)
    ).all()
    return [
        Recipient(
            row.customer_id,
            row.line_user_id,
            row.variant_id,
            row.retry_key,
            row.first_attempt_at or claimed.doubt_since,
            fields_of(row),
            (row.language, row.profile_language),
        )
        for row in rows
    ]


def fields_of(row: Any) -> dict[str, Any]:
    """The fields that content may name, of a row with a customer's columns; what is unknown is left out."""
    named = {
        "name": row.name or row.display_name,
        "display_name": row.display_name,
        "gender": row.gender,
        "city": row.city,
        "language": row.language,
        "member_id": row.member_id,
    }
    fields = {**(row.attributes or {}), **{key: value for key, value in named.items() if value is not None}}
    return {key: value for key, value in fields.items() if value is not None}


def record_outcomes(session: Session, run_id: int, outcomes: Sequence[Outcome]) -> None:
    """Write what became of recipients. One that already has a final state keeps it: the first word counts."""
    if not outcomes:
        return
    delivery = table_of(Delivery)
    statement = (
        update(delivery)
        .where(
            delivery.c.run_id == run_id,
            delivery.c.customer_id == bindparam("who"),
            delivery.c.state == "chosen",
        )
        .values(
            state=bindparam("new_state"),
            reason=bindparam("why"),
            request_id=bindparam("request"),
            sent_at=bindparam("at"),
            first_attempt_at=bindparam("doubt"),
        )
    )
    # The connection, not the session: a Core executemany, without the ORM's bookkeeping for bulk updates.
    session.connection().execute(
        statement,
        [
            {
                "who": o.customer_id,
                "new_state": o.state,
                "why": o.reason,
                "request": o.request_id,
                "at": o.sent_at,
                "doubt": o.doubt_since,
            }
            # One order for everyone: a worker that lost its lease may be recording the same people at this moment.
            for o in sorted(outcomes, key=lambda o: o.customer_id)
        ],
    )


def let_go(
    session: Session, claimed: Claimed, worker: str, *, not_before: datetime | None, problem: str | None = None
) -> None:
    """Give a batch back: done when nobody in it is left to be sent to, else due again from `not_before` on.

    A doubt that came with the claim stays; one that this worker began is on the deliveries by now.
    """
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    left = session.scalar(
        select(func.count()).where(
            delivery.c.run_id == claimed.run_id,
            delivery.c.batch_number == claimed.batch_number,
            delivery.c.state == "chosen",
        )
    )
    session.execute(
        update(batch)
        .where(*_held(claimed, worker))
        .values(
            state="due" if left else "done",
            claimed_by=None,
            lease_until=None,
            not_before=not_before if left else None,
            first_attempt_at=claimed.doubt_since,
            problem=problem,
        )
    )


def record_batch(
    session: Session,
    claimed: Claimed,
    worker: str,
    *,
    state: str,
    now: datetime,
    request_id: str | None = None,
    problem: str | None = None,
    not_before: datetime | None = None,
    doubt_since: datetime | None = None,
) -> None:
    """What became of a multicast: `state` accepted, failed, unknown, or due again with `not_before`."""
    session.execute(
        update(table_of(SendBatch))
        .where(*_held(claimed, worker))
        .values(
            state=state,
            claimed_by=None,
            lease_until=None,
            not_before=not_before,
            first_attempt_at=doubt_since,
            sent_at=now if state == "accepted" else None,
            request_id=request_id,
            problem=problem,
        )
    )


def split_batch(session: Session, claimed: Claimed, worker: str, keys: Sequence[str]) -> None:
    """LINE refused a multicast for one of its recipients: two halves with new retry keys take its place.

    The old key was refused, so nobody got it. Bisection ends at the bad id; all others are sent to.
    """
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    session.execute(  # the run's row orders those who number new batches
        select(table_of(CampaignRun).c.id).where(table_of(CampaignRun).c.id == claimed.run_id).with_for_update()
    )
    held = session.execute(
        update(batch).where(*_held(claimed, worker)).values(state="split", claimed_by=None, is_tallied=False)
    )
    if held.rowcount == 0:  # type: ignore[attr-defined]
        return  # the lease was lost and another worker decides
    people = list(
        session.scalars(
            select(delivery.c.customer_id)
            .where(
                delivery.c.run_id == claimed.run_id,
                delivery.c.batch_number == claimed.batch_number,
                delivery.c.state == "chosen",
            )
            .order_by(delivery.c.customer_id)
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
                wave=0,
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


def _held(claimed: Claimed, worker: str) -> tuple[Any, ...]:
    batch = table_of(SendBatch)
    return (
        batch.c.run_id == claimed.run_id,
        batch.c.batch_number == claimed.batch_number,
        batch.c.claimed_by == worker,
        batch.c.state == "claimed",
    )
