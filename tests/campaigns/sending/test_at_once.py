"""Pausing, resuming and cancelling while messages go out: each takes hold within a second."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from sqlmodel import Session

from bot.line import Answer
from campaigns.planning import schedule
from campaigns.sending.calls import OpenRun
from campaigns.sending.dispatch import Dispatch
from store.clock import system_clock
from store.engine import transaction
from tests.campaigns.conftest import PLAIN, ZONE, Shop

OpenShop = Callable[[int], Shop]
A_SECOND = 1.4  # on a machine that has other things to do too
PEOPLE = 600
RATES = {"push": {"push_per_second": 100.0}, "multicast": {"multicast_per_second": 4.0}}  # some six seconds for all


class Line:
    """Takes a tenth of a second for each call, and remembers who got it when."""

    def __init__(self) -> None:
        self.got: Counter[str] = Counter()
        self.begun: list[float] = []

    async def push(self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None) -> Answer:
        return await self.multicast([line_user_id], messages, retry_key, unit)

    async def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None
    ) -> Answer:
        self.begun.append(time.monotonic())
        await asyncio.sleep(0.1)
        self.got.update(line_user_ids)
        return Answer("accepted")


open_run = Dispatch._open_run


def opened_slowly(dispatch: Dispatch, run_id: int) -> OpenRun:
    time.sleep(0.3)
    return open_run(dispatch, run_id)


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_a_person_who_stops_a_campaign_or_lets_it_go_on_is_obeyed_within_a_second(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("campaigns.audience.slices.BATCH_SIZE", 25)
    monkeypatch.setattr(Dispatch, "_open_run", opened_slowly)  # all lanes have claimed by then
    shop, line = open_shop(PEOPLE), Line()
    campaign_id = shop.plan(messages=PLAIN, way=way)
    shop.tick()

    async def first_call_after(moment: float) -> float:
        while (last := line.begun[-1] if line.begun else 0.0) <= moment and time.monotonic() < moment + 10:
            await asyncio.sleep(0.01)
        return min((at for at in line.begun if at > moment), default=last)

    async def stops_by(what: Callable[[Session], object]) -> None:
        begun = time.monotonic()
        with transaction(shop.engine) as session:
            what(session)
        await asyncio.sleep(2.0)
        assert max(line.begun) < begun + A_SECOND

    async def work() -> None:
        stop = asyncio.Event()
        dispatch = shop.dispatch({shop.channel_id: line}, clock=system_clock, **RATES[way])
        working = asyncio.create_task(dispatch.run_until(stop))
        await first_call_after(time.monotonic())
        await asyncio.sleep(0.3)
        await stops_by(lambda session: schedule.pause(session, campaign_id))
        assert 0 < line.got.total() < PEOPLE
        resumed = time.monotonic()
        with transaction(shop.engine) as session:
            schedule.resume(session, campaign_id, zone=ZONE, now=system_clock())
        assert await first_call_after(resumed) < resumed + A_SECOND
        await asyncio.sleep(0.5)
        await stops_by(lambda session: schedule.cancel(session, campaign_id))
        stop.set()
        await working

    asyncio.run(work())
    for _ in range(PEOPLE // 25 + 2):
        shop.tick()
    found = shop.results(campaign_id)
    assert max(line.got.values()) == 1
    assert found.deliveries["accepted"] == line.got.total() < PEOPLE
    assert found.skipped == {"cancelled": PEOPLE - line.got.total()}
