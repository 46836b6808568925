"""What all campaigns sent and brought by day: runs that are over, those under way, and those with kept sums alike."""

from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from campaigns.results import sums
from campaigns.results.by_day import Day, sent_by_day
from store.engine import reading, table_of
from store.models import CampaignRun
from tests.campaigns.results.conftest import DAY, Story

ZONE = ZoneInfo("Asia/Taipei")


def by_day(story: Story, first: date, last: date) -> dict[date, Day]:
    story.catch_up()
    with reading(story.engine) as session:
        return sent_by_day(session, first, last, ZONE)


@pytest.mark.parametrize("worth_keeping", [1, 5_000])
def test_each_day_has_what_its_runs_brought(story: Story, monkeypatch: pytest.MonkeyPatch, worth_keeping: int) -> None:
    monkeypatch.setattr(sums, "WORTH_KEEPING", worth_keeping)
    day = story.at.astimezone(ZONE).date()
    run_id, later = story.run(), story.run(story.at + DAY)
    who, _ = story.person(run_id), story.person(run_id, by_reply=True)
    story.person(run_id, state="failed")
    story.tap(run_id, who)
    story.order(who, story.at + timedelta(hours=1), total="250")
    story.person(later)
    story.catch_up()
    with reading(story.engine) as session:
        run = table_of(CampaignRun)
        kept = session.scalar(select(run.c.response_sums).where(run.c.id == run_id))
    assert (kept is not None) == (worth_keeping == 1)
    assert by_day(story, day - DAY, day + DAY) == {
        day - DAY: Day(0, {}, 0, Decimal(0)),
        day: Day(2, {story.channel_id: 1}, 1, Decimal(250)),
        day + DAY: Day(1, {story.channel_id: 1}, 0, Decimal(0)),
    }


def test_of_a_run_under_way_the_settled_batches_count(story: Story) -> None:
    day = story.at.astimezone(ZONE).date()
    run_id = story.run(state="sending")
    for number, state in ((1, "accepted"), (2, "failed"), (3, "due")):
        story.batch(run_id, number, state)
        for _ in range(2):
            story.person(run_id, state="chosen", batch_number=number)
    assert by_day(story, day, day)[day] == Day(2, {story.channel_id: 2}, 0, Decimal(0))
