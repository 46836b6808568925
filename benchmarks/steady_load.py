"""Requests at a steady rate, whatever the server does (open loop). A latency counts from the moment at which a request
was due, not from when a connection was free. A server that dies in the middle ends the load, not the count."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Answered:
    """The `number`-th request was answered `seconds` after it was due, which was `due` seconds after the beginning."""

    number: int
    status: int
    due: float
    seconds: float


def percentile_ms(answers: Sequence[Answered], share: float) -> float:
    """The latency below which `share` (0..1) of the answers lie; 0 for none."""
    found = sorted(answer.seconds for answer in answers)
    return found[min(len(found) - 1, int(len(found) * share))] * 1000 if found else 0.0


async def steady(port: int, rate: float, requests: Sequence[bytes]) -> list[Answered]:
    """Send each of `requests` (whole HTTP requests) to 127.0.0.1 at `rate` a second; what was answered."""
    answers: list[Answered] = []
    numbers = iter(range(len(requests)))
    begun = time.perf_counter()

    async def connection() -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in numbers:
                due = number / rate
                if (wait := begun + due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                writer.write(requests[number])
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
                answers.append(Answered(number, int(head.split(b" ", 2)[1]), due, time.perf_counter() - begun - due))
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            return  # the server is gone: what it had answered is what counts

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return answers
