"""成果: what a campaign brought, compared, taken away; and what may be done with a campaign on its page."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select

from campaigns.audience.lists import list_sizes
from campaigns.results.ad_uploads import upload_asked
from campaigns.results.hours import taps_by_hour
from campaigns.settings import change_settings
from console.access.roles import Role
from store.engine import reading, table_of, transaction
from store.models import AuditEntry, Campaign, CampaignRun, Customer, RunTally
from tests.campaigns.results.conftest import DAY, Story, story
from tests.conftest import StillClock
from tests.console.conftest import TAIPEI, page, send

__all__ = ["story"]
HOUR = timedelta(hours=1)
COUNTS = {**dict.fromkeys(("reached_count", "message_count", "compared_sent", "compared_again"), 1), "compared_held": 0}
CLOSED = {**COUNTS, "frozen_up_to": 0, "link_ids": {}}
MOMENTS = ("fired_at", "frozen_at", "finished_at", "tallied_at")


def _sent(story: Story) -> int:
    """A run with 40 sent to and 20 held out; 12 tapped, in two hours, and bought."""
    run_id = story.run(campaign_id=story.campaign_id)
    sent = [story.person(run_id) for _ in range(40)]
    for _ in range(20):
        story.person(run_id, state="held_out")
    for place, who in enumerate(sent[:12]):
        story.tap(run_id, who, at=story.at + (place % 2) * 3 * HOUR)
        story.order(who, story.at + DAY)
    story.tap(run_id, sent[0], kind="robot")
    story.catch_up()
    return run_id


def test_taps_are_counted_by_the_hour_people_only(story: Story) -> None:
    run_id = _sent(story)
    with reading(story.engine) as session:
        found = taps_by_hour(session, table_of(CampaignRun).c.id == run_id)
    assert found == [(0, 6), (3, 6)]


def test_hourly_runs_add_up_by_the_hours_since_each_began(client: FlaskClient, story: Story) -> None:
    for n in range(60):
        run_id = story.run(campaign_id=story.campaign_id, at=story.at + n * HOUR)
        for after in (0 * HOUR, HOUR, 71 * HOUR, 72 * HOUR, 100 * HOUR):
            story.tap(run_id, None, at=story.at + n * HOUR + after)
    begun = story.at + 9 * HOUR  # put off to then by quiet hours
    late = story.run(campaign_id=story.campaign_id, at=story.at - HOUR, send_from=begun)
    story.tap(late, None, at=story.at + 10 * HOUR)
    with reading(story.engine) as session:
        assert taps_by_hour(session, table_of(CampaignRun).c.campaign_id == story.campaign_id) == [
            (0, 60),
            (1, 61),
            (71, 60),
            (72, 60),
            (100, 60),
        ]
    text = page(client, f"/console/campaigns/{story.campaign_id}/results")
    assert re.findall(r'<tr><td>(\d+)</td><td class="number">([1-9]\d*)</td></tr>', text) == [
        ("0", "60"),
        ("1", "61"),
        ("71", "60"),
    ]
    assert "開始 72 小時之後還有 120 次點擊" in text
    assert "次點擊，沒有畫" not in page(client, f"/console/campaigns/{story.campaign_id}/results?run={late}")


def test_the_page_of_results_draws_the_funnel_and_the_hours(client: FlaskClient, story: Story) -> None:
    run_id = _sent(story)
    address = f"/console/campaigns/{story.campaign_id}/results"
    text = page(client, address)
    for words in ("漏斗", "60 (100.0%)", "12 (20.0%)", "每小時的點擊", "+30.00"):
        assert words in text
    assert page(client, f"{address}?run={run_id}").count("data-chart=") == text.count("data-chart=")
    assert client.get(f"{address}?run={run_id + 1}").status_code == 404
    assert "Funnel" in page(client, f"{address}?lang=en")
    assert "沒有人換到別的群" in page(client, f"{address}/movement?lang=zh")
    assert client.get(f"{address}/movement?model=none").status_code == 404


def test_pages_of_many_runs_tell_the_whole(client: FlaskClient, story: Story) -> None:
    """Of an automation: 600 runs, each to somebody, every tenth with somebody held out."""
    _sent(story)
    first = story.at - timedelta(days=30)
    fields = {"campaign_id": story.campaign_id, "state": "sent", "variants": [], "way": "push", "by_enrolment": True}
    times = [first + n * timedelta(minutes=1) for n in range(600)]
    rows = [{**fields, **CLOSED, "scheduled_for": at, **dict.fromkeys(MOMENTS, at)} for at in times]
    cell = {"batch_number": 0, "segment": "none", "reason": "", "by_reply": False, "people": 1}
    with transaction(story.engine) as session:
        session.execute(insert(table_of(CampaignRun)), rows)
        run = table_of(CampaignRun)
        made = session.scalars(select(run.c.id).where(run.c.by_enrolment).order_by(run.c.id)).all()
        tallies = [{**cell, "run_id": key, "variant_id": story.variant_id, "state": "accepted"} for key in made]
        tallies += [{**cell, "run_id": key, "variant_id": 0, "state": "held_out"} for key in made[::10]]
        session.execute(insert(table_of(RunTally)), tallies)
    address = f"/console/campaigns/{story.campaign_id}"
    text = page(client, f"{address}/results")
    assert "共發送 601 次，全部加總。 選單裡是最新的 50 次。" in text
    for words in ("640 (88.9%)", "12 (1.7%)"):  # of 640 and 80 held out
        assert words in text
    oldest = page(client, f"{address}/results?run={made[0]}")
    assert f'<option value="{made[0]}" selected>' in oldest
    assert "這一次發送。" in oldest
    text = page(client, address)
    assert "共發送 601 次，全部加總。" in text
    assert text.count('<td class="moment"><a href="') == 20
    second = re.search(rf'{address}\?before=(\d+)"', text)
    assert second
    assert page(client, f"{address}?before={second[1]}").count('<td class="moment"><a href="') == 20
    assert client.get(f"{address}?before=999999").status_code == 404
    row = re.search(rf'<a href="{address}/results">.*?</tr>', page(client, "/console/results"), re.DOTALL)
    assert row
    assert '<td class="number">640</td>' in row[0]
    assert "Sent 601 times, all added up." in page(client, f"{address}/results?lang=en")


def test_of_several_steps_the_page_says_what_is_compared(client: FlaskClient, story: Story) -> None:
    first, second = story.run(), story.run(story.at + HOUR, step_number=2)
    for _ in range(4):
        story.person(second, who=story.person(first))
        story.person(second, "held_out", who=story.person(first, "held_out"))
    story.catch_up()
    address = f"/console/campaigns/{story.campaign_id}/results"
    assert "上面的提升以第一步的分組比較" in page(client, address)
    assert "不和對照組比；全部加總時才有提升。" in page(client, f"{address}?run={second}")
    assert "上面的提升" not in page(client, f"{address}?run={first}")


def test_campaigns_are_compared_side_by_side(client: FlaskClient, story: Story) -> None:
    assert "還沒有發送過活動" in page(client, "/console/results")
    _sent(story)
    other = story.another_campaign(days=3)
    story.person(story.run(campaign_id=other))
    text = page(client, f"/console/results?id={story.campaign_id}&id={other}&id=999999&id={2**70}")
    assert text.count('scope="col"') == 2
    assert "並排比較" in text
    assert text.count("checked") == 2


def test_results_are_taken_away_and_noted(client: FlaskClient, story: Story) -> None:
    _sent(story)
    address = f"/console/campaigns/{story.campaign_id}/results"
    answer = send(client, f"{address}/export", what="people", kind=".csv")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="campaign-{story.campaign_id}-people.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert (len(rows), sum(row["clicked"] == "True" for row in rows)) == (60, 12)
    assert len(json.loads(send(client, f"{address}/export", what="summary", kind=".json").data)) > 1
    for wrong in ({"what": "../x", "kind": ".csv"}, {"what": "people", "kind": ".exe"}):
        assert send(client, f"{address}/export", **wrong).status_code == 400
    made = send(client, f"{address}/audience", who="clicked", name="點過的人")
    assert made.status_code == 303
    assert "名單「點過的人」已建立，共 12 人。" in page(client, address)
    again = send(client, f"{address}/audience", who="clicked", name="點過的人")
    assert again.status_code == 303
    assert "無法執行" in page(client, address)
    with reading(story.engine) as session:
        assert [(one.name, one.people) for one in list_sizes(session)] == [("點過的人", 12)]
        audit = table_of(AuditEntry)
        noted = session.scalars(select(audit.c.action).order_by(audit.c.id)).all()
    assert [action for action in noted if action.startswith("export")] == ["export results"] * 2


def test_those_of_a_result_become_an_audience_for_ads_if_they_consented(client: FlaskClient, story: Story) -> None:
    run_id = story.run()
    who = [story.person(run_id) for _ in range(3)]
    for one in who:
        story.tap(run_id, one)
    story.catch_up()
    with transaction(story.engine) as session:
        for place, one in enumerate(who):
            consent = {"ads": "yes"} if place else {}
            session.get_one(Customer, one).attributes = {"email": f"p{place}@example.com", **consent}
    address = f"/console/campaigns/{story.campaign_id}/results"
    text = page(client, address)
    assert 'name="then" value="ads"' in text
    assert 'href="/console/ads"' in text
    answer = send(client, f"{address}/audience", who="clicked", name="點過 的人", then="ads")
    assert answer.status_code == 303
    text = page(client, answer.location)
    assert '<option value="list:點過 的人" selected>' in text
    assert "還沒有說哪個屬性記著" in text
    asked = {"to": "list:點過 的人", "platform": "meta", "channel": str(story.channel_id)}
    refused = send(client, "/console/ads", **asked)
    assert refused.status_code == 303
    assert "請先在設定裡填哪個屬性記著" in page(client, refused.location)
    with transaction(story.engine) as session:
        change_settings(session, {"ads_consent": "ads"}, actor="test", now=story.clock())
    answer = send(client, "/console/ads", **asked)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="ads-meta.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8"))))
    hashes = [hashlib.sha256(f"p{place}@example.com".encode()).hexdigest() for place in (1, 2)]
    assert [row["email"] for row in rows] == hashes
    assert send(client, "/console/ads", **{**asked, "platform": "myspace"}).status_code == 400
    again = send(client, f"{address}/audience", who="clicked", name="再寄一次", then="campaign")
    assert "對象：名單 再寄一次" in page(client, again.location)
    assert send(client, "/console/ads", **{**asked, "to": "list:nobody"}).status_code == 303


def test_an_ad_audience_is_asked_for_at_line_and_its_state_is_told(
    client: FlaskClient, client_of: Callable[[Role], FlaskClient], story: Story
) -> None:
    asked = {"to": "all", "name": "秋季廣告", "channel": str(story.channel_id)}
    refused = send(client, "/console/ads/line", **asked)
    assert "請先在設定裡填哪個屬性記著" in page(client, refused.location)
    with transaction(story.engine) as session:
        change_settings(session, {"ads_consent": "ads"}, actor="test", now=story.clock())
    answer = send(client, "/console/ads/line", **asked)
    assert (answer.status_code, answer.location) == (303, "/console/ads?to=all#line")
    text = page(client, "/console/ads?to=all")
    assert "已交給背景程式上傳" in text
    assert 'hx-get="/console/ads/uploads?said=' in text
    assert "排隊中" in text
    send(client, "/console/ads/line", **asked)
    assert "已經在等著上傳了" in page(client, "/console/ads")
    send(client, "/console/ads/line", **{**asked, "name": " "})
    assert "受眾的名稱要有 1 到 120 個字" in page(client, "/console/ads")
    assert send(client, "/console/ads/line", **{**asked, "channel": "99"}).status_code == 404
    assert "HX-Refresh" not in client.get("/console/ads/uploads").headers
    upload_asked(story.engine, {}, zone=TAIPEI, clock=story.clock)
    assert client.get("/console/ads/uploads").headers["HX-Refresh"] == "true"
    text = page(client, "/console/ads")
    assert "沒有完成" in text
    assert "這個頻道沒有存取權杖" in text
    assert "every 2s" not in text
    analyst = client_of(Role.ANALYST)
    assert send(analyst, "/console/ads/line", **asked).status_code == 403


def test_the_revenue_added_for_each_dollar_stands_beside_the_lift(client: FlaskClient, story: Story) -> None:
    run_id = story.run()
    for place in range(40):
        sent, held = story.person(run_id), story.person(run_id, "held_out")
        for one in [sent] if place >= 10 else [sent, held]:
            story.order(one, story.at)
    story.catch_up()
    text = page(client, f"/console/campaigns/{story.campaign_id}/results")
    assert "訊息每花 1 TWD 增加的營收" in text
    price = 40 * 800 / 3000  # of the plan's 3,000 messages for 800
    assert f"{40 * 75 / price:+,.2f} (" in text


def test_a_row_of_the_results_becomes_a_list_named_after_it(client: FlaskClient, story: Story) -> None:
    run_id = _sent(story)
    story.person(story.run(story.at + DAY, campaign_id=story.campaign_id), segment="important_value")
    story.catch_up()
    address = f"/console/campaigns/{story.campaign_id}/results"
    text = page(client, address)
    parts = (f"variant-{story.variant_id}", "segment-none", "segment-important_value")
    for part in parts:
        assert f'name="part" value="{part}"' in text
        assert f'<option value="{part}">' in text
    for part, who in zip(parts, ("clicked", "not_clicked", "sent"), strict=True):
        assert send(client, f"{address}/audience", part=part, who=who).status_code == 303
    send(client, f"{address}/audience", part=parts[0], who="clicked", run=run_id)  # pressed once more
    for wrong in ("variant-x", "variant-99", "segment-nobody", "all-1"):
        send(client, f"{address}/audience", part=wrong, who="sent")
        assert "無法執行" in page(client, address), wrong
    with reading(story.engine) as session:
        name = session.get_one(Campaign, story.campaign_id).name
        found = {one.name.removeprefix(f"{name}・"): one.people for one in list_sizes(session)}
    assert found == {
        "版本 A・點擊的人": 12,
        "版本 A・點擊的人 2": 12,
        "–・沒點擊的人": 28,
        "重要價值・收到的人": 1,
    }


@pytest.mark.parametrize("state", ["scheduled", "sending"])
def test_a_campaign_is_paused_resumed_and_cancelled_on_its_page(client: FlaskClient, story: Story, state: str) -> None:
    with story.engine.begin() as connection:
        connection.execute(table_of(Campaign).update().values(state=state))
    address = f"/console/campaigns/{story.campaign_id}"

    def now() -> str:
        with reading(story.engine) as session:
            return session.get_one(Campaign, story.campaign_id).state

    assert "取消這個活動" in page(client, address)
    assert send(client, f"{address}/resume").status_code == 303  # it isn't paused: said, and nothing changed
    assert (now(), "狀態已經變了" in page(client, address)) == (state, True)
    send(client, f"{address}/pause")
    assert now() == "paused"
    send(client, f"{address}/resume")
    assert now() == state
    send(client, f"{address}/cancel")
    assert now() == state  # not ticked
    send(client, f"{address}/cancel", sure="yes")
    assert now() == "cancelled"
    assert client.post(f"{address}/pause").status_code == 400  # without the form's token


def test_progress_renews_itself_only_while_something_is_sent(client: FlaskClient, story: Story) -> None:
    address = f"/console/campaigns/{story.campaign_id}"
    assert "hx-trigger" not in page(client, f"{address}/progress")
    run_id = story.run(campaign_id=story.campaign_id, state="sending")
    story.person(run_id)
    story.person(run_id, state="chosen")
    text = page(client, f"{address}/progress")
    assert 'hx-trigger="every 2s"' in text
    assert "1 / 2 · 50.0%" in text
    assert "已受理 1 · 已略過 0 · 失敗 0" in text
    assert "準備名單" in page(client, address) or "發送中" in page(client, address)


@pytest.mark.parametrize(
    ("state", "fires_after", "seconds"),
    [
        ("scheduled", timedelta(0), 2),  # due: the worker has made no run yet
        ("scheduled", timedelta(seconds=50), 2),
        ("scheduled", timedelta(hours=1), 3540),  # a page left open asks again a minute before
        ("scheduled", timedelta(days=3), None),
        ("scheduled", None, None),
        ("sending", None, 2),
        ("paused", timedelta(0), None),
        ("sent", None, None),
    ],
)
def test_a_page_is_live_from_before_its_run_is_made(
    client: FlaskClient, story: Story, clock: StillClock, state: str, fires_after: timedelta | None, seconds: int | None
) -> None:
    with transaction(story.engine) as session:
        one = session.get_one(Campaign, story.campaign_id)
        one.state, one.next_fire_at = state, None if fires_after is None else clock() + fires_after
    text = page(client, f"/console/campaigns/{story.campaign_id}")
    assert re.findall(r'id="progress".*hx-trigger="every (\d+)s"', text) == ([str(seconds)] if seconds else [])


def test_the_page_renews_itself_whole_when_the_state_changes(client: FlaskClient, story: Story) -> None:
    address = f"/console/campaigns/{story.campaign_id}"

    def become(state: str) -> None:
        with transaction(story.engine) as session:
            session.get_one(Campaign, story.campaign_id).state = state

    become("sending")
    asks = re.search(r'id="progress" hx-get="([^"]+)"', page(client, address))
    assert asks is not None
    assert "HX-Refresh" not in client.get(asks[1]).headers
    run_id = story.run(campaign_id=story.campaign_id, state="sending")
    assert client.get(asks[1]).headers["HX-Refresh"] == "true"  # it began
    asks = re.search(r'id="progress" hx-get="([^"]+)"', page(client, address))
    assert asks is not None
    assert "HX-Refresh" not in client.get(asks[1]).headers
    for state in ("paused", "cancelled", "sent"):
        become(state)
        assert client.get(asks[1]).headers["HX-Refresh"] == "true"
    become("sending")
    with transaction(story.engine) as session:
        session.get_one(CampaignRun, run_id).state = "sent"
    assert client.get(asks[1]).headers["HX-Refresh"] == "true"
