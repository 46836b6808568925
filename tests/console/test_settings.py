"""The brand's settings on the console: changed by owners alone, checked, audited."""

import re
from collections.abc import Callable
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select
from werkzeug.test import TestResponse

from campaigns.money.line_plan import LinePlan, read_plan
from campaigns.settings import read_settings
from console.access.roles import Role
from console.frame.line_doors import Coupon, Webhook, WebhookTest
from console.frame.site import Site
from console.pages import create_console
from console.settings.fields import GROUPS
from segmentation import settings as segments
from segmentation.preference.choices import preference_settings
from store.engine import reading, table_of, transaction
from store.errors import ExpectedError
from store.models import AuditEntry, BrandSetting
from tests.conftest import StillClock
from tests.console.auditing import watch
from tests.console.conftest import TAIPEI, opened, page, plain, send, sign_in
from tests.factories import LONG_AGO, make_channel

ON_TOPICS = {"lines": "rows", "lines-0-dimension": "topic", "lines-0-on": "3"}


@pytest.mark.parametrize("name", list(GROUPS))
def test_every_setting_has_its_field_in_both_languages(client: FlaskClient, name: str) -> None:
    text = page(client, f"/console/settings/{name}")
    for field in GROUPS[name].model.model_fields:
        assert (f'name="{field}"' in text) is (field not in GROUPS[name].apart)
    page(client, f"/console/settings/{name}?lang=en")


@pytest.mark.parametrize(
    ("kept", "shown", "why"),
    [
        ({"r_days": [1, 2, 3, 10**14], "cycle": 45}, f"1\n2\n3\n{10**14}</textarea>", "R 的門檻"),
        ({"r_days": [1, 2, 3], "cycle": 45}, "1\n2\n3</textarea>", "這裡不能空白"),
        ({"r_days": "soon", "cycle": 45}, "soon</textarea>", "有 1 個地方要改"),
    ],
    ids=["too large", "too few", "of another type"],
)
def test_a_stored_setting_that_may_not_be_any_more_is_shown_with_why_and_can_be_corrected(
    client: FlaskClient, engine: Engine, kept: dict[str, Any], shown: str, why: str
) -> None:
    address = "/console/settings/segments"
    with transaction(engine) as session:
        session.add(BrandSetting(name="segments", value=kept, updated_at=LONG_AGO, updated_by="an earlier version"))
    seen = page(client, address)
    assert shown in seen
    assert why in seen
    assert 'value="45"' in seen
    assert send(client, address, cycle="60").status_code == 422
    mended = {"r_days": "10\n20\n30\n40", **opened(client, address)}
    assert send(client, address, **mended).status_code == 303
    with reading(engine) as session:
        held = segments.read_settings(session, {})
    assert (held.r_days, held.cycle) == ((10, 20, 30, 40), 45)
    assert '<p class="alarm" role="alert">' not in page(client, address)


def test_settings_are_changed_checked_and_noted(client: FlaskClient, engine: Engine) -> None:
    def change(name: str, **fields: Any) -> Any:
        return send(client, address(name), **fields, **opened(client, address(name)))

    assert change("campaigns", cap_day="2", holidays="2026-12-24\n2026-12-25", needs_approval="on").status_code == 303
    with reading(engine) as session:
        held = read_settings(session)
    assert (held.cap_day, len(held.holidays), held.needs_approval) == (2, 2, True)
    wrong = change("campaigns", cap_day="many", needs_approval="on")
    assert wrong.status_code == 422
    assert 'value="many"' in wrong.get_data(as_text=True)
    assert change("campaigns", cap_day="", needs_approval="on").status_code == 303
    assert change("plan", plan="high").status_code == 303
    assert change("segments", cycle="auto").status_code == 303
    assert change("segments", cycle="0").status_code == 422
    assert change("preferences", half_life_days="120", **ON_TOPICS).status_code == 303
    assert change("preferences", off="9").status_code == 422
    assert change("nothing").status_code == 404
    with reading(engine) as session:
        assert (read_settings(session).cap_day, read_plan(session).plan) == (None, "high")
        topic = preference_settings(session).lines["topic"]
        assert (topic.half_life_days, topic.on, topic.off) == (120, 3, 0.75)
    noted = page(client, "/console/settings/audit")
    assert "修改活動設定" in noted
    assert "修改 LINE 方案" in noted


def test_numbers_of_settings_may_be_typed_in_full_width(client: FlaskClient, engine: Engine) -> None:
    typed = {"cycle": "４５", "r_days": "７\n３０\n９０\n１８０", "m_amount": "1,000\n5,000\n１０，０００\n50,000.5"}
    assert send(client, address("segments"), **typed, **opened(client, address("segments"))).status_code == 303
    with reading(engine) as session:
        held = segments.read_settings(session, {})
    assert (held.cycle, held.r_days) == (45, (7, 30, 90, 180))
    assert held.m_amount == tuple(map(Decimal, ("1000", "5000", "10000", "50000.5")))


def test_settings_that_a_colleague_changed_meanwhile_are_not_written_over_unseen(
    client: FlaskClient, engine: Engine
) -> None:
    mine = shown(client, "segments")
    theirs = {**mine, "cycle": "45"}
    for _ in range(2):  # a button that is pressed twice
        assert send(client, address("segments"), **theirs).status_code == 303
    refused = send(client, address("segments"), **{**mine, "loyalty_months": "6"})
    assert (refused.status_code, "有人改過它" in refused.text) == (422, True)
    assert 'value="6"' in refused.text
    with reading(engine) as session:
        assert segments.read_settings(session, {}).cycle == 45
    newer = re.findall(r'name="seen" value="([^"]+)"', refused.text)[0]
    again = send(client, address("segments"), **{**mine, "loyalty_months": "6", "seen": newer})
    assert again.status_code == 303


def shown(client: FlaskClient, name: str) -> dict[str, str]:
    """The fields of a group's form as the page has them."""
    text = page(client, address(name))
    found = re.findall(r'<input type="(?:text|hidden)" name="([^"]+)"[^>]* value="([^"]*)"', text)
    choices = re.findall(r'<select name="([^"]+)"[^>]*>(?:(?!</select>).)*?<option value="([^"]*)" selected>', text)
    return {full: unescape(value) for full, value in (*found, *choices) if full != "csrf_token"}


def address(name: str) -> str:
    return f"/console/settings/{name}"


def wrong(answer: TestResponse) -> dict[str, str]:
    """Field -> what is told at it."""
    text = plain(answer)
    told = dict(re.findall(r'class="field-error" id="wrong-([^"]+)">([^<]*)<', text))
    marked = set(re.findall(r'aria-describedby="wrong-([^"]+)"', text))
    assert marked <= told.keys()
    return told


def test_the_table_of_plans_is_a_form_of_rows(client: FlaskClient, engine: Engine) -> None:
    fields = shown(client, "plan")
    assert (fields["plans-1-name"], fields["plans-1-monthly_fee"], fields["plans-1-messages"]) == (
        "中用量",
        "800",
        "3000",
    )
    assert (fields["plans-2-add_on-0-first"], fields["plans-2-add_on-0-price"]) == ("1", "0.2")

    added = send(client, address("plan"), **fields, press="add-plans")
    assert (added.status_code, 'name="plans-3-name" autofocus' in added.text) == (200, True)
    tiered = send(client, address("plan"), **fields, press="add-plans-2")
    assert 'name="plans-2-add_on-1-first" autofocus' in tiered.text
    with reading(engine) as session:
        assert read_plan(session) == LinePlan()  # nothing was stored

    more = {
        "plans-2-add_on-1-first": "50,001",
        "plans-2-add_on-1-price": "0.15",
        "plans-4-name": "企業",
        "plans-3-name": "",
    }
    more |= {"plans-4-monthly_fee": "5000", "plans-4-messages": "30,000"}
    assert send(client, address("plan"), **{**fields, **more}).status_code == 303
    with reading(engine) as session:
        held = read_plan(session)
    assert list(held.plans) == ["light", "medium", "high", "企業"]
    assert [(tier.first, str(tier.price)) for tier in held.plans["high"].add_on] == [(1, "0.2"), (50_001, "0.15")]
    assert (held.plans["企業"].messages, held.plans["企業"].add_on, held.plan) == (30_000, (), "medium")
    assert send(client, address("plan"), **shown(client, "plan")).status_code == 303
    assert "沒有任何更動" in page(client, address("plan"))

    dropped = send(client, address("plan"), **shown(client, "plan"), press="drop-plans-0")
    assert 'value="輕用量"' not in dropped.text
    gone = {name: value for name, value in shown(client, "plan").items() if not name.startswith("plans-1-")}
    refused = send(client, address("plan"), **gone)
    assert refused.status_code == 422
    assert "方案表裡沒有目前的方案「medium」" in refused.text


@pytest.mark.parametrize(
    ("fields", "cell", "words"),
    [
        ({"plans-0-monthly_fee": "很便宜"}, "plans-0-monthly_fee", "這裡要寫一個數字。"),
        ({"plans-0-messages": ""}, "plans-0-messages", "這裡不能空白。"),
        ({"plans-0-messages": "-1"}, "plans-0-messages", "不能小於 0。"),
        ({"plans-1-name": ""}, "plans-1-name", "這裡不能空白。"),
        ({"plans-2-add_on-0-price": "0.12345"}, "plans-2-add_on-0-price", "小數最多 4 位。"),
        ({"plans-2-add_on-0-first": "2"}, "plans-2", "加購的級距要從第 1 則開始，一個比一個大"),
        ({"plans-1-add_on-0-first": "1"}, "plans-1-add_on-0-price", "這裡不能空白。"),
        ({"plans-3-messages": "9"}, "plans-3-name", "這裡不能空白。"),
        ({"plans-3-name": "medium"}, "plans-3-name", "這和前面的一列重複了。"),
        ({"prices_as_of": "今年"}, "prices_as_of", "日期要像 2026-12-24 這樣寫。"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_at_its_cell(
    client: FlaskClient, engine: Engine, fields: dict[str, str], cell: str, words: str
) -> None:
    answer = send(client, address("plan"), **{**shown(client, "plan"), **fields})
    assert answer.status_code == 422
    assert wrong(answer) == {cell: words}
    for name, value in fields.items():
        assert f'name="{name}"' in answer.text
        assert f'value="{value}"' in answer.text  # as it was typed
    with reading(engine) as session:
        assert read_plan(session) == LinePlan()


def test_preferences_have_rows_for_lines_weights_and_coupons(client: FlaskClient, engine: Engine) -> None:
    rows = {
        **ON_TOPICS,
        "lines-1-dimension": "price",
        "lines-1-value": "價格敏感",
        "lines-1-share_on": "0.4",
        "event_weights": "rows",
        "event_weights-0-kind": "search",
        "event_weights-0-weight": "0.4",
        "coupon_styles": "rows",
        "coupon_styles-0-code": "SALE*",
        "coupon_styles-0-style": "打折",
    }
    in_words = {"event_weights-1-kind": "加入購物車", "event_weights-1-weight": "0.5"}
    given = {**rows, **in_words, **opened(client, address("preferences"))}
    assert send(client, address("preferences"), **given).status_code == 303
    fields = shown(client, "preferences")
    assert rows.items() <= fields.items()
    with reading(engine) as session:
        held = preference_settings(session)
    assert (held.lines["topic"].on, held.lines["price=價格敏感"].share_on) == (3, 0.4)
    assert held.event_weights["add_to_cart"] == 0.5
    assert "加入購物車" not in held.event_weights
    assert (held.event_weights["search"], held.coupon_styles) == (0.4, {"SALE*": "打折"})
    for wrongly, cell, words in (
        ({"lines-0-off": "9"}, "lines-0", "「topic」取下門檻比貼上門檻高"),
        ({"lines-0-share_on": "2"}, "lines-0-share_on", "不能大於 1。"),
        ({"lines-0-dimension": ""}, "lines-0-dimension", "這裡不能空白。"),
        ({"event_weights-0-weight": ""}, "event_weights-0-weight", "這裡不能空白。"),
        ({"event_weights-0-weight": "很多"}, "event_weights-0-weight", "這裡要寫一個數字。"),
        ({"half_life_days": "0"}, "half_life_days", "不能小於 1。"),
    ):
        answer = send(client, address("preferences"), **{**fields, **wrongly})
        assert (answer.status_code, wrong(answer)) == (422, {cell: words})
    cleared = {name: "" if name.startswith("event_weights-") else value for name, value in fields.items()}
    assert send(client, address("preferences"), **cleared).status_code == 303
    with reading(engine) as session:
        assert "search" not in preference_settings(session).event_weights


def test_who_may_not_change_settings_sees_their_rows_and_no_button(client_of: Callable[[Role], FlaskClient]) -> None:
    text = page(client_of(Role.READER), address("plan"))
    assert 'name="plans-0-name" disabled' in text
    assert 'name="press"' not in text


def test_only_owners_change_and_see_the_audit_log(client_of: Callable[[Role], FlaskClient]) -> None:
    marketer = client_of(Role.MARKETER)
    page(marketer, "/console/settings/campaigns")
    assert send(marketer, "/console/settings/campaigns", cap_day="1").status_code == 403
    assert marketer.get("/console/settings/audit").status_code == 403
    assert "稽核紀錄" not in page(marketer, "/console/settings")


class Doors:
    """LINE's answer to who a token is for."""

    def who_is(self, channel: str) -> str:
        if channel != "main":
            raise ExpectedError("LINE answered 401")
        return "品牌官方帳號"

    def webhook(self, channel: str) -> Webhook:
        raise NotImplementedError

    def test_webhook(self, channel: str) -> WebhookTest:
        raise NotImplementedError

    def coupons(self, channel: str, *, most: int) -> list[Coupon]:
        raise NotImplementedError

    def validate(self, channel: str, messages: list[dict[str, Any]]) -> None:
        raise NotImplementedError

    def send_test(self, channel: str, to: str, messages: list[dict[str, Any]], retry_key: str) -> None:
        raise NotImplementedError


def test_a_channels_token_is_checked_with_line(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    assert "還沒有頻道" in page(client, "/console/settings")
    with transaction(engine) as session:
        first, second = make_channel(session, name="main").id, make_channel(session, name="other").id
    app = Flask(__name__)
    app.secret_key = "a key of tests"
    app.register_blueprint(create_console(Site(engine, TAIPEI, clock, line=Doors())))
    watch(app, engine)
    owner = sign_in(app.test_client(), engine, clock)
    send(owner, f"/console/settings/channels/{first}/check")
    assert "品牌官方帳號" in page(owner, "/console/settings")
    send(owner, f"/console/settings/channels/{second}/check")
    with reading(engine) as session:
        noted = [
            (one.action, one.detail) for one in session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id))
        ]
    assert noted[-1] == ("check LINE channel", {"channel_id": first})
    assert "LINE answered 401" in page(owner, "/console/settings")
    assert send(owner, "/console/settings/channels/99/check").status_code == 404
    send(client, f"/console/settings/channels/{first}/check")
    assert "沒有連到 LINE" in page(client, "/console/settings")
