"""Runs and quiet hours: put off to their end, once, exactly at their boundaries; then skipped with the reason."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from campaigns.planning import schedule
from campaigns.settings import change_settings
from store.engine import reading, table_of, transaction
from store.models import CampaignRun, CustomerHour, SegmentHour, SendBatch
from tests.campaigns.conftest import PLAIN, ZONE, Shop, user_id

Opener = Callable[[int], Shop]


@pytest.fixture
def open_quiet(open_shop: Opener) -> Opener:
    """A shop that is quiet from 22:00 to 08:00."""

    def open_with(people: int) -> Shop:
        shop = open_shop(people)
        quiet(shop, "22:00-08:00")
        return shop

    return open_with


def quiet(shop: Shop, hours: str | None) -> None:
    with transaction(shop.engine) as session:
        change_settings(session, {"quiet_hours": hours}, actor="ann", now=shop.clock())


def at(shop: Shop, words: str) -> datetime:
    """Put the clock to a time in Taipei."""
    shop.clock.now = datetime.fromisoformat(words).replace(tzinfo=ZONE)
    return shop.clock.now


def run_of(shop: Shop, campaign_id: int) -> Any:
    run = table_of(CampaignRun)
    with reading(shop.engine) as session:
        return session.execute(select(run).where(run.c.campaign_id == campaign_id)).one()


@pytest.mark.parametrize(
    ("fires", "sent_at_once"),
    [
        ("2026-11-02T21:59:59.999999", True),
        ("2026-11-02T22:00", False),
        ("2026-11-03T07:59:59.999999", False),
        ("2026-11-03T08:00", True),
    ],
)
def test_a_run_that_fires_in_quiet_hours_waits_for_their_end(
    open_quiet: Opener, fires: str, sent_at_once: bool
) -> None:
    shop = open_quiet(3)
    campaign = shop.plan(at=at(shop, fires))
    assert len(shop.tick()) == 1
    shop.send()
    assert bool(shop.got()) == sent_at_once
    at(shop, "2026-11-03T07:59:59.999999")
    shop.tick()
    shop.send()
    assert bool(shop.got()) == sent_at_once
    assert (run_of(shop, campaign).frozen_at is not None) == sent_at_once  # the audience is that of the morning
    at(shop, "2026-11-03T08:00")
    shop.tick()
    shop.send()
    assert shop.everyone_once([1, 2, 3])
    shop.tick()
    assert shop.campaign(campaign).state == "sent"


def test_a_campaign_may_ignore_quiet_hours(open_quiet: Opener) -> None:
    shop = open_quiet(2)
    shop.plan(at=at(shop, "2026-11-02T23:00"), keeps_quiet_hours=False)
    shop.tick()
    shop.send()
    assert shop.everyone_once([1, 2])


def test_what_quiet_hours_overtake_is_put_off_once_and_then_skipped(open_quiet: Opener) -> None:
    shop = open_quiet(4)
    campaign = shop.plan(at=at(shop, "2026-11-02T21:00"))
    shop.tick()
    at(shop, "2026-11-02T22:00")  # nobody sent until now
    shop.send()
    assert not shop.got()
    shop.tick()
    assert run_of(shop, campaign).send_from == datetime(2026, 11, 3, 8, tzinfo=ZONE)
    at(shop, "2026-11-03T22:00")  # the workers were down all day
    shop.tick()
    shop.send()
    shop.tick()
    assert not shop.got()
    assert shop.results(campaign).skipped == {"quiet_hours": 4}
    assert shop.campaign(campaign).state == "sent"
    at(shop, "2026-11-04T09:00")
    shop.tick()
    shop.send()
    assert not shop.got()


def test_the_rest_of_a_run_goes_on_in_the_morning(open_quiet: Opener) -> None:
    shop = open_quiet(600)
    campaign = shop.plan(at=at(shop, "2026-11-02T21:59"), messages=PLAIN, way="multicast")
    shop.tick()
    batch = table_of(SendBatch)
    with transaction(shop.engine) as session:  # the second batch is not due yet
        session.execute(
            update(batch).where(batch.c.batch_number == 2).values(not_before=shop.clock() + timedelta(minutes=1))
        )
    shop.send()
    assert sum(shop.got().values()) == 500
    at(shop, "2026-11-02T22:00")
    shop.tick()
    shop.send()
    assert sum(shop.got().values()) == 500
    at(shop, "2026-11-03T08:00")
    shop.tick()
    shop.send()
    assert shop.everyone_once(range(1, 601))
    assert shop.results(campaign).skipped == {}


def test_what_waits_for_its_own_hour_is_put_off_and_not_skipped(open_quiet: Opener) -> None:
    shop = open_quiet(2)
    campaign = shop.plan(at=at(shop, "2026-11-02T23:00"))
    shop.tick()
    at(shop, "2026-11-03T08:00")
    shop.tick()
    batch = table_of(SendBatch)
    with transaction(shop.engine) as session:
        session.execute(update(batch).values(not_before=datetime(2026, 11, 4, 9, tzinfo=ZONE)))
    at(shop, "2026-11-03T22:00")
    shop.tick()
    at(shop, "2026-11-04T09:00")
    shop.tick()
    shop.send()
    assert shop.everyone_once([1, 2])
    assert shop.results(campaign).skipped == {}


def test_a_marketers_resume_counts_anew(open_quiet: Opener) -> None:
    shop = open_quiet(2)
    campaign = shop.plan(at=at(shop, "2026-11-02T23:00"))
    shop.tick()
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign, problem="quota")
    at(shop, "2026-11-06T23:00")
    shop.tick()
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign, zone=ZONE, now=shop.clock())
    shop.tick()
    shop.send()
    assert not shop.got()
    at(shop, "2026-11-07T08:00")
    shop.tick()
    shop.send()
    assert shop.everyone_once([1, 2])


def test_a_run_put_off_whose_morning_was_missed_for_a_day_is_not_sent(open_quiet: Opener) -> None:
    shop = open_quiet(2)
    campaign = shop.plan(at=at(shop, "2026-11-02T23:00"))
    shop.tick()
    at(shop, "2026-11-05T10:00")
    shop.tick()
    shop.send()
    assert not shop.got()
    assert "was missed" in (shop.campaign(campaign).problem or "")
    assert shop.campaign(campaign).state == "sent"


def test_quiet_hours_changed_meanwhile_hold_from_the_next_boundary(open_quiet: Opener) -> None:
    shop = open_quiet(2)
    shop.plan(at=at(shop, "2026-11-02T20:00"))
    shop.tick()
    quiet(shop, None)
    at(shop, "2026-11-02T22:00")
    shop.tick()
    shop.send()
    assert shop.everyone_once([1, 2])


def test_each_person_is_sent_to_at_their_best_hour_within_a_day(open_shop: Opener) -> None:
    shop = open_shop(3)
    with transaction(shop.engine) as session:
        for number, hour in ((1, 20), (2, 9)):
            session.add(CustomerHour(customer_id=shop.ids[number - 1], hour=hour, taps=30))
        session.add(SegmentHour(segment="", hour=12, taps=60))
    shop.plan(at=at(shop, "2026-11-02T12:30"), at_best_hour=True)
    seen = []
    for moment in ("2026-11-02T12:30", "2026-11-02T19:59", "2026-11-02T20:00", "2026-11-03T08:59", "2026-11-03T09:00"):
        at(shop, moment)
        shop.tick()
        shop.send()
        seen.append(sorted(shop.got()))
    first, second, third = user_id(3), user_id(1), user_id(2)
    assert seen == [[first], [first], sorted([first, second]), sorted([first, second]), sorted([first, second, third])]
    assert shop.everyone_once([1, 2, 3])
