"""Before sending: messages, quota, cost, and what is to be expected of clicks, orders and revenue, with intervals.

Learned from the past runs' groups (run × variant × segment) by hierarchy.py: a group with little history is drawn
towards the others, and how much one run differs from another stands in the interval. With too little history there is
no figure, and that is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from scipy.special import expit
from sqlalchemy import (
    BigInteger,
    Engine,
    Float,
    case,
    cast,
    func,
    select,
    type_coerce,
)
from sqlmodel import Session

from campaigns.audience.reach import Reach, reach_now
from campaigns.money.gain import SCALE, PastLift, past_lift, segment_gains
from campaigns.money.hierarchy import Array, Past, logits, predict
from campaigns.money.line_plan import Cost, LinePlan, cost_of, read_plan
from campaigns.money.quota import QuotaState, quota_state
from campaigns.planning.schedule import campaign_by_id
from store.clock import Clock
from store.engine import reading, table_of
from store.models import Campaign, CampaignRun, RunResponse, RunTally

LEAST_RUNS = 3  # with fewer, how much runs differ from each other can't be told
LEAST_PEOPLE = 20  # of a group: fewer say nothing
LEAST_BUYERS = 10  # for what a buyer spends
DRAWS = 4_000
RATE_SCALE = 0.7  # log-odds: between most runs and segments a factor of two
SPEND_SCALE = 0.3  # of the logarithm of what a buyer spends
INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class PastGroups:
    """One row per past run and segment, oldest first, arrays of one length: people reached, those who tapped, those who
    bought in the window and what they paid (currency units) with the sum of its squares."""

    run: list[int]
    segment: list[str]
    theme: list[str]
    people: Array
    clickers: Array
    buyers: Array
    revenue: Array
    squares: Array


@dataclass(frozen=True)
class Expected:
    """A figure to come: its middle, and where it lies nine times in ten."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class Expectation:
    """What a run is expected to bring; None where there is too little history, and `missing` says so in words.
    `incremental`: revenue above what the same people would have spent anyhow, by past holdouts."""

    clicks: Expected | None
    orders: Expected | None
    revenue: Expected | None
    incremental: Expected | None
    runs: int
    missing: list[str]


@dataclass(frozen=True)
class Outlook:
    """What takes long to find out where people or runs are many: a forecast without what it costs by the plan."""

    reach: Reach
    quota: QuotaState
    expected: Expectation

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads."""
        found = asdict(self)
        read_at = self.quota.read_at
        found["quota"]["read_at"] = None if read_at is None else read_at.isoformat()
        return found

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Outlook":
        """Of `to_json`."""
        quota, expected = dict(stored["quota"]), dict(stored["expected"])
        if quota["read_at"] is not None:
            quota["read_at"] = datetime.fromisoformat(quota["read_at"])
        for name in ("clicks", "orders", "revenue", "incremental"):
            expected[name] = None if expected[name] is None else Expected(**expected[name])
        return cls(Reach(**stored["reach"]), QuotaState(**quota), Expectation(**expected))


@dataclass(frozen=True)
class Forecast:
    """All that is known before sending."""

    reach: Reach
    quota: QuotaState
    beyond_quota: int  # messages for which LINE's quota has no room; 0 too where it has no limit or was never asked
    plan: LinePlan
    cost: Cost
    expected: Expectation

    @property
    def short_by(self) -> int:
        """Messages too many for LINE's quota, or for a plan that sells no more."""
        return max(self.beyond_quota, self.cost.impossible)

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs; money as text."""
        return {
            "messages": self.reach.messages,
            "audience": self.reach.audience,
            "held_out": self.reach.held_out,
            "skipped": self.reach.skipped,
            "quota": {**asdict(self.quota), "used": self.quota.used, "left": self.quota.left},
            "short_by": self.short_by,
            "plan": self.plan.offer.name,
            "prices_as_of": self.plan.prices_as_of.isoformat(),
            "prices_confirmed": self.plan.is_confirmed,
            "cost": {**asdict(self.cost), "money": str(self.cost.money), "currency": self.plan.currency},
            "expected": asdict(self.expected),
        }


def forecast(
    engine: Engine, campaign_id: int, *, zone: ZoneInfo, clock: Clock, outlook: Outlook | None = None
) -> Forecast:
    """The forecast of a campaign, were it sent now, with its `outlook` (None: found out now). Reads only; raises as
    `find_outlook`."""
    outlook = outlook or find_outlook(engine, campaign_id, zone=zone, clock=clock)
    quota, messages = outlook.quota, outlook.reach.messages
    with reading(engine) as session:
        plan = read_plan(session)
    cost = cost_of(plan.offer, quota.used + quota.waiting, messages)
    beyond = 0 if quota.left is None else max(0, messages - quota.left)
    return Forecast(outlook.reach, quota, beyond, plan, cost, outlook.expected)


def find_outlook(engine: Engine, campaign_id: int, *, zone: ZoneInfo, clock: Clock) -> Outlook:
    """Whom a campaign would reach, were it sent now, of what quota, and what it is expected to bring. Reads only.

    Raises NotFound, and UnknownTarget and RuleError as freezing would.
    """
    reach = reach_now(engine, campaign_id, zone=zone, clock=clock)
    people = reach.chosen
    with reading(engine) as session:
        campaign = campaign_by_id(session, campaign_id)
        quota = quota_state(session, campaign.channel_id, zone=zone, now=clock())
        groups, lifts = past_groups(session), past_lift(session)
    rng = np.random.default_rng(campaign_id)
    found = expect(groups, people, campaign.theme or "", rng)
    incremental = _incremental(lifts, people, rng)
    missing = found.missing if incremental else [*found.missing, "no past runs with enough people held out"]
    if campaign.trigger is not None:
        missing = [*missing, "people enter this campaign one by one: these are all whom its audience means now"]
    expected = Expectation(found.clicks, found.orders, found.revenue, incremental, found.runs, missing)
    return Outlook(reach, quota, expected)


def expect(past: PastGroups, people: dict[str, int], theme: str, rng: np.random.Generator) -> Expectation:
    """Clicks, orders and revenue of a run to come to so many people by segment, from what past runs brought."""
    seen = np.flatnonzero(past.people >= LEAST_PEOPLE)
    runs = len({past.run[i] for i in seen})
    if runs < LEAST_RUNS:
        few = f"too little history: {runs} runs to learn from, {LEAST_RUNS} are needed"
        return Expectation(None, None, None, None, runs, [few])
    names = sorted(people)
    new: dict[str, list[Any]] = {"segment": names, "theme": [theme] * len(names), "run": [-1] * len(names)}
    sizes = np.array([people[name] for name in names])

    def counts(successes: Array) -> Array:
        y, v = logits(successes[seen], past.people[seen])
        odds: Any = predict(Past(y, v, _levels(past, seen)), new, scale=RATE_SCALE, draws=DRAWS, rng=rng)
        drawn: Array = rng.binomial(sizes, expit(odds)).sum(axis=1).astype(float)
        return drawn

    clicks, orders = counts(past.clickers), counts(past.buyers)
    spend = _spend_per_buyer(past, rng)
    missing = [] if spend is not None else [f"fewer than {LEAST_BUYERS} buyers to learn from what one spends"]
    revenue = None if spend is None else _summed_up(orders * spend)
    return Expectation(_summed_up(clicks), _summed_up(orders), revenue, None, runs, missing)


def _levels(past: PastGroups, rows: Any) -> dict[str, list[Any]]:
    return {
        "segment": [past.segment[i] for i in rows],
        "theme": [past.theme[i] for i in rows],
        "run": [past.run[i] for i in rows],
    }


def _spend_per_buyer(past: PastGroups, rng: np.random.Generator) -> Array | None:
    """Draws of what a buyer spends in a run to come, from the runs that had buyers; None with too few."""
    rows: dict[int, np.ndarray[Any, Any]] = {}
    for place, run in enumerate(past.run):
        add = np.array([past.buyers[place], past.revenue[place], past.squares[place]])
        rows[run] = rows.get(run, np.zeros(3)) + add
    table = np.array([row for row in rows.values() if row[0] > 0 and row[1] > 0])
    if len(table) < 2 or table[:, 0].sum() < LEAST_BUYERS:
        return None
    buyers, revenue, squares = table.T
    mean = revenue.sum() / buyers.sum()
    spread = max(squares.sum() / buyers.sum() / mean**2 - 1, 1e-3)  # relative variance of one buyer's spend
    past_spend = Past(np.log(revenue / buyers), spread / buyers, {"one": [0] * len(table)})
    drawn = predict(past_spend, {"one": [0]}, scale=SPEND_SCALE, draws=DRAWS, rng=rng)[:, 0]
    found: Array = np.exp(drawn)
    return found


def _incremental(past: PastLift, people: dict[str, int], rng: np.random.Generator) -> Expected | None:
    names = sorted(people)
    drawn = segment_gains(past, names, rng)
    if drawn is None:
        return None
    return _summed_up(drawn @ np.array([people[name] for name in names], float))


def _summed_up(draws: Array) -> Expected:
    low, high = np.quantile(draws, INTERVAL)
    return Expected(float(np.median(draws)), float(low), float(high))


def past_groups(session: Session, run_ids: Sequence[int] | None = None) -> PastGroups:
    """The groups of all runs that are over and counted (or of `run_ids`), oldest first."""
    run, campaign = table_of(CampaignRun), table_of(Campaign)
    tally, response = table_of(RunTally), table_of(RunResponse)
    over = select(run.c.id).where(run.c.tallied_at.is_not(None))
    if run_ids is not None:
        over = over.where(run.c.id.in_(run_ids))
    sizes = session.execute(
        select(tally.c.run_id, tally.c.segment, campaign.c.theme, func.sum(tally.c.people))
        .join(run, run.c.id == tally.c.run_id)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .where(tally.c.run_id.in_(over), tally.c.state == "accepted")
        .group_by(tally.c.run_id, tally.c.segment, campaign.c.theme)
        .order_by(tally.c.run_id, tally.c.segment)
    ).all()
    paid = cast(type_coerce(response.c.revenue, BigInteger), Float) / SCALE
    done = session.execute(
        select(
            response.c.run_id,
            response.c.segment,
            func.count(case((response.c.has_clicked, 1))),
            func.count(case((response.c.orders > 0, 1))),
            func.sum(paid),
            func.sum(paid * paid),
        )
        .where(response.c.run_id.in_(over), response.c.state == "accepted")
        .group_by(response.c.run_id, response.c.segment)
    )
    sums = {(row[0], row[1]): np.array([float(x or 0) for x in row[2:]]) for row in done}
    nothing = np.zeros(4)
    table = np.array([sums.get((row.run_id, row.segment), nothing) for row in sizes]).reshape(-1, 4)
    return PastGroups(
        run=[row.run_id for row in sizes],
        segment=[row.segment for row in sizes],
        theme=[row.theme or "" for row in sizes],
        people=np.array([float(row[3]) for row in sizes]),
        clickers=table[:, 0],
        buyers=table[:, 1],
        revenue=table[:, 2],
        squares=table[:, 3],
    )
