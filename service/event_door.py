"""POST /events: where the brand's own site or till hands in what people do there.

The body is a JSON list of at most 1,000 events (event_id, customer_id, kind, occurred_at; optional sku, topic, text;
further fields are kept), the key comes as `Authorization: Bearer …`. Answers, all in JSON:

- 202 stored: `{"read", "added", "unchanged", "refused": [{"index", "reason"}]}`, `index` counting from 0. What is
  counted as added is on disk. Sending the same events again changes nothing.
- 422 with the same counts: none of the events could be used.
- 400 not a JSON list of 1 to 1,000; 401 key missing or wrong; 413 more bytes than MAX_BODY_BYTES; 503 not stored, send
  it again. 404 for everybody while no key is set: an empty key would accept what anybody sends.
"""

import hmac
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import structlog
from flask import Flask, Response, jsonify, request
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, OperationalError
from werkzeug.exceptions import RequestEntityTooLarge

from store.clock import Clock
from store.engine import transaction
from store.posted_events import record_events

MAX_EVENTS = 1_000  # in one call: one short transaction

log = structlog.get_logger()


def add_event_door(app: Flask, engine: Engine, *, key: str, zone: ZoneInfo, clock: Clock, max_body_bytes: int) -> None:
    """Add the route to `app`. `key` of "" leaves it closed; `zone` is that of times which name none."""

    @app.post("/events")
    def take_events() -> tuple[Response, int] | tuple[Response, int, dict[str, str]]:
        if not key:
            return _problem("no events are taken here: EVENTS_KEY is not set", 404)
        if not _has_key(key):
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


def _has_key(key: str) -> bool:
    kind, _, given = (request.headers.get("Authorization") or "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), key.encode())


def _problem(sentence: str, status: int) -> tuple[Response, int]:
    return jsonify({"problem": sentence}), status
