"""The console's pages on both databases: empty, filled, in both languages, and closed to strangers."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine

from campaigns.results.catch_up import catch_up
from console.pages import create_console
from console.words import ENGLISH, STATES
from keywords.effects.stored import renew_learning
from keywords.report import TermRow
from keywords.sharing.chart import CHART_WIDTH, draw
from keywords.text.tokenizer import shared_tokenizer
from store.changes import note_responses
from store.engine import table_of, transaction
from store.models import (
    BehaviourEvent,
    Click,
    Customer,
    CustomerSegment,
    CustomerTag,
    Delivery,
    MessageResult,
    SegmentRun,
    SegmentSizeOnDay,
    Tag,
    TrackedLink,
)
from tests.conftest import StillClock
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
)


def client_for(engine: Engine, clock: StillClock, *, password: str | None = None, allow: bool = True) -> FlaskClient:
    app = Flask(__name__)
    app.register_blueprint(create_console(engine, zone=TAIPEI, clock=clock, password=password, allow_without=allow))
    return app.test_client()


@pytest.fixture
def client(engine: Engine, clock: StillClock) -> FlaskClient:
    return client_for(engine, clock)


def page(client: FlaskClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return answer.get_data(as_text=True)


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
    texts["tag"] = page(client, "/console/tags/1")
    texts["model"] = page(client, "/console/segments/nesl")
    for address, text in texts.items():
        assert "<script" not in text, address
        assert "secret words" not in text, address
    assert '<td class="new"><b>1</b><span>新顧客</span></td>' in texts["/console/segments"]
    assert texts["/console/segments"].count("<b>0</b>") == 24
    for shown in ("00004", "臺北", "老客戶", "一般發展", "1,234.50", "已受理", "2026-11-02 00:30", "message"):
        assert shown in texts["customer"], shown
    assert "<dt>不重複點擊</dt><dd>1</dd>" in texts["campaign"]
    assert "<dt>營收</dt><dd>1,234.50</dd>" in texts["campaign"]
    assert "沒有統計單位" in texts["campaign"]
    assert "<dt>對照組</dt><dd>5%</dd>" in texts["campaign"]
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
        make_customer(session, member_id="mm1", name="other")
    text = page(client, f"/console/customers?q={words.replace('%', '%25')}")
    assert ("王小美" in text) is found
    assert "other" not in text


def test_a_line_user_id_is_found_whole(client: FlaskClient, engine: Engine) -> None:
    with transaction(engine) as session:
        channel, customer = make_channel(session), make_customer(session, member_id="found-me")
        account = make_account(session, channel, customer)
        line_user_id = account.line_user_id
    assert "found-me" in page(client, f"/console/customers?q={line_user_id}")
    assert "found-me" not in page(client, f"/console/customers?q={line_user_id[:10]}")


def test_the_keyword_page_draws_what_was_learned(client: FlaskClient, engine: Engine, customer_id: int) -> None:
    at = datetime(2026, 10, 1, tzinfo=UTC)
    with transaction(engine) as session:
        channel = make_channel(session)
        for number in range(40):
            campaign = make_campaign(session, channel)
            moment = at + timedelta(days=number)
            run = make_run(session, campaign, scheduled_for=moment, fired_at=moment)
            good = number % 2 == 0
            session.add(
                MessageResult(
                    run_id=run.id or 0,
                    variant_id=run.variants[0]["variant_id"],
                    segment="important_value",
                    channel=channel.name,
                    message_text="發熱衣 限時下殺" if good else "圍巾 新品上市",
                    sent_at=moment,
                    recipients=2000,
                    clicks=300 if good else 60,
                    changed_at=moment,
                )
            )
    assert "<svg" not in page(client, "/console/keywords")  # no page fits anything: the worker does
    renew_learning(engine, shared_tokenizer(), zone=ZoneInfo("Asia/Taipei"), clock=lambda: at)
    text = page(client, "/console/keywords")
    assert "<svg" in text
    assert "下殺" in text
    assert "2026-10-01 08:00" in text  # when it was computed, in the brand's time
    taught = page(client, f"/console/campaigns/{campaign.id}")
    assert "這次發送教了什麼" in taught
    assert "圍巾" in taught
    asked = {"text": f"圍巾 駱馬 {EVIL}", "segment": "important_value", "theme": "冬季", "at": "2026-12-01T20:00"}
    scored = page(client, "/console/keywords?" + urlencode(asked))
    assert "預測點擊率" in scored
    assert "沒用過的詞" in scored
    assert "可以改試" in scored
    assert "<script" not in scored
    assert "Score my copy" in page(client, "/console/keywords?lang=en&" + urlencode({**asked, "at": "soon"}))


def _row(effect: float, low: float, high: float) -> TermRow:
    return TermRow("t", effect, low, high, 0.5, 1, 1, 1, 1)


def test_bars_keep_inside_the_drawing_and_say_whether_they_are_settled() -> None:
    zero, bars = draw([_row(1.0, 0.5, 1.5), _row(0.1, -0.4, 0.5), _row(-1.0, -1.5, -0.5)])
    assert [bar.kind for bar in bars] == ["up", "open", "down"]
    assert zero == CHART_WIDTH / 2
    assert [(bars[0].x_high, bars[2].x_low)] == [(CHART_WIDTH, 0)]
    assert draw([_row(0.0, 0.0, 0.0)])[0] == 0
    assert draw([])[1] == []


def test_every_state_has_a_name() -> None:
    assert set(STATES.values()) <= set(ENGLISH)


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"me:{password}".encode()).decode()}


@pytest.mark.parametrize("address", [*PAGES, "/console/static/console.css"])
def test_with_a_password_only_who_knows_it_comes_in(engine: Engine, clock: StillClock, address: str) -> None:
    client = client_for(engine, clock, password="密碼-pass", allow=True)
    refused = client.get(address, buffered=True)
    assert (refused.status_code, refused.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    assert client.get(address, headers=basic("wrong")).status_code == 401
    assert client.get(address, headers=basic("")).status_code == 401
    assert client.get(address, headers={"Authorization": "Bearer x"}).status_code == 401
    assert client.get(address, headers=basic("密碼-pass"), buffered=True).status_code == 200


def test_without_a_password_only_this_machine_in_development_comes_in(engine: Engine, clock: StillClock) -> None:
    client = client_for(engine, clock)
    assert client.get("/console/").status_code == 200
    assert client.get("/console/", environ_base={"REMOTE_ADDR": "::1"}).status_code == 200
    assert client.get("/console/", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 404
    assert client.get("/console/", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 404
    assert client_for(engine, clock, allow=False).get("/console/").status_code == 404
    assert client_for(engine, clock, password="", allow=False).get("/console/").status_code == 404


def test_pages_may_not_run_scripts_nor_be_kept_by_caches(client: FlaskClient) -> None:
    headers = client.get("/console/").headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("target", "chinese", "english"),
    [
        ("all", "所有人", "Everyone"),
        ("rf4=one_time", "RF4 · 一次客", "RF4 · one time"),
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
