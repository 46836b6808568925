"""A running worker among the dead: what others held is taken up in time, and what it dropped itself is not kept."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from bot.line import Answer
from campaigns.sending.claims import claim_batches
from simulator.faults import FaultKind
from store.clock import system_clock
from store.engine import reading, transaction
from store.models import SendBatch
from tests.campaigns.conftest import PLAIN, Shop

OpenShop = Callable[[int], Shop]


class Line:
    """Accepts each retry key once and remembers when."""

    def __init__(self) -> None:
        self.got: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.at: dict[str, float] = {}

    async def push(self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None) -> Answer:
        await asyncio.sleep(0.01)
        if retry_key not in self.keys:
            self.keys.add(retry_key)
            self.got[line_user_id] += 1
            self.at[line_user_id] = time.monotonic()
        return Answer("accepted")

    async def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None
    ) -> Answer:
        raise AssertionError("not in these tests")


def run_until(shop: Shop, line: Line, is_over: Callable[[], bool], *, seconds: float, **rates: Any) -> None:
    """A worker at work, on the real clock, until `is_over` or so many seconds have gone by."""

    async def work() -> None:
        stop = asyncio.Event()
        dispatch = shop.dispatch({shop.channel_id: line}, lease_seconds=1, clock=system_clock, **rates)
        working = asyncio.create_task(dispatch.run_until(stop))
        deadline = time.monotonic() + seconds
        while not is_over() and not working.done() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        stop.set()
        await working

    asyncio.run(work())


def test_a_batch_dropped_when_the_database_went_away_is_taken_up_again(open_shop: OpenShop) -> None:
    shop = open_shop(20)
    campaign_id = shop.plan()
    shop.tick()
    failures: list[str] = []

    def fail_once(*arguments: Any) -> None:
        if "UPDATE delivery SET state" in arguments[2] and not failures:
            failures.append(arguments[2])
            raise OperationalError("UPDATE", {}, Exception("the server closed the connection"))

    event.listen(shop.engine, "before_cursor_execute", fail_once)
    line = Line()
    run_until(shop, line, lambda: shop.results(campaign_id).deliveries["accepted"] == 20, seconds=60)
    assert failures
    assert shop.results(campaign_id).deliveries["accepted"] == 20
    assert (len(line.got), max(line.got.values())) == (20, 1)


def test_a_dead_workers_batch_does_not_wait_for_lanes_that_are_busy_for_long(open_shop: OpenShop) -> None:
    shop = open_shop(20)
    for _ in range(5):  # one more than there are lanes
        shop.plan(messages=PLAIN)
    shop.tick()
    with transaction(shop.engine) as session:
        (dead,) = claim_batches(
            session, "dead", limit=1, lease=timedelta(seconds=1.5), now=system_clock(), channels=[shop.channel_id]
        )
    begun = time.monotonic()

    def is_taken_up() -> bool:
        with reading(shop.engine) as session:
            return session.get_one(SendBatch, dead.key).claimed_by != "dead"

    run_until(shop, Line(), is_taken_up, seconds=60, push_per_second=2)
    assert is_taken_up()
    assert time.monotonic() - begun < 30, "it waited for the other four, which take 40 seconds"


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_after_an_outage_what_is_left_is_due_again_within_seconds(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(3)
    campaign_id = shop.plan(way=way, messages=PLAIN)
    shop.tick()
    shop.fault(FaultKind.DROP_BEFORE)
    shop.send()
    shop.no_faults()
    shop.clock.advance(seconds=5)
    shop.send()
    assert shop.results(campaign_id).deliveries["accepted"] == 3
    assert shop.everyone_once([1, 2, 3])
