"""The editor of campaigns, step by step: what it keeps, what it refuses and where, and what becomes of it."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, func, select

from campaigns.money.line_plan import change_plan
from campaigns.money.outlook_kept import find_asked_outlooks
from campaigns.settings import change_settings
from console.access.roles import Role
from console.campaigns.line_preview import chat, flex
from segmentation.tags.catalogue import create_tag
from segmentation.tags.hand import put_on
from store.engine import reading, table_of, transaction
from store.models import AuditEntry, Campaign, CampaignDraft, Channel, Customer, TrackedLink, Variant
from tests.conftest import StillClock
from tests.console.conftest import TAIPEI, page, plain, send, sign_in
from tests.factories import make_account, make_channel, make_customer

LINK = "https://shop.example/winter"
TEXT = '{{ name or "您" }}，羽絨外套限時下殺 👉 ' + LINK


@pytest.fixture
def people(engine: Engine) -> None:
    """Four who follow the account."""
    with transaction(engine) as session:
        channel = make_channel(session)
        for name in ("美", "林", "<b>吳</b>", None):
            make_account(session, channel, make_customer(session, name=name))


def begin(client: FlaskClient, target: str = "all") -> str:
    """A new draft's address."""
    answer = send(client, "/console/campaigns/new", name="聖誕", target=target)
    assert answer.status_code == 303
    return str(answer.location).removesuffix("/who")


def step(client: FlaskClient, draft: str, name: str, **fields: Any) -> Any:
    version = page(client, f"{draft}/{name}").split('name="version" value="')[1].split('"')[0]
    return send(client, f"{draft}/{name}", version=version, **fields)


def checked(client: FlaskClient, draft: str) -> str:
    """The version that the check shows."""
    return page(client, f"{draft}/check").split('name="version" value="')[1].split('"')[0]


def write(client: FlaskClient, draft: str, **more: Any) -> None:
    """All steps, so that it can be sent now."""
    assert step(client, draft, "who", any_of=["all"]).location.endswith("/what")
    fields = {"v0-m0-kind": "text", "v0-m0-text": TEXT, "theme": "冬季", **more}
    assert step(client, draft, "what", **fields).location.endswith("/when")
    assert step(client, draft, "when", kind="now").location.endswith("/then")
    assert step(client, draft, "then").location.endswith("/policy")
    done = step(client, draft, "policy", way="auto", holdout="25", priority="3", reply_first_hours="")
    assert done.location.endswith("/check")


def count(engine: Engine, model: Any) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table_of(model))) or 0


def state_of(engine: Engine) -> str:
    """Of the only campaign that there is."""
    with reading(engine) as session:
        return session.scalars(select(Campaign)).one().state


def test_beginning_a_draft_and_each_save_that_changes_it_are_noted(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    draft = begin(client)
    for theme in ("冬季", "冬季", "春季"):  # the second changes nothing
        step(client, draft, "what", **{"v0-m0-kind": "text", "v0-m0-text": TEXT, "theme": theme})
    with reading(engine) as session:
        noted = session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id)).all()
    assert [one.action for one in noted if "draft" in one.action] == [
        "begin draft of campaign",
        "save draft of campaign",
        "save draft of campaign",
    ]
    assert noted[-1].detail == {"draft_id": int(draft.rsplit("/", 1)[1]), "campaign_id": None}
    assert noted[-1].actor == "owner@example.com"


def test_a_service_message_is_marked_as_one(client: FlaskClient, engine: Engine, people: None) -> None:
    draft = begin(client)
    write(client, draft)
    marked = re.compile(r'name="uncapped"( checked)?>')
    assert marked.findall(page(client, f"{draft}/policy")) == [""]
    step(client, draft, "policy", way="auto", holdout="", priority="0", reply_first_hours="", uncapped="on")
    assert marked.findall(page(client, f"{draft}/policy")) == [" checked"]
    page(client, f"{draft}/check")
    with reading(engine) as session:
        made = session.scalars(select(Campaign)).one()
    assert (made.is_capped, made.holdout_percent) == (False, Decimal(0))


def test_what_is_no_service_message_holds_out_the_usual_part_unless_told(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    for given, kept in (("", 5), ("0", 0), ("12.5", Decimal("12.5"))):
        draft = begin(client)
        write(client, draft)
        step(client, draft, "policy", way="auto", holdout=given, priority="0", reply_first_hours="")
        page(client, f"{draft}/check")
        with reading(engine) as session:
            newest = session.scalars(select(Campaign).order_by(table_of(Campaign).c.id.desc())).first()
        assert newest is not None
        assert newest.holdout_percent == kept


@pytest.mark.parametrize("given", ["1.5", "99999999999", "-99999999999999999999"])
def test_a_priority_that_no_campaign_can_have_is_told_of_at_its_field(
    client: FlaskClient, engine: Engine, people: None, given: str
) -> None:
    draft = begin(client)
    write(client, draft)
    step(client, draft, "policy", way="auto", holdout="", priority=given, reply_first_hours="")
    answer = client.get(f"{draft}/check", follow_redirects=True)
    assert answer.status_code in (200, 422)
    text = answer.get_data(as_text=True)
    assert "優先順序要" in text
    assert count(engine, Campaign) == 0


def test_the_check_says_why_a_way_of_sending_is_none(client: FlaskClient, engine: Engine, people: None) -> None:
    never, own = "這個活動沒有設定先等免費回覆", "每個人收到一樣的內容，而您的內容有個人欄位"
    draft = begin(client)
    write(client, draft)
    policy = {"way": "auto", "holdout": "", "priority": "0"}
    step(client, draft, "policy", reply_first_hours="", **policy)
    text = page(client, f"{draft}/check")
    assert (never in text, own in text) == (True, "{{" in TEXT)
    step(client, draft, "policy", reply_first_hours="3", **policy)
    step(client, draft, "what", **{"v0-m0-kind": "text", "v0-m0-text": "{{ name or '您' }}，您好"})
    text = page(client, f"{draft}/check")
    assert (never in text, text.count(own)) == (False, 2)


@pytest.mark.parametrize(
    ("limit", "used", "left", "sentence"),
    [
        (None, None, "還沒問過 LINE", "照設定裡的方案（小，2 則，不能加購）少 1 則"),
        (None, 0, "沒有上限", "LINE 的額度夠，但設定裡的方案（小，2 則，不能加購）少 1 則"),
        (2, 1, "1", "額度不夠，少 2 則"),
    ],
)
def test_the_check_says_in_one_sentence_of_what_there_is_too_little(
    client: FlaskClient,
    engine: Engine,
    clock: StillClock,
    people: None,
    limit: int | None,
    used: int | None,
    left: str,
    sentence: str,
) -> None:
    with transaction(engine) as session:
        small = {"name": "小", "monthly_fee": "0", "messages": 2}
        change_plan(session, {"plan": "small", "plans": {"small": small}}, actor="test", now=clock())
        if used is not None:
            session.execute(
                table_of(Channel).update().values(quota_limit=limit, quota_used=used, quota_read_at=clock())
            )
    draft = begin(client)
    write(client, draft)  # to three of four, one being held out
    text = page(client, f"{draft}/check")
    assert re.search(r"本月剩下</dt><dd>([^<]*)<", text)[1] == left  # type: ignore[index]
    assert re.findall(r'class="warning">([^：<]*)', text) == [sentence]


def test_the_check_says_when_and_so_does_its_first_step(
    client: FlaskClient, engine: Engine, clock: StillClock, people: None
) -> None:
    draft = begin(client)
    write(client, draft)
    step(client, draft, "then", press="add-step")
    step(client, draft, "what", place="1", **{"v0-m0-kind": "text", "v0-m0-text": "再看看"})
    local = (clock() + timedelta(hours=2)).astimezone(TAIPEI)
    for fields, zh, en in (
        ({"kind": "now"}, "檢查後立刻發送", "At once after the check"),
        ({"kind": "at", "at": f"{local:%Y-%m-%dT%H:%M}"}, f"{local:%Y-%m-%d %H:%M}", f"{local:%Y-%m-%d %H:%M}"),
        ({"kind": "recurs", "every": "week", "weekdays": ["四"], "clock": "12:00"}, "每週四 12:00", "12:00"),
    ):
        step(client, draft, "when", **fields)
        for language, words in (("zh", zh), ("en", en)):
            text = page(client, f"{draft}/check?lang={language}")
            first = re.findall(r"<ol><li>([^<]*)<", text)[0]
            assert words in first
            assert f"<dd>{first}</dd>" in text  # the same above
    page(client, f"{draft}/check?lang=zh")
    step(client, draft, "when", kind="at", at=f"{local:%Y-%m-%dT%H:%M}")
    page(client, f"{draft}/check")
    clock.advance(hours=3)
    late = client.get(f"{draft}/check")
    assert late.status_code == 200
    assert "發送時間已經過了" in late.get_data(as_text=True)


def test_of_many_people_the_check_comes_first_and_asks_for_the_rest(
    client: FlaskClient, engine: Engine, clock: StillClock, people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.campaigns.draft_check.MANY", 3)
    draft = begin(client)
    write(client, draft)
    check = f"{draft}/check"
    asks = {"HX-Request": "true"}
    first = page(client, check)
    assert "排程發送給" not in first
    assert f'hx-get="{check}"' in first
    assert "背景程式沒有回應" not in first
    assert client.get(check, headers=asks).status_code == 204  # nothing new
    clock.advance(minutes=2)
    alarmed = client.get(check, headers=asks).get_data(as_text=True)
    assert "背景程式沒有回應" in alarmed
    assert f'hx-get="{check}?silent=1"' in alarmed
    assert client.get(f"{check}?silent=1", headers=asks).status_code == 204  # said once
    assert find_asked_outlooks(engine, zone=TAIPEI, clock=clock) == 1
    assert "排程發送給 3 人" in page(client, check)  # without a script, too
    part = client.get(check, headers=asks).get_data(as_text=True)
    assert "排程發送給 3 人" in part.split('<div id="checked">')[1]
    assert find_asked_outlooks(engine, zone=TAIPEI, clock=clock) == 0
    clock.advance(minutes=11)  # people come and go: it is found out anew
    assert "排程發送給" not in page(client, check)
    with transaction(engine) as session:
        drafts = table_of(CampaignDraft)
        gone = {**_values(engine), "any_of": ["list:gone"]}
        session.execute(drafts.update().values(values=gone, version=drafts.c.version + 1))
    client.get(check, headers=asks)
    find_asked_outlooks(engine, zone=TAIPEI, clock=clock)
    answer = client.get(check, headers=asks)
    assert answer.headers["HX-Redirect"] == check  # where the step says what is wrong
    assert "還不能發送" in page(client, check)  # to look at what isn't ready yet is no mistake


def _values(engine: Engine) -> dict[str, Any]:
    with reading(engine) as session:
        return session.scalars(select(CampaignDraft)).one().values


def test_a_campaign_is_written_step_by_step_checked_and_scheduled(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    draft = begin(client)
    write(client, draft)
    text = page(client, f"{draft}/check")
    assert "排程發送給" in text
    assert page(client, f"{draft}/check").count("需要的則數") == 1
    assert count(engine, Campaign) == 1  # looked at twice, made once
    answer = send(client, f"{draft}/send", version=checked(client, draft))
    assert (answer.status_code, answer.location) == (303, "/console/campaigns/1")
    with reading(engine) as session:
        made = session.get_one(Campaign, 1)
        assert (made.state, made.name, made.theme, made.priority) == ("scheduled", "聖誕", "冬季", 3)
        assert made.audience == {"any_of": ["all"], "none_of": []}
        assert session.scalars(select(table_of(TrackedLink).c.url)).all() == [LINK]
    assert client.get(f"{draft}/who").status_code == 404  # it is a campaign now
    assert send(client, f"{draft}/send").status_code == 404


def test_a_change_after_the_check_is_checked_again_and_leaves_no_campaign_behind(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    draft = begin(client)
    write(client, draft)
    seen = checked(client, draft)
    step(client, draft, "what", **{"v0-m0-kind": "text", "v0-m0-text": "只有文字"})
    assert send(client, f"{draft}/send", version=seen).location.endswith("/check")
    assert "再檢查一次" in page(client, f"{draft}/check")
    assert (count(engine, Campaign), count(engine, Variant), count(engine, TrackedLink)) == (1, 1, 0)
    assert send(client, f"{draft}/delete").status_code == 303
    assert (count(engine, Campaign), count(engine, Variant), count(engine, CampaignDraft)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "fields", "where", "words"),
    [
        ("who", {"any_of": []}, "對象", "請至少選一個對象"),
        ("who", {"any_of": ["nesl=nowhere"]}, "對象", "這個分群"),
        ("what", {"v0-m0-kind": "text", "v0-m0-text": ""}, "內容", "還不能發送"),
        ("what", {"v0-m0-kind": "json", "v0-m0-json": "{"}, "內容", "第 1 則 這不是正確的 JSON"),
        ("what", {"v0-m0-kind": "card", "v0-m0-layout": "product"}, "內容", "「product」的欄位不對"),
        ("when", {"kind": "at", "at": "2020-01-01T10:00"}, "時間", "發送時間已經過了"),
        ("when", {"kind": "at", "at": "soon"}, "時間", "請選擇發送的日期與時間"),
        ("when", {"kind": "recurs", "recurs": "每個黃道吉日"}, "時間", "還不能發送"),
        ("when", {"kind": "trigger", "trigger": ""}, "時間", "請寫出什麼事"),
        ("policy", {"way": "push", "holdout": "many"}, "發送規則", "對照組要是"),
        ("policy", {"way": "push", "holdout": "100"}, "發送規則", "holdout"),
        ("policy", {"way": "push", "holdout": "5", "conversion_days": "0.5"}, "發送規則", "天數要是"),
        ("policy", {"way": "push", "holdout": "5", "conversion_days": "91"}, "發送規則", "1 到 90 天"),
    ],
)
def test_what_is_wrong_is_told_in_its_step_and_nothing_is_lost(
    client: FlaskClient, engine: Engine, people: None, name: str, fields: dict[str, Any], where: str, words: str
) -> None:
    draft = begin(client)
    write(client, draft)
    assert step(client, draft, name, **fields).status_code == 303  # kept as it is
    answer = client.get(f"{draft}/check")
    text = plain(answer)
    assert answer.status_code == 200
    assert words in text
    assert f'aria-current="step">{["對象", "內容", "時間", "後續", "發送規則"].index(where) + 1} {where}<' in text
    for value in fields.values():
        if isinstance(value, str) and value not in ("", "push"):
            assert value in page(client, f"{draft}/{name}")
    assert count(engine, Campaign) == 0


def test_messages_and_variants_are_added_and_dropped_by_buttons(client: FlaskClient, people: None) -> None:
    draft = begin(client)
    first = {"v0-m0-kind": "text", "v0-m0-text": "甲"}
    assert step(client, draft, "what", press="add-v0", **first).location.endswith("/what?focus=v0-m1-kind")
    assert 'name="v0-m1-kind"' in page(client, f"{draft}/what")
    two = {**first, "v0-m1-kind": "image", "v0-m1-url": "https://a.example/a.png"}
    step(client, draft, "what", press="add-variant", **two)
    text = page(client, f"{draft}/what")
    assert 'name="v1-m1-url" value="https://a.example/a.png"' in text
    assert "版本 B" in text
    step(client, draft, "what", press="drop-v0-m0", **two)
    text = page(client, f"{draft}/what")
    assert "甲" not in text
    assert 'name="v0-m0-url"' in text


def test_who_saves_on_top_of_another_is_told_and_keeps_what_was_typed(
    client: FlaskClient, engine: Engine, clock: StillClock, people: None
) -> None:
    draft = begin(client)
    mine = {"v0-m0-kind": "text", "v0-m0-text": "我的", "version": "1"}
    assert send(client, f"{draft}/what", **{**mine, "v0-m0-text": "先存的"}).status_code == 303
    answer = send(client, f"{draft}/what", **mine)
    text = plain(answer)
    assert answer.status_code == 409
    assert "我的" in text
    assert "owner@example.com" in text
    assert 'name="version" value="2"' in text
    assert "先存的" in page(client, f"{draft}/what")


def test_a_second_person_approves_where_the_brand_says_so(
    client: FlaskClient, engine: Engine, clock: StillClock, people: None
) -> None:
    with transaction(engine) as session:
        change_settings(session, {"needs_approval": True}, actor="t", now=clock())
    draft = begin(client)
    write(client, draft)
    assert "送審" in page(client, f"{draft}/check")
    for _ in range(2):  # asking twice is no approval
        assert send(client, f"{draft}/send", version=checked(client, draft)).location.endswith("/check")
    other = sign_in(client.application.test_client(), engine, clock, Role.MARKETER)
    assert "核准並排程" in page(other, f"{draft}/check")
    seen = checked(other, draft)
    step(client, draft, "policy", way="push", holdout="10", priority="0", reply_first_hours="")
    send(client, f"{draft}/send", version=checked(client, draft))  # asked for again, changed
    assert send(other, f"{draft}/send", version=seen).location.endswith("/check")  # they have not seen the change
    assert state_of(engine) == "draft"
    assert "核准並排程" in page(other, f"{draft}/check")
    answer = send(other, f"{draft}/send", version=checked(other, draft))
    assert answer.location.rpartition("/")[0] == "/console/campaigns"
    assert state_of(engine) == "scheduled"


def test_nobody_sends_what_a_colleague_changed_and_checked_meanwhile(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    draft = begin(client)
    write(client, draft)
    seen = checked(client, draft)
    step(client, draft, "what", **{"v0-m0-kind": "text", "v0-m0-text": "換過的"})
    assert checked(client, draft) != seen
    for stale in ({"version": seen}, {}):
        assert send(client, f"{draft}/send", **stale).location.endswith("/check")
        assert state_of(engine) == "draft"
    assert "再檢查一次" in page(client, f"{draft}/check")


def test_the_preview_shows_what_each_person_would_see_escaped(client: FlaskClient, people: None) -> None:
    draft = begin(client)
    fields = {"v0-m0-kind": "text", "v0-m0-text": TEXT + " <script>"}
    seen = [send(client, f"{draft}/preview", **fields, **{"as": str(n)}).get_data(as_text=True) for n in range(4)]
    assert "&lt;b&gt;吳&lt;/b&gt;，羽絨" in seen[2]
    assert "您，羽絨" in seen[3]
    assert not any("<script>" in text or "<b>吳" in text for text in seen)
    wrong = send(client, f"{draft}/preview", **{"v0-m0-kind": "text", "v0-m0-text": "{% for x in y %}"})
    assert "還不能發送" in wrong.get_data(as_text=True)


def test_the_preview_is_in_the_name_of_those_whom_the_draft_is_for(
    client: FlaskClient, engine: Engine, people: None, clock: StillClock
) -> None:
    with transaction(engine) as session:
        create_tag(session, "講座", now=clock())
        put_on(session, "講座", [2, 4], actor="t", now=clock(), today=clock().date())
    draft = begin(client, target="tag:講座")
    fields = {"v0-m0-kind": "text", "v0-m0-text": TEXT}
    text = send(client, f"{draft}/preview", **fields).get_data(as_text=True)
    assert "林，羽絨" in text
    assert "美" not in text
    assert re.findall(r'name="shown" value="(\d+)"', text) == ["2", "4"]
    again = send(client, f"{draft}/preview", **fields, shown="3").get_data(as_text=True)  # what the form brings along
    assert "&lt;b&gt;吳&lt;/b&gt;，羽絨" in again


def test_the_preview_is_in_the_name_of_those_who_would_be_sent_to(client: FlaskClient, engine: Engine) -> None:
    with transaction(engine) as session:
        channel = make_channel(session)
        for _ in range(10):
            make_customer(session, name="沒有 LINE")
        followers = [make_customer(session, name=name) for name in ("追蹤一", "追蹤二")]
        for one in followers:
            make_account(session, channel, one)
        ids = [str(one.id) for one in followers]
    text = send(client, f"{begin(client)}/preview", **{"v0-m0-kind": "text", "v0-m0-text": TEXT}).get_data(as_text=True)
    assert re.findall(r'name="shown" value="(\d+)"', text) == ids
    assert "追蹤一，羽絨" in text
    shown = send(client, "/console/campaigns/drafts/1/people", any_of="all").get_data(as_text=True)
    assert shown.index("追蹤二") < shown.index("沒有 LINE")  # the page before saving shows others too, with why


def test_a_campaign_goes_over_the_channel_that_is_chosen(client: FlaskClient, engine: Engine, people: None) -> None:
    draft = begin(client)
    assert 'name="channel"' not in page(client, f"{draft}/who")  # there is only one
    with transaction(engine) as session:
        second = make_channel(session, name="二店")
        make_account(session, second, session.get_one(Customer, 1))
    assert '<option value="二店">' in page(client, f"{draft}/who")
    write(client, draft)
    assert step(client, draft, "who", any_of=["all"], channel="二店").status_code == 303
    checked(client, draft)
    with reading(engine) as session:
        assert session.scalars(select(Campaign)).one().channel_id == second.id
    seen = send(client, f"{draft}/people", any_of="all", channel="二店").get_data(as_text=True)
    assert seen.count("沒有 LINE 帳號") == 3  # only one of the four is known there
    gone = send(client, f"{draft}/people", any_of="all", channel="三店").get_data(as_text=True)
    assert "選的頻道已經不在了" in gone


def test_people_are_counted_while_they_are_chosen(client: FlaskClient, people: None) -> None:
    draft = begin(client)
    assert "4 人" in send(client, f"{draft}/people", any_of="all").get_data(as_text=True)
    assert "選了對象" in plain(send(client, f"{draft}/people"))
    assert "沒有「x」這個分群" in plain(send(client, f"{draft}/people", any_of="nesl=x"))


def test_flex_is_drawn_with_its_parts_and_nothing_that_a_page_could_run() -> None:
    evil = '"><script>alert(1)</script>'
    bubble = {
        "type": "bubble",
        "hero": {"type": "image", "url": f"https://a.example/{evil}", "size": "full", "aspectRatio": "20:13"},
        "body": {
            "type": "box",
            "layout": "horizontal",
            "spacing": "md",
            "backgroundColor": "#ff0000;position:fixed",
            "contents": [
                {"type": "text", "text": evil, "color": "#00ff00", "wrap": True, "flex": 2},
                {"type": "separator"},
                {"type": "text", "text": "b", "size": "17px", "weight": "bold"},
            ],
        },
        "footer": {"type": "box", "layout": "vertical", "contents": [{"type": "button", "action": {"label": "買"}}]},
    }
    drawn = flex(bubble)
    assert "<script" not in drawn
    assert "position:fixed" not in drawn
    for style in ("gap:8px", "color:#00ff00", "font-size:17px", "aspect-ratio:20/13", "flex:2 1 0"):
        assert style in drawn
    assert flex({"type": "carousel", "contents": [bubble, bubble]}).count("flex-bubble") == 2
    template = {"type": "template", "template": {"type": "buttons", "text": "好", "actions": [{"label": "去"}]}}
    quick = {"type": "text", "text": "a\nb", "quickReply": {"items": [{"action": {"label": "是"}}]}}
    assert "去" in chat([template])
    assert "a<br>b" in chat([quick])
    assert '<span class="chip" style="">是</span>' in chat([quick])


def test_without_a_channel_the_check_says_so(client: FlaskClient, engine: Engine) -> None:
    draft = begin(client)
    write(client, draft)
    assert count(engine, Channel) == 0
    assert "還沒有 LINE 頻道" in plain(client.get(f"{draft}/check"))
