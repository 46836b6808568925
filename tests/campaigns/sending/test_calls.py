"""What a worker's calls tell its pacer of the way to LINE."""

import asyncio
from collections import deque
from typing import Any

import pytest
from sqlalchemy import Engine

from bot.line import Answer
from campaigns.sending.calls import Calls, OpenRun, Rates
from campaigns.sending.claims import Claimed
from campaigns.sending.commits import Commits
from campaigns.sending.pace import Pacer
from store.clock import system_clock
from store.engine import transaction
from tests.factories import make_channel

STEP_US = 10_000  # 100 calls a second
LATENCY_US = 100_000
RATES = Rates(push_per_second=100, multicast_per_second=100, connections=32)


class Steps:
    """Calls of one channel, a permit's time apart; but for a microsecond at each look, time goes on with `step`."""

    def __init__(self, engine: Engine) -> None:
        with transaction(engine) as session:
            channel_id = make_channel(session).id or 0
        self.now_us = 1_800_000_000_000_000
        self.run = OpenRun(contents={}, link_ids={}, units={})
        self._claimed = Claimed(1, 1, channel_id, "push", None, None, None, 0, None, False, False)
        no_door: Any = None  # each call brings its answer
        self._calls = Calls(engine, {channel_id: no_door}, rates=RATES, commits=Commits(engine), clock=system_clock)
        self._calls._pacers[channel_id, "push"] = Pacer(engine, channel_id, "push", 100, clock_us=self._clock_us)
        self._under_way: deque[tuple[int, asyncio.Future[Answer]]] = deque()

    def _clock_us(self) -> int:
        self.now_us += 1
        return self.now_us

    async def step(self) -> None:
        """Time goes on to the next permit, and what was begun `LATENCY_US` ago is answered."""
        self.now_us += STEP_US
        while self._under_way and self._under_way[0][0] <= self.now_us - LATENCY_US:
            self._under_way.popleft()[1].set_result(Answer("accepted", "a-request"))
        await asyncio.sleep(0)

    async def call(self) -> None:
        """One that LINE will answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        assert await self._calls.begin(self._claimed, self.run, lambda _: answer) is not None
        self._under_way.append((self.now_us, answer))

    async def call_in_vain(self, why: str) -> None:
        """One that it won't."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if why == "its run was stopped":
            self.now_us -= STEP_US  # its permit is still to come
            begin = asyncio.create_task(self._calls.begin(self._claimed, self.run, lambda _: answer))
            await asyncio.sleep(0)
            self.run.stopped.set()
            assert await begin is None
            self.run.stopped.clear()
            self.now_us += STEP_US
            return
        call = await self._calls.begin(self._claimed, self.run, lambda _: answer)
        assert call is not None
        if why == "cancelled":
            call.answer.cancel()
        else:
            answer.set_result(Answer("not_reached" if why == "there was no connection" else "in_doubt"))
        await asyncio.sleep(0)


@pytest.mark.parametrize("why", ["its run was stopped", "there was no connection", "it broke", "cancelled"])
def test_a_call_that_line_did_not_answer_makes_no_later_one_wait(engine: Engine, why: str) -> None:
    async def work() -> None:
        steps = Steps(engine)
        async with asyncio.timeout(20):  # a call that has to wait waits for ever, as time hardly goes on
            for number in range(400):
                await steps.step()
                await (steps.call_in_vain(why) if number == 150 else steps.call())

    asyncio.run(work())
