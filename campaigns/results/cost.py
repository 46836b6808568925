"""What runs cost: the messages LINE counts, and the money beyond the plan, in the order in which they fired."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session

from campaigns.money.line_plan import cost_of, read_plan
from campaigns.results.runs import RunResults
from campaigns.results.tally import tallies
from store.engine import table_of
from store.models import Campaign, CampaignRun


@dataclass(frozen=True)
class RunCost:
    """`messages` count in LINE's quota, `replies` are free. `money` is what those beyond the plan cost, by the brand's
    table of prices; the plan's fee, paid anyhow, is not in it."""

    messages: int
    replies: int
    money: Decimal
    currency: str

    def __add__(self, other: "RunCost") -> "RunCost":
        return RunCost(
            self.messages + other.messages, self.replies + other.replies, self.money + other.money, self.currency
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; money as a string."""
        money = {"money": str(self.money), "currency": self.currency}
        return {"messages": self.messages, "replies": self.replies, **money}


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
    plan = read_plan(session)
    counted = _counted(session, {_month(run.fired_at, zone) for run in runs}, zone, results)
    used: dict[tuple[int, str], int] = {}
    costs = {}
    for run_id, channel_id, month, messages, replies in counted:
        before = used.get((channel_id, month), 0)
        used[channel_id, month] = before + messages
        costs[run_id] = RunCost(messages, replies, cost_of(plan.offer, before, messages).money, plan.currency)
    return {run.id or 0: costs[run.id or 0] for run in runs}


def _month(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m}"


def _counted(
    session: Session, months: set[str], zone: ZoneInfo, results: Mapping[int, RunResults]
) -> list[tuple[int, int, str, int, int]]:
    """Run, channel, month, messages and free replies of all runs of these months, in the order of their firing."""
    run, campaign = table_of(CampaignRun), table_of(Campaign)
    rows = session.execute(
        select(run.c.id, campaign.c.channel_id, run.c.fired_at)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .order_by(run.c.fired_at, run.c.id)
    )
    found = [(row.id, row.channel_id, month) for row in rows if (month := _month(row.fired_at, zone)) in months]
    messages, replies = dict.fromkeys((row[0] for row in found), 0), dict.fromkeys((row[0] for row in found), 0)
    for run_id in messages.keys() & results.keys():
        messages[run_id], replies[run_id] = results[run_id].total.messages, results[run_id].total.by_reply
    for one in tallies(session, list(messages.keys() - results.keys())):
        if one.state == "accepted":
            (replies if one.by_reply else messages)[one.run_id] += one.people
    return [(*row, messages[row[0]], replies[row[0]]) for row in found]
