"""API 金鑰: shown once, stored as a hash, good at the door for events until it is revoked."""

import re
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select
from werkzeug.test import TestResponse

from console.access.roles import Role
from service.event_door import add_event_door
from store.engine import reading, table_of
from store.models import ApiKey, AuditEntry, BehaviourEvent
from tests.conftest import StillClock
from tests.console.conftest import TAIPEI, page, send

ADDRESS = "/console/settings/keys"


def door(engine: Engine, clock: StillClock, key: str = "") -> Callable[[str], TestResponse]:
    app = Flask(__name__)
    add_event_door(app, engine, key=key, zone=TAIPEI, clock=clock, max_body_bytes=10_000)
    event: dict[str, Any] = {"event_id": "1", "customer_id": "m", "kind": "page_view", "occurred_at": "2026-11-01"}
    client = app.test_client()
    return lambda given: client.post("/events", json=[event], headers={"Authorization": f"Bearer {given}"})


def made(client: FlaskClient) -> str:
    shown = send(client, ADDRESS, ADDRESS, name="網站").get_data(as_text=True)
    found = re.search(r'value="(rt_[\w-]{43})"', shown)
    assert found
    return found[1]


def test_a_key_is_shown_once_and_stored_as_a_hash(client: FlaskClient, engine: Engine) -> None:
    assert "還沒有金鑰" in page(client, ADDRESS)
    key = made(client)
    again = page(client, ADDRESS)
    assert key not in again
    assert f"…{key[-4:]}" in again
    with reading(engine) as session:
        stored = session.scalars(select(ApiKey)).one()
        assert key not in str(stored.model_dump())
        assert (len(stored.key_hash), stored.name) == (64, "網站")
        assert [one.action for one in session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id))][
            -1
        ] == "make API key"


def test_a_key_opens_the_door_until_it_is_revoked(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    send_events = door(engine, clock)
    assert send_events("anything").status_code == 404
    key = made(client)
    assert send_events("anything").status_code == 401
    assert send_events("").status_code == 401
    assert send_events(key).status_code == 202
    with reading(engine) as session:
        one = session.scalars(select(ApiKey)).one()
        assert one.used_at == clock()
        assert len(session.scalars(select(BehaviourEvent)).all()) == 1
    assert send(client, f"{ADDRESS}/{one.id}/revoke", ADDRESS).status_code == 303
    assert send_events(key).status_code == 404
    assert "已撤銷" in page(client, ADDRESS)
    with reading(engine) as session:
        assert [entry.action for entry in session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id))][
            -1
        ] == "revoke API key"
    assert send(client, f"{ADDRESS}/99/revoke", ADDRESS).status_code == 404


def test_the_key_of_the_settings_works_beside_them(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    send_events = door(engine, clock, key="of the settings")
    key = made(client)
    assert [send_events(given).status_code for given in ("of the settings", key, "of")] == [202, 202, 401]


def test_only_owners_see_and_make_keys(client_of: Callable[[Role], FlaskClient]) -> None:
    marketer = client_of(Role.MARKETER)
    assert marketer.get(ADDRESS).status_code == 403
    assert send(marketer, ADDRESS, name="x").status_code == 403


def test_a_key_needs_a_name(client: FlaskClient, engine: Engine) -> None:
    assert send(client, ADDRESS, ADDRESS, name=" ").status_code == 422
    with reading(engine) as session:
        assert session.scalars(select(ApiKey)).all() == []
