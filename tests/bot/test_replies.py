"""Answers: owed to whom, worded how, sent once and in time."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from bot.events import read_event
from bot.line import LineError
from bot.replies import send_due_replies, wish_of
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


def wish(kind: str, **content: Any) -> str | None:
    raw = {"type": kind, "source": {"type": "user", "userId": PERSON}, **content}
    return wish_of(read_event(raw, 1, datetime(2026, 11, 2, tzinfo=UTC)))


REFUSALS = [
    "取消",
    " 取消！ ",
    "「取消」",
    "退訂",
    "不要再傳",
    "不要 再傳了。",
    "停止",
    "請停止",
    "請勿再傳",
    "取消，謝謝",
    "取消🙏",
    "STOP",
    "Stop.",
    "ＳＴＯＰ",
    "unsubscribe",
    "Please unsubscribe",
]
NO_WISHES = [
    "取消訂單",
    "我要取消昨天的訂單",
    "怎麼取消",
    "取消?",
    "取消？",
    "停止營業了嗎",
    "stop by the shop",
    "nonstop",
    "訂閱了什麼",
    "請",
    "謝謝",
    "",
    "！",
    "不要再傳錯尺寸",
]


@pytest.mark.parametrize("words", REFUSALS)
def test_words_of_refusal(words: str) -> None:
    assert wish("message", message={"id": "1", "type": "text", "text": words}) == "refuse"


@pytest.mark.parametrize("words", ["訂閱", "請恢復訂閱", "Subscribe!", "訂閱，謝謝"])
def test_words_of_resumption(words: str) -> None:
    assert wish("message", message={"id": "1", "type": "text", "text": words}) == "resume"


@pytest.mark.parametrize("words", NO_WISHES)
def test_words_that_are_neither(words: str) -> None:
    assert wish("message", message={"id": "1", "type": "text", "text": words}) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("action=refuse", "refuse"),
        ("action=resume", "resume"),
        ("x=1&action=refuse", "refuse"),
        ("action=refuse2", None),
        ("refuse", None),
        ("action=refuse&action=resume", None),
    ],
)
def test_postbacks_of_the_menu(data: str, expected: str | None) -> None:
    assert wish("postback", postback={"data": data}) == expected


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
