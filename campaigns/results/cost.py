"""What runs cost: the messages LINE counts, and the money beyond the plan, in the order in which they fired."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, func, select
from sqlmodel import Session

from campaigns.money.line_plan import cost_of, read_plan
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


def sum_of(costs: Iterable[RunCost]) -> RunCost | None:
    """Of several runs; None of none."""
    found = list(costs)
    return None if not found else sum(found[1:], found[0])


def costs_of(
    session: Session, runs: Sequence[CampaignRun], zone: ZoneInfo, results: Mapping[int, RunResults]
) -> dict[int, RunCost]:
    """Run id -> its cost. A run's messages come after those of all runs of its channel that fired before it in the same
    calendar month of `zone`; what the brand sends by other means is not known here. `results`: by run id those at hand,
    whose deliveries are not counted once more."""
    plan, of_month, costs = read_plan(session), defaultdict[date, list[CampaignRun]](list), {}
    for one in runs:
        of_month[one.fired_at.astimezone(zone).date().replace(day=1)].append(one)
    for first, some in of_month.items():
        for row in _counted(session, moment_at(first, time(0), zone), some, results):
            cost = cost_of(plan.offer, row.before, row.messages)
            of_fee = plan.offer.monthly_fee * cost.included / plan.offer.messages if cost.included else Decimal(0)
            costs[row.run_id] = RunCost(row.messages, row.replies, cost.money, of_fee, plan.currency)
    return costs


@dataclass(frozen=True)
class _Counted:
    """A run's messages and free replies, and the messages of its channel `before` it in the month."""

    run_id: int
    before: int
    messages: int
    replies: int


def _counted(
    session: Session, begin: datetime, runs: Sequence[CampaignRun], results: Mapping[int, RunResults]
) -> list[_Counted]:
    """Of each of `runs`, which all fired in the month from `begin` on. Those that are over are added up from an index,
    however many fired; the few that are not, one by one."""
    fired = and_(run.c.fired_at >= begin, run.c.fired_at <= max(one.fired_at for one in runs))
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
    for row in session.execute(select(every).where(every.c.id.in_([one.id for one in runs]))):
        place = (row.fired_at, row.id)
        early = sum(one.messages for one in going_on if one.channel_id == row.channel_id and one.place < place)
        own = next((one for one in going_on if one.place == place), row)
        found.append(_Counted(row.id, int(row.before) + early, own.messages, own.replies))
    return found


@dataclass(frozen=True)
class _GoingOn:
    place: tuple[datetime, int]  # in the order of firing
    channel_id: int
    messages: int
    replies: int


def _going_on(session: Session, fired: Any, results: Mapping[int, RunResults]) -> list[_GoingOn]:
    """The runs that are not over, with what they have sent until now."""
    open_runs = select(run.c.id, run.c.fired_at, campaign.c.channel_id).where(fired, run.c.reached_count.is_(None))
    rows = session.execute(open_runs.join(campaign, campaign.c.id == run.c.campaign_id)).all()
    messages = {key: one.total.messages for key, one in results.items()}
    replies = {key: one.total.by_reply for key, one in results.items()}
    for one in tallies(session, [row.id for row in rows if row.id not in results]):
        if one.state == "accepted":
            counts = replies if one.by_reply else messages
            counts[one.run_id] = counts.get(one.run_id, 0) + one.people
    return [
        _GoingOn((row.fired_at, row.id), row.channel_id, messages.get(row.id, 0), replies.get(row.id, 0))
        for row in rows
    ]
