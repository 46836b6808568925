"""What the console asks of LINE, held against a simulated LINE and what it keeps."""

import re

import pytest
from flask import Flask
from sqlalchemy import Engine, select

from console.frame.site import Site
from console.pages import create_console
from console.start.own_line import make_code
from service.console_doors import ConsoleDoors
from service.settings import Settings
from simulator.channels import ChannelOptions, Friend
from simulator.server import Simulator, SimulatorThread
from store.engine import transaction
from store.models import ConsoleLine, ConsoleUser
from tests.conftest import StillClock
from tests.console.conftest import TAIPEI, page, send, sign_in
from tests.console.test_drafts import begin, step
from tests.factories import make_account, make_channel, make_customer

ME = "U" + "a" * 32


def test_one_form_pressed_twice_is_one_message_at_line(
    engine: Engine, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SimulatorThread(Simulator()) as line:
        line.platform.add_friends([Friend(ME, "我")])
        monkeypatch.setenv("LINE_API_BASE", line.url)
        monkeypatch.setenv("LINE_CHANNEL_ACCESS_TOKEN", ChannelOptions().access_token)
        settings = Settings()
        app = Flask(__name__)
        app.secret_key = "a key of tests"
        app.register_blueprint(create_console(Site(engine, TAIPEI, clock, line=ConsoleDoors(settings))))
        client = sign_in(app.test_client(), engine, clock)
        with transaction(engine) as session:
            channel = make_channel(session, name=settings.channels[0].name)
            account = make_account(session, channel, make_customer(session), line_user_id=ME)
            user_id = session.scalars(select(ConsoleUser)).one().id or 0
            make_code(session, user_id, channel.id or 0, actor="t", now=clock())
            session.get_one(ConsoleLine, (user_id, channel.id)).line_account_id = account.id
            channel_id = channel.id
        keys = re.findall(r'/start/test/.*?name="once" value="([^"]+)', page(client, "/console/start"), re.DOTALL)
        ledger = line.platform.channels[0].ledger
        for _ in range(2):
            send(client, f"/console/start/test/{channel_id}", once=keys[0])
            assert "已傳到您的 LINE" in page(client, "/console/start")
        assert len([entry for entry in ledger.entries if entry]) == 1


def test_the_coupons_of_the_account_are_offered_in_the_editor(
    engine: Engine, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SimulatorThread(Simulator(clock=clock)) as line:
        monkeypatch.setenv("LINE_API_BASE", line.url)
        monkeypatch.setenv("LINE_CHANNEL_ACCESS_TOKEN", ChannelOptions().access_token)
        settings = Settings()
        app = Flask(__name__)
        app.secret_key = "a key of tests"
        app.register_blueprint(create_console(Site(engine, TAIPEI, clock, line=ConsoleDoors(settings))))
        client = sign_in(app.test_client(), engine, clock)
        draft = begin(client)
        assert "還沒有 LINE 頻道" in page(client, f"{draft}/coupons")
        with transaction(engine) as session:
            make_channel(session, name=settings.channels[0].name)
        assert "現在沒有可以用的優惠券" in page(client, f"{draft}/coupons")
        now = int(clock().timestamp())
        fields = {"acquisitionCondition": {"type": "normal"}, "startTimestamp": now, "endTimestamp": now + 60}
        fields |= {"maxUseCountPerTicket": 1, "visibility": "UNLISTED", "timezone": "ASIA_TAIPEI"}
        made = line.platform.channels[0].coupons.create({"title": "<九折>券", **fields}, clock())
        told = page(client, f"{draft}/coupons")
        assert f'<option value="{made["couponId"]}">&lt;九折&gt;券</option>' in told
        assert "有 1 張" in told
        write = {"v0-m0-kind": "coupon", "v0-m0-was": "coupon", "v0-m0-coupon": "", "press": "stay"}
        step(client, draft, "what", **write)
        assert re.search(r'name="v0-m0-coupon"[^>]*list="coupons"', page(client, f"{draft}/what"))
    assert "問不到 LINE：連不到 LINE" in page(client, f"{draft}/coupons")
