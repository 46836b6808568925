"""Who is left out when the quota is short."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from sqlalchemy import insert, select

from campaigns.money.gain import Gains, PastLift, gain_cut, segment_gains
from campaigns.money.quota import note_quota, quota_state
from store.engine import reading, table_of, transaction
from store.models import CampaignRun, Customer, CustomerPrediction, CustomerSegment, Delivery, PredictionRun
from tests.campaigns.conftest import PLAIN, ZONE, Shop, user_id

OpenShop = Callable[[int], Shop]
NOW = datetime(2026, 11, 2, tzinfo=UTC)


class Quota:
    """As LINE would answer."""

    def __init__(self, limit: int | None, used: int) -> None:
        self.limit, self.used = limit, used


def world(rng: np.random.Generator, lift: dict[str, float], runs: int, people: int) -> PastLift:
    """Runs in which each segment spends 20 per person (one in ten buys for 200) and `lift` more when sent to."""
    rows = [(run, name) for run in range(runs) for name in lift]
    held, sent = people // 10, people
    sums = []
    for _, name in rows:
        paid_sent = rng.binomial(1, 0.1 + lift[name] / 200, sent) * 200.0
        paid_held = rng.binomial(1, 0.1, held) * 200.0
        sums.append((paid_sent.sum(), paid_held.sum(), (paid_sent**2).sum() + (paid_held**2).sum()))
    table = np.array(sums)
    ones = np.ones(len(rows))
    runs_of, names = [run for run, _ in rows], [name for _, name in rows]
    return PastLift(
        runs_of,
        names,
        sent * ones,
        table[:, 0],
        held * ones,
        table[:, 1],
        table[:, 2],
    )


def test_the_segments_are_ranked_by_what_a_message_adds_and_one_that_it_harms_comes_last() -> None:
    truth = {"loyal": 1.0, "sleeping": 8.0, "annoyed": -6.0}
    past = world(np.random.default_rng(1), truth, runs=12, people=3_000)
    drawn = segment_gains(past, list(truth), np.random.default_rng(2))
    assert drawn is not None
    middle = dict(zip(truth, drawn.mean(axis=0), strict=True))
    assert middle["sleeping"] > middle["loyal"] > middle["annoyed"]
    assert middle["annoyed"] < 0


def test_nine_of_ten_intervals_hold_the_gain_of_a_run_to_come() -> None:
    inside, worlds = 0, 30
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        truth = {name: float(rng.normal(3, 3)) for name in ("a", "b", "c")}
        drawn = segment_gains(world(rng, truth, runs=6, people=2_000), list(truth), rng)
        assert drawn is not None
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        inside += int(sum(lo <= t <= hi for lo, t, hi in zip(low, truth.values(), high, strict=True)))
    assert inside / (3 * worlds) >= 0.9 - 3 * np.sqrt(0.09 / worlds)


def test_without_runs_that_held_people_out_nothing_is_claimed() -> None:
    nothing = np.zeros(0)
    past = PastLift([], [], nothing, nothing, nothing, nothing, nothing)
    assert segment_gains(past, ["a"], np.random.default_rng(1)) is None


def _predict(shop: Shop, spends: list[int | None]) -> None:
    with transaction(shop.engine) as session:
        run = PredictionRun(
            as_of=NOW.date(), state="finished", cycle_days=30, started_at=NOW, lease_until=NOW, finished_at=NOW
        )
        session.add(run)
        session.flush()
        assert run.id is not None
        for customer_id, spend in zip(shop.ids, spends, strict=True):
            session.execute(
                insert(table_of(CustomerSegment)).values(
                    customer_id=customer_id, rfm8="ordinary_value", nesl="E", nes="E", computed_at=NOW
                )
            )
            if spend is not None:
                session.add(CustomerPrediction(customer_id=customer_id, run_id=run.id, spend_90=Decimal(spend)))


def test_a_short_quota_is_spent_on_those_expected_to_bring_most(open_shop: OpenShop) -> None:
    shop = open_shop(10)
    _predict(shop, [10 * n for n in range(1, 11)])
    with transaction(shop.engine) as session:
        note_quota(session, shop.channel_id, Quota(100, 97), now=shop.clock())
    campaign_id = shop.plan(messages=PLAIN)
    shop.tick()
    shop.send()
    shop.tick()
    assert shop.got() == {user_id(n): 1 for n in (8, 9, 10)}
    assert shop.results(campaign_id).skipped == {"quota": 7}
    with reading(shop.engine) as session:
        run = session.scalars(select(CampaignRun)).one()
        assert run.gain_cut is not None
        assert not run.gain_cut["is_learned"]
        state = quota_state(session, shop.channel_id, zone=ZONE, now=shop.clock())
    assert (state.line_used, state.accepted, state.used, state.left) == (97, 3, 97, 3)


def test_of_equal_gain_the_stable_hash_decides_and_exactly_as_many_as_fit_are_kept(open_shop: OpenShop) -> None:
    shop = open_shop(50)
    with transaction(shop.engine) as session:
        note_quota(session, shop.channel_id, Quota(20, 0), now=shop.clock())
    shop.plan(messages=PLAIN, holdout_percent=Decimal(10))
    shop.tick()
    with reading(shop.engine) as session:
        states = list(session.scalars(select(table_of(Delivery).c.state)))
    assert states.count("chosen") == 20
    assert states.count("held_out") >= 1


@pytest.mark.parametrize("quota", [None, Quota(None, 5), Quota(50, 0)])
def test_an_unknown_unlimited_or_sufficient_quota_leaves_nobody_out(open_shop: OpenShop, quota: Quota | None) -> None:
    shop = open_shop(5)
    if quota:
        with transaction(shop.engine) as session:
            note_quota(session, shop.channel_id, quota, now=shop.clock())
    shop.plan(messages=PLAIN)
    shop.tick()
    shop.send()
    assert shop.everyone_once(range(1, 6))


def test_an_empty_quota_leaves_everybody_out(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    with transaction(shop.engine) as session:
        note_quota(session, shop.channel_id, Quota(10, 10), now=shop.clock())
    campaign_id = shop.plan(messages=PLAIN)
    shop.tick()
    shop.tick()
    assert shop.results(campaign_id).skipped == {"quota": 3}
    assert shop.campaign(campaign_id).state == "sent"


def test_last_months_use_and_waiting_runs_are_told_apart(open_shop: OpenShop) -> None:
    shop = open_shop(4)
    with transaction(shop.engine) as session:
        note_quota(session, shop.channel_id, Quota(100, 90), now=shop.clock())
    shop.plan(messages=PLAIN)
    shop.tick()
    with reading(shop.engine) as session:
        now = quota_state(session, shop.channel_id, zone=ZONE, now=shop.clock())
        later = quota_state(session, shop.channel_id, zone=ZONE, now=datetime(2026, 12, 1, tzinfo=UTC))
    assert (now.used, now.waiting, now.left) == (90, 4, 6)
    assert (later.line_used, later.used, later.left) == (None, 0, 96)


def test_the_cut_keeps_as_many_as_asked_in_sql_as_well(open_shop: OpenShop) -> None:
    shop = open_shop(40)
    _predict(shop, [None if n % 5 == 0 else n % 7 for n in range(40)])
    customer = table_of(Customer)
    gains = Gains({"ordinary_value": 3.0}, {"ordinary_value": 2.0}, is_learned=True)
    with reading(shop.engine) as session:
        cut = gain_cut(session, select(customer.c.id), allowed=17, run_id=1, gains=gains)
        assert cut is not None
        kept = set(session.scalars(select(customer.c.id).where(cut.keeps(customer.c.id))))
        worth = dict(session.execute(select(customer.c.id, gains.expression(customer.c.id))).all())
        assert gain_cut(session, select(customer.c.id), allowed=40, run_id=1, gains=gains) is None
    assert len(kept) == 17
    assert min(worth[i] for i in kept) >= max(worth[i] for i in worth if i not in kept)
