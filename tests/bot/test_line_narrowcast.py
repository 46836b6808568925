"""The doors for narrowcasts and for LINE's figures, against the simulator over HTTP and against broken servers."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from bot.line import LineError
from bot.line.audiences import AudienceState, NarrowcastDoor
from bot.line.insight import InsightDoor
from simulator.channels import LINE_ZONE, ChannelOptions, Friend
from simulator.faults import Fault, FaultKind
from simulator.server import Simulator, SimulatorThread
from tests.bot.test_line import AMY, BEN, STRANGER, TEXT, TOKEN, RawServer, bulk, http, patience, push
from tests.bot.test_line import answering as answering
from tests.conftest import StillClock

Answering = Callable[[bytes | str | None], RawServer]


@pytest.fixture
def line(clock: StillClock) -> Iterator[SimulatorThread]:
    with SimulatorThread(Simulator([ChannelOptions(quota=30)], clock=clock)) as running:
        running.platform.add_friends([Friend(AMY, "愛咪"), Friend(BEN, "阿班")])
        yield running


def door(url: str, timeout: float = 5) -> NarrowcastDoor:
    return NarrowcastDoor(api_base=url, access_token=TOKEN, timeout_seconds=timeout)


def insight(url: str) -> InsightDoor:
    return InsightDoor(api_base=url, access_token=TOKEN, timeout_seconds=5)


def uploaded(line: SimulatorThread, clock: StillClock, people: list[str]) -> int:
    number = door(line.url).create_audience("喚回 r1")
    door(line.url).add_to_audience(number, people)
    clock.advance(seconds=2)
    return number


def key() -> str:
    return str(uuid.uuid4())


def test_an_audience_is_made_found_filled_and_deleted(line: SimulatorThread, clock: StillClock) -> None:
    one = door(line.url)
    assert one.find_audience("喚回 r1") is None
    number = one.create_audience("喚回 r1")
    one.create_audience("喚回 r10")
    assert one.find_audience("喚回 r1") == number
    one.add_to_audience(number, [AMY])
    assert one.audience_state(number) == AudienceState("IN_PROGRESS", 0, 1, 0)
    one.add_to_audience(number, [AMY, BEN])
    clock.advance(seconds=2)
    assert one.audience_state(number) == AudienceState("READY", 2, 0, 0)
    one.delete_audience(number)
    one.delete_audience(number)
    with pytest.raises(LineError, match="AUDIENCE_GROUP_NOT_FOUND"):
        one.audience_state(number)


def test_an_unknown_id_fails_the_upload_for_good(line: SimulatorThread) -> None:
    number = door(line.url).create_audience("喚回")
    with pytest.raises(LineError) as caught:
        door(line.url).add_to_audience(number, [AMY, STRANGER])
    assert (caught.value.status, caught.value.may_try_again) == (400, False)


def test_a_narrowcast_goes_to_its_audience_and_tells_how_far_it_is(line: SimulatorThread, clock: StillClock) -> None:
    one, number = door(line.url), uploaded(line, clock, [AMY])
    answer = one.narrowcast(number, TEXT, key())
    assert answer.outcome == "accepted"
    assert answer.request_id is not None
    assert one.progress(answer.request_id).phase == "waiting"
    clock.advance(seconds=2)
    progress = one.progress(answer.request_id)
    assert (progress.phase, progress.target_count, progress.success_count) == ("succeeded", 1, 1)
    assert list(line.platform.channels[0].ledger.entries[0].to) == [AMY]


def test_a_repeat_with_the_same_key_names_the_first_request(line: SimulatorThread, clock: StillClock) -> None:
    one, number, same = door(line.url), uploaded(line, clock, [AMY]), key()
    first, second = one.narrowcast(number, TEXT, same), one.narrowcast(number, TEXT, same)
    assert second == first


def test_a_narrowcast_that_failed_says_why(line: SimulatorThread, clock: StillClock) -> None:
    one, number = door(line.url), uploaded(line, clock, [AMY])
    line.simulator.faults.replace([Fault("narrowcast", FaultKind.FAILS_AFTER_ACCEPT)])
    answer = one.narrowcast(number, TEXT, key())
    clock.advance(seconds=2)
    assert one.progress(answer.request_id or "").problem == "error 1: internal error"


@pytest.mark.parametrize(
    ("answer", "outcome", "request_id"),
    [
        (http("202 Accepted", b"not JSON", "X-Line-Request-Id: r1"), "accepted", "r1"),
        (http("202 Accepted", b"{", "X-Line-Request-Id: r1", length=500), "accepted", "r1"),
        (http("409 Conflict", b"{}", "X-Line-Accepted-Request-Id: r0"), "accepted", "r0"),
        (http("400 Bad Request"), "refused", None),
        (http("403 Forbidden"), "stopped", None),
        (http("307 Temporary", b"", "Location: http://127.0.0.1:1/"), "stopped", None),
        (http("429 Too Many", b'{"message":"You have reached your monthly limit."}'), "quota_exhausted", None),
        (http("429 Too Many"), "slow_down", None),
        (http("429 Too Many", b'{"message":"You have sent too many."}'), "limited", None),
        (http("500 Error"), "in_doubt", None),
        (http("500 Error", b"cut", length=500), "in_doubt", None),
        (b"", "in_doubt", None),
        (None, "in_doubt", None),
        ("wait", "in_doubt", None),
    ],
)
def test_every_answer_to_a_narrowcast_has_an_outcome(
    answering: Answering, answer: bytes | str | None, outcome: str, request_id: str | None
) -> None:
    got = door(answering(answer).url, timeout=patience(answer)).narrowcast(1, TEXT, key())
    assert (got.outcome, got.request_id) == (outcome, request_id)


def test_a_narrowcast_that_finds_no_line_reached_nobody() -> None:
    assert door("http://127.0.0.1:1").narrowcast(1, TEXT, key()).outcome == "not_reached"


def test_units_and_figures_are_lines(line: SimulatorThread, clock: StillClock) -> None:
    one, channel = insight(line.url), line.platform.channels[0]
    line.platform.add_friends(Friend(f"U{n:032x}", "朋友") for n in range(25))
    assert one.units_used() == 0
    people = [f"U{n:032x}" for n in range(25)]
    assert bulk(line.url, lambda d: d.multicast(people, TEXT, key(), "r1_vA"), TOKEN, 5).outcome == "accepted"
    assert one.units_used() == 1
    (entry,) = channel.ledger.entries
    for who in people[:21]:
        line.platform.note(entry.request_id, who, clock(), channel=channel, url=None)
    for who in people[:5]:
        line.platform.note(entry.request_id, who, clock(), channel=channel, url="https://shop.example")
    day = clock().astimezone(LINE_ZONE).date()
    found = one.of_unit("r1_vA", day, day + timedelta(days=14))
    assert (found.delivered, found.opened, found.clicked) == (None, 21, None)  # five are too few to be told
    assert found.detail["overview"]["uniqueImpression"] == 21


def test_a_narrowcasts_figures_come_by_its_request(line: SimulatorThread, clock: StillClock) -> None:
    answer = door(line.url).narrowcast(uploaded(line, clock, [AMY, BEN]), TEXT, key())
    assert insight(line.url).of_request(answer.request_id or "").delivered is None
    clock.advance(seconds=2)
    assert insight(line.url).of_request(answer.request_id or "").delivered == 2
    with pytest.raises(LineError) as caught:
        insight(line.url).of_request("none")
    assert caught.value.status == 404


def test_figures_of_a_push_are_not_had_by_request(line: SimulatorThread) -> None:
    with pytest.raises(LineError):
        insight(line.url).of_request(push(line.url).request_id or "")
