"""What is planned with a higher priority: the places that it will need, under the frequency caps and within the
collision window, are kept for it.

Caps that only look back give the last place of a day to whoever comes first: a message of low priority at nine would
leave none for the important one at ten. So whoever a campaign of higher priority means, which fires within a cap's
days, counts as if they had been written to on that day. Known ahead are: campaigns that are scheduled (their next
firing), runs whose people are not all frozen yet, and who waits today for a step without a condition. A rule of theirs
is asked together with a run's own (members.py); for people who enter one by one it isn't asked, and keeps no place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, exists, select
from sqlmodel import Session

from campaigns.audience.target import Audience, Targets, read_targets
from campaigns.experiments.assignment import is_held_out
from campaigns.planning.enrolments import taken_by
from campaigns.planning.quiet import moment_at
from campaigns.settings import CAP_DAYS, CampaignSettings
from segmentation.rules.types import Rule
from store.engine import table_of
from store.errors import BadInput
from store.models import Campaign, CampaignRun, CampaignStep, Customer, Enrolment, LineAccount

MOST_PLANNED = 8  # campaigns of higher priority, the soonest: each is asked of everybody

campaign, run, step = table_of(Campaign), table_of(CampaignRun), table_of(CampaignStep)
enrolment, customer, account = table_of(Enrolment), table_of(Customer), table_of(LineAccount)


@dataclass(frozen=True)
class Planned:
    """A sending to come of higher priority. `day`: the brand's; `is_soon`: within the collision window; `after`:
    customers up to this id are frozen for it already; `is_for`: SQL on `customer`, who is to get it."""

    campaign_id: int
    kind: str
    day: date
    is_soon: bool
    after: int
    is_for: Any = field(compare=False)


def planned_ahead(
    session: Session, mine: Campaign, settings: CampaignSettings, *, run_id: int, zone: ZoneInfo, now: datetime
) -> tuple[Planned, ...]:
    """What is planned with a higher priority than a campaign's, by day, as far as a message of it now could take its
    places; rules by the members of the run `run_id` (0: none). Empty for a service message. Reads only."""
    if not mine.is_capped:
        return ()
    soon, until = now + timedelta(minutes=settings.collision_minutes), _horizon(settings, zone, now)
    found = [
        Planned(
            its.id or 0,
            kind,
            moment.astimezone(zone).date(),
            is_soon=moment <= soon,
            after=after,
            is_for=and_(is_for, _can_get(its, mine)),
        )
        for its, kind, moment, after, is_for in (
            *_scheduled(session, mine, settings, until, run_id=run_id, zone=zone),
            *_being_frozen(session, mine, run_id=run_id, now=now),
            *_waiting(session, mine, zone=zone, now=now),
        )
        if moment < until
    ]
    return tuple(sorted(found, key=lambda one: (one.day, one.campaign_id, one.kind))[:MOST_PLANNED])


def rules_ahead(
    session: Session, mine: Campaign, settings: CampaignSettings, *, zone: ZoneInfo, now: datetime
) -> dict[str, Rule]:
    """The rules to be asked with a run's own: RunMember.target -> rule."""
    if not mine.is_capped:
        return {}
    until, found = _horizon(settings, zone, now), dict[str, Rule]()
    for its in _higher_to_come(session, mine, until):
        targets = _targets(session, its)
        found |= targets.rules() if targets else {}
    return found


_Found = tuple[Campaign, str, datetime, int, Any]


def _horizon(settings: CampaignSettings, zone: ZoneInfo, now: datetime) -> datetime:
    """Up to when (exclusive) a firing can need a place that is given away now."""
    today = now.astimezone(zone).date()
    days = [days for reason, days in CAP_DAYS.items() if settings.caps()[reason] is not None]
    ends = [moment_at(today + timedelta(days=count), time(0), zone) for count in days]
    return max([now + timedelta(minutes=settings.collision_minutes, microseconds=1), *ends])


def _higher(mine: Campaign) -> tuple[Any, ...]:
    is_live = campaign.c.state.in_(("scheduled", "sending"))
    return is_live, campaign.c.is_capped, campaign.c.priority > mine.priority, campaign.c.id != (mine.id or 0)


def _higher_to_come(session: Session, mine: Campaign, until: datetime) -> Sequence[Campaign]:
    coming = select(Campaign).where(*_higher(mine), campaign.c.next_fire_at < until)
    return session.scalars(coming.order_by(campaign.c.next_fire_at, campaign.c.id).limit(MOST_PLANNED)).all()


def _targets(session: Session, its: Campaign) -> Targets | None:
    """What its audience says; None for one that can't be read any more: it will fail, and keeps no place."""
    try:
        return read_targets(session, Audience.from_json(its.audience))
    except BadInput:
        return None


def _can_get(its: Campaign, mine: Campaign) -> Any:
    """SQL on `customer`: who isn't held out of it, and has an account where it is sent to another channel."""
    willing = ~is_held_out(customer.c.id, its.id or 0, its.holdout_percent)
    if its.channel_id == mine.channel_id:
        return willing
    theirs = (account.c.customer_id == customer.c.id, account.c.channel_id == its.channel_id)
    return and_(willing, exists().where(*theirs, account.c.is_following.is_not(False)))


def _scheduled(
    session: Session, mine: Campaign, settings: CampaignSettings, until: datetime, *, run_id: int, zone: ZoneInfo
) -> Iterator[_Found]:
    quiet = settings.quiet()
    for its in _higher_to_come(session, mine, until):
        targets, moment = _targets(session, its), its.next_fire_at
        if targets is not None and moment is not None:
            put_off = quiet.end_of(moment, zone) if quiet and its.keeps_quiet_hours else None
            yield its, "scheduled", put_off or moment, 0, targets.condition(run_id)


def _being_frozen(session: Session, mine: Campaign, *, run_id: int, now: datetime) -> Iterator[_Found]:
    """Runs of which some people are frozen still to come: those who are, count as written to."""
    planned = select(CampaignRun).join(Campaign, campaign.c.id == run.c.campaign_id)
    planned = planned.where(*_higher(mine), run.c.state == "planned", run.c.id != run_id)
    for one in session.scalars(planned.order_by(run.c.id).limit(MOST_PLANNED)).all():
        its = session.get_one(Campaign, one.campaign_id)
        assert one.id is not None
        if one.by_enrolment:
            is_for: Any = taken_by(one.id, customer.c.id)
        elif (targets := _targets(session, its)) is not None:
            is_for = targets.condition(run_id if one.members_at is None else one.id)
        else:
            continue
        rest = and_(customer.c.id > one.frozen_up_to, is_for)
        yield its, f"run {one.id}", max(now, one.send_from or now), one.frozen_up_to, rest


def _waiting(session: Session, mine: Campaign, *, zone: ZoneInfo, now: datetime) -> Iterator[_Found]:
    """Who waits for a step that comes today, whatever they do until then."""
    tonight = moment_at(now.astimezone(zone).date() + timedelta(days=1), time(0), zone)
    its_step = and_(step.c.campaign_id == enrolment.c.campaign_id, step.c.step_number == enrolment.c.step_number)
    waits = (enrolment.c.state == "waiting", enrolment.c.due_at < tonight, step.c.condition.is_(None))
    anybody = exists().where(enrolment.c.campaign_id == campaign.c.id, its_step, *waits)
    having = select(Campaign).where(*_higher(mine), anybody).order_by(campaign.c.id).limit(MOST_PLANNED)
    for its in session.scalars(having).all():
        theirs = (enrolment.c.campaign_id == its.id, enrolment.c.customer_id == customer.c.id, its_step, *waits)
        yield its, "steps", now, 0, exists().where(*theirs)
