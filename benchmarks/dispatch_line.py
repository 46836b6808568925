"""LINE for the dispatch benchmarks, in a process of its own, which says at /proof whom it was asked to send to.

`python -m benchmarks.dispatch_line PORT simulator PEOPLE` is the product's simulator with its rates, checks and ledger;
`… PORT lean` only counts, remembers retry keys and answers: the simulator takes 0.3 ms of processor time a push, too
much where the sender itself is to be the limit. `… PORT simulator PEOPLE UNLIMITED` has no rates.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter, deque
from typing import Any, cast

import uvloop
from aiohttp import web

from simulator.channels import ChannelOptions, Friend
from simulator.rates import Rate
from simulator.server import Simulator, loop_factory, walk_young_objects_only

SENT = b'{"sentMessages":[{"id":"461230966842064897","quoteToken":"IStG5h1Tz7b"}]}'
_TO = re.compile(rb"U[0-9a-f]{32}")
_NO_LIMIT = Rate(1_000_000, 1.0)


def user_id(number: int) -> str:
    """The LINE user id of a benchmark's person."""
    return f"U{number:032x}"


def _proof(per_person: Counter[str], repeats: int, peaks: dict[str, int], refused: int) -> dict[str, Any]:
    """`times`: how often sent to -> people; `repeats` keys came again and were answered 409; `peaks`: the most requests
    of each kind that were let through within any one second; `refused` for being too many."""
    times = Counter(per_person.values())
    return {"times": times, "repeats": repeats, "peaks": peaks, "refused": refused}


async def _simulate(port: int, people: int, *, is_limited: bool) -> None:
    rates = {} if is_limited else {"push": _NO_LIMIT, "multicast": _NO_LIMIT}
    simulator = Simulator([ChannelOptions(rates=rates)], is_live=False)
    simulator.platform.add_friends(Friend(user_id(n), "會員") for n in range(1, people + 1))
    walk_young_objects_only()
    channel = simulator.platform.channels[0]

    async def proof(_: web.Request) -> web.Response:
        seen = channel.rates_seen()
        per_person = Counter(user for entry in channel.ledger.entries for user in entry.to)
        answered = sum(figures["let_through"] for figures in seen.values())
        return web.json_response(
            _proof(
                per_person,
                answered - len(channel.ledger.entries),
                {name: figures["peak_in_one_second"] for name, figures in seen.items()},
                sum(figures["refused"] for figures in seen.values()),
            )
        )

    app = simulator.create_app()
    app.add_routes([web.get("/proof", proof)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


class _Count:
    """What the lean LINE keeps."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.per_person: Counter[str] = Counter()
        self.recent: dict[str, deque[float]] = {}
        self.peaks: dict[str, int] = {}
        self.repeats = 0

    def is_new(self, name: str, key: bytes, to: list[bytes]) -> bool:
        """Count one request; False when its key was accepted before."""
        now = time.monotonic()
        recent = self.recent.setdefault(name, deque())
        recent.append(now)
        while recent[0] <= now - 1.0:
            recent.popleft()
        self.peaks[name] = max(self.peaks.get(name, 0), len(recent))
        if key in self.keys:
            self.repeats += 1
            return False
        self.keys.add(key)
        self.per_person.update([user.decode() for user in to])
        return True


class _Lean(asyncio.Protocol):
    """Answers each complete request; a client sends the next one only after the answer."""

    def __init__(self, count: _Count) -> None:
        self.count = count
        self.received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        headers = head.lower()
        length = int(headers.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if not found or len(body) < length:
            return
        self.received = b""
        path = head.split(b" ", 2)[1].decode()
        if path == "/proof":
            proof = _proof(self.count.per_person, self.count.repeats, self.count.peaks, 0)
            self._answer(b"200 OK", json.dumps(proof).encode())
            return
        key = headers.partition(b"x-line-retry-key:")[2].split(b"\r\n", 1)[0].strip()
        to = _TO.findall(body.partition(b',"messages":')[0])
        is_new = self.count.is_new(path.rpartition("/")[2], key, to)
        self._answer(b"200 OK" if is_new else b"409 Conflict", SENT)

    def _answer(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nX-Line-Request-Id: b\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, len(body)) + body)


async def _count_only(port: int) -> None:
    count = _Count()
    server = await asyncio.get_running_loop().create_server(lambda: _Lean(count), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Do what the command line says."""
    port, kind, *more = sys.argv[1:]
    if kind == "lean":
        uvloop.run(_count_only(int(port)))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_simulate(int(port), int(more[0]), is_limited=len(more) == 1))


if __name__ == "__main__":
    main()
