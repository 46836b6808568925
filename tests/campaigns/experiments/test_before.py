"""What an experiment takes, told of a campaign before it is sent."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from campaigns.experiments.before import Before, Wanted, before
from campaigns.experiments.sample_size import Design, detectable, people_needed
from campaigns.planning.plan import StepPlan, VariantPlan
from store.engine import transaction
from store.errors import BadInput
from store.models import Channel, Enrolment
from tests.campaigns.conftest import ZONE, Shop
from tests.campaigns.experiments.past import add_past

OpenShop = Callable[[int], Shop]
A_AND_B = [StepPlan([VariantPlan([{"type": "text", "text": f"{name} https://a.example"}], name) for name in "AB"])]
TEST = {"choice": "test_then_winner", "test_percent": 20, "wait_minutes": 120, "deadline_minutes": 600}


def ask(shop: Shop, campaign_id: int, **wanted: Any) -> Before:
    return before(shop.engine, campaign_id, Wanted(**wanted), zone=ZONE, clock=shop.clock)


def test_audience_and_rates_are_read_from_the_campaign_and_the_past(open_shop: OpenShop) -> None:
    shop = open_shop(200)
    with transaction(shop.engine) as session:
        add_past(session, session.get_one(Channel, shop.channel_id), 5, now=shop.clock())
    campaign_id = shop.plan(steps=A_AND_B, holdout_percent=Decimal(10))
    told = ask(shop, campaign_id, difference=0.02)
    assert told.audience == 220  # and the 20 who tapped before, who have no account
    assert told.people == told.learning
    assert 160 < told.people < 200
    base = told.baseline
    assert base.low is not None
    assert base.high is not None
    assert base.low < 0.05 < base.high
    assert base.rate == pytest.approx(0.05, abs=0.01)
    assert base.runs == 5
    assert told.needed == people_needed(Design(base.rate), 0.02)
    assert told.smallest == detectable(Design(base.rate), told.people)
    assert told.is_enough is False
    assert told.days == pytest.approx(240 / 1440, abs=1e-3)  # outcomes count for four hours
    orders = ask(shop, campaign_id, outcome="orders")
    assert orders.baseline.rate == pytest.approx(0.01, abs=0.005)
    assert (orders.needed, orders.is_enough) == (None, None)
    assert orders.days == pytest.approx(7, abs=1e-3)


def test_of_a_test_before_a_winner_its_own_part_is_compared(open_shop: OpenShop) -> None:
    shop = open_shop(100)
    told = ask(shop, shop.plan(steps=A_AND_B, experiment=TEST), baseline=0.1, difference=0.3)
    assert (told.people, told.learning) == (100, 20)
    assert told.days == pytest.approx(2 / 24, abs=1e-3)
    assert (told.baseline.runs, told.baseline.low) == (0, None)
    waves = {"choice": "thompson", "waves": 4, "wait_minutes": 60, "deadline_minutes": 150}
    told = ask(shop, shop.plan(steps=A_AND_B, experiment=waves), baseline=0.1)
    assert told.learning == 100
    assert told.days == pytest.approx((150 + 60) / 1440, abs=1e-3)  # the deadline ends the waves


def test_where_people_enter_one_by_one_it_takes_as_many_days_as_their_number(open_shop: OpenShop) -> None:
    shop = open_shop(100)
    campaign_id = shop.plan(steps=A_AND_B, trigger="生日")
    assert ask(shop, campaign_id, baseline=0.1, difference=0.2).days is None  # nobody knows yet
    shop.clock.advance(days=10)
    with transaction(shop.engine) as session:
        for number in range(50):
            at = shop.clock() - timedelta(days=3)
            fields: dict[str, Any] = {"entry_key": "b", "entered_at": at, "due_at": at}
            session.add(Enrolment(campaign_id=campaign_id, customer_id=shop.ids[number], **fields))
    told = ask(shop, campaign_id, baseline=0.1, difference=0.2)
    assert told.learning == 5 * 28
    assert told.needed is not None
    assert told.days == pytest.approx(-(-told.needed // 5) + 240 / 1440)
    assert ask(shop, campaign_id, baseline=0.1, difference=0.2, per_day=10_000).days == pytest.approx(1 + 240 / 1440)


@pytest.mark.parametrize(
    ("people", "steps", "wanted", "problem"),
    [
        (5, A_AND_B, {}, "too little history: 0 runs"),
        (0, A_AND_B, {"baseline": 0.1}, "nobody"),
        (5, None, {"baseline": 0.1}, "one variant"),
        (5, A_AND_B, {"baseline": 1.5}, "below 1"),
    ],
)
def test_what_can_not_be_told_says_why(
    open_shop: OpenShop, people: int, steps: Any, wanted: dict[str, Any], problem: str
) -> None:
    shop = open_shop(people)
    campaign_id = shop.plan(**({"steps": steps} if steps else {}))
    with pytest.raises(BadInput, match=problem):
        ask(shop, campaign_id, **wanted)
