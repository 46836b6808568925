"""The client for messages by the thousand, against servers that say any bytes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest

from bot.line.http import Became, HttpClient, NotReached, Response, Unanswered

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers the n-th request with the n-th of `answers`: bytes, sent one by one where `is_slow`; None closes."""

    def __init__(self, answers: Sequence[bytes | None], *, is_slow: bool = False) -> None:
        self._answers, self._is_slow = list(answers), is_slow
        self.connections, self.answered, self.requests = 0, 0, list[bytes]()
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self._answers.pop(0)
                if answer is None:
                    break
                for piece in [answer[n : n + 1] for n in range(len(answer))] if self._is_slow else [answer]:
                    writer.write(piece)
                    await asyncio.sleep(0)
                self.answered += 1
        writer.close()


Talk = Callable[[HttpClient, Server], Awaitable[None]]


def talk(
    server: Server,
    what: Talk,
    timeout_seconds: float = 5.0,
    base_path: str = "",
    scheme: str = "http",
    connections: int = 8,
) -> None:
    async def work() -> None:
        async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            client = HttpClient(
                f"{scheme}://127.0.0.1:{port}{base_path}", timeout_seconds=timeout_seconds, connections=connections
            )
            await what(client, server)
            client.close()
            for writer in server.writers:
                writer.close()

    asyncio.run(work())


def response(became: Became) -> Response:
    if isinstance(became, Exception):
        raise became
    return became


def ask(
    client: HttpClient, body: bytes = b"{}", read: Callable[[Became], Response] = response
) -> asyncio.Future[Response]:
    return client.post(client.prepared("/push", {"Authorization": "Bearer t"}), b"X-Line-Retry-Key: k", body, read)


def test_a_connection_is_used_again_and_requests_are_as_asked() -> None:
    async def twice(client: HttpClient, server: Server) -> None:
        for body in (b"one", "二".encode()):
            assert (await ask(client, body)).status == 200
        assert server.connections == 1
        head, _, body = server.requests[1].partition(b"\r\n\r\n")
        assert body == "二".encode()
        assert head.startswith(b"POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nAuthorization: Bearer t\r\nX-Line-Retry-Key: k\r\nContent-Length: 3" in head

    talk(Server([OK, OK]), twice, base_path="/v1/")


@pytest.mark.parametrize(
    ("answer", "body", "is_whole"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc", True),
        (b"HTTP/1.1 100 Continue\r\nX-Not: mine\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", b"a", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", b"to the end", True),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", b"cut", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ncut", b"cut", False),
    ],
)
@pytest.mark.parametrize("is_slow", [False, True])
def test_a_body_ends_where_the_answer_says(answer: bytes, body: bytes, is_whole: bool, is_slow: bool) -> None:
    async def once(client: HttpClient, server: Server) -> None:
        asking = asyncio.ensure_future(ask(client))
        while not server.answered:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        if not asking.done():
            server.writers[0].close()  # what it says has no other end
        response = await asking
        assert (response.body, response.is_whole) == (body, is_whole)
        assert "x-not" not in response.headers
        assert (await ask(client)).status == 200  # whatever the first connection has come to

    talk(Server([answer, OK, OK], is_slow=is_slow), once)


def test_a_server_that_closes_without_a_word_leaves_it_open_what_happened() -> None:
    async def breaks(client: HttpClient, _: Server) -> None:
        with pytest.raises(Unanswered):
            await ask(client)
        assert (await ask(client)).status == 200

    talk(Server([None, OK]), breaks)


def test_a_connection_closed_while_idle_is_not_used_again() -> None:
    async def idle(client: HttpClient, server: Server) -> None:
        await ask(client)
        server.writers[0].close()
        await asyncio.sleep(0.05)
        assert (await ask(client)).status == 200
        assert server.connections == 2

    talk(Server([OK, OK]), idle)


def test_what_comes_unasked_ends_the_connection() -> None:
    async def unasked(client: HttpClient, server: Server) -> None:
        await ask(client)
        await asyncio.sleep(0.05)
        assert (await ask(client)).body == b"{}"
        assert server.connections == 2

    talk(Server([OK + b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", OK]), unasked)


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_an_answer_that_comes_too_late_is_never_another_requests(is_cancelled: bool) -> None:
    late = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answered.append(1)
        if len(answered) == 1:
            asked.set()
            await is_given_up.wait()
        writer.write(late if len(answered) == 1 else OK)
        writer.close()

    answered: list[int] = []
    asked, is_given_up = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            client = HttpClient(f"http://127.0.0.1:{port}", timeout_seconds=1.0, connections=1)
            if is_cancelled:
                asking = asyncio.ensure_future(ask(client))
                await asked.wait()
                asking.cancel()
                with suppress(asyncio.CancelledError):
                    await asking
            else:
                with pytest.raises(Unanswered, match="time is up"):
                    await ask(client)
            is_given_up.set()
            await asyncio.sleep(0.1)
            assert (await ask(client)).body == b"{}"
            client.close()

    asyncio.run(work())


def test_no_more_connections_than_allowed_are_open() -> None:
    async def many(client: HttpClient, server: Server) -> None:
        assert {(await answer).status for answer in [asyncio.ensure_future(ask(client)) for _ in range(100)]} == {200}
        assert server.connections <= 8

    talk(Server([OK] * 100), many)


def test_who_waits_for_room_and_is_cancelled_lets_the_next_in() -> None:
    async def impatient(client: HttpClient, _: Server) -> None:
        def read(became: Became) -> Response:
            second.cancel()  # now it has been told that there is room, and has not begun
            return response(became)

        first = asyncio.ensure_future(ask(client, read=read))
        second, third = (asyncio.ensure_future(ask(client)) for _ in range(2))
        await first
        assert (await asyncio.wait_for(third, 20)).status == 200
        assert second.cancelled()

    talk(Server([OK, OK]), impatient, connections=1)


def test_each_request_has_its_own_time() -> None:
    async def slow(client: HttpClient, _: Server) -> None:
        first = asyncio.ensure_future(ask(client))
        await asyncio.sleep(0.8)
        second = asyncio.ensure_future(ask(client))
        with pytest.raises(Unanswered, match="time is up"):
            await first
        assert not second.done()
        with pytest.raises(Unanswered, match="time is up"):
            await second

    talk(Server([b"", b""]), slow, timeout_seconds=1.0)


def test_a_client_that_is_closed_gives_up_what_is_under_way() -> None:
    async def close(client: HttpClient, server: Server) -> None:
        asking = asyncio.ensure_future(ask(client))
        while not server.requests:
            await asyncio.sleep(0.001)
        client.close()
        with pytest.raises(Unanswered, match="closed"):
            await asking

    talk(Server([b""]), close)


def test_an_address_where_nobody_listens_is_not_reached() -> None:
    async def nobody() -> None:
        client = HttpClient("http://127.0.0.1:1", timeout_seconds=1, connections=1)
        with pytest.raises(NotReached):
            await ask(client)
        secure = HttpClient("https://127.0.0.1:1/v2", timeout_seconds=1, connections=1)
        with pytest.raises(NotReached):
            await ask(secure)

    asyncio.run(nobody())


def test_a_plain_server_is_no_secure_one() -> None:
    async def secure(client: HttpClient, _: Server) -> None:
        with pytest.raises(NotReached):
            await ask(client)

    talk(Server([OK]), secure, timeout_seconds=0.5, scheme="https")


def test_a_header_stays_in_its_line() -> None:
    async def injected() -> None:
        client = HttpClient("http://127.0.0.1:1", timeout_seconds=1, connections=1)
        with pytest.raises(ValueError, match="header"):
            client.prepared("/push", {"Authorization": "Bearer t\r\nX-Other: 1"})

    asyncio.run(injected())
