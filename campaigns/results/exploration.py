"""Asking chance: the same message to a few people whom a campaign's audience leaves out, half of them held out, so that
its rule can be seen to be right or wrong."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, func, insert, literal, not_, select, update
from sqlmodel import Session

from campaigns.audience.asked import AskedAudience, ask_audience
from campaigns.audience.target import Audience
from campaigns.experiments.assignment import BUCKETS, bucket_of
from campaigns.planning.plan import Plan, StepPlan, VariantPlan, create_campaign
from campaigns.planning.schedule import campaign_by_id, variants_of
from campaigns.results.comparison import Comparison, compare
from campaigns.results.lift import Arm
from campaigns.results.together import campaign_results
from store.clock import Clock
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry, Campaign, Customer, CustomerList, CustomerListMember, TrackedLink

SLICE = 4_000  # customers looked at in one transaction
_SALT = 1_000_003  # a draw of its own: who is held out of the campaign must not be told from it

customer, lists, members = table_of(Customer), table_of(CustomerList), table_of(CustomerListMember)


def explore(
    engine: Engine,
    campaign_id: int,
    *,
    percent: float,
    holdout_percent: Any,
    at: datetime | None,
    zone: ZoneInfo,
    actor: str,
    clock: Clock,
) -> int:
    """Make a campaign that says what `campaign_id` says to a random `percent` (above 0, up to 100) of those outside its
    audience; returns its id. `at` (aware) is when it fires, best when the other does; None leaves a draft.

    Raises BadInput for an audience that leaves nobody out, a campaign of several steps, or one that is explored.
    """
    if not 0 < percent <= 100:
        raise BadInput("the share to explore must be above 0 and at most 100 percent")
    now = clock()
    with reading(engine) as session:
        audience = Audience.from_json(campaign_by_id(session, campaign_id).audience)
    asked = ask_audience(engine, audience, zone=zone, clock=clock)
    with transaction(engine) as session:
        campaign = campaign_by_id(session, campaign_id)
        steps = _steps(session, campaign_id)
        if len(steps) > 1:
            raise BadInput(f"campaign {campaign_id} has several steps: explore one that has one")
        name = f"探索 {campaign_id}: {campaign.name}"
        if session.execute(select(lists.c.id).where(lists.c.name == name)).first() is not None:
            raise BadInput(f"campaign {campaign_id} is explored already, by the list {name!r}")
        origin = {"explores": campaign_id, "percent": percent}
        made = CustomerList(name=f"{name} (being made {now.isoformat()})", origin=origin, created_at=now)
        session.add(made)
        session.flush()
        list_id = made.id or 0
    _draw(engine, list_id, asked, campaign_id, percent)
    with transaction(engine) as session:
        session.execute(update(lists).where(lists.c.id == list_id).values(name=name))
        people = session.scalar(select(func.count()).select_from(members).where(members.c.list_id == list_id)) or 0
        if not people:
            raise BadInput(f"nobody is outside the audience of campaign {campaign_id}, {audience}")
        plan = Plan(
            name=name,
            audience=Audience((f"list:{name}",)),
            steps=steps,
            at=at,
            way=campaign.way,
            holdout_percent=holdout_percent,
            theme=campaign.theme,
            conversion_days=campaign.conversion_days,
            priority=campaign.priority,
            is_capped=campaign.is_capped,
            keeps_quiet_hours=campaign.keeps_quiet_hours,
            utm=campaign.utm,
            topics=_topics(session, campaign_id),
        )
        explorer = create_campaign(session, plan, channel_id=campaign.channel_id, zone=zone, now=now)
        detail = {**origin, "list_id": list_id, "people": people, "explorer": explorer.id}
        session.add(AuditEntry(at=now, actor=actor, action="explore campaign", detail=detail))
        return explorer.id or 0


def explored(session: Session, campaign_id: int) -> Comparison | None:
    """What a campaign adds for its audience against what it adds for those outside, by its explorers; None without any,
    or before both sides have people sent to and held out."""
    explorers = _explorers(session, campaign_id)
    if not explorers:
        return None
    own = campaign_results(session, campaign_id)
    others = [campaign_results(session, other) for other in explorers]
    if own.lift is None or any(other.lift is None for other in others):
        return None
    sent, held = (sum((other.sides[place] for other in others), Arm()) for place in (0, 1))
    of_explorers = sum(other.times for other in others)  # of several as if it were the same people
    return compare(own.sides, (sent, held), times=(own.times, of_explorers))


def _explorers(session: Session, campaign_id: int) -> list[int]:
    campaign = table_of(Campaign)
    names = {
        f"list:{row.name}"
        for row in session.execute(select(lists.c.name, lists.c.origin))
        if row.origin.get("explores") == campaign_id
    }
    if not names:
        return []
    rows = session.execute(select(campaign.c.id, campaign.c.audience).order_by(campaign.c.id))
    return [row.id for row in rows if row.audience["any_of"][0] in names]


def _steps(session: Session, campaign_id: int) -> list[StepPlan]:
    steps: dict[int, list[VariantPlan]] = {}
    for variant in variants_of(session, campaign_id):
        plan = VariantPlan(variant.messages, variant.name, variant.weight, variant.languages)
        steps.setdefault(variant.step_number, []).append(plan)
    return [StepPlan(variants) for _, variants in sorted(steps.items())]


def _topics(session: Session, campaign_id: int) -> dict[str, str]:
    link = table_of(TrackedLink)
    rows = session.execute(select(link.c.url, link.c.topic).where(link.c.campaign_id == campaign_id))
    return {row.url: row.topic for row in rows if row.topic is not None}


def _draw(engine: Engine, list_id: int, audience: AskedAudience, campaign_id: int, percent: float) -> None:
    after = 0
    while True:
        with reading(engine) as session:
            ids = select(customer.c.id).where(customer.c.id > after).order_by(customer.c.id).limit(SLICE).subquery()
            last = session.scalar(select(func.max(ids.c.id)))
        if last is None:
            return
        with transaction(engine) as session:
            drawn = select(literal(list_id), customer.c.id).where(
                customer.c.id > after,
                customer.c.id <= last,
                not_(audience.condition(after, last)),
                bucket_of(customer.c.id, _SALT + campaign_id) < int(percent * BUCKETS / 100),
            )
            session.execute(insert(members).from_select(["list_id", "customer_id"], drawn))
        after = last
