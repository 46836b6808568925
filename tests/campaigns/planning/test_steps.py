"""Sequences, end to end over a simulated LINE: who goes on, leaves, and gets what, once."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.event import listen, remove

from campaigns.planning import schedule
from campaigns.planning.coming import coming, listening
from campaigns.planning.enrolments import SLICE
from campaigns.settings import change_settings
from segmentation.rules.saved import save_rule
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import (
    CampaignRun,
    Customer,
    LineAccount,
    Rule,
    SegmentChange,
)
from tests.campaigns.conftest import ZONE
from tests.campaigns.planning.sequences import Opener, event, move, moved, on_the_way, order, says, step_on, told
from tests.campaigns.sending.test_rides import answer, read_inbox, writes


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
        save_rule(
            session, "from Taipei", {"type": "attribute", "name": "city", "is": "Taipei"}, shop.clock(), actor="me"
        )
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


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_the_goal_reached_before_the_first_message_of_a_time_has_it_not_sent(open_shop: Opener, way: str) -> None:
    shop = open_shop(3)
    campaign = shop.plan(steps=says("one", "two", wait2=60), goal="bought", way=way, reply_first_minutes=60)
    shop.tick()  # frozen, and waiting for free replies
    order(shop, 1, shop.clock.advance(minutes=5))
    order(shop, 2, shop.clock())
    move(shop)
    writes(shop, 2)
    writes(shop, 3)
    read_inbox(shop)
    answer(shop)
    assert told(shop) == [(3, "one")]
    shop.clock.advance(minutes=60)
    shop.send()
    shop.tick()
    assert told(shop) == [(3, "one")]
    assert shop.results(campaign).skipped == {"goal": 2}


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
