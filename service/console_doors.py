"""What the console asks of LINE, joined to the channels of the settings."""

import asyncio
from typing import Any

import orjson

from service.channels import channel_named
from service.settings import Settings
from store.errors import BadInput, ExpectedError


class ConsoleDoors:
    """The LineDoors of console/frame/site.py. Opens a door for each call: marketers ask seldom."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def who_is(self, channel: str) -> str:
        """The name of the account that the channel's token is for. Raises BadInput, LineError."""
        return str(self._door(channel).bot_info().display_name)

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

    def _door(self, channel: str) -> Any:
        from service.doors import line_door  # here, not above: it takes a second to import

        found = channel_named(self._settings, channel)
        if not found.access_token.get_secret_value():
            raise BadInput(f"channel {channel!r} has no access token: set LINE_CHANNEL_ACCESS_TOKEN")
        return line_door(found, self._settings)
