"""The database side of sending: claim, load recipients, note what is begun, record outcomes, let go. Short transactions
only; none is open while LINE is being called.

A claim is a lease: a worker that dies loses it, and whoever takes over repeats with the stored retry keys, which LINE
accepts once. Before calls are begun it is noted for whom, a small group at a time: only they are in doubt when the
worker dies. A key is only good for 24 hours ("Retrying an API request"), so what has been in doubt for longer is marked
unknown and never repeated blindly.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    String,
    and_,
    bindparam,
    column,
    exists,
    func,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlmodel import Session

from campaigns.sending.slowing import may_begin, take_turn
from store.engine import is_sqlite, table_of
from store.models import Campaign, CampaignRun, Channel, Delivery, SendBatch
from store.types import UTCDateTime

KEY_LIFE = timedelta(hours=23)  # LINE keeps a retry key for 24; an hour is left for clocks and slow calls
BEING_SENT = ("planned", "sending")  # states of runs: while later people are being frozen, the first are sent to
# The order within a batch. Not the bare column: for its sake SQLite would walk the whole run by its key for each batch.
BY_CUSTOMER = table_of(Delivery).c.customer_id + 0


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
    may_leave: bool  # of a run whose people may leave the campaign while it is sent
    had_lapsed: bool  # whoever had it before let its lease run out

    @property
    def key(self) -> tuple[int, int]:
        """Run id and batch number: which batch it is."""
        return self.run_id, self.batch_number


class Outcome(NamedTuple):
    """What became of one recipient: state accepted, failed, unknown or skipped; or `chosen` with `doubt_since`,
    when LINE may have it and the call must be repeated."""

    customer_id: int
    state: str
    reason: str | None = None
    request_id: str | None = None
    sent_at: datetime | None = None
    doubt_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a multicast: state accepted, failed, unknown, or due again with `not_before`."""

    state: str
    request_id: str | None = None
    problem: str | None = None
    not_before: datetime | None = None
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
    """Take batches of one run being sent on `channels`: up to `limit` multicasts, or the pushes of one batch. First
    those of a worker that died, then, unless `only_lapsed`, the due ones of the run that goes first."""
    batch = table_of(SendBatch)
    rows: Sequence[Any] = []
    lapsed, due = _free(now)
    for is_free, *more in ((lapsed,),) if only_lapsed else ((lapsed,), (due, may_begin(now))):
        following = session.execute(_next_run(channels, is_free, now, *more)).first()
        if following is None:
            continue
        if following.slow_step and is_free is due:
            limit = 1
            if not take_turn(session, following.id, following.slow_step, now=now):
                continue
        batches = _sendable(following.id, is_free).limit(limit).with_for_update(of=batch, skip_locked=True)
        rows = session.execute(batches).all()
        if rows:
            break
    taken = rows if rows and rows[0].way == "multicast" else rows[:1]
    if taken:
        keys = [(row.run_id, row.batch_number) for row in taken]
        # A push's deliveries now change one by one; what becomes of a multicast stands on its batch.
        is_changing = {} if taken[0].way == "multicast" else {"is_tallied": False}
        session.execute(
            update(batch)
            .where(tuple_(batch.c.run_id, batch.c.batch_number).in_(keys))
            .values(
                **is_changing,
                state="claimed",
                claimed_by=worker,
                lease_until=now + lease,
                not_before=None,
                attempts=batch.c.attempts + 1,
            )
        )
    return [Claimed(**row._mapping, had_lapsed=is_free is lapsed) for row in taken]


def is_anything_free(session: Session, *, now: datetime, channels: Sequence[int]) -> bool:
    """Whether a claim would find something now. Reads only: on SQLite a look must not wait for a writer."""
    lapsed, due = _free(now)
    looks = (_next_run(channels, lapsed, now), _next_run(channels, due, now, may_begin(now)))
    return any(session.execute(look).first() is not None for look in looks)


def is_being_frozen(session: Session, *, now: datetime, channels: Sequence[int]) -> bool:
    """Whether a run's audience is being frozen, or is about to be: it may have a batch at any moment."""
    run, campaign = table_of(CampaignRun), table_of(Campaign)
    is_time = or_(run.c.send_from.is_(None), run.c.send_from <= now)
    planned = select(run.c.id).join(campaign, campaign.c.id == run.c.campaign_id)
    planned = planned.where(run.c.state == "planned", is_time, campaign.c.channel_id.in_(channels)).limit(1)
    return session.execute(planned).first() is not None


def _free(now: datetime) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Conditions of batches that may be claimed: those whose lease has lapsed, and those that are due."""
    batch = table_of(SendBatch)
    lapsed = (batch.c.state == "claimed", batch.c.lease_until < now)
    due = (batch.c.state == "due", or_(batch.c.not_before.is_(None), batch.c.not_before <= now))
    return lapsed, due


def _next_run(channels: Sequence[int], is_free: Sequence[Any], now: datetime, *more: Any) -> Any:
    """SELECT of the run that goes first among those with a free batch, and its slow_step: the highest priority; then
    those that people entered one by one, as a message to everybody would keep them waiting for minutes; then the
    oldest."""
    batch, run, campaign = table_of(SendBatch), table_of(CampaignRun), table_of(Campaign)
    channel = table_of(Channel)
    return (
        select(run.c.id, run.c.slow_step)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .join(channel, channel.c.id == campaign.c.channel_id)
        .where(run.c.state.in_(BEING_SENT), run.c.way != "narrowcast", may_send(now))
        .where(channel.c.id.in_(channels), channel.c.stopped_reason.is_(None), *more)
        .where(exists().where(batch.c.run_id == run.c.id, *is_free, _none_riding()))
        .order_by(campaign.c.priority.desc(), run.c.by_enrolment.desc(), run.c.id)
        .limit(1)
    )


def _sendable(run_id: int, is_free: Sequence[Any]) -> Any:
    """SELECT of the free batches of a run, in order."""
    batch, run, campaign = table_of(SendBatch), table_of(CampaignRun), table_of(Campaign)
    return (
        select(
            batch.c.run_id,
            batch.c.batch_number,
            campaign.c.channel_id,
            run.c.way,
            batch.c.variant_id,
            batch.c.language,
            batch.c.retry_key,
            batch.c.attempts,
            batch.c.first_attempt_at.label("doubt_since"),
            or_(run.c.by_enrolment, campaign.c.goal.is_not(None)).label("may_leave"),
        )
        .join(run, run.c.id == batch.c.run_id)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .where(batch.c.run_id == run_id, *is_free, _none_riding())
        .order_by(batch.c.batch_number)
    )


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


def runs_to_stop(session: Session, run_ids: Sequence[int], now: datetime) -> set[int]:
    """Which of these runs are no longer being sent: paused or cancelled meanwhile, or overtaken by quiet hours."""
    run = table_of(CampaignRun)
    at_rest = or_(run.c.state.not_in(BEING_SENT), not_(may_send(now)))
    return set(session.scalars(select(run.c.id).where(run.c.id.in_(run_ids), at_rest)))


def may_send(now: datetime) -> Any:
    """SQL: whether a run is outside the quiet hours. Which those are, planning/schedule.py says."""
    run = table_of(CampaignRun)
    has_begun = or_(run.c.send_from.is_(None), run.c.send_from <= now)
    return and_(has_begun, or_(run.c.send_until.is_(None), run.c.send_until > now))


def begin(
    session: Session, worker: str, batches: Sequence[Claimed], *, now: datetime, up_to: int | None = None
) -> set[tuple[int, int]]:
    """Note, before it is done, that calls are being made for `batches`: all of each, or of pushes only the people up to
    customer `up_to`. Returns the keys of those still in this worker's hands: make no call for the others."""
    batch = table_of(SendBatch)
    held = session.execute(
        update(batch)
        .where(
            tuple_(batch.c.run_id, batch.c.batch_number).in_([b.key for b in batches]),
            batch.c.claimed_by == worker,
            batch.c.state == "claimed",
        )
        .values(
            first_attempt_at=func.coalesce(batch.c.first_attempt_at, bindparam("now", now, UTCDateTime())),
            begun_up_to=up_to,
        )
        .returning(batch.c.run_id, batch.c.batch_number)
    )
    return {(row.run_id, row.batch_number) for row in held}


def chosen_in(batches: Sequence[Claimed]) -> tuple[Any, ...]:
    """SQL on delivery: who of some batches of one run is still to be sent to."""
    delivery = table_of(Delivery)
    return (
        delivery.c.run_id == batches[0].run_id,
        delivery.c.batch_number.in_([claimed.batch_number for claimed in batches]),
        delivery.c.state == "chosen",
        ~delivery.c.by_reply,
    )


def take_tally_back(session: Session, batches: Sequence[Claimed]) -> None:
    """Deliveries of some batches of one run have changed: whoever counted them must count again
    (campaigns/results/tally.py)."""
    batch = table_of(SendBatch)
    numbers = [claimed.batch_number for claimed in batches]
    these = (batch.c.run_id == batches[0].run_id, batch.c.batch_number.in_(numbers))
    session.execute(update(batch).where(*these).values(is_tallied=False))


def record_outcomes(session: Session, run_id: int, outcomes: Sequence[Outcome]) -> None:
    """Write what became of recipients. One that already has a final state keeps it: the first word counts."""
    if not outcomes:
        return
    # One order for everyone: a worker that lost its lease may be recording the same people at this moment.
    ordered = sorted(outcomes, key=lambda o: o.customer_id)
    columns = {
        "new_customer_id": [o.customer_id for o in ordered],
        "new_state": [o.state for o in ordered],
        "new_reason": [o.reason for o in ordered],
        "new_request_id": [o.request_id for o in ordered],
        "new_sent_at": [o.sent_at for o in ordered],
        "new_first_attempt_at": [o.doubt_since for o in ordered],
    }
    # The connection, not the session: Core, without the ORM's bookkeeping for bulk updates.
    if is_sqlite(session):
        rows = [dict(zip(columns, row, strict=True), run=run_id) for row in zip(*columns.values(), strict=True)]
        session.connection().execute(_RECORD_EACH, rows)
    else:
        session.connection().execute(_RECORD_ALL, {**columns, "run": run_id})


_RECORDED: dict[str, Any] = {
    "state": String(),
    "reason": String(),
    "request_id": String(),
    "sent_at": UTCDateTime(),
    "first_attempt_at": UTCDateTime(),
}


def _record_each() -> Any:
    delivery = table_of(Delivery)
    return (
        update(delivery)
        .where(
            delivery.c.run_id == bindparam("run"),
            delivery.c.customer_id == bindparam("new_customer_id"),
            delivery.c.state == "chosen",
        )
        .values({name: bindparam(f"new_{name}") for name in _RECORDED})
    )


def _record_all() -> Any:
    """PostgreSQL: all rows in one statement, a column an array. A statement a row would be half the work of a push."""
    delivery = table_of(Delivery)
    kinds = {"customer_id": BigInteger(), **_RECORDED}
    arrays = [bindparam(f"new_{name}", type_=ARRAY(kind)) for name, kind in kinds.items()]
    given = func.unnest(*arrays).table_valued(*(column(n, k) for n, k in kinds.items()), name="given").render_derived()
    mine = (delivery.c.run_id == bindparam("run"), delivery.c.state == "chosen")
    # Locked in one order first: an UPDATE … FROM takes its rows in whatever order the planner likes.
    locked = (
        select(delivery.c.customer_id)
        .where(*mine, delivery.c.customer_id == func.any(arrays[0]))
        .order_by(delivery.c.customer_id)
        .with_for_update()
        .cte("locked")
    )
    return (
        update(delivery)
        .where(*mine, delivery.c.customer_id == given.c.customer_id, locked.c.customer_id == given.c.customer_id)
        .values({name: given.c[name] for name in _RECORDED})
    )


_RECORD_EACH, _RECORD_ALL = _record_each(), _record_all()


def let_go(session: Session, claimed: Claimed, worker: str, *, not_before: datetime | None) -> None:
    """Give a batch of pushes back, all its outcomes being recorded: done when nobody in it is left to be sent to, else
    due again from `not_before` on. What is in doubt stands on the deliveries."""
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    left = session.scalar(select(func.count()).select_from(delivery).where(*chosen_in([claimed])))
    held = session.execute(
        update(batch)
        .where(*held_by(claimed, worker))
        .values(
            state="due" if left else "done",
            claimed_by=None,
            lease_until=None,
            not_before=not_before if left else None,
            first_attempt_at=None,
            begun_up_to=None,
        )
    )
    if held.rowcount == 0:  # type: ignore[attr-defined]
        take_tally_back(session, [claimed])  # the lease was lost, and who has it now may be done with it


def record_batches(
    session: Session, worker: str, outcomes: Sequence[tuple[Claimed, BatchOutcome]], *, now: datetime
) -> None:
    """Write what became of multicasts that `worker` still holds, and let them go."""
    rows = [
        {
            "its_run_id": claimed.run_id,
            "its_batch_number": claimed.batch_number,
            "worker": worker,
            "new_state": outcome.state,
            "new_not_before": outcome.not_before,
            "new_first_attempt_at": outcome.doubt_since,
            "new_sent_at": now if outcome.state == "accepted" else None,
            "new_request_id": outcome.request_id,
            "new_problem": outcome.problem,
        }
        for claimed, outcome in outcomes
    ]
    if rows:
        session.connection().execute(_RECORD_BATCH, rows)


def _record_batch() -> Any:
    batch = table_of(SendBatch)
    names = ("state", "not_before", "first_attempt_at", "sent_at", "request_id", "problem")
    return (
        update(batch)
        .where(
            batch.c.run_id == bindparam("its_run_id"),
            batch.c.batch_number == bindparam("its_batch_number"),
            batch.c.claimed_by == bindparam("worker"),
            batch.c.state == "claimed",
        )
        .values({name: bindparam(f"new_{name}") for name in names} | {"claimed_by": None, "lease_until": None})
    )


_RECORD_BATCH = _record_batch()


def held_by(claimed: Claimed, worker: str) -> tuple[Any, ...]:
    """SQL on send_batch: this batch, if it is still in the hands of `worker`."""
    batch = table_of(SendBatch)
    return (
        batch.c.run_id == claimed.run_id,
        batch.c.batch_number == claimed.batch_number,
        batch.c.claimed_by == worker,
        batch.c.state == "claimed",
    )
