"""POST /events: where the brand's own site or till hands in what people do there.

The body is a JSON list of at most 1,000 events (event_id, customer_id, kind, occurred_at; optional sku, topic, text;
further fields are kept), the key comes as `Authorization: Bearer …`. Answers, all in JSON:

- 202 stored: `{"read", "added", "unchanged", "refused": [{"index", "reason"}]}`, `index` counting from 0. What is
  counted as added is on disk. Sending the same events again changes nothing.
- 422 with the same counts: none of the events could be used.
- 400 not a JSON list of 1 to 1,000; 401 key missing or wrong; 413 more bytes than MAX_BODY_BYTES; 503 not stored, send
  it again. 404 for everybody while there is no key: an empty key would accept what anybody sends.

A key is EVENTS_KEY or one made on the console (store/api_keys.py).
"""

import hmac
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import structlog
from flask import Flask, Response, jsonify, request
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, OperationalError
from werkzeug.exceptions import RequestEntityTooLarge

from store.api_keys import good_key, has_keys, is_use_old, note_use
from store.clock import Clock
from store.engine import reading, transaction
from store.posted_events import record_events

MAX_EVENTS = 1_000  # in one call: one short transaction

log = structlog.get_logger()


def add_event_door(app: Flask, engine: Engine, *, key: str, zone: ZoneInfo, clock: Clock, max_body_bytes: int) -> None:
    """Add the route to `app`. `key` of "" leaves it closed; `zone` is that of times which name none."""

    @app.post("/events")
    def take_events() -> tuple[Response, int] | tuple[Response, int, dict[str, str]]:
        given, now = _given_key(), clock()
        is_ours = bool(key) and hmac.compare_digest(given.encode(), key.encode())
        try:
            of_program = None if is_ours else _key_of_program(engine, given, now)
            if not is_ours and of_program is None and not key and not _any_keys(engine):
                return _problem("no events are taken here: no key was made, and EVENTS_KEY is not set", 404)
        except OperationalError as error:
            log.error("key_not_looked_up", error=type(error.orig).__name__)
            return _problem("not stored; please send it again", 503)
        if not is_ours and of_program is None:
            answer, status = _problem("the key is missing or wrong: send it as Authorization: Bearer …", 401)
            return answer, status, {"WWW-Authenticate": 'Bearer realm="events"'}
        request.max_content_length = max_body_bytes
        try:
            rows = msgspec.json.decode(request.get_data(cache=False))
        except RequestEntityTooLarge:
            return _problem(f"the body is larger than {max_body_bytes} bytes", 413)
        except (ValueError, RecursionError):
            return _problem("the body is not JSON in UTF-8", 400)
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_EVENTS:
            return _problem(f"the body must be a list of 1 to {MAX_EVENTS} events", 400)
        try:
            with transaction(engine) as session:
                posted = record_events(session, rows, zone=zone, now=clock())
        except (OperationalError, IntegrityError) as error:  # the database is away, or a customer was merged meanwhile
            log.error("events_not_stored", error=type(error.orig).__name__, count=len(rows))
            return _problem("not stored; please send it again", 503)
        counts: dict[str, Any] = {"read": len(rows), "added": posted.added, "unchanged": posted.unchanged}
        refused = [{"index": place, "reason": reason} for place, reason in posted.refused]
        return jsonify({**counts, "refused": refused}), 202 if len(refused) < len(rows) else 422


def _given_key() -> str:
    kind, _, given = (request.headers.get("Authorization") or "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else ""


def _any_keys(engine: Engine) -> bool:
    with reading(engine) as session:
        return has_keys(session)


def _key_of_program(engine: Engine, given: str, now: datetime) -> int | None:
    """The id of the console's key that was given; its use is noted."""
    if not given:
        return None
    with reading(engine) as session:
        found = good_key(session, given)
    if found is None:
        return None
    if is_use_old(found, now):
        with transaction(engine) as session:
            note_use(session, found.id or 0, now)
    return found.id


def _problem(sentence: str, status: int) -> tuple[Response, int]:
    return jsonify({"problem": sentence}), status
