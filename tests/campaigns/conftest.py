"""A shop with friends on a simulated LINE, and the real doors, schedule and sending over a real database."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, event, insert, select

from bot.line import BulkDoor
from campaigns.audience import freezing
from campaigns.audience.target import Audience
from campaigns.links.making import LinkMaker
from campaigns.links.tokens import TokenSigner
from campaigns.planning import schedule
from campaigns.planning.plan import Plan, create_campaign, one_step
from campaigns.results.runs import RunResults
from campaigns.results.together import campaign_results
from campaigns.sending.calls import Rates
from campaigns.sending.dispatch import Dispatch
from simulator.channels import ChannelOptions, Friend
from simulator.faults import Fault, FaultKind
from simulator.server import Simulator, SimulatorThread
from store.engine import reading, table_of, transaction
from store.models import Campaign, Channel, Customer, LineAccount
from tests.conftest import StillClock
from tests.factories import LONG_AGO

ZONE = ZoneInfo("Asia/Taipei")
TOKEN = ChannelOptions().access_token
LINKED = [{"type": "text", "text": "您好 {{ name }}，看看 https://shop.example/a?utm_source=line"}]
PLAIN = [{"type": "text", "text": "週年慶開跑"}]


def user_id(number: int) -> str:
    return f"U{number:032x}"


@pytest.fixture
def line(clock: StillClock) -> Iterator[SimulatorThread]:
    with SimulatorThread(Simulator(clock=clock)) as running:
        yield running


@dataclass
class Shop:
    """The world of a test. People are numbered from 1; number n is customer `ids[n - 1]` and LINE user `user_id(n)`."""

    engine: Engine
    clock: StillClock
    line: SimulatorThread
    channel_id: int
    ids: list[int]

    def plan(self, **fields: Any) -> int:
        """Schedule a campaign for now; returns its id."""
        content = fields.pop("messages", LINKED)
        given = {"name": "test", "audience": Audience(("all",)), "holdout_percent": Decimal(0), **fields}
        plan = Plan(**{"at": self.clock(), "steps": one_step(content), **given})
        with transaction(self.engine) as session:
            campaign = create_campaign(session, plan, channel_id=self.channel_id, zone=ZONE, now=self.clock())
            assert campaign.id is not None
            return campaign.id

    def tick(self) -> list[int]:
        """Fire, freeze and settle, as the worker's job does; returns the runs made."""
        with transaction(self.engine) as session:
            schedule.mind_quiet_hours(session, zone=ZONE, now=self.clock())
            made = schedule.fire_due(session, zone=ZONE, now=self.clock())
            planned = freezing.planned_runs(session, now=self.clock())
        for run_id in planned:
            freezing.freeze_run(self.engine, run_id, zone=ZONE, clock=self.clock)
        with transaction(self.engine) as session:
            schedule.settle(session, now=self.clock())
        return made

    def send(self, *, token: str = TOKEN, workers: int = 1, timeout_seconds: float = 5.0) -> None:
        """Send all that is due, with so many workers side by side."""

        async def one(stack: AsyncExitStack) -> None:
            door = BulkDoor(api_base=self.line.url, access_token=token, timeout_seconds=timeout_seconds, connections=32)
            sender = await stack.enter_async_context(door)
            await self.dispatch({self.channel_id: sender}).drain()

        async def all_workers() -> None:
            async with AsyncExitStack() as stack:
                await asyncio.gather(*(one(stack) for _ in range(workers)))

        asyncio.run(all_workers())

    def dispatch(
        self,
        senders: dict[int, Any],
        *,
        push_per_second: float = 1900,
        multicast_per_second: float = 190,
        lease_seconds: float = 10,
        clock: Any = None,
    ) -> Dispatch:
        return Dispatch(
            self.engine,
            senders,
            rates=Rates(
                push_per_second=push_per_second,
                multicast_per_second=multicast_per_second,
                connections=32,
                first_wait_seconds=0.1,
            ),
            links=LinkMaker(TokenSigner("k" * 40), "https://brand.example"),
            lease=timedelta(seconds=lease_seconds),
            clock=clock or self.clock,
        )

    def fault(
        self, kind: FaultKind, *, count: int | None = None, probability: float = 1.0, seconds: float = 30
    ) -> None:
        self.line.simulator.faults.replace([Fault("*", kind, probability, count, seconds)], seed=1)

    def no_faults(self) -> None:
        self.line.simulator.faults.replace([])

    def got(self) -> Counter[str]:
        """How often each LINE user was sent something, by the simulator's own ledger."""
        with self.line.platform.lock:
            entries = self.line.platform.channels[0].ledger.entries
            return Counter(user for entry in entries for user in entry.to)

    def results(self, campaign_id: int) -> RunResults:
        with reading(self.engine) as session:
            return campaign_results(session, campaign_id)

    def campaign(self, campaign_id: int) -> Campaign:
        with reading(self.engine) as session:
            return session.get_one(Campaign, campaign_id)

    def everyone_once(self, people: Sequence[int]) -> bool:
        return self.got() == Counter(user_id(n) for n in people)


@pytest.fixture
def open_shop(engine: Engine, clock: StillClock, line: SimulatorThread) -> Callable[[int], Shop]:
    """Call with a number of people: all are customers with a LINE account that follows the channel."""

    def open_with(people: int) -> Shop:
        numbers = range(1, people + 1)
        line.platform.add_friends(Friend(user_id(n), f"朋友{n}") for n in numbers)
        with transaction(engine) as session:
            channel = Channel(name="main")
            session.add(channel)
            session.flush()
            assert channel.id is not None
            if people:
                session.execute(
                    insert(table_of(Customer)),
                    [
                        {"member_id": f"m{n}", "name": f"客{n}", "attributes": {}, "created_at": LONG_AGO}
                        for n in numbers
                    ],
                )
            customer = table_of(Customer)
            ids = list(session.scalars(select(customer.c.id).order_by(customer.c.id)))
            if people:
                session.execute(
                    insert(table_of(LineAccount)),
                    [
                        {
                            "channel_id": channel.id,
                            "line_user_id": user_id(n),
                            "customer_id": ids[n - 1],
                            "is_following": True,
                            "follow_changed_ms": 0,
                            "profile_tries": 0,
                        }
                        for n in numbers
                    ],
                )
            return Shop(engine, clock, line, channel.id, ids)

    return open_with


@contextmanager
def after_statement(engine: Engine, number: int, happens: Callable[[], object]) -> Iterator[None]:
    """Something `happens`, once, right after the statement of that number, from 1, that the database is given."""
    given = 0

    def count(*_: object) -> None:
        nonlocal given
        given += 1
        if given == number:
            happens()

    event.listen(engine, "after_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", count)


@pytest.fixture
def in_threads() -> Callable[..., None]:
    """Call with functions: all run at once, each in a thread; the first error of any is raised here."""

    def run(*works: Callable[[], object]) -> None:
        together, problems = threading.Barrier(len(works)), []

        def safely(work: Callable[[], object]) -> None:
            together.wait()
            try:
                work()
            except BaseException as error:  # shown to the test, not to a thread that nobody looks at
                problems.append(error)

        threads = [threading.Thread(target=safely, args=[work]) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if problems:
            raise problems[0]

    return run
