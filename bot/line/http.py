"""POST over kept connections at a fifth of a general client's processor time (docs/benchmarks.md).

asyncio carries the bytes and httptools, which nginx's kind of parser is in, reads the answers. Only what sending needs:
no redirects, cookies, compression or proxies. What a caller must know to send once is always told apart: nothing was
sent, it was answered, or nobody knows.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools

KEPT_SECONDS = 15.0  # an idle connection is used again for so long; servers close theirs sooner or later


class NotReached(Exception):
    """There was no connection: nothing was sent."""


class Unanswered(Exception):
    """The request went out, and no answer came back that says what became of it."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `headers` by lower-case name. `is_whole`: False where the body was cut off."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool


class HttpClient:
    """Posts to one server. Made and used inside one asyncio loop; at most `connections` requests are under way."""

    def __init__(self, base: str, *, timeout_seconds: float, connections: int) -> None:
        """`base`: http:// or https:// address whose path, if any, comes before every path asked for."""
        parts = urlsplit(base)
        self._is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._is_secure else 80)
        self._base_path = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._context = ssl.create_default_context() if self._is_secure else None
        self._timeout = timeout_seconds
        self._room = asyncio.Semaphore(connections)
        self._kept: deque[_Connection] = deque()

    def prepared(self, path: str, headers: dict[str, str]) -> bytes:
        """The beginning of a request to `path` with `headers`, to be handed to `post` again and again.

        Raises ValueError for a header that would break out of its line.
        """
        lines = [f"POST {self._base_path}{path} HTTP/1.1", f"Host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if not all(line.isprintable() for line in lines):
            raise ValueError("a header holds a character that can't be sent")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n"

    async def post(self, prepared: bytes, header: bytes, body: bytes) -> Response:
        """The answer to `body`, sent below `prepared` and one more `header` line (without its end).

        Raises NotReached, Unanswered. Both also when time is up, which runs from a free connection on.
        """
        async with self._room:
            deadline = asyncio.get_running_loop().time() + self._timeout
            connection = self._take() or await self._connect(deadline)
            request = b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (prepared, header, len(body), body)
            response = await connection.ask(request, deadline)
            if connection.is_free:
                self._kept.append(connection)
            return response

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._kept:
            self._kept.pop().close()

    def _take(self) -> "_Connection | None":
        """The connection used last: those that are too many grow old and are closed."""
        oldest = asyncio.get_running_loop().time() - KEPT_SECONDS
        while self._kept and (self._kept[0].used_at < oldest or not self._kept[0].is_free):
            self._kept.popleft().close()
        while self._kept:
            connection = self._kept.pop()
            if connection.is_free:
                return connection
        return None

    async def _connect(self, deadline: float) -> "_Connection":
        try:
            async with asyncio.timeout_at(deadline):
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection, self._host, self._port, ssl=self._context
                )
        except (OSError, TimeoutError) as error:
            raise NotReached(f"no connection: {type(error).__name__}") from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Response] | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._has_head = False
        self.used_at = 0.0

    @property
    def is_free(self) -> bool:
        """Whether another request can be sent."""
        return self._waiting is None and not self._transport.is_closing()

    async def ask(self, request: bytes, deadline: float) -> Response:
        """The answer to a whole request. Raises Unanswered."""
        self._headers, self._body, self._has_head = {}, [], False
        waiting: asyncio.Future[Response] = self._loop.create_future()
        self._waiting = waiting
        timer = self._loop.call_at(deadline, self._give_up, "time is up")
        try:
            self._transport.write(request)
            return await waiting
        finally:
            timer.cancel()
            if self._waiting is not None:  # cancelled: an answer to come would be taken for the next one's
                self._waiting = None
                self._transport.abort()

    def close(self) -> None:
        """Let go of the server."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        if self._waiting is None:  # nobody asked
            self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._give_up(f"unreadable answer: {type(error).__name__}")

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio's."""
        ends_here = error is None and not {"content-length", "transfer-encoding"} & self._headers.keys()
        self._give_up("connection broke", is_whole=ends_here)

    def on_message_begin(self) -> None:
        """httptools'."""
        if self._waiting is None:  # something comes after the answer, which the next request's could be taken for
            self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools'."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """httptools'."""
        self._has_head = self._parser.get_status_code() >= 200

    def on_body(self, body: bytes) -> None:
        """httptools'."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """httptools'."""
        if not self._has_head:  # 100 Continue and its like: the answer follows
            self._headers = {}
            return
        if not self._parser.should_keep_alive():
            self._transport.close()
        self._answer(is_whole=True)

    def _give_up(self, problem: str, *, is_whole: bool = False) -> None:
        """No more will be read. What has come says what it says."""
        self._transport.abort()
        if self._has_head:
            self._answer(is_whole=is_whole)
        elif self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Unanswered(problem))
            self._waiting = None

    def _answer(self, *, is_whole: bool) -> None:
        waiting, self._waiting = self._waiting, None
        self.used_at = self._loop.time()
        if waiting is not None and not waiting.done():
            status = self._parser.get_status_code()
            waiting.set_result(Response(status, self._headers, b"".join(self._body), is_whole))
