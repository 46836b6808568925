"""Both ends of the webhook benchmark that are not the product: a load generator, and a LINE that answers replies.

Run as its own process: `python -m benchmarks.webhook_load load PORT REQUESTS EVENTS` prints one line of JSON;
`… steady PORT RATE REQUESTS WINDOW` sends bodies of one event at a steady rate; `… line PORT` answers every POST like a
successful reply until it is killed.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

import uvloop

from benchmarks.steady_load import percentile_ms, steady
from benchmarks.webhook_apps import PATH, SECRET

CONNECTIONS = 32
REPLY = b'{"sentMessages":[{"id":"461230966842064897","quoteToken":"IStG5h1Tz7b"}]}'


def signed_requests(count: int, event_count: int) -> list[bytes]:
    """HTTP requests with text messages of different people, every webhookEventId its own."""
    numbers = itertools.count(time.time_ns() // 1000)
    return [_signed_request([_text_event(next(numbers)) for _ in range(event_count)]) for _ in range(count)]


def _text_event(number: int) -> dict[str, Any]:
    return {
        "type": "message",
        "mode": "active",
        "timestamp": number // 1000,
        "source": {"type": "user", "userId": f"U{number % 5000:032x}"},
        "webhookEventId": f"01K{number:023d}",
        "deliveryContext": {"isRedelivery": False},
        "replyToken": f"{number:032x}",
        "message": {"id": str(number), "type": "text", "text": "請問有去屑洗髮精嗎？", "quoteToken": f"q{number:040x}"},
    }


def _signed_request(events: list[dict[str, Any]]) -> bytes:
    body = json.dumps({"destination": "U" + "d" * 32, "events": events}, separators=(",", ":")).encode()
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"User-Agent: LineBotWebhook/2.0\r\nX-Line-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Client(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last is complete."""

    def __init__(self, requests: Iterator[bytes], seconds: list[float], done: "asyncio.Future[None]") -> None:
        self.requests = requests
        self.seconds = seconds
        self.done = done
        self.received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._send()

    def _send(self) -> None:
        request = next(self.requests, None)
        if request is None:
            self.done.set_result(None)
            self.transport.close()
            return
        self.sent_at = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        self.seconds.append(time.perf_counter() - self.sent_at)
        self.received = b""
        if head.startswith(b"HTTP/1.1 200"):
            self._send()
        elif not self.done.done():
            self.done.set_exception(RuntimeError(f"the server answered {head[:40]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed a connection"))


class _Line(asyncio.Protocol):
    """Answers each complete POST with what LINE says to a reply."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if found and len(body) >= _content_length(head):
            self.received = b""
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(REPLY) + REPLY
            )


def _content_length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0])


async def _load(port: int, requests: list[bytes]) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    waiting = iter(requests)
    seconds: list[float] = []
    started = time.perf_counter()
    dones = []
    for _ in range(CONNECTIONS):
        done: asyncio.Future[None] = loop.create_future()
        dones.append(done)
        await loop.create_connection(lambda done=done: _Client(waiting, seconds, done), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*dones)
    elapsed = time.perf_counter() - started
    seconds.sort()
    p99_ms = seconds[int(len(seconds) * 0.99)] * 1000
    return {"requests": len(seconds), "per_second": len(seconds) / elapsed, "p99_ms": p99_ms}


def _steady(port: int, rate: int, count: int, window: int) -> dict[str, float]:
    """`worst_p99_ms`: of the worst `window` seconds."""
    answers = uvloop.run(steady(port, rate, signed_requests(count, 1)))
    good = [answer for answer in answers if answer.status == 200]
    windows = [[a for a in good if int(a.due) // window == n] for n in range(count // rate // window + 1)]
    return {
        "answered": len(good),
        "p99_ms": percentile_ms(good, 0.99),
        "worst_p99_ms": max(percentile_ms(answers, 0.99) for answers in windows),
        "longest_ms": percentile_ms(good, 1.0),
    }


async def _be_line(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Line, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Do what the command line says."""
    what, *numbers = sys.argv[1:]
    if what == "line":
        uvloop.run(_be_line(int(numbers[0])))
    if what == "steady":
        sys.stdout.write(json.dumps(_steady(*map(int, numbers))) + "\n")
        return
    port, count, event_count = map(int, numbers)
    sys.stdout.write(json.dumps(uvloop.run(_load(port, signed_requests(count, event_count)))) + "\n")


if __name__ == "__main__":
    main()
