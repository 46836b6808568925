"""POST /events over the real application, on both databases."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine
from sqlmodel import select
from werkzeug.test import TestResponse

from service.app import create_app
from service.settings import Settings
from store.engine import open_engine, reading
from store.journal import Journal
from store.models import BehaviourEvent
from tests.conftest import StillClock

KEY = "0123456789abcdefghijABCDEFGHIJ-_"
EVENT = {"event_id": "1", "customer_id": "a", "kind": "product_view", "occurred_at": "2026-01-05 08:00", "sku": "S"}


@pytest.fixture
def journal(engine: Engine) -> Iterator[Journal]:
    journal = Journal(engine)
    yield journal
    journal.close()


def client_with(engine: Engine, journal: Journal, clock: StillClock, **fields: Any) -> FlaskClient:
    settings = Settings(**{"_env_file": None, **fields})
    return create_app(settings, engine, journal, clock).test_client()


@pytest.fixture
def client(engine: Engine, journal: Journal, clock: StillClock) -> FlaskClient:
    return client_with(engine, journal, clock, events_key=KEY, max_body_bytes=4096)


def post(client: FlaskClient, body: Any, key: str | None = f"Bearer {KEY}") -> TestResponse:
    headers = {"Authorization": key} if key is not None else {}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post("/events", data=data, headers=headers)


def count(engine: Engine) -> int:
    with reading(engine) as session:
        return len(session.exec(select(BehaviourEvent)).all())


def test_what_is_answered_202_is_stored_and_the_bad_ones_are_named_by_place(
    client: FlaskClient, engine: Engine
) -> None:
    answer = post(client, [EVENT, {**EVENT, "event_id": "2", "kind": "message"}, {**EVENT, "event_id": "3"}])
    assert answer.status_code == 202
    taken = "kind is one that only LINE's own events and tapped links have"
    assert answer.json == {"read": 3, "added": 2, "unchanged": 0, "refused": [{"index": 1, "reason": taken}]}
    other = open_engine(engine.url.render_as_string(hide_password=False))
    assert count(other) == 2
    other.dispose()
    assert post(client, [EVENT]).json == {"read": 1, "added": 0, "unchanged": 1, "refused": []}


def test_a_list_without_one_good_event_is_422(client: FlaskClient, engine: Engine) -> None:
    answer = post(client, [{}, 3])
    assert answer.status_code == 422
    assert answer.json is not None
    assert [row["index"] for row in answer.json["refused"]] == [0, 1]
    assert count(engine) == 0


@pytest.mark.parametrize(
    "key", [None, "", "Bearer", "Bearer ", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY, "Bearer é"]
)
def test_without_the_key_nothing_is_taken(client: FlaskClient, engine: Engine, key: str | None) -> None:
    answer = post(client, [EVENT], key)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert count(engine) == 0


@pytest.mark.parametrize("key", [None, "Bearer ", "Bearer", f"Bearer {KEY}"])
def test_without_the_setting_the_door_is_closed(
    engine: Engine, journal: Journal, clock: StillClock, key: str | None
) -> None:
    assert post(client_with(engine, journal, clock), [EVENT], key).status_code == 404
    assert count(engine) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[", 400),
        (b'["\xff"]', 400),
        (b"[NaN]", 400),
        (b"[" * 3000, 400),
        ({"events": []}, 400),
        ([], 400),
        ([1] * 1_001, 400),
        ([{**EVENT, "page": "x" * 5000}], 413),
    ],
    ids=["empty", "cut", "not UTF-8", "NaN", "deep", "an object", "no event", "1,001 events", "large"],
)
def test_what_cannot_be_read_is_a_sentence(client: FlaskClient, engine: Engine, body: Any, status: int) -> None:
    answer = post(client, body)
    assert answer.status_code == status
    assert answer.json is not None
    assert answer.json["problem"]
    assert count(engine) == 0


def test_a_thousand_in_one_call(engine: Engine, journal: Journal, clock: StillClock) -> None:
    client = client_with(engine, journal, clock, events_key=KEY)
    rows = [{**EVENT, "event_id": str(n), "customer_id": f"c{n % 300}"} for n in range(1_000)]
    answer = post(client, rows)
    assert answer.json is not None
    assert (answer.status_code, answer.json["added"]) == (202, 1_000)


def test_a_database_that_is_away_is_503(clock: StillClock) -> None:
    away = open_engine("postgresql://nobody@127.0.0.1:1/nothing")
    journal = Journal(away)
    answer = post(client_with(away, journal, clock, events_key=KEY), [EVENT])
    journal.close()
    assert answer.status_code == 503
    assert answer.json == {"problem": "not stored; please send it again"}
