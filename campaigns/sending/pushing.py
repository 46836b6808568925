"""Pushes of a group of people, a call each. Two thousand a second leave half a millisecond for each, and the worker has
more to do: an ordinary push, one that LINE takes at once, has a future and no task of its own."""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from campaigns.content.message import NotRenderable
from campaigns.links.making import LinkMaker
from campaigns.sending.calls import (
    REFUSED_CONTENT,
    TRIES_IN_HAND,
    Answer,
    Call,
    Calls,
    OpenRun,
    is_about_content,
)
from campaigns.sending.claims import Claimed, Outcome
from campaigns.sending.recipients import Recipient
from store.clock import Clock


class _Push(NamedTuple):
    """Somebody's push that is under way."""

    recipient: Recipient
    messages: bytes
    call: Call


class Pushes:
    """The pushes of one group of a claimed batch, noted as begun at `noted_at`. Used once."""

    def __init__(
        self, calls: Calls, links: LinkMaker, claimed: Claimed, run: OpenRun, *, noted_at: datetime, clock: Clock
    ) -> None:
        self._calls, self._links, self._claimed, self._run = calls, links, claimed, run
        self._noted_at, self._clock = noted_at, clock
        self._under_way: deque[_Push] = deque()
        self._outcomes: list[Outcome] = []

    async def to(self, group: Sequence[Recipient]) -> list[Outcome]:
        """Push to each; the outcomes of those who were called."""
        # A failure of ours leaves here with the batch still claimed, so that its doubt is kept for who takes over.
        async with asyncio.TaskGroup() as others:
            try:
                for recipient in group:
                    if not await self._begin(recipient):
                        break
                    while self._under_way and self._under_way[0].call.answer.done():
                        self._settle(others)
                while self._under_way:
                    await self._under_way[0].call.answer
                    self._settle(others)
            finally:
                for push in self._under_way:
                    push.call.answer.cancel()
        return self._outcomes

    async def _begin(self, recipient: Recipient) -> bool:
        """Begin one when its turn comes; False when the run was stopped before."""
        track = self._links.tracker(self._run.link_ids, self._claimed.run_id, recipient.customer_id)
        content = self._run.contents[recipient.variant_id].for_reader(*recipient.languages)
        try:
            messages = content(recipient.fields, track)
        except NotRenderable as error:
            self._outcomes.append(Outcome(recipient.customer_id, "failed", str(error)))
            return True
        call = await self._call(recipient, messages)
        if call is not None:
            self._under_way.append(_Push(recipient, messages, call))
        return call is not None

    async def _call(self, recipient: Recipient, messages: bytes) -> Call | None:
        to, key, unit = recipient.line_user_id, recipient.retry_key, self._run.units.get(recipient.variant_id)
        assert key is not None
        return await self._calls.begin(self._claimed, self._run, lambda sender: sender.push(to, messages, key, unit))

    def _settle(self, others: asyncio.TaskGroup) -> None:
        """The push begun first is answered: note that LINE has it, or go on with it beside the others."""
        push = self._under_way.popleft()
        answer = push.call.answer.result()
        if answer.outcome == "accepted":
            self._accept(push.recipient, answer, push.call.over_at)
        else:
            others.create_task(self._go_on(push, answer))

    def _accept(self, recipient: Recipient, answer: Answer, at: datetime | None) -> None:
        self._run.refusals_in_a_row = 0
        sent = Outcome(recipient.customer_id, "accepted", request_id=answer.request_id, sent_at=at or self._clock())
        self._outcomes.append(sent)

    async def _go_on(self, push: _Push, answer: Answer) -> None:
        """Whatever comes of a push that LINE has not taken with its first `answer`."""
        recipient, doubt_since, begun_at = push.recipient, push.recipient.doubt_since, self._noted_at
        for attempt in range(TRIES_IN_HAND):
            if attempt > 0:
                begun_at = self._clock()
                call = await self._call(recipient, push.messages)
                if call is None:
                    break
                answer = await call.answer
            if answer.outcome == "accepted":
                self._accept(recipient, answer, None)
                return
            failed = Outcome(recipient.customer_id, "failed", answer.problem, answer.request_id)
            if answer.outcome == "refused":
                if is_about_content(answer) and self._calls.is_for_all(self._claimed, self._run, at_once=True):
                    await self._calls.pause(self._claimed, self._run, f"{REFUSED_CONTENT} ({answer.problem})")
                    break
                self._outcomes.append(failed)
                return
            if answer.outcome == "in_doubt":
                doubt_since = doubt_since or begun_at
            await self._calls.hold_up(self._claimed, self._run, answer, attempt)
            is_last = attempt == TRIES_IN_HAND - 1 and doubt_since is None and not self._run.stopped.is_set()
            if answer.outcome == "limited" and is_last:
                self._outcomes.append(failed)
                return
        if doubt_since is not None:
            self._outcomes.append(Outcome(recipient.customer_id, "chosen", "in doubt", doubt_since=doubt_since))
