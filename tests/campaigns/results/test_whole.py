"""All runs of a campaign added up by the database are what adding up their results gives."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from campaigns.results import sums
from campaigns.results.tally import forget_tally
from campaigns.results.together import campaign_results
from campaigns.results.whole import Whole, all_runs
from store.engine import reading, table_of, transaction
from store.models import CampaignRun
from tests.campaigns.results.conftest import Story

HOUR = timedelta(hours=1)


def whole(story: Story) -> Whole:
    story.catch_up()
    with reading(story.engine) as session:
        return all_runs(session, story.campaign_id)


@pytest.mark.parametrize("worth_keeping", [1, 5_000])
def test_runs_that_are_over_and_those_going_on_count_alike(
    story: Story, monkeypatch: pytest.MonkeyPatch, worth_keeping: int
) -> None:
    monkeypatch.setattr(sums, "WORTH_KEEPING", worth_keeping)
    assert whole(story).runs == 0
    runs = [story.run(story.at + place * HOUR) for place in range(3)]
    for run_id in runs:
        who, _ = story.person(run_id), story.person(run_id, by_reply=True)
        story.person(run_id, state="failed")
        story.person(run_id, state="held_out")
        story.tap(run_id, who, at=story.at + 4 * HOUR)
        story.tap(run_id, None, at=story.at + 4 * HOUR)
        story.order(who, story.at + 5 * HOUR, total="250")
    going_on = story.run(story.at + 6 * HOUR, state="sending")
    for number, batch, state in ((1, "done", "accepted"), (2, "due", "chosen")):
        story.batch(going_on, number, batch)
        story.person(going_on, state=state, batch_number=number)
    elsewhere = story.run(campaign_id=story.another_campaign(days=3))
    story.person(elsewhere)
    found = whole(story)
    with reading(story.engine) as session:
        assert found == Whole.of(campaign_results(session, story.campaign_id), runs=4)
        counts = session.execute(select(table_of(CampaignRun).c.reached_count)).all()
    assert (found.accepted, found.messages, found.clicks, found.conversions) == (7, 4, 6, 3)
    assert sorted(row[0] is None for row in counts) == [False] * 4 + [True]
    with transaction(story.engine) as session:
        forget_tally(session, runs[0])
        assert session.get_one(CampaignRun, runs[0]).reached_count is None
        assert all_runs(session, story.campaign_id) == found
