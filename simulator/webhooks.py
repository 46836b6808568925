"""Webhooks as LINE makes them: events, the body around them, its signature, and the sending with redelivery.

Source: "Webhook Event Objects" and "Signature validation" of the Messaging API reference; for redelivery "Receive
messages (webhook)": LINE does not publish its number and spacing, here they are arguments.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

TIMEOUT_SECONDS = 2.0  # "Check the cause of errors in webhook": no answer by then counts as request_timeout
REDELIVERY_AFTER_SECONDS = (1.0, 3.0, 9.0)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Event = dict[str, Any]


def new_ulid(at: datetime) -> str:
    """A ULID: 48 bits of milliseconds and 80 random ones in Crockford's base 32, 26 characters."""
    number = int(at.timestamp() * 1000) << 80 | int.from_bytes(os.urandom(10))
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def sign(secret: str, body: bytes) -> str:
    """The value of `x-line-signature`: HMAC-SHA256 of the raw body under the channel secret, in Base64."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def body_of(bot_user_id: str, events: Sequence[Event]) -> bytes:
    """The raw body of one request; no events is what the console's Verify button sends."""
    document = {"destination": bot_user_id, "events": list(events)}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(secret: str, body: bytes) -> dict[str, str]:
    """The headers of one request with this raw body."""
    return {
        "content-type": "application/json; charset=utf-8",
        "user-agent": "LineBotWebhook/2.0",
        "x-line-signature": sign(secret, body),
    }


def redelivered(event: Event) -> Event:
    """The same event sent again: id, time and reply token stay, only `isRedelivery` says so."""
    return event | {"deliveryContext": {"isRedelivery": True}}


def event_of(
    kind: str, line_user_id: str | None, at: datetime, *, reply_token: str | None = None, **fields: Any
) -> Event:
    """An event of any kind with the properties common to all. No `source` for None, as when account linking failed."""
    event: Event = {
        "type": kind,
        "mode": "active",
        "timestamp": int(at.timestamp() * 1000),
        "webhookEventId": new_ulid(at),
        "deliveryContext": {"isRedelivery": False},
    }
    if line_user_id is not None:
        event["source"] = {"type": "user", "userId": line_user_id}
    if reply_token is not None:
        event["replyToken"] = reply_token
    return event | fields


def follow(line_user_id: str, at: datetime, reply_token: str, *, is_unblocked: bool = False) -> Event:
    """The account was added as a friend, or unblocked."""
    return event_of("follow", line_user_id, at, reply_token=reply_token, follow={"isUnblocked": is_unblocked})


def unfollow(line_user_id: str, at: datetime) -> Event:
    """The account was blocked; there is nothing to reply to."""
    return event_of("unfollow", line_user_id, at)


def message(line_user_id: str, at: datetime, reply_token: str, content: dict[str, Any]) -> Event:
    """A message of any content; an `id` is added when `content` has none."""
    number = int(at.timestamp() * 1000) * 1000 + int.from_bytes(os.urandom(2)) % 1000
    return event_of("message", line_user_id, at, reply_token=reply_token, message={"id": str(number), **content})


def text(line_user_id: str, at: datetime, reply_token: str, words: str) -> Event:
    """A text message."""
    content = {"type": "text", "text": words, "quoteToken": os.urandom(16).hex()}
    return message(line_user_id, at, reply_token, content)


def sticker(
    line_user_id: str, at: datetime, reply_token: str, package_id: str = "446", sticker_id: str = "1988"
) -> Event:
    """A sticker."""
    content = {
        "type": "sticker",
        "packageId": package_id,
        "stickerId": sticker_id,
        "stickerResourceType": "STATIC",
        "quoteToken": os.urandom(16).hex(),
    }
    return message(line_user_id, at, reply_token, content)


def image(line_user_id: str, at: datetime, reply_token: str) -> Event:
    """A picture; its content stays with LINE."""
    content = {"type": "image", "contentProvider": {"type": "line"}, "quoteToken": os.urandom(16).hex()}
    return message(line_user_id, at, reply_token, content)


def postback(
    line_user_id: str, at: datetime, reply_token: str, data: str, params: dict[str, str] | None = None
) -> Event:
    """A postback action was tapped; `params` for a date picker or rich menu switch."""
    content: dict[str, Any] = {"data": data} | ({"params": params} if params else {})
    return event_of("postback", line_user_id, at, reply_token=reply_token, postback=content)


def unsend(line_user_id: str, at: datetime, message_id: str) -> Event:
    """A message was taken back."""
    return event_of("unsend", line_user_id, at, unsend={"messageId": message_id})


def account_link(line_user_id: str | None, at: datetime, reply_token: str | None, nonce: str, *, is_ok: bool) -> Event:
    """Account linking ended; a failed one may come with no source and has no reply token."""
    link = {"result": "ok" if is_ok else "failed", "nonce": nonce}
    return event_of("accountLink", line_user_id, at, reply_token=reply_token if is_ok else None, link=link)


@dataclass(slots=True)
class Endpoint:
    """Where a channel's webhooks go, as set at LINE: no `url`, nowhere; not `is_active` ("Use webhook" is off), only
    tests do."""

    url: str | None = None
    is_active: bool = True

    @property
    def takes_events(self) -> bool:
        """Whether events are sent."""
        return self.url is not None and self.is_active


@dataclass(slots=True)
class WebhookCounts:
    """What became of the requests: sent at all, answered 2xx, given up after the last redelivery."""

    sent: int = 0
    answered: int = 0
    redelivered: int = 0
    given_up: int = 0


class WebhookSender:
    """Sends signed bodies to where `endpoint` says at that moment, again after a failure. Lives in one event loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        secret: str,
        bot_user_id: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        redelivery_after_seconds: Sequence[float] = REDELIVERY_AFTER_SECONDS,
    ) -> None:
        self.endpoint = endpoint
        self.counts = WebhookCounts()
        self._secret = secret
        self._bot_user_id = bot_user_id
        self.timeout_seconds = timeout_seconds
        self.redelivery_after_seconds = tuple(redelivery_after_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._pending: set[asyncio.Task[bool]] = set()

    async def send(self, events: Sequence[Event]) -> bool:
        """Send one body, redelivering after each failure; True once answered 2xx, False when given up."""
        self.counts.sent += 1
        if await self._post(events):
            return True
        again = [redelivered(event) for event in events]
        for wait in self.redelivery_after_seconds:
            await asyncio.sleep(wait)
            self.counts.redelivered += 1
            if await self._post(again):
                return True
        self.counts.given_up += 1
        return False

    def start(self, events: Sequence[Event]) -> None:
        """Send in the background of the running loop."""
        task = asyncio.get_running_loop().create_task(self.send(events))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _post(self, events: Sequence[Event]) -> bool:
        if self.endpoint.url is None:
            return False  # taken away at LINE meanwhile
        body = body_of(self._bot_user_id, events)
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            async with self._session.post(
                self.endpoint.url,
                data=body,
                headers=headers_of(self._secret, body),
                allow_redirects=False,
                timeout=timeout,
            ) as answer:
                is_ok = 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return False  # could_not_connect or request_timeout in LINE's statistics: redelivered like a bad status
        self.counts.answered += is_ok
        return is_ok

    async def close(self) -> None:
        """Give up what is under way and close the connections; it may be used again, in another loop."""
        tasks = list(self._pending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
