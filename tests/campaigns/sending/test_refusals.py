"""A refusal is obeyed at once, in doubt and after a rest too; who becomes one person meanwhile gets nothing twice."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import update

from bot.line import BulkDoor
from bot.line.answers import Answer
from campaigns.planning import schedule
from campaigns.sending.narrowcast import step_narrowcasts
from simulator.faults import FaultKind
from store.engine import table_of, transaction
from store.imports.merging import merge_customers
from store.models import Customer
from tests.campaigns.conftest import PLAIN, TOKEN, ZONE, Shop
from tests.campaigns.sending.test_narrowcast import ground, planned, rows, work
from tests.factories import make_customer

OpenShop = Callable[[int], Shop]


def refuse(shop: Shop, customer_id: int) -> None:
    customer = table_of(Customer)
    with transaction(shop.engine) as session:
        session.execute(update(customer).where(customer.c.id == customer_id).values(marketing_refused_at=shop.clock()))


def test_a_push_in_doubt_is_not_repeated_for_who_refuses_meanwhile(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = shop.plan(messages=PLAIN)
    shop.tick()
    shop.fault(FaultKind.DROP_BEFORE)
    shop.send()
    shop.no_faults()
    refuse(shop, shop.ids[1])
    shop.clock.advance(minutes=10)
    shop.send()
    shop.tick()
    assert shop.everyone_once([1, 3])
    found = shop.results(campaign_id).deliveries
    assert (found["accepted"], found["unknown"]) == (2, 1)
    assert shop.campaign(campaign_id).state == "sent"


class MergedMeanwhile:
    """LINE's door, while the first push of which a customer turns out to be a member."""

    def __init__(self, door: BulkDoor, shop: Shop, old: int, new: int) -> None:
        self.door, self.shop, self.old, self.new = door, shop, old, new

    async def push(self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None) -> Answer:
        if self.old:
            with transaction(self.shop.engine) as session:
                merge_customers(session.connection(), {self.old: self.new})
            self.old = 0
        return await self.door.push(line_user_id, messages, retry_key, unit)

    async def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None
    ) -> Answer:
        return await self.door.multicast(line_user_ids, messages, retry_key, unit)


def send_while_merging(shop: Shop, number: int, *, is_refused: bool = False) -> None:
    """Two people at a time; `number` becomes a member, who may have refused, during the first push."""
    with transaction(shop.engine) as session:
        refused_at = shop.clock() if is_refused else None
        member_id = make_customer(session, member_id="a member", marketing_refused_at=refused_at).id or 0

    async def drain() -> None:
        async with BulkDoor(api_base=shop.line.url, access_token=TOKEN, timeout_seconds=5, connections=4) as door:
            senders = {shop.channel_id: MergedMeanwhile(door, shop, shop.ids[number - 1], member_id)}
            await shop.dispatch(senders, push_per_second=20).drain()

    asyncio.run(drain())


@pytest.mark.parametrize(("rest", "ends_as"), [(timedelta(minutes=10), "accepted"), (timedelta(hours=25), "unknown")])
def test_who_becomes_a_member_during_their_push_gets_it_once(
    open_shop: OpenShop, rest: timedelta, ends_as: str
) -> None:
    shop = open_shop(3)
    campaign_id = shop.plan(messages=PLAIN)
    shop.tick()
    send_while_merging(shop, 1)
    shop.clock.advance(seconds=rest.total_seconds())  # as after a pause: at 25 hours LINE has forgotten the key
    shop.send()
    shop.tick()
    assert shop.everyone_once([1, 2, 3])
    assert shop.results(campaign_id).deliveries[ends_as] == (3 if ends_as == "accepted" else 1)
    assert shop.campaign(campaign_id).state == "sent"


def test_who_becomes_a_member_that_refuses_while_their_batch_is_pushed_gets_nothing(open_shop: OpenShop) -> None:
    shop = open_shop(4)
    campaign_id = shop.plan(messages=PLAIN)
    shop.tick()
    send_while_merging(shop, 3, is_refused=True)
    shop.clock.advance(minutes=10)
    shop.send()
    shop.tick()
    assert shop.everyone_once([1, 2, 4])
    assert shop.results(campaign_id).deliveries["accepted"] == 3
    assert shop.campaign(campaign_id).state == "sent"


def test_who_refuses_while_a_narrowcast_rests_is_not_in_it_when_it_goes_on(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    assert rows(shop)[0].uploaded_up_to == shop.ids[-1]  # all of them stand in the audience
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign_id)
    refuse(shop, shop.ids[1])
    shop.clock.advance(hours=9)
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())
    work(shop, 120)
    assert shop.everyone_once([1, 3])
    assert shop.results(campaign_id).skipped == {"refused": 1}
    assert shop.campaign(campaign_id).state == "sent"
    assert shop.line.platform.channels[0].audiences.audiences == {}
