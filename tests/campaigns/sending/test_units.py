"""Aggregation units: a name for each variant of a run, never more than a channel has, sent with every call."""

import re
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import func, insert, select, update

from campaigns.planning.plan import StepPlan, VariantPlan
from campaigns.planning.schedule import fire_due
from campaigns.sending.units import MAX_UNITS_A_MONTH, note_units_of_others, reserve_units, units_left, units_of
from store.engine import reading, table_of, transaction
from store.models import Campaign, CampaignRun, Channel, UnitStatistic
from tests.campaigns.conftest import PLAIN, ZONE, Shop
from tests.factories import make_run

OpenShop = Callable[[int], Shop]
TWO = [StepPlan([VariantPlan(PLAIN, "A"), VariantPlan([{"type": "text", "text": "會員日"}], "B")])]


def rows(shop: Shop) -> list[UnitStatistic]:
    with reading(shop.engine) as session:
        return list(session.scalars(select(UnitStatistic).order_by(table_of(UnitStatistic).c.id)))


def sent_under(shop: Shop) -> Counter[str | None]:
    """Unit -> people, by the simulator's ledger."""
    with shop.line.platform.lock:
        entries = shop.line.platform.channels[0].ledger.entries
        return Counter(entry.unit for entry in entries for _ in entry.to)


def fill(shop: Shop, variant_id: int, count: int) -> None:
    """So many names are used up this month."""
    given = {"channel_id": shop.channel_id, "variant_id": variant_id, "month": "2026-11", "detail": {}}
    with transaction(shop.engine) as session:
        session.execute(insert(table_of(UnitStatistic)), [{**given, "unit": f"used_{n}"} for n in range(count)])


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_every_variant_of_a_run_is_sent_under_a_unit_of_its_own(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(40)
    shop.plan(steps=TWO, way=way)
    shop.tick()
    shop.send()
    units = sorted(row.unit or "" for row in rows(shop))
    assert len(units) == 2
    assert all(re.fullmatch(r"[a-zA-Z0-9_]{1,30}", unit) for unit in units)
    people = sent_under(shop)
    assert (sorted(unit or "" for unit in people), people.total()) == (units, 40)


def test_two_runs_have_units_of_their_own_and_ticking_again_takes_none(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    for _ in range(2):
        shop.plan()
        shop.tick()
    with transaction(shop.engine) as session:
        run_ids = session.scalars(select(table_of(CampaignRun).c.id)).all()
        assert [reserve_units(session, run_id, now=shop.clock()) for run_id in run_ids] == [0, 0]
    assert len({row.unit for row in rows(shop)}) == 2


def test_without_names_left_messages_go_without(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    shop.plan()
    shop.tick()
    shop.send()
    first = rows(shop)[0]
    fill(shop, first.variant_id, MAX_UNITS_A_MONTH - 2)
    shop.plan(steps=TWO)
    run_id = shop.tick()[0]
    with transaction(shop.engine) as session:
        run = session.get_one(CampaignRun, run_id)
        assert len(units_of(session, run)) == 1
        assert reserve_units(session, run_id, now=shop.clock()) == 1
        assert units_left(session, session.get_one(Channel, shop.channel_id), "2026-11") == 0
        assert units_left(session, session.get_one(Channel, shop.channel_id), "2026-12") == MAX_UNITS_A_MONTH
    shop.send()
    assert shop.got().total() == 6
    assert shop.line.platform.channels[0].units["2026-11"].keys() <= {row.unit for row in rows(shop)}


def test_names_that_somebody_else_uses_are_not_ours_to_use(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    shop.plan()
    shop.tick()
    shop.send()
    shop.tick()  # over: LINE must have counted it
    with transaction(shop.engine) as session:
        note_units_of_others(session, shop.channel_id, used=1_000, now=shop.clock())
        channel = session.get_one(Channel, shop.channel_id, populate_existing=True)
        assert channel.units_of_others == 999
        assert units_left(session, channel, "2026-11") == 0
        note_units_of_others(session, shop.channel_id, used=11, now=shop.clock())
        session.refresh(channel)
        assert units_left(session, channel, "2026-11") == 1_000 - 1 - 10


def test_runs_that_people_enter_one_by_one_share_a_unit_each_month(open_shop: OpenShop) -> None:
    shop = open_shop(0)
    campaign_id, made = shop.plan(), []
    for days in (0, 1, 29):
        now = shop.clock.advance(days=days)
        with transaction(shop.engine) as session:
            campaign = session.get_one(Campaign, campaign_id)
            run = make_run(session, campaign, by_enrolment=True, scheduled_for=now, fired_at=now)
            made.append(run.id or 0)
        with transaction(shop.engine) as session:
            assert reserve_units(session, made[-1], now=now) == 0
    with reading(shop.engine) as session:
        named = [units_of(session, session.get_one(CampaignRun, run_id)) for run_id in made]
        assert session.scalar(select(func.count()).select_from(table_of(UnitStatistic))) == 2
    assert named[0] == named[1] != named[2]
    assert all(row.run_id is None for row in rows(shop))


def test_workers_that_freeze_at_once_never_take_more_names_than_there_are(
    open_shop: OpenShop, in_threads: Callable[..., None]
) -> None:
    shop = open_shop(1)
    shop.plan()
    shop.tick()
    fill(shop, rows(shop)[0].variant_id, MAX_UNITS_A_MONTH - 3)
    for _ in range(6):
        shop.plan()
    with transaction(shop.engine) as session:
        made = fire_due(session, zone=ZONE, now=shop.clock())

    def reserve(run_id: int) -> None:
        with transaction(shop.engine) as session:
            reserve_units(session, run_id, now=shop.clock())

    in_threads(*(lambda run_id=run_id: reserve(run_id) for run_id in made))
    assert len(rows(shop)) == MAX_UNITS_A_MONTH


def test_a_stopped_months_count_does_not_carry_over(open_shop: OpenShop) -> None:
    shop = open_shop(0)
    with transaction(shop.engine) as session:
        values = {"units_of_others": 1_000, "units_month": "2026-10"}
        session.execute(update(table_of(Channel)).values(**values))
        assert units_left(session, session.get_one(Channel, shop.channel_id), "2026-11") == 1_000
