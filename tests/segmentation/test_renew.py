"""Segments put right after a change, for a few customers, on SQLite and on PostgreSQL."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, delete, func, select, update

from segmentation import reading as reading_module
from segmentation.backlog import LEASE_NAME, backlog, forget_seen, seen_changes
from segmentation.engine import DEFAULT_CYCLE_DAYS
from segmentation.history import history_of, last_computed, latest_run
from segmentation.leases import LeaseLost, leased, lengthened
from segmentation.renew import LEASE, Ground, prepare, renew_changed, renew_everyone
from segmentation.results import differences
from segmentation.settings import SegmentSettings
from segmentation.tags.catalogue import create_tag
from segmentation.tags.history import members_at
from segmentation.tags.program import Program, Programs, Writing
from store.changes import note_changes
from store.clock import system_clock
from store.engine import open_engine, reading, table_of, transaction
from store.imports.merging import merge_customers
from store.models import (
    BehaviourEvent,
    Customer,
    CustomerChange,
    CustomerSegment,
    Lease,
    SalesOrder,
    SegmentChange,
    SegmentRun,
)
from tests.conftest import StillClock
from tests.factories import make_customer, make_order

TAIPEI = ZoneInfo("Asia/Taipei")
SETTINGS = SegmentSettings()
SEGMENT = table_of(CustomerSegment)


class WalkingClock(StillClock):
    """A clock that moves a little with each look, as a real one does."""

    def __call__(self) -> datetime:
        return self.advance(milliseconds=1)


@pytest.fixture
def walking(clock: StillClock) -> WalkingClock:
    return WalkingClock(clock.now)


@pytest.fixture
def ground(engine: Engine, walking: WalkingClock) -> Ground:
    return Ground(engine, TAIPEI, walking)


def ago(clock: StillClock, days: int) -> datetime:
    return clock.now - timedelta(days=days)


def add_order(ground: Ground, customer_id: int, days: int = 0, total: str = "10", **fields: Any) -> int:
    """An order that comes in, as an import brings it: in one transaction with the note."""
    with transaction(ground.engine) as session:
        customer = session.get_one(Customer, customer_id)
        now = ground.clock()
        order = make_order(session, customer, ordered_at=now - timedelta(days=days), total=Decimal(total), **fields)
        note_changes(session, [customer_id], now)
        assert order.id is not None
        return order.id


def add_people(ground: Ground, *histories: list[int]) -> list[int]:
    """One customer per list of days before now on which there was an order; nothing is noted."""
    with transaction(ground.engine) as session:
        ids = []
        for history in histories:
            customer = make_customer(session)
            for days in history:
                make_order(session, customer, ordered_at=ground.clock() - timedelta(days=days), total=Decimal(10))
            ids.append(customer.id or 0)
    return ids


def stored(engine: Engine) -> dict[int, CustomerSegment]:
    with reading(engine) as session:
        return {row.customer_id: row for row in session.scalars(select(CustomerSegment))}


def said(row: CustomerSegment) -> dict[str, Any]:
    """A row without when it was computed."""
    return {key: value for key, value in row.model_dump().items() if key != "computed_at"}


def count(engine: Engine, model: Any) -> int:
    with reading(engine) as session:
        return int(session.scalar(select(func.count()).select_from(table_of(model))) or 0)


def test_after_an_order_only_its_customer_is_computed_and_as_a_whole_run_would(ground: Ground) -> None:
    one, two, *_ = add_people(ground, [40], [40], [3, 20], [100], [5])
    renew_everyone(ground, SETTINGS)
    before = stored(ground.engine)
    add_order(ground, one, total="123.4567")
    assert renew_changed(ground, SETTINGS) == 1
    after = stored(ground.engine)
    assert (before[one].nesl, after[one].nesl, after[one].frequency) == ("S1", "E", 2)
    assert (after[one].monetary, after[one].paid_total) == (Decimal("133.4567"), Decimal("133.4567"))
    assert after[two] == before[two]
    assert count(ground.engine, CustomerChange) == 0
    with reading(ground.engine) as session:
        (first, moved) = history_of(session, one)["nesl"]
    assert (first.after, moved.before, moved.after) == ("S1", "S1", "E")
    assert moved.as_of == (ground.clock().astimezone(TAIPEI) + timedelta(days=1)).date()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What programs were written for, one after the other."""
    keys: list[object] = []

    class Counted(Programs):
        def run(self, connection: Any, key: Any, write: Callable[[Writing], None]) -> Program:
            def noted(writing: Writing) -> None:
                keys.append(key)
                write(writing)

            return super().run(connection, key, noted)

    monkeypatch.setattr("segmentation.tags.assign._programs", Counted())
    return keys


def view(ground: Ground, who: int) -> None:
    now = ground.clock()
    seen: dict[str, Any] = {"kind": "product_view", "source": "site", "occurred_at": now, "received_at": now}
    with transaction(ground.engine) as session:
        session.add(BehaviourEvent(event_key=f"of {who}", customer_id=who, payload={}, **seen))
        note_changes(session, [who], now)


def add_tag(ground: Ground, name: str, kind: str) -> None:
    """A tag of who did such a thing in the last month."""
    when = {"type": "events", "kinds": [kind], "at_least": 1, "window": {"last_days": 30}}
    with transaction(ground.engine) as session:
        create_tag(session, name, source="rule", definition={"when": when}, now=ground.clock())


def test_what_tags_ask_of_a_few_is_worked_out_once_a_day(ground: Ground, written: list[object]) -> None:
    ids = add_people(ground, [5, 40], [200], [300])
    add_tag(ground, "看過", "product_view")
    renew_everyone(ground, SETTINGS)
    for place, who in enumerate(ids):
        view(ground, who)
        assert renew_changed(ground, SETTINGS) == 1
        with reading(ground.engine) as session:
            assert members_at(session, "看過") == ids[: place + 1]
    assert len(written) == 1


@pytest.mark.parametrize("settings", [SETTINGS, SegmentSettings(look_back_days=90, cycle="auto")], ids=["all", "90"])
def test_it_is_worked_out_before_the_first_one_changes(
    ground: Ground, written: list[object], settings: SegmentSettings
) -> None:
    ids = add_people(ground, [5, 40], [20], [30])
    prepare(ground)
    assert written == []  # nobody was ever computed
    add_tag(ground, "看過", "product_view")
    renew_everyone(ground, settings)
    before, changes = stored(ground.engine), count(ground.engine, SegmentChange)
    prepare(ground)
    prepare(ground)
    assert len(written) == 1
    assert (stored(ground.engine), count(ground.engine, SegmentChange)) == (before, changes)
    view(ground, ids[0])
    assert renew_changed(ground, settings) == 1
    with reading(ground.engine) as session:
        assert members_at(session, "看過") == ids[:1]
    assert len(written) == 1
    add_tag(ground, "點過", "click")
    prepare(ground)
    assert len(written) == 2


def test_whoever_is_computed_alone_comes_out_as_among_everybody(ground: Ground) -> None:
    histories = [[1, 9, 30], [2], [3, 3], [80, 100], [400], [], [31], [60, 61, 62, 63]]
    ids = add_people(ground, *histories)
    with transaction(ground.engine) as session:
        for number, who in enumerate(ids):
            at = ground.clock() - timedelta(days=number * 7)
            said: dict[str, Any] = {
                "event_key": f"e{who}",
                "source": "line",
                "customer_id": who,
                "occurred_at": at,
                "received_at": at,
            }
            session.add(BehaviourEvent(kind="message" if number % 2 else "unfollow", **said))
    settings = SegmentSettings(look_back_days=90, cycle="auto")
    renew_everyone(ground, settings)
    whole = stored(ground.engine)
    with transaction(ground.engine) as session:
        note_changes(session, ids, ground.clock())
        session.execute(table_of(CustomerSegment).delete())
    assert renew_changed(ground, settings) == len(ids)
    alone = stored(ground.engine)
    for who in ids:
        assert {**whole[who].model_dump(), "computed_at": None} == {**alone[who].model_dump(), "computed_at": None}
    assert len({row.activity for row in whole.values()}) > 2


def test_a_refund_takes_back_what_the_order_made(ground: Ground) -> None:
    (one,) = add_people(ground, [])
    renew_everyone(ground, SETTINGS)
    order_id = add_order(ground, one)
    renew_changed(ground, SETTINGS)
    assert stored(ground.engine)[one].nesl == "N"
    with transaction(ground.engine) as session:
        session.execute(
            update(table_of(SalesOrder)).where(table_of(SalesOrder).c.id == order_id).values(status="refunded")
        )
        note_changes(session, [one], ground.clock())
    renew_changed(ground, SETTINGS)
    row = stored(ground.engine)[one]
    assert (row.nesl, row.rf4, row.monetary, row.last_ordered_on, row.activity) == ("never", None, None, None, "none")


def test_nobody_is_computed_before_the_first_run_and_nothing_is_lost(ground: Ground) -> None:
    (one,) = add_people(ground, [])
    add_order(ground, one)
    assert renew_changed(ground, SETTINGS) == 0
    assert count(ground.engine, CustomerChange) == 1
    renew_everyone(ground, SETTINGS)
    assert (stored(ground.engine)[one].nesl, count(ground.engine, CustomerChange)) == ("N", 0)


def test_a_customer_merged_away_before_its_turn_is_no_trouble(ground: Ground) -> None:
    one, gone = add_people(ground, [], [])
    renew_everyone(ground, SETTINGS)
    add_order(ground, gone)
    with ground.engine.begin() as connection:
        merge_customers(connection, {gone: one})
    assert renew_changed(ground, SETTINGS) == 1
    assert {who: row.nesl for who, row in stored(ground.engine).items()} == {one: "N"}


def test_more_changes_than_one_slice_takes_are_all_done(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.renew.SLICE_CUSTOMERS", 2)
    ids = add_people(ground, *([] for _ in range(5)))
    renew_everyone(ground, SETTINGS)
    for who in (*ids, ids[0]):
        add_order(ground, who)
    assert renew_changed(ground, SETTINGS) == 5
    assert {row.frequency for row in stored(ground.engine).values()} == {1, 2}
    assert count(ground.engine, CustomerChange) == 0


def test_a_large_backlog_makes_a_whole_run(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.renew.MOST_SINGLE", 2)
    ids = add_people(ground, *([] for _ in range(4)))
    renew_everyone(ground, SETTINGS)
    for who in ids[:2]:
        add_order(ground, who)
    assert renew_changed(ground, SETTINGS) == 2
    assert count(ground.engine, SegmentRun) == 1
    for who in ids[:3]:
        add_order(ground, who)
    assert renew_changed(ground, SETTINGS) == 4
    assert (count(ground.engine, SegmentRun), count(ground.engine, CustomerChange)) == (2, 0)


def test_a_fact_committed_while_a_run_reads_is_right_soon_after(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order arrives after a whole run has read the orders, and is computed at once: the run must not put back what
    it had read, and the customer is computed once more by the new population."""
    one, *_ = add_people(ground, [40], [3, 5], [9], [200])
    renew_everyone(ground, SETTINGS)
    renewed: list[int] = []

    def read_then_order(connection: Any, engine: Engine) -> Any:
        found = reading_module.read_acts(connection, engine)
        if not renewed:
            add_order(ground, one, total="500")
            renewed.append(renew_changed(ground, SETTINGS))
        return found

    monkeypatch.setattr("segmentation.run.read_acts", read_then_order)
    settings = SegmentSettings(cycle=50)  # so that the run has something to write about everybody
    renew_everyone(ground, settings)
    assert renewed == [1]
    row = stored(ground.engine)[one]
    assert (row.frequency, row.monetary) == (2, Decimal(510))
    assert count(ground.engine, CustomerChange) >= 1  # to be computed by the population that the run found
    renew_changed(ground, settings)
    assert count(ground.engine, CustomerChange) == 0
    alone = {who: said(row) for who, row in stored(ground.engine).items()}
    renew_everyone(ground, settings)
    whole = {who: said(row) for who, row in stored(ground.engine).items()}
    # scores, loyalty and activity move a little when the population does
    kept = ("nesl", "frequency", "monetary", "cycle_days", "nesl_personal")
    assert [alone[one][name] for name in kept] == [whole[one][name] for name in kept]


def test_a_customer_who_waits_for_a_run_is_left_until_it_is_over_or_dead(ground: Ground) -> None:
    (one,) = add_people(ground, [])
    renew_everyone(ground, SETTINGS)
    now = ground.clock()
    with transaction(ground.engine) as session:
        running = SegmentRun(
            as_of=date(2026, 11, 3), state="running", started_at=now, lease_until=now + timedelta(minutes=5)
        )
        session.add(running)
        session.flush()
        note_changes(session, [one], now, after_run_id=running.id)
    assert renew_changed(ground, SETTINGS) == 0
    assert count(ground.engine, CustomerChange) == 1
    ground.clock.advance(minutes=6)  # type: ignore[attr-defined]
    assert renew_changed(ground, SETTINGS) == 1
    assert count(ground.engine, CustomerChange) == 0


@pytest.mark.parametrize("has_bought", [False, True])
def test_whom_only_another_population_puts_elsewhere_did_not_move(ground: Ground, has_bought: bool) -> None:
    """Somebody who was computed while a run by other settings was at work waits for its population: what that changes
    is no move, unless there are new facts too."""
    (one, *_) = add_people(ground, [40], [40], [3, 20])
    renew_everyone(ground, SETTINGS)
    run_id = renew_everyone(ground, SegmentSettings(cycle=60)).run_id
    with transaction(ground.engine) as session:  # the run left them alone
        session.execute(update(table_of(CustomerSegment)).values(nesl="S1").where(SEGMENT.c.customer_id == one))
        note_changes(session, [one], ground.clock(), after_run_id=run_id)
    if has_bought:
        add_order(ground, one)
    assert renew_changed(ground, SETTINGS) == 1
    with reading(ground.engine) as session:
        newest = history_of(session, one)["nesl"][-1]
    assert (newest.after, newest.is_relabelled) == ("E" if has_bought else "N", not has_bought)


def test_what_is_noted_after_the_reading_stays_in_the_log(ground: Ground) -> None:
    one, two = add_people(ground, [], [])
    add_order(ground, one)
    seen = seen_changes(ground.engine)
    add_order(ground, two)
    forget_seen(ground.engine, seen)
    with reading(ground.engine) as session:
        waiting = backlog(session, ground.clock())
        assert session.scalars(select(table_of(CustomerChange).c.customer_id)).all() == [two]
    assert (waiting.customers, waiting.oldest_at is not None) == (1, True)


def test_one_lease_at_a_time_and_a_dead_holder_is_taken_over(engine: Engine, walking: WalkingClock) -> None:
    with leased(engine, "x", LEASE, walking) as first:
        assert first is not None
        with leased(engine, "x", LEASE, walking) as second:
            assert second is None
        with transaction(engine) as session:
            first.hold(session)
        walking.advance(seconds=LEASE.total_seconds() + 1)
        with leased(engine, "x", LEASE, walking) as third:
            assert third is not None
            with pytest.raises(LeaseLost), transaction(engine) as session:
                first.hold(session)
            with transaction(engine) as session:
                third.hold(session)
    assert count(engine, Lease) == 0


def test_a_short_lease_is_kept_through_a_long_question_and_over_soon_after_a_death(
    engine: Engine, clock: StillClock
) -> None:
    """Its thread lengthens it by the real clock, three times a second; what that is worth is told by the still one."""
    length = timedelta(seconds=1)

    def until() -> datetime:
        with reading(engine) as session:
            return session.get_one(Lease, "x").lease_until

    with leased(engine, "x", length, clock) as first:
        assert first is not None
        with lengthened(engine, first):
            for _ in range(4):
                then, deadline = clock.advance(seconds=0.9) + length, time.monotonic() + 60
                while until() < then and time.monotonic() < deadline:
                    time.sleep(0.02)
                with leased(engine, "x", length, clock) as second:
                    assert second is None
        clock.advance(seconds=1.2)  # as if it had died then
        with leased(engine, "x", length, clock) as third:
            assert third is not None
            with lengthened(engine, first):
                time.sleep(0.5)  # once lost it is not taken back
            with pytest.raises(LeaseLost), transaction(engine) as session:
                first.hold(session)


def test_a_renewal_that_was_taken_over_writes_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = add_people(ground, [])
    renew_everyone(ground, SETTINGS)
    add_order(ground, one)

    def slow(*args: Any, **options: Any) -> Any:
        with transaction(ground.engine) as session:
            session.execute(update(table_of(Lease)).values(holder="somebody else"))
        return differences(*args, **options)

    monkeypatch.setattr("segmentation.renew.differences", slow)
    with pytest.raises(LeaseLost):
        renew_changed(ground, SETTINGS)
    assert stored(ground.engine)[one].nesl == "never"
    assert count(ground.engine, CustomerChange) == 1


def _renew_forever(url: str, until: float) -> None:
    engine = open_engine(url)
    while time.time() < until:
        renew_changed(Ground(engine, TAIPEI, system_clock), SETTINGS)
    engine.dispose()


def test_a_process_killed_in_the_middle_is_taken_over_and_nothing_is_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 while changes are being computed, again and again; then one process finishes them."""
    monkeypatch.setattr("segmentation.renew.LEASE", timedelta(seconds=1))
    engine = open_engine(database_url)
    ground = Ground(engine, TAIPEI, system_clock)
    ids = add_people(ground, *([] for _ in range(20)))
    renew_everyone(ground, SETTINGS)
    context = multiprocessing.get_context("spawn")
    for delay in (1.6, 1.9):
        process = context.Process(target=_renew_forever, args=(database_url, time.time() + 60))
        process.start()
        stop = time.time() + delay
        while time.time() < stop:
            for who in ids[::7]:
                add_order(ground, who)
            time.sleep(0.05)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    with transaction(engine) as session:  # whoever was killed holding it is not waited for here
        session.execute(update(table_of(Lease)).values(lease_until=system_clock() - timedelta(seconds=1)))
    renew_changed(ground, SETTINGS)
    assert count(engine, CustomerChange) == 0
    orders = table_of(SalesOrder)
    with reading(engine) as session:
        counts = select(orders.c.customer_id, func.count()).group_by(orders.c.customer_id)
        placed = {row[0]: row[1] for row in session.execute(counts)}
    assert {who: row.frequency for who, row in stored(engine).items() if row.frequency} == placed
    engine.dispose()


def test_two_renewers_at_once_lose_no_change(database_url: str) -> None:
    """Orders come in from two sides while two threads compute: at the end everybody has what a whole run says."""
    engine = open_engine(database_url)
    ground = Ground(engine, TAIPEI, system_clock)
    ids = add_people(ground, *([] for _ in range(12)))
    renew_everyone(ground, SETTINGS)
    stop, errors = threading.Event(), []

    def renew() -> None:
        while not stop.is_set():
            try:
                renew_changed(ground, SETTINGS)
            except Exception as error:
                errors.append(error)
            time.sleep(0.01)

    def buy(offset: int) -> None:
        for number in range(12):
            add_order(ground, ids[(number * 5 + offset) % len(ids)])

    threads = [threading.Thread(target=renew) for _ in range(2)]
    buyers = [threading.Thread(target=buy, args=(offset,)) for offset in (0, 1)]
    for thread in (*threads, *buyers):
        thread.start()
    for thread in buyers:
        thread.join()
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    renew_changed(ground, SETTINGS)
    alone = {who: (row.frequency, row.monetary, row.nesl) for who, row in stored(engine).items()}
    renew_everyone(ground, SETTINGS)
    assert {who: (row.frequency, row.monetary, row.nesl) for who, row in stored(engine).items()} == alone
    assert sum(frequency or 0 for frequency, _, _ in alone.values()) == 24
    engine.dispose()


def test_what_is_computed_what_waits_and_what_is_stuck_is_visible(ground: Ground) -> None:
    (one,) = add_people(ground, [])
    with reading(ground.engine) as session:
        assert last_computed(session, ground.clock()).run is None
    renew_everyone(ground, SETTINGS)
    add_order(ground, one)
    now = ground.clock()
    with transaction(ground.engine) as session:
        session.add(Lease(name=LEASE_NAME, holder="dead", taken_at=now, lease_until=now + LEASE))
    with reading(ground.engine) as session:
        computed = last_computed(session, now)
        newest = latest_run(session)
        assert newest is not None
        assert computed.run is not None
        assert (computed.run.id, computed.waiting.customers, computed.is_stuck) == (newest.id, 1, False)
        assert computed.last_change_at == newest.started_at
        later = now + LEASE + timedelta(seconds=1)
        assert last_computed(session, later).is_stuck
    with transaction(ground.engine) as session:
        session.execute(update(table_of(Lease)).values(name="members of run 9"))
    with reading(ground.engine) as session:
        assert not last_computed(session, later).is_stuck, "other work's lease"
    with transaction(ground.engine) as session:
        session.execute(update(table_of(Lease)).values(name=LEASE_NAME))
        session.execute(delete(table_of(CustomerChange)))
    with reading(ground.engine) as session:
        assert not last_computed(session, later).is_stuck, "nothing is left to do"
    assert newest.settings["cycle_days"] == DEFAULT_CYCLE_DAYS
    assert count(ground.engine, SegmentChange) == 1
