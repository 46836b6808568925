"""All runs of a campaign added up by the database are what adding up their results gives."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from campaigns.results import sums
from campaigns.results.runs import RunResults
from campaigns.results.tally import close_tally, forget_tally, keep_loose, loose_to_tally, tally_batches
from campaigns.results.together import campaign_results
from campaigns.results.whole import Whole, wholes
from store.engine import reading, table_of, transaction
from store.models import CampaignRun
from tests.campaigns.conftest import after_statement
from tests.campaigns.results.conftest import Story

HOUR = timedelta(hours=1)


def whole_of(results: RunResults, runs: int) -> Whole:
    total = results.total
    bought = (results.clicks, results.conversions, results.revenue)
    return Whole(runs, total.deliveries["accepted"], total.messages, *bought, total.blocked, results.lift)


def whole(story: Story) -> Whole:
    story.catch_up()
    with reading(story.engine) as session:
        return wholes(session, [story.campaign_id])[story.campaign_id]


@pytest.mark.parametrize("worth_keeping", [1, 5_000])
def test_runs_that_are_over_and_those_going_on_count_alike(
    story: Story, monkeypatch: pytest.MonkeyPatch, worth_keeping: int
) -> None:
    monkeypatch.setattr(sums, "WORTH_KEEPING", worth_keeping)
    assert whole(story) == Whole(0, 0, 0, 0, 0, Decimal(0), 0, None)
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
    other = story.another_campaign(days=3)
    elsewhere, broken = story.run(campaign_id=other), story.run(state="cancelled", at=story.at - HOUR)
    story.leave(story.person(elsewhere), story.at + HOUR)
    for state in ("accepted", "held_out", "skipped"):
        story.order(story.person(broken, state, reason="cancelled" if state == "skipped" else None), story.at)
    later = story.run(story.at + HOUR, step_number=2)
    for state in ("accepted", "held_out"):
        story.order(story.person(later, state), story.at + 2 * HOUR)
    found = whole(story)
    with reading(story.engine) as session:
        both = wholes(session, [other, story.campaign_id])
        assert both[story.campaign_id] == found == whole_of(campaign_results(session, story.campaign_id), runs=6)
        assert both[other] == whole_of(campaign_results(session, other), runs=1)
        assert (both[other].accepted, both[other].blocked, both[other].lift) == (1, 1, None)
        counts = session.execute(select(table_of(CampaignRun).c.reached_count)).all()
    assert (found.accepted, found.messages, found.clicks, found.conversions) == (9, 6, 6, 3)
    assert found.lift is not None
    assert found.lift.people == 11  # three in each of the three runs, and two in the one under way
    assert sorted(row[0] is None for row in counts) == [False] * 6 + [True]
    with transaction(story.engine) as session:
        forget_tally(session, runs[0])
        assert session.get_one(CampaignRun, runs[0]).reached_count is None
        assert session.get_one(CampaignRun, runs[0]).compared_again is None
        assert wholes(session, [story.campaign_id])[story.campaign_id] == found


def test_a_run_that_ends_while_they_are_read_counts_once(story: Story) -> None:
    first, second = story.run(), story.run(story.at + HOUR)
    for run_id in (first, second):
        story.batch(run_id, 1, "done")
        story.person(run_id, batch_number=1)
        story.person(run_id, state="held_out")
    story.catch_up()
    with reading(story.engine) as session:
        expected = wholes(session, [story.campaign_id])[story.campaign_id]
    assert (expected.runs, expected.accepted) == (2, 2)

    def end() -> None:
        with transaction(story.engine) as session:
            close_tally(session, second, now=story.clock())
            assert session.get_one(CampaignRun, second).reached_count == 1

    for number in range(1, 10):
        with transaction(story.engine) as session:
            forget_tally(session, second)
            assert tally_batches(session) == 1
            keep_loose(session, loose_to_tally(session))
        with after_statement(story.engine, number, end), reading(story.engine) as session:
            assert wholes(session, [story.campaign_id])[story.campaign_id] == expected


def test_a_first_run_that_is_made_while_they_are_read_is_there_or_not(story: Story) -> None:
    for number in range(1, 5):
        campaign_id = story.another_campaign(days=3)

        def begin(campaign_id: int = campaign_id) -> None:
            story.run(campaign_id=campaign_id, state="sending")

        with after_statement(story.engine, number, begin), reading(story.engine) as session:
            found = wholes(session, [campaign_id])[campaign_id]
        assert found in [Whole(runs, 0, 0, 0, 0, Decimal(0), 0, None) for runs in (0, 1)]
