"""What a campaign's experiment takes, told before it is sent: the people there are, the rate to expect and what that
rests on, how many people a difference takes or what there are can show, and how long it lasts. Reads only."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Engine, func, select
from sqlmodel import Session

from campaigns.audience.reach import reach_now
from campaigns.experiments.design import Experiment, experiment_of
from campaigns.experiments.sample_size import Design, Rule, detectable, people_needed
from campaigns.money.forecast import Expected, expect, past_groups
from campaigns.planning.schedule import campaign_by_id, variants_of
from campaigns.sending.ways import needs_of, ways_for
from store.clock import Clock
from store.engine import reading, table_of
from store.errors import BadInput
from store.models import Campaign, Enrolment

Outcome = Literal["clicks", "orders"]

ENTERED_DAYS = 28  # so far back is looked for how many a day enter by a trigger


@dataclass(frozen=True)
class Wanted:
    """What is asked of an experiment. None: as the campaign says, or by past results. `difference`: absolute; None asks
    what the people there are can show."""

    difference: float | None = None
    baseline: float | None = None
    outcome: Outcome | None = None
    variants: int | None = None
    per_day: int | None = None
    power: float = 0.8
    rule: Rule = "anytime"


@dataclass(frozen=True)
class Baseline:
    """The rate (0..1) expected of the first variant, and where it lies nine times in ten, by so many past `runs` of all
    campaigns, weighed by segment and theme; `runs` 0: said by the marketer, and then without an interval."""

    rate: float
    low: float | None
    high: float | None
    runs: int


@dataclass(frozen=True)
class Before:
    """The answer. `audience`: all whom it means; `people`: who of them would be sent to now; `learning`: those whose
    outcomes are compared (of a test before a winner its own part), in one run, or in ENTERED_DAYS days of a
    campaign that people enter one by one. `needed` and `is_enough` are None unless a difference was asked for.
    `smallest`: the difference that they can show; None: not any. `days`: until all outcomes are known; None: unknown.
    """

    outcome: Outcome
    variants: int
    audience: int
    people: int
    learning: int
    baseline: Baseline
    needed: int | None
    smallest: float | None
    days: float | None

    @property
    def is_enough(self) -> bool | None:
        """Whether the people there are show the difference asked for."""
        return None if self.needed is None else self.learning >= self.needed

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs."""
        return {**asdict(self), "is_enough": self.is_enough}


def before(engine: Engine, campaign_id: int, wanted: Wanted, *, zone: ZoneInfo, clock: Clock) -> Before:
    """What the experiment of a campaign takes, were it sent now.

    Raises BadInput where nobody would be sent to, there are not two variants, or the past is too short to tell a rate;
    NotFound, UnknownTarget and RuleError as a forecast does.
    """
    reach = reach_now(engine, campaign_id, zone=zone, clock=clock)
    with reading(engine) as session:
        campaign = campaign_by_id(session, campaign_id)
        experiment = experiment_of(campaign.experiment)
        first = [variant for variant in variants_of(session, campaign_id) if variant.step_number == 1]
        outcome, variants = wanted.outcome or experiment.outcome, wanted.variants or len(first)
        if variants < 2:
            raise BadInput(f"campaign {campaign_id} has one variant: say how many are to compete (--variants)")
        if not reach.messages:
            raise BadInput(f"nobody of the audience of campaign {campaign_id} would be sent to now")
        baseline = _baseline(session, campaign, reach.chosen, outcome, wanted)
        way = next(way for way in ways_for(reach.messages, needs_of([first])) if way.name == campaign.way)
        by_trigger, per_day = campaign.trigger is not None, wanted.per_day
        if by_trigger and per_day is None:
            per_day = _entered_a_day(session, campaign, clock())
    design = Design(baseline.rate, variants=variants, alpha=experiment.alpha, power=wanted.power, rule=wanted.rule)
    is_test = experiment.choice == "test_then_winner"
    learning = ceil(reach.messages * experiment.parts()[0]) if is_test else reach.messages
    if by_trigger:
        learning = (per_day or 0) * ENTERED_DAYS
    needed = None if wanted.difference is None else people_needed(design, wanted.difference)
    known_after = _minutes_to_know(campaign, experiment, outcome) / (24 * 60)
    days: float | None = known_after + (way.seconds or 0) / 86_400
    if per_day is not None:
        days = known_after + ceil((needed or learning) / per_day) if per_day else None
    elif by_trigger:
        days = None
    smallest = detectable(design, learning)
    return Before(outcome, variants, reach.audience, reach.messages, learning, baseline, needed, smallest, days)


def _baseline(
    session: Session, campaign: Campaign, people: dict[str, int], outcome: Outcome, wanted: Wanted
) -> Baseline:
    if wanted.baseline is not None:
        return Baseline(wanted.baseline, None, None, 0)
    expectation = expect(past_groups(session), people, campaign.theme or "", np.random.default_rng(campaign.id))
    found: Expected | None = getattr(expectation, outcome)
    if found is None:
        raise BadInput(f"{'; '.join(expectation.missing)}: say the rate you expect (--baseline)")
    rate, low, high = (count / sum(people.values()) for count in (found.middle, found.low, found.high))
    if rate == 0:
        raise BadInput(f"past runs let no {outcome} be expected: say the rate you expect (--baseline)")
    return Baseline(rate, low, high, expectation.runs)


def _entered_a_day(session: Session, campaign: Campaign, now: datetime) -> int | None:
    """How many a day entered lately, on the average; None before the first day is over."""
    enrolment, start = table_of(Enrolment), now - timedelta(days=ENTERED_DAYS)
    since = max(start, campaign.trigger_since or campaign.created_at)
    lasted = (now - since) / timedelta(days=1)
    if lasted < 1:
        return None
    entered = (enrolment.c.campaign_id == campaign.id, enrolment.c.entered_at >= since)
    return round((session.scalar(select(func.count()).select_from(enrolment).where(*entered)) or 0) / lasted)


def _minutes_to_know(campaign: Campaign, experiment: Experiment, outcome: Outcome) -> int:
    """From the firing until the last outcome is known, sending itself not counted."""
    wait = experiment.wait_minutes
    if not experiment.chooses and outcome == "orders":
        wait = campaign.conversion_days * 24 * 60
    waits = campaign.reply_first_minutes or 0
    if campaign.at_best_hour:
        waits = max(waits, 24 * 60)
    if experiment.choice == "thompson":  # each wave waits for the one before
        waits += min((experiment.waves - 1) * wait, experiment.deadline_minutes)
    return waits + wait
