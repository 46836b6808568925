"""The pacer: all workers together stay under LINE's rate for a channel and endpoint.

A row says when the next call may go out; a worker takes a lease of several permits by moving it on (GCRA, the generic
cell rate algorithm, with no burst). LINE's limits ("Rate limits"): push 2,000/s, multicast 200/s; the settings pace a
little below, as its token bucket's size is not told.
"""

import asyncio
import time
from collections.abc import Callable

from sqlalchemy import Engine, update

from store.engine import insert_for, table_of, transaction
from store.models import SendPace

LEASE_SECONDS = 0.05  # permits taken at once, as time: longer saves transactions, shorter shares more evenly
# A permit not used in time is void, or a stalled worker would catch up in a burst. At 0.97 of LINE's rate, permits up
# to 30 ms old keep every window of one second at or below the limit: 0.97 x 1.03 < 1.
STALE_US = 30_000


def now_us() -> int:
    """Microseconds since 1970. All machines that share a channel need clocks in step (NTP)."""
    return time.time_ns() // 1_000


def lease(engine: Engine, channel_id: int, endpoint: str, *, count: int, per_second: float, at_us: int) -> int:
    """Take `count` permits; returns when the first may be used (microseconds), the others follow at 1/per_second."""
    width = int(count * 1_000_000 / per_second)
    pace = table_of(SendPace)
    with transaction(engine) as session:
        session.execute(
            insert_for(session, SendPace)
            .values(channel_id=channel_id, endpoint=endpoint, free_at_us=at_us)
            .on_conflict_do_nothing()
        )
        mine = (pace.c.channel_id == channel_id, pace.c.endpoint == endpoint)
        # Time that nobody used is not saved up: the limit holds in every single second.
        session.execute(update(pace).where(*mine, pace.c.free_at_us < at_us).values(free_at_us=at_us))
        free_at: int = session.execute(
            update(pace).where(*mine).values(free_at_us=pace.c.free_at_us + width).returning(pace.c.free_at_us)
        ).scalar_one()
    return free_at - width


def hold_back(engine: Engine, channel_id: int, endpoint: str, *, seconds: float, at_us: int) -> None:
    """LINE said "too fast": nobody begins a call of this kind for so many seconds."""
    pace = table_of(SendPace)
    until = at_us + int(seconds * 1_000_000)
    with transaction(engine) as session:
        session.execute(
            update(pace)
            .where(pace.c.channel_id == channel_id, pace.c.endpoint == endpoint, pace.c.free_at_us < until)
            .values(free_at_us=until)
        )


class Pacer:
    """This worker's share of the permits of one channel and endpoint. Used inside one asyncio loop."""

    def __init__(
        self, engine: Engine, channel_id: int, endpoint: str, per_second: float, clock_us: Callable[[], int] = now_us
    ) -> None:
        self._engine, self._channel_id, self._endpoint = engine, channel_id, endpoint
        self._per_second, self._clock_us = per_second, clock_us
        self._count = max(1, int(per_second * LEASE_SECONDS))
        self._left = 0
        self._next_us = 0
        self._gate = asyncio.Lock()

    async def permit(self) -> None:
        """Return when one call may go out."""
        async with self._gate:
            step_us = int(1_000_000 / self._per_second)
            stale = (self._clock_us() - STALE_US - self._next_us) // step_us + 1
            if self._left and stale > 0:
                self._left = max(0, self._left - stale)
                self._next_us += stale * step_us
            if self._left == 0:
                self._next_us = await asyncio.to_thread(
                    lease,
                    self._engine,
                    self._channel_id,
                    self._endpoint,
                    count=self._count,
                    per_second=self._per_second,
                    at_us=self._clock_us(),
                )
                self._left = self._count
            wait = (self._next_us - self._clock_us()) / 1_000_000
            if wait > 0.001:  # below the timer's own grain
                await asyncio.sleep(wait)
            self._left -= 1
            self._next_us += step_us

    async def too_fast(self, seconds: float) -> None:
        """Make every worker wait, and throw away the permits in hand."""
        async with self._gate:  # not while somebody is taking one
            self._left = 0
        await asyncio.to_thread(
            hold_back, self._engine, self._channel_id, self._endpoint, seconds=seconds, at_us=self._clock_us()
        )
