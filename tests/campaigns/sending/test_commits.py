"""Steps of many lanes: on SQLite in one commit, each for itself where one fails."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select
from sqlmodel import Session

from campaigns.sending.commits import Commits
from store.engine import is_sqlite, reading, table_of
from store.models import Channel
from tests.factories import make_channel


def names(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return sorted(session.scalars(select(table_of(Channel).c.name)))


def add(name: str) -> Any:
    def step(session: Session) -> str:
        return make_channel(session, name=name).name

    return step


def fail(session: Session) -> None:
    make_channel(session, name="half")
    raise ZeroDivisionError


def test_what_waits_goes_into_one_commit_on_sqlite_and_each_gets_its_own_answer(engine: Engine) -> None:
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)

    async def work() -> list[Any]:
        together = Commits(engine)
        return await asyncio.gather(*(together.commit(add(f"c{n:02}")) for n in range(20)))

    assert asyncio.run(work()) == [f"c{n:02}" for n in range(20)] == names(engine)
    if is_sqlite(engine):  # the first goes at once, and what comes meanwhile together
        assert len(commits) <= 3
    else:
        assert len(commits) == 20  # each for itself


def test_a_step_that_fails_takes_no_other_with_it_and_leaves_nothing(engine: Engine) -> None:
    async def work() -> list[Any]:
        together = Commits(engine)
        steps = [add("a"), add("b"), fail, add("c"), fail, add("d")]
        return await asyncio.gather(*(together.commit(step) for step in steps), return_exceptions=True)

    answers = asyncio.run(work())
    assert [answer for answer in answers if isinstance(answer, str)] == ["a", "b", "c", "d"] == names(engine)
    assert [type(answer) for answer in answers if not isinstance(answer, str)] == [ZeroDivisionError] * 2


def test_who_gives_up_waiting_keeps_nobody_from_going_on(engine: Engine) -> None:
    async def work() -> str:
        together = Commits(engine)
        first = asyncio.create_task(together.commit(add("a")))
        given_up = asyncio.create_task(together.commit(add("b")))
        last = asyncio.create_task(together.commit(add("c")))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        await first
        answer = str(await last)
        while together._under_way:  # on PostgreSQL the second is beside the third, not before it
            await asyncio.sleep(0.01)
        return answer

    assert asyncio.run(work()) == "c"
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(table_of(Channel))) == 3  # it was on its way
