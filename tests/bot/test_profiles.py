"""Profiles: fetched later, in small numbers, with growing waits."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from bot.line import LineError, Profile
from bot.profiles import LONGEST_WAIT, MAX_TRIES, fetch_due_profiles, wait_after
from store.engine import table_of, transaction
from store.models import LineAccount
from tests.bot.conftest import PERSON, Chat


class Door:
    def __init__(self, answer: Profile | LineError | None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def profile(self, line_user_id: str) -> Profile | None:
        self.asked.append(line_user_id)
        if isinstance(self.answer, LineError):
            raise self.answer
        return self.answer


def trouble(status: int | None, *, may_try_again: bool) -> LineError:
    return LineError("no", status=status, may_try_again=may_try_again, in_doubt=False)


def fetch(chat: Chat, door: Door, limit: int = 100) -> int:
    return fetch_due_profiles(chat.engine, {chat.channel_id: door}, clock=chat.clock, limit=limit)


def test_profile_is_kept_and_not_asked_for_again(chat: Chat) -> None:
    chat.take(chat.text("hi"))
    door = Door(Profile(display_name="王\x00小明", language="zh-Hant"))
    assert (fetch(chat, door), fetch(chat, door)) == (1, 0)
    assert door.asked == [PERSON]
    (account,) = chat.rows(LineAccount)
    assert (account.display_name, account.profile_language, account.profile_due_at) == ("王小明", "zh-Hant", None)


def test_person_without_a_profile_is_not_asked_for_again(chat: Chat) -> None:
    chat.take(chat.text("hi"))
    door = Door(None)
    assert fetch(chat, door) == 1
    chat.clock.advance(days=30)
    assert fetch(chat, door) == 0


def test_limit_bounds_the_calls_and_the_longest_due_go_first(chat: Chat) -> None:
    for number in range(5):
        chat.take(chat.text("hi", user=f"U{number:032x}"))
        chat.clock.advance(seconds=1)
    door = Door(Profile("x", None))
    assert fetch(chat, door, limit=2) == 2
    assert sorted(door.asked) == [f"U{number:032x}" for number in range(2)]


def test_failures_wait_longer_each_time_and_end(chat: Chat) -> None:
    chat.take(chat.text("hi"))
    door = Door(trouble(500, may_try_again=True))
    for tries in range(1, MAX_TRIES + 1):
        assert fetch(chat, door) == 1
        (account,) = chat.rows(LineAccount)
        assert account.profile_tries == tries
        if tries < MAX_TRIES:
            assert account.profile_due_at == chat.clock() + wait_after(tries)
            chat.clock.advance(seconds=wait_after(tries).total_seconds() - 1)
            assert fetch(chat, door) == 0
            chat.clock.advance(seconds=1)
    assert chat.rows(LineAccount)[0].profile_due_at is None


def test_waits_double_up_to_the_longest() -> None:
    assert [wait_after(n) for n in (1, 2, 3)] == [timedelta(minutes=m) for m in (1, 2, 4)]
    assert wait_after(1000) == LONGEST_WAIT


@pytest.mark.parametrize(("status", "is_asked_again"), [(400, False), (401, True), (403, True), (429, True)])
def test_refusal_of_the_person_is_final_but_not_that_of_the_token(
    chat: Chat, status: int, is_asked_again: bool
) -> None:
    chat.take(chat.text("hi"))
    with transaction(chat.engine) as session:
        session.execute(update(table_of(LineAccount)).values(profile_tries=3))
    fetch(chat, Door(trouble(status, may_try_again=status == 429)))
    assert (chat.rows(LineAccount)[0].profile_due_at is not None) == is_asked_again


def test_channel_without_a_door_stays_due(chat: Chat) -> None:
    chat.take(chat.text("hi"))
    assert fetch_due_profiles(chat.engine, {}, clock=chat.clock) == 0
    assert chat.rows(LineAccount)[0].profile_due_at == chat.clock()
