"""The door for messages by the thousand: one aiohttp session a channel, no SDK in the way."""

from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import aiohttp
import orjson

from bot.line.answers import Answer, answer_of_status


class BulkDoor:
    """One channel's door for messages by the thousand. Made and used inside one asyncio loop."""

    def __init__(self, *, api_base: str, access_token: str, timeout_seconds: float, connections: int) -> None:
        self._headers = {"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"}
        self._push_url = f"{api_base}/v2/bot/message/push"
        self._multicast_url = f"{api_base}/v2/bot/message/multicast"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            raise_for_status=False,
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),  # LINE sets none, and looking for them costs a tenth of a call
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def push(self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None = None) -> Answer:
        """Send `messages` (a JSON array) to one person, counted by LINE under the aggregation unit `unit` (at most 30
        of A-Z, a-z, 0-9 and _), if any. Never raises for what LINE or the network does."""
        body = b'{"to":' + orjson.dumps(line_user_id) + b',"messages":' + messages + _unit_part(unit) + b"}"
        return await self._post(self._push_url, body, retry_key)

    async def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None = None
    ) -> Answer:
        """Send `messages` (a JSON array) to at most 500 people in one call; `unit` as in `push`. Never raises for what
        LINE or the network does."""
        to = orjson.dumps(list(line_user_ids))
        body = b'{"to":' + to + b',"messages":' + messages + _unit_part(unit) + b"}"
        return await self._post(self._multicast_url, body, retry_key)

    async def _post(self, url: str, body: bytes, retry_key: str) -> Answer:
        headers = {**self._headers, "X-Line-Retry-Key": retry_key}
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                if response.status < 300:
                    # Read only to free the connection: after a 2xx an unreadable body changes nothing.
                    with suppress(aiohttp.ClientError, TimeoutError, OSError):
                        await response.read()
                    return Answer("accepted", response.headers.get("x-line-request-id"))
                return answer_of_status(response.status, response.headers, await response.read())
        except aiohttp.ClientConnectorError as error:
            return Answer("not_reached", problem=f"no connection: {type(error).__name__}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer("in_doubt", problem=f"connection broke: {type(error).__name__}")


def _unit_part(unit: str | None) -> bytes:
    return b"" if unit is None else b',"customAggregationUnits":["' + unit.encode() + b'"]'
