"""總覽: what needs somebody, each with its reason and the way to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from campaigns.sending.slowing import slow_down
from console.words.names import JOB_WORDS
from service.settings import Settings
from service.worker import jobs
from store.engine import transaction
from store.models import Campaign, CampaignDraft, CampaignRun, Channel, Delivery, FileImport, Heartbeat
from tests.campaigns.results.conftest import DAY, Story, story
from tests.conftest import StillClock
from tests.console.conftest import page
from tests.factories import make_campaign, make_channel, make_customer, make_run

__all__ = ["story"]


def test_an_empty_brand_is_told_so(client: FlaskClient) -> None:
    text = page(client, "/console/")
    for words in ("目前沒有需要處理的事", "沒有排定的發送", "沒有資料", "要有一週的分群結果"):
        assert words in text
    assert "Nothing needs you now" in page(client, "/console/?lang=en")


def test_what_stopped_failed_or_waits_is_told_with_its_reason(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    with transaction(engine) as session:
        channel = make_channel(session)
        channel.stopped_reason = "LINE answered 401"
        make_campaign(session, channel, name="壞掉的", state="failed", problem="no such tag")
        make_campaign(session, channel, name="沒額度的", state="paused", problem="quota used up")
        make_campaign(session, channel, name="自己暫停的", state="paused")
        soon = clock() + timedelta(days=2)
        make_campaign(session, channel, name="後天的", state="scheduled", next_fire_at=soon)
        for email in ("colleague@example.com", "owner@example.com"):
            session.add(
                CampaignDraft(
                    name=f"草稿 {email}", requested_by=email, created_at=clock(), updated_at=clock(), updated_by=email
                )
            )
    text = page(client, "/console/")
    for words in ("LINE answered 401", "壞掉的", "no such tag", "沒額度的", "草稿 colleague@example.com", "後天的"):
        assert words in text
    assert "自己暫停的" not in text
    assert "草稿 owner@example.com" not in text  # one's own request waits for others


def test_a_run_that_was_slowed_is_told_with_how_much(client: FlaskClient, story: Story) -> None:
    run_id = story.run(state="sending")
    with transaction(story.engine) as session:
        campaign = session.get_one(Campaign, story.campaign_id)
        campaign.name, campaign.state = "惹人厭的", "sending"
        assert [slow_down(session, run_id, now=story.at) for _ in range(2)] == [1, 2]
    for address in ("/console/", f"/console/campaigns/{story.campaign_id}"):
        text = page(client, f"{address}?lang=zh")
        assert "惹人厭的" in text
        assert "已自動減速：每 5 分鐘最多發給 500 人" in text
        assert "slowed to 500 people every 5 minutes" in page(client, f"{address}?lang=en")
    with transaction(story.engine) as session:
        session.get_one(CampaignRun, run_id).state = "sent"
    assert "減速" not in page(client, "/console/?lang=zh")


def test_a_campaign_that_drove_people_away_is_told_though_it_is_over(client: FlaskClient, story: Story) -> None:
    run_id = story.run()
    people = [story.person(run_id) for _ in range(60)]
    for who in people[:2]:
        story.leave(who, story.at + timedelta(hours=1))
    story.catch_up()
    assert "封鎖率偏高" not in page(client, "/console/")  # two of sixty may be chance
    for who in people[2:12]:
        story.leave(who, story.at + timedelta(hours=2))
    story.catch_up()
    assert "最近 7 天收到訊息的 60 人中有 12 人（20.0%）封鎖了帳號，上限是 2 %" in page(client, "/console/")
    assert "12 of 60 people (20.0%) blocked the account after messages" in page(client, "/console/?lang=en")
    with transaction(story.engine) as session:
        session.get_one(CampaignRun, run_id).fired_at = story.at - timedelta(days=8)
    assert "封鎖率偏高" not in page(client, "/console/?lang=zh")


def test_sends_and_orders_are_drawn_by_day(client: FlaskClient, story: Story) -> None:
    run_id = story.run()
    who = story.person(run_id)
    story.tap(run_id, who)
    story.order(who, story.at + timedelta(days=1), total="250")
    story.catch_up()
    text = page(client, "/console/")
    assert "data-chart" in text
    assert "<dd>250</dd>" in text
    with transaction(story.engine) as session:
        session.get_one(Channel, story.channel_id).quota_limit = 500
    assert "/ 500" in page(client, "/console/")


def test_the_month_and_thirty_days_are_of_all_runs_however_many(client: FlaskClient, story: Story) -> None:
    with transaction(story.engine) as session:
        campaign = session.get_one(Campaign, story.campaign_id)
        at = story.at
        runs = [make_run(session, campaign, **fired(at + timedelta(seconds=n))).id or 0 for n in range(600)]
        who = make_customer(session).id or 0
        session.add_all([Delivery(run_id=key, customer_id=who, state="accepted", sent_at=at) for key in runs])
    story.catch_up()
    assert "<dd>600</dd>" in page(client, "/console/")


def test_the_month_begins_on_its_first_day_in_the_brands_zone(
    story: Story, clock: StillClock, request: pytest.FixtureRequest
) -> None:
    clock.now = datetime(2026, 12, 31, 7, tzinfo=UTC)  # 15:00 in Taipei
    client = request.getfixturevalue("client")  # signed in on that day
    first = datetime(2026, 11, 30, 16, tzinfo=UTC)  # the first moment of December there
    for at, people in ((first - timedelta(seconds=1), 1), (first, 2), (first + timedelta(hours=10), 3)):
        run_id = story.run(at)
        for _ in range(people):
            story.person(run_id)
        story.person(run_id, state="held_out")
        story.person(run_id, by_reply=True)
    story.catch_up()
    assert "<dd>5</dd>" in page(client, "/console/")


def fired(at: datetime) -> dict[str, Any]:
    return {"state": "sent", **dict.fromkeys(("scheduled_for", "fired_at", "frozen_at", "finished_at"), at)}


def test_a_silent_worker_and_a_job_with_a_problem_are_told(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    def beats(ago: timedelta, problem: str | None) -> str:
        with transaction(engine) as session:
            session.merge(Heartbeat(job="campaigns", finished_at=clock() - ago))
            session.merge(Heartbeat(job="predictions", finished_at=clock() - ago - DAY, problem=problem))
        return page(client, "/console/")

    assert "目前沒有需要處理的事" in beats(timedelta(minutes=4), None)
    text = beats(timedelta(minutes=4), "OSError: disk full")
    assert "背景程式沒有回應" not in text
    for words in ("背景工作出了問題", "計算預測", "OSError: disk full"):
        assert words in text
    assert "背景程式沒有回應" in beats(timedelta(minutes=6), None)
    assert "The worker does not answer" in page(client, "/console/?lang=en")


def test_failed_imports_and_missed_firings_are_told(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        for number, (days, state) in enumerate([(1, "failed"), (8, "failed"), (1, "done")]):
            at = clock() - days * DAY
            facts: dict[str, Any] = {"file_hash": str(number), "size_bytes": 1, "uploaded_by": "a@b.example"}
            name = f"檔案{number}.csv"
            done: dict[str, Any] = {
                "uploaded_at": at,
                "finished_at": at,
                "state": state,
                "problem": "no column order_key",
            }
            session.add(FileImport(kind="orders", file_name=name, **facts, **done))
        soon = clock() + timedelta(days=20)
        recurring: dict[str, Any] = {"state": "scheduled", "next_fire_at": soon}
        make_campaign(session, make_channel(session), name="每月的", problem="was missed", **recurring)
    text = page(client, "/console/")
    for words in ("檔案0.csv", "no column order_key", "匯入失敗", "錯過了一次發送", "每月的"):
        assert words in text
    assert "檔案1.csv" not in text  # more than a week ago
    assert "檔案2.csv" not in text


def test_every_job_of_the_worker_has_its_words(engine: Engine, clock: StillClock) -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    assert {job.name for job in jobs(engine, settings, clock)} == JOB_WORDS.keys()
