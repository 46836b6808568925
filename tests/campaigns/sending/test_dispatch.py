"""Once for everyone, whatever breaks in between: proven by the simulator's own ledger."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NoReturn

import pytest
from sqlalchemy import select, update

from bot.line import BulkDoor
from bot.line.answers import Answer
from campaigns.planning import schedule
from campaigns.sending.claims import claim_batches
from simulator.channels import Friend
from simulator.faults import FaultKind
from store.engine import reading, table_of, transaction
from store.models import Channel, Customer, Delivery, LineAccount, SendBatch
from tests.campaigns.conftest import PLAIN, TOKEN, ZONE, Shop, user_id

OpenShop = Callable[[int], Shop]


@pytest.mark.parametrize("way", ["push", "multicast"])
@pytest.mark.parametrize("people", [0, 1, 501])
def test_everyone_gets_a_campaign_once(open_shop: OpenShop, people: int, way: str) -> None:
    shop = open_shop(people)
    campaign_id = shop.plan(way=way, messages=PLAIN)
    shop.tick()
    shop.send()
    shop.tick()
    assert shop.everyone_once(range(1, people + 1))
    assert shop.results(campaign_id).deliveries["accepted"] == people
    assert shop.campaign(campaign_id).state == "sent"


def test_ticking_and_sending_again_sends_nothing_more(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    shop.plan()
    for _ in range(3):
        shop.tick()
        shop.send()
    assert shop.everyone_once([1, 2, 3])


@pytest.mark.parametrize("way", ["push", "multicast"])
@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.ERROR_500,
        FaultKind.ERROR_500_AFTER_ACCEPT,
        FaultKind.DROP_BEFORE,
        FaultKind.DROP_AFTER_ACCEPT,
        FaultKind.TIMEOUT_AFTER_ACCEPT,
        FaultKind.TIMEOUT_BEFORE,
    ],
)
def test_a_fault_in_doubt_is_repeated_with_the_same_key(open_shop: OpenShop, kind: FaultKind, way: str) -> None:
    shop = open_shop(20)
    campaign_id = shop.plan(way=way, messages=PLAIN)
    shop.tick()
    shop.fault(kind, count=2, seconds=5)
    shop.send(timeout_seconds=1.5)
    assert shop.everyone_once(range(1, 21))
    assert shop.results(campaign_id).deliveries["accepted"] == 20


def test_a_long_outage_leaves_people_chosen_and_a_later_try_reaches_them_once(open_shop: OpenShop) -> None:
    shop = open_shop(4)
    campaign_id = shop.plan()
    shop.tick()
    shop.fault(FaultKind.ERROR_500_AFTER_ACCEPT)
    shop.send()
    assert shop.results(campaign_id).deliveries["chosen"] == 4
    shop.no_faults()
    shop.clock.advance(minutes=10)
    shop.send()
    shop.tick()
    assert shop.everyone_once([1, 2, 3, 4])
    assert shop.results(campaign_id).deliveries["accepted"] == 4
    assert shop.campaign(campaign_id).state == "sent"


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_after_days_of_tries_the_next_is_still_within_minutes(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(1)
    shop.plan(way=way, messages=PLAIN)
    shop.tick()
    batch = table_of(SendBatch)
    with transaction(shop.engine) as session:
        session.execute(update(batch).values(attempts=5_000))
    shop.fault(FaultKind.ERROR_429)
    shop.send()
    with reading(shop.engine) as session:
        row = session.execute(select(batch)).one()
    assert (row.state, row.attempts) == ("due", 5_001)
    assert shop.clock() < row.not_before <= shop.clock() + timedelta(minutes=5)


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_what_is_in_doubt_for_longer_than_a_key_lives_is_unknown_and_never_repeated(
    open_shop: OpenShop, way: str
) -> None:
    shop = open_shop(2)
    campaign_id = shop.plan(way=way, messages=PLAIN)
    shop.tick()
    shop.fault(FaultKind.DROP_AFTER_ACCEPT)
    shop.send()
    shop.no_faults()
    shop.clock.advance(hours=25)  # LINE has forgotten the key: a repeat would be a second message
    shop.send()
    shop.tick()
    assert shop.everyone_once([1, 2])
    assert shop.results(campaign_id).deliveries["unknown"] == 2
    assert shop.campaign(campaign_id).state == "sent"


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_a_dead_workers_claim_is_taken_over_within_15_seconds_and_nobody_gets_it_twice(
    open_shop: OpenShop, way: str
) -> None:
    shop = open_shop(30)
    campaign_id = shop.plan(way=way, messages=PLAIN)
    shop.tick()
    with transaction(shop.engine) as session:  # it claims, calls LINE, and dies before it can record
        claim_batches(
            session, "dead", limit=1, lease=timedelta(seconds=10), now=shop.clock(), channels=[shop.channel_id]
        )
        delivery, batch = table_of(Delivery), table_of(SendBatch)
        keys = list(session.scalars(select(delivery.c.retry_key).where(delivery.c.retry_key.is_not(None))))
        keys += list(session.scalars(select(batch.c.retry_key).where(batch.c.retry_key.is_not(None))))
    platform = shop.line.platform
    to = [user_id(n) for n in range(1, 31)]
    for number, key in enumerate(keys):
        body = {"to": to if way == "multicast" else to[number], "messages": PLAIN}
        platform.send(platform.channels[0], way, body, key, f"r{number}")
    shop.send()
    assert shop.results(campaign_id).deliveries["accepted"] == 0  # still leased
    shop.clock.advance(seconds=15)
    shop.send()
    assert shop.everyone_once(range(1, 31))
    assert shop.results(campaign_id).deliveries["accepted"] == 30


def test_several_workers_at_once_share_a_run_without_a_duplicate(open_shop: OpenShop) -> None:
    shop = open_shop(1_300)
    campaign_id = shop.plan(messages=PLAIN)
    shop.tick()
    shop.send(workers=3)
    assert shop.everyone_once(range(1, 1_301))
    assert shop.results(campaign_id).deliveries["accepted"] == 1_300


def test_one_bad_id_does_not_stop_the_rest_of_a_multicast(open_shop: OpenShop) -> None:
    shop = open_shop(40)
    del shop.line.platform.channels[0].friends[user_id(17)]
    campaign_id = shop.plan(way="multicast", messages=PLAIN)
    shop.tick()
    shop.send()
    shop.tick()
    assert shop.everyone_once([n for n in range(1, 41) if n != 17])
    results = shop.results(campaign_id)
    assert (results.deliveries["accepted"], results.deliveries["failed"]) == (39, 1)
    assert shop.campaign(campaign_id).state == "sent"


def test_a_message_that_line_refuses_is_not_bisected(open_shop: OpenShop) -> None:
    shop = open_shop(40)
    bad = [{"type": "coupon", "couponId": "01JYNW8JMQVFBNWF1APF8Z3FS7"}]  # one that the account does not have
    campaign_id = shop.plan(way="multicast", messages=bad)
    shop.tick()
    shop.send()
    assert shop.results(campaign_id).deliveries["chosen"] == 40
    with reading(shop.engine) as session:
        assert len(session.execute(select(table_of(SendBatch).c.run_id)).all()) == 1


def test_an_id_unknown_to_line_fails_alone_in_a_push(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    del shop.line.platform.channels[0].friends[user_id(2)]
    campaign_id = shop.plan()
    shop.tick()
    shop.send()
    assert shop.everyone_once([1, 3])
    results = shop.results(campaign_id)
    assert results.deliveries["failed"] == 1
    assert next(iter(results.failed)).startswith("400")


def test_an_exhausted_quota_pauses_the_run_and_resuming_sends_the_rest_once(open_shop: OpenShop) -> None:
    shop = open_shop(10)
    channel = shop.line.platform.channels[0]
    object.__setattr__(channel.options, "quota", 4)
    campaign_id = shop.plan()
    shop.tick()
    shop.send()
    campaign = shop.campaign(campaign_id)
    assert campaign.state == "paused"
    assert "quota" in (campaign.problem or "")
    assert sum(shop.got().values()) == 4
    object.__setattr__(channel.options, "quota", None)
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())
    shop.send()
    shop.tick()
    assert shop.everyone_once(range(1, 11))
    assert shop.campaign(campaign_id).state == "sent"


def test_a_refused_token_stops_the_channel_and_says_so(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = shop.plan()
    shop.tick()
    shop.send(token="revoked")
    with reading(shop.engine) as session:
        assert "401" in (session.get_one(Channel, shop.channel_id).stopped_reason or "")
    assert shop.campaign(campaign_id).state == "paused"
    assert shop.results(campaign_id).deliveries["chosen"] == 3
    shop.send()  # a stopped channel is left alone even with a good token
    assert shop.got() == {}


def test_a_429_for_the_rate_is_waited_out(open_shop: OpenShop) -> None:
    shop = open_shop(5)
    campaign_id = shop.plan()
    shop.tick()
    shop.fault(FaultKind.ERROR_429, count=2)
    shop.send()
    assert shop.everyone_once(range(1, 6))
    assert shop.results(campaign_id).deliveries["accepted"] == 5


def test_a_limit_that_we_do_not_know_ends_after_four_tries_with_lines_words(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    campaign_id = shop.plan()
    shop.tick()
    shop.fault(FaultKind.ERROR_429_OTHER)
    shop.send()
    assert shop.line.simulator.faults.happened == {"error_429_other": 4}
    shop.no_faults()
    shop.clock.advance(hours=1)
    shop.send()
    shop.tick()
    assert shop.got() == {}
    assert shop.results(campaign_id).failed == {"429: Another limit has been exceeded.": 1}
    assert shop.campaign(campaign_id).state == "sent"


def test_a_limit_that_we_do_not_know_does_not_hold_up_who_comes_through(open_shop: OpenShop) -> None:
    shop = open_shop(30)
    campaign_id = shop.plan()
    shop.tick()
    shop.fault(FaultKind.ERROR_429_OTHER, count=15)
    shop.send()
    assert shop.everyone_once(range(1, 31))
    assert shop.results(campaign_id).deliveries["accepted"] == 30


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_a_limit_that_holds_for_everybody_pauses_the_campaign_and_nobody_is_lost(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(60)
    campaign_id = shop.plan(way=way, messages=PLAIN)
    shop.tick()
    shop.fault(FaultKind.ERROR_429_OTHER)
    shop.send()
    campaign = shop.campaign(campaign_id)
    assert campaign.state == "paused"
    assert campaign.problem == "LINE refuses with a limit that we don't know (429: Another limit has been exceeded.)"
    assert shop.results(campaign_id).deliveries["chosen"] == 60
    shop.no_faults()
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())
    shop.clock.advance(minutes=10)
    shop.send()
    assert shop.everyone_once(range(1, 61))


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_content_that_line_refuses_pauses_the_campaign_before_it_has_failed_everybody(
    open_shop: OpenShop, way: str
) -> None:
    shop = open_shop(70)
    campaign_id = shop.plan(way=way, messages=[{"type": "coupon", "couponId": "closed-since"}])
    shop.tick()
    shop.send()
    shop.tick()
    campaign = shop.campaign(campaign_id)
    assert campaign.state == "paused"
    assert (campaign.problem or "").startswith("LINE refuses its content (400: ")
    assert "messages[0].couponId" in (campaign.problem or "")
    found = shop.results(campaign_id)
    assert found.deliveries["failed"] == (19 if way == "push" else 0)
    assert found.deliveries["chosen"] == 70 - found.deliveries["failed"]


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_a_refusal_after_the_audience_was_frozen_is_obeyed(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(3)
    campaign_id = shop.plan(way=way, messages=PLAIN)
    shop.tick()
    customer = table_of(Customer)
    with transaction(shop.engine) as session:
        session.execute(update(customer).where(customer.c.id == shop.ids[1]).values(marketing_refused_at=shop.clock()))
    shop.send()
    assert shop.everyone_once([1, 3])
    assert shop.results(campaign_id).skipped == {"refused": 1}


def test_a_refusal_while_a_batch_is_being_pushed_is_obeyed_at_once(open_shop: OpenShop) -> None:
    shop = open_shop(4)
    campaign_id = shop.plan(messages=PLAIN)
    shop.tick()

    async def drain() -> None:
        async with BulkDoor(api_base=shop.line.url, access_token=TOKEN, timeout_seconds=5, connections=4) as door:
            senders = {shop.channel_id: RefusedMeanwhile(door, shop, shop.ids[2])}
            await shop.dispatch(senders, push_per_second=20).drain()  # slow: two people are noted at a time

    asyncio.run(drain())
    assert shop.everyone_once([1, 2, 4])
    assert shop.results(campaign_id).skipped == {"refused": 1}
    assert shop.results(campaign_id).deliveries["accepted"] == 3
    shop.tick()
    assert shop.campaign(campaign_id).state == "sent"


class RefusedMeanwhile:
    """LINE's door, while the first push of which somebody says 取消."""

    def __init__(self, door: BulkDoor, shop: Shop, customer_id: int) -> None:
        self.door, self.shop, self.customer_id = door, shop, customer_id

    async def push(self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None) -> Answer:
        customer = table_of(Customer)
        with transaction(self.shop.engine) as session:
            theirs = customer.c.id == self.customer_id
            session.execute(update(customer).where(theirs).values(marketing_refused_at=self.shop.clock()))
        return await self.door.push(line_user_id, messages, retry_key, unit)

    async def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None
    ) -> Answer:
        return await self.door.multicast(line_user_ids, messages, retry_key, unit)


def test_one_that_line_is_slow_about_changes_nobody_elses_time(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    shop.plan(messages=PLAIN)
    shop.tick()
    begun_at = shop.clock()
    asyncio.run(shop.dispatch({shop.channel_id: SlowAboutTheFirst(shop)}).drain())
    delivery = table_of(Delivery)
    with reading(shop.engine) as session:
        sent_at = session.scalars(select(delivery.c.sent_at).order_by(delivery.c.customer_id)).all()
    assert sent_at == [begun_at + timedelta(seconds=5), begun_at, begun_at]


class SlowAboutTheFirst:
    """A door that has the first answer five seconds after the others."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.first: asyncio.Future[Answer] | None = None

    def push(self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None) -> asyncio.Future[Answer]:
        answer = asyncio.get_running_loop().create_future()
        if self.first is None:
            self.first = answer
            return answer
        answer.set_result(Answer("accepted"))
        if line_user_id == user_id(3):
            asyncio.get_running_loop().call_later(0.05, self._finish)
        return answer

    def _finish(self) -> None:
        assert self.first is not None
        self.shop.clock.advance(seconds=5)
        self.first.set_result(Answer("accepted"))

    async def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None
    ) -> NoReturn:
        raise AssertionError("these are pushes")


def test_paused_runs_are_left_alone_and_cancelled_ones_skipped(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = shop.plan()
    shop.tick()
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign_id)
    shop.send()
    assert shop.got() == {}
    with transaction(shop.engine) as session:
        schedule.cancel(session, campaign_id)
    shop.tick()
    shop.send()
    assert shop.got() == {}
    assert shop.results(campaign_id).skipped == {"cancelled": 3}
    assert shop.campaign(campaign_id).state == "cancelled"


def test_a_field_too_long_for_one_person_fails_for_that_person_only(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    customer = table_of(Customer)
    with transaction(shop.engine) as session:
        session.execute(update(customer).where(customer.c.id == shop.ids[0]).values(name="長" * 5_001))
    campaign_id = shop.plan()
    shop.tick()
    shop.send()
    assert shop.everyone_once([2])
    assert shop.results(campaign_id).deliveries["failed"] == 1


def test_half_a_character_in_a_field_fails_for_that_person_only(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    customer = table_of(Customer)
    with transaction(shop.engine) as session:
        session.execute(
            update(customer).where(customer.c.id == shop.ids[0]).values(attributes={"nick": "\ud83d", "none": None})
        )
    campaign_id = shop.plan(messages=[{"type": "text", "text": "您好 {{ nick }}{{ none }}！"}])
    shop.tick()
    shop.send()
    assert shop.everyone_once([2])
    assert shop.results(campaign_id).deliveries["failed"] == 1


def test_a_multicast_made_too_long_by_its_tracked_link_fails_and_the_worker_goes_on(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    long = [{"type": "text", "text": "長" * 4_980 + " https://a.example"}]
    campaign_id = shop.plan(way="multicast", messages=long)
    shop.plan(way="multicast", messages=PLAIN)
    shop.tick()
    shop.send()
    assert shop.everyone_once([1, 2])  # the second campaign
    assert shop.results(campaign_id).deliveries["failed"] == 2


def test_a_failure_of_our_own_is_not_hidden_and_leaves_the_batch_in_doubt_for_a_takeover(open_shop: OpenShop) -> None:
    shop = open_shop(5)
    campaign_id = shop.plan()
    shop.tick()
    senders = {shop.channel_id: Broken()}
    with pytest.raises(ExceptionGroup):
        asyncio.run(_drain(shop, senders))
    batch = table_of(SendBatch)
    with reading(shop.engine) as session:
        left = session.execute(select(batch.c.state, batch.c.first_attempt_at)).one()
    assert tuple(left) == ("claimed", shop.clock())
    shop.clock.advance(seconds=11)
    shop.send()
    assert shop.everyone_once(range(1, 6))
    assert shop.results(campaign_id).deliveries["accepted"] == 5


class Broken:
    """A door with a bug: it raises where it must not."""

    async def push(self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None) -> NoReturn:
        raise RuntimeError("a bug")

    async def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None
    ) -> NoReturn:
        raise RuntimeError("a bug")


async def _drain(shop: Shop, senders: dict[int, Broken]) -> None:
    await shop.dispatch(senders).drain()


def test_whoever_blocked_the_account_is_skipped_when_frozen(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    account = table_of(LineAccount)
    with transaction(shop.engine) as session:
        session.execute(update(account).where(account.c.customer_id == shop.ids[0]).values(is_following=False))
    campaign_id = shop.plan()
    shop.tick()
    shop.send()
    assert shop.everyone_once([2])
    assert shop.results(campaign_id).skipped == {"blocked": 1}
    assert shop.line.platform.channels[0].friends[user_id(1)] == Friend(user_id(1), "朋友1")
