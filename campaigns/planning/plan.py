"""What a marketer asks for, checked as a whole before a row of it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session

from campaigns.audience.target import Audience, check_audience
from campaigns.content.languages import check_languages
from campaigns.content.message import check_messages, links_in
from campaigns.experiments.design import check_experiment, experiment_of
from campaigns.links.book import check_utm
from campaigns.planning.about import about
from campaigns.planning.conditions import read_condition
from campaigns.planning.schedule import first_firing, listen, variants_of
from campaigns.planning.triggers import CartLeft, Trigger, check_trigger, read_trigger, to_json
from campaigns.sending.ways import AUTO, WAYS, Needs, check_way, needs_of, taps_known
from segmentation.tags.definitions import check_name
from store.errors import BadInput
from store.models import Campaign, CampaignStep, TrackedLink, Variant

MAX_REPLY_FIRST_MINUTES = 30 * 24 * 60
MAX_WAIT_MINUTES = 366 * 24 * 60
MAX_CONVERSION_DAYS = 90
MOST_PRIORITY = 1_000_000  # and as far below nothing
HOLDOUT = Decimal(5)  # percent kept back by default, to measure lift against
Messages = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class VariantPlan:
    """One version of what a step says: 1-5 messages, and those for people of other languages. `weight`: its part of the
    people, beside those of the others."""

    messages: Messages
    name: str = "A"
    weight: float = 1.0
    languages: Mapping[str, Messages] = field(default_factory=dict)


@dataclass(frozen=True)
class StepPlan:
    """One message of a campaign: `wait_minutes` after the step before, for those who fit `condition` (see
    conditions.py; None: everybody)."""

    variants: Sequence[VariantPlan]
    wait_minutes: int = 0
    condition: str | Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Plan:
    """A campaign. `at` (aware) is the first firing, or with `recurs` (five cron fields, or calendar words) the time
    from which it recurs; neither: a draft. With a `trigger` (triggers.py) it listens from `at`, or at once, unless it
    `is_draft`: until it is scheduled. Who has reached the `goal` (conditions.py) gets nothing more; of a cart
    left it is to have bought, unless another is given.
    `reply_first_minutes`: so long each person's next free reply is waited for before the rest is pushed.
    `conversion_days`: so long after a tap, or a delivery, an order counts for it.
    `experiment`: how its variants compete (campaigns/experiments/design.py); None: a fixed split.
    `way`: push, multicast, narrowcast, or auto for the one that the content needs (campaigns/sending/ways.py).
    `is_capped` off: a service message, for which no frequency cap holds (campaigns/audience/gate.py).
    `holdout_percent` None: the default, HOLDOUT, and nobody of a service message, which everybody is to get.
    `topics`: link of the content -> what it is about; who taps it gets the tag of that name.
    `utm`: "source", "medium" … -> value: added as utm_… to links that have none of their own, when they are tapped."""

    name: str
    audience: Audience
    steps: Sequence[StepPlan]
    at: datetime | None
    way: str = "push"
    holdout_percent: Decimal | None = None
    recurs: str | None = None
    theme: str | None = None
    conversion_days: int = 7
    priority: int = 0
    reply_first_minutes: int | None = None
    experiment: Mapping[str, Any] | None = None
    trigger: str | Mapping[str, Any] | None = None
    is_draft: bool = False
    goal: str | Mapping[str, Any] | None = None
    is_capped: bool = True
    keeps_quiet_hours: bool = True
    at_best_hour: bool = False
    topics: Mapping[str, str] = field(default_factory=dict)
    utm: Mapping[str, str] = field(default_factory=dict)

    @property
    def holdout(self) -> Decimal:
        """Percent kept back: what was chosen, or the default for such a message."""
        if self.holdout_percent is not None:
            return self.holdout_percent
        return HOLDOUT if self.is_capped else Decimal(0)


def one_step(messages: Messages) -> list[StepPlan]:
    """The steps of a campaign that says one thing to everybody."""
    return [StepPlan([VariantPlan(messages)])]


def campaign_needs(session: Session, campaign: Campaign) -> Needs:
    """What a stored campaign asks of the way it is sent."""
    steps: dict[int, list[Any]] = {}
    for variant in variants_of(session, campaign.id or 0):
        steps.setdefault(variant.step_number, []).append(variant)
    return needs_of(
        list(steps.values()),
        learns=experiment_of(campaign.experiment).chooses,
        replies_first=campaign.reply_first_minutes is not None,
        at_best_hour=campaign.at_best_hour,
    )


def create_campaign(session: Session, plan: Plan, *, channel_id: int, zone: ZoneInfo, now: datetime) -> Campaign:
    """Check a plan and store it: scheduled when it has a time, else a draft.

    Raises BadInput (UnknownTarget, InvalidMessage …) and writes nothing when anything in it is wrong.
    """
    links = _checked(session, plan)
    with about("experiment"):
        learns = experiment_of(plan.experiment).chooses
    needs = needs_of(
        [step.variants for step in plan.steps],
        replies_first=plan.reply_first_minutes is not None,
        at_best_hour=plan.at_best_hour,
        learns=learns,
    )
    with about("way"):
        way = check_way(plan.way, needs)
    with about("experiment"):
        check_experiment(
            plan.experiment,
            variants=len(plan.steps[0].variants),
            steps=len(plan.steps),
            way=way,
            taps=taps_known(way, needs),
            has_trigger=plan.trigger is not None,
        )
    with about("time"):
        trigger = None if plan.trigger is None else _checked_trigger(session, plan)
        recurs, first = first_firing(session, plan.at, plan.recurs, zone=zone, now=now)
    campaign = Campaign(
        channel_id=channel_id,
        name=plan.name,
        state="scheduled" if first and trigger is None and not plan.is_draft else "draft",
        audience=plan.audience.to_json(),
        way=way,
        theme=plan.theme,
        holdout_percent=plan.holdout,
        conversion_days=plan.conversion_days,
        utm=dict(plan.utm),
        priority=plan.priority,
        reply_first_minutes=plan.reply_first_minutes,
        experiment=dict(plan.experiment) if plan.experiment is not None else None,
        is_capped=plan.is_capped,
        keeps_quiet_hours=plan.keeps_quiet_hours,
        at_best_hour=plan.at_best_hour,
        recurs=recurs,
        trigger=None if trigger is None else to_json(trigger),
        goal=_goal(session, plan, trigger),
        next_fire_at=first if trigger is None and not plan.is_draft else None,
        created_at=now,
    )
    if trigger is not None and not plan.is_draft:
        listen(session, campaign, at=plan.at or now, now=now)
    session.add(campaign)
    session.flush()
    assert campaign.id is not None
    for number, step in enumerate(plan.steps, 1):
        _add_step(session, campaign.id, number, step)
    session.add_all(TrackedLink(campaign_id=campaign.id, url=url, topic=plan.topics.get(url)) for url in links)
    session.flush()
    return campaign


def _goal(session: Session, plan: Plan, trigger: Trigger | None) -> dict[str, Any] | None:
    """Who has bought what lay in a cart is not reminded of it: between the look at the cart and the message may lie
    quiet hours, a wait or a free reply."""
    if plan.goal is not None:
        return read_condition(session, plan.goal)
    return read_condition(session, "bought") if isinstance(trigger, CartLeft) else None


def _checked(session: Session, plan: Plan) -> list[str]:
    """The links of a plan's content in order of first appearance, each once. Raises BadInput for whatever is wrong,
    with the `part` of the plan that it is about."""
    with about("way"):
        if plan.way not in (AUTO, *WAYS):
            raise BadInput(f"{plan.way!r} is not a way to send: say {', '.join((AUTO, *WAYS))}")
    with about("holdout"):
        _check_holdout(plan.holdout)
    with about("time"):
        if plan.is_draft and (plan.at or plan.recurs):
            raise BadInput("a draft gets its time when it is scheduled: leave the time out, or the draft")
    with about("replies"):
        _check_reply_first(plan)
    with about("window"):
        if not 1 <= plan.conversion_days <= MAX_CONVERSION_DAYS:
            raise BadInput(f"orders count for 1 to {MAX_CONVERSION_DAYS} days after a tap or a delivery")
    with about("priority"):
        if abs(plan.priority) > MOST_PRIORITY:
            raise BadInput(f"a priority lies between -{MOST_PRIORITY} and {MOST_PRIORITY}, got {plan.priority}")
    with about("name"):
        if not plan.name.strip():
            raise BadInput("a campaign needs a name")
    with about("steps"):
        if not plan.steps:
            raise BadInput("a campaign needs at least one step")
        _check_way_through(plan)
    links: dict[str, None] = {}
    with about("content"):
        for step in plan.steps:
            links.update(dict.fromkeys(_checked_step(step, "push" if plan.way == AUTO else plan.way)))
    with about("audience"):
        check_audience(session, plan.audience)
    with about("content"):
        _check_topics(plan.topics, list(links))
        check_utm(plan.utm)
    return list(links)


def _check_holdout(percent: Decimal) -> None:
    if not (percent.is_finite() and 0 <= percent < 100):
        raise BadInput(f"holdout must be at least 0 and below 100 percent, got {percent}")
    if percent != round(percent, 2):
        raise BadInput(f"holdout has at most two decimal places, got {percent}")


def _check_reply_first(plan: Plan) -> None:
    if plan.reply_first_minutes is None:
        return
    if not 1 <= plan.reply_first_minutes <= MAX_REPLY_FIRST_MINUTES:
        raise BadInput(f"free replies can be waited for from 1 to {MAX_REPLY_FIRST_MINUTES} minutes (30 days)")


def _check_way_through(plan: Plan) -> None:
    """Steps, waits and a trigger must fit each other."""
    if any(not 0 <= step.wait_minutes <= MAX_WAIT_MINUTES for step in plan.steps):
        raise BadInput(f"a step waits for 0 to {MAX_WAIT_MINUTES} minutes (a year)")
    if plan.way == "narrowcast" and (plan.trigger is not None or len(plan.steps) > 1):
        raise BadInput("a narrowcast goes to a whole audience at once: it has no trigger and no further steps")
    first = plan.steps[0]
    if plan.trigger is None and (first.wait_minutes or first.condition is not None):
        raise BadInput(
            "the first step goes out when the campaign fires: it has no wait and no condition without a trigger"
        )


def _checked_trigger(session: Session, plan: Plan) -> Trigger:
    if plan.recurs:
        raise BadInput("a campaign either recurs or has a trigger")
    assert plan.trigger is not None
    trigger = read_trigger(plan.trigger)
    check_trigger(session, trigger)
    return trigger


def _checked_step(step: StepPlan, way: str) -> list[str]:
    names = [variant.name for variant in step.variants]
    if not names or len(set(names)) < len(names):
        raise BadInput("a step needs at least one variant, and each a name of its own")
    if any(not variant.weight > 0 for variant in step.variants):
        raise BadInput("the weight of a variant must be above 0")
    for variant in step.variants:
        check_languages(variant.languages)
    contents = [part for v in step.variants for part in (v.messages, *v.languages.values())]
    for messages in contents:
        check_messages(messages, way=way)
    return [url for messages in contents for url in links_in(list(messages))]


def _check_topics(topics: Mapping[str, str], links: list[str]) -> None:
    for url, topic in topics.items():
        if url not in links:
            known = f"its links are {', '.join(links)}" if links else "it has no links"
            raise BadInput(f"the content has no link {url!r} to give a topic; {known}")
        check_name(topic)


def _add_step(session: Session, campaign_id: int, number: int, step: StepPlan) -> None:
    condition = None if step.condition is None else read_condition(session, step.condition)
    session.add(
        CampaignStep(campaign_id=campaign_id, step_number=number, wait_minutes=step.wait_minutes, condition=condition)
    )
    for variant in step.variants:
        session.add(
            Variant(
                campaign_id=campaign_id,
                step_number=number,
                name=variant.name,
                weight=variant.weight,
                messages=list(variant.messages),
                languages={language: list(messages) for language, messages in variant.languages.items()},
            )
        )
