"""The real doors: against the simulator over HTTP, and against a server that answers with any bytes it is told."""

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bot.line import Answer, BulkDoor, LineDoor, LineError, WebhookEndpoint, answer_of_status
from simulator.channels import ChannelOptions, Friend
from simulator.faults import Fault, FaultKind
from simulator.server import Simulator, SimulatorThread
from tests.conftest import StillClock

AMY, BEN, STRANGER = ("U" + digit * 32 for digit in "ab9")
TOKEN = ChannelOptions().access_token
TEXT = b'[{"type":"text","text":"\xe5\x93\x88\xe5\x9b\x89"}]'


@pytest.fixture
def line(clock: StillClock) -> Iterator[SimulatorThread]:
    with SimulatorThread(Simulator([ChannelOptions(quota=3)], clock=clock)) as running:
        running.platform.add_friends([Friend(AMY, "愛咪"), Friend(BEN, "阿班")])
        yield running


class RawServer:
    """Answers every connection with the same bytes (None: closes at once; "wait": says nothing) and keeps requests."""

    def __init__(self, answer: bytes | str | None) -> None:
        self._answer, self.requests = answer, list[bytes]()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if self._over.is_set():
                    return
                connection.settimeout(5)
                self.requests.append(connection.recv(65536))
                if isinstance(self._answer, bytes):
                    connection.sendall(self._answer)
                elif self._answer == "wait":
                    self._over.wait(3)

    def close(self) -> None:
        self._over.set()
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._socket.close()


@pytest.fixture
def answering() -> Iterator[Callable[[bytes | str | None], RawServer]]:
    servers: list[RawServer] = []

    def start(answer: bytes | str | None) -> RawServer:
        servers.append(RawServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def patience(answer: bytes | str | None) -> float:
    """The seconds to wait for it: few only where it never comes, or a busy machine's answer would be too late."""
    return 0.5 if answer == "wait" else 10


@contextmanager
def unheard() -> Iterator[str]:
    """An address where nobody listens, and nobody else can meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def http(status: str, body: bytes = b"{}", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", "Connection: close", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def push(url: str, to: str = AMY, key: str | None = None, token: str = TOKEN, timeout: float = 5) -> Answer:
    return bulk(url, lambda door: door.push(to, TEXT, key or str(uuid.uuid4())), token, timeout)


def multicast(url: str, to: list[str], token: str = TOKEN, timeout: float = 5) -> Answer:
    return bulk(url, lambda door: door.multicast(to, TEXT, str(uuid.uuid4())), token, timeout)


def bulk(url: str, call: Callable[[BulkDoor], Any], token: str, timeout: float) -> Answer:
    async def work() -> Answer:
        async with BulkDoor(api_base=url, access_token=token, timeout_seconds=timeout, connections=2) as door:
            answer: Answer = await call(door)
            return answer

    return asyncio.run(work())


def test_a_push_is_accepted_with_lines_request_id(line: SimulatorThread) -> None:
    answer = push(line.url)
    assert answer.outcome == "accepted"
    assert answer.request_id
    (entry,) = line.platform.channels[0].ledger.entries
    assert list(entry.to) == [AMY]


def test_a_call_is_counted_under_its_unit(line: SimulatorThread) -> None:
    key = str(uuid.uuid4())
    assert bulk(line.url, lambda door: door.push(AMY, TEXT, key, "r1_vA"), TOKEN, 5).outcome == "accepted"
    assert bulk(line.url, lambda door: door.multicast([BEN], TEXT, str(uuid.uuid4()), "r1_vB"), TOKEN, 5).request_id
    assert [entry.unit for entry in line.platform.channels[0].ledger.entries] == ["r1_vA", "r1_vB"]


def test_a_repeat_with_the_same_key_is_accepted_under_the_first_request(line: SimulatorThread) -> None:
    key = str(uuid.uuid4())
    first, second = push(line.url, key=key), push(line.url, key=key)
    assert second == Answer("accepted", first.request_id)
    assert len(line.platform.channels[0].ledger.entries) == 1


def test_a_multicast_reaches_all_its_people_in_one_call(line: SimulatorThread) -> None:
    assert multicast(line.url, [AMY, BEN]).outcome == "accepted"
    assert list(line.platform.channels[0].ledger.entries[0].to) == [AMY, BEN]


def test_what_line_refuses_says_why(line: SimulatorThread) -> None:
    answer = push(line.url, STRANGER)
    assert answer.outcome == "refused"
    assert (answer.problem or "").startswith("400: ")
    assert multicast(line.url, [AMY, STRANGER]).outcome == "refused"
    assert line.platform.channels[0].ledger.entries == []


def test_a_wrong_token_stops(line: SimulatorThread) -> None:
    assert push(line.url, token="wrong").outcome == "stopped"


def test_the_kinds_of_429_are_told_apart(line: SimulatorThread) -> None:
    line.simulator.faults.replace([Fault("*", FaultKind.ERROR_429, count=1)])
    assert push(line.url).outcome == "slow_down"
    line.simulator.faults.replace([Fault("*", FaultKind.ERROR_429_OTHER, count=1)])
    other = push(line.url)
    assert (other.outcome, other.problem) == ("limited", "429: Another limit has been exceeded.")
    for _ in range(3):
        assert push(line.url).outcome == "accepted"
    assert push(line.url).outcome == "quota_exhausted"


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.ERROR_500,
        FaultKind.ERROR_500_AFTER_ACCEPT,
        FaultKind.DROP_BEFORE,
        FaultKind.DROP_AFTER_ACCEPT,
        FaultKind.TIMEOUT_BEFORE,
        FaultKind.TIMEOUT_AFTER_ACCEPT,
    ],
)
def test_what_may_have_got_through_is_in_doubt(line: SimulatorThread, kind: FaultKind) -> None:
    line.simulator.faults.replace([Fault("*", kind, seconds=1)])
    assert push(line.url, timeout=0.3).outcome == "in_doubt"


def test_a_refused_connection_reached_nobody() -> None:
    with unheard() as url:
        assert push(url).outcome == "not_reached"


Answering = Callable[[bytes | str | None], RawServer]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (http("200 OK", b"this is not JSON"), "accepted"),
        (http("200 OK", b'{"sentMess', length=500), "accepted"),  # cut off: LINE has it all the same
        (http("200 OK", b"xx", "Content-Encoding: gzip"), "accepted"),
        (http("202 Accepted"), "accepted"),
        (http("409 Conflict", b"", "x-line-accepted-request-id: first"), "accepted"),
        (http("400 Bad Request", b"<html>"), "refused"),
        (http("413 Payload Too Large"), "refused"),
        (http("404 Not Found"), "stopped"),  # not LINE's address: failing everyone for good would be wrong
        (http("302 Found"), "stopped"),
        (http("403 Forbidden"), "stopped"),
        (http("408 Request Timeout"), "in_doubt"),
        (http("502 Bad Gateway", b"<html>"), "in_doubt"),
        (http("500 Error", b"cut", length=500), "in_doubt"),
        (http("429 Too Many", b'{"message":"You have reached your monthly limit."}'), "quota_exhausted"),
        (http("429 Too Many", b"?"), "slow_down"),
        (b"HTTP/1.1 abc\r\n\r\n", "in_doubt"),
        (b"\x00\x01", "in_doubt"),
        (b"", "in_doubt"),
        (None, "in_doubt"),
        ("wait", "in_doubt"),
    ],
)
def test_every_answer_has_an_outcome(answering: Answering, answer: bytes | str | None, outcome: str) -> None:
    assert push(answering(answer).url, timeout=patience(answer)).outcome == outcome


def test_a_call_carries_token_key_and_body_and_follows_no_redirect(answering: Answering) -> None:
    other = answering(http("200 OK"))
    server = answering(http("307 Temporary", b"", f"Location: {other.url}/"))
    key = str(uuid.uuid4())
    push(server.url, key=key, token="secret-token")
    assert other.requests == []
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/bot/message/push ")
    lines = head.decode().lower().split("\r\n")
    assert f"x-line-retry-key: {key}" in lines
    assert "authorization: bearer secret-token" in lines
    if body:  # a small body usually comes with the head
        assert json.loads(body)["to"] == AMY


def test_a_problem_names_lines_words_and_never_the_body() -> None:
    detail = b'{"message":"May not be empty","property":"messages[0].text"}'
    body = b'{"message":"The request body has 1 error(s)","details":[' + detail + b"]}"
    answer = answer_of_status(400, {}, body)
    assert answer.problem == "400: The request body has 1 error(s) (messages[0].text: May not be empty)"
    assert answer_of_status(400, {}, "王小明".encode()).problem == "400: no readable error body"
    assert answer_of_status(400, {}, b'["a"]').problem == "400: no readable error body"


def door(url: str, timeout: float = 5, token: str = TOKEN) -> LineDoor:
    return LineDoor(api_base=url, access_token=token, timeout_seconds=timeout)


def test_single_calls_work_over_http(line: SimulatorThread) -> None:
    one = door(line.url)
    profile = one.profile(AMY)
    assert profile is not None
    assert (profile.display_name, profile.language) == ("愛咪", "zh-Hant")
    assert one.profile(STRANGER) is None
    assert one.bot_info().user_id == ChannelOptions().bot_user_id
    push(line.url)
    assert (one.quota().limit, one.quota().used, one.quota().left) == (3, 1, 2)
    one.validate([{"type": "text", "text": "好"}])


def test_the_webhook_that_line_has_is_told_and_tested(line: SimulatorThread) -> None:
    one, endpoint = door(line.url), line.platform.channels[0].webhook
    assert one.webhook_endpoint() is None
    with pytest.raises(LineError, match="404"):
        one.test_webhook()
    endpoint.url, endpoint.is_active = "http://127.0.0.1:1/webhook", False
    assert one.webhook_endpoint() == WebhookEndpoint("http://127.0.0.1:1/webhook", is_active=False)
    tried = one.test_webhook()
    assert (tried.is_success, tried.status_code, tried.reason, tried.detail) == (
        *(False, 0),
        *("COULD_NOT_CONNECT", "Connection failed"),
    )
    assert tried.at == line.platform.clock()
    with pytest.raises(LineError, match="401"):
        door(line.url, token="wrong").webhook_endpoint()


@pytest.mark.parametrize(("body", "is_success"), [(b'"reason":"OK"', True), (b'"reason":"UNCLASSIFIED"', False)])
def test_a_test_that_does_not_say_whether_it_went_well_is_read_by_its_reason(
    answering: Answering, body: bytes, is_success: bool
) -> None:
    said = b'{"timestamp":"2026-11-02T04:00:00.000Z","statusCode":200,"detail":"200",' + body + b"}"
    assert door(answering(http("200 OK", said)).url).test_webhook().is_success is is_success


def test_coupons_are_listed_page_by_page_as_many_as_asked_for(line: SimulatorThread, clock: StillClock) -> None:
    now = int(clock().timestamp())
    fields = {"acquisitionCondition": {"type": "normal"}, "startTimestamp": now, "endTimestamp": now + 60}
    fields |= {"maxUseCountPerTicket": 1, "visibility": "UNLISTED", "timezone": "ASIA_TAIPEI"}
    coupons = line.platform.channels[0].coupons
    made = [coupons.create({"title": f"第 {n} 張", **fields}, clock())["couponId"] for n in range(103)]
    coupons.close(made[-1])
    found = door(line.url).coupons(most=200)
    assert [one.coupon_id for one in found] == made[-2::-1]  # the newest first, and no closed one
    assert found[0].title == "第 101 張"
    assert door(line.url).coupons(most=101) == found[:101]


def test_a_refused_single_call_is_final_and_says_lines_words(line: SimulatorThread) -> None:
    with pytest.raises(LineError, match="400") as caught:
        door(line.url).reply("no-such-token", [{"type": "text", "text": "好"}])
    assert (caught.value.status, caught.value.may_try_again, caught.value.in_doubt) == (400, False, False)
    with pytest.raises(LineError, match="401"):
        door(line.url, token="wrong").bot_info()


@pytest.mark.parametrize(
    ("answer", "may_try_again", "in_doubt"),
    [
        (http("500 Error", b"{}"), True, True),
        (http("429 Too Many", b"{}"), True, False),
        (b"", True, True),
        ("wait", True, True),
        (http("200 OK", b"[]"), False, False),  # LINE has acted; its answer can't be read
        (http("200 OK", b"not json"), False, False),
    ],
)
def test_a_single_call_says_whether_to_try_again(
    answering: Answering, answer: bytes | str, may_try_again: bool, in_doubt: bool
) -> None:
    with pytest.raises(LineError) as caught:
        door(answering(answer).url, timeout=patience(answer)).bot_info()
    assert (caught.value.may_try_again, caught.value.in_doubt) == (may_try_again, in_doubt)


def test_a_single_call_that_reaches_nobody_is_not_in_doubt() -> None:
    with unheard() as url, pytest.raises(LineError, match="reached") as caught:
        door(url).bot_info()
    assert (caught.value.may_try_again, caught.value.in_doubt) == (True, False)


def test_a_door_without_a_token_is_refused_at_once() -> None:
    with pytest.raises(LineError, match="LINE_CHANNEL_ACCESS_TOKEN"):
        door("http://127.0.0.1:1", token="")
