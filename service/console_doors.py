"""What the console asks of LINE, joined to the channels of the settings."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import orjson

from console.frame.line_doors import Coupon, Webhook, WebhookTest
from service.channels import channel_named
from service.settings import Settings
from store.errors import BadInput, ExpectedError


class ConsoleDoors:
    """The LineDoors of console/frame/line_doors.py. Opens a door for each call: marketers ask seldom."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def who_is(self, channel: str) -> str:
        """The name of the account that the channel's token is for. Raises BadInput, LineError."""
        return str(self._door(channel).bot_info().display_name)

    def webhook(self, channel: str) -> Webhook:
        """Where LINE sends the channel's webhooks. Raises BadInput, LineError."""
        found = self._door(channel).webhook_endpoint()
        if found is None:
            return Webhook(url=None)
        return Webhook(found.url, found.is_active, is_ours=_same_place(found.url) in self._own_places(channel))

    def test_webhook(self, channel: str) -> WebhookTest:
        """Let LINE send a request without events to the URL it has. Raises BadInput, LineError."""
        found = self._door(channel).test_webhook()
        return WebhookTest(found.is_success, found.status_code, found.reason, found.detail)

    def coupons(self, channel: str, *, most: int) -> list[Coupon]:
        """The account's coupons that messages may show now, `most` at most. Raises BadInput, LineError."""
        return [Coupon(one.coupon_id, one.title) for one in self._door(channel).coupons(most=most)]

    def validate(self, channel: str, messages: list[dict[str, Any]]) -> None:
        """Let LINE check messages. Raises BadInput, LineError."""
        self._door(channel).validate(messages)

    def send_test(self, channel: str, to: str, messages: list[dict[str, Any]], retry_key: str) -> None:
        """Push messages to one person now; LINE takes one `retry_key` (UUID) once. Raises BadInput, and ExpectedError
        when LINE doesn't take them."""
        answer = asyncio.run(self._push(channel, to, orjson.dumps(messages), retry_key))
        if answer.outcome != "accepted":
            raise ExpectedError(f"LINE did not take the test message: {answer.problem or answer.outcome}")

    async def _push(self, channel: str, to: str, messages: bytes, retry_key: str) -> Any:
        from service.doors import bulk_door  # here, not above: it takes a second to import

        async with bulk_door(channel_named(self._settings, channel), self._settings) as door:
            return await door.push(to, messages, retry_key)

    def _own_places(self, channel: str) -> set[tuple[str, ...]]:
        """Where bot/webhook.py takes webhooks of the channel."""
        base = f"{self._settings.public_base_url}/webhook"
        is_only = len(self._settings.channels) == 1
        return {_same_place(url) for url in ([base] if is_only else []) + [f"{base}/{channel}"]}

    def _door(self, channel: str) -> Any:
        from service.doors import line_door  # here, not above: it takes a second to import

        found = channel_named(self._settings, channel)
        if not found.access_token.get_secret_value():
            raise BadInput(f"channel {channel!r} has no access token: set LINE_CHANNEL_ACCESS_TOKEN")
        return line_door(found, self._settings)


def _same_place(url: str) -> tuple[str, ...]:
    """What two spellings of one address have in common: scheme and host are the same in any letters (RFC 3986, 6.2)."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower(), parts.path, parts.query
