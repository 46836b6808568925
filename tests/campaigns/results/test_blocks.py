"""The brake: a run that drives people away goes slower, or is paused with the reason; a marketer lets it go on."""

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select

from campaigns.planning import schedule
from campaigns.results.blocks import runs_to_brake
from campaigns.settings import change_settings
from store.engine import reading, table_of, transaction
from store.models import AuditEntry, Campaign, CampaignRun
from tests.campaigns.conftest import ZONE
from tests.campaigns.results.conftest import DAY, Story


def being_sent(story: Story, people: int, leaving: int, run_id: int | None = None) -> int:
    with transaction(story.engine) as session:
        campaign = session.get_one(Campaign, story.campaign_id)
        campaign.state = "sending"
        session.add(campaign)
    run, batch = run_id or story.run(state="sending"), 2 if run_id else 1
    story.batch(run, batch, "done")
    for number in range(people):
        who = story.person(run, batch_number=batch)
        if number < leaving:
            story.leave(who, story.at + DAY)
    return run


def state_of(story: Story) -> tuple[str, str | None]:
    with reading(story.engine) as session:
        campaign = session.get_one(Campaign, story.campaign_id)
        return campaign.state, campaign.problem


def test_a_run_above_the_limit_is_paused_and_says_why(story: Story) -> None:
    run = being_sent(story, people=60, leaving=12)
    story.catch_up()
    state, problem = state_of(story)
    assert state == "paused"
    assert problem is not None
    assert "12 of 60 people (20.0%) blocked" in problem
    assert "above the limit of 5 %" in problem
    audit = table_of(AuditEntry)
    with reading(story.engine) as session:
        assert session.get_one(CampaignRun, run).state == "paused"
        assert session.scalars(select(audit.c.detail)).all() == [{"run_id": run, "blocked": 12, "people": 60}]


def test_a_few_blocks_among_many_do_not_stop_it(story: Story) -> None:
    being_sent(story, people=60, leaving=2)
    story.catch_up()
    assert state_of(story) == ("sending", None)


def slow_step(story: Story, run: int) -> int:
    with reading(story.engine) as session:
        return session.get_one(CampaignRun, run).slow_step


def only_slows(story: Story) -> None:
    with transaction(story.engine) as session:
        change_settings(session, {"block_limit_percent": 90}, actor="test", now=story.at)


def test_above_the_first_limit_a_run_goes_a_step_slower_and_is_not_paused(story: Story) -> None:
    only_slows(story)
    run = being_sent(story, people=60, leaving=12)
    story.catch_up()
    story.catch_up()  # by the same people it goes no slower still
    assert (slow_step(story, run), state_of(story)) == (1, ("sending", None))
    audit = table_of(AuditEntry)
    with reading(story.engine) as session:
        details = session.scalars(select(audit.c.detail).where(audit.c.action == "slow run for blocks")).all()
        next_batch_at = session.get_one(CampaignRun, run).next_batch_at
    assert details == [{"run_id": run, "blocked": 12, "people": 60, "step": 1}]
    assert next_batch_at == story.clock() + timedelta(minutes=1)


def test_each_step_needs_others_who_block_and_the_last_is_not_passed(story: Story) -> None:
    only_slows(story)
    run = being_sent(story, people=60, leaving=12)
    story.catch_up()
    story.batch(run, 2, "done")
    for _ in range(60):  # who are sent to afterwards and stay
        story.person(run, batch_number=2)
    story.catch_up()
    assert slow_step(story, run) == 1
    for batch, step in ((3, 2), (4, 3), (5, 3)):
        story.batch(run, batch, "done")
        for _ in range(30):
            story.leave(story.person(run, batch_number=batch), story.at + DAY)
        story.catch_up()
        assert slow_step(story, run) == step
    assert state_of(story) == ("sending", None)


def test_a_slowed_run_is_paused_all_the_same_above_the_second_limit(story: Story) -> None:
    only_slows(story)
    run = being_sent(story, people=60, leaving=12)
    story.catch_up()
    with transaction(story.engine) as session:
        change_settings(session, {"block_limit_percent": 5}, actor="test", now=story.at)
    story.catch_up()
    assert (slow_step(story, run), state_of(story)[0]) == (1, "paused")
    with transaction(story.engine) as session:
        schedule.resume(session, story.campaign_id, zone=ZONE, now=story.at)
    story.catch_up()
    assert (slow_step(story, run), state_of(story)[0]) == (0, "sending")  # judged by those sent to since


def test_resumed_it_is_judged_by_those_sent_to_since(story: Story) -> None:
    run = being_sent(story, people=50, leaving=12)
    story.catch_up()
    with transaction(story.engine) as session:
        schedule.resume(session, story.campaign_id, zone=ZONE, now=story.at)
    story.catch_up()
    assert state_of(story)[0] == "sending"
    being_sent(story, people=50, leaving=12, run_id=run)
    story.catch_up()
    assert state_of(story)[0] == "paused"


def test_the_brand_may_set_the_limit_or_do_without(story: Story) -> None:
    being_sent(story, people=60, leaving=12)
    with transaction(story.engine) as session:
        limits = {"block_limit_percent": Decimal(30), "block_slow_percent": Decimal(25)}
        change_settings(session, limits, actor="test", now=story.at)
    story.catch_up()
    with reading(story.engine) as session:
        assert runs_to_brake(session) == []
    assert state_of(story) == ("sending", None)
