"""What a stored webhook body says: pure reading, no database. Nothing is rejected for being unknown to us.

LINE adds event kinds and fields unannounced, so only what is needed is looked at, and each look allows for absence.
Source: Messaging API reference, "Webhook Event Objects", "Common properties".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TIMESTAMP_MS = 253_402_300_799_999  # the last millisecond of the year 9999
MAX_ID_LENGTH = 128  # LINE's ids have 26 to 33 characters


@dataclass(frozen=True, slots=True)
class LineEvent:
    """One event of a webhook, raw in `payload`, with what we go by read out of it."""

    key: str  # webhookEventId; for want of it a hash, the same for a redelivered copy
    kind: str
    channel_id: int
    line_user_id: str | None  # None: no consent, a group event without it, or a failed account link
    is_one_to_one: bool
    timestamp_ms: int  # LINE's; when it states none, the time of receipt
    received_at: datetime
    message_id: str | None  # of a message, a messageEdited or an unsend
    payload: dict[str, Any]

    @property
    def occurred_at(self) -> datetime:
        """LINE's time of the event, aware UTC."""
        return EPOCH + timedelta(milliseconds=self.timestamp_ms)

    @property
    def text(self) -> str | None:
        """The words of a text message; None for all else."""
        message = self.payload.get("message") if self.kind == "message" else None
        text = message.get("text") if isinstance(message, dict) and message.get("type") == "text" else None
        return text if isinstance(text, str) else None

    @property
    def postback_data(self) -> str | None:
        """The data of a postback; None for all else."""
        postback = self.payload.get("postback") if self.kind == "postback" else None
        data = postback.get("data") if isinstance(postback, dict) else None
        return data if isinstance(data, str) else None

    @property
    def reply_token(self) -> str | None:
        """The token to answer with; None without one, and in mode standby, where another holds the chat."""
        return None if self.payload.get("mode") == "standby" else _identifier(self.payload.get("replyToken"))


@dataclass(frozen=True, slots=True)
class BodyRead:
    """A body's events in their order, and what could not be read (None: all could). Both can be given."""

    destination: str | None
    events: list[LineEvent]
    problem: str | None


def read_body(body: bytes, channel_id: int, received_at: datetime) -> BodyRead:
    """The events of a webhook body. Never raises; a problem names positions and types, never content."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return BodyRead(None, [], f"not JSON: {error.msg} at character {error.pos}")
    raw_events = parsed.get("events") if isinstance(parsed, dict) else None
    if not isinstance(raw_events, list):
        return BodyRead(None, [], "not an object with a list of events")
    events = [read_event(raw, channel_id, received_at) for raw in raw_events if isinstance(raw, dict)]
    strange = [str(number) for number, raw in enumerate(raw_events, 1) if not isinstance(raw, dict)]
    problem = f"not an object: event {', '.join(strange[:10])} of {len(raw_events)}" if strange else None
    return BodyRead(_identifier(parsed.get("destination")), events, problem)


def read_event(raw: dict[str, Any], channel_id: int, received_at: datetime) -> LineEvent:
    """One event as we go by it; whatever is missing or of a strange type counts as absent."""
    kind = _identifier(raw.get("type")) or "unknown"
    source = _object(raw.get("source"))
    carrier = raw.get("unsend") if kind == "unsend" else raw.get("message")
    id_field = "messageId" if kind == "unsend" else "id"
    return LineEvent(
        key=_identifier(raw.get("webhookEventId")) or hash_key(raw, channel_id),
        kind=kind,
        channel_id=channel_id,
        line_user_id=_identifier(source.get("userId")),
        is_one_to_one=source.get("type") == "user",
        timestamp_ms=_timestamp_ms(raw.get("timestamp"), received_at),
        received_at=received_at,
        message_id=_identifier(_object(carrier).get(id_field)),
        payload=raw,
    )


def hash_key(raw: Mapping[str, Any], channel_id: int) -> str:
    """A key for an event without an id: equal for copies, which differ only in deliveryContext."""
    lasting = {k: v for k, v in raw.items() if k != "deliveryContext"}
    canonical = orjson.dumps(lasting, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(b'%d:' % channel_id + canonical).hexdigest()}"


def without_words(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of a message event after its sender has unsent it: of the message only id and type are left."""
    message = _object(payload.get("message"))
    kept = {name: message[name] for name in ("id", "type") if name in message}
    return {**payload, "message": {**kept, "unsent": True}}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _identifier(value: Any) -> str | None:
    # NUL can't be stored as text by PostgreSQL, and no id of LINE's has anything unprintable.
    fits = isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and value.isprintable()
    return value if fits else None


def _timestamp_ms(value: Any, received_at: datetime) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_TIMESTAMP_MS:
        return value
    return int(received_at.timestamp() * 1000)
