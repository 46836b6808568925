"""自動化: what goes on by itself, in words, with who is on the way and what it did; and its buttons."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine
from sqlmodel import Session

from campaigns.planning.automations import step_words, wait_words
from console.access.roles import Role
from console.automations import pages
from store.engine import reading, transaction
from store.models import Campaign, CampaignStep, Channel, Enrolment
from tests.campaigns.results.conftest import Story, story
from tests.conftest import StillClock
from tests.console.conftest import page, send
from tests.factories import make_campaign, make_channel, make_customer, make_run

__all__ = ["story"]
ADDRESS = "/console/automations"


@pytest.fixture
def channel(engine: Engine) -> Channel:
    with transaction(engine) as session:
        return make_channel(session)


def add_step(session: Session, campaign: Campaign, number: int, **fields: Any) -> None:
    session.add(CampaignStep(campaign_id=campaign.id or 0, step_number=number, **fields))


def add_person(session: Session, campaign: Campaign, clock: StillClock, **fields: Any) -> None:
    fields = {"state": "waiting", "due_at": clock(), **fields}
    session.add(
        Enrolment(
            campaign_id=campaign.id or 0,
            customer_id=make_customer(session).id or 0,
            entry_key="birthday:2026",
            entered_at=clock(),
            **fields,
        )
    )


def card(text: str, name: str) -> str:
    """What stands on the page of one automation."""
    return text.split(f'aria-label="{name}"')[1].split("</section>")[0]


def test_what_goes_on_by_itself_stands_there_in_words_and_nothing_else(
    client: FlaskClient, engine: Engine, clock: StillClock, channel: Channel
) -> None:
    assert "還沒有自動化" in page(client, ADDRESS)
    soon = clock() + timedelta(days=3)
    with transaction(engine) as session:
        weekly = {"state": "scheduled", "recurs": "每週四 12:00，遇假日跳過", "next_fire_at": soon}
        make_campaign(session, channel, name="每週的", **weekly)
        make_campaign(session, channel, name="生日的", state="paused", trigger={"on": "birthday", "days_before": 7})
        sequence = make_campaign(
            session, channel, name="三步的", state="sending", goal={"did": "buy", "is": True}, next_fire_at=soon
        )
        add_step(session, sequence, 2, wait_minutes=3 * 24 * 60, condition={"did": "click", "is": False})
        make_campaign(session, channel, name="只發一次的", state="scheduled", next_fire_at=soon)
        make_campaign(session, channel, name="結束的", state="cancelled", recurs="0 10 * * *")
    text = page(client, ADDRESS)
    assert "只發一次的" not in text
    assert "結束的" not in text
    assert "每週四 12:00，遇假日跳過" in card(text, "每週的")
    assert "2026-11-05 12:00" in card(text, "每週的")
    assert "生日前 7 天的 10:00" in card(text, "生日的")
    assert "3 天後，沒有點擊連結的人" in card(text, "三步的")
    assert "購買了" in card(text, "三步的")
    english = page(client, f"{ADDRESS}?lang=en")
    assert "every Thursday at 12:00, skip holidays" in card(english, "每週的")
    assert "after 3 days, for those: not clicked" in card(english, "三步的")
    ended = page(client, f"{ADDRESS}?ended=1&lang=zh")
    assert "結束的" in ended
    assert "取消活動" not in ended


def test_who_waits_at_which_step_is_counted_and_who_is_through_is_not(
    client: FlaskClient, engine: Engine, clock: StillClock, channel: Channel
) -> None:
    with transaction(engine) as session:
        campaign = make_campaign(session, channel, name="生日的", state="sending", trigger={"on": "birthday"})
        add_step(session, campaign, 2, wait_minutes=60)
        run = make_run(session, campaign, fired_at=clock(), scheduled_for=clock(), state="sending")
        for _ in range(3):
            add_person(session, campaign, clock, step_number=2, due_at=clock() + timedelta(minutes=30))
        add_person(session, campaign, clock, step_number=1, due_at=clock() + timedelta(minutes=50))
        add_person(session, campaign, clock, step_number=1, state="taken", run_id=run.id)
        add_person(session, campaign, clock, step_number=2, state="finished")
        add_person(session, campaign, clock, step_number=1, state="left", reason="goal")
    text = card(page(client, ADDRESS), "生日的")
    first, second = text.split("</li>")[:2]
    assert "1 人在等" in first
    assert "1 人發送中" in first
    assert "3 人在等" in second
    assert "途中共 5 人" in text
    assert "2026-11-02 12:30" in text  # the first who is due
    assert "立刻" in first
    assert "1 小時後" in second


def test_what_it_did_in_thirty_days_is_told_and_older_runs_are_left_out(client: FlaskClient, story: Story) -> None:
    with transaction(story.engine) as session:
        session.get_one(Campaign, story.campaign_id).recurs = "0 10 * * *"
        session.get_one(Campaign, story.campaign_id).state = "scheduled"
        name = session.get_one(Campaign, story.campaign_id).name
    old = story.run(at=story.at - timedelta(days=40))
    story.tap(old, story.person(old))
    recent = story.run(at=story.at)
    people = [story.person(recent) for _ in range(4)]
    story.tap(recent, people[0])
    story.order(people[0], story.at + timedelta(days=1), total="250")
    story.catch_up()
    story.clock.advance(minutes=1)
    text = card(page(client, ADDRESS), name)
    figures = [part.split("</dd>")[0] for part in text.split("<dd>")[-3:]]
    assert figures == ["4", "1", "1"]
    assert "25.0%" in text


def test_the_first_of_several_steps_goes_out_when_the_campaign_does(
    client: FlaskClient, engine: Engine, clock: StillClock, channel: Channel
) -> None:
    with transaction(engine) as session:
        for name, recurs in (("一次", None), ("每天", "每天 10:00")):
            one = make_campaign(session, channel, name=name, state="scheduled", recurs=recurs)
            one.next_fire_at = clock() + timedelta(days=1)
            add_step(session, one, 2, wait_minutes=60)
    once, daily = (card(page(client, ADDRESS), name).split('class="steps-of"')[1] for name in ("一次", "每天"))
    assert "<span>在排定的時間</span>" in once
    assert "<span>每天 10:00</span>" in daily
    assert "立刻" not in once + daily
    assert "1 小時後" in once


def test_its_buttons_pause_resume_and_cancel_and_come_back_here(
    client: FlaskClient, client_of: Callable[[Role], FlaskClient], engine: Engine, clock: StillClock, channel: Channel
) -> None:
    with transaction(engine) as session:
        campaign_id = make_campaign(session, channel, name="天天", state="scheduled", recurs="0 10 * * *").id or 0

    def press(action: str, **fields: str) -> str:
        answer = send(client, f"/console/campaigns/{campaign_id}/{action}", **{"from": "automations", **fields})
        assert answer.location == ADDRESS
        with reading(engine) as session:
            return session.get_one(Campaign, campaign_id).state

    assert press("pause") == "paused"
    assert "resume" in page(client, ADDRESS)
    assert press("resume") == "scheduled"
    assert press("cancel") == "scheduled"  # not sure
    assert press("cancel", sure="yes") == "cancelled"
    reader = client_of(Role.READER)
    with transaction(engine) as session:
        make_campaign(session, channel, name="看看就好", state="scheduled", recurs="0 10 * * *")
    text = page(reader, ADDRESS)
    assert "看看就好" in text
    assert "/pause" not in text
    assert "/cancel" not in text


def test_automations_are_paged_by_key(client: FlaskClient, engine: Engine, channel: Channel) -> None:
    with transaction(engine) as session:
        for n in range(pages.PAGE_ROWS + 1):
            make_campaign(session, channel, name=f"第{n}個", state="scheduled", recurs="0 10 * * *")
    text = page(client, ADDRESS)
    assert text.count('class="card automation"') == pages.PAGE_ROWS
    following = text.split('rel="next" href="')[1].split('"')[0]
    assert "第0個" in page(client, following)
    assert page(client, f"{ADDRESS}?before={2**70}").count('class="card automation"') == pages.PAGE_ROWS


@pytest.mark.parametrize(
    ("minutes", "zh", "en"),
    [
        (0, "立刻", "at once"),
        (1, "1 分鐘後", "after 1 minute"),
        (90, "90 分鐘後", "after 90 minutes"),
        (120, "2 小時後", "after 2 hours"),
        (1440, "1 天後", "after 1 day"),
    ],
)
def test_waits_are_told_in_the_largest_unit_that_holds_them(minutes: int, zh: str, en: str) -> None:
    assert (wait_words(minutes, "zh"), wait_words(minutes, "en")) == (zh, en)
    assert step_words(Session(), minutes, None, "zh", starts=None) == zh
