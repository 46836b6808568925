"""What ran and what fires, day by day of the brand's zone."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from campaigns.planning.by_day import OnDay, by_day
from campaigns.settings import change_settings
from store.engine import reading, transaction
from store.models import Campaign, Channel, Enrolment
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_customer, make_run

TAIPEI = ZoneInfo("Asia/Taipei")
NOVEMBER = date(2026, 11, 1)


@pytest.fixture
def channel(engine: Engine) -> Channel:
    with transaction(engine) as session:
        return make_channel(session)


def november(engine: Engine, clock: StillClock, first: date = NOVEMBER, days: int = 30) -> dict[int, list[OnDay]]:
    """Day of the month -> what stands on it, days with nothing left out."""
    with reading(engine) as session:
        found = by_day(session, first, days, zone=TAIPEI, now=clock())
    assert list(found) == [first + timedelta(days=n) for n in range(days)]
    return {day.day: some for day, some in found.items() if some}


def recurring(session: Session, channel: Channel, recurs: str, next_fire_at: datetime, **fields: Any) -> Campaign:
    return make_campaign(
        session, channel, state="scheduled", recurs=recurs, next_fire_at=next_fire_at, **{"name": recurs, **fields}
    )


def test_runs_stand_on_the_day_of_the_brands_zone_once_a_campaign(
    engine: Engine, clock: StillClock, channel: Channel
) -> None:
    late = datetime(2026, 10, 31, 16, 30, tzinfo=UTC)  # half past midnight on the first, in Taipei
    with transaction(engine) as session:
        campaign = make_campaign(session, channel, name="夜裡的", state="sent")
        make_run(session, campaign, fired_at=late, scheduled_for=late, state="cancelled")
        again = late + timedelta(hours=1)
        make_run(session, campaign, fired_at=again, scheduled_for=again, state="sent")
        before = late - timedelta(hours=1)  # still October
        make_run(session, campaign, fired_at=before, scheduled_for=before, state="sent")
        put_off = make_campaign(session, channel, name="延到早上的", state="sending")
        morning = datetime(2026, 11, 2, 0, 0, tzinfo=UTC)
        night = morning - timedelta(hours=9)  # of the first
        make_run(session, put_off, fired_at=night, scheduled_for=night, send_from=morning, state="sending")
    found = november(engine, clock)
    assert [(one.name, one.at, one.times, one.state) for one in found[1]] == [("夜裡的", late, 2, "sent")]
    assert [(one.name, one.at, one.times, one.state) for one in found[2]] == [("延到早上的", morning, 1, "sending")]
    assert set(found) == {1, 2}


def test_what_recurs_stands_once_on_each_of_its_days_and_a_far_month_is_not_walked_to(
    engine: Engine, clock: StillClock, channel: Channel
) -> None:
    soon = clock() + timedelta(minutes=1)
    with transaction(engine) as session:
        recurring(session, channel, "*/5 * * * *", soon, name="一直發的")
        recurring(session, channel, "每月 5、20 日 10:00", datetime(2026, 11, 5, 2, 0, tzinfo=UTC), name="五號的")
        make_campaign(session, channel, name="停著的", state="paused", recurs="* * * * *", next_fire_at=soon)
        make_campaign(session, channel, state="scheduled", name="一次的", next_fire_at=soon + timedelta(days=1))
    found = november(engine, clock)
    assert list(found) == list(range(2, 31))  # from today on
    assert all([one.name for one in some].count("一直發的") == 1 for some in found.values())
    assert {one.times for some in found.values() for one in some if one.name == "一直發的"} == {2}
    assert [one.name for one in found[5]] == ["一直發的", "五號的"]
    assert [one.name for one in found[3]] == ["一直發的", "一次的"]
    assert "停著的" not in {one.name for some in found.values() for one in some}
    far = november(engine, clock, first=date(2030, 3, 1), days=31)
    assert list(far) == list(range(1, 32))
    assert {day for day, some in far.items() if len(some) > 1} == {5, 20}


def test_what_falls_into_quiet_hours_stands_where_it_is_sent(
    engine: Engine, clock: StillClock, channel: Channel
) -> None:
    with transaction(engine) as session:
        change_settings(session, {"quiet_hours": "22:00-08:00"}, actor="t", now=clock())
        recurring(session, channel, "30 23 * * 5", datetime(2026, 11, 6, 15, 30, tzinfo=UTC), name="週五深夜的")
    found = november(engine, clock)
    assert set(found) == {7, 14, 21, 28}
    assert {one.at.astimezone(TAIPEI).hour for some in found.values() for one in some} == {8}


def test_people_who_wait_are_counted_on_their_day_the_overdue_today(
    engine: Engine, clock: StillClock, channel: Channel
) -> None:
    with transaction(engine) as session:
        campaign = make_campaign(session, channel, name="三步的", state="scheduled", trigger={"on": "birthday"})
        paused = make_campaign(session, channel, name="停著的", state="paused")
        for of, due_in, state in (
            *((campaign, -3, "waiting"), (campaign, 0, "waiting"), (campaign, 2, "waiting"), (campaign, 2, "left")),
            *((campaign, 40, "waiting"), (paused, 2, "waiting")),
        ):
            due_at = clock() + timedelta(days=due_in)
            session.add(
                Enrolment(
                    campaign_id=of.id or 0,
                    customer_id=make_customer(session).id or 0,
                    entry_key="birthday:2026",
                    entered_at=clock(),
                    due_at=due_at,
                    state=state,
                )
            )
    found = november(engine, clock)
    assert {day: [(one.name, one.people) for one in some] for day, some in found.items()} == {
        2: [("三步的", 2)],
        4: [("三步的", 1)],
    }
    assert list(november(engine, clock, first=date(2026, 12, 1), days=31)) == [12]
    assert november(engine, clock, first=date(2026, 10, 1), days=31) == {}
