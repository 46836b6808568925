"""LINE's endpoints about a channel's webhook, over HTTP with the SDK's own client."""

import base64
import hashlib
import hmac
import json
import socket

import pytest
import requests
from linebot.v3 import messaging
from linebot.v3.messaging import ApiException, MessagingApi, SetWebhookEndpointRequest

from simulator import webhook_settings
from simulator.server import SimulatorThread
from tests.simulator.conftest import AMY, MakeServer, line_client, slow_rates
from tests.simulator.test_webhooks import SECRET, Listener, act, listener

__all__ = ["listener"]


def tried(client: MessagingApi, url: str | None = None) -> messaging.TestWebhookEndpointResponse:
    return client.test_webhook_endpoint(messaging.TestWebhookEndpointRequest(endpoint=url))


def test_the_url_is_set_told_and_from_then_on_where_events_go(server: SimulatorThread, listener: Listener) -> None:
    client = line_client(server)
    with pytest.raises(ApiException) as refusal:
        client.get_webhook_endpoint()
    assert refusal.value.status == 404
    client.set_webhook_endpoint(SetWebhookEndpointRequest(endpoint=listener.url))
    told = client.get_webhook_endpoint()
    assert (told.endpoint, told.active) == (listener.url, True)
    assert act(server, "say", line_user_id=AMY, text="哈囉").json()["is_answered"] is True
    server.platform.channels[0].webhook.is_active = False  # in LINE Developers: no endpoint does it
    assert client.get_webhook_endpoint().active is False
    assert act(server, "say", line_user_id=AMY, text="哈囉").status_code == 409
    assert tried(client).success is True


@pytest.mark.parametrize(
    "url", ["", "x.example", "http://x.example/webhook", "https://", "https://[x/", "https://x.example/" + "a" * 490]
)
def test_what_line_would_not_take_is_refused(server: SimulatorThread, url: str) -> None:
    token = {"Authorization": f"Bearer {server.platform.channels[0].options.access_token}"}
    address = f"{server.url}/v2/bot/channel/webhook"
    for answer in (
        requests.put(f"{address}/endpoint", json={"endpoint": url}, headers=token, timeout=5),
        requests.post(f"{address}/test", json={"endpoint": url}, headers=token, timeout=5),
    ):
        assert (answer.status_code, answer.json()["message"]) == (400, "Invalid webhook endpoint URL")


def test_a_test_is_a_signed_request_without_events(serve: MakeServer, listener: Listener) -> None:
    server = serve(secret=SECRET)
    client = line_client(server)
    found = tried(client, listener.url)
    assert (found.success, found.status_code, found.reason, found.detail) == (True, 200, "OK", "200")
    ((signature, raw),) = listener.got
    assert signature == base64.b64encode(hmac.new(SECRET.encode(), raw, hashlib.sha256).digest()).decode()
    assert json.loads(raw) == {"destination": server.platform.channels[0].options.bot_user_id, "events": []}
    with pytest.raises(ApiException) as refusal:  # it was tried, not set
        tried(client)
    assert refusal.value.status == 404


def test_why_a_test_failed_is_told_in_lines_words(
    server: SimulatorThread, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = line_client(server)
    listener.statuses = [302, 500]
    for status in (302, 500):
        found = tried(client, listener.url)
        assert (found.success, found.status_code, found.reason, found.detail) == (
            *(False, status),
            *("ERROR_STATUS_CODE", str(status)),
        )
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    found = tried(client, f"http://127.0.0.1:{port}/webhook")
    assert (found.success, found.status_code, found.reason, found.detail) == (
        *(False, 0),
        *("COULD_NOT_CONNECT", "Connection failed"),
    )
    found = tried(client, listener.url.replace("http:", "https:"))
    assert (found.reason, found.detail) == ("COULD_NOT_CONNECT", "TLS handshake failure")
    monkeypatch.setattr(webhook_settings, "TIMEOUT_SECONDS", 0.2)
    listener.wait_seconds = 0.6
    found = tried(client, listener.url)
    assert (found.success, found.reason, found.detail) == (False, "REQUEST_TIMEOUT", "Request timeout")


def test_a_test_is_let_through_sixty_times_an_hour(serve: MakeServer, listener: Listener) -> None:
    client = line_client(serve(rates=slow_rates(webhook_test=1)))
    assert tried(client, listener.url).success is True
    with pytest.raises(ApiException) as refusal:
        tried(client, listener.url)
    assert refusal.value.status == 429
