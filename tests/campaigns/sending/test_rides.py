"""Free reply first: by reply or by push, once, whatever breaks in between."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bot.inbox import process_inbox
from bot.line import LineDoor
from bot.replies import ReplyTexts, send_due_replies
from campaigns.links.making import LinkMaker
from campaigns.links.tokens import TokenSigner
from campaigns.planning import schedule
from campaigns.planning.plan import StepPlan, VariantPlan
from campaigns.sending.claims import BatchOutcome, claim_batches, record_batches
from campaigns.sending.rides import Rides
from campaigns.settings import change_settings
from simulator.faults import FaultKind
from simulator.webhooks import body_of, text
from store.bodies import changing_bodies, open_bodies
from store.clock import system_clock
from store.engine import reading, table_of, transaction
from store.imports.merging import merge_customers
from store.models import Customer, Delivery, Reply, SendBatch, WebhookBody
from tests.campaigns.conftest import LINKED, PLAIN, TOKEN, ZONE, Shop, user_id
from tests.factories import make_customer

OpenShop = Callable[[int], Shop]
TEXTS = ReplyTexts(welcome="歡迎", refused="不再傳", resumed="恢復了")
ROOT = Path(__file__).parent.parent.parent.parent


def rides() -> Rides:
    """A process's own: it keeps the content of runs."""
    return Rides(LinkMaker(TokenSigner("k" * 40), "https://brand.example"))


def writes(shop: Shop, number: int, words: str = "在嗎", at: datetime | None = None) -> None:
    """Somebody writes to the account; the webhook has stored the body."""
    at = at or shop.clock()
    with shop.line.platform.lock:
        token = shop.line.platform.channels[0].new_reply_token(user_id(number), shop.clock())
    body = body_of("U" + "b" * 32, [text(user_id(number), at, token, words)])
    with transaction(shop.engine) as session, changing_bodies(session) as bodies:
        bodies.add(WebhookBody(channel_id=shop.channel_id, received_at=at, body=body))


def read_inbox(shop: Shop) -> None:
    bodies = open_bodies(shop.engine)
    while process_inbox(shop.engine, bodies, clock=shop.clock, texts=TEXTS, riders=rides()):
        pass


def answer(shop: Shop, timeout_seconds: float = 5.0) -> None:
    door = LineDoor(api_base=shop.line.url, access_token=TOKEN, timeout_seconds=timeout_seconds)
    while send_due_replies(shop.engine, {shop.channel_id: door}, clock=shop.clock, riders=rides()):
        pass


def deliveries(shop: Shop) -> dict[int, Any]:
    """Person's number -> delivery."""
    with reading(shop.engine) as session:
        rows = session.execute(select(table_of(Delivery))).all()
    return {shop.ids.index(row.customer_id) + 1: row for row in rows}


def replied(shop: Shop) -> list[list[dict[str, Any]]]:
    with shop.line.platform.lock:
        return [e.messages for e in shop.line.platform.channels[0].ledger.entries if e.endpoint == "reply"]


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_who_writes_gets_it_with_the_reply_and_the_rest_is_pushed_in_the_end(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(4)
    content = LINKED if way == "push" else [{"type": "text", "text": "看看 https://shop.example/a"}]
    campaign_id = shop.plan(way=way, messages=content, reply_first_minutes=60)
    shop.tick()
    shop.send()
    assert shop.got() == {}
    writes(shop, 2)
    writes(shop, 2, "還有一件事")
    read_inbox(shop)
    answer(shop)
    assert shop.got() == {user_id(2): 1}
    assert "https://brand.example/r/" in replied(shop)[0][0]["text"]
    shop.clock.advance(minutes=61)
    writes(shop, 3)  # too late for a ride: it is pushed to
    read_inbox(shop)
    shop.send()
    shop.tick()
    assert shop.everyone_once([1, 2, 3, 4])
    assert [n for n, row in deliveries(shop).items() if row.by_reply] == [2]
    assert shop.results(campaign_id).deliveries["accepted"] == 4
    assert shop.campaign(campaign_id).state == "sent"


@pytest.mark.parametrize("breaks", [True, False])
def test_who_is_found_to_be_a_member_while_a_reply_is_due_gets_it_once(open_shop: OpenShop, breaks: bool) -> None:
    shop = open_shop(2)
    campaign_id = shop.plan(way="multicast", messages=PLAIN, reply_first_minutes=60)
    shop.tick()
    writes(shop, 1)
    read_inbox(shop)
    with transaction(shop.engine) as session:
        member_id = make_customer(session, member_id="known from a file").id or 0
    with transaction(shop.engine) as session:
        merge_customers(session.connection(), {shop.ids[0]: member_id})
    shop.ids[0] = member_id
    if breaks:
        shop.fault(FaultKind.ERROR_500, count=1)
    answer(shop)
    shop.clock.advance(minutes=61)
    shop.send()
    shop.tick()
    assert shop.got()[user_id(2)] == 1
    assert shop.got()[user_id(1)] == (0 if breaks else 1)
    assert deliveries(shop)[1].state == ("unknown" if breaks else "accepted")
    assert shop.campaign(campaign_id).state == "sent"


def test_a_deadline_in_quiet_hours_takes_nobodys_free_reply(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    with transaction(shop.engine) as session:
        change_settings(session, {"quiet_hours": "22:00-08:00"}, actor="ann", now=shop.clock())
    shop.clock.now = datetime(2026, 11, 2, 20, tzinfo=ZONE)
    campaign_id = shop.plan(messages=PLAIN, reply_first_minutes=4 * 60)  # until midnight
    shop.tick()
    shop.send()
    shop.clock.advance(hours=1)
    writes(shop, 2)
    read_inbox(shop)
    answer(shop)
    assert shop.got() == {user_id(2): 1}
    shop.clock.advance(hours=2)  # 23:00: whoever writes now is awake
    shop.tick()
    writes(shop, 3)
    read_inbox(shop)
    answer(shop)
    assert shop.got() == {user_id(2): 1, user_id(3): 1}
    shop.clock.now = datetime(2026, 11, 3, 7, 59, tzinfo=ZONE)
    shop.tick()
    shop.send()
    assert user_id(1) not in shop.got()
    shop.clock.advance(minutes=1)
    shop.tick()
    shop.send()
    shop.tick()
    assert shop.everyone_once([1, 2, 3])
    assert (shop.results(campaign_id).total.by_reply, shop.campaign(campaign_id).state) == (2, "sent")


def test_refusal_block_and_a_full_reply_leave_the_campaign_out(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    shop.plan(messages=[{"type": "text", "text": str(n)} for n in range(5)], reply_first_minutes=60)
    shop.tick()
    writes(shop, 1, "取消")
    writes(shop, 3, "訂閱")  # answered with a text of our own: five more don't fit
    read_inbox(shop)
    answer(shop)
    assert sorted(m[0]["text"] for m in replied(shop)) == ["不再傳", "恢復了"]
    assert [len(m) for m in replied(shop)] == [1, 1], replied(shop)
    shop.clock.advance(minutes=61)
    shop.send()
    rows = deliveries(shop)
    assert (rows[1].state, rows[1].reason) == ("skipped", "refused")
    assert (rows[2].state, rows[3].state) == ("accepted", "accepted")
    assert not any(row.by_reply for row in rows.values())


def test_the_persons_own_version_and_language_ride_along_behind_the_answer(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    with transaction(shop.engine) as session:
        session.get_one(Customer, shop.ids[0]).language = "en"
    variant = VariantPlan(PLAIN, languages={"en": [{"type": "text", "text": "Sale, {{ name }}"}]})
    shop.plan(steps=[StepPlan([variant])], reply_first_minutes=60)
    shop.tick()
    writes(shop, 1, "訂閱")
    read_inbox(shop)
    answer(shop)
    assert [m["text"] for m in replied(shop)[0]] == ["恢復了", "Sale, 客1"]


@pytest.mark.parametrize(
    ("kind", "state", "got"),
    [
        (FaultKind.ERROR_500_AFTER_ACCEPT, "unknown", 1),
        (FaultKind.DROP_AFTER_ACCEPT, "unknown", 1),
        (FaultKind.ERROR_500, "unknown", 0),  # LINE may have it: it is never pushed after
        (FaultKind.ERROR_429, "accepted", 1),  # LINE said no: pushed at the deadline
    ],
)
def test_a_reply_in_doubt_is_never_pushed_after_and_one_refused_is(
    open_shop: OpenShop, kind: FaultKind, state: str, got: int
) -> None:
    shop = open_shop(1)
    shop.plan(reply_first_minutes=60)
    shop.tick()
    writes(shop, 1)
    read_inbox(shop)
    shop.fault(kind)
    answer(shop)
    shop.no_faults()
    shop.clock.advance(minutes=61)
    shop.send()
    shop.tick()
    assert deliveries(shop)[1].state == state
    assert shop.got()[user_id(1)] == got


def test_a_reply_that_was_never_tried_gives_its_delivery_back(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    shop.plan(reply_first_minutes=60)
    shop.tick()
    writes(shop, 1)
    read_inbox(shop)
    assert deliveries(shop)[1].by_reply
    shop.clock.advance(minutes=61)
    shop.send()
    assert shop.got() == {}  # somebody may be sending the reply: the batch waits until that is known
    answer(shop)
    shop.send()
    assert shop.everyone_once([1])
    assert not deliveries(shop)[1].by_reply


def test_a_sender_that_died_over_a_reply_makes_the_delivery_unknown(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    campaign_id = shop.plan(reply_first_minutes=60)
    shop.tick()
    writes(shop, 1)
    read_inbox(shop)
    with transaction(shop.engine) as session:
        session.execute(table_of(Reply).update().values(state="sending"))
    shop.clock.advance(minutes=61)
    answer(shop)
    shop.send()
    shop.tick()
    assert (deliveries(shop)[1].state, shop.got()) == ("unknown", {})
    assert shop.campaign(campaign_id).state == "sent"


def test_a_multicast_called_while_somebody_was_riding_does_not_lose_them(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    shop.plan(way="multicast", messages=PLAIN, reply_first_minutes=60)
    shop.tick()
    shop.clock.advance(minutes=61)
    with transaction(shop.engine) as session:
        lease, channels = timedelta(seconds=5), [shop.channel_id]
        (held,) = claim_batches(session, "w", limit=1, lease=lease, now=shop.clock(), channels=channels)
    shop.clock.advance(minutes=-2)
    writes(shop, 2)
    with transaction(shop.engine) as session:  # whose ride the sender had not seen when it looked
        session.execute(table_of(SendBatch).update().values(state="due", first_attempt_at=None))
    read_inbox(shop)
    with transaction(shop.engine) as session:
        session.execute(table_of(SendBatch).update().values(state="claimed"))
        record_batches(session, "w", [(held, BatchOutcome("accepted"))], now=shop.clock())
    shop.clock.advance(minutes=3)
    answer(shop)  # expired: given back, to a batch of its own
    shop.send()
    assert shop.got() == {user_id(2): 1}


def test_cancelled_while_riding_the_outcome_is_still_told_as_it_was(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    campaign_id = shop.plan(reply_first_minutes=60)
    shop.tick()
    writes(shop, 1)
    writes(shop, 2)
    read_inbox(shop)
    with transaction(shop.engine) as session:
        schedule.cancel(session, campaign_id)
    shop.tick()
    assert {row.state for row in deliveries(shop).values()} == {"unknown"}
    shop.fault(FaultKind.ERROR_429, count=1)
    answer(shop)
    assert sorted((row.state, row.reason) for row in deliveries(shop).values()) == [
        ("accepted", None),
        ("skipped", "cancelled"),
    ]


def test_two_inboxes_and_a_sender_at_the_deadline_agree_on_one_way_for_each(
    open_shop: OpenShop, in_threads: Callable[..., None]
) -> None:
    shop = open_shop(60)
    shop.plan(reply_first_minutes=60)
    shop.tick()
    for number in range(1, 61):
        writes(shop, number, at=shop.clock() + timedelta(minutes=59))
        writes(shop, number, at=shop.clock() + timedelta(minutes=59, seconds=1))
    early, shop.clock.now = shop.clock() + timedelta(minutes=59, seconds=2), shop.clock() + timedelta(minutes=60)

    def inbox() -> None:
        bodies = open_bodies(shop.engine)
        while process_inbox(shop.engine, bodies, clock=lambda: early, texts=TEXTS, riders=rides(), limit=5):
            pass

    in_threads(inbox, inbox, shop.send)
    shop.clock.now = early
    answer(shop)
    shop.clock.advance(minutes=10)
    shop.send()
    assert shop.everyone_once(range(1, 61))


# Reads the inbox, answers and sends, on a clock so many seconds ahead, until it is killed.
PROGRAM = """
import asyncio, sys, threading
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from bot.inbox import process_inbox
from bot.line import BulkDoor, LineDoor
from bot.replies import ReplyTexts, send_due_replies
from campaigns.links.making import LinkMaker
from campaigns.links.tokens import TokenSigner
from campaigns.sending.calls import Rates
from campaigns.sending.dispatch import Dispatch
from campaigns.sending.rides import Rides
from store.bodies import open_bodies
from store.clock import system_clock
from store.engine import open_engine

url, line, token, channel, ahead = sys.argv[1:]
engine, channel = open_engine(url), int(channel)
bodies = open_bodies(engine)
links = LinkMaker(TokenSigner("k" * 40), "https://brand.example")
clock = lambda: system_clock() + timedelta(seconds=float(ahead))
door, riders = LineDoor(api_base=line, access_token=token, timeout_seconds=2.0), Rides(links)

def for_ever(work):
    while True:
        with suppress(Exception):  # a lost deadlock or a busy file: the worker's heartbeat tries again, too
            work()

async def send():
    async with AsyncExitStack() as stack:
        bulk = BulkDoor(api_base=line, access_token=token, timeout_seconds=2.0, connections=16)
        sender = await stack.enter_async_context(bulk)
        dispatch = Dispatch(engine, {channel: sender}, rates=Rates(1900, 190, 16, first_wait_seconds=0.1),
                            links=links, lease=timedelta(seconds=2), clock=clock)
        await dispatch.run_until(asyncio.Event())

texts = ReplyTexts("", "", "")
inbox = lambda: process_inbox(engine, bodies, clock=clock, texts=texts, riders=riders, limit=3)
replies = lambda: send_due_replies(engine, {channel: door}, clock=clock, riders=riders, limit=4)
for work in (inbox, replies):
    threading.Thread(target=for_ever, args=(work,), daemon=True).start()
asyncio.run(send())
"""


def test_killed_in_the_middle_with_faults_on_nobody_gets_it_twice_and_only_replies_in_doubt_are_missing(
    open_shop: OpenShop, database_url: str
) -> None:
    shop = open_shop(300)
    shop.clock.now = system_clock()
    campaign_id = shop.plan(reply_first_minutes=60)
    shop.tick()
    kinds = (FaultKind.DROP_AFTER_ACCEPT, FaultKind.ERROR_500_AFTER_ACCEPT, FaultKind.ERROR_429, FaultKind.DROP_BEFORE)
    dice = random.Random(5)
    for number in range(6):
        if number < 4:  # two hundred people may write, some of them twice
            for person in dice.sample(range(1, 201), 60):
                writes(shop, person, at=system_clock())
        shop.fault(kinds[number % 4], probability=0.15)
        ahead = 0 if number < 4 else 3601
        command = [sys.executable, "-c", PROGRAM, database_url, shop.line.url, TOKEN, str(shop.channel_id), str(ahead)]
        with subprocess.Popen(command, cwd=ROOT) as process:
            enough, deadline = shop.got().total() + dice.randint(1, 25), time.monotonic() + 60
            while shop.got().total() < enough and time.monotonic() < deadline:
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
    shop.no_faults()
    shop.clock.now = system_clock() + timedelta(seconds=3800)
    read_inbox(shop)
    answer(shop)
    shop.send()
    shop.tick()
    got, rows = shop.got(), deliveries(shop)
    assert max(got.values()) == 1
    assert {row.state for row in rows.values()} <= {"accepted", "unknown"}
    assert all(got[user_id(n)] == 1 for n, row in rows.items() if row.state == "accepted")
    assert all(row.by_reply for row in rows.values() if row.state == "unknown")
    assert sum(row.by_reply and row.state == "accepted" for row in rows.values()) > 5
    assert sum(not row.by_reply for row in rows.values()) > 100
    assert shop.campaign(campaign_id).state == "sent"
