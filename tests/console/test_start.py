"""開始使用: each step knows by the database whether it is done; a marketer's own LINE, and tests sent to it."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from console.access.roles import Role
from console.frame.line_doors import Coupon, Webhook, WebhookTest
from console.frame.once import new_key
from console.frame.site import Site
from console.pages import create_console
from console.start.steps import STEPS, first_steps
from store.engine import reading, table_of, transaction
from store.errors import ExpectedError
from store.models import (
    AuditEntry,
    BehaviourEvent,
    Channel,
    ConsoleLine,
    ConsoleUser,
    LineAccount,
    SampleRow,
    WorkRequest,
)
from tests.conftest import StillClock
from tests.console.auditing import watch
from tests.console.conftest import TAIPEI, page, send, sign_in
from tests.console.test_drafts import begin, checked, write
from tests.factories import make_account, make_channel, make_customer, make_order

MINE, OTHER = "U" + "1" * 32, "U" + "2" * 32


class Doors:
    """LINE as a marketer sees it; `refuses` is what it says of any content."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.keys: list[str] = []
        self.refuses: str | None = None

    def who_is(self, channel: str) -> str:
        return f"account of {channel}"

    def webhook(self, channel: str) -> Webhook:
        raise NotImplementedError

    def test_webhook(self, channel: str) -> WebhookTest:
        raise NotImplementedError

    def coupons(self, channel: str, *, most: int) -> list[Coupon]:
        raise NotImplementedError

    def validate(self, channel: str, messages: list[dict[str, Any]]) -> None:
        if self.refuses:
            raise ExpectedError(self.refuses)

    def send_test(self, channel: str, to: str, messages: list[dict[str, Any]], retry_key: str) -> None:
        if self.refuses:
            raise ExpectedError(self.refuses)
        if retry_key not in self.keys:  # as LINE does it
            self.keys.append(retry_key)
            self.sent.append((channel, to, messages))


@pytest.fixture
def line() -> Doors:
    return Doors()


@pytest.fixture
def app(engine: Engine, clock: StillClock, line: Doors) -> Flask:
    app = Flask(__name__)
    app.secret_key = "a key of tests"
    app.register_blueprint(create_console(Site(engine, TAIPEI, clock, line=line)))
    watch(app, engine)
    return app


@pytest.fixture
def client(app: Flask, engine: Engine, clock: StillClock) -> FlaskClient:
    return sign_in(app.test_client(), engine, clock, Role.MARKETER)


@pytest.fixture
def channel_id(engine: Engine) -> int:
    with transaction(engine) as session:
        channel = make_channel(session, name="main")
        for user_id, name in ((MINE, "安"), (OTHER, "林")):
            make_account(session, channel, make_customer(session, name=name), line_user_id=user_id)
        return channel.id or 0


def says(engine: Engine, channel_id: int, user_id: str, text: str, clock: StillClock) -> None:
    """A message that the webhook brought and the worker has read."""
    payload: dict[str, Any] = {"message": {"type": "text", "text": text}, "source": {"userId": user_id}}
    with transaction(engine) as session:
        number = len(session.scalars(select(BehaviourEvent)).all())
        times: dict[str, Any] = {"occurred_at": clock(), "received_at": clock()}
        event: dict[str, Any] = {
            "event_key": f"e{number}",
            "source": "line",
            "kind": "message",
            "channel_id": channel_id,
        }
        session.add(BehaviourEvent(**event, **times, payload=payload))


def code_on(client: FlaskClient, channel_id: int) -> str:
    send(client, f"/console/start/line/{channel_id}")
    found = re.search(r"<code>(\d{8})</code>", page(client, "/console/start"))
    assert found
    return found[1]


def bound(engine: Engine) -> int | None:
    with reading(engine) as session:
        one = session.scalars(select(ConsoleLine)).one_or_none()
        return one.line_account_id if one else None


def bind_mine(client: FlaskClient, engine: Engine, channel_id: int, clock: StillClock) -> None:
    says(engine, channel_id, MINE, code_on(client, channel_id), clock)
    assert client.get(f"/console/start/line/{channel_id}/waiting").headers["HX-Refresh"] == "true"


def done(engine: Engine) -> list[str]:
    with reading(engine) as session:
        user_id = session.scalars(select(ConsoleUser)).one().id or 0
        return [step.name for step in first_steps(session, user_id).steps if step.is_done]


def test_each_step_is_done_when_the_database_says_so(
    client: FlaskClient, engine: Engine, clock: StillClock, channel_id: int
) -> None:
    assert done(engine) == ["account"]
    shown = page(client, "/console/start")
    assert shown.count('class="card next"') == 1
    assert "http://127.0.0.1:8000/webhook/main" in shown
    assert send(client, f"/console/settings/channels/{channel_id}/check?back=start").location == "/console/start"
    assert done(engine)[-1] == "token"
    with transaction(engine) as session:
        session.get_one(Channel, channel_id).destination = "U" + "b" * 32
    assert done(engine)[-1] == "webhook"
    bind_mine(client, engine, channel_id, clock)
    assert done(engine)[-1] == "own_line"
    with transaction(engine) as session:
        make_order(session, make_customer(session))
    assert done(engine)[-1] == "orders"
    begin(client)
    assert "campaign" in done(engine)
    send(client, f"/console/start/test/{channel_id}", once=new_key(clock()))
    assert set(STEPS) - set(done(engine)) == {"segments"}


def test_only_the_phone_that_sends_the_code_is_bound(
    client: FlaskClient, engine: Engine, clock: StillClock, channel_id: int
) -> None:
    says(engine, channel_id, OTHER, "12345678", clock)
    code = code_on(client, channel_id)
    waiting = client.get(f"/console/start/line/{channel_id}/waiting")
    assert code in waiting.get_data(as_text=True)
    says(engine, channel_id, OTHER, f"{int(code) - 1:08}", clock)
    says(engine, channel_id, MINE, code, clock)
    client.get(f"/console/start/line/{channel_id}/waiting")
    with reading(engine) as session:
        assert session.get_one(LineAccount, bound(engine)).line_user_id == MINE
        noted = [one.action for one in session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id))]
        assert noted[-2:] == ["ask for code for own LINE account", "bind own LINE account"]
    send(client, f"/console/start/line/{channel_id}/forget")
    assert bound(engine) is None


def test_a_code_is_good_for_half_an_hour_and_on_its_channel(
    client: FlaskClient, engine: Engine, clock: StillClock, channel_id: int
) -> None:
    with transaction(engine) as session:
        other = make_channel(session, name="other").id or 0
    code = code_on(client, channel_id)
    says(engine, other, MINE, code, clock)
    client.get(f"/console/start/line/{channel_id}/waiting")
    assert bound(engine) is None
    clock.advance(minutes=31)
    says(engine, channel_id, MINE, code, clock)
    assert client.get(f"/console/start/line/{channel_id}/waiting").headers["HX-Refresh"] == "true"
    assert bound(engine) is None
    assert client.get("/console/start/line/99/waiting").status_code == 200
    assert send(client, "/console/start/line/99").status_code == 404


def test_a_draft_is_checked_by_line_and_sent_to_oneself(
    client: FlaskClient, engine: Engine, clock: StillClock, channel_id: int, line: Doors
) -> None:
    draft = begin(client)
    write(client, draft)
    assert "綁定您自己的 LINE，就能傳給自己試看" in page(client, f"{draft}/check")
    version = checked(client, draft)
    send(client, f"{draft}/test", version=version, which="0", once=new_key(clock()))
    assert line.sent == []
    assert "請先在「開始使用」綁定" in page(client, f"{draft}/check")
    bind_mine(client, engine, channel_id, clock)
    assert "用掉額度 1 則" in page(client, f"{draft}/check")
    send(client, f"{draft}/test", version=version, which="0", once=new_key(clock()))
    [(name, to, messages)] = line.sent
    assert (name, to) == ("main", MINE)
    assert messages[0]["text"].startswith("安，")
    assert "https://shop.example/winter" in messages[0]["text"]
    assert "已傳到您的 LINE" in page(client, f"{draft}/check")
    with reading(engine) as session:
        assert "send test message" in [one.action for one in session.scalars(select(AuditEntry))]
    token = {"csrf_token": re.findall(r'csrf_token" value="([^"]+)', page(client, f"{draft}/check"))[0]}
    fine = client.post(f"{draft}/line", data={**token, "version": version}, headers={"HX-Request": "true"})
    assert "都可以發送" in fine.get_data(as_text=True)
    line.refuses = "a property is wrong"
    bad = client.post(f"{draft}/line", data={**token, "version": version}, headers={"HX-Request": "true"})
    assert "LINE 說：a property is wrong" in bad.get_data(as_text=True)
    send(client, f"{draft}/test", version=version, which="0", once=new_key(clock()))
    assert "無法執行：a property is wrong" in page(client, f"{draft}/check")
    send(client, f"{draft}/test", version=version, which="7")
    send(client, f"{draft}/test", version="99", which="0")
    assert len(line.sent) == 1


def test_somebody_who_left_gets_no_test(
    client: FlaskClient, engine: Engine, clock: StillClock, channel_id: int, line: Doors
) -> None:
    bind_mine(client, engine, channel_id, clock)
    with transaction(engine) as session:
        session.get_one(LineAccount, bound(engine)).is_following = False
    send(client, f"/console/start/test/{channel_id}", once=new_key(clock()))
    assert line.sent == []
    assert "已經不是這個官方帳號的好友" in page(client, "/console/start")


def once_of(text: str) -> str:
    """The key of the page's first form that has one."""
    found = re.search(r'name="once" value="([^"]+)', text)
    assert found
    return found[1]


def test_a_test_message_goes_once_however_often_its_form_is_pressed(
    client: FlaskClient, engine: Engine, clock: StillClock, channel_id: int, line: Doors
) -> None:
    bind_mine(client, engine, channel_id, clock)
    address = f"/console/start/test/{channel_id}"
    form = once_of(page(client, "/console/start"))
    for _ in range(2):
        send(client, address, once=form)
        assert "已傳到您的 LINE" in page(client, "/console/start")
    assert len(line.sent) == 1
    send(client, address, once=once_of(page(client, "/console/start")))
    assert len(line.sent) == 2, "a page opened anew is meant anew"
    for wrong in ("", "x", "1-x", "99999999999999999999-x", form.replace(form[:10], "1000000000")):
        send(client, address, once=wrong)
        assert "請重新開啟這一頁" in page(client, "/console/start")
    assert len(line.sent) == 2


def test_each_version_of_a_draft_is_tested_once_by_one_form(
    client: FlaskClient, engine: Engine, clock: StillClock, channel_id: int, line: Doors
) -> None:
    bind_mine(client, engine, channel_id, clock)
    draft = begin(client)
    write(client, draft)
    version = checked(client, draft)
    form = once_of(page(client, f"{draft}/check"))
    for _ in range(3):
        send(client, f"{draft}/test", version=version, which="0", once=form)
    assert len(line.sent) == 1


def test_computing_is_asked_for_once_and_its_progress_is_told(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    assert client.get("/console/segments/computing").headers["HX-Refresh"] == "true"
    send(client, "/console/segments/compute")
    send(client, "/console/segments/compute")
    shown = page(client, "/console/segments")
    assert "等著計算" in shown
    assert "沒有回應" not in shown
    clock.advance(seconds=40)
    assert "背景程式沒有回應" in page(client, "/console/segments?lang=zh")
    with transaction(engine) as session:
        asked = session.scalars(select(WorkRequest)).one()
        assert (asked.work, asked.asked_at) == ("segments", datetime(2026, 11, 2, 4, 0, tzinfo=UTC))
        asked.done_at, asked.problem = clock(), "too little"
        assert [one.action for one in session.scalars(select(AuditEntry))].count("ask for segments") == 1
    assert "上次沒有算成：too little" in page(client, "/console/segments")


def test_a_reader_looks_and_does_nothing(app: Flask, engine: Engine, clock: StillClock, channel_id: int) -> None:
    reader = sign_in(app.test_client(), engine, clock, Role.READER)
    shown = page(reader, "/console/start")
    assert "取得綁定碼" not in shown
    for address in (f"start/line/{channel_id}", f"start/test/{channel_id}", "segments/compute"):
        assert send(reader, f"/console/{address}").status_code == 403


def test_the_sample_is_asked_for_once_and_is_not_taken_for_the_brand_s_own(
    client: FlaskClient, engine: Engine, clock: StillClock, channel_id: int
) -> None:
    assert "載入範例資料" in page(client, "/console/start")
    send(client, "/console/start/sample/load")
    send(client, "/console/start/sample/remove")  # not while it is being loaded
    assert "背景程式正在處理" in page(client, "/console/start")
    assert client.get("/console/start/sample/waiting").status_code == 204
    with transaction(engine) as session:
        asked = session.scalars(select(WorkRequest)).one()
        assert asked.work == "sample load"
        asked.done_at = clock()
        customer = make_customer(session)
        make_order(session, customer)
        session.add(SampleRow(table_name="customer", row_id=customer.id or 0))
    assert client.get("/console/start/sample/waiting").headers["HX-Refresh"] == "true"
    assert "移除範例資料" in page(client, "/console/start")
    assert "orders" not in done(engine)
    assert send(client, "/console/start/sample/eat").status_code == 404
