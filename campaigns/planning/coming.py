"""What fires in the coming days: campaigns by time, people due at later steps, and triggers that listen. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlmodel import Session, col

from campaigns.planning.recurrence import next_firing, recurrence_words
from campaigns.planning.triggers import Language, read_trigger, trigger_words
from campaigns.settings import read_settings
from store.engine import table_of
from store.models import Campaign, Enrolment

MOST_FIRINGS = 100  # of one campaign: cron may say every minute


@dataclass(frozen=True)
class Coming:
    """One firing. `at` (aware UTC) is when it sends, after quiet hours that it falls in (`is_put_off`); `holiday` the
    name of that day's, or None; `people` who wait for a step, None where an audience is found only then."""

    at: datetime
    campaign_id: int
    name: str
    step_number: int
    is_put_off: bool
    holiday: str | None
    people: int | None


@dataclass(frozen=True)
class Listening:
    """A campaign that waits for people, in words."""

    campaign_id: int
    name: str
    chinese: str
    english: str


def coming(session: Session, *, zone: ZoneInfo, now: datetime, days: int) -> list[Coming]:
    """Everything that fires from `now` on within `days`, by time; of a campaign MOST_FIRINGS at most. Paused campaigns
    don't fire. People who wait for a step are gathered by the hour in which they are due."""
    until = now + timedelta(days=days)
    settings = read_settings(session)
    workdays, quiet = settings.calendar(), settings.quiet()
    found: list[Coming] = []

    def add(campaign: Campaign, at: datetime, step_number: int, people: int | None) -> None:
        end = quiet.end_of(at, zone) if quiet is not None and campaign.keeps_quiet_hours else None
        sends_at = end or at
        holiday = workdays.name_of(sends_at.astimezone(zone).date())
        assert campaign.id is not None
        found.append(Coming(sends_at, campaign.id, campaign.name, step_number, end is not None, holiday, people))

    live = select(Campaign).where(col(Campaign.state).in_(("scheduled", "sending"))).order_by(col(Campaign.id))
    for campaign in session.scalars(live):
        at = campaign.next_fire_at
        for _ in range(MOST_FIRINGS):
            if at is None or at > until:
                break
            add(campaign, max(at, now), 1, None)
            at = next_firing(campaign.recurs, workdays=workdays, zone=zone, after=at) if campaign.recurs else None
        for (step_number, hour), people in _waiting(session, campaign, until, now).items():
            add(campaign, hour, step_number, people)
    return sorted(found, key=lambda one: (one.at, one.campaign_id, one.step_number))


def listening(session: Session) -> list[Listening]:
    """The campaigns whose trigger listens now, by id."""
    live = col(Campaign.state).in_(("scheduled", "sending"))
    with_trigger = select(Campaign).where(live, col(Campaign.trigger).is_not(None)).order_by(col(Campaign.id))
    found = []
    for campaign in session.scalars(with_trigger):
        trigger = read_trigger(campaign.trigger or {})
        assert campaign.id is not None
        words = (trigger_words(trigger, "zh"), trigger_words(trigger, "en"))
        found.append(Listening(campaign.id, campaign.name, *words))
    return found


def when_words(campaign: Campaign, language: Language) -> str | None:
    """What makes a campaign fire, in words; None for one that fires once, at its time."""
    if campaign.trigger is not None:
        return trigger_words(read_trigger(campaign.trigger), language)
    return None if campaign.recurs is None else recurrence_words(campaign.recurs, language)


def _waiting(session: Session, campaign: Campaign, until: datetime, now: datetime) -> dict[tuple[int, datetime], int]:
    """(step, hour in which they are due) -> people; those overdue are due now."""
    enrolment = table_of(Enrolment)
    rows = session.execute(
        select(enrolment.c.step_number, enrolment.c.due_at, func.count())
        .where(enrolment.c.campaign_id == campaign.id, enrolment.c.state == "waiting", enrolment.c.due_at <= until)
        .group_by(enrolment.c.step_number, enrolment.c.due_at)
    )
    found: dict[tuple[int, datetime], int] = {}
    for step_number, due_at, people in rows:
        key = (step_number, max(due_at.replace(minute=0, second=0, microsecond=0), now))
        found[key] = found.get(key, 0) + people
    return found
