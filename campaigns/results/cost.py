"""What runs cost: the messages LINE counts, and the money beyond the plan, in the order in which they fired."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, func, select
from sqlmodel import Session

from campaigns.money.line_plan import LinePlan, cost_of, read_plan
from campaigns.planning.quiet import moment_at
from campaigns.results.lift import Lift
from campaigns.results.runs import RunResults
from campaigns.results.tally import tallies
from store.engine import table_of
from store.models import Campaign, CampaignRun

run, campaign = table_of(CampaignRun), table_of(Campaign)


@dataclass(frozen=True)
class RunCost:
    """`messages` count in LINE's quota, `replies` are free. `money` is what those beyond the plan cost, by the brand's
    table of prices; `of_fee` the part of the plan's fee, paid anyhow, that the others are of what it includes."""

    messages: int
    replies: int
    money: Decimal
    of_fee: Decimal
    currency: str

    @property
    def worth(self) -> Decimal:
        """What the messages are worth at the plan's prices, within it and beyond."""
        return self.money + self.of_fee

    def __add__(self, other: "RunCost") -> "RunCost":
        return RunCost(
            self.messages + other.messages,
            self.replies + other.replies,
            self.money + other.money,
            self.of_fee + other.of_fee,
            self.currency,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; money as strings."""
        money = {"money": str(self.money), "of_fee": f"{self.of_fee:.2f}", "currency": self.currency}
        return {"messages": self.messages, "replies": self.replies, **money}


def added_per_money(cost: RunCost | None, results: RunResults) -> Lift | None:
    """Revenue that sending added for each unit of money that its messages are worth; None where they are free (the plan
    has no fee), or it can't be told."""
    added = results.added_revenue
    if cost is None or added is None or not cost.worth:
        return None
    paid = float(cost.worth)
    return Lift(added.difference / paid, added.low / paid, added.high / paid)


def costs_of(
    session: Session, which: Any, zone: ZoneInfo, results: Mapping[int, RunResults] | None = None
) -> dict[int, RunCost]:
    """Run id -> its cost, of the runs that are meant by `which` (SQL on `campaign_run`). A run's messages come after
    those of all runs of its channel that fired before it in the same calendar month of `zone`; what the brand sends by
    other means is not known here. `results`: by run id those at hand, whose deliveries are not counted once more."""
    plan, costs = read_plan(session), {}
    for fired in _months(session, which, zone):
        for row in _counted(session, fired, which, results or {}):
            costs[row.run_id] = _priced(plan, row.before, row.messages, row.replies)
    return costs


def cost_of_campaign(session: Session, campaign_id: int, zone: ZoneInfo) -> RunCost | None:
    """What all runs of a campaign cost together; None before the first. Of a month in which its channel stayed within
    the plan no more is asked than the sums of an index."""
    plan, mine = read_plan(session), run.c.campaign_id == campaign_id
    of_channel = campaign.c.channel_id == session.get_one(Campaign, campaign_id).channel_id
    total: RunCost | None = None
    for fired in _months(session, mine, zone):
        going_on = _going_on(session, and_(fired, of_channel), {})
        used = _sums(session, and_(fired, of_channel))[1] + sum(one.messages for one in going_on)
        if used <= plan.offer.messages:
            own = [one for one in going_on if one.campaign_id == campaign_id]
            runs, messages, replies = _sums(session, and_(fired, mine))
            messages, replies = messages + sum(o.messages for o in own), replies + sum(o.replies for o in own)
            found = [_priced(plan, 0, messages, replies)] if runs else []
        else:
            rows = _counted(session, fired, mine, {})
            found = [_priced(plan, row.before, row.messages, row.replies) for row in rows]
        for cost in found:
            total = cost if total is None else total + cost
    return total


def _months(session: Session, which: Any, zone: ZoneInfo) -> list[Any]:
    """SQL on `campaign_run` for each calendar month of `zone` from the first of these runs to the last."""
    first, last = session.execute(select(func.min(run.c.fired_at), func.max(run.c.fired_at)).where(which)).one()
    if first is None:
        return []
    months, day = [], first.astimezone(zone).date().replace(day=1)
    while (begin := moment_at(day, time(0), zone)) <= last:
        day = (day + timedelta(days=31)).replace(day=1)
        months.append(and_(run.c.fired_at >= begin, run.c.fired_at < moment_at(day, time(0), zone)))
    return months


def _sums(session: Session, which: Any) -> tuple[int, int, int]:
    """Runs that are meant by `which` (SQL on `campaign_run` and `campaign`), and messages and free replies of those of
    them that are over."""
    sums = (func.count(), func.sum(run.c.message_count), func.sum(run.c.reached_count - run.c.message_count))
    joined = run.join(campaign, campaign.c.id == run.c.campaign_id)
    runs, messages, replies = session.execute(select(*sums).select_from(joined).where(which)).one()
    return runs, int(messages or 0), int(replies or 0)


def _priced(plan: LinePlan, before: int, messages: int, replies: int) -> RunCost:
    """So many messages after those `before` them in the month, by the plan that holds now."""
    cost = cost_of(plan.offer, before, messages)
    of_fee = plan.offer.monthly_fee * cost.included / plan.offer.messages if cost.included else Decimal(0)
    return RunCost(messages, replies, cost.money, of_fee, plan.currency)


@dataclass(frozen=True)
class _Counted:
    """A run's messages and free replies, and the messages of its channel `before` it in the month."""

    run_id: int
    before: int
    messages: int
    replies: int


def _counted(session: Session, fired: Any, which: Any, results: Mapping[int, RunResults]) -> list[_Counted]:
    """Of each run of a month (`fired`, SQL on `campaign_run`) that is meant by `which`. Those that are over are added
    up from an index, however many fired; the few that are not, one by one."""
    going_on = _going_on(session, fired, results)
    messages = func.coalesce(run.c.message_count, 0)
    channel = campaign.c.channel_id
    so_far = func.sum(messages).over(partition_by=channel, order_by=(run.c.fired_at, run.c.id), rows=(None, 0))
    replies = func.coalesce(run.c.reached_count - run.c.message_count, 0)
    every = (
        select(
            run.c.id,
            run.c.fired_at,
            channel,
            (so_far - messages).label("before"),
            messages.label("messages"),
            replies.label("replies"),
        )
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .where(fired)
        .subquery()
    )
    found = []
    for row in session.execute(select(every).where(every.c.id.in_(select(run.c.id).where(fired, which)))):
        place = (row.fired_at, row.id)
        early = sum(one.messages for one in going_on if one.channel_id == row.channel_id and one.place < place)
        own = next((one for one in going_on if one.place == place), row)
        found.append(_Counted(row.id, int(row.before) + early, own.messages, own.replies))
    return found


@dataclass(frozen=True)
class _GoingOn:
    place: tuple[datetime, int]  # in the order of firing
    campaign_id: int
    channel_id: int
    messages: int
    replies: int


def _going_on(session: Session, fired: Any, results: Mapping[int, RunResults]) -> list[_GoingOn]:
    """The runs that are not over, with what they have sent until now."""
    columns = (run.c.id, run.c.fired_at, run.c.campaign_id, campaign.c.channel_id)
    open_runs = select(*columns).where(fired, run.c.tallied_at.is_(None))
    rows = session.execute(open_runs.join(campaign, campaign.c.id == run.c.campaign_id)).all()
    messages = {key: one.total.messages for key, one in results.items()}
    replies = {key: one.total.by_reply for key, one in results.items()}
    for one in tallies(session, [row.id for row in rows if row.id not in results]):
        if one.state == "accepted":
            counts = replies if one.by_reply else messages
            counts[one.run_id] = counts.get(one.run_id, 0) + one.people
    return [
        _GoingOn(
            place=(row.fired_at, row.id),
            campaign_id=row.campaign_id,
            channel_id=row.channel_id,
            messages=messages.get(row.id, 0),
            replies=replies.get(row.id, 0),
        )
        for row in rows
    ]
