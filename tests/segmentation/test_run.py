"""Segments over the operational database, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, delete, func, select, update

from segmentation.history import latest_run, segment_at, segment_counts, segment_sizes
from segmentation.models import MODELS
from segmentation.run import LEASE, SegmentRunBusy, SegmentRunResult, run_segments
from segmentation.settings import SegmentSettings, settings_from
from store.engine import open_engine, reading, table_of, transaction
from store.errors import NotFound
from store.models import (
    Customer,
    CustomerSegment,
    CustomerWord,
    SalesOrder,
    SegmentChange,
    SegmentRun,
    SegmentSizeOnDay,
)
from tests.conftest import StillClock
from tests.factories import make_customer, make_order

TAIPEI = ZoneInfo("Asia/Taipei")
AS_OF = date(2026, 11, 1)


def on(days_before: int, hour: int = 12) -> datetime:
    """A time in Taipei so many calendar days before AS_OF."""
    day = AS_OF - timedelta(days=days_before)
    return datetime(day.year, day.month, day.day, hour, tzinfo=TAIPEI)


def run(engine: Engine, clock: StillClock, **options: Any) -> SegmentRunResult:
    """A run as of AS_OF; options named like settings are settings."""
    settings = settings_from({name: options.pop(name) for name in set(options) & set(SegmentSettings.model_fields)})
    return run_segments(engine, **{"as_of": AS_OF, "zone": TAIPEI, "clock": clock, "settings": settings, **options})


def add_customers(engine: Engine, *histories: list[tuple[int, str]]) -> list[int]:
    """One customer per history of (days before AS_OF, total); returns their ids."""
    ids = []
    with transaction(engine) as session:
        for history in histories:
            customer = make_customer(session)
            for days, total in history:
                make_order(session, customer, ordered_at=on(days), total=Decimal(total))
            assert customer.id is not None
            ids.append(customer.id)
    return ids


def stored(engine: Engine) -> dict[int, CustomerSegment]:
    with reading(engine) as session:
        return {row.customer_id: row for row in session.scalars(select(CustomerSegment))}


def count(engine: Engine, model: Any) -> int:
    with reading(engine) as session:
        return int(session.scalar(select(func.count()).select_from(table_of(model))) or 0)


def test_every_customer_gets_a_row_and_those_without_orders_are_never(engine: Engine, clock: StillClock) -> None:
    buyer, idle = add_customers(engine, [(3, "120.5"), (40, "79.5001")], [])
    result = run(engine, clock)
    rows = stored(engine)
    assert (result.customer_count, result.change_count, result.unchanged) == (2, 2, False)
    assert rows[buyer].last_ordered_on == AS_OF - timedelta(days=3)
    assert (rows[buyer].frequency, rows[buyer].monetary, rows[buyer].nesl) == (2, Decimal("200.0001"), "E")
    assert (rows[idle].nesl, rows[idle].nes, rows[idle].rf4, rows[idle].frequency) == ("never", "never", None, None)


def test_a_database_without_customers_or_orders_can_be_run(engine: Engine, clock: StillClock) -> None:
    result = run(engine, clock, cycle="auto")
    assert (result.customer_count, result.change_count, result.proposed_cycle_days) == (0, 0, None)
    add_customers(engine, [])
    assert run(engine, clock).customer_count == 1


def test_the_same_run_again_changes_nothing_and_returns_the_former(engine: Engine, clock: StillClock) -> None:
    add_customers(engine, [(3, "10")], [(50, "20"), (90, "5")], [])
    first = run(engine, clock)
    clock.advance(hours=1)
    second = run(engine, clock)
    assert second.unchanged
    assert (second.run_id, second.change_count) == (first.run_id, 0)
    assert count(engine, SegmentRun) == 1
    assert count(engine, SegmentChange) == 3


def test_the_same_day_with_another_setting_is_a_new_run(engine: Engine, clock: StillClock) -> None:
    (one,) = add_customers(engine, [(20, "10")])
    run(engine, clock, cycle=30)
    result = run(engine, clock, cycle=10)
    assert (result.unchanged, result.change_count) == (False, 1)
    assert stored(engine)[one].nesl == "S1"


def test_only_those_who_moved_enter_the_history(engine: Engine, clock: StillClock) -> None:
    moving, staying = add_customers(engine, [(30, "10")], [(10, "10")])
    first = run(engine, clock)
    second = run(engine, clock, as_of=AS_OF + timedelta(days=1))
    assert second.change_count == 1
    with reading(engine) as session:
        changes = session.scalars(select(SegmentChange).where(table_of(SegmentChange).c.run_id == second.run_id)).all()
        assert [(c.customer_id, c.old_nesl, c.nesl, c.old_nes, c.nes) for c in changes] == [
            (moving, "N", "S1", "N", "S")
        ]
        assert segment_at(session, "nesl", AS_OF - timedelta(days=1)) == {}
        assert segment_at(session, "nesl", AS_OF) == {moving: "N", staying: "N"}
        assert segment_at(session, "nesl", AS_OF + timedelta(days=9)) == {moving: "S1", staying: "N"}
    assert first.change_count == 2


def test_history_is_right_when_an_earlier_day_is_computed_later(engine: Engine, clock: StillClock) -> None:
    (one,) = add_customers(engine, [(50, "10")])
    run(engine, clock, as_of=AS_OF)
    run(engine, clock, as_of=AS_OF - timedelta(days=40))
    with reading(engine) as session:
        assert segment_at(session, "nesl", AS_OF) == {one: "S1"}
        assert segment_at(session, "nesl", AS_OF - timedelta(days=1)) == {one: "N"}


def test_a_customer_whose_every_order_is_refunded_goes_back_to_never(engine: Engine, clock: StillClock) -> None:
    one, other = add_customers(engine, [(3, "10")], [(3, "10"), (5, "4")])
    run(engine, clock)
    with transaction(engine) as session:
        orders = table_of(SalesOrder)
        session.execute(update(orders).where(orders.c.customer_id == one).values(status="refunded"))
    run(engine, clock)
    row = stored(engine)[one]
    assert (row.nesl, row.rf4, row.monetary, row.last_ordered_on) == ("never", None, None, None)
    with reading(engine) as session:
        assert segment_at(session, "rf4", AS_OF) == {other: stored(engine)[other].rf4}


def test_days_are_the_brands_and_midnight_belongs_to_the_new_day(engine: Engine, clock: StillClock) -> None:
    midnight = datetime(2026, 11, 1, tzinfo=TAIPEI)
    with transaction(engine) as session:
        before, after = make_customer(session), make_customer(session)
        make_order(session, before, ordered_at=midnight - timedelta(microseconds=1))
        make_order(session, after, ordered_at=midnight)
    run(engine, clock)
    rows = stored(engine)
    assert rows[before.id or 0].last_ordered_on == date(2026, 10, 31)
    assert rows[after.id or 0].nesl == "never"


def test_the_look_back_window_begins_at_the_start_of_its_first_day(engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        inside, outside = make_customer(session), make_customer(session)
        make_order(session, inside, ordered_at=on(10, hour=0))
        make_order(session, outside, ordered_at=on(10, hour=0) - timedelta(microseconds=1))
    run(engine, clock, look_back_days=10)
    rows = stored(engine)
    assert (rows[inside.id or 0].frequency, rows[outside.id or 0].frequency) == (1, None)
    assert (rows[inside.id or 0].nesl, rows[outside.id or 0].nesl) == ("N", "N"), "NESL looks at all history"


def test_an_automatic_cycle_is_the_median_gap_and_is_written_down(engine: Engine, clock: StillClock) -> None:
    add_customers(engine, [(1, "1"), (8, "1"), (22, "1")], [(5, "1"), (14, "1")], [(2, "1")])
    result = run(engine, clock, cycle="auto")
    assert (result.cycle_days, result.proposed_cycle_days) == (9, 9)  # gaps 7, 14, 9
    with reading(engine) as session:
        newest = latest_run(session)
        assert newest is not None
        assert (newest.settings["cycle_days"], newest.settings["cycle"]) == (9, "proposed")


def test_sizes_values_and_members_follow_the_newest_run(engine: Engine, clock: StillClock) -> None:
    rich, poor, idle = add_customers(engine, [(1, "900.25"), (2, "99.75")], [(80, "1")], [])
    run(engine, clock)
    with reading(engine) as session:
        sizes = {size.segment.name: size for size in segment_sizes(session, "nesl")}
        assert (sizes["E"].customers, sizes["E"].value) == (1, Decimal(1000))
        assert (sizes["never"].customers, sizes["never"].value) == (1, Decimal(0))
        assert segment_counts(session, "nesl") == {"never": 1, "N": 0, "E": 1, "S1": 0, "S2": 1, "L": 0}
        rows = {row.customer_id: (row.nesl, row.nes) for row in session.scalars(select(CustomerSegment))}
    assert (rows[rich][0], rows[poor][1], rows[idle][1]) == ("E", "S", "never")
    with reading(engine) as session:
        for model in MODELS:
            assert sum(segment_counts(session, model).values()) == (2 if model.startswith("rf") else 3)
        with pytest.raises(NotFound, match="no model 'rfx'"):
            segment_counts(session, "rfx")


def test_a_second_run_is_refused_while_one_is_at_work(engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        session.add(
            SegmentRun(as_of=AS_OF, state="running", started_at=clock(), lease_until=clock() + timedelta(minutes=5))
        )
    with pytest.raises(SegmentRunBusy, match="at work"):
        run(engine, clock)
    clock.advance(minutes=5, seconds=1)
    assert run(engine, clock).unchanged is False


def test_a_run_that_was_taken_over_writes_nothing_more(engine: Engine, clock: StillClock) -> None:
    add_customers(engine, [(3, "10")])

    class LateClock(StillClock):
        """Time jumps past the lease after the first look, and another run takes over."""

        looks = 0

        def __call__(self) -> datetime:
            self.looks += 1
            if self.looks == 2:
                self.advance(seconds=LEASE.total_seconds() + 1)
                run(engine, StillClock(self.now))
            return super().__call__()

    with pytest.raises(SegmentRunBusy, match="took over"):
        run(engine, LateClock(clock.now), cycle=1)
    assert [row.nesl for row in stored(engine).values()] == ["N"]
    assert count(engine, SegmentChange) == 1


def test_a_lease_is_as_long_as_the_brands_runs_and_grows_where_they_are_taken_over(
    engine: Engine, clock: StillClock
) -> None:
    """A run that reads and computes for long is silent meanwhile, and must not be taken for dead."""

    def lease() -> timedelta:
        """Of a run that is broken off."""

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(engine, clock, also=stop)
        with reading(engine) as session:
            newest = select(SegmentRun).order_by(table_of(SegmentRun).c.id.desc()).limit(1)
            return session.scalars(newest).one().lease_until - clock()

    minutes = timedelta(minutes=1)
    assert [lease() for _ in range(5)] == [minutes * of for of in (5, 10, 20, 40, 40)]
    run(engine, clock)
    with transaction(engine) as session:
        last = session.scalars(select(SegmentRun).where(table_of(SegmentRun).c.state == "finished")).one()
        last.started_at = clock() - 7 * minutes
    assert [lease() for _ in range(2)] == [21 * minutes, 42 * minutes]


def test_a_run_that_fails_in_the_middle_is_completed_by_the_next(
    engine: Engine, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add_customers(engine, *([(days, "10")] for days in range(1, 8)))
    monkeypatch.setattr("segmentation.run.CHUNK_CUSTOMERS", 2)

    class FailingClock(StillClock):
        looks = 0

        def __call__(self) -> datetime:
            self.looks += 1
            if self.looks >= 4:  # the claim, then one look per chunk
                raise KeyboardInterrupt
            return super().__call__()

    with pytest.raises(KeyboardInterrupt):
        run(engine, FailingClock(clock.now))
    done = set(stored(engine))  # two chunks whole: on PostgreSQL two at a time are written, in any order
    assert sum(set(ids[start : start + 2]) <= done for start in range(0, 6, 2)) * 2 == len(done) == 4
    with reading(engine) as session:
        assert latest_run(session) is None
    result = run(engine, clock)
    assert (result.customer_count, result.change_count) == (7, 3)
    with reading(engine) as session:
        assert segment_at(session, "nesl", AS_OF) == dict.fromkeys(ids, "N")
    assert count(engine, SegmentChange) == 7


def test_a_second_run_counts_who_joined_where_nothing_else_changed(engine: Engine, clock: StillClock) -> None:
    add_customers(engine, [(3, "10")], [])
    run(engine, clock)
    (joined,) = add_customers(engine, [])
    with transaction(engine) as session:  # as a computation after the change leaves it
        session.add(CustomerSegment(customer_id=joined, nesl="never", nes="never", computed_at=clock()))
    size = table_of(SegmentSizeOnDay)
    never = select(size.c.customers).where(size.c.model == "nesl", size.c.segment == "never")
    assert run(engine, clock).unchanged is False
    with reading(engine) as session:
        assert session.scalars(never).all() == [2]
    assert run(engine, clock).unchanged is True


def test_who_reads_on_misses_nobody_while_two_writers_write(
    engine: Engine, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of the history are committed in their order, by whomever they are written."""
    add_customers(engine, *([(days, "10")] for days in range(1, 61)))
    monkeypatch.setattr("segmentation.run.CHUNK_CUSTOMERS", 2)
    found, is_over = [0], threading.Event()
    ids = table_of(SegmentChange).c.id

    def read_on() -> None:
        while True:
            was_over = is_over.is_set()
            with reading(engine) as session:
                found.extend(session.scalars(select(ids).where(ids > found[-1]).order_by(ids)))
            if was_over:
                return

    reader = threading.Thread(target=read_on)
    reader.start()
    run(engine, clock)
    is_over.set()
    reader.join()
    assert len(found) == len(set(found)) == 61


def test_two_runs_started_together_leave_one_whole_result(engine: Engine, clock: StillClock) -> None:
    add_customers(engine, *([(days, "10")] for days in range(1, 60)))
    outcomes: list[object] = []

    def attempt() -> None:
        try:
            outcomes.append(run(engine, clock))
        except SegmentRunBusy as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 3
    assert sum(isinstance(o, SegmentRunResult) and not o.unchanged for o in outcomes) == 1
    assert (count(engine, SegmentRun), count(engine, SegmentChange), len(stored(engine))) == (1, 59, 59)


def test_a_customer_merged_away_leaves_no_trace_in_the_next_run(engine: Engine, clock: StillClock) -> None:
    gone, kept = add_customers(engine, [], [(3, "10")])
    run(engine, clock)
    with transaction(engine) as session:
        for model in (CustomerSegment, SegmentChange, CustomerWord):
            table = table_of(model)
            session.execute(delete(table).where(table.c.customer_id == gone))
        session.execute(delete(table_of(Customer)).where(table_of(Customer).c.id == gone))
    result = run(engine, clock, as_of=AS_OF + timedelta(days=1))
    assert result.customer_count == 1
    assert sorted(stored(engine)) == [kept]


def test_a_sqlite_file_in_a_folder_with_odd_letters_is_read(
    new_database_url: Callable[[str], str], tmp_path: Any, clock: StillClock
) -> None:
    from store.migrate import upgrade

    engine = open_engine(f"sqlite:///{tmp_path}/資料 庫 100%/a?b.db".replace("?", "_"))
    upgrade(engine)
    add_customers(engine, [(3, "10")])
    assert run(engine, clock).customer_count == 1
    engine.dispose()


def test_times_come_out_the_same_whatever_the_zone_they_came_with(engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        customer = make_customer(session)
        make_order(session, customer, ordered_at=datetime(2026, 10, 30, 16, 30, tzinfo=UTC))  # the 31st in Taipei
    run(engine, clock)
    assert stored(engine)[customer.id or 0].last_ordered_on == date(2026, 10, 31)
