"""POST over kept connections at a fifth of a general client's processor time (docs/benchmarks.md).

asyncio carries the bytes and httptools, which nginx's kind of parser is in, reads the answers. Only what sending needs:
no redirects, cookies, compression or proxies. What a caller must know to send once is always told apart: nothing was
sent, it was answered, or nobody knows.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import httptools

KEPT_SECONDS = 15.0  # an idle connection is used again for so long; servers close theirs sooner or later


class NotReached(Exception):
    """There was no connection: nothing was sent."""


class Unanswered(Exception):
    """The request went out, and no answer came back that says what became of it."""


class Response(NamedTuple):
    """An answer. `headers` by lower-case name. `is_whole`: False where the body was cut off."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool


Became = Response | NotReached | Unanswered
T = TypeVar("T")


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
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout_seconds
        self._room = connections
        self._waiting: deque[asyncio.Future[None]] = deque()  # for room
        self._kept: deque[_Connection] = deque()
        self._busy: dict[_Connection, float] = {}  # until when
        self._timer: asyncio.TimerHandle | None = None  # one for all requests: each its own would be dear

    def prepared(self, path: str, headers: dict[str, str]) -> bytes:
        """The beginning of a request to `path` with `headers`, to be handed to `post` again and again.

        Raises ValueError for a header that would break out of its line.
        """
        lines = [f"POST {self._base_path}{path} HTTP/1.1", f"Host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if not all(line.isprintable() for line in lines):
            raise ValueError("a header holds a character that can't be sent")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n"

    def post(self, prepared: bytes, header: bytes, body: bytes, read: Callable[[Became], T]) -> asyncio.Future[T]:
        """What `read` makes of the answer to `body`, sent below `prepared` and one more `header` line without its end.

        `read` is given NotReached or Unanswered where there is no answer, both also when time is up, which runs from a
        free connection on. Where a connection is free the request has gone out when this returns: no task is made.
        """
        request = b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (prepared, header, len(body), body)
        connection = self._take() if self._room else None
        if connection is None:
            return self._loop.create_task(self._post_later(request, read))
        self._room -= 1
        return self._ask(connection, request, read, self._loop.time() + self._timeout)

    def close(self) -> None:
        """Close the connections; requests under way are given up."""
        for connection in [*self._kept, *self._busy]:
            connection.give_up("the client was closed")
        self._kept.clear()
        if self._timer is not None:
            self._timer.cancel()

    async def _post_later(self, request: bytes, read: Callable[[Became], T]) -> T:
        while not self._room:
            freed = self._loop.create_future()
            self._waiting.append(freed)
            try:
                await freed
            except asyncio.CancelledError:
                self._wake()  # it was told, perhaps, and goes without: the next may come in
                raise
        self._room -= 1
        deadline = self._loop.time() + self._timeout
        try:
            connection = self._take() or await self._connect(deadline)
        except NotReached as error:
            self._make_room()
            return read(error)
        except BaseException:
            self._make_room()
            raise
        return await self._ask(connection, request, read, deadline)

    def _ask(
        self, connection: "_Connection", request: bytes, read: Callable[[Became], T], deadline: float
    ) -> asyncio.Future[T]:
        self._busy[connection] = deadline
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._give_up_late)
        return connection.ask(request, read)

    def _give_up_late(self) -> None:
        """Give up what was to be answered by now, and look again when the next is due."""
        now = self._loop.time()
        for connection in [late for late, deadline in self._busy.items() if deadline <= now]:
            connection.give_up("time is up")
        self._timer = self._loop.call_at(min(self._busy.values()), self._give_up_late) if self._busy else None

    def _is_over(self, connection: "_Connection") -> None:
        """A connection's request was answered, or given up."""
        del self._busy[connection]
        if connection.is_free:
            self._kept.append(connection)
        self._make_room()

    def _make_room(self) -> None:
        self._room += 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            if not (waiting := self._waiting.popleft()).done():
                waiting.set_result(None)
                break

    def _take(self) -> "_Connection | None":
        """The connection used last: those that are too many grow old and are closed."""
        oldest = self._loop.time() - KEPT_SECONDS
        while self._kept and (self._kept[0].used_at < oldest or not self._kept[0].is_free):
            self._kept.popleft().give_up("kept too long")
        while self._kept:
            connection = self._kept.pop()
            if connection.is_free:
                return connection
        return None

    async def _connect(self, deadline: float) -> "_Connection":
        try:
            async with asyncio.timeout_at(deadline):
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self._is_over), self._host, self._port, ssl=self._context
                )
        except (OSError, TimeoutError) as error:
            raise NotReached(f"no connection: {type(error).__name__}") from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self, is_over: Callable[["_Connection"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_over = is_over
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Any] | None = None  # cancelled or not, what comes is the answer to it
        self._read: Callable[[Became], Any]
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._has_head = False
        self.used_at = 0.0

    @property
    def is_free(self) -> bool:
        """Whether another request can be sent."""
        return self._waiting is None and not self._transport.is_closing()

    def ask(self, request: bytes, read: Callable[[Became], T]) -> asyncio.Future[T]:
        """What `read` makes of the answer to a whole request."""
        self._headers, self._body, self._has_head = {}, [], False
        waiting: asyncio.Future[T] = self._loop.create_future()
        self._waiting, self._read = waiting, read
        self._transport.write(request)
        return waiting

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
            self.give_up(f"unreadable answer: {type(error).__name__}")

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio's."""
        ends_here = error is None and not {"content-length", "transfer-encoding"} & self._headers.keys()
        self.give_up("connection broke", is_whole=ends_here)

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

    def give_up(self, problem: str, *, is_whole: bool = False) -> None:
        """No more will be read. What has come says what it says."""
        self._transport.abort()
        if self._has_head:
            self._answer(is_whole=is_whole)
        else:
            self._became(Unanswered(problem))

    def _answer(self, *, is_whole: bool) -> None:
        self._became(Response(self._parser.get_status_code(), self._headers, b"".join(self._body), is_whole))

    def _became(self, what: Became) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        self.used_at = self._loop.time()
        self._is_over(self)
        if waiting.done():
            return
        try:
            read = self._read(what)
        except Exception as error:
            waiting.set_exception(error)
        else:
            waiting.set_result(read)
