"""Who is in a run: targets, holdouts, reasons to skip, slices and what a crash between them leaves."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from scipy import stats
from sqlalchemy import Engine, insert, select

from campaigns.audience.freezing import SLICE, fitting, freeze_slice
from campaigns.audience.target import Audience
from campaigns.experiments.assignment import is_held_out
from campaigns.planning import schedule
from campaigns.sending.claims import is_being_frozen
from store.engine import reading, table_of, transaction
from store.imports.merging import merge_customers
from store.models import (
    CampaignRun,
    Customer,
    CustomerSegment,
    CustomerTag,
    Delivery,
    LineAccount,
    SendBatch,
    Tag,
)
from tests.campaigns.conftest import PLAIN, ZONE, Shop, user_id
from tests.conftest import StillClock
from tests.factories import LONG_AGO, make_account, make_campaign, make_channel, make_customer, make_run

ENOUGH = 1e-4  # p-value below which chance is no excuse; the inputs are fixed, so a test can't fail now and then


class Town:
    """A channel with people, and runs frozen over them in one go or in slices."""

    def __init__(self, engine: Engine, clock: StillClock) -> None:
        self.engine, self.clock = engine, clock
        with transaction(engine) as session:
            self.channel = make_channel(session)

    def settle_people(self, count: int) -> None:
        customer, account = table_of(Customer), table_of(LineAccount)
        with transaction(self.engine) as session:
            session.execute(
                insert(customer),
                [{"member_id": f"x{n}", "attributes": {}, "created_at": LONG_AGO} for n in range(count)],
            )
            ids = session.scalars(select(customer.c.id)).all()
            session.execute(
                insert(account),
                [
                    {
                        "channel_id": self.channel.id,
                        "line_user_id": f"U{i:032x}",
                        "customer_id": i,
                        "is_following": True,
                        "follow_changed_ms": 0,
                        "profile_tries": 0,
                    }
                    for i in ids
                ],
            )

    def plan(self, **fields: Any) -> int:
        with transaction(self.engine) as session:
            campaign = make_campaign(session, self.channel, **{"holdout_percent": Decimal(0), **fields})
            return make_run(session, campaign).id or 0

    def freeze(self, run_id: int, size: int = SLICE) -> int:
        """Freeze to the end; returns how many slices it took."""
        for slices in range(1_000):
            with transaction(self.engine) as session:
                if not freeze_slice(session, run_id, zone=ZONE, now=self.clock(), size=size):
                    return slices
        raise AssertionError("freezing does not end")

    def frozen(self, run_id: int) -> dict[int, Any]:
        delivery = table_of(Delivery)
        with reading(self.engine) as session:
            rows = session.execute(select(delivery).where(delivery.c.run_id == run_id)).all()
        return {row.customer_id: row for row in rows}

    def batches(self, run_id: int) -> list[Any]:
        batch = table_of(SendBatch)
        with reading(self.engine) as session:
            return list(
                session.execute(select(batch).where(batch.c.run_id == run_id).order_by(batch.c.batch_number)).all()
            )


@pytest.fixture
def town(engine: Engine, clock: StillClock) -> Town:
    return Town(engine, clock)


def test_holdouts_are_the_share_asked_for_and_those_that_the_hash_says(town: Town) -> None:
    town.settle_people(4_000)
    run_id = town.plan(holdout_percent=Decimal("12.5"))
    town.freeze(run_id)
    with reading(town.engine) as session:
        campaign_id = session.get_one(CampaignRun, run_id).campaign_id
    frozen = town.frozen(run_id)
    assert {i for i, row in frozen.items() if row.state == "held_out"} == {
        i for i in frozen if is_held_out(i, campaign_id, Decimal("12.5"))
    }
    held = sum(row.state == "held_out" for row in frozen.values())
    assert stats.binomtest(held, 4_000, 0.125).pvalue > ENOUGH
    assert all((row.batch_number is None) == (row.state == "held_out") for row in frozen.values())
    assert all((row.retry_key is None) == (row.state == "held_out") for row in frozen.values())


@pytest.mark.parametrize(("people", "sizes"), [(1, [1]), (500, [500]), (501, [500, 1]), (1_001, [500, 500, 1])])
def test_batches_are_full_but_the_last(town: Town, people: int, sizes: list[int]) -> None:
    town.settle_people(people)
    run_id = town.plan()
    town.freeze(run_id)
    assert [b.recipient_count for b in town.batches(run_id)] == sizes
    numbers = [row.batch_number for row in town.frozen(run_id).values()]
    assert [numbers.count(b.batch_number) for b in town.batches(run_id)] == sizes


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_every_retry_key_is_a_uuid_of_its_own(town: Town, way: str) -> None:
    town.settle_people(1_001)
    run_id = town.plan(way=way)
    town.freeze(run_id)
    push = [row.retry_key for row in town.frozen(run_id).values()]
    batch = [b.retry_key for b in town.batches(run_id)]
    mine, others = (push, batch) if way == "push" else (batch, push)
    assert set(others) == {None}
    assert len(set(mine)) == len(mine)
    assert all(len(k) == 36 and k[14] == "4" and k[19] in "89ab" for k in mine)


def test_a_freeze_that_stops_between_slices_goes_on_where_it_was(town: Town) -> None:
    town.settle_people(40)
    run_id = town.plan(way="push")
    for _ in range(2):
        with transaction(town.engine) as session:
            assert freeze_slice(session, run_id, zone=ZONE, now=town.clock(), size=7)
    with transaction(town.engine) as session:  # the process dies before the commit
        freeze_slice(session, run_id, zone=ZONE, now=town.clock(), size=7)
        session.rollback()
    assert len(town.frozen(run_id)) == 14
    assert town.freeze(run_id, 7) == 4
    frozen = town.frozen(run_id)
    assert len(frozen) == 40
    assert {row.state for row in frozen.values()} == {"chosen"}
    assert sum(b.recipient_count for b in town.batches(run_id)) == 40
    assert {row.batch_number for row in frozen.values()} == {b.batch_number for b in town.batches(run_id)}
    assert town.freeze(run_id) == 0
    with reading(town.engine) as session:
        assert session.get_one(CampaignRun, run_id).state == "sending"


def test_reasons_to_skip(town: Town) -> None:
    with transaction(town.engine) as session:
        fine, refused, stranger, blocked, unsure = (make_customer(session).id or 0 for _ in range(5))
        session.get_one(Customer, refused).marketing_refused_at = LONG_AGO
        for who, following in ((fine, True), (refused, True), (blocked, False), (unsure, None)):
            make_account(session, town.channel, session.get_one(Customer, who), is_following=following)
        elsewhere = make_channel(session)
        make_account(session, elsewhere, session.get_one(Customer, stranger))
    run_id = town.plan()
    town.freeze(run_id)
    frozen = town.frozen(run_id)
    reasons = {who: (frozen[who].state, frozen[who].reason) for who in (fine, refused, stranger, blocked, unsure)}
    assert reasons == {
        fine: ("chosen", None),
        refused: ("skipped", "refused"),
        stranger: ("skipped", "no_line_account"),
        blocked: ("skipped", "blocked"),
        unsure: ("chosen", None),
    }


@pytest.mark.parametrize(
    ("accounts", "chosen"),
    [
        ([("old", True), ("new", True)], "new"),
        ([("old", True), ("new", False)], "old"),
        ([("old", False), ("new", True)], "new"),
        ([("old", None), ("new", False)], "old"),
    ],
)
def test_a_person_with_two_accounts_is_sent_to_once_where_they_can_be_reached(
    town: Town, accounts: list[tuple[str, bool | None]], chosen: str
) -> None:
    with transaction(town.engine) as session:
        customer = make_customer(session)
        for name, following in accounts:
            make_account(session, town.channel, customer, line_user_id=name, is_following=following)
    run_id = town.plan()
    town.freeze(run_id)
    (row,) = town.frozen(run_id).values()
    assert (row.state, row.line_user_id) == ("chosen", chosen)


def test_targets_choose_by_segment_and_by_tags_that_are_on(town: Town) -> None:
    with transaction(town.engine) as session:
        champion, lost, tagged, untagged = (make_customer(session).id or 0 for _ in range(4))
        for who, rf11, rfm8 in ((champion, "champions", "important_value"), (lost, "lost", "ordinary_win_back")):
            session.add(CustomerSegment(customer_id=who, rf11=rf11, rfm8=rfm8, nesl="E", nes="E", computed_at=LONG_AGO))
        tag = Tag(name="染護", created_at=LONG_AGO)
        session.add(tag)
        session.flush()
        assert tag.id is not None
        session.add(CustomerTag(tag_id=tag.id, customer_id=tagged, since=LONG_AGO, source="import"))
        session.add(CustomerTag(tag_id=tag.id, customer_id=untagged, since=LONG_AGO, until=LONG_AGO, source="import"))
    everyone, champions, tagged_run = (
        town.plan(audience=Audience((t,)).to_json()) for t in ("all", "rf11=champions", "tag:染護")
    )
    for run_id in (everyone, champions, tagged_run):
        town.freeze(run_id)
    assert town.frozen(everyone).keys() == {champion, lost, tagged, untagged}
    assert town.frozen(champions).keys() == {champion}
    assert town.frozen(champions)[champion].segment == "important_value"
    assert town.frozen(tagged_run).keys() == {tagged}


@pytest.mark.parametrize("state", ["paused", "cancelled", "sending", "failed"])
def test_only_a_planned_run_is_frozen(town: Town, state: str) -> None:
    town.settle_people(3)
    run_id = town.plan()
    with transaction(town.engine) as session:
        session.get_one(CampaignRun, run_id).state = state
    assert town.freeze(run_id) == 0
    assert town.frozen(run_id) == {}


def test_two_workers_that_freeze_one_run_together_choose_everyone_once(
    town: Town, in_threads: Callable[..., None]
) -> None:
    town.settle_people(700)
    run_id = town.plan()
    in_threads(*[lambda: town.freeze(run_id, 50)] * 3)
    assert len(town.frozen(run_id)) == 700
    assert sum(b.recipient_count for b in town.batches(run_id)) == 700
    numbers = [row.batch_number for row in town.frozen(run_id).values()]
    assert [numbers.count(b.batch_number) for b in town.batches(run_id)] == [50] * 14


def test_while_a_run_is_frozen_its_batches_are_looked_for_more_often(town: Town) -> None:
    town.settle_people(5)

    def is_coming(*channels: int) -> bool:
        with reading(town.engine) as session:
            return is_being_frozen(session, now=town.clock(), channels=channels)

    mine = town.channel.id or 0
    assert not is_coming(mine)
    with transaction(town.engine) as session:
        put_off = session.get_one(CampaignRun, town.plan())
        put_off.send_from = town.clock() + timedelta(hours=1)
        session.add(put_off)
    assert not is_coming(mine)
    run_id = town.plan()
    assert is_coming(mine)
    assert not is_coming(mine + 1)
    town.freeze(run_id)
    assert not is_coming(mine)


@pytest.mark.parametrize(
    ("size", "seconds", "limit", "following"),
    [
        (4_000, 0.05, None, 6_000),
        (18_000, 0.5, None, SLICE),
        (8_000, 0.3, 0.15, 4_000),
        (8_000, 0.01, 0.15, 12_000),
        (400, 99.0, 0.15, SLICE // 80),
    ],
)
def test_a_slice_is_half_as_large_again_as_the_one_before_at_most(
    size: int, seconds: float, limit: float | None, following: int
) -> None:
    assert fitting(size, seconds, limit) == following


def test_an_empty_audience_is_frozen_at_once(town: Town) -> None:
    run_id = town.plan()
    town.freeze(run_id)
    assert town.batches(run_id) == []
    with reading(town.engine) as session:
        assert session.get_one(CampaignRun, run_id).frozen_at == town.clock()


def test_someone_merged_into_a_later_customer_while_freezing_is_in_the_run_once(
    open_shop: Callable[[int], Shop],
) -> None:
    shop = open_shop(4)
    shop.plan(messages=PLAIN)
    with transaction(shop.engine) as session:
        (run_id,) = schedule.fire_due(session, zone=ZONE, now=shop.clock())
    with transaction(shop.engine) as session:
        freeze_slice(session, run_id, zone=ZONE, now=shop.clock(), size=2)
    with transaction(shop.engine) as session:  # number 1 turns out to be the member that is customer number 4
        merge_customers(session.connection(), {shop.ids[0]: shop.ids[3]})
    is_more = True
    while is_more:
        with transaction(shop.engine) as session:
            is_more = freeze_slice(session, run_id, zone=ZONE, now=shop.clock(), size=2)
    shop.send()
    assert shop.got()[user_id(1)] + shop.got()[user_id(4)] == 1
    assert shop.got()[user_id(2)] == shop.got()[user_id(3)] == 1
