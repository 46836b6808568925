"""Whether a person asks for marketing to stop or to come again: by a whole message, or by a postback of the menu.

A word inside a sentence is no refusal: 取消訂單 cancels an order. But a refusal is obeyed however politely it is said,
in traditional or simplified characters or in English. Personal data act of Taiwan, art. 20: on refusal marketing stops
at once.
"""

import re
import unicodedata
from typing import Literal
from urllib.parse import parse_qs

from bot.events import LineEvent

Wish = Literal["refuse", "resume"]

MAX_LENGTH = 200  # characters: a longer message is a letter, no wish

# The simplified characters of the words below; other words stay as they are.
_TRADITIONAL = str.maketrans(
    "订阅发传别请谢绝销烦讯简复继续帮给扰东来广关闭骚们贵",
    "訂閱發傳別請謝絕銷煩訊簡復繼續幫給擾東來廣關閉騷們貴",
)

_WHAT = "(?:訊息|消息|簡訊|廣告|通知|推播|行銷|優惠|東西)"
_YOURS = "(?:你們的?|貴公司的?)?(?:任何|所有|這些|這種|這類|那些)?"
_SENT = "(?:傳|發|寄|收到?|推播|打擾|通知)送?(?:過?來|給我|我)?"
_CLEAR = re.compile(
    "|".join(
        (
            "退訂(?:閱)?",
            f"(?:取消|停止|結束|解除|關閉)(?!優惠$)(?:訂閱|發送|傳送|接收|追蹤|{_WHAT})+",
            f"停止(?:繼續)?{_SENT}{_YOURS}{_WHAT}+(?:給我|過?來)?",
            f"(?:拒收|拒絕|拒絕接收)(?:所有|任何)?{_WHAT}*",
            f"(?:不要|別|請?勿|不用|不必|不想|不想要|不需要|停止)再(?:繼續)?{_SENT}{_YOURS}{_WHAT}*(?:給我|過?來)?",
            f"(?:不要|別|請?勿|不用|不必|不想|不想要)(?:繼續|一直)?{_SENT}{_YOURS}{_WHAT}+(?:給我|過?來)?",
            "(?:不要|別|請?勿)再?一直[傳發](?:給我|過?來)?",
            "(?:不要|別|不用|不必|請?勿)傳(?:來|給我)?了",  # of a parcel one says 寄 or 送
            "(?:不要|別|請?勿)再?(?:煩我|吵我|騷擾我?|打擾我?)",
            f"不(?:再(?:接收|收到?|訂閱)|接收){_YOURS}{_WHAT}*",
            "(?:不要|不需要|不想要)(?:推播|廣告|行銷)(?:訊息|通知)?",
            "unsubscribe(?:me)?|optout|removeme|stopall",
            "(?:stop|nomore)(?:messages?|ads|promotions|marketing)",
            "(?:donot|dont)contactme(?:anymore)?",
            "(?:stop|donot|dont)(?:sending|send|texting|text|messaging|message)(?<!send)(?<!sending)(?:me)?(?:anymore)?",
            "(?:stop|donot|dont)(?:sending|send)(?:me(?:any)?(?:more)?)?(?:messages?|ads|promotions|marketing|me)"
            "(?:tome)?(?:anymore)?",
        )
    )
)
_BARE = frozenset(("取消", "停止", "stop", "cancel", "quit"))  # could be about something else when asked as a question
_RESUMPTIONS = frozenset(
    ("訂閱", "恢復訂閱", "重新訂閱", "繼續訂閱", "恢復通知", "恢復接收", "subscribe", "resubscribe", "resume", "optin")
)
_BEFORE = re.compile(
    "(?:您好|你好|不好意思|抱歉|哈囉|請你們?|請您|請(?!勿)|麻煩你們?|麻煩您|麻煩|拜託|幫我|我想要?|我要|我(?=不)|以後|你們"
    "|真的|好煩|很煩|太煩了?|煩死了?"
    "|hello|hi|please|pls|iwantto|idliketo|kindly)"
)
_AFTER = re.compile(
    "(?:謝謝你們?|謝謝您|謝謝|感謝您?|感恩|拜託|麻煩您?了?|了|啦|吧|喔|哦|囉|嘍|唷"
    "|thanks|thankyou|thankyouverymuch|thx|please|pls)$"
)
_ASKED_POLITELY = (
    re.compile(r"(?:你們|請問)?(?:可以|能不能|可不可以|可否|能否)(?P<what>.+?)(?:嗎|呢)?\??"),
    re.compile(r"(?P<what>.+?)(?:好嗎|可以嗎|行嗎|好不好)\??"),
)


def wish_of(event: LineEvent) -> Wish | None:
    """Whether a person asks, in a chat with the account alone, for marketing to stop or to come again."""
    if not event.is_one_to_one or event.line_user_id is None:
        return None
    if event.postback_data is not None:
        actions = parse_qs(event.postback_data).get("action", [])
        return "refuse" if actions == ["refuse"] else "resume" if actions == ["resume"] else None
    return wish_in(event.text or "")


def wish_in(text: str) -> Wish | None:
    """What a whole message asks for."""
    if len(text) > MAX_LENGTH:
        return None
    words = _normalised(text)
    asked = (form.fullmatch(words) for form in _ASKED_POLITELY)
    if any(found is not None and _is_clear(_plain(found["what"])) for found in asked):
        return "refuse"
    plain = _plain(words)
    if plain in _BARE or _is_clear(plain):
        return "refuse"
    return "resume" if plain in _RESUMPTIONS else None


def _is_clear(words: str) -> bool:
    return _CLEAR.fullmatch(words) is not None


def _normalised(text: str) -> str:
    """Letters and digits in one width, case and script. A question mark stays: it asks."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_TRADITIONAL)
    return "".join(c for c in folded if c.isalnum() or c == "?")


def _plain(words: str) -> str:
    """The words with marks of politeness taken off at both ends, as many as there are."""
    while words not in _BARE and not _is_clear(words):
        shorter = _AFTER.sub("", _BEFORE.sub("", words, count=1) if _BEFORE.match(words) else words)
        if shorter == words:
            break
        words = shorter
    return words
