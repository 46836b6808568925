"""What fires in the coming days: campaigns by time, people due at later steps, and triggers that listen. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, literal, literal_column, select, union_all
from sqlmodel import Session, col

from campaigns.planning.recurrence import next_firing, recurrence_words
from campaigns.planning.triggers import Language, read_trigger, trigger_words
from campaigns.settings import read_settings
from store.engine import is_sqlite, table_of
from store.models import Campaign, CampaignStep, Enrolment
from store.types import UTCDateTime

LIVE = ("scheduled", "sending")
MOST_FIRINGS = 100  # of one campaign: cron may say every minute
COUNTED = 100_000  # people who wait for a step
STEPS_AT_ONCE = 100  # asked for in one statement; SQLite takes 500 parts

campaign_table, step, enrolment = table_of(Campaign), table_of(CampaignStep), table_of(Enrolment)


@dataclass(frozen=True)
class Coming:
    """One firing. `at` (aware UTC) is when it sends, after quiet hours that it falls in (`is_put_off`); `holiday` the
    name of that day's, or None; `people` who wait for a step (at least so many, and more of them later, where it
    `is_least`), None where an audience is found only then."""

    at: datetime
    campaign_id: int
    name: str
    step_number: int
    is_put_off: bool
    holiday: str | None
    people: int | None
    is_least: bool = False


@dataclass(frozen=True)
class Listening:
    """A campaign that waits for people, in words."""

    campaign_id: int
    name: str
    chinese: str
    english: str


def coming(session: Session, *, zone: ZoneInfo, now: datetime, days: int, counted: int = COUNTED) -> list[Coming]:
    """Everything that fires from `now` on within `days`, by time; of a campaign MOST_FIRINGS at most. Paused campaigns
    don't fire. People who wait for a step are gathered by the hour in which they are due; of each step the first
    `counted` are looked at."""
    until = now + timedelta(days=days)
    settings = read_settings(session)
    workdays, quiet = settings.calendar(), settings.quiet()
    found: list[Coming] = []

    def add(
        campaign: Campaign, at: datetime, step_number: int, people: int | None = None, *, is_least: bool = False
    ) -> None:
        end = quiet.end_of(at, zone) if quiet is not None and campaign.keeps_quiet_hours else None
        sends_at = end or at
        holiday = workdays.name_of(sends_at.astimezone(zone).date())
        assert campaign.id is not None
        is_put_off = end is not None
        found.append(Coming(sends_at, campaign.id, campaign.name, step_number, is_put_off, holiday, people, is_least))

    live = select(Campaign).where(col(Campaign.state).in_(LIVE)).order_by(col(Campaign.id))
    campaigns = session.scalars(live).all()
    for campaign in campaigns:
        at = campaign.next_fire_at
        for _ in range(MOST_FIRINGS):
            if at is None or at > until:
                break
            add(campaign, max(at, now), 1)
            at = next_firing(campaign.recurs, workdays=workdays, zone=zone, after=at) if campaign.recurs else None
    by_id = {campaign.id: campaign for campaign in campaigns}
    for (campaign_id, step_number), hours in _waiting(session, until, now, counted).items():
        if campaign_id not in by_id:
            continue  # it went live between the two questions
        last = max(hours) if sum(hours.values()) >= counted else None
        for hour, people in hours.items():
            add(by_id[campaign_id], hour, step_number, people, is_least=hour == last)
    return sorted(found, key=lambda one: (one.at, one.campaign_id, one.step_number))


def listening(session: Session) -> list[Listening]:
    """The campaigns whose trigger listens now, by id."""
    live = col(Campaign.state).in_(LIVE)
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


def _waiting(
    session: Session, until: datetime, now: datetime, counted: int
) -> dict[tuple[int, int], dict[datetime, int]]:
    """(Live campaign, step) -> hour in which they are due -> people; those overdue are due now. Each step looks at the
    beginning of its part of the index, however many wait."""
    steps = select(step.c.campaign_id, step.c.step_number).join(
        campaign_table, campaign_table.c.id == step.c.campaign_id
    )
    keys = [(row[0], row[1]) for row in session.execute(steps.where(campaign_table.c.state.in_(LIVE)))]
    found: dict[tuple[int, int], dict[datetime, int]] = {}
    for start in range(0, len(keys), STEPS_AT_ONCE):
        parts = [_waiting_at(session, *key, until, counted) for key in keys[start : start + STEPS_AT_ONCE]]
        for campaign_id, number, hour, people in session.execute(union_all(*parts)):
            hours, at = found.setdefault((campaign_id, number), {}), max(hour, now)
            hours[at] = hours.get(at, 0) + people
    return found


def _waiting_at(session: Session, campaign_id: int, number: int, until: datetime, counted: int) -> Any:
    """SQL: campaign, step, hour, people."""
    due_at = enrolment.c.due_at
    first = (
        select(due_at)
        .where(enrolment.c.campaign_id == campaign_id, enrolment.c.step_number == number, due_at <= until)
        # written out: SQLite uses the index of those who wait only where it can see that they do
        .where(enrolment.c.state == literal_column("'waiting'"))
        .order_by(due_at)
        .limit(counted)
        .subquery()
    )
    begun = ("%Y-%m-%d %H:00:00.000000", first.c.due_at) if is_sqlite(session) else ("hour", first.c.due_at, "UTC")
    of_hour = func.strftime if is_sqlite(session) else func.date_trunc
    hour = of_hour(*begun, type_=UTCDateTime(timezone=True)).label("hour")
    return select(literal(campaign_id), literal(number), hour, func.count()).group_by(hour)
