"""Answers: which events are owed one, what it says, and sending it by reply token, once and in time.

What is owed is decided in the inbox's transaction (a Reply row per event); sending claims, commits, calls, records.
A reply has no retry key at LINE, so it is never repeated: after a crash it counts as unknown.
Source: Messaging API reference, "Send reply message > Reply token".
"""

import unicodedata
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from urllib.parse import parse_qs

from sqlalchemy import Engine, select, update
from sqlmodel import Session

from bot.events import LineEvent
from bot.line import LineError
from store.clock import Clock
from store.engine import is_sqlite, table_of, transaction
from store.models import Reply

TOKEN_LIFE = timedelta(seconds=50)  # LINE: one minute from receipt; ten seconds are left for the call
TOKEN_LAST_USE = timedelta(minutes=19)  # LINE: redelivered tokens die 20 minutes after the event
CALLS_AT_ONCE = 32  # 100 a second when LINE takes 0.3 s: many answers fall due at once, and none may be late

Wish = Literal["refuse", "resume"]

# Whole messages that refuse or resume marketing, after `_normalised`. A word inside a sentence is not a refusal:
# 取消訂單 cancels an order. Personal data act, art. 20: on refusal marketing stops at once.
_REFUSALS = frozenset(
    (
        *(
            "取消",
            "取消訂閱",
            "取消订阅",
            "退訂",
            "退订",
            "停止",
            "停止訂閱",
            "停止發送",
            "停止傳送",
            "拒收",
            "拒絕行銷",
        ),
        *("不要再傳", "不要再傳了", "別再傳", "別再傳了", "請勿再傳", "不要再發", "不要再發了", "不要再发"),
        *("unsubscribe", "stop", "stopall", "optout", "cancel"),
    )
)
_RESUMPTIONS = frozenset(
    ("訂閱", "订阅", "恢復訂閱", "恢复订阅", "重新訂閱", "恢復通知", "subscribe", "resume", "optin")
)
_POLITE_BEFORE = ("請", "请", "please")
_POLITE_AFTER = ("謝謝", "谢谢", "thanks", "thankyou")


@dataclass(frozen=True, slots=True)
class ReplyTexts:
    """The brand's words for each answer; an empty text means no answer."""

    welcome: str
    refused: str
    resumed: str


class ReplyDoor(Protocol):
    """The part of a channel's door to LINE used here."""

    def reply(self, reply_token: str, messages: list[dict[str, Any]]) -> None:
        """Answer an event. Raises bot.line.LineError."""


# --- what is owed ----------------------------------------------------------------------------------------------


def wish_of(event: LineEvent) -> Wish | None:
    """Whether a person asks, in a chat with the account alone, for marketing to stop or to come again."""
    if not event.is_one_to_one or event.line_user_id is None:
        return None
    if event.postback_data is not None:
        actions = parse_qs(event.postback_data).get("action", [])
        return "refuse" if actions == ["refuse"] else "resume" if actions == ["resume"] else None
    words = _normalised(event.text or "")
    return "refuse" if words in _REFUSALS else "resume" if words in _RESUMPTIONS else None


def answer_to(event: LineEvent, texts: ReplyTexts) -> list[dict[str, Any]]:
    """The message objects owed for an event; empty list: none is."""
    wish = wish_of(event)
    if event.kind == "follow":
        text = texts.welcome
    elif wish is not None:
        text = texts.refused if wish == "refuse" else texts.resumed
    else:
        text = ""
    return [{"type": "text", "text": text}] if text else []


def expires_at(event: LineEvent) -> datetime:
    """Until when the event's reply token may be used (exclusive)."""
    return min(event.received_at + TOKEN_LIFE, event.occurred_at + TOKEN_LAST_USE)


def _normalised(text: str) -> str:
    """Letters and digits in one width and case, marks of politeness taken off. A question mark stays: it asks."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(c for c in folded if c.isalnum() or c == "?")
    for before in _POLITE_BEFORE:
        if words not in _REFUSALS:  # 請勿再傳 begins with 請
            words = words.removeprefix(before)
    for after in _POLITE_AFTER:
        words = words.removesuffix(after)
    return words


# --- sending ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Claimed:
    reply_id: int
    channel_id: int
    reply_token: str
    messages: list[dict[str, Any]]
    expires_at: datetime


def send_due_replies(engine: Engine, doors: Mapping[int, ReplyDoor], *, clock: Clock, limit: int = 64) -> int:
    """Send up to `limit` answers that are due and return how many were taken; 0: nothing was due. Writes.

    `doors` is keyed by channel id. States: sent; expired (too late, not tried); failed (LINE said no, or the channel
    has no door); unknown (LINE may have it, or we crashed in between). None is ever tried twice.
    """
    with transaction(engine) as session:
        claimed = _claim(session, clock(), limit)
    with ThreadPoolExecutor(max_workers=CALLS_AT_ONCE, thread_name_prefix="reply") as pool:
        calls = {pool.submit(_send, reply, doors.get(reply.channel_id), clock): reply for reply in claimed}
        for call in as_completed(calls):
            state, problem = call.result()
            _record(engine, calls[call].reply_id, state, problem)
    return len(claimed)


def _claim(session: Session, now: datetime, limit: int) -> list[_Claimed]:
    """Mark due replies as being sent, so that no other sender takes them, and settle those whose time is over."""
    reply = table_of(Reply)
    is_over = reply.c.expires_at <= now
    session.execute(update(reply).where(reply.c.state == "due", is_over).values(state="expired"))
    # Still `sending` when the token is dead: its sender crashed, and LINE may or may not have the answer.
    abandoned = {"state": "unknown", "problem": "the sender stopped before LINE's answer was recorded"}
    session.execute(update(reply).where(reply.c.state == "sending", is_over).values(abandoned))
    due = select(reply).where(reply.c.state == "due").order_by(reply.c.expires_at).limit(limit)
    rows = session.execute(due if is_sqlite(session) else due.with_for_update(skip_locked=True)).all()
    if rows:
        session.execute(update(reply).where(reply.c.id.in_([r.id for r in rows])).values(state="sending"))
    return [_Claimed(r.id, r.channel_id, r.reply_token, r.messages, r.expires_at) for r in rows]


def _send(reply: _Claimed, door: ReplyDoor | None, clock: Clock) -> tuple[str, str | None]:
    """Call LINE; the reply's new state, and the problem if there was one."""
    if door is None:
        return "failed", "the channel has no access token"
    if clock() >= reply.expires_at:
        return "expired", None
    try:
        door.reply(reply.reply_token, reply.messages)
    except LineError as error:
        return "unknown" if error.in_doubt else "failed", str(error)
    return "sent", None


def _record(engine: Engine, reply_id: int, state: str, problem: str | None) -> None:
    reply = table_of(Reply)
    with transaction(engine) as session:
        session.execute(update(reply).where(reply.c.id == reply_id).values(state=state, problem=problem))
