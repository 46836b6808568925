"""The console's pages on both databases: empty, filled, in both languages, and closed to strangers."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, event
from sqlalchemy import text as sql
from sqlalchemy.exc import OperationalError

from campaigns.results.catch_up import catch_up
from console.access.guard import OPEN
from console.words.catalog import english
from console.words.names import STATES
from store.changes import note_responses
from store.engine import table_of, transaction
from store.models import (
    BehaviourEvent,
    Click,
    Customer,
    CustomerSegment,
    CustomerTag,
    Delivery,
    SegmentRun,
    SegmentSizeOnDay,
    Tag,
    TrackedLink,
)
from tests.conftest import StillClock
from tests.console.conftest import page
from tests.factories import make_account, make_campaign, make_channel, make_customer, make_order, make_run

TAIPEI = ZoneInfo("Asia/Taipei")
EVIL = "<script>alert(1)</script>"
PAGES = (
    "/console/",
    "/console/customers",
    "/console/segments",
    "/console/tags",
    "/console/predictions",
    "/console/demand",
    "/console/campaigns",
    "/console/keywords",
    "/console/keywords/words",
)
IN_ADDRESSES = {
    "model": "nesl",
    "slug": "lift",
    "name": "campaigns",
    "step": "what",
    "kind": "orders",
    "address": "none",
}
ASKS, OF_WHO_LOOKS = re.compile(r"\b(FROM|INTO|UPDATE)\b"), re.compile(r"\bconsole_(session|user)\b")
ASK_NOTHING = {
    "suggest_words",
    "show_guide",
    "show_term",
    "show_nothing",
    "show_account",
    "list_people",
    "take_template",
}


@pytest.fixture
def customer_id(engine: Engine, clock: StillClock) -> int:
    """One customer with everything: segments, orders, events, a tag, and a delivery that was tapped and brought an
    order; and nine held out who bought nothing."""
    at = datetime(2026, 11, 1, 16, 30, tzinfo=UTC)
    with transaction(engine) as session:
        channel = make_channel(session)
        anna = make_customer(session, member_id="00004", name=EVIL, city="臺北", attributes={"鞋": EVIL})
        make_account(session, channel, anna, display_name=EVIL)
        campaign = make_campaign(session, channel, name=f"冬季特賣 {EVIL}", state="sent", theme="冬季")
        run = make_run(session, campaign, scheduled_for=at, fired_at=at, state="sent")
        tag, link = (
            Tag(name="老客戶", created_at=at),
            TrackedLink(campaign_id=campaign.id or 0, url="https://shop.example/"),
        )
        session.add_all([tag, link])
        times: dict[str, Any] = {"as_of": at.date(), "started_at": at, "lease_until": at, "finished_at": at}
        session.add(SegmentRun(**times, state="finished", customer_count=1, change_count=1))
        for model, segment in (("rf_cells", "r5f1"), ("rf11", "new"), ("nesl", "N"), ("tag", "老客戶")):
            size: dict[str, Any] = {"customers": 1, "value": Decimal("1234.50")}
            session.add(SegmentSizeOnDay(as_of=at.date(), model=model, segment=segment, **size))
        session.flush()
        found = (anna.id or 0, run.id or 0)
        session.add(CustomerTag(tag_id=tag.id or 0, customer_id=found[0], since=at, source="import"))
        session.add(Delivery(run_id=found[1], customer_id=found[0], state="accepted", sent_at=at))
        tap: dict[str, Any] = {"run_id": found[1], "customer_id": found[0], "clicked_at": at}
        session.add(Click(**tap, link_id=link.id or 0, kind="person", user_agent=""))
        make_order(session, anna, total=Decimal("1234.50"), ordered_at=at + timedelta(hours=1), status="paid")
        session.add(
            BehaviourEvent(
                event_key="e",
                source="line",
                kind="message",
                channel_id=channel.id or 0,
                customer_id=found[0],
                occurred_at=at,
                received_at=at,
                payload={"message": {"text": "secret words"}},
            )
        )
        session.add(
            CustomerSegment(
                customer_id=found[0],
                last_ordered_on=at.date(),
                frequency=1,
                monetary=Decimal("1234.50"),
                r=5,
                f=1,
                m=1,
                rf4="new",
                rf11="new",
                rfm3="other",
                rfm8="ordinary_develop",
                nesl="N",
                nes="N",
                computed_at=at,
            )
        )
        for _ in range(9):
            held = make_customer(session)
            session.add(Delivery(run_id=found[1], customer_id=held.id or 0, state="held_out"))
        note_responses(session, [found[0]])
    catch_up(engine, clock)
    return found[0]


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_says_what_is_missing_when_there_is_nothing(
    client: FlaskClient, address: str, language: str
) -> None:
    text = page(client, f"{address}?lang={language}")
    assert f'lang="{"en" if language == "en" else "zh-Hant-TW"}"' in text
    assert 'class="empty"' in text


def test_pages_show_the_figures_and_escape_what_people_wrote(client: FlaskClient, customer_id: int) -> None:
    texts = {address: page(client, address) for address in PAGES}
    texts["customer"] = page(client, f"/console/customers/{customer_id}")
    texts["campaign"] = page(client, "/console/campaigns/1")
    texts["results"] = page(client, "/console/campaigns/1/results")
    texts["tag"] = page(client, "/console/tags/1")
    texts["model"] = page(client, "/console/segments/nesl")
    for address, text in texts.items():
        assert "<script>" not in text, address
        assert "secret words" not in text, address
    assert '<td class="new"><b>1</b><span><a href="/console/customers?r0-type=' in texts["/console/segments"]
    assert texts["/console/segments"].count("<b>0</b>") == 24
    for shown in ("00004", "臺北", "老客戶", "一般發展", "1,234.50", "已受理", "2026-11-02 00:30", "傳送訊息"):
        assert shown in texts["customer"], shown
    assert ">不重複點擊</dt><dd>1</dd>" in texts["campaign"]
    assert "<dt>營收 <small>NT$</small></dt><dd>1,234.50</dd>" in texts["campaign"]
    assert "沒有統計單位" in texts["results"]
    assert ">對照組</dt><dd>5%</dd>" in texts["campaign"]
    assert "<dd>+100.00 (" in texts["campaign"], "one of one against none of nine"


def test_english_is_remembered(client: FlaskClient, customer_id: int) -> None:
    assert "Retargeting console" in page(client, "/console/?lang=en")
    text = page(client, f"/console/customers/{customer_id}")
    assert "Latest" not in text
    assert "ordinary develop" in text
    assert "主控台" in page(client, "/console/?lang=zh")
    assert "主控台" in page(client, "/console/?lang=<b>")


@pytest.mark.parametrize(
    "address",
    [
        "/console/customers/999",
        "/console/campaigns/999",
        "/console/customers/99999999999999999999",
        "/console/tags/999",
        "/console/tags/99999999999999999999",
        "/console/segments/rf99",
        "/console/nothing",
    ],
)
def test_what_does_not_exist_is_404(client: FlaskClient, address: str) -> None:
    assert client.get(address).status_code == 404


def test_customers_are_paged_by_key_without_gap_or_repeat(client: FlaskClient, engine: Engine) -> None:
    with transaction(engine) as session:
        session.add_all(Customer(member_id=f"P{i:03}", created_at=datetime(2026, 1, 1, tzinfo=UTC)) for i in range(101))
    seen: list[str] = []
    address: str | None = "/console/customers"
    for _ in range(5):
        assert address
        text = page(client, address)
        seen += [part.split("</a>")[0] for part in text.split('">') if part.startswith("P")]
        address = text.split('rel="next" href="')[1].split('"')[0] if 'rel="next"' in text else None
        if address is None:
            break
    assert seen == [f"P{i:03}" for i in range(101)]


@pytest.mark.parametrize(
    ("words", "found"), [("m_1", True), ("小美", True), ("M_1", True), ("m%", False), ("x", False)]
)
def test_search_finds_by_member_id_and_name_and_takes_signs_literally(
    client: FlaskClient, engine: Engine, words: str, found: bool
) -> None:
    with transaction(engine) as session:
        make_customer(session, member_id="m_1", name="王小美")
        make_customer(session, member_id="mm1", name="somebody else")
    text = page(client, f"/console/customers?q={words.replace('%', '%25')}")
    assert ("王小美" in text) is found
    assert "somebody else" not in text


def test_a_line_user_id_is_found_whole(client: FlaskClient, engine: Engine) -> None:
    with transaction(engine) as session:
        channel, customer = make_channel(session), make_customer(session, member_id="found-me")
        account = make_account(session, channel, customer)
        line_user_id = account.line_user_id
    assert "found-me" in page(client, f"/console/customers?q={line_user_id}")
    assert "found-me" not in page(client, f"/console/customers?q={line_user_id[:10]}")


def test_every_state_has_a_name() -> None:
    assert set(STATES.values()) <= set(english())


def test_pages_may_not_run_scripts_nor_be_kept_by_caches(client: FlaskClient) -> None:
    headers = client.get("/console/").headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("target", "chinese", "english"),
    [
        ("all", "所有人", "Everyone"),
        ("rf4=one_time", "四群（RF） · 一次客", "Four segments (RF) · one time"),
        ("nesl_personal=E", "活躍狀態（NESL，個人週期） · 主力客", "Activity (NESL, personal cycle) · E"),
        ("tag:去屑", "標籤 去屑", "Tags 去屑"),
        ("gone=away", "gone=away", "gone=away"),
    ],
)
def test_a_campaigns_target_is_told_in_the_marketers_words(
    client: FlaskClient, engine: Engine, target: str, chinese: str, english: str
) -> None:
    with transaction(engine) as session:
        make_campaign(session, make_channel(session), audience={"any_of": [target], "none_of": []})
    assert f"<td>{chinese}</td>" in page(client, "/console/campaigns?lang=zh")
    assert f"<td>{english}</td>" in page(client, "/console/campaigns?lang=en")


def test_why_a_customer_was_skipped_is_told_in_words(client: FlaskClient, engine: Engine, customer_id: int) -> None:
    with transaction(engine) as session:
        session.connection().execute(table_of(Delivery).update().values(state="skipped", reason="no_line_account"))
    shown = page(client, f"/console/customers/{customer_id}")
    assert "沒有 LINE 帳號" in shown
    assert "no_line_account" not in shown


def test_every_page_that_breaks_says_so_in_words(engine: Engine, client: FlaskClient) -> None:
    """Nothing is answered any more but who looks at the page."""

    def is_lost(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if ASKS.search(statement) and not OF_WHO_LOOKS.search(statement):
            raise OperationalError(statement, {}, Exception("the database has gone"))

    adapter, found = client.application.url_map.bind("localhost"), dict[str, int]()
    event.listen(engine, "before_cursor_execute", is_lost)
    for rule in client.application.url_map.iter_rules():
        if "GET" not in (rule.methods or set()) or rule.endpoint in OPEN or not rule.endpoint.startswith("console."):
            continue
        address = adapter.build(rule.endpoint, {part: IN_ADDRESSES.get(part, 1) for part in rule.arguments})
        for language, words in (("zh", "這一頁現在打不開"), ("en", "be shown right now")):
            answer = client.get(f"{address}?lang={language}")
            found[rule.endpoint.removeprefix("console.")] = answer.status_code
            if answer.status_code == 500:
                assert words in answer.text
                assert 'href="/console/segments"' in answer.text  # the menu is there
                assert "has gone" not in answer.text
    event.remove(engine, "before_cursor_execute", is_lost)
    assert {name for name, status in found.items() if status != 500} == ASK_NOTHING
    assert len(found) > 50


def test_numbers_that_no_database_holds_break_no_page(engine: Engine, client: FlaskClient) -> None:
    with transaction(engine) as session:
        make_campaign(session, make_channel(session))
    adapter = client.application.url_map.bind("localhost")
    asked = "&".join(f"{name}={10**30}" for name in ("before", "after", "run", "view", "channel", "id", "days"))
    broken = []
    for rule in client.application.url_map.iter_rules():
        if "GET" not in (rule.methods or set()) or not rule.endpoint.startswith("console."):
            continue
        for number in (1, 10**30):
            parts = {part: IN_ADDRESSES.get(part, number) for part in rule.arguments}
            if client.get(f"{adapter.build(rule.endpoint, parts)}?{asked}").status_code >= 500:
                broken.append((rule.endpoint, number))
    assert broken == []


def test_where_not_even_who_looks_is_known_that_is_said(engine: Engine, client: FlaskClient) -> None:
    with engine.begin() as connection:
        connection.execute(sql("DROP TABLE console_session"))
    answer = client.get("/console/account?lang=en")
    assert answer.status_code == 500
    assert "right now" in answer.text
    assert "Traceback" not in answer.text
