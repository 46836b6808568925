"""設定's look at a channel's webhook: a simulated LINE asked over HTTP, whose test comes to our webhook over HTTP."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select
from werkzeug.serving import make_server

from console.access.roles import Role
from service.app import build
from service.channels import channel_ids
from service.settings import Settings
from simulator.channels import ChannelOptions
from simulator.server import Simulator, SimulatorThread
from store.engine import reading
from store.models import AuditEntry, WebhookBody
from tests.conftest import StillClock
from tests.console.conftest import page, plain, send, sign_in

SECRET = "0123456789abcdef0123456789abcdef"


@dataclass
class Joined:
    """A service and a LINE that are joined over HTTP, and somebody who looks."""

    line: SimulatorThread
    url: str  # of the service
    client: FlaskClient
    address: str  # of the part on the webhook

    def at_line(self, url: str | None, *, is_active: bool = True) -> None:
        """What stands in LINE Developers."""
        endpoint = self.line.platform.channels[0].webhook
        endpoint.url, endpoint.is_active = url, is_active

    def test(self, language: str = "zh") -> str:
        answer = send(self.client, f"{self.address}?lang={language}")
        assert answer.status_code == 200
        return plain(answer)


@pytest.fixture
def joined(engine: Engine, clock: StillClock) -> Iterator[Joined]:
    server = make_server("127.0.0.1", 0, lambda *_: [], threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    with SimulatorThread(Simulator([ChannelOptions(secret=SECRET)], clock=clock)) as line:
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            line_channel_secret=SECRET,  # type: ignore[arg-type]
            line_channel_access_token=ChannelOptions().access_token,  # type: ignore[arg-type]
            line_api_base=line.url,
            public_base_url=url,
            secret_key="a key of tests",  # type: ignore[arg-type]
        )
        server.app, close = build(settings, engine, clock)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        client = sign_in(_flask_app(server.app).test_client(), engine, clock)
        channel_id = channel_ids(engine, settings)["main"]
        yield Joined(line, url, client, f"/console/settings/channels/{channel_id}/webhook")
        server.shutdown()
        thread.join()
        server.server_close()
        close()


def _flask_app(wsgi: Any) -> Any:
    """What stands behind the doors of the WSGI callable."""
    while hasattr(wsgi, "_inner"):
        wsgi = wsgi._inner
    return wsgi


def test_the_url_that_line_has_is_told_and_whether_it_is_ours(joined: Joined) -> None:
    assert "LINE 還不知道要把訊息送到哪裡" in page(joined.client, joined.address)
    joined.at_line("https://elsewhere.example/webhook/main")
    shown = page(joined.client, joined.address)
    assert "<code>https://elsewhere.example/webhook/main</code>" in shown
    assert "LINE 把訊息送到別的網址" in shown
    for ours in ("/webhook", "/webhook/main"):
        joined.at_line(joined.url.upper().replace("HTTP", "http") + ours)
        assert 'class="warning"' not in page(joined.client, joined.address)
    joined.at_line(f"{joined.url}/webhook/main", is_active=False)
    assert "Use webhook is off at LINE" in page(joined.client, f"{joined.address}?lang=en")


def test_lines_test_really_comes_here_and_what_came_of_it_is_told(joined: Joined, engine: Engine) -> None:
    joined.at_line(f"{joined.url}/webhook/main")
    told = joined.test()
    assert "通了：LINE 送得到" in told
    assert "OK · 200" in told
    with reading(engine) as session:
        noted = [(one.action, one.detail) for one in session.scalars(select(AuditEntry)) if "webhook" in one.action]
        assert session.scalars(select(WebhookBody)).all() == []  # a test is no event
    assert noted == [("test LINE webhook", {"channel_id": 1, "reason": "OK", "status_code": 200})]


@pytest.mark.parametrize(
    ("path", "secret", "chinese", "english"),
    [
        ("/webhook/other", SECRET, "那裡沒有這個頻道的 webhook", "this channel has no webhook there"),
        ("/webhook/main", "another" * 4, "簽章不符", "its signature doesn"),
        ("/console/nothing", SECRET, "收到的回答是錯誤 400", "the answer was error 400"),
    ],
)
def test_why_it_does_not_work_is_told_in_plain_words(
    joined: Joined, path: str, secret: str, chinese: str, english: str
) -> None:
    channel = joined.line.platform.channels[0]
    channel.options = ChannelOptions(secret=secret)
    joined.at_line(joined.url + path)
    assert chinese in joined.test()
    assert english in joined.test("en")


def test_nobody_listening_a_missing_url_and_a_wrong_token_are_told(joined: Joined) -> None:
    joined.at_line("http://127.0.0.1:1/webhook")
    assert "LINE 連不到這個網址" in joined.test()
    assert "COULD_NOT_CONNECT · Connection failed" in joined.test("en")
    joined.at_line(None)
    assert "問不到 LINE：LINE 上還沒有填 Webhook 網址" in joined.test()
    joined.line.platform._by_token.clear()
    assert "LINE 不接受這個頻道的權杖" in page(joined.client, joined.address)


def test_readers_see_the_channel_and_ask_nothing_of_line(joined: Joined, engine: Engine, clock: StillClock) -> None:
    reader = sign_in(joined.client.application.test_client(), engine, clock, Role.READER)
    assert "/webhook/main" in page(reader, "/console/settings")
    assert reader.get(joined.address).status_code == 403
    assert joined.client.get("/console/settings/channels/99/webhook").status_code == 404
