"""The brand's settings on the console: changed by owners alone, checked, audited."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from campaigns.money.line_plan import read_plan
from campaigns.settings import read_settings
from console.access.roles import Role
from console.frame.line_doors import Coupon, Webhook, WebhookTest
from console.frame.site import Site
from console.pages import create_console
from console.settings.fields import GROUPS
from segmentation.preference.choices import preference_settings
from store.engine import reading, transaction
from store.errors import ExpectedError
from store.models import AuditEntry
from tests.conftest import StillClock
from tests.console.conftest import TAIPEI, page, send, sign_in
from tests.factories import make_channel


@pytest.mark.parametrize("name", list(GROUPS))
def test_every_setting_has_its_field_in_both_languages(client: FlaskClient, name: str) -> None:
    text = page(client, f"/console/settings/{name}")
    for field in GROUPS[name].model.model_fields:
        assert (f'name="{field}"' in text) is (field not in GROUPS[name].apart)
    page(client, f"/console/settings/{name}?lang=en")


def test_settings_are_changed_checked_and_noted(client: FlaskClient, engine: Engine) -> None:
    def change(name: str, **fields: Any) -> Any:
        return send(client, f"/console/settings/{name}", **fields)

    assert change("campaigns", cap_day="2", holidays="2026-12-24\n2026-12-25", needs_approval="on").status_code == 303
    with reading(engine) as session:
        held = read_settings(session)
    assert (held.cap_day, len(held.holidays), held.needs_approval) == (2, 2, True)
    wrong = change("campaigns", cap_day="many", needs_approval="on")
    assert wrong.status_code == 422
    assert 'value="many"' in wrong.get_data(as_text=True)
    assert change("campaigns", cap_day="", needs_approval="on").status_code == 303
    assert change("plan", plans="{").status_code == 422
    assert change("plan", plan="high").status_code == 303
    assert change("segments", cycle="auto").status_code == 303
    assert change("segments", cycle="0").status_code == 422
    assert change("preferences", half_life_days="120", lines='{"topic": {"on": 3}}').status_code == 303
    assert change("preferences", off="9").status_code == 422
    assert change("nothing").status_code == 404
    with reading(engine) as session:
        assert (read_settings(session).cap_day, read_plan(session).plan) == (None, "high")
        topic = preference_settings(session).lines["topic"]
        assert (topic.half_life_days, topic.on, topic.off) == (120, 3, 0.75)
    noted = page(client, "/console/settings/audit")
    assert "修改活動設定" in noted
    assert "修改 LINE 方案" in noted


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
    owner = sign_in(app.test_client(), engine, clock)
    send(owner, f"/console/settings/channels/{first}/check")
    assert "品牌官方帳號" in page(owner, "/console/settings")
    send(owner, f"/console/settings/channels/{second}/check")
    with reading(engine) as session:
        noted = [(one.action, one.detail) for one in session.scalars(select(AuditEntry))]
    assert noted[-1] == ("check LINE channel", {"channel_id": first})
    assert "LINE answered 401" in page(owner, "/console/settings")
    assert send(owner, "/console/settings/channels/99/check").status_code == 404
    send(client, f"/console/settings/channels/{first}/check")
    assert "沒有連到 LINE" in page(client, "/console/settings")
