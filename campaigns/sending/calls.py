"""One worker's calls of LINE: each begun when its turn comes, and what is done when LINE does not take one.

Knows no HTTP: it declares the `Sender` it needs, which bot/line/ fits and service joins.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import Engine

from campaigns.content.versions import Versions
from campaigns.planning import schedule
from campaigns.sending.claims import Claimed
from campaigns.sending.commits import Commits
from campaigns.sending.pace import Pacer
from store.clock import Clock

log = structlog.get_logger()

TRIES_IN_HAND = 4  # repeats of one call before its batch is put back with a longer wait
LONGEST_WAIT_SECONDS = 300.0
MANY_IN_A_ROW = 20  # refusals that could be about one person, but are not when they come so often
UNKNOWN_LIMIT = "LINE refuses with a limit that we don't know"
REFUSED_CONTENT = "LINE refuses its content"
MOST_DOUBLINGS = 20  # of the first wait: after days of trying it would be beyond what a float can hold


class Answer(Protocol):
    """What LINE made of a call; see bot/line/answers.py for the outcomes."""

    @property
    def outcome(self) -> str: ...
    @property
    def request_id(self) -> str | None:
        """LINE's name for the call; None where it didn't answer."""

    @property
    def problem(self) -> str | None: ...


class Sender(Protocol):
    """The door that sending needs. Neither call raises for what LINE or the network does. They had better return a bare
    future: a task for each push would be one of the dearest things about it."""

    def push(self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None) -> Awaitable[Answer]: ...
    def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None
    ) -> Awaitable[Answer]: ...


@dataclass(frozen=True)
class Rates:
    """Calls begun per second and channel, all workers together; and calls under way at once in this worker."""

    push_per_second: float
    multicast_per_second: float
    connections: int
    lanes: int = 8
    first_wait_seconds: float = 0.5  # before the first repeat; doubled each time

    def by_way(self) -> dict[str, float]:
        """Way -> calls per second."""
        return {"push": self.push_per_second, "multicast": self.multicast_per_second}


@dataclass
class OpenRun:
    """What this worker keeps of a run that it is sending."""

    contents: Mapping[int, Versions]  # variant id -> what it says
    link_ids: Mapping[str, int]
    units: Mapping[int, str]  # variant id -> the name under which LINE counts what is done with it
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    refusals_in_a_row: int = 0  # of the content, or with a limit that we don't know, since LINE last accepted something


class Call:
    """A call of LINE that is under way. Until it is answered it counts in the pacer's second and takes a connection."""

    __slots__ = ("_begun_us", "_clock", "_pacer", "_room", "answer", "over_at")

    def __init__(
        self, answer: Awaitable[Answer], begun_us: int, pacer: Pacer, room: asyncio.Semaphore, clock: Clock
    ) -> None:
        self._begun_us, self._pacer, self._room, self._clock = begun_us, pacer, room, clock
        self.over_at: datetime | None = None  # when it was answered
        self.answer = asyncio.ensure_future(answer)
        self.answer.add_done_callback(self._is_over)

    def _is_over(self, call: asyncio.Future[Answer]) -> None:
        answer = None if call.cancelled() or call.exception() is not None else call.result()
        if answer is not None and answer.outcome == "not_reached":
            self._pacer.unused()
        elif answer is None or answer.request_id is None:  # time was up, or something in between answered
            self._pacer.given_up()
        else:
            self._pacer.answered(self._begun_us)
        self._room.release()
        self.over_at = self._clock()


class Calls:
    """Made and used inside one asyncio loop."""

    def __init__(
        self, engine: Engine, senders: Mapping[int, Sender], *, rates: Rates, commits: Commits, clock: Clock
    ) -> None:
        self._senders, self._commits, self._clock = senders, commits, clock
        self._first_wait = rates.first_wait_seconds
        self._pacers = {
            (channel_id, way): Pacer(engine, channel_id, way, rate)
            for channel_id in senders
            for way, rate in rates.by_way().items()
        }
        self._rooms = {which: asyncio.Semaphore(rates.connections) for which in self._pacers}

    async def begin(self, claimed: Claimed, run: OpenRun, call: Callable[[Sender], Awaitable[Answer]]) -> Call | None:
        """One call, begun when its turn comes; None when the run was stopped before."""
        which = (claimed.channel_id, claimed.way)
        pacer, room = self._pacers[which], self._rooms[which]
        begun_us: int | None = None
        begun: Call | None = None
        await room.acquire()
        try:
            if not run.stopped.is_set():
                begun_us = await pacer.permit()
                if not run.stopped.is_set():
                    begun = Call(call(self._senders[claimed.channel_id]), begun_us, pacer, room, self._clock)
            return begun
        finally:
            if begun is None:
                room.release()
                if begun_us is not None:
                    pacer.unused()

    async def hold_up(self, claimed: Claimed, run: OpenRun, answer: Answer, attempt: int) -> None:
        """LINE did not take a call that may be repeated: wait as it asks, or stop what can't go on."""
        problem = answer.problem or answer.outcome
        if answer.outcome == "quota_exhausted":
            await self.pause(claimed, run, f"LINE's monthly quota is used up ({problem})")
        elif answer.outcome == "stopped":
            run.stopped.set()
            why = f"LINE refuses this channel's token or account ({problem})"
            await self._commits.commit(lambda session: schedule.stop_channel(session, claimed.channel_id, why))
            log.error("channel_stopped", channel_id=claimed.channel_id)
        elif answer.outcome == "slow_down":
            await self._pacers[(claimed.channel_id, claimed.way)].too_fast(1.0)
            log.warning("line_rate_exceeded", run_id=claimed.run_id, way=claimed.way)
        elif answer.outcome == "limited" and self.is_for_all(claimed, run, at_once=attempt == TRIES_IN_HAND - 1):
            await self.pause(claimed, run, f"{UNKNOWN_LIMIT} ({problem})")
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(run.stopped.wait(), self.wait(attempt).total_seconds())

    async def pause(self, claimed: Claimed, run: OpenRun, problem: str) -> None:
        """No further call of a run is begun, and its campaign says why."""
        run.stopped.set()
        await self._commits.commit(lambda session: schedule.pause_for(session, claimed.run_id, problem))
        log.warning("run_paused", run_id=claimed.run_id, problem=problem.partition(" (")[0])

    def is_for_all(self, claimed: Claimed, run: OpenRun, *, at_once: bool) -> bool:
        """Whether a refusal holds for more than one person: a push can be refused for its person's sake, and then it
        alone fails, unless many come in a row; a multicast can't (`at_once`: nor need it be tried again)."""
        run.refusals_in_a_row += 1
        return at_once if claimed.way == "multicast" else run.refusals_in_a_row >= MANY_IN_A_ROW

    def wait(self, attempt: int) -> timedelta:
        """Exponential back-off with jitter, half to all of it ("Retrying an API request")."""
        longest: float = min(LONGEST_WAIT_SECONDS, self._first_wait * 2 ** min(attempt, MOST_DOUBLINGS))
        return timedelta(seconds=longest * random.uniform(0.5, 1.0))


def is_about_content(answer: Answer) -> bool:
    """LINE names the property at fault: a message, or else somebody to whom it is to go."""
    return "messages[" in (answer.problem or "")
