"""The door for messages by the thousand: kept connections, no SDK in the way."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import orjson

from bot.line.answers import Answer, answer_of_status
from bot.line.http import Became, HttpClient, NotReached, Unanswered


class BulkDoor:
    """One channel's door for messages by the thousand. Made and used inside one asyncio loop."""

    def __init__(self, *, api_base: str, access_token: str, timeout_seconds: float, connections: int) -> None:
        self._client = HttpClient(api_base, timeout_seconds=timeout_seconds, connections=connections)
        headers = {"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"}
        self._push = self._client.prepared("/v2/bot/message/push", headers)
        self._multicast = self._client.prepared("/v2/bot/message/multicast", headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def push(
        self, line_user_id: str, messages: bytes, retry_key: str, unit: str | None = None
    ) -> asyncio.Future[Answer]:
        """Send `messages` (a JSON array) to one person, counted by LINE under the aggregation unit `unit` (at most 30
        of A-Z, a-z, 0-9 and _), if any. Never raises for what LINE or the network does."""
        body = b'{"to":' + orjson.dumps(line_user_id) + b',"messages":' + messages + _unit_part(unit) + b"}"
        return self._post(self._push, body, retry_key)

    def multicast(
        self, line_user_ids: Sequence[str], messages: bytes, retry_key: str, unit: str | None = None
    ) -> asyncio.Future[Answer]:
        """Send `messages` (a JSON array) to at most 500 people in one call; `unit` as in `push`. Never raises for what
        LINE or the network does."""
        to = orjson.dumps(list(line_user_ids))
        body = b'{"to":' + to + b',"messages":' + messages + _unit_part(unit) + b"}"
        return self._post(self._multicast, body, retry_key)

    def _post(self, request: bytes, body: bytes, retry_key: str) -> asyncio.Future[Answer]:
        return self._client.post(request, b"X-Line-Retry-Key: " + retry_key.encode("ascii"), body, _answer_of)


def _answer_of(became: Became) -> Answer:
    if isinstance(became, NotReached):
        return Answer("not_reached", problem=str(became))
    if isinstance(became, Unanswered):
        return Answer("in_doubt", problem=str(became))
    if became.status < 300:  # whatever its body says
        return Answer("accepted", became.headers.get("x-line-request-id"))
    if not became.is_whole:
        return Answer("in_doubt", problem=f"{became.status}, and the answer was cut off")
    return answer_of_status(became.status, became.headers, became.body)


def _unit_part(unit: str | None) -> bytes:
    return b"" if unit is None else b',"customAggregationUnits":["' + unit.encode() + b'"]'
