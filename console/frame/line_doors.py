"""What the console asks of LINE, and what it is told; service/console_doors.py asks."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Webhook:
    """A channel's webhook as LINE has it. `url` None: none is set there. Not `is_active`: "Use webhook" is off, and
    LINE sends only tests. `is_ours`: the URL is one by which this service takes the channel's webhooks."""

    url: str | None
    is_active: bool = False
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class WebhookTest:
    """What came of a request that LINE sent to the URL it has. `status_code` is 0 or negative where it got no answer;
    `reason` and `detail` are LINE's words."""

    is_success: bool
    status_code: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Coupon:
    """One of the account's LINE coupons."""

    coupon_id: str
    title: str


class LineDoors(Protocol):
    """What the console asks of LINE, by the channel's name. Each raises ExpectedError with LINE's words."""

    def who_is(self, channel: str) -> str:
        """The name of the account that the channel's token is for."""

    def webhook(self, channel: str) -> Webhook:
        """Where LINE sends the channel's webhooks."""

    def test_webhook(self, channel: str) -> WebhookTest:
        """Let LINE send a request without events to the URL it has; 60 an hour."""

    def coupons(self, channel: str, *, most: int) -> list[Coupon]:
        """The account's coupons that messages may show now, `most` at most."""

    def validate(self, channel: str, messages: list[dict[str, Any]]) -> None:
        """Let LINE check messages; nothing is sent."""

    def send_test(self, channel: str, to: str, messages: list[dict[str, Any]], retry_key: str) -> None:
        """Send messages to one person now; it counts in the quota. Twice with one `retry_key` (UUID) is once."""
