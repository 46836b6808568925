"""Claims as leases: never two at once, and a lost one can't undo what its successor did."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text, update

from campaigns.planning import schedule
from campaigns.sending.claims import (
    BatchOutcome,
    Claimed,
    Outcome,
    begin,
    claim_batches,
    let_go,
    record_batches,
    record_outcomes,
    renew,
)
from campaigns.sending.recipients import multicasts_of, pushes_of
from campaigns.sending.slowing import slow_down
from campaigns.sending.splitting import split_batch
from store.engine import is_sqlite, reading, table_of, transaction
from store.models import Campaign, CampaignRun, Customer, Delivery, SendBatch
from tests.campaigns.conftest import PLAIN, ZONE, Shop
from tests.factories import LONG_AGO

OpenShop = Callable[[int], Shop]
LEASE = timedelta(seconds=10)


def claim(shop: Shop, worker: str, limit: int = 1) -> list[Claimed]:
    with transaction(shop.engine) as session:
        return claim_batches(session, worker, limit=limit, lease=LEASE, now=shop.clock(), channels=[shop.channel_id])


def batches(shop: Shop) -> list[Any]:
    batch = table_of(SendBatch)
    with reading(shop.engine) as session:
        return list(session.execute(select(batch).order_by(batch.c.run_id, batch.c.batch_number)).all())


def states(shop: Shop) -> list[str]:
    delivery = table_of(Delivery)
    with reading(shop.engine) as session:
        return list(session.scalars(select(delivery.c.state).order_by(delivery.c.customer_id)))


def test_workers_that_claim_at_once_get_batches_of_their_own(
    open_shop: OpenShop, in_threads: Callable[..., None]
) -> None:
    shop = open_shop(3)
    for _ in range(12):
        shop.plan()
    shop.tick()
    got: list[Claimed] = []

    def work(worker: str) -> None:
        while claimed := claim(shop, worker, limit=2):
            got.extend(claimed)

    in_threads(*(partial(work, name) for name in ("a", "b", "c")))
    assert sorted(c.run_id for c in got) == sorted({b.run_id for b in batches(shop)})
    assert len(got) == 12


@pytest.mark.parametrize("act", ["let_go", "record", "split"])
def test_a_lost_lease_changes_nothing(open_shop: OpenShop, act: str) -> None:
    shop = open_shop(4)
    shop.plan(way="multicast", messages=PLAIN)
    shop.tick()
    (lost,) = claim(shop, "slow")
    with transaction(shop.engine) as session:
        assert begin(session, "slow", [lost], now=shop.clock()) == {lost.key}
    shop.clock.advance(seconds=11)
    (taken,) = claim(shop, "quick")
    assert (taken.doubt_since, taken.attempts) == (shop.clock() - timedelta(seconds=11), 1)
    with transaction(shop.engine) as session:
        assert begin(session, "slow", [lost], now=shop.clock()) == set()
        if act == "let_go":
            let_go(session, lost, "slow", not_before=None)
        elif act == "record":
            record_batches(session, "slow", [(lost, BatchOutcome("failed"))], now=shop.clock())
        else:
            split_batch(session, lost, "slow", ["k1", "k2"])
    (batch,) = batches(shop)
    assert (batch.state, batch.claimed_by) == ("claimed", "quick")


@pytest.mark.parametrize("earlier", [0, 10_000])
@pytest.mark.parametrize("way", ["push", "multicast"])
def test_a_batch_is_read_by_its_number_however_large_its_run(open_shop: OpenShop, way: str, earlier: int) -> None:
    """Also where the database's statistics know of earlier runs only, as they do of each run while it is sent."""
    shop = open_shop(4)
    if earlier:
        done = [
            {"run_id": 10**6, "customer_id": 10**6 + n, "state": "accepted", "batch_number": n // 10, "by_reply": False}
            for n in range(earlier)
        ]
        with transaction(shop.engine) as session:
            session.execute(insert(table_of(Delivery)), done)
            others = [{"created_at": LONG_AGO, "attributes": {}, "refusal_changed_ms": 0}] * earlier
            session.execute(insert(table_of(Customer)), others)
            session.execute(text("ANALYZE"))
    shop.plan(way=way, messages=PLAIN)
    shop.tick()
    (claimed,) = claim(shop, "one")
    asked: list[tuple[str, Any]] = []
    event.listen(shop.engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    with transaction(shop.engine) as session:
        people = multicasts_of(session, [claimed])[0] if way == "multicast" else pushes_of(session, claimed)
    assert len(people) == 4
    read = [one for one in asked if "batch_number" in one[0] and one[0].startswith(("SELECT", "UPDATE delivery"))]
    assert len(read) == {"push": 1, "multicast": 2}[way]  # who is no longer sent to, and who is
    with reading(shop.engine) as session:
        connection = session.connection()
        explain = "EXPLAIN QUERY PLAN " if is_sqlite(shop.engine) else "EXPLAIN "
        if not is_sqlite(shop.engine):  # it reads small tables whole
            for node in ("seqscan", "bitmapscan"):
                connection.exec_driver_sql(f"SET LOCAL enable_{node} = off")
        for statement, values in read:
            steps = "\n".join(str(row) for row in connection.exec_driver_sql(explain + statement, values))
            assert "ix_delivery_run_id_batch_number" in steps, steps


def test_a_renewed_lease_is_not_taken_over(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    shop.plan()
    shop.tick()
    claim(shop, "busy")
    shop.clock.advance(seconds=9)
    with transaction(shop.engine) as session:
        held = [(b.run_id, b.batch_number) for b in batches(shop)]
        renew(session, "busy", held, lease=LEASE, now=shop.clock())
        renew(session, "other", held, lease=LEASE * 100, now=shop.clock())
        renew(session, "busy", [], lease=LEASE * 100, now=shop.clock())  # it has none in its hands
    shop.clock.advance(seconds=10)
    assert claim(shop, "other") == []
    shop.clock.advance(seconds=1)
    assert len(claim(shop, "other")) == 1


def test_only_those_noted_as_begun_are_in_doubt_when_a_worker_dies(open_shop: OpenShop) -> None:
    shop = open_shop(4)
    shop.plan()
    shop.tick()
    (lost,) = claim(shop, "dead")
    with transaction(shop.engine) as session:
        people = pushes_of(session, lost)
        begin(session, "dead", [lost], now=shop.clock(), up_to=people[1].customer_id)
    begun_at = shop.clock()
    shop.clock.advance(seconds=11)
    (taken,) = claim(shop, "quick")
    with transaction(shop.engine) as session:
        doubts = [person.doubt_since for person in pushes_of(session, taken)]
    assert doubts == [begun_at, begun_at, None, None]


def test_the_first_word_on_a_recipient_counts(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    shop.plan()
    shop.tick()
    run_id = batches(shop)[0].run_id
    for state in ("accepted", "failed", "chosen"):
        with transaction(shop.engine) as session:
            record_outcomes(session, run_id, [Outcome(shop.ids[0], state)])
    assert states(shop) == ["accepted", "chosen"]


def test_two_workers_that_record_the_same_people_in_opposite_order_do_not_wait_for_each_other(
    open_shop: OpenShop, in_threads: Callable[..., None]
) -> None:
    shop = open_shop(300)
    shop.plan()
    shop.tick()
    run_id = batches(shop)[0].run_id

    def record(ids: list[int], state: str) -> None:
        with transaction(shop.engine) as session:
            record_outcomes(session, run_id, [Outcome(i, state) for i in ids])

    in_threads(lambda: record(shop.ids, "accepted"), lambda: record(shop.ids[::-1], "unknown"))
    assert len(set(states(shop))) == 1  # whoever came first, for all


def test_a_split_batch_gives_each_half_a_key_and_leaves_nobody_out(open_shop: OpenShop) -> None:
    shop = open_shop(5)
    shop.plan(way="multicast", messages=PLAIN)
    shop.tick()
    (claimed,) = claim(shop, "w")
    delivery = table_of(Delivery)
    with transaction(shop.engine) as session:
        session.execute(update(table_of(SendBatch)).values(wave=3))
        session.execute(update(delivery).where(delivery.c.customer_id == shop.ids[1]).values(state="skipped"))
        split_batch(session, claimed, "w", ["k1", "k2"])
        split_batch(session, claimed, "w", ["k3", "k4"])  # twice is once
    assert [(b.state, b.recipient_count, b.retry_key, b.wave) for b in batches(shop)[1:]] == [
        ("due", 2, "k1", 3),
        ("due", 2, "k2", 3),
    ]
    with reading(shop.engine) as session:
        numbers = list(session.scalars(select(delivery.c.batch_number).order_by(delivery.c.customer_id)))
    assert numbers == [2, 1, 2, 3, 3]


def test_nothing_is_claimed_of_a_paused_run_and_all_of_it_again_right_after_resuming(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    campaign_id = shop.plan()
    shop.tick()
    (claimed,) = claim(shop, "w")
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign_id)
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())
    assert claim(shop, "other") == []  # the one who holds it goes on
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign_id)
        let_go(session, claimed, "w", not_before=None)
    assert claim(shop, "other") == []
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())
    (again,) = claim(shop, "other")
    assert again.doubt_since is None  # everything that was begun was recorded before it was let go


def test_the_highest_priority_is_sent_first_then_who_entered_one_by_one_then_the_oldest(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    campaigns = [shop.plan(name=name) for name in ("oldest", "later", "entered", "important")]
    shop.tick()
    run, campaign = table_of(CampaignRun), table_of(Campaign)
    with transaction(shop.engine) as session:
        session.execute(update(run).where(run.c.campaign_id == campaigns[2]).values(by_enrolment=True))
        session.execute(update(campaign).where(campaign.c.id == campaigns[3]).values(priority=1))
        campaign_of = {row.id: row.campaign_id for row in session.execute(select(run.c.id, run.c.campaign_id))}
    claimed = [campaign_of[claim(shop, "one")[0].run_id] for _ in campaigns]
    assert claimed == [campaigns[3], campaigns[2], campaigns[0], campaigns[1]]


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_of_a_slowed_run_one_batch_begins_in_so_many_minutes(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(1_600)
    shop.plan(way=way, messages=PLAIN)
    shop.tick()
    with transaction(shop.engine) as session:
        run_id = session.scalars(select(table_of(CampaignRun).c.id)).one()
        assert slow_down(session, run_id, now=shop.clock()) == 1
    assert claim(shop, "one", limit=4) == []
    shop.clock.advance(minutes=1)
    (first,) = claim(shop, "one", limit=4)
    assert claim(shop, "two", limit=4) == []
    shop.clock.advance(seconds=11)  # its worker has died: who takes over need not wait
    assert [batch.key for batch in claim(shop, "two", limit=4)] == [first.key]
    with transaction(shop.engine) as session:
        renew(session, "two", [first.key], lease=timedelta(hours=1), now=shop.clock())
    shop.clock.advance(seconds=49)
    (second,) = claim(shop, "three", limit=4)
    assert second.key != first.key
    with transaction(shop.engine) as session:
        assert [slow_down(session, run_id, now=shop.clock()) for _ in range(3)] == [2, 3, 3]
        renew(session, "three", [second.key], lease=timedelta(hours=1), now=shop.clock())
    shop.clock.advance(minutes=29)
    assert claim(shop, "four", limit=4) == []
    shop.clock.advance(minutes=1)
    assert len(claim(shop, "four", limit=4)) == 1


def test_a_slowed_run_holds_up_no_other_and_its_turn_is_taken_once(
    open_shop: OpenShop, in_threads: Callable[..., None]
) -> None:
    shop = open_shop(1_100)
    shop.plan(priority=5)
    shop.plan(is_capped=False)
    shop.tick()
    with transaction(shop.engine) as session:
        slowed, other = session.scalars(select(table_of(CampaignRun).c.id).order_by(table_of(CampaignRun).c.id)).all()
        slow_down(session, slowed, now=shop.clock())
    assert [batch.run_id for batch in claim(shop, "one")] == [other]
    shop.clock.advance(minutes=1)
    got: list[Claimed] = []
    in_threads(*[lambda name=name: got.extend(claim(shop, name)) for name in ("two", "three", "four")])
    assert [batch.run_id for batch in got].count(slowed) == 1
