"""Steps of many lanes, on SQLite committed together: what waits while another process writes goes into the next commit.

Each step is as if it had a transaction of its own: its caller goes on once it is committed, and a step that fails takes
no other with it. PostgreSQL's writers don't wait for each other, and of two that hold the rows of many steps one may be
refused as a deadlock: there each step is committed alone.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from sqlalchemy import Engine
from sqlmodel import Session

from store.engine import is_sqlite, transaction

log = structlog.get_logger()

Step = Callable[[Session], Any]
THREADS = 8  # on PostgreSQL; SQLite has one writer at a time


class Commits:
    """Used inside one asyncio loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = 1 if is_sqlite(engine) else THREADS
        self._at_once: int | None = None if is_sqlite(engine) else 1  # None: all that wait
        self._pool = ThreadPoolExecutor(self._threads, "commits")
        self._waiting: deque[tuple[Step, asyncio.Future[Any]]] = deque()
        self._busy = 0
        self._under_way: set[asyncio.Task[None]] = set()

    async def commit(self, step: Step) -> Any:
        """What `step` returns, once it is committed. Raises what it, or the commit, raises: then nothing of it is."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((step, done))
        if self._busy < self._threads:
            self._busy += 1
            task = asyncio.create_task(self._work())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return await done

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(self._at_once or len(self._waiting))]
                results = await loop.run_in_executor(self._pool, self._run, [step for step, _ in group])
                for (_, done), (result, error) in zip(group, results, strict=True):
                    if done.cancelled():
                        continue
                    if error is None:
                        done.set_result(result)
                    else:
                        done.set_exception(error)
        finally:
            self._busy -= 1

    def _run(self, steps: list[Step]) -> list[tuple[Any, Exception | None]]:
        if len(steps) == 1:
            return [self._run_alone(steps[0])]
        try:
            with transaction(self._engine) as session:
                return [(result, None) for result in [step(session) for step in steps]]
        except Exception as error:  # nothing was committed: each for itself, as it isn't told whose fault it was
            log.warning("commit_repeated_one_by_one", steps=len(steps), error=type(error).__name__)
            return [self._run_alone(step) for step in steps]

    def _run_alone(self, step: Step) -> tuple[Any, Exception | None]:
        try:
            with transaction(self._engine) as session:
                return step(session), None
        except Exception as error:
            return None, error
