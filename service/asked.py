"""The worker's answer to what people ask for on the console (store/asked.py)."""

from collections.abc import Callable, Mapping

import structlog
from sqlalchemy import Engine

from store.asked import note_done, waiting_work
from store.clock import Clock
from store.engine import reading, transaction
from store.errors import ExpectedError
from store.models import WorkRequest

log = structlog.get_logger()

Works = Mapping[str, Callable[[WorkRequest], object]]


def do_what_is_asked(engine: Engine, works: Works, clock: Clock) -> int:
    """Do each work that is asked for, by its name in `works`; returns how many are over.

    What can't be done is told to whoever asked; what can't be done now (`may_try_again`) stays asked for. A worker that
    dies leaves it to the next one. An unexpected failure is told too, and raised.
    """
    with reading(engine) as session:
        waiting = waiting_work(session)
    over = 0
    for asked in waiting:
        problem = None
        try:
            works[asked.work](asked)
        except ExpectedError as error:
            if error.may_try_again:
                continue
            problem = str(error)
        except Exception as error:
            _note(engine, asked, f"{type(error).__name__}: see the worker's log", clock)
            raise
        _note(engine, asked, problem, clock)
        over += 1
        log.info("work_asked_for_is_over", work=asked.work, is_done=problem is None)
    return over


def _note(engine: Engine, asked: WorkRequest, problem: str | None, clock: Clock) -> None:
    with transaction(engine) as session:
        note_done(session, asked, problem=problem, now=clock())
