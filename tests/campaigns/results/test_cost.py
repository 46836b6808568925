"""What runs cost, in messages and beyond the plan in money."""

from datetime import timedelta
from decimal import Decimal

from campaigns.money.line_plan import change_plan
from campaigns.results.cost import RunCost, costs_of
from campaigns.results.runs import results_by_run, runs_of
from store.engine import reading, transaction
from store.models import CampaignRun
from tests.campaigns.conftest import ZONE
from tests.campaigns.results.conftest import Story

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
    for run, people in ((first, 2), (second, 4), (next_month, 3)):
        for _ in range(people):
            story.person(run)
        story.person(run, by_reply=True)
        story.person(run, "failed")
        story.person(run, "held_out")
    with reading(story.engine) as session:
        costs = costs_of(session, runs_of(session, story.campaign_id), ZONE, {})
        only_second = costs_of(session, [session.get_one(CampaignRun, second)], ZONE, {})
        at_hand = results_by_run(session, [second])
        assert costs_of(session, [session.get_one(CampaignRun, second)], ZONE, at_hand) == only_second
    assert costs[first] == RunCost(2, 1, Decimal(0), "TWD")
    assert costs[second] == RunCost(4, 1, Decimal("0.5"), "TWD")  # one is in the plan, two at 0.2, one at 0.1
    assert costs[next_month] == RunCost(3, 1, Decimal(0), "TWD")
    assert only_second == {second: costs[second]}
    assert (costs[first] + costs[second]).messages == 6
