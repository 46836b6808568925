"""What people ask the worker for is done once, told when it can't be, and kept when it can't be yet."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine

from segmentation.history import latest_run
from segmentation.run import SegmentRunBusy
from service.asked import do_what_is_asked
from service.settings import Settings
from service.worker import works
from store.asked import SEGMENTS, ask_for, request_for
from store.engine import reading, transaction
from store.errors import BadInput
from store.models import WorkRequest
from tests.conftest import StillClock
from tests.factories import make_customer, make_order


def ask(engine: Engine, clock: StillClock) -> bool:
    with transaction(engine) as session:
        return ask_for(session, SEGMENTS, actor="anna", now=clock())


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
