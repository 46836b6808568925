"""The applications that benchmarks/webhook.py serves under granian, each a factory configured by the environment."""

import base64
import hashlib
import hmac
import os
from typing import TYPE_CHECKING

from flask import Flask, abort, request
from linebot.v3 import WebhookHandler
from linebot.v3.messaging import ApiClient, Configuration, MessagingApi, ReplyMessageRequest, TextMessage
from linebot.v3.webhooks import MessageEvent, TextMessageContent

from bot.webhook import ChannelKeys, WebhookIntake
from store.bodies import open_bodies
from store.clock import system_clock
from store.engine import open_engine
from store.journal import Journal

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 of a channel that exists only here
PATH = "/webhook/main"
CHANNEL_ID = 1


def durable() -> "WSGIApplication":
    """The product's intake in front of a Flask application: 200 when the body is committed."""
    journal = Journal(open_bodies(open_engine(os.environ["BENCH_DATABASE_URL"])))
    channels = {"main": ChannelKeys(CHANNEL_ID, (SECRET,))}
    return WebhookIntake(Flask(__name__), channels, journal, system_clock, 2 * 1024 * 1024)


def empty() -> "WSGIApplication":
    """The least a Flask handler can do: check the signature and answer. Stores nothing."""
    app = Flask(__name__)
    secret = SECRET.encode()

    @app.post(PATH)
    def webhook() -> str:
        made = base64.b64encode(hmac.new(secret, request.get_data(), hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(made, request.headers.get("X-Line-Signature", "")):
            abort(401)
        return "OK"

    return app


def echo() -> "WSGIApplication":
    """A bot as line-bot-sdk's Flask example shows it: the SDK parses, and replies in the request. Stores nothing."""
    app = Flask(__name__)
    configuration = Configuration(access_token="benchmark", host=os.environ["BENCH_LINE_API"])  # noqa: S106
    handler = WebhookHandler(SECRET)

    @app.post(PATH)
    def webhook() -> str:
        handler.handle(request.get_data(as_text=True), request.headers["X-Line-Signature"])
        return "OK"

    @handler.add(MessageEvent, message=TextMessageContent)  # type: ignore[untyped-decorator]
    def answer(event: MessageEvent) -> None:
        with ApiClient(configuration) as api_client:
            messages = [TextMessage(text=event.message.text)]
            MessagingApi(api_client).reply_message(
                ReplyMessageRequest(reply_token=event.reply_token, messages=messages)
            )

    return app
