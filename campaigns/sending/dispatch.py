"""Sending a run: claim, commit, call, record. Once for everyone, whatever breaks in between.

Knows no HTTP: it declares the `Sender` it needs, which bot/line/ fits and service joins. Lanes work side by side:
while one waits for LINE, another claims and records. Every call carries the retry key stored when the audience was
frozen, so a repeat after a crash, a timeout or a 5xx is one that LINE recognises.
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from campaigns.content.message import NotRenderable
from campaigns.content.versions import Versions
from campaigns.links.clicks import TokenSigner
from campaigns.planning import schedule
from campaigns.sending.claims import (
    KEY_LIFE,
    Claimed,
    Outcome,
    Recipient,
    claim_batches,
    let_go,
    recipients_of,
    record_batch,
    record_outcomes,
    renew,
    runs_to_stop,
    split_batch,
)
from campaigns.sending.pace import Pacer
from campaigns.sending.units import units_of
from store.clock import Clock
from store.engine import reading, transaction
from store.models import CampaignRun

log = structlog.get_logger()

TRIES_IN_HAND = 4  # repeats of one call before its batch is put back with a longer wait
LONGEST_WAIT_SECONDS = 300.0
RECORD_EVERY_SECONDS = 1.0
WATCH_EVERY_SECONDS = 0.3  # so that pause and cancel take hold within a second
IDLE_SECONDS = 0.3
RESCUE_EVERY_SECONDS = 1.0
RESCUE_LIMIT = 16  # batches of dead workers taken up at once
DATABASE_SECONDS = 2.0  # between looks whether a lost database is back


class Answer(Protocol):
    """What LINE made of a call; see bot/line/answers.py for the outcomes."""

    @property
    def outcome(self) -> str: ...
    @property
    def request_id(self) -> str | None: ...
    @property
    def problem(self) -> str | None: ...


class Sender(Protocol):
    """The door that sending needs. Neither call raises for what LINE or the network does."""

    async def push(self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None) -> Answer: ...
    async def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None
    ) -> Answer: ...


@dataclass(frozen=True)
class Rates:
    """Calls begun per second and channel, all workers together; and calls under way at once in this worker."""

    push_per_second: float
    multicast_per_second: float
    connections: int
    lanes: int = 4
    first_wait_seconds: float = 0.5  # before the first repeat; doubled each time


@dataclass
class _Run:
    """What this worker keeps of a run that it is sending."""

    contents: Mapping[int, Versions]  # variant id -> what it says
    link_ids: Mapping[str, int]
    units: Mapping[int, str]  # variant id -> the name under which LINE counts what is done with it
    stopped: asyncio.Event = field(default_factory=asyncio.Event)


class Dispatch:
    """One worker's sending. Made and used inside one asyncio loop; `run_until` works until told to stop."""

    def __init__(
        self,
        engine: Engine,
        senders: Mapping[int, Sender],
        *,
        rates: Rates,
        signer: TokenSigner,
        link_base: str,
        lease: timedelta,
        clock: Clock,
    ) -> None:
        self._engine, self._senders, self._clock = engine, senders, clock
        self._signer, self._link_base, self._lease = signer, link_base, lease
        self._lanes, self._first_wait = rates.lanes, rates.first_wait_seconds
        self.worker = f"{uuid.uuid4().hex[:12]}"
        self._calls = asyncio.Semaphore(rates.connections)
        self._pacers = {
            (channel_id, way): Pacer(engine, channel_id, way, rate)
            for channel_id in senders
            for way, rate in (("push", rates.push_per_second), ("multicast", rates.multicast_per_second))
        }
        self._runs: dict[int, _Run] = {}
        self._in_hand: set[tuple[int, int]] = set()  # run id, batch number
        self._looking = asyncio.Lock()

    async def run_until(self, stop: asyncio.Event) -> None:
        """Send whatever becomes due until `stop` is set; then finish the calls under way, record them, let go."""
        watch = asyncio.create_task(self._watch(stop))
        lanes = [asyncio.create_task(self._lane(stop, self._work_or_wait)) for _ in range(self._lanes)]
        lanes.append(asyncio.create_task(self._lane(stop, self._rescue)))
        try:
            await asyncio.gather(watch, *lanes)
        finally:
            for task in (watch, *lanes):
                task.cancel()

    async def drain(self) -> None:
        """Send everything that is due now, then return. For the demo's past and for tests."""
        stop = asyncio.Event()

        async def lane() -> None:
            while found := await self._claim():
                await self._deliver(found[0], stop)

        await asyncio.gather(*(lane() for _ in range(self._lanes)))

    async def _lane(self, stop: asyncio.Event, step: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        while not stop.is_set():
            try:
                await step(stop)
            except* (OperationalError, InterfaceError) as lost:
                await self._wait_for_database(lost, stop)

    async def _work_or_wait(self, stop: asyncio.Event) -> None:
        async with self._looking:  # one idle lane looks for work at a time: each look takes SQLite's write lock
            found = await self._claim()
            if not found:
                await _sleep(stop, IDLE_SECONDS)
                return
        await self._deliver(found[0], stop)

    async def _rescue(self, stop: asyncio.Event) -> None:
        """Take over what dead workers held, now: the lanes may be busy for long where LINE or the rate is slow."""
        async with asyncio.TaskGroup() as group:
            for batch in await self._claim(RESCUE_LIMIT, only_lapsed=True):
                group.create_task(self._deliver(batch, stop))
        await _sleep(stop, RESCUE_EVERY_SECONDS)

    async def _claim(self, limit: int = 1, *, only_lapsed: bool = False) -> list[Claimed]:
        found: list[Claimed] = await self._in_transaction(
            claim_batches,
            self.worker,
            limit=limit,
            lease=self._lease,
            now=self._clock(),
            channels=list(self._senders),
            only_lapsed=only_lapsed,
        )
        # After a stall its own leases may have lapsed: claimed again, they are renewed, and still in these hands.
        return [batch for batch in found if batch.key not in self._in_hand]

    async def _wait_for_database(self, lost: BaseException, stop: asyncio.Event) -> None:
        """The database went away: what was in hand stays claimed and is repeated, with its keys, when it is back."""
        log.error("database_lost", error=str(lost))
        await _sleep(stop, DATABASE_SECONDS)

    async def _watch(self, stop: asyncio.Event) -> None:
        """Keep this worker's leases, and notice paused and cancelled runs."""
        renewed_at = 0.0
        while not stop.is_set():
            try:
                await self._notice_stopped()
                if asyncio.get_running_loop().time() - renewed_at > self._lease.total_seconds() / 3:
                    held = list(self._in_hand)
                    await self._in_transaction(renew, self.worker, held, lease=self._lease, now=self._clock())
                    renewed_at = asyncio.get_running_loop().time()
            except* (OperationalError, InterfaceError) as lost:
                await self._wait_for_database(lost, stop)
            await _sleep(stop, WATCH_EVERY_SECONDS)
        for run in self._runs.values():
            run.stopped.set()

    async def _notice_stopped(self) -> None:
        if self._runs:
            for run_id in await asyncio.to_thread(self._stopped_runs, list(self._runs)):
                self._runs.pop(run_id).stopped.set()

    def _stopped_runs(self, run_ids: list[int]) -> set[int]:
        with reading(self._engine) as session:
            return runs_to_stop(session, run_ids)

    async def _deliver(self, claimed: Claimed, stop: asyncio.Event) -> None:
        self._in_hand.add(claimed.key)
        try:
            run = self._runs.get(claimed.run_id)
            if run is None or run.stopped.is_set():  # stopped before, and resumed since: it could be claimed again
                run = self._runs[claimed.run_id] = await asyncio.to_thread(self._open_run, claimed.run_id)
            if stop.is_set():
                run.stopped.set()
            recipients = await self._in_transaction(recipients_of, claimed)
            recipients = await self._give_up_old(claimed, recipients)
            if claimed.way == "multicast":
                await self._multicast(claimed, run, recipients)
            else:
                await self._push_all(claimed, run, recipients)
        finally:
            self._in_hand.discard(claimed.key)

    def _open_run(self, run_id: int) -> _Run:
        with reading(self._engine) as session:
            run = session.get_one(CampaignRun, run_id)
            contents = {variant["variant_id"]: Versions(variant) for variant in run.variants}
            return _Run(contents, run.link_ids, units_of(session, run))

    async def _give_up_old(self, claimed: Claimed, recipients: list[Recipient]) -> list[Recipient]:
        """Those in doubt for longer than a retry key lives become unknown: repeating could be sending twice."""
        too_old = self._clock() - KEY_LIFE
        old = [r for r in recipients if r.doubt_since is not None and r.doubt_since <= too_old]
        if not old:
            return recipients
        if claimed.way == "push":
            gone = [Outcome(r.customer_id, "unknown", "in doubt for longer than a retry key lives") for r in old]
            await self._in_transaction(record_outcomes, claimed.run_id, gone)
        gone_ids = {r.customer_id for r in old}
        return [r for r in recipients if r.customer_id not in gone_ids] if claimed.way == "push" else recipients

    # --- push: one call per person -----------------------------------------------------------------------------

    async def _push_all(self, claimed: Claimed, run: _Run, recipients: list[Recipient]) -> None:
        outcomes: list[Outcome] = []
        pushes = asyncio.ensure_future(self._begin_pushes(claimed, run, recipients, outcomes))
        try:
            while not pushes.done():
                await asyncio.wait([pushes], timeout=RECORD_EVERY_SECONDS)
                await self._record(claimed.run_id, outcomes)
            await self._record(claimed.run_id, outcomes)  # what ended while the last ones were being written
        finally:
            pushes.cancel()  # does nothing when they are done; else nobody is left to record them
        # Broken off in the middle (the pacer lost its database): the batch stays claimed, so that its doubt is kept.
        await pushes
        pause = self._wait_seconds(claimed.attempts)
        await self._in_transaction(
            let_go,
            claimed,
            self.worker,
            not_before=None if run.stopped.is_set() else self._clock() + timedelta(seconds=pause),
        )

    async def _begin_pushes(
        self, claimed: Claimed, run: _Run, recipients: list[Recipient], outcomes: list[Outcome]
    ) -> None:
        async with asyncio.TaskGroup() as group:
            for recipient in recipients:
                await self._calls.acquire()
                if run.stopped.is_set():
                    self._calls.release()
                    return
                task = group.create_task(self._push_one(claimed, run, recipient, outcomes))
                task.add_done_callback(lambda _: self._calls.release())

    async def _push_one(self, claimed: Claimed, run: _Run, recipient: Recipient, outcomes: list[Outcome]) -> None:
        assert recipient.retry_key is not None
        try:
            track = self._tracker(claimed.run_id, run, recipient.customer_id)
            content = run.contents[recipient.variant_id].for_reader(*recipient.languages)
            messages = content(recipient.fields, track)
        except NotRenderable as error:
            outcomes.append(Outcome(recipient.customer_id, "failed", str(error)))
            return
        sender, pacer = self._senders[claimed.channel_id], self._pacers[(claimed.channel_id, "push")]
        doubt_since = recipient.doubt_since
        for attempt in range(TRIES_IN_HAND):
            await pacer.permit()
            if run.stopped.is_set():
                break
            begun_at = self._clock()
            unit = run.units.get(recipient.variant_id)
            answer = await sender.push(recipient.line_user_id, messages, recipient.retry_key, unit)
            if answer.outcome == "accepted":
                outcomes.append(
                    Outcome(recipient.customer_id, "accepted", request_id=answer.request_id, sent_at=self._clock())
                )
                return
            if answer.outcome == "refused":
                outcomes.append(Outcome(recipient.customer_id, "failed", answer.problem, answer.request_id))
                return
            if answer.outcome == "in_doubt":
                doubt_since = doubt_since or begun_at
            await self._hold_up(claimed, run, answer, attempt)
        if doubt_since is not None:
            outcomes.append(Outcome(recipient.customer_id, "chosen", "in doubt", doubt_since=doubt_since))

    def _tracker(self, run_id: int, run: _Run, customer_id: int | None) -> Callable[[str], str]:
        def track(url: str) -> str:
            return f"{self._link_base}/r/{self._signer.sign(run.link_ids[url], run_id, customer_id)}"

        return track

    # --- multicast: one call per batch -------------------------------------------------------------------------

    async def _multicast(self, claimed: Claimed, run: _Run, recipients: list[Recipient]) -> None:
        if not recipients:
            await self._in_transaction(let_go, claimed, self.worker, not_before=None)
            return
        assert claimed.retry_key is not None
        doubt_since = claimed.doubt_since
        if doubt_since is not None and doubt_since <= self._clock() - KEY_LIFE:
            await self._batch_is(claimed, "unknown", problem="in doubt for longer than a retry key lives")
            return
        try:
            content = run.contents[recipients[0].variant_id].in_language(claimed.language)
            messages = content({}, self._tracker(claimed.run_id, run, None))
        except NotRenderable as error:  # tracked links are longer than what they stand for
            await self._batch_is(claimed, "failed", problem=str(error))
            return
        ids = [r.line_user_id for r in recipients]
        unit = run.units.get(recipients[0].variant_id)
        sender, pacer = self._senders[claimed.channel_id], self._pacers[(claimed.channel_id, "multicast")]
        for attempt in range(TRIES_IN_HAND):
            await pacer.permit()
            if run.stopped.is_set():
                break
            begun_at = self._clock()
            async with self._calls:
                answer = await sender.multicast(ids, messages, claimed.retry_key, unit)
            if answer.outcome == "accepted":
                await self._batch_is(claimed, "accepted", request_id=answer.request_id)
                return
            if answer.outcome == "refused":
                await self._refused(claimed, ids, answer)
                return
            if answer.outcome == "in_doubt":
                doubt_since = doubt_since or begun_at
            await self._hold_up(claimed, run, answer, attempt)
        wait = timedelta(seconds=0 if run.stopped.is_set() else self._wait_seconds(claimed.attempts))
        await self._batch_is(claimed, "due", not_before=self._clock() + wait, doubt_since=doubt_since)

    async def _refused(self, claimed: Claimed, ids: list[str], answer: Answer) -> None:
        # LINE names the property at fault: a message is wrong for everyone, anything else may be one bad id.
        if len(ids) == 1 or "messages[" in (answer.problem or ""):
            await self._batch_is(claimed, "failed", problem=answer.problem)
            return
        keys = [str(uuid.uuid4()), str(uuid.uuid4())]
        await self._in_transaction(split_batch, claimed, self.worker, keys)

    async def _batch_is(self, claimed: Claimed, state: str, **more: Any) -> None:
        await self._in_transaction(record_batch, claimed, self.worker, state=state, now=self._clock(), **more)

    # --- both --------------------------------------------------------------------------------------------------

    async def _hold_up(self, claimed: Claimed, run: _Run, answer: Answer, attempt: int) -> None:
        """LINE did not take a call that may be repeated: wait as it asks, or stop what can't go on."""
        problem = answer.problem or answer.outcome
        if answer.outcome == "quota_exhausted":
            run.stopped.set()
            await self._in_transaction(
                schedule.pause_for, claimed.run_id, f"LINE's monthly quota is used up ({problem})"
            )
            log.warning("run_paused_for_quota", run_id=claimed.run_id)
        elif answer.outcome == "stopped":
            run.stopped.set()
            await self._in_transaction(
                schedule.stop_channel, claimed.channel_id, f"LINE refuses this channel's token or account ({problem})"
            )
            log.error("channel_stopped", channel_id=claimed.channel_id)
        elif answer.outcome == "slow_down":
            await self._pacers[(claimed.channel_id, claimed.way)].too_fast(1.0)
            log.warning("line_rate_exceeded", run_id=claimed.run_id, way=claimed.way)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(run.stopped.wait(), self._wait_seconds(attempt))

    async def _record(self, run_id: int, outcomes: list[Outcome]) -> None:
        ready, outcomes[:] = outcomes[:], []
        if ready:
            await self._in_transaction(record_outcomes, run_id, ready)

    async def _in_transaction(self, step: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        def work() -> Any:
            with transaction(self._engine) as session:
                return step(session, *arguments, **named)

        return await asyncio.to_thread(work)

    def _wait_seconds(self, attempt: int) -> float:
        """Exponential back-off with jitter, half to all of it ("Retrying an API request")."""
        longest: float = min(LONGEST_WAIT_SECONDS, self._first_wait * 2**attempt)
        return longest * random.uniform(0.5, 1.0)


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not past `stop`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
