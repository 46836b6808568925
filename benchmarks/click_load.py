"""Taps at a steady rate, whatever the server does (open loop): `… -m benchmarks.click_load PORT RATE COUNT LINK RUN`.

Each tap is another customer's, so each can be looked for in the database. A latency counts from the moment at which the
tap was due, not from when a connection was free. Prints one line of JSON: how many were answered 302, the customers of
those, p50 and p99 in ms, and taps begun per second. A server that dies in the middle ends the load, not the count.
"""

import asyncio
import json
import sys
import time

import uvloop

from benchmarks.click_apps import KEY
from campaigns.links.tokens import TokenSigner

CONNECTIONS = 64
FIRST_CUSTOMER = 1
AGENT = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120 Mobile Safari/537.36 Line/14.9.0/IAB"


class _Taps:
    def __init__(self, port: int, rate: float, count: int, link_id: int, run_id: int) -> None:
        signer = TokenSigner(KEY)
        self._port, self._rate, self._count = port, rate, count
        self._requests = [
            f"GET /r/{signer.sign(link_id, run_id, n)} HTTP/1.1\r\nHost: b\r\nUser-Agent: {AGENT}\r\n\r\n".encode()
            for n in range(FIRST_CUSTOMER, FIRST_CUSTOMER + count)
        ]
        self._next = 0
        self.stored: list[int] = []
        self.seconds: list[float] = []

    async def run(self) -> dict[str, object]:
        begun = time.perf_counter()
        await asyncio.gather(*(self._connection(begun) for _ in range(CONNECTIONS)))
        lasted = time.perf_counter() - begun
        found = sorted(self.seconds) or [0.0]
        return {
            "stored": self.stored,
            "p50_ms": found[len(found) // 2] * 1000,
            "p99_ms": found[int(len(found) * 0.99)] * 1000,
            "per_second": len(self.seconds) / lasted,
        }

    async def _connection(self, begun: float) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            while self._next < self._count:
                number, self._next = self._next, self._next + 1
                due = begun + number / self._rate
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                writer.write(self._requests[number])
                head = await reader.readuntil(b"\r\n\r\n")
                body = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                await reader.readexactly(body)
                if head.startswith(b"HTTP/1.1 302"):
                    self.stored.append(FIRST_CUSTOMER + number)
                self.seconds.append(time.perf_counter() - due)
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            return  # the server is gone: what it had answered is what counts


if __name__ == "__main__":
    port, rate, count, link_id, run_id = sys.argv[1:]
    taps = _Taps(int(port), float(rate), int(count), int(link_id), int(run_id))
    sys.stdout.write(json.dumps(uvloop.run(taps.run())) + "\n")
