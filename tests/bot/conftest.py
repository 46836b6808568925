"""The webhook as LINE meets it: a channel with a secret, the real WSGI callable, the real journal and inbox."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, select
from werkzeug.test import Client, TestResponse

from bot.inbox import process_inbox
from bot.replies import ReplyTexts
from bot.webhook import ChannelKeys, WebhookIntake
from store.bodies import open_bodies
from store.engine import open_engine, reading, table_of, transaction
from store.journal import Journal
from store.models import WebhookBody
from tests.conftest import StillClock
from tests.factories import make_channel

LIMIT = 100_000  # bytes of a body
SECRET = "0123456789abcdef0123456789abcdef"
DESTINATION = "U" + "d" * 32
PERSON = "U4af4980629f1a2b3c4d5e6f708192a3b"
TEXTS = ReplyTexts(welcome="歡迎", refused="不再傳", resumed="恢復了")
SAMPLES = Path(__file__).parent / "webhook_events"


def sign(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def sample_event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))["events"][0]
    return event


def body_of(*events: Any, destination: str = DESTINATION) -> bytes:
    return json.dumps({"destination": destination, "events": events}, ensure_ascii=False).encode()


@dataclass
class Chat:
    """Makes events one after another, each with its own id and time, and keeps the database they end in."""

    engine: Engine
    bodies: Engine
    channel_id: int
    clock: StillClock
    client: Client
    count: int = field(default=100)

    def event(self, kind: str, *, at_ms: int | None = None, user: str | None = PERSON, **more: Any) -> dict[str, Any]:
        self.count += 1
        event: dict[str, Any] = {
            "type": kind,
            "mode": "active",
            "timestamp": int(self.clock().timestamp() * 1000) if at_ms is None else at_ms,
            "webhookEventId": f"01KC{self.count:022d}",
            "deliveryContext": {"isRedelivery": False},
            "replyToken": f"{self.count:032x}",
            "source": {"type": "user", **({"userId": user} if user else {})},
        }
        return event | more

    def text(self, words: str, **more: Any) -> dict[str, Any]:
        message = {"id": more.pop("message_id", f"5{self.count:017d}"), "type": "text", "text": words}
        return self.event("message", message=message, **more)

    def post(self, body: bytes, *, secret: str = SECRET, path: str = "/webhook/main") -> TestResponse:
        return self.client.post(path, data=body, headers={"X-Line-Signature": sign(body, secret)})

    def arrive(self, *events: Any) -> None:
        """One request with these events, answered 200."""
        assert self.post(body_of(*events)).status_code == 200

    def process(self) -> int:
        return process_inbox(self.engine, self.bodies, clock=self.clock, texts=TEXTS)

    def take(self, *events: Any) -> None:
        """These events arrive in one request and are processed."""
        self.arrive(*events)
        assert self.process() == 1

    def rows(self, model: Any, *order: str) -> Sequence[Any]:
        table = table_of(model)
        with reading(self.bodies if model is WebhookBody else self.engine) as session:
            return session.execute(select(table).order_by(*(table.c[name] for name in order))).all()

    def ms(self, **delta: float) -> int:
        """LINE's timestamp of a moment relative to the clock's now."""
        return int((self.clock() + timedelta(**delta)).timestamp() * 1000)


@pytest.fixture
def bodies(engine: Engine) -> Iterator[Engine]:
    """Where bodies wait: on SQLite a file of their own."""
    bodies = open_bodies(engine)
    yield bodies
    bodies.dispose()


@pytest.fixture
def journal(bodies: Engine) -> Iterator[Journal]:
    journal = Journal(bodies)
    yield journal
    journal.close()


@pytest.fixture
def chat(engine: Engine, bodies: Engine, clock: StillClock, journal: Journal) -> Chat:
    with transaction(engine) as session:
        channel_id = make_channel(session, name="main").id or 0
    flask_app = Flask("behind")
    flask_app.add_url_rule("/behind", "behind", lambda: "from Flask")
    intake = WebhookIntake(flask_app, {"main": ChannelKeys(channel_id, (SECRET,))}, journal, clock, LIMIT)
    return Chat(engine, bodies, channel_id, clock, Client(intake))


@pytest.fixture
def open_again(database_url: str) -> Iterator[Callable[[], Engine]]:
    """Makes further engines on the same database, as other processes have."""
    made: list[Engine] = []

    def open_one() -> Engine:
        made.append(open_engine(database_url))
        return made[-1]

    yield open_one
    for engine in made:
        engine.dispose()
