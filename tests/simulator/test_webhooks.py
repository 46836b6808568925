"""Webhooks over real HTTP: signature, form, redelivery; and people made to act by the control API."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from linebot.v3 import WebhookParser
from linebot.v3.webhooks import (
    AccountLinkEvent,
    FollowEvent,
    ImageMessageContent,
    MessageEvent,
    PostbackEvent,
    StickerMessageContent,
    TextMessageContent,
    UnfollowEvent,
    UnsendEvent,
)

from simulator import webhooks
from simulator.server import SimulatorThread
from tests.conftest import StillClock
from tests.simulator.conftest import AMY, CAT, STRANGER, MakeServer, get, post

SECRET = "0123456789abcdef0123456789abcdef"


class Listener:
    """A service that keeps what it is told, answering with the statuses given, then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.wait_seconds = 0.0
        self.got: list[tuple[str, bytes]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                listener.got.append((self.headers["X-Line-Signature"], body))
                time.sleep(listener.wait_seconds)
                self.send_response(listener.statuses.pop(0) if listener.statuses else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/webhook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self) -> list[dict[str, Any]]:
        return [event for _, body in self.got for event in json.loads(body)["events"]]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def act(server: SimulatorThread, what: str, **body: str) -> requests.Response:
    return requests.post(f"{server.url}/simulator/{what}", json=body, timeout=10)


def test_a_word_said_arrives_signed_with_a_reply_token_that_works(
    serve: MakeServer, listener: Listener, clock: StillClock
) -> None:
    server = serve(secret=SECRET, simulator={"webhook_url": listener.url})
    assert act(server, "say", line_user_id=AMY, text="請問還有貨嗎").json() == {"webhooks": 1, "is_answered": True}
    signature, raw = listener.got[0]
    assert signature == base64.b64encode(hmac.new(SECRET.encode(), raw, hashlib.sha256).digest()).decode()
    document = json.loads(raw)
    assert document["destination"] == server.platform.channels[0].options.bot_user_id
    event = document["events"][0]
    assert event["message"]["text"] == "請問還有貨嗎"
    assert event["timestamp"] == int(clock().timestamp() * 1000)
    body = {"replyToken": event["replyToken"], "messages": [{"type": "text", "text": "有的"}]}
    assert post(server, "/v2/bot/message/reply", body).status_code == 200


def test_every_builder_makes_what_the_sdk_understands(clock: StillClock) -> None:
    at, token = clock(), "t" * 32
    made = [
        (webhooks.follow(AMY, at, token), FollowEvent),
        (webhooks.unfollow(AMY, at), UnfollowEvent),
        (webhooks.text(AMY, at, token, "哈囉"), MessageEvent),
        (webhooks.sticker(AMY, at, token), MessageEvent),
        (webhooks.image(AMY, at, token), MessageEvent),
        (webhooks.postback(AMY, at, token, "a=1", {"date": "2026-11-02"}), PostbackEvent),
        (webhooks.unsend(AMY, at, "123"), UnsendEvent),
        (webhooks.account_link(AMY, at, token, "nonce", is_ok=True), AccountLinkEvent),
        (webhooks.account_link(None, at, None, "nonce", is_ok=False), AccountLinkEvent),
    ]
    raw = webhooks.body_of("U" + "0" * 32, [event for event, _ in made])
    parsed = WebhookParser(SECRET).parse(raw.decode(), webhooks.sign(SECRET, raw))
    assert [type(event) for event in parsed] == [kind for _, kind in made]
    contents = [type(event.message) for event in parsed if isinstance(event, MessageEvent)]
    assert contents == [TextMessageContent, StickerMessageContent, ImageMessageContent]


def test_ulids_are_26_characters_ascending_by_time_and_never_the_same(clock: StillClock) -> None:
    now = clock()
    same_moment = {webhooks.new_ulid(now) for _ in range(1000)}
    assert len(same_moment) == 1000
    assert {len(ulid) for ulid in same_moment} == {26}
    assert max(same_moment) < webhooks.new_ulid(now + timedelta(milliseconds=1))


def test_following_and_blocking_tell_the_service_once_and_change_who_is_delivered(
    serve: MakeServer, listener: Listener
) -> None:
    server = serve(simulator={"webhook_url": listener.url})
    for what in ("follow", "follow", "unfollow", "unfollow", "follow"):
        act(server, what, line_user_id=STRANGER).raise_for_status()
    kinds = [(event["type"], event.get("follow")) for event in listener.events()]
    assert kinds == [
        ("follow", {"isUnblocked": False}),
        ("unfollow", None),
        ("follow", {"isUnblocked": True}),
    ]
    assert get(server, f"/v2/bot/profile/{STRANGER}").status_code == 200


def test_one_who_blocked_the_account_can_not_write_to_it(serve: MakeServer, listener: Listener) -> None:
    server = serve(simulator={"webhook_url": listener.url})
    assert act(server, "say", line_user_id=CAT, text="哈囉").json()["webhooks"] == 0
    assert listener.got == []


def test_a_failed_webhook_is_redelivered_with_the_same_id(serve: MakeServer, listener: Listener) -> None:
    server = serve(simulator={"webhook_url": listener.url})
    sender = server.simulator.sender
    sender.redelivery_after_seconds = (0.01, 0.01)
    listener.statuses = [500, 404]
    assert act(server, "say", line_user_id=AMY, text="哈囉").json()["is_answered"] is True
    events = listener.events()
    assert [event["deliveryContext"]["isRedelivery"] for event in events] == [False, True, True]
    assert len({(event["webhookEventId"], event["timestamp"], event["replyToken"]) for event in events}) == 1


def test_a_webhook_that_is_never_answered_is_given_up(serve: MakeServer, listener: Listener) -> None:
    server = serve(simulator={"webhook_url": listener.url})
    sender = server.simulator.sender
    sender.redelivery_after_seconds = (0.01,)
    sender.timeout_seconds = 0.2
    listener.wait_seconds = 0.5
    assert act(server, "say", line_user_id=AMY, text="哈囉").json()["is_answered"] is False
    state = requests.get(f"{server.url}/simulator", timeout=5).json()
    assert state["webhooks"] == {"sent": 1, "answered": 0, "redelivered": 1, "given_up": 1}


def test_without_a_webhook_url_acting_now_is_refused(server: SimulatorThread) -> None:
    answer = act(server, "say", line_user_id=AMY, text="哈囉")
    assert answer.status_code == 409
    assert act(server, "say", line_user_id=AMY).status_code == 400


def test_people_can_be_added_and_are_listed(server: SimulatorThread) -> None:
    people: Any = [{"line_user_id": STRANGER, "display_name": "新人", "is_following": False}]
    requests.post(f"{server.url}/simulator/people", json={"people": people}, timeout=5).raise_for_status()
    listed = requests.get(f"{server.url}/simulator/people", timeout=5).json()
    assert [person["line_user_id"] for person in listed if not person["is_following"]] == [CAT, STRANGER]
    wrong = requests.post(f"{server.url}/simulator/people", json={"people": [{"name": "x"}]}, timeout=5)
    assert wrong.status_code == 400
    assert requests.get(f"{server.url}/simulator/people?channel=none", timeout=5).status_code == 404
