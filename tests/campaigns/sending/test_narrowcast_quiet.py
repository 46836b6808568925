"""Narrowcasts and quiet hours: no step to LINE is begun in them, but what LINE has accepted is followed to its end."""

from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy import func, select

from campaigns.sending import narrowcast as narrowcasts
from campaigns.sending import narrowcast_claims
from campaigns.sending.narrowcast import step_narrowcasts
from campaigns.sending.narrowcast_claims import is_anything_due
from campaigns.settings import change_settings
from store.engine import reading, table_of, transaction
from store.models import Narrowcast
from tests.campaigns.conftest import ZONE, Shop
from tests.campaigns.sending.test_narrowcast import ground, planned, rows, work

OpenShop = Callable[[int], Shop]


@pytest.fixture
def shop(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Nine people, uploaded two at a time, and quiet from 22:00 to 08:00."""
    monkeypatch.setattr(narrowcast_claims, "UPLOAD_SIZE", 2)
    monkeypatch.setattr(narrowcasts, "UPLOAD_SIZE", 2)
    shop = open_shop(9)
    with transaction(shop.engine) as session:
        change_settings(session, {"quiet_hours": "22:00-08:00"}, actor="test", now=shop.clock())
    return shop


def at(shop: Shop, words: str) -> None:
    shop.clock.now = datetime.fromisoformat(words).replace(tzinfo=ZONE)


def uploads(shop: Shop) -> int:
    with shop.line.platform.lock:
        return sum(len(audience.jobs) for audience in shop.line.platform.channels[0].audiences.audiences.values())


def test_uploads_stop_when_it_becomes_quiet_and_go_on_in_the_morning(shop: Shop) -> None:
    at(shop, "2026-11-02T21:59:57")
    campaign_id = planned(shop)
    shop.tick()
    for _ in range(3):  # the audience is made, and two pairs are uploaded, a second apart
        step_narrowcasts(ground(shop))
        shop.clock.advance(seconds=1)
    assert shop.clock().astimezone(ZONE).hour == 22
    begun = uploads(shop)
    assert 0 < begun < 5
    with reading(shop.engine) as session:
        assert not is_anything_due(session, shop.clock())
    work(shop, 600)
    assert (uploads(shop), shop.got().total()) == (begun, 0)
    at(shop, "2026-11-03T08:00")
    work(shop, 120)
    assert shop.everyone_once(range(1, 10))
    assert shop.results(campaign_id).deliveries["accepted"] == 9


def test_the_request_itself_waits_for_the_morning(shop: Shop) -> None:
    at(shop, "2026-11-02T21:00")
    planned(shop)
    shop.tick()
    while rows(shop)[0:1] == [] or rows(shop)[0].state != "sending":
        before = rows(shop)
        with transaction(shop.engine) as session:
            narrowcast_claims.plan_narrowcasts(session, now=shop.clock())
            taken = narrowcast_claims.take_narrowcast(
                session, [shop.channel_id], lease=ground(shop).lease, now=shop.clock()
            )
        assert taken is not None, before
        narrowcasts._step(ground(shop), taken)
        shop.clock.advance(seconds=10)
    at(shop, "2026-11-02T22:00")
    work(shop, 60)
    assert (rows(shop)[0].request_id, rows(shop)[0].first_attempt_at) == (None, None)
    at(shop, "2026-11-03T08:00")
    work(shop, 60)
    assert shop.everyone_once(range(1, 10))


def test_what_line_has_accepted_is_followed_and_never_skipped_however_long_it_takes(shop: Shop) -> None:
    at(shop, "2026-11-02T21:59")
    campaign_id = planned(shop)
    shop.tick()
    while not rows(shop) or rows(shop)[0].request_id is None:
        step_narrowcasts(ground(shop))
        shop.clock.advance(seconds=2)
    for moment in ("2026-11-02T22:00", "2026-11-03T08:00", "2026-11-03T22:00", "2026-11-04T22:00"):
        at(shop, moment)
        shop.tick()  # the worker that asks for the progress is down
    assert shop.results(campaign_id).skipped == {}
    work(shop, 60)
    assert shop.results(campaign_id).deliveries["accepted"] == 9
    assert shop.campaign(campaign_id).state == "sent"


def test_one_that_could_not_be_sent_all_of_the_next_day_is_skipped_and_its_audience_deleted(shop: Shop) -> None:
    at(shop, "2026-11-02T21:59:57")
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    shop.clock.advance(seconds=1)
    for moment in ("2026-11-02T22:00", "2026-11-03T08:00", "2026-11-03T22:00", "2026-11-03T22:01"):
        at(shop, moment)  # no worker takes narrowcasts all day
        shop.tick()
    work(shop, 60)
    assert shop.results(campaign_id).skipped == {"quiet_hours": 9}
    assert (rows(shop)[0].state, shop.got().total()) == ("cancelled", 0)
    assert shop.line.platform.channels[0].audiences.audiences == {}
    with reading(shop.engine) as session:
        due = select(func.count()).where(table_of(Narrowcast).c.due_at.is_not(None))
        assert session.scalar(due) == 0
