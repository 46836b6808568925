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
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlmodel import Session

from campaigns.content.message import InvalidMessage, NotRenderable
from campaigns.content.versions import Versions
from campaigns.links.making import LinkMaker
from campaigns.planning import schedule
from campaigns.sending.claims import (
    KEY_LIFE,
    BatchOutcome,
    Claimed,
    Outcome,
    begin,
    claim_batches,
    is_anything_free,
    let_go,
    record_batches,
    record_outcomes,
    renew,
    runs_to_stop,
)
from campaigns.sending.commits import Commits
from campaigns.sending.pace import Pacer
from campaigns.sending.recipients import Recipient, multicasts_of, pushes_of, still_willing
from campaigns.sending.splitting import split_batch
from campaigns.sending.units import units_of
from store.clock import Clock
from store.engine import reading
from store.models import CampaignRun

log = structlog.get_logger()

TRIES_IN_HAND = 4  # repeats of one call before its batch is put back with a longer wait
LONGEST_WAIT_SECONDS = 300.0
MANY_IN_A_ROW = 20  # refusals that could be about one person, but are not when they come so often
UNKNOWN_LIMIT = "LINE refuses with a limit that we don't know"
REFUSED_CONTENT = "LINE refuses its content"
MOST_DOUBLINGS = 20  # of the first wait: after days of trying it would be beyond what a float can hold
GROUP_SECONDS = 0.1  # calls noted and recorded together, as time: this much is in doubt when a lane's worker dies
LARGEST_GROUP = {"push": 100, "multicast": 20}
WATCH_EVERY_SECONDS = 0.3  # so that pause and cancel take hold within a second
IDLE_SECONDS = 0.1
RESCUE_EVERY_SECONDS = 1.0
RESCUE_LIMIT = 16  # claims of dead workers taken up at once
TOO_LONG_IN_DOUBT = "in doubt for longer than a retry key lives"
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
    lanes: int = 8
    first_wait_seconds: float = 0.5  # before the first repeat; doubled each time


@dataclass
class _Run:
    """What this worker keeps of a run that it is sending."""

    contents: Mapping[int, Versions]  # variant id -> what it says
    link_ids: Mapping[str, int]
    units: Mapping[int, str]  # variant id -> the name under which LINE counts what is done with it
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    refusals_in_a_row: int = 0  # of the content, or with a limit that we don't know, since LINE last accepted something


@dataclass(frozen=True, slots=True)
class _Work:
    """A claimed batch and who is to be called: `recipients` of pushes, or LINE ids `to` of a multicast."""

    batch: Claimed
    recipients: list[Recipient] = field(default_factory=list)
    to: list[str] = field(default_factory=list)


class Dispatch:
    """One worker's sending. Made and used inside one asyncio loop; `run_until` works until told to stop."""

    def __init__(
        self,
        engine: Engine,
        senders: Mapping[int, Sender],
        *,
        rates: Rates,
        links: LinkMaker,
        lease: timedelta,
        clock: Clock,
    ) -> None:
        self._engine, self._senders, self._clock = engine, senders, clock
        self._links, self._lease = links, lease
        self._lanes, self._first_wait = rates.lanes, rates.first_wait_seconds
        self.worker = f"{uuid.uuid4().hex[:12]}"
        self._pacers = {
            (channel_id, way): Pacer(engine, channel_id, way, rate)
            for channel_id in senders
            for way, rate in (("push", rates.push_per_second), ("multicast", rates.multicast_per_second))
        }
        self._calls = {which: asyncio.Semaphore(rates.connections) for which in self._pacers}
        self._groups = {
            way: max(1, min(LARGEST_GROUP[way], int(rate * GROUP_SECONDS)))
            for way, rate in (("push", rates.push_per_second), ("multicast", rates.multicast_per_second))
        }
        self._commits = Commits(engine)
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
            while work := await self._claim():
                await self._deliver(work, stop)

        await asyncio.gather(*(lane() for _ in range(self._lanes)))

    async def _lane(self, stop: asyncio.Event, step: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        while not stop.is_set():
            try:
                await step(stop)
            except* (OperationalError, InterfaceError) as lost:
                await self._wait_for_database(lost, stop)

    async def _work_or_wait(self, stop: asyncio.Event) -> None:
        async with self._looking:  # one idle lane looks for work at a time
            if not await asyncio.to_thread(self._is_anything_free):
                await _sleep(stop, IDLE_SECONDS)
                return
        if work := await self._claim():
            await self._deliver(work, stop)
        else:
            await _sleep(stop, IDLE_SECONDS)

    async def _rescue(self, stop: asyncio.Event) -> None:
        """Take over what dead workers held, now: the lanes may be busy for long where LINE or the rate is slow."""
        async with asyncio.TaskGroup() as group:
            for _ in range(RESCUE_LIMIT):
                work = await self._claim(only_lapsed=True) if await asyncio.to_thread(self._is_anything_free) else []
                if not work:
                    break
                group.create_task(self._deliver(work, stop))
        await _sleep(stop, RESCUE_EVERY_SECONDS)

    def _is_anything_free(self) -> bool:
        with reading(self._engine) as session:
            return is_anything_free(session, now=self._clock(), channels=list(self._senders))

    async def _claim(self, *, only_lapsed: bool = False) -> list[_Work]:
        """Batches of one run with their recipients, now in these hands; empty when there is nothing to do."""
        work: list[_Work] = await self._in_transaction(self._claim_and_load, only_lapsed)
        self._in_hand.update(piece.batch.key for piece in work)
        return work

    def _claim_and_load(self, session: Session, only_lapsed: bool) -> list[_Work]:
        found = claim_batches(
            session,
            self.worker,
            limit=self._groups["multicast"],
            lease=self._lease,
            now=self._clock(),
            channels=list(self._senders),
            only_lapsed=only_lapsed,
        )
        # After a stall its own leases may have lapsed: claimed again, they are renewed, and still in these hands.
        mine = [batch for batch in found if batch.key not in self._in_hand]
        if mine and mine[0].way == "multicast":
            return [_Work(batch, to=to) for batch, to in zip(mine, multicasts_of(session, mine), strict=True)]
        return [_Work(batch, recipients=pushes_of(session, batch)) for batch in mine]

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
            return runs_to_stop(session, run_ids, self._clock())

    async def _deliver(self, work: list[_Work], stop: asyncio.Event) -> None:
        try:
            run_id = work[0].batch.run_id
            run = self._runs.get(run_id)
            if run is None or run.stopped.is_set():  # stopped before, and resumed since: it could be claimed again
                try:
                    run = self._runs[run_id] = await asyncio.to_thread(self._open_run, run_id)
                except InvalidMessage as error:  # stored before a check became stricter: other runs go on
                    await self._in_transaction(self._pause_unopened, work, str(error))
                    log.error("run_paused_for_content", run_id=run_id)
                    return
            if stop.is_set():
                run.stopped.set()
            if work[0].batch.way == "multicast":
                await self._multicast_all(work, run)
            else:
                for piece in work:
                    await self._push_all(piece.batch, run, piece.recipients)
        finally:
            self._in_hand.difference_update(piece.batch.key for piece in work)

    def _open_run(self, run_id: int) -> _Run:
        with reading(self._engine) as session:
            run = session.get_one(CampaignRun, run_id)
            contents = {variant["variant_id"]: Versions(variant) for variant in run.variants}
            return _Run(contents, run.link_ids, units_of(session, run))

    def _pause_unopened(self, session: Session, work: list[_Work], problem: str) -> None:
        schedule.pause_for(session, work[0].batch.run_id, f"its content can't be sent: {problem}")
        for piece in work:
            if piece.batch.way == "multicast":
                again = BatchOutcome("due", doubt_since=piece.batch.doubt_since)
                record_batches(session, self.worker, [(piece.batch, again)], now=self._clock())
            else:
                let_go(session, piece.batch, self.worker, not_before=None)

    # --- push: one call per person -----------------------------------------------------------------------------

    async def _push_all(self, claimed: Claimed, run: _Run, recipients: list[Recipient]) -> None:
        outcomes, recipients = self._give_up_old(recipients)
        for group in _groups(recipients, self._groups["push"]):
            if run.stopped.is_set():
                break
            willing = await self._in_transaction(self._record_and_begin, claimed, outcomes, group)
            if willing is None:
                break
            outcomes = await self._push_group(claimed, run, willing)
        pause = None if run.stopped.is_set() else self._clock() + self._wait(claimed.attempts)
        await self._in_transaction(self._record_and_let_go, claimed, outcomes, pause)

    def _give_up_old(self, recipients: list[Recipient]) -> tuple[list[Outcome], list[Recipient]]:
        """Those in doubt for longer than a retry key lives become unknown: repeating could be sending twice."""
        too_old = self._clock() - KEY_LIFE
        old = {r.customer_id for r in recipients if r.doubt_since is not None and r.doubt_since <= too_old}
        gone = [Outcome(customer_id, "unknown", TOO_LONG_IN_DOUBT) for customer_id in old]
        return gone, [r for r in recipients if r.customer_id not in old]

    def _record_and_begin(
        self, session: Session, claimed: Claimed, outcomes: list[Outcome], group: Sequence[Recipient]
    ) -> list[Recipient] | None:
        """Who of a group is to be called now; None when the batch is no longer in these hands."""
        record_outcomes(session, claimed.run_id, outcomes)
        if not begin(session, self.worker, [claimed], now=self._clock(), up_to=group[-1].customer_id):
            return None
        return still_willing(session, claimed, group)

    def _record_and_let_go(
        self, session: Session, claimed: Claimed, outcomes: list[Outcome], not_before: datetime | None
    ) -> None:
        record_outcomes(session, claimed.run_id, outcomes)
        let_go(session, claimed, self.worker, not_before=not_before)

    async def _push_group(self, claimed: Claimed, run: _Run, group: Sequence[Recipient]) -> list[Outcome]:
        """Push to each of a group; the outcomes of those who were called."""
        # A failure of ours leaves here with the batch still claimed, so that its doubt is kept for who takes over.
        async with asyncio.TaskGroup() as tasks:
            pushes = [tasks.create_task(self._push_one(claimed, run, recipient)) for recipient in group]
        return [outcome for push in pushes if (outcome := push.result()) is not None]

    async def _push_one(self, claimed: Claimed, run: _Run, recipient: Recipient) -> Outcome | None:
        assert recipient.retry_key is not None
        try:
            track = self._links.tracker(run.link_ids, claimed.run_id, recipient.customer_id)
            content = run.contents[recipient.variant_id].for_reader(*recipient.languages)
            messages = content(recipient.fields, track)
        except NotRenderable as error:
            return Outcome(recipient.customer_id, "failed", str(error))
        sender, unit = self._senders[claimed.channel_id], run.units.get(recipient.variant_id)
        doubt_since = recipient.doubt_since
        for attempt in range(TRIES_IN_HAND):
            begun_at = self._clock()
            answer = await self._paced(
                claimed, run, lambda: sender.push(recipient.line_user_id, messages, recipient.retry_key or "", unit)
            )
            if answer is None:
                break
            if answer.outcome == "accepted":
                run.refusals_in_a_row = 0
                return Outcome(recipient.customer_id, "accepted", request_id=answer.request_id, sent_at=self._clock())
            if answer.outcome == "refused":
                if _is_about_content(answer) and self._is_for_all(claimed, run, at_once=True):
                    await self._pause(claimed, run, f"{REFUSED_CONTENT} ({answer.problem})")
                    break
                return Outcome(recipient.customer_id, "failed", answer.problem, answer.request_id)
            if answer.outcome == "in_doubt":
                doubt_since = doubt_since or begun_at
            await self._hold_up(claimed, run, answer, attempt)
            is_last = attempt == TRIES_IN_HAND - 1 and doubt_since is None and not run.stopped.is_set()
            if answer.outcome == "limited" and is_last:
                return Outcome(recipient.customer_id, "failed", answer.problem, answer.request_id)
        if doubt_since is None:
            return None
        return Outcome(recipient.customer_id, "chosen", "in doubt", doubt_since=doubt_since)

    # --- multicast: one call per batch -------------------------------------------------------------------------

    async def _multicast_all(self, work: list[_Work], run: _Run) -> None:
        """One call for each batch of a group, noted and recorded together."""
        settled = [(piece.batch, outcome) for piece in work if (outcome := self._without_a_call(piece)) is not None]
        over = {batch.key for batch, _ in settled}
        to_call = [piece.batch for piece in work if piece.batch.key not in over]
        held = await self._in_transaction(begin, self.worker, to_call, now=self._clock()) if to_call else set()
        async with asyncio.TaskGroup() as tasks:
            calls = [
                (piece.batch, tasks.create_task(self._multicast(piece, run)))
                for piece in work
                if piece.batch.key in held
            ]
        settled += [(batch, outcome) for batch, call in calls if (outcome := call.result()) is not None]
        await self._in_transaction(record_batches, self.worker, settled, now=self._clock())

    def _without_a_call(self, piece: _Work) -> BatchOutcome | None:
        """What becomes of a batch that nobody need or may be called for; None when it is to be sent."""
        if not piece.to:
            return BatchOutcome("done")
        doubt_since = piece.batch.doubt_since
        if doubt_since is not None and doubt_since <= self._clock() - KEY_LIFE:
            return BatchOutcome("unknown", problem=TOO_LONG_IN_DOUBT)
        return None

    async def _multicast(self, piece: _Work, run: _Run) -> BatchOutcome | None:
        """Send one batch; None when it is no longer one, but two halves."""
        claimed = piece.batch
        assert claimed.retry_key is not None
        assert claimed.variant_id is not None
        doubt_since = claimed.doubt_since
        try:
            messages = run.contents[claimed.variant_id].in_language(claimed.language)(
                {}, self._links.tracker(run.link_ids, claimed.run_id, None)
            )
        except NotRenderable as error:  # tracked links are longer than what they stand for
            return BatchOutcome("failed", problem=str(error))
        sender, unit = self._senders[claimed.channel_id], run.units.get(claimed.variant_id)
        for attempt in range(TRIES_IN_HAND):
            begun_at = self._clock()
            answer = await self._paced(
                claimed, run, lambda: sender.multicast(piece.to, messages, claimed.retry_key or "", unit)
            )
            if answer is None:
                break
            if answer.outcome == "accepted":
                return BatchOutcome("accepted", request_id=answer.request_id)
            if answer.outcome == "refused" and _is_about_content(answer):  # wrong for everybody, and in every batch
                await self._pause(claimed, run, f"{REFUSED_CONTENT} ({answer.problem})")
                break
            if answer.outcome == "refused" and len(piece.to) == 1:
                return BatchOutcome("failed", problem=answer.problem)
            if answer.outcome == "refused":  # for one of its people
                keys = [str(uuid.uuid4()), str(uuid.uuid4())]
                await self._in_transaction(split_batch, claimed, self.worker, keys)
                return None
            if answer.outcome == "in_doubt":
                doubt_since = doubt_since or begun_at
            await self._hold_up(claimed, run, answer, attempt)
        wait = timedelta() if run.stopped.is_set() else self._wait(claimed.attempts)
        return BatchOutcome("due", not_before=self._clock() + wait, doubt_since=doubt_since)

    # --- both --------------------------------------------------------------------------------------------------

    async def _paced(self, claimed: Claimed, run: _Run, call: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """The answer to one call made when its turn comes; None when the run was stopped before."""
        pacer = self._pacers[(claimed.channel_id, claimed.way)]
        async with self._calls[(claimed.channel_id, claimed.way)]:
            if run.stopped.is_set():
                return None
            begun_us = await pacer.permit()
            try:
                return None if run.stopped.is_set() else await call()
            finally:
                pacer.answered(begun_us)

    async def _hold_up(self, claimed: Claimed, run: _Run, answer: Answer, attempt: int) -> None:
        """LINE did not take a call that may be repeated: wait as it asks, or stop what can't go on."""
        problem = answer.problem or answer.outcome
        if answer.outcome == "quota_exhausted":
            await self._pause(claimed, run, f"LINE's monthly quota is used up ({problem})")
        elif answer.outcome == "stopped":
            run.stopped.set()
            await self._in_transaction(
                schedule.stop_channel, claimed.channel_id, f"LINE refuses this channel's token or account ({problem})"
            )
            log.error("channel_stopped", channel_id=claimed.channel_id)
        elif answer.outcome == "slow_down":
            await self._pacers[(claimed.channel_id, claimed.way)].too_fast(1.0)
            log.warning("line_rate_exceeded", run_id=claimed.run_id, way=claimed.way)
        elif answer.outcome == "limited" and self._is_for_all(claimed, run, at_once=attempt == TRIES_IN_HAND - 1):
            await self._pause(claimed, run, f"{UNKNOWN_LIMIT} ({problem})")
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(run.stopped.wait(), self._wait(attempt).total_seconds())

    async def _pause(self, claimed: Claimed, run: _Run, problem: str) -> None:
        """No further call of a run is begun, and its campaign says why."""
        run.stopped.set()
        await self._in_transaction(schedule.pause_for, claimed.run_id, problem)
        log.warning("run_paused", run_id=claimed.run_id, problem=problem.partition(" (")[0])

    def _is_for_all(self, claimed: Claimed, run: _Run, *, at_once: bool) -> bool:
        """Whether a refusal holds for more than one person: a push can be refused for its person's sake, and then it
        alone fails, unless many come in a row; a multicast can't (`at_once`: nor need it be tried again)."""
        run.refusals_in_a_row += 1
        return at_once if claimed.way == "multicast" else run.refusals_in_a_row >= MANY_IN_A_ROW

    async def _in_transaction(self, step: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await self._commits.commit(lambda session: step(session, *arguments, **named))

    def _wait(self, attempt: int) -> timedelta:
        """Exponential back-off with jitter, half to all of it ("Retrying an API request")."""
        longest: float = min(LONGEST_WAIT_SECONDS, self._first_wait * 2 ** min(attempt, MOST_DOUBLINGS))
        return timedelta(seconds=longest * random.uniform(0.5, 1.0))


def _is_about_content(answer: Answer) -> bool:
    """LINE names the property at fault: a message, or else somebody to whom it is to go."""
    return "messages[" in (answer.problem or "")


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not past `stop`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def _groups(people: Sequence[Recipient], size: int) -> list[Sequence[Recipient]]:
    return [people[n : n + size] for n in range(0, len(people), size)]
