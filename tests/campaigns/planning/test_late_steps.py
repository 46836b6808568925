"""A step whose time was long over: after a pause, or days without a worker, none is made up for in a burst."""

import pytest

from campaigns.planning import schedule
from store.engine import transaction
from tests.campaigns.conftest import ZONE, Shop
from tests.campaigns.planning.sequences import Opener, move, moved, on_the_way, says, step_on, told


def paused_for(shop: Shop, campaign: int, **time: float) -> None:
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign)
    shop.clock.advance(**time)
    move(shop)
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign, zone=ZONE, now=shop.clock())


def test_a_step_whose_time_was_over_a_day_ago_is_not_sent_and_the_next_keeps_its_time(open_shop: Opener) -> None:
    shop = open_shop(2)
    campaign = shop.plan(steps=says("one", "two", "three", wait2=60, wait3=5 * 24 * 60))
    step_on(shop)
    paused_for(shop, campaign, days=3)
    step_on(shop)
    assert {text for _, text in told(shop)} == {"one"}
    assert on_the_way(shop, campaign) == [(1, "waiting", None, 3), (2, "waiting", None, 3)]
    step_on(shop, minutes=2 * 24 * 60)
    assert {text for _, text in told(shop)} == {"one"}
    step_on(shop, minutes=60)  # five days after the time of the second
    assert told(shop) == [(n, text) for n in (1, 2) for text in ("one", "three")]
    assert {state for _, state, _, _ in on_the_way(shop, campaign)} == {"finished"}


def test_after_a_long_pause_no_step_that_was_missed_is_sent_at_once_or_at_all(open_shop: Opener) -> None:
    shop = open_shop(2)
    steps = says("one", "two", "three", "four", wait2=60, wait3=24 * 60, wait4=24 * 60)
    campaign = shop.plan(steps=steps)
    step_on(shop)
    paused_for(shop, campaign, days=20)
    for _ in range(3):
        step_on(shop, minutes=60)
    assert {text for _, text in told(shop)} == {"one"}
    assert {(state, reason) for _, state, reason, _ in on_the_way(shop, campaign)} == {("finished", "missed")}
    assert shop.campaign(campaign).state == "sent"


def test_a_worker_that_was_down_for_days_sends_no_overtaken_step_either(open_shop: Opener) -> None:
    shop = open_shop(1)
    campaign = shop.plan(steps=says("one", "two", wait2=60))
    step_on(shop)
    step_on(shop, minutes=60 + 24 * 60 + 1)
    assert told(shop) == [(1, "one")]
    assert on_the_way(shop, campaign) == [(1, "finished", "missed", 2)]


def test_who_missed_the_first_step_of_an_event_leaves(open_shop: Opener) -> None:
    shop = open_shop(1)
    campaign = shop.plan(steps=says("one", "two", wait1=60, wait2=60), trigger="nesl:→S1")
    moved(shop, 1, "E", "S1")
    move(shop)
    assert on_the_way(shop, campaign) == [(1, "waiting", None, 1)]
    paused_for(shop, campaign, days=2)
    step_on(shop)
    assert told(shop) == []
    assert on_the_way(shop, campaign) == [(1, "left", "missed", 1)]


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_step_that_was_being_sent_is_not_sent_days_later(open_shop: Opener, is_frozen: bool) -> None:
    shop = open_shop(3)
    campaign = shop.plan(steps=says("one", "two", "three", wait2=60, wait3=7 * 24 * 60))
    step_on(shop)
    shop.clock.advance(minutes=60)
    move(shop)
    if is_frozen:
        shop.tick()
    paused_for(shop, campaign, days=4)
    step_on(shop)
    assert {text for _, text in told(shop)} == {"one"}
    assert shop.results(campaign).skipped == ({"missed": 3} if is_frozen else {})
    assert {(state, step) for _, state, _, step in on_the_way(shop, campaign)} == {("waiting", 3)}
    step_on(shop, minutes=3 * 24 * 60)
    assert told(shop) == [(n, text) for n in (1, 2, 3) for text in ("one", "three")]
