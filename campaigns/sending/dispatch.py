"""Sending a run: claim, commit, call, record. Once for everyone, whatever breaks in between.

Lanes work side by side: while one waits for LINE, another claims and records. Every call carries the retry key stored
when the audience was frozen, so a repeat after a crash, a timeout or a 5xx is one that LINE recognises.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlmodel import Session

from campaigns.content.message import InvalidMessage, NotRenderable
from campaigns.content.versions import Versions
from campaigns.links.making import LinkMaker
from campaigns.planning import schedule
from campaigns.sending.calls import (
    REFUSED_CONTENT,
    TRIES_IN_HAND,
    Calls,
    OpenRun,
    Rates,
    Sender,
    is_about_content,
)
from campaigns.sending.claims import (
    KEY_LIFE,
    BatchOutcome,
    Claimed,
    Outcome,
    begin,
    claim_batches,
    is_anything_free,
    is_being_frozen,
    let_go,
    record_batches,
    record_outcomes,
    renew,
    runs_to_stop,
)
from campaigns.sending.commits import Commits
from campaigns.sending.pushing import Pushes
from campaigns.sending.recipients import Recipient, multicasts_of, pushes_of, still_willing
from campaigns.sending.splitting import split_batch
from campaigns.sending.units import units_of
from store.clock import Clock
from store.engine import reading
from store.models import CampaignRun

log = structlog.get_logger()

GROUP_SECONDS = 0.1  # calls noted and recorded together, as time: this much is in doubt when a lane's worker dies
LARGEST_GROUP = {"push": 200, "multicast": 20}
WATCH_EVERY_SECONDS = 0.3  # so that pause and cancel take hold within a second
IDLE_SECONDS = 0.1
SOON_SECONDS = 0.03  # between looks while a run is being frozen: its next batches come at any moment
RESCUE_EVERY_SECONDS = 1.0
RESCUE_LIMIT = 16  # claims of dead workers taken up at once
TOO_LONG_IN_DOUBT = "in doubt for longer than a retry key lives"
DATABASE_SECONDS = 2.0  # between looks whether a lost database is back


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
        self._engine, self._channels, self._clock = engine, list(senders), clock
        self._links, self._lease = links, lease
        self._lanes = rates.lanes
        self.worker = f"{uuid.uuid4().hex[:12]}"
        self._groups = {
            way: max(1, min(LARGEST_GROUP[way], int(rate * GROUP_SECONDS))) for way, rate in rates.by_way().items()
        }
        self._commits = Commits(engine)
        self._calls = Calls(engine, senders, rates=rates, commits=self._commits, clock=clock)
        self._runs: dict[int, OpenRun] = {}
        self._in_hand = Counter[tuple[int, int]]()  # run id and batch number: by how many lanes
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
                await _sleep(stop, SOON_SECONDS if await asyncio.to_thread(self._is_more_coming) else IDLE_SECONDS)
                return
        work = await self._claim()
        if not work:
            await _sleep(stop, IDLE_SECONDS)
        while work:
            await self._deliver(work, stop)
            # Behind a batch of pushes there is mostly another, so that a look before would be for nothing.
            work = await self._claim() if work[0].batch.way == "push" and not stop.is_set() else []

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
            return is_anything_free(session, now=self._clock(), channels=self._channels)

    def _is_more_coming(self) -> bool:
        with reading(self._engine) as session:
            return is_being_frozen(session, now=self._clock(), channels=self._channels)

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
            channels=self._channels,
            only_lapsed=only_lapsed,
        )
        # After a stall its own leases may have lapsed: claimed again, they are renewed, and still in these hands. One
        # that was due is not, though the lane that gave it back has not let it go yet.
        mine = [batch for batch in found if not (batch.had_lapsed and batch.key in self._in_hand)]
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
            try:
                run = await self._opened(run_id)
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
            self._in_hand -= Counter(piece.batch.key for piece in work)

    async def _opened(self, run_id: int) -> OpenRun:
        """What this worker keeps of a run: one thing for all lanes, so that all notice when it is stopped."""
        run = self._runs.get(run_id)
        if run is None or run.stopped.is_set():  # stopped before, and resumed since: it could be claimed again
            opened = await asyncio.to_thread(self._open_run, run_id)
            run = self._runs.get(run_id)  # which another lane may have opened meanwhile
            if run is None or run.stopped.is_set():
                run = self._runs[run_id] = opened
        return run

    def _open_run(self, run_id: int) -> OpenRun:
        with reading(self._engine) as session:
            run = session.get_one(CampaignRun, run_id)
            contents = {variant["variant_id"]: Versions(variant) for variant in run.variants}
            return OpenRun(contents, run.link_ids, units_of(session, run))

    def _pause_unopened(self, session: Session, work: list[_Work], problem: str) -> None:
        schedule.pause_for(session, work[0].batch.run_id, f"its content can't be sent: {problem}")
        for piece in work:
            if piece.batch.way == "multicast":
                again = BatchOutcome("due", doubt_since=piece.batch.doubt_since)
                record_batches(session, self.worker, [(piece.batch, again)], now=self._clock())
            else:
                let_go(session, piece.batch, self.worker, not_before=None)

    # --- push: one call per person -----------------------------------------------------------------------------

    async def _push_all(self, claimed: Claimed, run: OpenRun, recipients: list[Recipient]) -> None:
        outcomes, recipients = self._give_up_old(recipients)
        for group in _groups(recipients, self._groups["push"]):
            if run.stopped.is_set():
                break
            willing = await self._in_transaction(self._record_and_begin, claimed, outcomes, group)
            if willing is None:
                break
            outcomes = await self._push_group(claimed, run, willing)
        pause = None if run.stopped.is_set() else self._clock() + self._calls.wait(claimed.attempts)
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

    async def _push_group(self, claimed: Claimed, run: OpenRun, group: Sequence[Recipient]) -> list[Outcome]:
        pushes = Pushes(self._calls, self._links, claimed, run, noted_at=self._clock(), clock=self._clock)
        return await pushes.to(group)

    # --- multicast: one call per batch -------------------------------------------------------------------------

    async def _multicast_all(self, work: list[_Work], run: OpenRun) -> None:
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

    async def _multicast(self, piece: _Work, run: OpenRun) -> BatchOutcome | None:
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
        key, unit = claimed.retry_key, run.units.get(claimed.variant_id)
        for attempt in range(TRIES_IN_HAND):
            begun_at = self._clock()
            call = await self._calls.begin(claimed, run, lambda sender: sender.multicast(piece.to, messages, key, unit))
            if call is None:
                break
            answer = await call.answer
            if answer.outcome == "accepted":
                return BatchOutcome("accepted", request_id=answer.request_id)
            if answer.outcome == "refused" and is_about_content(answer):  # wrong for everybody, and in every batch
                await self._calls.pause(claimed, run, f"{REFUSED_CONTENT} ({answer.problem})")
                break
            if answer.outcome == "refused" and len(piece.to) == 1:
                return BatchOutcome("failed", problem=answer.problem)
            if answer.outcome == "refused":  # for one of its people
                keys = [str(uuid.uuid4()), str(uuid.uuid4())]
                await self._in_transaction(split_batch, claimed, self.worker, keys)
                return None
            if answer.outcome == "in_doubt":
                doubt_since = doubt_since or begun_at
            await self._calls.hold_up(claimed, run, answer, attempt)
        wait = timedelta() if run.stopped.is_set() else self._calls.wait(claimed.attempts)
        return BatchOutcome("due", not_before=self._clock() + wait, doubt_since=doubt_since)

    async def _in_transaction(self, step: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await self._commits.commit(lambda session: step(session, *arguments, **named))


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not past `stop`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def _groups(people: Sequence[Recipient], size: int) -> list[Sequence[Recipient]]:
    return [people[n : n + size] for n in range(0, len(people), size)]
