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
