"""Answers: owed to whom, worded how, sent once and in time."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from bot.line import LineError
from bot.replies import send_due_replies
from store.models import Customer, Reply
from tests.bot.conftest import PERSON, Chat


class Door:
    """Takes answers as LINE would, or raises what it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.taken: list[tuple[str, list[dict[str, Any]]]] = []

    def reply(self, reply_token: str, messages: list[dict[str, Any]]) -> None:
        self.taken.append((reply_token, messages))
        if self.error is not None:
            raise self.error


def send(chat: Chat, door: Door, engine: Engine | None = None) -> int:
    return send_due_replies(engine or chat.engine, {chat.channel_id: door}, clock=chat.clock)


def states(chat: Chat) -> list[str]:
    return [row.state for row in chat.rows(Reply, "id")]


def test_group_talk_is_no_refusal(chat: Chat) -> None:
    chat.take(chat.text("取消", source={"type": "group", "groupId": "C1", "userId": PERSON}))
    assert chat.rows(Customer)[0].marketing_refused_at is None
    assert chat.rows(Reply) == []


def test_follow_refusal_and_resumption_are_answered_and_small_talk_is_not(chat: Chat) -> None:
    chat.take(
        chat.event("follow"),
        chat.text("你好"),
        chat.text("取消"),
        chat.event("postback", postback={"data": "action=resume"}),
    )
    door = Door()
    assert send(chat, door) == 3
    assert sorted(messages[0]["text"] for _, messages in door.taken) == ["不再傳", "恢復了", "歡迎"]
    assert {token for token, _ in door.taken} == {r.reply_token for r in chat.rows(Reply)}
    assert states(chat) == ["sent"] * 3
    assert send(chat, door) == 0


def test_standby_gets_no_answer_but_the_refusal_counts(chat: Chat) -> None:
    chat.take(chat.text("取消", mode="standby"))
    assert chat.rows(Reply) == []
    assert chat.rows(Customer)[0].marketing_refused_at == chat.clock()


def test_event_without_a_token_gets_no_answer(chat: Chat) -> None:
    chat.take({k: v for k, v in chat.event("follow").items() if k != "replyToken"})
    assert chat.rows(Reply) == []


@pytest.mark.parametrize(("seconds", "is_owed"), [(0, True), (49.9, True), (50, False), (3600, False)])
def test_body_processed_too_late_owes_no_answer(chat: Chat, seconds: float, is_owed: bool) -> None:
    chat.arrive(chat.event("follow"))
    chat.clock.advance(seconds=seconds)
    chat.process()
    assert (len(chat.rows(Reply)) == 1) == is_owed


@pytest.mark.parametrize(("minutes", "is_owed"), [(5, True), (18.9, True), (19, False), (60, False)])
def test_redelivered_event_is_answered_only_while_its_token_lives(chat: Chat, minutes: float, is_owed: bool) -> None:
    chat.take(chat.event("follow", at_ms=chat.ms(minutes=-minutes), deliveryContext={"isRedelivery": True}))
    assert (len(chat.rows(Reply)) == 1) == is_owed


def test_answer_that_waited_too_long_expires_untried(chat: Chat) -> None:
    chat.take(chat.event("follow"))
    assert chat.rows(Reply)[0].expires_at == chat.clock() + timedelta(seconds=50)
    chat.clock.advance(seconds=50)
    door = Door()
    assert send(chat, door) == 0
    assert states(chat) == ["expired"]
    assert door.taken == []


@pytest.mark.parametrize(("in_doubt", "state"), [(False, "failed"), (True, "unknown")])
@pytest.mark.parametrize("may_try_again", [False, True])
def test_answer_line_did_not_take_is_recorded_and_never_repeated(
    chat: Chat, in_doubt: bool, state: str, may_try_again: bool
) -> None:
    chat.take(chat.event("follow"))
    door = Door(LineError("LINE refused reply", status=400, may_try_again=may_try_again, in_doubt=in_doubt))
    assert send(chat, door) == 1
    assert send(chat, door) == 0
    assert len(door.taken) == 1
    assert states(chat) == [state]
    assert chat.rows(Reply)[0].problem == "LINE refused reply"


def test_crash_in_the_call_leaves_the_answer_unknown_and_never_repeated(chat: Chat) -> None:
    chat.take(chat.event("follow"))
    with pytest.raises(ZeroDivisionError):
        send(chat, Door(ZeroDivisionError()))
    assert states(chat) == ["sending"]
    door = Door()
    assert send(chat, door) == 0
    chat.clock.advance(seconds=50)
    assert send(chat, door) == 0
    assert states(chat) == ["unknown"]
    assert door.taken == []


def test_channel_without_a_token_fails_the_answer(chat: Chat) -> None:
    chat.take(chat.event("follow"))
    assert send_due_replies(chat.engine, {}, clock=chat.clock) == 1
    assert states(chat) == ["failed"]


def test_two_senders_at_once_send_each_answer_once(chat: Chat, open_again: Callable[[], Engine]) -> None:
    chat.take(*(chat.event("follow", user=f"U{n:032x}") for n in range(150)))
    door = Door()
    threads = [threading.Thread(target=send, args=(chat, door, open_again())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while send(chat, door):
        pass
    assert states(chat) == ["sent"] * 150
    assert len({token for token, _ in door.taken}) == len(door.taken) == 150
