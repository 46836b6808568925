"""The sole door to LINE. `LineDoor` (the SDK, synchronous) for everything but bulk; `BulkDoor` (aiohttp) for messages
by the thousand, where the SDK's 1.1 ms of processor time a call would be the limit.

Each call either succeeds or says, typed, whether LINE may have acted and whether trying again can help.
Sources: LINE Messaging API reference, "Retrying an API request", "Status codes", "Error responses".
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
import orjson
import urllib3
from linebot.v3.messaging import ApiClient, ApiException, Configuration, MessagingApi
from linebot.v3.messaging.models import ReplyMessageRequest, ValidateMessageRequest
from pydantic.v1 import ValidationError as SdkValidationError

from store.errors import ExpectedError

Outcome = Literal["accepted", "refused", "in_doubt", "not_reached", "slow_down", "quota_exhausted", "stopped"]

KEPT_CONNECTIONS = 32  # as many as replies.py calls at once: the SDK throws away those beyond
_QUOTA_WORDS = b"monthly limit"  # LINE tells its two kinds of 429 apart only by the message


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one bulk call.

    accepted: LINE has it (also 409: it had it already). refused: final, nobody got it. in_doubt: LINE may have it,
    repeat with the same key. not_reached: no connection, so nothing was sent. slow_down: over the rate.
    quota_exhausted: the month's messages are used up. stopped: the token or account is not allowed to send.
    """

    outcome: Outcome
    request_id: str | None = None
    problem: str | None = None


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


class LineError(ExpectedError):
    """LINE could not be reached or said no. `in_doubt`: it may have acted all the same."""

    def __init__(self, sentence: str, *, status: int | None = None, may_try_again: bool, in_doubt: bool) -> None:
        super().__init__(sentence)
        self.status = status
        self.may_try_again = may_try_again
        self.in_doubt = in_doubt
        self.http_status = 502


class LineDoor:
    """One channel's door for single calls. One per channel and process: it keeps its connections. Thread-safe."""

    def __init__(self, *, api_base: str, access_token: str, timeout_seconds: float) -> None:
        if not access_token:
            raise LineError(
                "LINE_CHANNEL_ACCESS_TOKEN is not set for this channel", may_try_again=False, in_doubt=False
            )
        configuration = Configuration(access_token=access_token, host=api_base)
        configuration.connection_pool_maxsize = KEPT_CONNECTIONS
        configuration.retries = False  # we repeat ourselves, and only what may be repeated
        self._api = MessagingApi(ApiClient(configuration))
        self._timeout = timeout_seconds

    def reply(self, reply_token: str, messages: list[dict[str, Any]]) -> None:
        """Answer an event. A token works once, within a minute. Raises LineError."""
        request = ReplyMessageRequest.from_dict({"replyToken": reply_token, "messages": messages})
        self._call("reply", self._api.reply_message, request)

    def profile(self, line_user_id: str) -> Profile | None:
        """A person's profile; None when blocked, not a friend or unknown (404). Raises LineError."""
        try:
            answer = self._call("profile", self._api.get_profile, line_user_id)
        except LineError as error:
            if error.status == 404:
                return None
            raise
        return Profile(display_name=answer.display_name, language=answer.language)

    def bot_info(self) -> BotInfo:
        """Which account the token is for. Raises LineError."""
        answer = self._call("bot info", self._api.get_bot_info)
        return BotInfo(user_id=answer.user_id, display_name=answer.display_name)

    def quota(self) -> Quota:
        """This month's quota and LINE's figure of what is used. Raises LineError."""
        limit = self._call("quota", self._api.get_message_quota)
        used = self._call("quota consumption", self._api.get_message_quota_consumption)
        return Quota(limit=limit.value if limit.type == "limited" else None, used=used.total_usage)

    def validate(self, messages: list[dict[str, Any]]) -> None:
        """Let LINE check messages without sending. Raises LineError with LINE's words when they are invalid."""
        request = ValidateMessageRequest.from_dict({"messages": messages})
        self._call("validate", self._api.validate_push, request)

    def _call(self, name: str, method: Any, *arguments: Any) -> Any:
        try:
            return method(*arguments, _request_timeout=self._timeout)
        except ApiException as error:
            status = int(error.status or 0)
            words = _error_words(error.body.encode() if isinstance(error.body, str) else error.body)
            raise LineError(
                f"LINE refused {name} with status {status}: {words}",
                status=status,
                may_try_again=status == 429 or status >= 500,
                in_doubt=status >= 500,
            ) from error
        except urllib3.exceptions.NewConnectionError as error:
            raise LineError(f"LINE could not be reached for {name}", may_try_again=True, in_doubt=False) from error
        except urllib3.exceptions.HTTPError as error:
            raise LineError(
                f"the connection to LINE broke during {name}: {type(error).__name__}", may_try_again=True, in_doubt=True
            ) from error
        except SdkValidationError as error:
            # The SDK also raises this for a 2xx body it can't read: then LINE has acted.
            raise LineError(
                f"LINE's answer to {name} could not be read", status=200, may_try_again=False, in_doubt=False
            ) from error


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
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def push(self, line_user_id: str, messages: bytes, retry_key: str) -> Answer:
        """Send `messages` (a JSON array) to one person. Never raises for what LINE or the network does."""
        body = b'{"to":' + orjson.dumps(line_user_id) + b',"messages":' + messages + b"}"
        return await self._post(self._push_url, body, retry_key)

    async def multicast(self, line_user_ids: Sequence[str], messages: bytes, retry_key: str) -> Answer:
        """Send `messages` (a JSON array) to at most 500 people in one call. Never raises for LINE or the network."""
        body = b'{"to":' + orjson.dumps(list(line_user_ids)) + b',"messages":' + messages + b"}"
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


def answer_of_status(status: int, headers: Any, body: bytes) -> Answer:
    """What an answer other than 2xx means. 409 is success: LINE accepted this retry key before."""
    request_id = headers.get("x-line-request-id")
    problem = f"{status}: {_error_words(body)}"
    if status == 409:
        return Answer("accepted", headers.get("x-line-accepted-request-id") or request_id)
    if status == 429:
        return Answer("quota_exhausted" if _QUOTA_WORDS in body else "slow_down", request_id, problem)
    if status in (401, 403) or status < 400 or status in (404, 405):  # the last: not LINE's address at all
        return Answer("stopped", request_id, problem)
    if status >= 500 or status == 408:
        return Answer("in_doubt", request_id, problem)
    return Answer("refused", request_id, problem)


def _error_words(body: bytes | None) -> str:
    """LINE's own message and the first details of an error body; the body is not repeated, it may quote people."""
    try:
        parsed = orjson.loads(body or b"")
        details = "; ".join(f"{d.get('property', '?')}: {d.get('message', '?')}" for d in parsed.get("details", [])[:3])
        return f"{parsed.get('message', 'no message')}{f' ({details})' if details else ''}"[:300]
    except (orjson.JSONDecodeError, AttributeError):
        return "no readable error body"
