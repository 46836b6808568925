"""Waves: decided once, let go once, never for ever."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from campaigns.experiments.design import check_experiment, experiment_of
from campaigns.experiments.waves import decide, keep_decision, release_slice
from campaigns.planning import schedule
from campaigns.planning.plan import StepPlan, VariantPlan
from service.waves import release_waves
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import Click, Customer, Delivery, RunWave, SendBatch, TrackedLink
from tests.campaigns.conftest import ZONE, Shop
from tests.factories import make_order

OpenShop = Callable[[int], Shop]
A_AND_B = [
    StepPlan(
        [
            VariantPlan([{"type": "text", "text": "A https://shop.example/a"}], name="A"),
            VariantPlan([{"type": "text", "text": "B https://shop.example/a"}], name="B"),
        ]
    )
]
TEST = {"choice": "test_then_winner", "test_percent": 50, "wait_minutes": 60, "deadline_minutes": 300}
THOMPSON = {"choice": "thompson", "waves": 3, "wait_minutes": 60, "deadline_minutes": 600}


def deliveries(shop: Shop) -> list[Any]:
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    same = (batch.c.run_id == delivery.c.run_id) & (batch.c.batch_number == delivery.c.batch_number)
    with reading(shop.engine) as session:
        return list(session.execute(select(delivery, batch.c.wave).join(batch, same)).all())


def tap(shop: Shop, rows: list[Any]) -> None:
    with transaction(shop.engine) as session:
        link_id = session.scalars(select(table_of(TrackedLink).c.id)).one()
        for row in rows:
            session.add(
                Click(
                    link_id=link_id,
                    run_id=row.run_id,
                    customer_id=row.customer_id,
                    clicked_at=shop.clock(),
                    kind="person",
                    user_agent="Line/14",
                )
            )


def start(shop: Shop, experiment: dict[str, Any], **fields: Any) -> int:
    campaign_id = shop.plan(steps=A_AND_B, experiment=experiment, **fields)
    shop.tick()
    shop.send()
    return campaign_id


def names_got(shop: Shop) -> Counter[str]:
    with shop.line.platform.lock:
        entries = shop.line.platform.channels[0].ledger.entries
        return Counter(e.messages[0]["text"][0] for e in entries for _ in e.to)


def decisions(shop: Shop) -> list[Any]:
    with reading(shop.engine) as session:
        return list(session.execute(select(table_of(RunWave)).order_by(table_of(RunWave).c.wave)).all())


def go_on(shop: Shop) -> None:
    release_waves(shop.engine, shop.clock)
    shop.send()
    shop.tick()


def test_the_test_goes_first_and_the_rest_gets_the_clear_winner(open_shop: OpenShop) -> None:
    shop = open_shop(400)
    campaign_id = start(shop, TEST)
    first = deliveries(shop)
    assert 150 < sum(row.wave == 0 for row in first) < 250
    assert {row.state for row in first if row.wave == 1} == {"chosen"}
    assert {row.variant_id for row in first if row.wave == 1} == {None}
    b = max(row.variant_id for row in first if row.variant_id)
    shop.clock.advance(minutes=1)
    tap(shop, [row for row in first if row.variant_id == b])
    go_on(shop)
    assert shop.got().total() == sum(row.wave == 0 for row in first)  # nobody's hour is over: nothing is known
    shop.clock.advance(minutes=60)
    go_on(shop)
    assert [(row.wave, row.shares, row.reason) for row in decisions(shop)] == [(1, [0.0, 1.0], "winner")]
    assert {row.variant_id for row in deliveries(shop) if row.wave == 1} == {b}
    assert shop.everyone_once(range(1, 401))
    assert shop.campaign(campaign_id).state == "sent"


def test_without_a_clear_winner_nothing_waits_beyond_the_deadline(open_shop: OpenShop) -> None:
    shop = open_shop(60)
    campaign_id = start(shop, TEST)
    shop.clock.advance(minutes=299)
    go_on(shop)
    assert decisions(shop) == []
    assert shop.campaign(campaign_id).state == "sending"
    shop.clock.advance(minutes=1)
    go_on(shop)
    assert [row.reason for row in decisions(shop)] == ["deadline"]
    assert shop.everyone_once(range(1, 61))
    assert shop.campaign(campaign_id).state == "sent"


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_thompson_lets_one_wave_after_another_go_and_shares_them_by_what_was_learned(
    open_shop: OpenShop, way: str
) -> None:
    shop = open_shop(300)
    campaign_id = start(shop, {**THOMPSON, "outcome": "orders"}, way=way)
    for _ in range(2):
        known = [r for r in deliveries(shop) if r.variant_id is not None]
        b = max(r.variant_id for r in known)
        shop.clock.advance(minutes=1)
        with transaction(shop.engine) as session:
            for row in [r for r in known if r.variant_id == b][:12]:  # few: better, but not for sure
                make_order(session, session.get_one(Customer, row.customer_id), ordered_at=shop.clock())
        shop.clock.advance(minutes=61)
        go_on(shop)
    found = decisions(shop)
    assert [row.wave for row in found] == [1, 2]
    assert found[0].reason == "learned"
    assert 0.9 < found[0].shares[1] <= 0.95
    assert found[1].shares[1] > 0.9  # by then B may be the clear winner
    assert shop.everyone_once(range(1, 301))
    assert shop.campaign(campaign_id).state == "sent"
    assert names_got(shop)["B"] > 200


def test_a_wave_is_let_go_once_by_many_workers_and_after_a_crash_in_the_middle(
    open_shop: OpenShop, in_threads: Callable[..., None]
) -> None:
    shop = open_shop(5_000)
    start(shop, {**TEST, "test_percent": 1})
    shop.clock.advance(minutes=300)
    with reading(shop.engine) as session:
        (decision,) = decide(session, deliveries(shop)[0].run_id, now=shop.clock())
    with transaction(shop.engine) as session:
        assert keep_decision(session, decision, now=shop.clock())
    with transaction(shop.engine) as session:
        assert not keep_decision(session, decision, now=shop.clock())
    with transaction(shop.engine) as session:  # one slice, and the worker dies
        assert release_slice(session, decision.run_id)
    in_threads(*[lambda: release_waves(shop.engine, shop.clock)] * 3)
    rows = deliveries(shop)
    assert all(row.variant_id is not None for row in rows)
    assert len({row.variant_id for row in rows if row.wave == 1}) == 1
    with reading(shop.engine) as session:
        assert set(session.scalars(select(table_of(SendBatch).c.state))) == {"done", "due"}


def test_paused_nothing_is_decided_and_cancelled_the_waiting_are_skipped(open_shop: OpenShop) -> None:
    shop = open_shop(60)
    campaign_id = start(shop, TEST)
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign_id)
    shop.clock.advance(minutes=400)
    go_on(shop)
    assert decisions(shop) == []
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())
    release_waves(shop.engine, shop.clock)
    assert len(decisions(shop)) == 1
    with transaction(shop.engine) as session:
        schedule.cancel(session, campaign_id)
    shop.tick()
    assert {(row.state, row.reason) for row in deliveries(shop) if row.wave == 1} == {("skipped", "cancelled")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"choice": "guess"},
        {"choice": "thompson", "wait_minutes": 100, "deadline_minutes": 50},
        {"arms": 2},
        {"choice": "thompson", "waves": 1},
    ],
)
def test_an_experiment_that_can_not_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        experiment_of(wrong)


def test_a_winner_needs_variants_people_and_one_step() -> None:
    campaign: dict[str, Any] = {"variants": 2, "steps": 1, "way": "push", "taps": "by person", "has_trigger": False}
    check_experiment(TEST, **campaign)
    for given, words in (
        ({"variants": 1}, "two variants"),
        ({"steps": 2}, "one step"),
        ({"way": "narrowcast"}, "only counts"),
        ({"way": "multicast", "taps": "counted"}, "tell not who tapped"),
        ({"taps": "none"}, "nothing to tap"),
        ({"has_trigger": True}, "one by one"),
    ):
        with pytest.raises(BadInput, match=words):
            check_experiment(TEST, **{**campaign, **given})
    check_experiment(TEST, **{**campaign, "way": "multicast"})  # buttons or LIFF links say who taps
    by_orders = {**TEST, "outcome": "orders"}
    check_experiment(by_orders, **{**campaign, "way": "multicast", "taps": "none"})
    check_experiment(None, **{**campaign, "variants": 1, "steps": 3, "way": "narrowcast", "has_trigger": True})
    for given in ({"has_trigger": True}, {"steps": 2}):
        with pytest.raises(BadInput, match="learned targeting"):
            check_experiment({"learned_targeting": True}, **{**campaign, **given})
    assert timedelta(minutes=experiment_of(None).wait_minutes) > timedelta(0)
