"""Sequences and triggers, end to end over a simulated LINE: who enters, goes on, leaves, and gets what, once."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.event import listen, remove

from campaigns.audience.target import Audience
from campaigns.planning import schedule
from campaigns.planning.coming import coming, listening
from campaigns.planning.enrolments import SLICE
from campaigns.planning.plan import StepPlan, VariantPlan
from campaigns.planning.steps import move_people
from campaigns.settings import change_settings
from segmentation.rules.saved import save_rule
from segmentation.tags.hand import put_on
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import (
    BehaviourEvent,
    CampaignRun,
    Click,
    Customer,
    Enrolment,
    LineAccount,
    Rule,
    SalesOrder,
    SegmentChange,
    Tag,
    TrackedLink,
)
from tests.campaigns.conftest import ZONE, Shop

Opener = Callable[[int], Shop]


def says(*texts: str, **fields: Any) -> list[StepPlan]:
    """A step for each text; `wait2=60` is the wait of the second in minutes, `condition2=…` its condition."""
    return [
        StepPlan(
            [VariantPlan([{"type": "text", "text": text}])],
            wait_minutes=fields.get(f"wait{n}", 0),
            condition=fields.get(f"condition{n}"),
        )
        for n, text in enumerate(texts, 1)
    ]


def move(shop: Shop) -> list[int]:
    return move_people(shop.engine, zone=ZONE, clock=shop.clock)


def step_on(shop: Shop, minutes: float = 0) -> None:
    """Let time pass, then let the worker do all that is due: people, freezing, sending, results of it."""
    shop.clock.advance(minutes=minutes)
    move(shop)
    shop.tick()
    shop.send()
    shop.tick()
    move(shop)


def on_the_way(shop: Shop, campaign_id: int) -> list[tuple[int, str, str | None, int]]:
    """(number of the person, state, reason, step) of every enrolment."""
    enrolment = table_of(Enrolment)
    with reading(shop.engine) as session:
        rows = session.execute(
            select(enrolment).where(enrolment.c.campaign_id == campaign_id).order_by(enrolment.c.id)
        ).all()
    return [(shop.ids.index(row.customer_id) + 1, row.state, row.reason, row.step_number) for row in rows]


def told(shop: Shop) -> list[tuple[int, str]]:
    """(number of the person, words) of every message that LINE got, in order of people and time."""
    with shop.line.platform.lock:
        entries = shop.line.platform.channels[0].ledger.entries
        return sorted((int(user[1:], 16), entry.messages[0]["text"]) for entry in entries for user in entry.to)


def order(shop: Shop, number: int, at: datetime, status: str = "paid") -> None:
    with transaction(shop.engine) as session:
        session.add(
            SalesOrder(
                order_id=f"o{number}-{at.isoformat()}",
                customer_id=shop.ids[number - 1],
                ordered_at=at,
                total=Decimal(100),
                status=status,
            )
        )


def event(shop: Shop, number: int, kind: str, at: datetime, **fields: Any) -> None:
    with transaction(shop.engine) as session:
        session.add(
            BehaviourEvent(
                event_key=f"{kind}:{number}:{at.isoformat()}",
                source="brand",
                kind=kind,
                customer_id=shop.ids[number - 1],
                occurred_at=at,
                received_at=at,
                **fields,
            )
        )


def moved(shop: Shop, number: int, before: str | None, after: str, *, is_relabelled: bool = False) -> None:
    with transaction(shop.engine) as session:
        session.add(
            SegmentChange(
                customer_id=shop.ids[number - 1],
                is_relabelled=is_relabelled,
                as_of=shop.clock().date(),
                changed_at=shop.clock(),
                old_nesl=before,
                nesl=after,
                nes="S",
            )
        )


# --- sequences -------------------------------------------------------------------------------------------------


def test_a_broadcast_of_several_steps_goes_on_with_those_whom_step_one_reached(open_shop: Opener) -> None:
    shop = open_shop(3)
    with transaction(shop.engine) as session:
        session.execute(
            update(table_of(LineAccount))
            .where(table_of(LineAccount).c.customer_id == shop.ids[2])
            .values(is_following=False)
        )
    campaign = shop.plan(steps=says("one", "two", "three", wait2=60, wait3=24 * 60))
    step_on(shop)
    assert told(shop) == [(1, "one"), (2, "one")]
    assert on_the_way(shop, campaign) == [(1, "waiting", None, 2), (2, "waiting", None, 2)]
    assert shop.campaign(campaign).state == "scheduled"
    step_on(shop, minutes=59)
    assert len(told(shop)) == 2
    step_on(shop, minutes=1)
    assert told(shop) == [(1, "one"), (1, "two"), (2, "one"), (2, "two")]
    step_on(shop, minutes=24 * 60)
    assert told(shop) == [(n, text) for n in (1, 2) for text in ("one", "three", "two")]
    assert {state for _, state, _, _ in on_the_way(shop, campaign)} == {"finished"}
    shop.tick()
    assert shop.campaign(campaign).state == "sent"
    step_on(shop, minutes=60 * 24 * 30)
    assert len(told(shop)) == 6


def test_conditions_choose_who_gets_a_step_and_the_others_go_past_it(open_shop: Opener) -> None:
    shop = open_shop(3)
    steps = says("one", "nudge", "thanks", wait2=60, condition2="not clicked", wait3=60, condition3="bought")
    campaign = shop.plan(steps=steps)
    step_on(shop)
    event(shop, 1, "click", shop.clock() + timedelta(minutes=5), campaign_id=campaign)
    event(shop, 2, "click", shop.clock() - timedelta(minutes=5), campaign_id=campaign)  # before it was written to
    order(shop, 3, shop.clock() + timedelta(minutes=5))
    order(shop, 1, shop.clock() + timedelta(minutes=5), status="cancelled")
    step_on(shop, minutes=60)
    assert told(shop) == [(1, "one"), (2, "nudge"), (2, "one"), (3, "nudge"), (3, "one")]
    step_on(shop, minutes=60)
    assert [found for found in told(shop) if found[1] == "thanks"] == [(3, "thanks")]
    assert on_the_way(shop, campaign) == [
        (1, "finished", "condition", 3),
        (2, "finished", "condition", 3),
        (3, "finished", None, 3),
    ]


def test_a_condition_may_be_a_rule_and_a_rule_that_has_gone_pauses_the_campaign(open_shop: Opener) -> None:
    shop = open_shop(2)
    with transaction(shop.engine) as session:
        save_rule(session, "from Taipei", {"type": "attribute", "name": "city", "is": "Taipei"}, shop.clock())
        session.execute(update(table_of(Customer)).where(table_of(Customer).c.id == shop.ids[1]).values(city="Taipei"))
    campaign = shop.plan(steps=says("one", "two", wait2=60, condition2="rule:from Taipei"))
    again = shop.plan(steps=says("1", "2", wait2=120, condition2="rule:from Taipei"))
    step_on(shop)
    step_on(shop, minutes=60)
    assert [found for found in told(shop) if found[1] == "two"] == [(2, "two")]
    assert shop.campaign(campaign).problem is None
    with transaction(shop.engine) as session:
        session.execute(delete(table_of(Rule)))
    step_on(shop, minutes=60)
    assert shop.campaign(again).state == "paused"
    assert "there is no saved rule 'from Taipei'" in (shop.campaign(again).problem or "")


def test_who_reaches_the_goal_leaves_and_a_message_on_the_way_is_not_sent(open_shop: Opener) -> None:
    shop = open_shop(3)
    campaign = shop.plan(steps=says("one", "two", wait2=60), goal="bought")
    step_on(shop)
    order(shop, 1, shop.clock() + timedelta(minutes=5))
    shop.clock.advance(minutes=60)
    move(shop)
    shop.tick()  # frozen, not sent: 2 and 3
    order(shop, 2, shop.clock())
    move(shop)
    shop.send()
    shop.tick()
    move(shop)
    assert [found for found in told(shop) if found[1] == "two"] == [(3, "two")]
    assert on_the_way(shop, campaign) == [(1, "left", "goal", 2), (2, "left", "goal", 2), (3, "finished", None, 2)]
    assert shop.results(campaign).skipped == {"goal": 1}


def test_a_goal_may_be_a_rule(open_shop: Opener) -> None:
    shop = open_shop(2)
    rule = {"type": "attribute", "name": "city", "is": "Taipei"}
    campaign = shop.plan(steps=says("one", "two", wait2=60), goal=rule)
    step_on(shop)
    with transaction(shop.engine) as session:
        session.execute(update(table_of(Customer)).where(table_of(Customer).c.id == shop.ids[0]).values(city="Taipei"))
    step_on(shop, minutes=60)
    assert told(shop) == [(1, "one"), (2, "one"), (2, "two")]
    assert on_the_way(shop, campaign)[0] == (1, "left", "goal", 2)


def test_refusing_and_blocking_end_a_sequence(open_shop: Opener) -> None:
    shop = open_shop(3)
    campaign = shop.plan(steps=says("one", "two", "three", wait2=60, wait3=60))
    step_on(shop)
    with transaction(shop.engine) as session:
        customer, account = table_of(Customer), table_of(LineAccount)
        session.execute(update(customer).where(customer.c.id == shop.ids[0]).values(marketing_refused_at=shop.clock()))
        session.execute(update(account).where(account.c.customer_id == shop.ids[1]).values(is_following=False))
    step_on(shop, minutes=60)
    assert [found for found in told(shop) if found[1] == "two"] == [(3, "two")]
    assert on_the_way(shop, campaign)[:2] == [(1, "left", "refused", 2), (2, "left", "blocked", 2)]
    with transaction(shop.engine) as session:  # between the freeze and the sending
        shop.clock.advance(minutes=60)
    move(shop)
    shop.tick()
    with transaction(shop.engine) as session:
        session.execute(update(customer).where(customer.c.id == shop.ids[2]).values(marketing_refused_at=shop.clock()))
    step_on(shop)
    assert [found for found in told(shop) if found[1] == "three"] == []
    assert on_the_way(shop, campaign)[2] == (3, "left", "refused", 3)


def test_held_out_people_get_no_step_and_stay_countable(open_shop: Opener) -> None:
    shop = open_shop(40)
    campaign = shop.plan(steps=says("one", "two", wait2=60), holdout_percent=Decimal(50))
    step_on(shop)
    step_on(shop, minutes=60)
    counts = {text: {n for n, said in told(shop) if said == text} for text in ("one", "two")}
    assert counts["one"] == counts["two"]
    assert 0 < len(counts["one"]) < 40
    assert len(on_the_way(shop, campaign)) == 40


def test_a_paused_sequence_stands_still_and_goes_on_where_it_was(open_shop: Opener) -> None:
    shop = open_shop(2)
    campaign = shop.plan(steps=says("one", "two", wait2=60))
    step_on(shop)
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign)
    step_on(shop, minutes=120)
    assert len(told(shop)) == 2
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign, zone=ZONE, now=shop.clock())
    step_on(shop)
    assert len(told(shop)) == 4


def paused_for(shop: Shop, campaign: int, **time: float) -> None:
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign)
    shop.clock.advance(**time)
    move(shop)
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign, zone=ZONE, now=shop.clock())


def test_a_step_whose_time_was_over_a_day_ago_is_not_sent_and_the_next_keeps_its_time(open_shop: Opener) -> None:
    shop = open_shop(2)
    campaign = shop.plan(steps=says("one", "two", "three", wait2=60, wait3=5 * 24 * 60))
    step_on(shop)
    paused_for(shop, campaign, days=3)
    step_on(shop)
    assert {text for _, text in told(shop)} == {"one"}
    assert on_the_way(shop, campaign) == [(1, "waiting", None, 3), (2, "waiting", None, 3)]
    step_on(shop, minutes=2 * 24 * 60)
    assert {text for _, text in told(shop)} == {"one"}
    step_on(shop, minutes=60)  # five days after the time of the second
    assert told(shop) == [(n, text) for n in (1, 2) for text in ("one", "three")]
    assert {state for _, state, _, _ in on_the_way(shop, campaign)} == {"finished"}


def test_after_a_long_pause_no_step_that_was_missed_is_sent_at_once_or_at_all(open_shop: Opener) -> None:
    shop = open_shop(2)
    steps = says("one", "two", "three", "four", wait2=60, wait3=24 * 60, wait4=24 * 60)
    campaign = shop.plan(steps=steps)
    step_on(shop)
    paused_for(shop, campaign, days=20)
    for _ in range(3):
        step_on(shop, minutes=60)
    assert {text for _, text in told(shop)} == {"one"}
    assert {(state, reason) for _, state, reason, _ in on_the_way(shop, campaign)} == {("finished", "missed")}
    assert shop.campaign(campaign).state == "sent"


def test_a_worker_that_was_down_for_days_sends_no_overtaken_step_either(open_shop: Opener) -> None:
    shop = open_shop(1)
    campaign = shop.plan(steps=says("one", "two", wait2=60))
    step_on(shop)
    step_on(shop, minutes=60 + 24 * 60 + 1)
    assert told(shop) == [(1, "one")]
    assert on_the_way(shop, campaign) == [(1, "finished", "missed", 2)]


def test_who_missed_the_first_step_of_an_event_leaves(open_shop: Opener) -> None:
    shop = open_shop(1)
    campaign = shop.plan(steps=says("one", "two", wait1=60, wait2=60), trigger="nesl:→S1")
    moved(shop, 1, "E", "S1")
    move(shop)
    assert on_the_way(shop, campaign) == [(1, "waiting", None, 1)]
    paused_for(shop, campaign, days=2)
    step_on(shop)
    assert told(shop) == []
    assert on_the_way(shop, campaign) == [(1, "left", "missed", 1)]


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_step_that_was_being_sent_is_not_sent_days_later(open_shop: Opener, is_frozen: bool) -> None:
    shop = open_shop(3)
    campaign = shop.plan(steps=says("one", "two", "three", wait2=60, wait3=7 * 24 * 60))
    step_on(shop)
    shop.clock.advance(minutes=60)
    move(shop)
    if is_frozen:
        shop.tick()
    paused_for(shop, campaign, days=4)
    step_on(shop)
    assert {text for _, text in told(shop)} == {"one"}
    assert shop.results(campaign).skipped == ({"missed": 3} if is_frozen else {})
    assert {(state, step) for _, state, _, step in on_the_way(shop, campaign)} == {("waiting", 3)}
    step_on(shop, minutes=3 * 24 * 60)
    assert told(shop) == [(n, text) for n in (1, 2, 3) for text in ("one", "three")]


def test_a_cancelled_sequence_sends_nothing_more_and_everybody_leaves(open_shop: Opener) -> None:
    shop = open_shop(2)
    campaign = shop.plan(steps=says("one", "two", wait2=60))
    step_on(shop)
    with transaction(shop.engine) as session:
        schedule.cancel(session, campaign)
    step_on(shop, minutes=120)
    assert len(told(shop)) == 2
    assert on_the_way(shop, campaign) == [(1, "left", "cancelled", 2), (2, "left", "cancelled", 2)]


def test_workers_ticking_at_once_make_one_run_and_send_each_step_once(
    open_shop: Opener, in_threads: Callable[..., None]
) -> None:
    shop = open_shop(30)
    campaign = shop.plan(steps=says("one", "two", wait2=60))
    step_on(shop)
    shop.clock.advance(minutes=60)
    in_threads(*[lambda: move(shop)] * 4)
    in_threads(*[shop.tick] * 4)
    shop.send(workers=3)
    in_threads(*[lambda: (shop.tick(), move(shop))] * 4)
    assert told(shop) == sorted((n, text) for n in range(1, 31) for text in ("one", "two"))
    assert len(on_the_way(shop, campaign)) == 30
    with reading(shop.engine) as session:
        assert (
            len(session.execute(select(table_of(CampaignRun)).where(table_of(CampaignRun).c.step_number == 2)).all())
            == 1
        )


class Crash(Exception):
    """Of the worker, in the middle."""


@pytest.mark.parametrize("at", range(1, 7))
def test_a_crash_before_any_commit_loses_and_doubles_nobody(open_shop: Opener, at: int) -> None:
    """The worker dies before its n-th commit, of entering, firing or going on, and another one does it all again."""
    shop = open_shop(5)
    campaign = shop.plan(steps=says("one", "two", wait2=60), trigger="nesl:→S1")
    for number in range(1, 6):
        moved(shop, number, "E", "S1")
    commits = 0

    def die(_: Any) -> None:
        nonlocal commits
        commits += 1
        if commits == at:
            raise Crash

    for minutes in (0, 0, 60, 1):
        shop.clock.advance(minutes=minutes)
        listen(shop.engine, "commit", die)
        with suppress(Crash, ExceptionGroup):
            move(shop)
        remove(shop.engine, "commit", die)
        step_on(shop)
    step_on(shop, minutes=1)
    assert commits >= at
    assert told(shop) == sorted((n, text) for n in range(1, 6) for text in ("one", "two"))
    assert {state for _, state, _, _ in on_the_way(shop, campaign)} == {"finished"}


def test_more_people_than_fit_one_run_are_taken_by_several(engine: Engine, open_shop: Opener) -> None:
    shop = open_shop(SLICE + 10)
    campaign = shop.plan(steps=says("one"), trigger="nesl:→S1")
    with transaction(engine) as session:
        change = {"as_of": shop.clock().date(), "changed_at": shop.clock(), "old_nesl": "E", "nesl": "S1", "nes": "S"}
        rest = {"nesl_personal": "S1", "nes_personal": "S", "activity": "none"}
        session.execute(insert(table_of(SegmentChange)), [{"customer_id": who, **change, **rest} for who in shop.ids])
    first = move(shop)
    shop.clock.advance(minutes=1)
    second = move(shop)
    assert (len(first), len(second)) == (1, 1)
    assert sorted(state for _, state, _, _ in on_the_way(shop, campaign)) == ["taken"] * (SLICE + 10)


# --- triggers --------------------------------------------------------------------------------------------------


def test_a_movement_enters_once_and_what_was_before_the_campaign_does_not(open_shop: Opener) -> None:
    shop = open_shop(4)
    moved(shop, 1, "E", "S1")
    campaign = shop.plan(steps=says("wake up", wait1=30), trigger="nesl:E→S1")
    moved(shop, 2, "E", "S1")
    moved(shop, 3, "N", "S1")
    moved(shop, 4, "E", "E")
    step_on(shop)
    assert on_the_way(shop, campaign) == [(2, "waiting", None, 1)]
    assert told(shop) == []
    step_on(shop, minutes=30)
    step_on(shop, minutes=5)
    assert told(shop) == [(2, "wake up")]
    moved(shop, 2, "S1", "E")
    moved(shop, 2, "E", "S1")  # once more, later: another entry
    step_on(shop)
    step_on(shop, minutes=30)
    assert told(shop) == [(2, "wake up")] * 2
    assert shop.campaign(campaign).state == "scheduled"  # a trigger listens until it is cancelled


def test_lines_drawn_anew_move_nobody_into_a_campaign(open_shop: Opener) -> None:
    shop = open_shop(3)
    campaign = shop.plan(steps=says("wake up"), trigger="nesl:→S1")
    for number in (1, 2, 3):
        moved(shop, number, "E", "S1", is_relabelled=number != 2)
    step_on(shop, minutes=1)
    assert [number for number, *_ in on_the_way(shop, campaign)] == [2]


def test_who_is_on_the_way_does_not_enter_a_second_time(open_shop: Opener) -> None:
    shop = open_shop(1)
    campaign = shop.plan(steps=says("a", "b", wait2=60), trigger="nesl:→S1")
    moved(shop, 1, "E", "S1")
    step_on(shop)
    moved(shop, 1, "E", "S1")
    step_on(shop, minutes=10)
    assert told(shop) == [(1, "a")]
    assert on_the_way(shop, campaign) == [(1, "waiting", None, 2), (1, "left", "already_in", 1)]
    step_on(shop, minutes=60)
    step_on(shop, minutes=60)
    assert told(shop) == [(1, "a"), (1, "b")]


def test_entering_and_leaving_segments_of_several(open_shop: Opener) -> None:
    shop = open_shop(4)
    enters = shop.plan(steps=says("in"), trigger={"on": "segment", "model": "nesl", "to": ["S1", "S2"]})
    leaves = shop.plan(steps=says("out"), trigger={"on": "segment", "model": "nesl", "from": ["S1", "S2"]})
    for number, (before, after) in enumerate([("E", "S1"), ("S1", "S2"), ("S2", "E"), (None, "S2")], 1):
        moved(shop, number, before, after)
    step_on(shop)
    assert [number for number, *_ in on_the_way(shop, enters)] == [1, 4]
    assert [number for number, *_ in on_the_way(shop, leaves)] == [3]


def test_a_tag_put_on_enters_and_an_unknown_tag_is_refused(open_shop: Opener) -> None:
    shop = open_shop(2)
    with pytest.raises(BadInput, match="no tag 'VIP'"):
        shop.plan(steps=says("vip"), trigger="tag:VIP")
    with transaction(shop.engine) as session:
        session.add(Tag(name="VIP", created_at=shop.clock()))
        session.flush()
        put_on(session, "VIP", [shop.ids[0]], actor="ann", now=shop.clock(), today=shop.clock().date())
    shop.clock.advance(seconds=1)
    campaign = shop.plan(steps=says("vip"), trigger="tag:VIP")
    with transaction(shop.engine) as session:
        put_on(session, "VIP", [shop.ids[1]], actor="ann", now=shop.clock(), today=shop.clock().date())
    step_on(shop)
    step_on(shop, minutes=1)
    assert told(shop) == [(2, "vip")]
    assert len(on_the_way(shop, campaign)) == 1


def tap(shop: Shop, number: int, campaign_id: int, run_id: int, at: datetime, kind: str = "person") -> None:
    with transaction(shop.engine) as session:
        link = session.scalar(
            select(table_of(TrackedLink).c.id).where(table_of(TrackedLink).c.campaign_id == campaign_id)
        )
        row = {"link_id": link, "run_id": run_id, "customer_id": shop.ids[number - 1], "clicked_at": at, "kind": kind}
        session.execute(insert(table_of(Click)).values(**row, user_agent="Line/1", has_event=True))


def test_a_tap_enters_once_a_link_and_run_but_not_by_the_campaigns_own_links(open_shop: Opener) -> None:
    shop = open_shop(3)
    first = shop.plan(topics={"https://shop.example/a?utm_source=line": "維他命 C"})
    step_on(shop)
    with reading(shop.engine) as session:
        run_id = session.scalar(select(table_of(CampaignRun).c.id))
    assert run_id is not None
    text = "看 https://shop.example/b"
    by_topic = shop.plan(steps=says(text), trigger="click:維他命 C")
    by_any = shop.plan(steps=says(text), trigger="click")
    by_other = shop.plan(steps=says(text), trigger="click:魚油")
    for _ in range(3):
        tap(shop, 1, first, run_id, shop.clock.advance(seconds=1))
    tap(shop, 2, first, run_id, shop.clock(), kind="robot")
    step_on(shop, minutes=1)
    assert [number for number, *_ in on_the_way(shop, by_topic)] == [1]
    assert on_the_way(shop, by_other) == []
    with reading(shop.engine) as session:
        run = table_of(CampaignRun)
        own_run = session.scalar(select(run.c.id).where(run.c.campaign_id == by_any))
    assert own_run is not None
    tap(shop, 1, by_any, own_run, shop.clock.advance(seconds=1))
    step_on(shop, minutes=2)
    assert [number for number, *_ in on_the_way(shop, by_any)] == [1]  # not by its own link
    assert len(on_the_way(shop, by_topic)) == 1


def test_a_cart_left_without_an_order(open_shop: Opener) -> None:
    shop = open_shop(4)
    campaign = shop.plan(steps=says("still there?"), trigger="購物車放置 4 小時")
    start = shop.clock()
    for number in (1, 2, 3):
        event(shop, number, "add_to_cart", start)
    order(shop, 2, start + timedelta(hours=1))
    event(shop, 3, "add_to_cart", start + timedelta(hours=2))  # went on filling
    event(shop, 4, "product_view", start)
    step_on(shop, minutes=4 * 60 - 1)
    assert told(shop) == []
    step_on(shop, minutes=1)
    assert told(shop) == [(1, "still there?")]
    step_on(shop, minutes=2 * 60)
    step_on(shop, minutes=10 * 60)
    assert told(shop) == [(1, "still there?"), (3, "still there?")]
    assert len(on_the_way(shop, campaign)) == 2


def test_who_buys_in_the_night_is_not_reminded_of_the_cart_in_the_morning(open_shop: Opener) -> None:
    shop = open_shop(2)
    with transaction(shop.engine) as session:
        change_settings(session, {"quiet_hours": "22:00-08:00"}, actor="ann", now=shop.clock())
    shop.clock.now = datetime(2026, 11, 2, 20, tzinfo=ZONE)
    campaign = shop.plan(steps=says("still there?"), trigger="購物車放置 4 小時")
    for number in (1, 2):
        event(shop, number, "add_to_cart", shop.clock())
    step_on(shop, minutes=4 * 60)  # midnight: both are due, and put off
    order(shop, 2, shop.clock() + timedelta(hours=6))
    shop.clock.now = datetime(2026, 11, 3, 8, tzinfo=ZONE)
    step_on(shop)
    assert told(shop) == [(1, "still there?")]
    assert on_the_way(shop, campaign)[1][1:3] == ("left", "goal")


def test_the_goal_of_a_cart_is_the_one_that_is_given(open_shop: Opener) -> None:
    shop = open_shop(1)
    carts = {"steps": says("a"), "trigger": "購物車放置 4 小時"}
    goals = [shop.campaign(shop.plan(**carts, **more)).goal for more in ({}, {"goal": "clicked"})]
    assert goals == [{"did": "buy", "is": True}, {"did": "click", "is": True}]
    assert shop.campaign(shop.plan(steps=says("a"), trigger="生日")).goal is None


def test_days_after_a_purchase_several_of_one_day_count_once(open_shop: Opener) -> None:
    shop = open_shop(3)
    start = shop.clock()
    order(shop, 1, start - timedelta(days=30, hours=1))  # its thirtieth day was over before the campaign
    order(shop, 2, start - timedelta(days=29))  # but this one comes to be
    campaign = shop.plan(steps=says("again?"), trigger="購買後 30 天")
    order(shop, 3, start + timedelta(hours=1))
    order(shop, 3, start + timedelta(hours=2))
    order(shop, 1, start + timedelta(hours=2), status="refunded")
    step_on(shop)
    assert told(shop) == []
    step_on(shop, minutes=24 * 60)
    assert told(shop) == [(2, "again?")]
    for _ in range(30):
        step_on(shop, minutes=24 * 60)
    assert told(shop) == [(2, "again?"), (3, "again?")]
    assert len(on_the_way(shop, campaign)) == 2


def test_birthdays_and_leap_days(open_shop: Opener) -> None:
    shop = open_shop(4)
    birthdays = [date(1990, 11, 5), date(1992, 2, 29), date(1990, 2, 28), None]
    with transaction(shop.engine) as session:
        customer = table_of(Customer)
        for who, birthday in zip(shop.ids, birthdays, strict=True):
            session.execute(update(customer).where(customer.c.id == who).values(birthday=birthday))
    shop.plan(steps=says("soon"), trigger="生日前 3 天 15:00")  # it is noon on 2 November
    step_on(shop, minutes=179)
    assert told(shop) == []
    step_on(shop, minutes=1)
    assert told(shop) == [(1, "soon")]
    for _ in range(4):
        step_on(shop, minutes=60)
    assert told(shop) == [(1, "soon")]
    shop.plan(steps=says("happy"), trigger={"on": "birthday", "days_before": 0, "at": "10:00"})
    here = datetime(2027, 2, 28, 10, 0, tzinfo=ZONE)
    shop.clock.now = here - timedelta(minutes=1)
    step_on(shop)
    assert [n for n, text in told(shop) if text == "happy"] == []
    step_on(shop, minutes=1)
    assert [n for n, text in told(shop) if text == "happy"] == [2, 3]  # 29 February is kept on the 28th
    step_on(shop, minutes=24 * 60)
    shop.clock.now = datetime(2028, 2, 28, 10, 0, tzinfo=ZONE)
    step_on(shop)
    step_on(shop, minutes=24 * 60)
    assert [n for n, text in told(shop) if text == "happy"] == [2, 2, 3, 3]


def test_a_coupon_about_to_end(open_shop: Opener) -> None:
    shop = open_shop(3)
    until = ["2026-11-05", "2026-11-06T23:59:00+08:00", "soon"]
    with transaction(shop.engine) as session:
        customer = table_of(Customer)
        for who, day in zip(shop.ids, until, strict=True):
            session.execute(update(customer).where(customer.c.id == who).values(attributes={"coupon_until": day}))
    shop.plan(steps=says("ends"), trigger="優惠券到期前 3 天 15:00")
    step_on(shop, minutes=180)
    assert told(shop) == [(1, "ends")]
    step_on(shop, minutes=24 * 60)
    step_on(shop, minutes=24 * 60)
    assert told(shop) == [(1, "ends"), (2, "ends")]


def test_what_triggers_during_a_pause_is_not_made_up_for(open_shop: Opener) -> None:
    shop = open_shop(2)
    campaign = shop.plan(steps=says("a"), trigger="nesl:→S1")
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign)
    moved(shop, 1, "E", "S1")
    step_on(shop, minutes=10)
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign, zone=ZONE, now=shop.clock())
    step_on(shop, minutes=1)
    moved(shop, 2, "E", "S1")
    step_on(shop, minutes=1)
    assert told(shop) == [(2, "a")]


def test_a_moment_that_was_missed_for_a_day_enrols_nobody(open_shop: Opener) -> None:
    shop = open_shop(1)
    with transaction(shop.engine) as session:
        session.execute(update(table_of(Customer)).values(birthday=date(1990, 11, 3)))
        session.add(Tag(name="VIP", created_at=shop.clock()))
    birthday = shop.plan(steps=says("happy"), trigger="生日 10:00")
    tagged, entered = shop.plan(steps=says("vip"), trigger="tag:VIP"), shop.plan(steps=says("e"), trigger="nesl:→E")
    with transaction(shop.engine) as session:
        put_on(session, "VIP", shop.ids, actor="ann", now=shop.clock(), today=shop.clock().date())
    moved(shop, 1, "N", "E")
    step_on(shop, minutes=48 * 60)  # the worker was down
    assert [on_the_way(shop, campaign) for campaign in (birthday, tagged, entered)] == [[], [], []]


def test_who_is_not_in_the_audience_leaves_at_once(open_shop: Opener) -> None:
    shop = open_shop(3)
    with transaction(shop.engine) as session:
        customer = table_of(Customer)
        session.execute(update(customer).where(customer.c.id.in_(shop.ids[:2])).values(city="Taipei"))
        save_rule(session, "from Taipei", {"type": "attribute", "name": "city", "is": "Taipei"}, shop.clock())
        session.add(Tag(name="staff", created_at=shop.clock()))
        session.flush()
        put_on(session, "staff", [shop.ids[0]], actor="ann", now=shop.clock(), today=shop.clock().date())
    audience = Audience(("rule:from Taipei",), ("tag:staff",))
    campaign = shop.plan(steps=says("a"), trigger="nesl:→S1", audience=audience)
    for number in (1, 2, 3):
        moved(shop, number, "E", "S1")
    step_on(shop)
    assert told(shop) == [(2, "a")]
    reasons = [reason for _, _, reason, _ in on_the_way(shop, campaign)]
    assert reasons == ["not_in_audience", None, "not_in_audience"]


def test_the_calendar_shows_what_comes_after_quiet_hours(open_shop: Opener) -> None:
    shop = open_shop(2)
    with transaction(shop.engine) as session:
        change_settings(session, {"quiet_hours": "22:00-08:00"}, actor="ann", now=shop.clock())
    nightly = shop.plan(recurs="每月 10 日 23:00", at=None)
    sequence = shop.plan(steps=says("one", "two", wait2=90))
    listens = shop.plan(steps=says("a"), trigger="nesl:→S1")
    step_on(shop)
    with reading(shop.engine) as session:
        found = coming(session, zone=ZONE, now=shop.clock(), days=30)
        waiting = listening(session)
    assert [(one.campaign_id, one.step_number, one.people, one.is_put_off) for one in found] == [
        (sequence, 2, 2, False),
        (nightly, 1, None, True),
    ]
    assert found[1].at == datetime(2026, 11, 11, 8, tzinfo=ZONE)
    assert [(one.campaign_id, one.chinese) for one in waiting] == [(listens, "當顧客進入瞌睡客 S1")]
    with reading(shop.engine) as session:
        counted = coming(session, zone=ZONE, now=shop.clock(), days=30, counted=1)
    assert [(one.people, one.is_least) for one in counted] == [(1, True), (None, False)]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"trigger": "nesl:→S1", "recurs": "0 10 * * *"}, "either recurs or has a trigger"),
        ({"trigger": "nesl:→S1", "way": "narrowcast"}, "narrowcast"),
        ({"steps": says("a", "b", wait2=-1)}, "waits for 0 to"),
        ({"steps": says("a", wait1=5)}, "no wait and no condition"),
        ({"steps": says("a", "b", condition2="perhaps")}, "is not a condition"),
        ({"steps": says("a", "b", condition2='{"did": "dance", "is": true}')}, "by what was done"),
        ({"goal": "rule:none"}, "no saved rule 'none'"),
        ({"trigger": "nesl:→Z"}, "has no segment 'Z'"),
    ],
)
def test_a_plan_that_does_not_fit_together_is_refused(open_shop: Opener, fields: dict[str, Any], sentence: str) -> None:
    shop = open_shop(0)
    with pytest.raises(BadInput, match=sentence):
        shop.plan(**fields)
