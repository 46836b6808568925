"""A whole run of the segments while everything else changes: who merges, buys, renews or is killed beside it."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlmodel import Session

from segmentation.history import history_of, movements
from segmentation.reading import read_facts
from segmentation.renew import Ground, renew_changed, renew_everyone
from segmentation.run import Also, run_segments
from segmentation.settings import SegmentSettings
from segmentation.tags.catalogue import create_tag
from segmentation.tags.hand import put_on
from segmentation.writing import write_changes
from store.changes import note_changes
from store.clock import tomorrow
from store.engine import open_engine, reading, transaction
from store.erasure import erase_person
from store.errors import BadInput, NotFound
from store.imports.merging import merge_customers
from store.models import CustomerChange
from tests.conftest import StillClock
from tests.segmentation.test_renew import SETTINGS, TAIPEI, WalkingClock, add_order, add_people, count, stored

OTHERS = SegmentSettings(cycle=60)


@pytest.fixture
def ground(engine: Engine, clock: StillClock) -> Ground:
    return Ground(engine, TAIPEI, WalkingClock(clock.now))


WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


def somebody_waits(engine: Engine, seconds: float = 20) -> bool:
    """Whether a transaction waits for another's lock within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with reading(engine) as session:
            if session.scalar(WAITING):
                return True
        time.sleep(0.02)
    return False


def run_by(ground: Ground, settings: SegmentSettings, also: Also) -> None:
    """A whole run without tags, which does `also` when the segments are written."""
    as_of = tomorrow(ground.clock, ground.zone)
    run_segments(ground.engine, as_of=as_of, zone=ground.zone, clock=ground.clock, settings=settings, also=also)


class Beside(threading.Thread):
    """Work in a thread of its own; `join` raises what it raised."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self.error = error

    def join(self, timeout: float | None = 60) -> None:
        super().join(timeout)
        if self.error is not None:
            raise self.error


def test_a_merge_and_a_run_that_write_the_same_customer_dont_lock_each_other_out(
    new_database_url: Callable[[str], str], clock: StillClock
) -> None:
    engine = open_engine(new_database_url("postgresql"))
    ground = Ground(engine, TAIPEI, WalkingClock(clock.now))
    gone, kept = add_people(ground, [3], [40])
    renew_everyone(ground, SETTINGS)
    run = Beside(lambda: renew_everyone(ground, SegmentSettings(cycle=2)))
    merging = open_engine(engine.url.render_as_string(hide_password=False))

    @event.listens_for(merging, "before_cursor_execute")
    def let_the_run_write(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM customer "):  # last of all that the merge does to the one who goes
            run.start()
            assert somebody_waits(engine)

    with merging.begin() as connection:
        merge_customers(connection, {gone: kept})
    run.join()
    assert set(stored(engine)) == {kept}
    engine.dispose()
    merging.dispose()


def test_who_is_renewed_while_a_run_ends_is_measured_by_what_it_found(
    new_database_url: Callable[[str], str], clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends just when a renewal, which measured by the former population, has looked whether one did."""
    engine = open_engine(new_database_url("postgresql"))
    ground = Ground(engine, TAIPEI, WalkingClock(clock.now))
    one, _ = add_people(ground, [40], [3])
    renew_everyone(ground, SETTINGS)
    has_written, may_end = threading.Event(), threading.Event()

    def linger(*_: object) -> None:
        has_written.set()
        assert may_end.wait(60)

    def write_late(*given: Any) -> Any:
        may_end.set()
        while run.is_alive() and not somebody_waits(engine, 0.1):
            pass
        return write_changes(*given)

    run = Beside(lambda: run_by(ground, OTHERS, linger))
    run.start()
    assert has_written.wait(60)
    add_order(ground, one, days=50)
    monkeypatch.setattr("segmentation.renew.write_changes", write_late)
    renew_changed(ground, SETTINGS)
    run.join()
    monkeypatch.undo()
    renew_changed(ground, SETTINGS)
    assert (stored(engine)[one].nesl, count(engine, CustomerChange)) == ("E", 0)
    engine.dispose()


@pytest.mark.parametrize("is_at_work", [True, False])
def test_whom_a_run_that_broke_off_had_put_elsewhere_did_not_move(ground: Ground, is_at_work: bool) -> None:
    """By its other settings; neither when they buy and are measured by the former ones again, nor in the next run."""
    one, two = add_people(ground, [40], [40])
    renew_everyone(ground, SETTINGS)

    def buys() -> None:
        add_order(ground, one, days=45)
        assert renew_changed(ground, SETTINGS) == 1

    def breaks_off(*_: object) -> None:
        if is_at_work:
            buys()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_by(ground, OTHERS, breaks_off)
    if not is_at_work:
        buys()
    renew_changed(ground, SETTINGS)  # who waited for the run
    renew_everyone(ground, SETTINGS)
    with reading(ground.engine) as session:
        past = {who: [move.after for move in history_of(session, who)["nesl"]] for who in (one, two)}
        assert past == {one: ["S1", "N", "S1"], two: ["S1", "N", "S1"]}
        assert movements(session, "nesl") == []
    add_order(ground, two)
    renew_changed(ground, SETTINGS)
    with reading(ground.engine) as session:
        assert [(move.customer_id, move.after) for move in movements(session, "nesl")] == [(two, "E")]


def test_who_is_merged_away_while_a_renewal_beside_a_run_reads_is_left_out(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, gone = add_people(ground, [40], [40])
    renew_everyone(ground, SETTINGS)

    def read_late(*given: Any, **named: Any) -> Any:
        with ground.engine.begin() as connection:
            merge_customers(connection, {gone: one})
            note_changes(connection, [one], ground.clock())
        monkeypatch.undo()
        return read_facts(*given, **named)

    def renews(*_: object) -> None:
        add_order(ground, gone)
        monkeypatch.setattr("segmentation.renew.read_facts", read_late)
        renew_changed(ground, SETTINGS)

    run_by(ground, OTHERS, renews)
    renew_changed(ground, OTHERS)
    assert {who: row.frequency for who, row in stored(ground.engine).items()} == {one: 3}
    assert count(ground.engine, CustomerChange) == 0


def erases(session: Session, customer_id: int, now: datetime) -> None:
    erase_person(session, customer_id, actor="me", now=now)


def tags_by_hand(session: Session, customer_id: int, now: datetime) -> None:
    put_on(session, "貴賓", [customer_id], actor="me", now=now, today=now.date())


@pytest.mark.parametrize("change", [erases, tags_by_hand])
def test_who_is_merged_away_while_somebody_waits_to_change_them_is_not_there(
    new_database_url: Callable[[str], str], clock: StillClock, change: Callable[[Session, int, datetime], None]
) -> None:
    engine = open_engine(new_database_url("postgresql"))
    gone, kept = add_people(Ground(engine, TAIPEI, clock), [], [])
    with transaction(engine) as session:
        create_tag(session, "貴賓", now=clock.now)

    def changes() -> None:
        with transaction(engine) as session:
            change(session, gone, clock.now)

    beside = Beside(changes)
    with engine.begin() as connection:
        merge_customers(connection, {gone: kept})
        beside.start()
        assert somebody_waits(engine)
    with pytest.raises((NotFound, BadInput), match=f"no customer {gone}"):
        beside.join()
    engine.dispose()
