"""What runs cost, in messages and beyond the plan in money."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from campaigns.money.line_plan import change_plan
from campaigns.results.cost import RunCost, added_per_money, cost_of_campaign, costs_of
from campaigns.results.runs import results_by_run
from store.engine import reading, table_of, transaction
from store.models import CampaignRun
from tests.campaigns.conftest import ZONE
from tests.campaigns.results.conftest import Story

run = table_of(CampaignRun)
OFFER = {
    "name": "small",
    "monthly_fee": "1200",
    "messages": 3,
    "add_on": [{"first": 1, "price": "0.2"}, {"first": 3, "price": "0.1"}],
}


def test_what_is_beyond_the_plan_costs_by_tiers_and_replies_are_free(story: Story) -> None:
    with transaction(story.engine) as session:
        change_plan(session, {"plan": "small", "plans": {"small": OFFER}}, actor="test", now=story.at)
    first = story.run()
    second = story.run(story.at + timedelta(hours=1))
    next_month = story.run(story.at + timedelta(days=40))
    for run_id, people in ((first, 2), (second, 4), (next_month, 3)):
        for _ in range(people):
            story.person(run_id)
        story.person(run_id, by_reply=True)
        story.person(run_id, "failed")
        story.person(run_id, "held_out")
    with reading(story.engine) as session:
        costs = costs_of(session, run.c.campaign_id == story.campaign_id, ZONE)
        only_second = costs_of(session, run.c.id == second, ZONE)
        at_hand = results_by_run(session, [second])
        assert costs_of(session, run.c.id == second, ZONE, at_hand) == only_second
    assert costs[first] == RunCost(2, 1, Decimal(0), Decimal(800), "TWD")  # two of the three for 1,200
    # One is in the plan, two at 0.2, one at 0.1.
    assert costs[second] == RunCost(4, 1, Decimal("0.5"), Decimal(400), "TWD")
    assert costs[next_month] == RunCost(3, 1, Decimal(0), Decimal(1200), "TWD")
    assert only_second == {second: costs[second]}
    assert (costs[first] + costs[second]).messages == 6
    whole, other = costs[first] + costs[second] + costs[next_month], story.another_campaign(days=7)
    for is_over in (False, True):
        with reading(story.engine) as session:
            assert cost_of_campaign(session, story.campaign_id, ZONE) == whole
            assert cost_of_campaign(session, other, ZONE) is None
            reached = session.scalars(select(run.c.reached_count)).all()
        assert [count is not None for count in reached] == [is_over] * 3
        story.catch_up()


def test_what_is_added_is_told_for_each_unit_of_money_within_the_plan_too(story: Story) -> None:
    offer = {"name": "small", "monthly_fee": "100", "messages": 1000}
    with transaction(story.engine) as session:
        change_plan(session, {"plan": "small", "plans": {"small": offer}}, actor="test", now=story.at)
    run_id = story.run()
    for place in range(40):
        sent, held = story.person(run_id), story.person(run_id, "held_out")
        if place < 30:
            story.order(sent, story.at)
        if place < 10:
            story.order(held, story.at)
    results = story.results()
    with reading(story.engine) as session:
        cost = cost_of_campaign(session, story.campaign_id, ZONE)
    assert cost is not None
    assert (cost.money, cost.worth) == (Decimal(0), Decimal(4))  # 40 of the 1,000 messages for 100
    found = added_per_money(cost, results)
    assert found is not None
    assert results.added_revenue is not None
    assert found.difference == pytest.approx(40 * 50 / 4)  # 50 a person more, of 40 people, for 4
    assert (found.low, found.high) == pytest.approx((results.added_revenue.low / 4, results.added_revenue.high / 4))
    free = RunCost(40, 0, Decimal(0), Decimal(0), "TWD")
    assert added_per_money(free, results) is None
    assert added_per_money(None, results) is None
