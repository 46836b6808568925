"""The door for single calls: replies, profiles, the account, its quota, checks of messages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from linebot.v3 import messaging
from linebot.v3.messaging.models import ReplyMessageRequest, TestWebhookEndpointRequest, ValidateMessageRequest

from bot.line.answers import LineError
from bot.line.sdk import call, client

COUPONS_A_PAGE = 100  # "Get a list of coupons"


@dataclass(frozen=True, slots=True)
class Profile:
    """What LINE tells of a friend. No gender, birthday or phone: LINE has none to give."""

    display_name: str
    language: str | None


@dataclass(frozen=True, slots=True)
class BotInfo:
    """The account behind a token."""

    user_id: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Quota:
    """This month's messages: `limit` None means unlimited; `used` is LINE's own approximate figure."""

    limit: int | None
    used: int

    @property
    def left(self) -> int | None:
        """Messages left, never below 0; None when unlimited."""
        return None if self.limit is None else max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where LINE sends a channel's webhooks; only tests while not `is_active` ("Use webhook" is off)."""

    url: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class WebhookTest:
    """What came of LINE's own test of a webhook. `status_code` is 0 or negative where it got no answer; `reason` and
    `detail` are LINE's ("Check webhook error causes and statistics")."""

    is_success: bool
    status_code: int
    reason: str
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Coupon:
    """One of the account's LINE coupons."""

    coupon_id: str
    title: str


class LineDoor:
    """One channel's door for single calls. One per channel and process: it keeps its connections. Thread-safe."""

    def __init__(self, *, api_base: str, access_token: str, timeout_seconds: float) -> None:
        self._api = messaging.MessagingApi(client(messaging, api_base, access_token))
        self._timeout = timeout_seconds

    def reply(self, reply_token: str, messages: list[dict[str, Any]]) -> None:
        """Answer an event. A token works once, within a minute. Raises LineError."""
        request = ReplyMessageRequest.from_dict({"replyToken": reply_token, "messages": messages})
        call("reply", self._api.reply_message, request, timeout=self._timeout)

    def profile(self, line_user_id: str) -> Profile | None:
        """A person's profile; None when blocked, not a friend or unknown (404). Raises LineError."""
        try:
            answer = call("profile", self._api.get_profile, line_user_id, timeout=self._timeout)
        except LineError as error:
            if error.status == 404:
                return None
            raise
        return Profile(display_name=answer.display_name, language=answer.language)

    def bot_info(self) -> BotInfo:
        """Which account the token is for. Raises LineError."""
        answer = call("bot info", self._api.get_bot_info, timeout=self._timeout)
        return BotInfo(user_id=answer.user_id, display_name=answer.display_name)

    def quota(self) -> Quota:
        """This month's quota and LINE's figure of what is used. Raises LineError."""
        limit = call("quota", self._api.get_message_quota, timeout=self._timeout)
        used = call("quota consumption", self._api.get_message_quota_consumption, timeout=self._timeout)
        return Quota(limit=limit.value if limit.type == "limited" else None, used=used.total_usage)

    def webhook_endpoint(self) -> WebhookEndpoint | None:
        """Where LINE sends the channel's webhooks; None when no URL is set (404). Raises LineError."""
        try:
            answer = call("webhook endpoint", self._api.get_webhook_endpoint, timeout=self._timeout)
        except LineError as error:
            if error.status == 404:
                return None
            raise
        return WebhookEndpoint(url=answer.endpoint, is_active=answer.active)

    def test_webhook(self) -> WebhookTest:
        """Let LINE send a request without events to the URL that is set; 60 an hour. Raises LineError, with status 404
        when no URL is set."""
        request = TestWebhookEndpointRequest()
        answer = call("webhook test", self._api.test_webhook_endpoint, request, timeout=self._timeout)
        is_success = answer.reason == "OK" if answer.success is None else answer.success
        return WebhookTest(is_success, answer.status_code, answer.reason, answer.detail, answer.timestamp)

    def coupons(self, *, most: int) -> list[Coupon]:
        """The account's coupons that messages may show now, as LINE orders them, `most` at most. Raises LineError."""
        found: list[Coupon] = []
        start = None
        while len(found) < most:
            page = call(
                "coupons",
                self._api.list_coupon,
                status=["RUNNING"],
                start=start,
                limit=min(COUPONS_A_PAGE, most - len(found)),
                timeout=self._timeout,
            )
            found += [Coupon(one.coupon_id, one.title) for one in page.items]
            if not (start := page.next):
                break
        return found

    def validate(self, messages: list[dict[str, Any]]) -> None:
        """Let LINE check messages without sending. Raises LineError with LINE's words when they are invalid."""
        request = ValidateMessageRequest.from_dict({"messages": messages})
        call("validate", self._api.validate_push, request, timeout=self._timeout)
