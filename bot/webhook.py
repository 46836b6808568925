"""LINE's webhook, in front of the web framework: signature over the raw bytes, one durable inbox row, 200.

Flask costs 200 µs a request and this needs 30, so POST /webhook/<channel> is answered before Flask sees it; all other
paths go on. It never calls LINE, never reads what the events say, never touches a customer: bot/inbox.py does, later.
Source: Messaging API reference, "Webhooks" and "Signature validation"; LINE gives up after 2 seconds.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import orjson
from sqlmodel import SQLModel

from store.clock import Clock
from store.journal import JournalFailed
from store.models import WebhookBody

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/webhook"


@dataclass(frozen=True, slots=True)
class ChannelKeys:
    """What the webhook of one channel needs: its row's id, and the secrets a signature may be made with.

    Two secrets while one is being changed. Without any the channel's webhook does not exist: an empty secret would
    accept what anybody signs.
    """

    channel_id: int
    secrets: tuple[str, ...]


class Append(Protocol):
    """The part of store.journal.Journal used here."""

    def append(self, model: type[SQLModel], row: Mapping[str, object], *more: Mapping[str, object]) -> None:
        """Return when the rows are durable; raise JournalFailed if they are not."""


class WebhookIntake:
    """A WSGI application: webhooks are taken here, everything else goes to `inner_wsgi`.

    Answers: 200 stored, or nothing to store (`events: []`, the Verify button); 400 signed but not a webhook body (kept,
    with its problem); 401 signature missing or wrong; 404 no such channel, or it has no secret; 405 not POST; 413 more
    than `max_body_bytes`; 503 not stored, LINE should send it again. Nothing is stored for 401, 404, 405 and 413.
    """

    def __init__(
        self,
        inner_wsgi: "WSGIApplication",
        channels: Mapping[str, ChannelKeys],
        journal: Append,
        clock: Clock,
        max_body_bytes: int,
    ) -> None:
        self._inner = inner_wsgi
        self._journal = journal
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        open_channels = {
            name: (keys.channel_id, tuple(s.encode() for s in keys.secrets if s)) for name, keys in channels.items()
        }
        paths = {f"{PATH}/{name}": found for name, found in open_channels.items()}
        if len(open_channels) == 1:  # /webhook alone is not ambiguous
            paths[PATH] = next(iter(open_channels.values()))
        self._of_path = {path: found for path, found in paths.items() if found[1]}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(PATH) or path[len(PATH) : len(PATH) + 1] not in ("", "/"):
            return self._inner(environ, start_response)
        status, text = self._take(path, environ)
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
        if status.startswith("405"):
            headers.append(("Allow", "POST"))
        start_response(status, headers)
        return [text]

    def _take(self, path: str, environ: "WSGIEnvironment") -> tuple[str, bytes]:
        """Status line and text of the answer."""
        if environ["REQUEST_METHOD"] != "POST":
            return "405 Method Not Allowed", b"LINE webhooks are POST requests"
        found = self._of_path.get(path)
        if found is None:
            return "404 Not Found", b"no webhook here: unknown channel, or its secret is not set"
        channel_id, secrets = found
        signature = environ.get("HTTP_X_LINE_SIGNATURE")
        if not signature:
            return "401 Unauthorized", b"x-line-signature is missing"
        body = _read_body(environ, self._max_body_bytes)
        if body is None:
            return "413 Content Too Large", b"the body is too large"
        if not _is_signed(body, signature, secrets):
            return "401 Unauthorized", b"x-line-signature does not fit the body"
        event_count, problem = _look_at(body)
        if event_count == 0 and problem is None:
            return "200 OK", b"OK"
        row = {"channel_id": channel_id, "received_at": self._clock(), "body": body, "problem": problem}
        try:
            self._journal.append(WebhookBody, row)
        except JournalFailed:
            return "503 Service Unavailable", b"not stored; please send it again"
        if problem is not None:
            return "400 Bad Request", problem.encode()
        return "200 OK", b"OK"


def _read_body(environ: "WSGIEnvironment", limit: int) -> bytes | None:
    """The whole body, or None if it is longer than `limit` bytes; never reads more than limit + 1.

    Without a Content-Length (chunked) it reads only where the server promises an end, else the body is empty by WSGI.
    """
    stated = environ.get("CONTENT_LENGTH")
    if stated:
        if not stated.isdecimal() or int(stated) > limit:
            return None
        wanted = int(stated)
    else:
        wanted = limit + 1 if environ.get("wsgi.input_terminated") else 0
    body: bytes = environ["wsgi.input"].read(wanted) if wanted else b""
    while len(body) < wanted and (more := environ["wsgi.input"].read(wanted - len(body))):
        body += more  # servers may return less than asked for; a body cut short fails its signature
    return None if len(body) > limit else body


def _is_signed(body: bytes, signature: str, secrets: tuple[bytes, ...]) -> bool:
    """Whether `signature` is the Base64 of HMAC-SHA256(secret, body) for one of the secrets; takes steady time."""
    given = signature.encode("latin-1", "replace")  # compare_digest refuses text outside ASCII
    return any(hmac.compare_digest(b64encode(hmac.digest(secret, body, "sha256")), given) for secret in secrets)


def _look_at(body: bytes) -> tuple[int, str | None]:
    """How many events a body holds, and what is wrong with it (None: nothing). The problem quotes nothing of it."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return 0, f"not JSON: {error.msg} at character {error.pos}"
    if not isinstance(parsed, dict) or not isinstance(events := parsed.get("events"), list):
        return 0, "not an object with a list of events"
    return len(events), None
