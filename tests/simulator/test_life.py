"""Actions in time: taken by a caller in history mode, performed over HTTP in live mode; and the demo's orders."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow.compute as pc  # type: ignore[import-untyped, unused-ignore]
import pytest
import requests

from simulator.channels import ChannelOptions
from simulator.life import IN_APP_BROWSER, PREVIEW_ROBOT
from simulator.orders import TWD, demo_orders
from simulator.platform import utc_now
from simulator.population import Action, ActionKind, Population
from simulator.server import Simulator, SimulatorThread
from tests.conftest import StillClock
from tests.simulator.conftest import AMY, post


@pytest.fixture
def shop() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A web server at (address) and the (path, User-Agent) of each visit."""
    visits: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append((self.path, self.headers["User-Agent"]))
            self.send_response(302)
            self.send_header("location", "https://shop.invalid/")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", visits
    server.shutdown()
    server.server_close()


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def action(kind: ActionKind, at: datetime, **fields: Any) -> Action:
    return Action(at, kind, AMY, "00001", **fields)


def test_due_actions_come_in_order_once_and_up_to_the_time_itself(clock: StillClock) -> None:
    life = Simulator(clock=clock).life
    now = clock()
    life.add(action(ActionKind.TAP, now + timedelta(hours=n), url=str(n)) for n in (3, 1, 2))
    assert [a.url for a in life.due(now + timedelta(hours=2))] == ["1", "2"]
    assert life.due(now + timedelta(hours=2)) == []
    assert life.waiting() == 1


def test_in_history_a_delivery_becomes_actions_at_the_peoples_own_times(clock: StillClock) -> None:
    people = Population(5, born=clock())
    ids = [person.line_user_id for person in people.invent(400)]
    simulator = Simulator(population=people, is_live=False, clock=clock)
    channel = simulator.platform.channels[0]
    body = {"to": ids, "messages": [{"type": "text", "text": "買一送一 https://a.example/r/1"}]}
    simulator.platform.send(channel, "multicast", body, None, "request-1")
    expected = Population(5, born=clock())
    expected.invent(400)
    wanted = [a for who in ids for a in expected.react(who, body["messages"], clock())]  # type: ignore[arg-type]
    got = simulator.life.due(clock() + timedelta(days=400))
    assert got == [replace(a, request_id="request-1") for a in sorted(wanted, key=lambda a: a.at)]
    assert len(got) > 20


def test_applying_actions_records_purchases_and_changes_friendship(clock: StillClock) -> None:
    people = Population(5, born=clock())
    people.add(AMY, customer_id="00001")
    simulator = Simulator(population=people, are_friends=False, clock=clock)
    life, now = simulator.life, clock()
    assert life.apply(action(ActionKind.SAY, now, text="哈囉")) == []
    assert [e["type"] for e in life.apply(action(ActionKind.FOLLOW, now))] == ["follow"]
    assert simulator.platform.channels[0].friends[AMY].display_name == people.people[AMY].name
    assert [e["type"] for e in life.apply(action(ActionKind.SAY, now, text="哈囉"))] == ["message"]
    assert [e["type"] for e in life.apply(action(ActionKind.BLOCK, now))] == ["unfollow"]
    assert life.apply(action(ActionKind.BLOCK, now)) == []
    assert life.apply(action(ActionKind.BUY, now, order_id="S-1", amount=Decimal("12.30"))) == []
    assert [(p.order_id, p.customer_id, p.amount) for p in life.purchases] == [("S-1", "00001", Decimal("12.30"))]


def test_live_people_tap_previews_come_from_robots_and_orders_are_told(
    shop: tuple[str, list[tuple[str, str]]],
) -> None:
    address, visits = shop
    with SimulatorThread(Simulator(clock=utc_now)) as server:
        server.life.add(
            [
                action(ActionKind.PREVIEW, utc_now(), url=f"{address}/r/1"),
                action(ActionKind.TAP, utc_now() + timedelta(seconds=0.3), url=f"{address}/r/1"),
                action(ActionKind.TAP, utc_now() + timedelta(seconds=0.3), url="http://127.0.0.1:9/dead"),
                action(ActionKind.BUY, utc_now(), order_id="S-1", amount=Decimal("12.30")),
                action(ActionKind.BUY, utc_now(), order_id="S-2", amount=Decimal("5.00")),
            ]
        )
        done = server.life.performed
        wait_until(lambda: done.get("tap_answered_302") == 1 and done.get("tap_failed") == 1)
        assert visits == [("/r/1", PREVIEW_ROBOT), ("/r/1", IN_APP_BROWSER)]
        orders = requests.get(f"{server.url}/simulator/orders?after=1", timeout=5).json()
        assert [(order["order_id"], order["amount"]) for order in orders] == [("S-2", "5.00")]
        assert requests.get(f"{server.url}/simulator/orders?after=2", timeout=5).json() == []
        assert requests.get(f"{server.url}/simulator/orders?after=x", timeout=5).status_code == 400


def test_a_push_is_tapped_within_seconds_when_time_runs_fast(shop: tuple[str, list[tuple[str, str]]]) -> None:
    address, visits = shop
    people = Population(5, born=utc_now())
    ids = [person.line_user_id for person in people.invent(150)]
    simulator = Simulator([ChannelOptions()], population=people, time_scale=50_000.0)
    with SimulatorThread(simulator) as server:
        body = {"to": ids, "messages": [{"type": "text", "text": f"買一送一 免運 {address}/r/1"}]}
        assert post(server, "/v2/bot/message/multicast", body).status_code == 200
        wait_until(lambda: any(agent == IN_APP_BROWSER for _, agent in visits))
        assert server.life.as_json()["people"] == 150


def test_live_people_buy_of_their_own_accord_when_asked_to() -> None:
    people = Population(5, born=utc_now())
    people.invent(300)
    simulator = Simulator(population=people, time_scale=86_400.0 * 2, has_ordinary_life=True)
    with SimulatorThread(simulator) as server:
        wait_until(lambda: len(server.life.purchases) >= 5)


def test_a_taken_port_is_told_to_whoever_starts(server: SimulatorThread) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="address already in use"):
        SimulatorThread(Simulator(), port=port).start()


def test_time_can_not_stand_still(clock: StillClock) -> None:
    with pytest.raises(ValueError, match="time_scale"):
        Simulator(clock=clock, time_scale=0)


def test_the_truth_is_told_over_http(server: SimulatorThread) -> None:
    assert requests.get(f"{server.url}/simulator/truth", timeout=5).json()["免運"] > 0


def test_demo_orders_are_cdnow_moved_to_end_on_the_given_day() -> None:
    orders = demo_orders(date(2026, 11, 22))
    assert orders.num_rows == 69_659
    assert pc.count_distinct(orders["customer_id"]).as_py() == 23_570
    assert pc.count_distinct(orders["order_id"]).as_py() == 69_659
    assert pc.sum(orders["amount"]).as_py() == Decimal("2500315.63") * TWD
    span = pc.min_max(orders["ordered_at"]).as_py()
    assert span["max"] == datetime(2026, 11, 21, 16, tzinfo=UTC)  # the day begins at 16:00 UTC in Taipei
    assert span["max"] - span["min"] == timedelta(days=545)
    first = orders.slice(0, 1).to_pylist()[0]
    assert (first["customer_id"], first["order_id"], first["amount"]) == ("00001", "C00001", Decimal("11.77") * TWD)
    assert sum(orders[name].null_count for name in orders.column_names) == 0
