"""Refusals and resumptions in people's own words, and everything that only looks like one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.events import read_event
from bot.wishes import wish_of
from tests.bot.conftest import PERSON

REFUSALS = [
    *("取消", " 取消！ ", "「取消」", "取消，謝謝", "取消🙏", "取消吧", "停止", "請停止"),
    *("退訂", "我要退訂", "我想退訂", "你好 請退訂", "可以退訂嗎", "麻煩幫我取消訂閱，謝謝"),
    *("不要再傳", "不要 再傳了。", "請不要再傳了", "請勿再傳", "拜託不要再傳訊息給我了", "可以不要再傳了嗎？"),
    *("別再發廣告給我", "不想再收到廣告", "不想再收到訊息了", "不要傳廣告", "不要再打擾我了", "不要再通知我"),
    *("拒收", "拒絕行銷", "拒收廣告訊息", "停止推播", "停止傳送", "停止接收訊息"),
    *("不要傳了", "別傳了！", "不用傳了，謝謝", "我不想收到廣告", "我不要再收到訊息", "我不想再收到你們的訊息"),
    *(
        "不要推播",
        "不要廣告",
        "關閉通知",
        "取消追蹤",
        "解除訂閱",
        "不再接收",
        "不再接收任何訊息",
        "別再煩我",
        "不要再吵我了",
    ),
    *("不要再傳了好嗎？", "你們可以不要再傳了嗎", "好煩 不要再傳", "煩死了，別再傳訊息了", "Do not contact me"),
    "不好意思，請不要再傳訊息了，謝謝您",
    *("請勿打擾", "不要再傳這些廣告", "我不想再收到這些訊息", "不要一直傳訊息", "不要一直傳！", "別再傳廣告過來了"),
    *("停止傳訊息", "請停止傳訊息給我", "停止寄送廣告", "我不接收廣告", "不用傳訊息給我", "請停止发讯息"),
    *(
        "退订",
        "请取消订阅",
        "麻烦取消订阅，谢谢",
        "请不要再发了，谢谢",
        "别再打扰我",
        "请勿再发",
        "停止发送",
        "关闭通知",
        "不要再收到你们的消息",
    ),
    *("STOP", "Stop.", "ＳＴＯＰ", "please stop", "stop all", "quit", "cancel", "unsubscribe", "Please unsubscribe"),
    *("I want to unsubscribe", "unsubscribe, thanks", "Opt-out", "opt out please", "Stop sending me messages"),
    *("don't send me messages", "Don't message me anymore", "no more messages please", "remove me"),
]
NO_WISHES = [
    *("取消訂單", "我要取消昨天的訂單", "怎麼取消", "取消?", "取消？", "可以取消嗎", "可以停止嗎？", "請問怎麼退訂"),
    *("停止營業了嗎", "停止出貨", "訂閱了什麼", "請", "謝謝", "", "！", "不要再傳錯尺寸", "不要發貨", "退訂單"),
    *(
        "不要寄了",
        "不要送了",
        "不要優惠券",
        "取消好嗎",
        "關閉帳號",
        "不要煩惱",
        "我不想收到錯的貨",
        "不要推薦",
        "不再訂購",
    ),
    *("取消優惠", "停止優惠", "停止優惠了嗎", "我想取消訂單", "取消這筆", "不要一直漲價", "停止發貨", "不用寄發票"),
    *("別寄錯", "不要再買了", "不要再漲價了", "不要傳", "我不要了", "取消通知我的課程"),
    *(
        "stop by the shop",
        "nonstop",
        "stop the order",
        "cancel my order",
        "don't worry",
        "don't",
        "don't send",
        "no more",
    ),
]


def wish(kind: str, **content: Any) -> str | None:
    raw = {"type": kind, "source": {"type": "user", "userId": PERSON}, **content}
    return wish_of(read_event(raw, 1, datetime(2026, 11, 2, tzinfo=UTC)))


@pytest.mark.parametrize("words", REFUSALS)
def test_words_of_refusal(words: str) -> None:
    assert wish("message", message={"id": "1", "type": "text", "text": words}) == "refuse"


@pytest.mark.parametrize("words", ["訂閱", "請恢復訂閱", "Subscribe!", "訂閱，謝謝", "恢复订阅", "请恢复订阅"])
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
