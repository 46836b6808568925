"""What ran and what fires by day, as a calendar shows it: a campaign stands once on a day, however often it fires then.
Reads only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Integer, case, func, literal, literal_column, select, true, union_all
from sqlmodel import Session, col

from campaigns.planning.quiet import QuietHours, moment_at
from campaigns.planning.recurrence import next_firing
from campaigns.planning.workdays import Workdays
from campaigns.settings import read_settings
from store.engine import table_of
from store.models import Campaign, CampaignRun, CampaignStep, Enrolment
from store.types import UTCDateTime

LIVE = ("scheduled", "sending")  # states of campaigns that fire
COUNTED = 500  # people who wait for a step on a day are counted up to so many
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_PUT_OFF = timedelta(days=2)  # from when a run fires to when quiet hours let it send
_INSTANT = timedelta(microseconds=1)

campaign, step = table_of(Campaign), table_of(CampaignStep)
run, enrolment = table_of(CampaignRun), table_of(Enrolment)


@dataclass(frozen=True)
class OnDay:
    """A campaign on a `day` of the brand's zone. `at`: the first time of that day (aware UTC, after quiet hours).

    `state`: of the newest run of that day; None: it is still to come. `times`: runs of that day; of what is to come 1,
    or 2 for "more than once". `people`: who wait for a step that comes then, COUNTED at most (`at` is the beginning of
    that day); None: its audience is found when it fires."""

    day: date
    at: datetime
    campaign_id: int
    name: str
    state: str | None
    times: int = 1
    people: int | None = None


def by_day(session: Session, first: date, days: int, *, zone: ZoneInfo, now: datetime) -> dict[date, list[OnDay]]:
    """Day -> what ran and what is to come on it, by time, for `days` days from `first` on, each of them a key. Paused
    campaigns don't fire, and don't stand among what is to come."""
    found: dict[date, list[OnDay]] = {first + timedelta(days=n): [] for n in range(days)}
    for one in (
        *_ran(session, list(found), zone),
        *_firing(session, list(found), zone, now),
        *_waiting(session, list(found), zone, now),
    ):
        if one.day in found:  # quiet hours may put it off beyond the last day
            found[one.day].append(one)
    return {day: sorted(some, key=lambda one: (one.at, one.campaign_id)) for day, some in found.items()}


def _start(day: date, zone: ZoneInfo) -> datetime:
    return moment_at(day, time.min, zone)


def _place(moment: Any, days: Sequence[date], zone: ZoneInfo) -> Any:
    """SQL: the place in `days` of the day of a moment that lies in one of them, by halves: five comparisons a month."""

    def among(first: int, last: int) -> Any:
        if first == last:
            return literal(first, Integer)
        middle = (first + last) // 2
        is_early = moment < _start(days[middle] + timedelta(days=1), zone)
        return case((is_early, among(first, middle)), else_=among(middle + 1, last))

    return among(0, len(days) - 1)


def _ran(session: Session, days: Sequence[date], zone: ZoneInfo) -> Iterator[OnDay]:
    since, until = _start(days[0], zone), _start(days[-1] + timedelta(days=1), zone)
    sent_from = func.coalesce(run.c.send_from, run.c.fired_at, type_=UTCDateTime(timezone=True))
    summed = (
        select(
            _place(sent_from, days, zone).label("place"),
            run.c.campaign_id,
            func.min(sent_from, type_=UTCDateTime(timezone=True)).label("at"),
            func.count().label("times"),
            func.max(run.c.id).label("newest_id"),
        )
        .where(run.c.fired_at >= since - LONGEST_PUT_OFF, run.c.fired_at < until)
        .where(sent_from >= since, sent_from < until)
        .group_by("place", run.c.campaign_id)
        .subquery()
    )
    rows = session.execute(
        select(summed, campaign.c.name, run.c.state)
        .join(campaign, campaign.c.id == summed.c.campaign_id)
        .join(run, run.c.id == summed.c.newest_id)
    )
    for row in rows:
        yield OnDay(days[row.place], row.at, row.campaign_id, row.name, row.state, row.times)


def _firing(session: Session, days: Sequence[date], zone: ZoneInfo, now: datetime) -> Iterator[OnDay]:
    settings = read_settings(session)
    workdays, quiet = settings.calendar(), settings.quiet()
    early, until = _start(days[0], zone) - LONGEST_PUT_OFF, _start(days[-1] + timedelta(days=1), zone)
    live = select(Campaign).where(col(Campaign.state).in_(LIVE), col(Campaign.next_fire_at) < until)
    for one in session.scalars(live.order_by(col(Campaign.id))):
        at = max(one.next_fire_at or now, now)
        if one.recurs and at < early:  # not all that lies between
            at = next_firing(one.recurs, workdays=workdays, zone=zone, after=early)
        yield from _firings_of(one, at, until, workdays, quiet, zone)


def _firings_of(
    one: Campaign, first: datetime, until: datetime, workdays: Workdays, quiet: QuietHours | None, zone: ZoneInfo
) -> Iterator[OnDay]:
    """The first firing of each day from `first` on."""
    at: datetime | None = first

    def after(moment: datetime) -> datetime | None:
        return next_firing(one.recurs, workdays=workdays, zone=zone, after=moment) if one.recurs else None

    assert one.id is not None
    while at is not None and at < until:
        put_off = quiet.end_of(at, zone) if quiet is not None and one.keeps_quiet_hours else None
        sends_at = put_off or at
        again, midnight = after(at), _start(at.astimezone(zone).date() + timedelta(days=1), zone)
        is_again = again is not None and again < midnight
        yield OnDay(sends_at.astimezone(zone).date(), sends_at, one.id, one.name, None, 2 if is_again else 1)
        at = after(midnight - _INSTANT) if is_again else again


def _waiting(session: Session, days: Sequence[date], zone: ZoneInfo, now: datetime) -> Iterator[OnDay]:
    """People who wait for a step, by the day on which it is due; who is overdue is due now. Each step and day looks at
    the beginning of its part of the index: a million who wait are not counted."""
    today = now.astimezone(zone).date()
    coming = [place for place, day in enumerate(days) if day >= today]
    if not coming:
        return
    at = UTCDateTime(timezone=True)
    spans = union_all(
        *(
            select(
                literal(place).label("place"),
                literal(LONG_AGO if days[place] == today else _start(days[place], zone), at).label("since"),
                literal(_start(days[place] + timedelta(days=1), zone), at).label("until"),
            )
            for place in coming
        )
    ).subquery("span")
    steps = (
        select(step.c.campaign_id, step.c.step_number, campaign.c.name)
        .select_from(step.join(campaign, campaign.c.id == step.c.campaign_id))
        .where(campaign.c.state.in_(LIVE))
        .subquery("live_step")
    )
    first = (
        select(literal(1).label("one"))
        .where(enrolment.c.campaign_id == steps.c.campaign_id, enrolment.c.step_number == steps.c.step_number)
        # written out: SQLite uses the index of those who wait only where it can see that they do
        .where(enrolment.c.state == literal_column("'waiting'"))
        .where(enrolment.c.due_at >= spans.c.since, enrolment.c.due_at < spans.c.until)
        .limit(COUNTED)
        .correlate(steps, spans)
        .subquery()
    )
    people = select(func.count()).select_from(first).correlate(steps, spans).scalar_subquery()
    found = select(spans.c.place, steps.c.campaign_id, steps.c.name, people.label("people")).join(steps, true())
    summed: dict[tuple[int, int, str], int] = {}
    for row in session.execute(found):
        key = (row.place, row.campaign_id, row.name)
        summed[key] = summed.get(key, 0) + row.people
    for (place, campaign_id, name), count in summed.items():
        if count:
            yield OnDay(days[place], _start(days[place], zone), campaign_id, name, None, people=min(count, COUNTED))
