"""The pacer: all workers together stay under LINE's rate for a channel and endpoint.

A row says when the next call may go out; a worker takes a lease of several permits by moving it on (GCRA, the generic
cell rate algorithm, with no burst). LINE's limits ("Rate limits"): push 2,000/s, multicast 200/s; the settings pace a
little below, as its token bucket's size is not told.

Permits say when calls begin; LINE counts when they arrive, and a stall on the way turns an even stream into a burst. So
a worker also reckons with what LINE may count: a call counts somewhere between its beginning and its answer.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from sqlalchemy import Engine, select, update

from store.engine import insert_for, table_of, transaction
from store.models import SendPace

# Permits taken at once, as time: longer saves transactions and outlasts a database that is slow to answer, shorter
# shares more evenly with other workers.
LEASE_SECONDS = 0.25
SHARED_LEASE_SECONDS = 0.05
# A permit not used in time is void, or a stalled worker would catch up in a long burst; sooner beside other workers,
# whose calls this one cannot count.
STALE_US = 100_000
SHARED_STALE_US = 30_000
# How many more calls than permits LINE may count of this worker in a second, as late ones come on top: the settings
# pace 0.985 of LINE's rate, and 0.985 x 1.014 < 1. Beside others, how many fewer: the second in which this worker's
# calls are most may be another than theirs, by a lease's length.
ON_TOP = 0.014
LEFT_FREE = 0.045
SECOND_US = 1_000_000
# Answers, after which the quickest is looked for anew, as the way to LINE may have changed: a minute's, for in a busy
# second or two none may be as quick as the way allows.
QUICKEST_OF = 100_000
QUICKER_US = 3_000  # by how much a call may be quicker on its way than any that was answered


def now_us() -> int:
    """Microseconds since 1970. All machines that share a channel need clocks in step (NTP)."""
    return time.time_ns() // 1_000


class Granted(NamedTuple):
    """So many permits: when the first may be used, and up to when all workers together had taken permits before."""

    permits: int
    first_us: int
    taken_up_to_us: int


def lease(engine: Engine, channel_id: int, endpoint: str, *, count: int, per_second: float, at_us: int) -> Granted:
    """Take `count` permits, 1/per_second from each other, from `at_us` (microseconds since 1970) or a later moment."""
    pace = table_of(SendPace)
    mine = (pace.c.channel_id == channel_id, pace.c.endpoint == endpoint)
    with transaction(engine) as session:
        session.execute(
            insert_for(session, SendPace)
            .values(channel_id=channel_id, endpoint=endpoint, free_at_us=0)
            .on_conflict_do_nothing()
        )
        free_at = session.scalars(select(pace.c.free_at_us).where(*mine).with_for_update()).one()
        first = max(free_at, at_us)  # time that nobody used is not saved up: the limit holds in every single second
        until = first + int(count * SECOND_US / per_second)
        session.execute(update(pace).where(*mine).values(free_at_us=until))
    return Granted(count, first, free_at)


def hold_back(engine: Engine, channel_id: int, endpoint: str, *, seconds: float, at_us: int) -> Granted:
    """LINE said "too fast": nobody begins a call of this kind for so many seconds. It is a lease of no permits, which
    says what time was made nobody's."""
    until = at_us + int(seconds * SECOND_US)
    return lease(engine, channel_id, endpoint, count=0, per_second=1, at_us=until)


class Pacer:
    """This worker's share of the permits of one channel and endpoint. Used inside one asyncio loop."""

    def __init__(
        self, engine: Engine, channel_id: int, endpoint: str, per_second: float, clock_us: Callable[[], int] = now_us
    ) -> None:
        self._engine, self._channel_id, self._endpoint = engine, channel_id, endpoint
        self._per_second, self._clock_us = per_second, clock_us
        self._step_us = int(SECOND_US / per_second)
        self._count = self._left = 0  # permits of the lease in hand; those that are left
        self._next_us = self._held_up_to_us = 0
        self._coming: asyncio.Task[Granted] | None = None  # the next lease, asked for before this one is used up
        self._gate = asyncio.Lock()
        self._arrivals = _Arrivals()

    async def permit(self) -> int:
        """Return when one call may go out: the time to hand to `answered`. Once it is over that must be called, or
        `given_up`, or `unused`."""
        async with self._gate:
            while True:
                at_us = await self._next_permit()
                wait = (at_us - self._clock_us()) / SECOND_US
                if wait > 0.001:  # below the timer's own grain
                    await asyncio.sleep(wait)
                while (now := self._clock_us()) <= at_us + self._arrivals.stale_us(now):
                    if self._arrivals.has_room(now):
                        return self._arrivals.begin(now)
                    await asyncio.sleep(0.001)  # LINE may have its fill for this second

    def answered(self, begun_us: int) -> None:
        """LINE answered a call that `permit` let out at `begun_us`."""
        self._arrivals.end(begun_us, self._clock_us())

    def given_up(self) -> None:
        """A call is over without LINE's answer, which may have counted it all the same."""
        self._arrivals.give_up(self._clock_us())

    def unused(self) -> None:
        """No call left for a permit: LINE can't have counted any."""
        self._arrivals.take_back()

    async def too_fast(self, seconds: float) -> None:
        """LINE said so just now: make every worker wait, and throw away the permits in hand."""
        told_us = self._clock_us()
        async with self._gate:  # not while somebody is taking one
            if told_us < self._held_up_to_us:  # of a call begun before the wait: nothing new
                return
            self._left = 0
            if self._coming is not None:  # its time is this worker's all the same, and no other's
                self._arrivals.lease(await self._coming, self._step_us)
                self._coming = None
            whose = (self._engine, self._channel_id, self._endpoint)
            held = await asyncio.to_thread(hold_back, *whose, seconds=seconds, at_us=self._clock_us())
            self._arrivals.lease(held, self._step_us)
            self._held_up_to_us = held.first_us

    async def _next_permit(self) -> int:
        """The time of the next permit that is not void."""
        while True:
            now = self._clock_us()
            void = (now - self._arrivals.stale_us(now) - self._next_us) // self._step_us + 1
            if self._left and void > 0:
                self._next_us += min(void, self._left) * self._step_us
                self._left = max(0, self._left - void)
            if self._left == 0:
                coming, self._coming = self._coming or self._ask(), None
                granted = await coming
                self._next_us, self._count = granted.first_us, granted.permits
                self._left = self._count
                self._arrivals.lease(granted, self._step_us)
                continue
            if self._left <= self._count // 2 and self._coming is None and self._count > 1:
                self._coming = self._ask()
            at_us = self._next_us
            self._left -= 1
            self._next_us += self._step_us
            return at_us

    def _ask(self) -> asyncio.Task[Granted]:
        return asyncio.create_task(asyncio.to_thread(self._lease))

    def _lease(self) -> Granted:
        at_us = self._clock_us()
        seconds = SHARED_LEASE_SECONDS if self._arrivals.is_shared(at_us) else LEASE_SECONDS
        count = max(1, int(self._per_second * seconds))
        whose = (self._engine, self._channel_id, self._endpoint)
        return lease(*whose, count=count, per_second=self._per_second, at_us=at_us)


class _Lease(NamedTuple):
    """Permits one after another, each good for the time up to the next, or that time; microseconds since 1970."""

    begins_us: int
    ends_us: int
    step_us: int

    @property
    def taken_up_to_us(self) -> int:
        """No earlier than the row says: steps are whole microseconds, so that there it ends a little later."""
        return self.ends_us + (self.ends_us - self.begins_us) // self.step_us


class _Arrivals:
    """What LINE may count of this worker's calls in the second that ends now: those under way or answered since.

    A call answered at `a` was counted at the latest at `a` less the quickest way back. How the quickest time splits
    into there and back need not be known, as every call's way there takes at least what the quickest one's did. So a
    call may begin while those under way, and those answered later than the quickest time (less `QUICKER_US`) after the
    second's beginning, are fewer than its permits with `ON_TOP`, or beside other workers than `_allowed` says.
    """

    def __init__(self) -> None:
        self._leases: deque[_Lease] = deque()  # of the last two seconds, and those to come
        self._unclaimed: deque[_Lease] = deque()  # time whose permits nobody took
        self._answers: deque[int] = deque()
        self._under_way = 0
        self._others_at = -SECOND_US  # when it was last seen that others had taken permits within a second
        self._quickest, self._quickest_of_these, self._looked_at = 0, 0, 0

    def is_shared(self, now_us: int) -> bool:
        """Whether others took permits within the last second, as far as this worker's own leases tell."""
        return self._others_at > now_us - SECOND_US

    def stale_us(self, now_us: int) -> int:
        """How old a permit may be."""
        return SHARED_STALE_US if self.is_shared(now_us) else STALE_US

    def lease(self, granted: Granted, step_us: int) -> None:
        """Permits that this worker may use; none where it only held everybody back."""
        count, first_us, taken_up_to_us = granted
        mine_up_to_us = self._leases[-1].taken_up_to_us if self._leases else first_us - SECOND_US
        if taken_up_to_us > mine_up_to_us:
            self._others_at = first_us
        self._leases.append(_Lease(first_us, first_us + count * step_us, step_us))
        if first_us > taken_up_to_us:
            self._unclaimed.append(_Lease(max(taken_up_to_us, first_us - 2 * SECOND_US), first_us, step_us))

    def has_room(self, now_us: int) -> bool:
        """Whether one more call is sure to be within the permits of a second."""
        since = now_us - SECOND_US + self._quickest - QUICKER_US
        while self._answers and self._answers[0] <= since:
            self._answers.popleft()
        return self._under_way + len(self._answers) < self._allowed(now_us)

    def begin(self, now_us: int) -> int:
        """One more is under way; returns `now_us`."""
        self._under_way += 1
        return now_us

    def end(self, begun_us: int, now_us: int) -> None:
        """One is answered."""
        self.give_up(now_us)
        took = now_us - begun_us
        self._quickest_of_these = min(took, self._quickest_of_these or took)
        self._quickest = min(took, self._quickest or took)
        self._looked_at += 1
        if self._looked_at >= QUICKEST_OF:
            self._quickest, self._quickest_of_these, self._looked_at = self._quickest_of_these, 0, 0

    def give_up(self, now_us: int) -> None:
        """One is over: by now it has been counted, if ever. How long it took says nothing of the way to LINE."""
        self._under_way -= 1
        self._answers.append(now_us)

    def take_back(self) -> None:
        """One never went."""
        self._under_way -= 1

    def _allowed(self, now_us: int) -> int:
        """Permits of the last second, used or not, and those on top; beside other workers without those left free, and
        no more than were this worker's or nobody's in the second before. At least 1.

        So a share grows a second late: whoever had it may be dead, and LINE may still count the calls it had under
        way, of which nobody alive knows.
        """
        since = now_us - SECOND_US
        for kept in (self._leases, self._unclaimed):
            while kept and kept[0].ends_us <= since - SECOND_US:
                kept.popleft()
        permits = _permits(self._leases, since, now_us)
        if not self.is_shared(now_us):
            return max(1, ceil(permits * (1 + ON_TOP)))
        before = sum(_permits(kept, since - SECOND_US, since) for kept in (self._leases, self._unclaimed))
        return max(1, ceil(min(permits, before) * (1 - LEFT_FREE)))


def _permits(leases: deque[_Lease], since_us: int, until_us: int) -> float:
    """How many became good in that time."""
    found = 0.0
    for one in reversed(leases):
        if one.ends_us <= since_us:
            break
        found += max(0, min(one.ends_us, until_us) - max(one.begins_us, since_us)) / one.step_us
    return found
