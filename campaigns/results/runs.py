"""What a run brought: deliveries by state, taps, orders inside the window, lift against the held-out.

Everything is counted from the facts when asked, so a late click or order is in at once; nothing here is kept but
`MessageResult`, the table that keyword effects are learned from, which can be rebuilt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import sqrt
from typing import Any

from sqlalchemy import BigInteger, and_, case, delete, distinct, exists, func, literal, or_, select, type_coerce
from sqlmodel import Session

from campaigns.content.message import words_of
from store.engine import insert_for, is_sqlite, table_of
from store.errors import NotFound
from store.models import (
    Campaign,
    CampaignRun,
    Channel,
    Click,
    Delivery,
    MessageResult,
    SalesOrder,
    SendBatch,
    TrackedLink,
)
from store.types import from_ten_thousandths

STATES = ("chosen", "held_out", "skipped", "accepted", "failed", "unknown")
LEARNING_DAYS = 14  # clicks later than this no longer change what the keyword report learns from a run
Z95 = 1.959964


@dataclass(frozen=True)
class Bought:
    """Orders of a group inside the window: people who bought, out of how many, and what they paid."""

    people: int
    buyers: int
    revenue: Decimal

    @property
    def rate(self) -> float:
        """Buyers per person, 0..1; 0.0 for nobody."""
        return self.buyers / self.people if self.people else 0.0


@dataclass(frozen=True)
class Lift:
    """Conversion per person of those sent minus those held out, with its 95 % interval (Newcombe 1998, method 10)."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class RunResults:
    """One run, or several added up. `conversions` and `revenue` follow a tap; `after_delivery` anyone it reached."""

    deliveries: dict[str, int]  # every state of STATES, zeros included
    skipped: dict[str, int]  # reason -> people
    failed: dict[str, int]  # reason -> people
    clicks: int  # unique people who tapped; for a multicast link, fetches by people
    fetches: dict[str, int]  # kind (person, preview, robot) -> all fetches
    conversions: int
    revenue: Decimal
    after_delivery: Bought
    held_out: Bought
    lift: Lift | None  # None without anyone held out or sent to

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs; money as strings."""
        return {
            **asdict(self),
            "revenue": str(self.revenue),
            "after_delivery": {**asdict(self.after_delivery), "revenue": str(self.after_delivery.revenue)},
            "held_out": {**asdict(self.held_out), "revenue": str(self.held_out.revenue)},
        }


def effective_state() -> Any:
    """SQL for a delivery's state, joined to its batch: `chosen` of a multicast is whatever became of the one call."""
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    return case(
        (and_(delivery.c.state == "chosen", batch.c.state.in_(("accepted", "failed", "unknown"))), batch.c.state),
        else_=delivery.c.state,
    )


def with_batch(statement: Any) -> Any:
    """Join deliveries to their batches, for `effective_state`."""
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    return statement.select_from(
        delivery.outerjoin(
            batch, and_(batch.c.run_id == delivery.c.run_id, batch.c.batch_number == delivery.c.batch_number)
        )
    )


def runs_of(session: Session, campaign_id: int) -> list[CampaignRun]:
    """The runs of a campaign, newest first."""
    run = CampaignRun.__table__.c  # type: ignore[attr-defined]
    return list(session.scalars(select(CampaignRun).where(run.campaign_id == campaign_id).order_by(run.id.desc())))


def run_results(session: Session, run_id: int) -> RunResults:
    """Results of one run. Raises NotFound."""
    if session.get(CampaignRun, run_id) is None:
        raise NotFound(f"there is no run {run_id}")
    return results_of(session, [run_id])


def campaign_results(session: Session, campaign_id: int) -> RunResults:
    """Results of all runs of a campaign together; all zeros before the first."""
    return results_of(session, [r.id for r in runs_of(session, campaign_id) if r.id is not None])


def results_of(session: Session, run_ids: Sequence[int]) -> RunResults:
    """Results of several runs of one campaign added up."""
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    state = effective_state().label("state")
    reason = func.coalesce(delivery.c.reason, batch.c.problem, literal("")).label("reason")
    counts = session.execute(
        with_batch(select(state, reason, func.count())).where(delivery.c.run_id.in_(run_ids)).group_by(state, reason)
    ).all()
    deliveries = dict.fromkeys(STATES, 0)
    for found, _, people in counts:
        deliveries[found] += people
    clicks, fetches = _clicks(session, run_ids)
    converted = _bought_after_tap(session, run_ids)
    sent, held = (_bought(session, run_ids, states) for states in (("accepted",), ("held_out",)))
    return RunResults(
        deliveries=deliveries,
        skipped={why: n for found, why, n in counts if found == "skipped"},
        failed={why: n for found, why, n in counts if found == "failed"},
        clicks=clicks,
        fetches=fetches,
        conversions=converted.buyers,
        revenue=converted.revenue,
        after_delivery=sent,
        held_out=held,
        lift=lift_of(sent, held),
    )


def lift_of(sent: Bought, held: Bought) -> Lift | None:
    """Difference of two proportions with Newcombe's interval, built from Wilson's for each; None for an empty group."""
    if not sent.people or not held.people:
        return None
    (low1, high1), (low2, high2) = _wilson(sent), _wilson(held)
    difference = sent.rate - held.rate
    return Lift(
        difference,
        difference - sqrt((sent.rate - low1) ** 2 + (high2 - held.rate) ** 2),
        difference + sqrt((high1 - sent.rate) ** 2 + (held.rate - low2) ** 2),
    )


def _wilson(group: Bought) -> tuple[float, float]:
    n, p = group.people, group.rate
    middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 * sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2)) / (1 + Z95**2 / n)
    return middle - half, middle + half


def _clicks(session: Session, run_ids: Sequence[int]) -> tuple[int, dict[str, int]]:
    click = table_of(Click)
    rows = session.execute(
        select(
            click.c.kind,
            func.count(),
            func.count(distinct(case((click.c.customer_id.is_not(None), click.c.customer_id)))),
            func.count(case((click.c.customer_id.is_(None), 1))),
        )
        .where(click.c.run_id.in_(run_ids))
        .group_by(click.c.kind)
    ).all()
    people = next((known + unknown for kind, _, known, unknown in rows if kind == "person"), 0)
    return people, {kind: fetches for kind, fetches, _, _ in rows}


def _bought_after_tap(session: Session, run_ids: Sequence[int]) -> Bought:
    click = table_of(Click)
    tapped = (  # every tap opens a window, not only the first
        select(click.c.run_id, click.c.customer_id, click.c.clicked_at.label("since"))
        .where(click.c.run_id.in_(run_ids), click.c.kind == "person", click.c.customer_id.is_not(None))
        .subquery()
    )
    return _orders_within(session, tapped)


def _bought(session: Session, run_ids: Sequence[int], states: tuple[str, ...]) -> Bought:
    delivery, batch, run = table_of(Delivery), table_of(SendBatch), table_of(CampaignRun)
    since = func.coalesce(delivery.c.sent_at, batch.c.sent_at, run.c.fired_at)
    joined = delivery.outerjoin(
        batch, and_(batch.c.run_id == delivery.c.run_id, batch.c.batch_number == delivery.c.batch_number)
    ).join(run, run.c.id == delivery.c.run_id)
    group = (
        select(delivery.c.run_id, delivery.c.customer_id, since.label("since"))
        .select_from(joined)
        .where(delivery.c.run_id.in_(run_ids), effective_state().in_(states))
        .subquery()
    )
    return _orders_within(session, group)


def _orders_within(session: Session, group: Any) -> Bought:
    """Who of `group` (run_id, customer_id, since) has a paid order in the campaign's window after `since`; each order
    and person counts once, however many runs or taps it follows."""
    order, run, campaign = table_of(SalesOrder), table_of(CampaignRun), table_of(Campaign)
    until = _plus_days(session, group.c.since, campaign.c.conversion_days)
    followed = exists().where(
        group.c.customer_id == order.c.customer_id,
        run.c.id == group.c.run_id,
        campaign.c.id == run.c.campaign_id,
        order.c.ordered_at >= group.c.since,
        order.c.ordered_at < until,
    )
    people = session.scalar(select(func.count(distinct(group.c.customer_id)))) or 0
    buyers, revenue = session.execute(
        select(func.count(distinct(order.c.customer_id)), func.coalesce(func.sum(_raw(order.c.total)), 0)).where(
            order.c.status == "paid", order.c.customer_id.in_(select(group.c.customer_id)), followed
        )
    ).one()
    return Bought(people, buyers, from_ten_thousandths(int(revenue)))


def _raw(column: Any) -> Any:
    """A Decimal4 column as the integer it is stored as: sums stay exact."""
    return type_coerce(column, BigInteger)


def _plus_days(session: Session, moment: Any, days: Any) -> Any:
    if is_sqlite(session):
        # strftime knows only milliseconds: the fraction is carried over as it stands.
        whole = func.strftime("%Y-%m-%d %H:%M:%S", func.substr(moment, 1, 19), func.printf("+%d days", days))
        return whole.concat(func.substr(moment, 20))
    # Hours, not days: a day of the server's time zone may have 23 or 25.
    return moment + func.make_interval(0, 0, 0, 0, days * 24)


@dataclass(frozen=True)
class CountedMessages:
    """What `count_message_results` found: the runs looked at, and rows of MessageResult for their variants."""

    run_ids: list[int]
    rows: list[dict[str, Any]]


def count_message_results(session: Session, *, now: datetime) -> CountedMessages:
    """Count the MessageResult rows of runs fired in the last 14 days. Only reads: a count over millions of deliveries
    must not hold SQLite's write lock. `store_message_results` writes them.

    Push only: a multicast's link is the same for everyone, so who tapped is not known, and unknown is not zero.
    """
    run, result, campaign = table_of(CampaignRun), table_of(MessageResult), table_of(Campaign)
    channel, link = table_of(Channel), table_of(TrackedLink)
    is_fresh = run.c.fired_at >= now - timedelta(days=LEARNING_DAYS)
    is_missing = ~exists().where(result.c.run_id == run.c.id)
    runs = session.execute(
        select(run.c.id, run.c.variants, run.c.fired_at, campaign.c.theme, channel.c.name)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .join(channel, channel.c.id == campaign.c.channel_id)
        .where(
            run.c.way == "push",
            or_(is_fresh, is_missing),
            run.c.state.in_(("sent", "sending", "cancelled")),
            exists().where(link.c.campaign_id == campaign.c.id),  # without a link no click could come of it
        )
    ).all()
    return CountedMessages([row.id for row in runs], _message_rows(session, {row.id: row for row in runs}))


def _message_rows(session: Session, runs: Mapping[int, Any]) -> list[dict[str, Any]]:
    """The rows of all these runs (run id -> variants, fired_at, theme, name), counted in one query."""
    delivery, click = table_of(Delivery), table_of(Click)
    tapped = (
        select(click.c.run_id, click.c.customer_id)
        .where(click.c.run_id.in_(runs), click.c.kind == "person", click.c.customer_id.is_not(None))
        .distinct()
        .subquery()
    )
    segment = func.coalesce(delivery.c.segment, "none").label("segment_name")
    is_same = and_(tapped.c.run_id == delivery.c.run_id, tapped.c.customer_id == delivery.c.customer_id)
    counts = session.execute(  # in order: two workers that write the rows then wait in one direction only
        select(
            delivery.c.run_id,
            delivery.c.variant_id,
            segment,
            func.count().label("recipients"),
            func.count(tapped.c.customer_id).label("n"),
        )
        .select_from(delivery.outerjoin(tapped, is_same))
        .where(delivery.c.run_id.in_(runs), delivery.c.state == "accepted")
        .group_by(delivery.c.run_id, delivery.c.variant_id, segment)
        .order_by(delivery.c.run_id, delivery.c.variant_id, segment)
    ).all()
    said = {v["variant_id"]: words_of(v["messages"]) for row in runs.values() for v in row.variants}
    return [
        {
            "run_id": count.run_id,
            "variant_id": count.variant_id,
            "segment": count.segment_name,
            "theme": runs[count.run_id].theme,
            "channel": runs[count.run_id].name,
            "message_text": said[count.variant_id],
            "sent_at": runs[count.run_id].fired_at,
            "recipients": count.recipients,
            "clicks": count.n,
        }
        for count in counts
    ]


def store_message_results(session: Session, counted: CountedMessages) -> None:
    """Put the rows in place of what was known of these runs. Two workers may do so at once: the later word counts."""
    result = table_of(MessageResult)
    session.execute(delete(result).where(result.c.run_id.in_(counted.run_ids)))
    if counted.rows:
        rows = insert_for(session, MessageResult)
        fresh = {name: rows.excluded[name] for name in ("recipients", "clicks")}
        statement = rows.on_conflict_do_update(index_elements=["run_id", "variant_id", "segment"], set_=fresh)
        session.connection().execute(statement, counted.rows)
