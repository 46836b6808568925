"""What people ask the worker for is done once, told when it can't be, and kept when it can't be yet."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine

from segmentation.history import latest_run
from segmentation.rules.saved import save_rule
from segmentation.run import SegmentRunBusy
from segmentation.tags.catalogue import create_tag
from segmentation.tags.history import members_at
from service.asked import do_what_is_asked
from service.settings import Settings
from service.worker import works
from store.asked import SEGMENTS, ask_for, request_for
from store.engine import reading, transaction
from store.errors import BadInput
from store.models import Customer, WorkRequest
from tests.conftest import StillClock
from tests.factories import make_customer, make_order


def ask(engine: Engine, clock: StillClock, *, anew: bool = False) -> bool:
    with transaction(engine) as session:
        return ask_for(session, SEGMENTS, actor="anna", now=clock(), anew=anew)


def asked(engine: Engine) -> WorkRequest:
    with reading(engine) as session:
        found = request_for(session, SEGMENTS)
        assert found is not None
        return found


def failing(error: Exception) -> Callable[[WorkRequest], object]:
    def work(_asked: WorkRequest) -> object:
        raise error

    return work


def test_everybody_is_computed_when_somebody_asks(engine: Engine, clock: StillClock, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, snapshot_dir=tmp_path)  # type: ignore[call-arg]
    with transaction(engine) as session:
        make_order(session, make_customer(session))
    assert do_what_is_asked(engine, works(engine, settings, clock), clock) == 0
    assert ask(engine, clock)
    assert not ask(engine, clock)
    assert do_what_is_asked(engine, works(engine, settings, clock), clock) == 1
    assert (asked(engine).done_at, asked(engine).problem) == (clock(), None)
    with reading(engine) as session:
        run = latest_run(session)
    assert run is not None
    assert (run.as_of, run.customer_count) == (date(2026, 11, 3), 1)
    assert do_what_is_asked(engine, works(engine, settings, clock), clock) == 0
    clock.advance(minutes=1)
    assert ask(engine, clock)  # and again


def test_what_cannot_be_done_is_told_and_what_is_busy_waits(engine: Engine, clock: StillClock) -> None:
    ask(engine, clock)
    assert do_what_is_asked(engine, {SEGMENTS: failing(SegmentRunBusy("another run"))}, clock) == 0
    assert asked(engine).done_at is None
    assert do_what_is_asked(engine, {SEGMENTS: failing(BadInput("no orders"))}, clock) == 1
    assert asked(engine).problem == "no orders"
    clock.advance(minutes=1)
    ask(engine, clock)
    with pytest.raises(RuntimeError):
        do_what_is_asked(engine, {SEGMENTS: failing(RuntimeError("secret words"))}, clock)
    assert asked(engine).problem == "RuntimeError: see the worker's log"


def test_an_asking_that_comes_meanwhile_is_not_lost(engine: Engine, clock: StillClock) -> None:
    ask(engine, clock)

    def work(_asked: WorkRequest) -> None:
        with transaction(engine) as session:  # somebody else's worker finished it, and it is asked for again
            one = session.get_one(WorkRequest, SEGMENTS)
            one.done_at = clock()
        clock.advance(seconds=5)
        assert ask(engine, clock)

    assert do_what_is_asked(engine, {SEGMENTS: work}, clock) == 1
    assert asked(engine).done_at is None


def test_what_is_changed_while_the_work_is_under_way_is_done_once_more(engine: Engine, clock: StillClock) -> None:
    ask(engine, clock)

    def work(_asked: WorkRequest) -> None:
        clock.advance(seconds=5)
        assert ask(engine, clock, anew=True)

    assert do_what_is_asked(engine, {SEGMENTS: work}, clock) == 1
    assert asked(engine).done_at is None
    assert do_what_is_asked(engine, {SEGMENTS: lambda _asked: None}, clock) == 1
    assert asked(engine).done_at == clock()


def test_tags_follow_a_changed_rule_at_once(engine: Engine, clock: StillClock, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, snapshot_dir=tmp_path)  # type: ignore[call-arg]

    def save(at_least: int) -> None:
        rule = {"type": "orders", "measure": "count", "at_least": at_least}
        with transaction(engine) as session:
            save_rule(session, "buyers", rule, clock.advance(minutes=1), actor="anna")

    def tagged() -> list[int]:
        done = do_what_is_asked(engine, works(engine, settings, clock), clock)
        assert done == 1
        with reading(engine) as session:
            return members_at(session, "常客", None)

    save(2)
    with transaction(engine) as session:
        once, twice = (make_customer(session).id for _ in range(2))
        for who in (once, twice, twice):
            make_order(session, session.get_one(Customer, who))
        create_tag(session, "常客", source="rule", definition={"rule": "buyers"}, now=clock())
    ask(engine, clock)
    assert tagged() == [twice]
    save(1)
    assert tagged() == [once, twice]
    save(3)
    assert tagged() == []
    save(3)  # as it was: nothing to do
    assert do_what_is_asked(engine, works(engine, settings, clock), clock) == 0
