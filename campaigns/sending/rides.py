"""Free reply first: a delivery rides along with the answer to its person's next message, and costs nothing.

Until a run's `reply_until` its batches wait. Whoever writes meanwhile gets the campaign with the reply. The delivery is
claimed in the transaction that stores the event, while its batch is kept from being claimed for pushing: it goes by one
way or the other, never both. A reply can't be repeated: one in doubt makes the delivery unknown; one that LINE refused,
or that was never tried, gives it back to be pushed. bot/ declares what it needs of this; service/ joins the two.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson
from sqlalchemy import and_, case, exists, func, insert, null, or_, select, update
from sqlmodel import Session

from campaigns.content.message import InvalidMessage, NotRenderable
from campaigns.content.versions import Versions
from campaigns.links.making import LinkMaker
from campaigns.planning.skipping import IN_DOUBT
from campaigns.results.tally import forget_tally
from campaigns.sending.recipients import READER, fields_of
from store.engine import is_sqlite, table_of
from store.models import Campaign, CampaignRun, Customer, Delivery, Enrolment, LineAccount, SendBatch

KEPT_RUNS = 64  # whose compiled content is kept between events


class Seat(Protocol):
    """A free reply that is due to somebody, with room for so many more messages."""

    @property
    def event_key(self) -> str: ...
    @property
    def channel_id(self) -> int: ...
    @property
    def customer_id(self) -> int: ...
    @property
    def room(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Ride:
    """A delivery that rides along: 1-5 messages ready for LINE."""

    run_id: int
    customer_id: int
    messages: list[dict[str, Any]]


class Rides:
    """Takes deliveries along. `links` makes tracked links as dispatch does."""

    def __init__(self, links: LinkMaker) -> None:
        self._links = links
        self._runs: dict[int, _Run] = {}

    def claim(self, session: Session, seats: Sequence[Seat], now: datetime) -> dict[str, Ride]:
        """Event key -> the delivery that rides along with its reply; at most one a seat, each delivery once. Nobody who
        has refused, blocked or left gets any. The claims hold when the caller's transaction is committed."""
        runs = _waiting_runs(session, now)
        waiting = _waiting(session, runs, {seat.customer_id for seat in seats}) if runs else []
        found: dict[str, Ride] = {}
        for seat in sorted(seats, key=lambda seat: seat.customer_id):  # one order for all: no deadlock
            for row in waiting:
                if (row.channel_id, row.customer_id) != (seat.channel_id, seat.customer_id):
                    continue
                messages = self._rendered(session, row)
                if 0 < len(messages) <= seat.room and _take(session, row.run_id, row.customer_id, now):
                    found[seat.event_key] = Ride(row.run_id, row.customer_id, messages)
                    break
        return found

    def settle(self, session: Session, run_id: int, customer_id: int, reply_state: str, now: datetime) -> None:
        """What became of a ride, by the state of its reply: sent, unknown, or another, and then nothing was sent."""
        delivery = table_of(Delivery)
        riding = (delivery.c.run_id == run_id, delivery.c.customer_id == customer_id, delivery.c.by_reply)
        # The rest of a cancelled run was closed as in doubt; by now one knows.
        is_open = or_(delivery.c.state == "chosen", delivery.c.reason.in_(IN_DOUBT.values()))
        if reply_state == "sent":
            values: dict[str, Any] = {"state": "accepted", "reason": None, "first_attempt_at": None, "sent_at": now}
            is_open = delivery.c.state.in_(("chosen", "unknown"))
        elif reply_state == "unknown":
            values = {"state": "unknown", "reason": "a free reply in doubt"}
        else:
            values = {
                "state": case((delivery.c.state == "unknown", "skipped"), else_="chosen"),
                "reason": case((delivery.c.state == "unknown", "cancelled"), else_=null()),
                "by_reply": False,
                "first_attempt_at": None,
            }
        session.execute(update(delivery).where(*riding, is_open).values(values))
        _count_again(session, run_id, customer_id)
        if reply_state not in ("sent", "unknown"):
            _find_batch(session, run_id, customer_id)

    def _rendered(self, session: Session, row: Any) -> list[dict[str, Any]]:
        """The person's messages; empty when they can't be made: pushing will say why."""
        try:
            run = self._run(session, row.run_id)
        except InvalidMessage:
            return []

        # In a reply the link may be the person's own even where a multicast's is the same for everyone.
        track = self._links.tracker(run.link_ids, row.run_id, row.customer_id)
        try:
            content = run.contents[row.variant_id].for_reader(row.language, row.profile_language)
            messages: list[dict[str, Any]] = orjson.loads(content(fields_of(row), track))
        except NotRenderable:
            return []
        return messages

    def _run(self, session: Session, run_id: int) -> "_Run":
        if run_id not in self._runs:
            if len(self._runs) >= KEPT_RUNS:
                self._runs.clear()
            run = session.get_one(CampaignRun, run_id)
            self._runs[run_id] = _Run(run.link_ids, {v["variant_id"]: Versions(v) for v in run.variants})
        return self._runs[run_id]


@dataclass(frozen=True)
class _Run:
    """What is kept of a run between events."""

    link_ids: Mapping[str, int]
    contents: Mapping[int, Versions]  # variant id -> what it says


def _waiting_runs(session: Session, now: datetime) -> list[int]:
    """Runs that wait for free replies now: mostly none, and then nothing more is asked."""
    run = table_of(CampaignRun)
    return list(session.scalars(select(run.c.id).where(run.c.state == "sending", run.c.reply_until > now)))


def _waiting(session: Session, run_ids: list[int], customer_ids: set[int]) -> Sequence[Any]:
    """Deliveries of these people that may still go by reply, the most important campaign first. Run and batch are
    locked against pausing and claiming until the transaction ends, without waiting for whoever has them now."""
    delivery, batch, run = table_of(Delivery), table_of(SendBatch), table_of(CampaignRun)
    campaign, customer, account = table_of(Campaign), table_of(Customer), table_of(LineAccount)
    way = table_of(Enrolment)
    # These people's deliveries first ("offset 0" keeps it so): PostgreSQL, which knows nothing of how large a run is,
    # would go through the batches of all runs that wait.
    theirs = (
        select(delivery)
        .where(
            delivery.c.customer_id.in_(customer_ids),
            delivery.c.run_id.in_(run_ids),
            delivery.c.state == "chosen",
            ~delivery.c.by_reply,
            delivery.c.first_attempt_at.is_(None),
            delivery.c.variant_id.is_not(None),
        )
        .offset(0)
        .subquery("theirs")
    )
    query = (
        select(
            theirs.c.run_id,
            theirs.c.customer_id,
            theirs.c.variant_id,
            campaign.c.channel_id,
            *READER,
        )
        .join(run, run.c.id == theirs.c.run_id)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .join(batch, and_(batch.c.run_id == theirs.c.run_id, batch.c.batch_number == theirs.c.batch_number))
        .join(customer, customer.c.id == theirs.c.customer_id)
        .join(
            account,
            and_(account.c.channel_id == campaign.c.channel_id, account.c.line_user_id == theirs.c.line_user_id),
        )
        .where(
            run.c.state == "sending",
            batch.c.state == "due",
            batch.c.first_attempt_at.is_(None),
            customer.c.marketing_refused_at.is_(None),
            ~exists().where(
                way.c.run_id == theirs.c.run_id, way.c.customer_id == theirs.c.customer_id, way.c.state == "left"
            ),
            or_(account.c.is_following.is_(None), account.c.is_following),
        )
        .order_by(campaign.c.priority.desc(), run.c.reply_until, theirs.c.run_id)
    )
    if is_sqlite(session):
        return session.execute(query).all()
    return session.execute(query.with_for_update(read=True, of=[run, batch], skip_locked=True)).all()


def _take(session: Session, run_id: int, customer_id: int, now: datetime) -> bool:
    delivery = table_of(Delivery)
    taken = session.execute(
        update(delivery)
        .where(
            delivery.c.run_id == run_id,
            delivery.c.customer_id == customer_id,
            delivery.c.state == "chosen",
            ~delivery.c.by_reply,
        )
        .values(by_reply=True, first_attempt_at=now)
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]


def _count_again(session: Session, run_id: int, customer_id: int) -> None:
    """What is kept of the run's counts no longer holds for somebody's batch."""
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    if session.get_one(CampaignRun, run_id).tallied_at is not None:  # rare: it was closed over a reply in doubt
        forget_tally(session, run_id)
        return
    mine = select(delivery.c.batch_number).where(delivery.c.run_id == run_id, delivery.c.customer_id == customer_id)
    session.execute(
        update(batch)
        .where(batch.c.run_id == run_id, batch.c.batch_number == mine.scalar_subquery())
        .values(is_tallied=False)
    )


def _find_batch(session: Session, run_id: int, customer_id: int) -> None:
    """Somebody given back to be pushed, whose batch was called as a whole meanwhile (a multicast), gets one anew."""
    delivery, batch, run = table_of(Delivery), table_of(SendBatch), table_of(CampaignRun)
    # The run's row orders those who number new batches, and the batch's keeps it from being claimed while we look.
    way = session.scalar(select(run.c.way).where(run.c.id == run_id).with_for_update())
    mine = (delivery.c.run_id == run_id, delivery.c.customer_id == customer_id, delivery.c.state == "chosen")
    old = session.execute(
        select(batch)
        .join(delivery, and_(batch.c.run_id == delivery.c.run_id, batch.c.batch_number == delivery.c.batch_number))
        .where(*mine)
        .with_for_update(of=batch)
    ).first()
    if way != "multicast" or old is None or old.state == "due":
        return
    last = session.scalar(select(func.max(batch.c.batch_number)).where(batch.c.run_id == run_id)) or 0
    session.execute(
        insert(batch).values(
            run_id=run_id,
            batch_number=last + 1,
            recipient_count=1,
            variant_id=old.variant_id,
            language=old.language,
            wave=old.wave,
            state="due",
            attempts=0,
            retry_key=str(uuid.uuid4()),
        )
    )
    session.execute(update(delivery).where(*mine).values(batch_number=last + 1))
