"""A simulator over real HTTP with three people, a clock for LINE's day and one for its rates, and the SDK's client."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from linebot.v3.messaging import ApiClient, Configuration, MessagingApi

from simulator.channels import ChannelOptions, Friend
from simulator.rates import Rate
from simulator.server import Simulator, SimulatorThread
from tests.conftest import StillClock

AMY, BEN, CAT = ("U" + digit * 32 for digit in "abc")
STRANGER = "U" + "9" * 32

MakeServer = Callable[..., SimulatorThread]


@pytest.fixture
def serve(clock: StillClock) -> Iterator[MakeServer]:
    """Call with ChannelOptions' fields (and Simulator's, under `simulator`): a running server; Cat has blocked it."""
    threads: list[SimulatorThread] = []

    def start(*, simulator: dict[str, Any] | None = None, **options: Any) -> SimulatorThread:
        made = Simulator([ChannelOptions(**options)], **{"clock": clock, **(simulator or {})})
        made.platform.add_friends([Friend(AMY, "愛咪"), Friend(BEN, "阿班"), Friend(CAT, "凱特", is_following=False)])
        threads.append(SimulatorThread(made).start())
        return threads[-1]

    yield start
    for thread in threads:
        thread.stop()


@pytest.fixture
def server(serve: MakeServer) -> SimulatorThread:
    return serve()


def line_client(server: SimulatorThread) -> MessagingApi:
    """The SDK's own client, pointed at the simulator."""
    token = server.platform.channels[0].options.access_token
    return MessagingApi(ApiClient(Configuration(host=server.url, access_token=token)))


def post(server: SimulatorThread, path: str, body: Any, **headers: str) -> requests.Response:
    """A plain POST with the right token; `headers` replace or add, with _ for -."""
    token = server.platform.channels[0].options.access_token
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    all_headers = {"Authorization": f"Bearer {token}"} | named
    return requests.post(server.url + path, json=body, headers=all_headers, timeout=5)


def get(server: SimulatorThread, path: str, **headers: str) -> requests.Response:
    """A plain GET with the right token."""
    token = server.platform.channels[0].options.access_token
    return requests.get(server.url + path, headers={"Authorization": f"Bearer {token}"} | headers, timeout=5)


def text_to(line_user_id: str, words: str = "哈囉") -> dict[str, Any]:
    """The body of a push of one text."""
    return {"to": line_user_id, "messages": [{"type": "text", "text": words}]}


def slow_rates(**per_second: float) -> dict[str, Rate]:
    """Rates that don't refill noticeably: so many requests an hour."""
    return {endpoint: Rate(count, 3600.0) for endpoint, count in per_second.items()}


def ledger(server: SimulatorThread) -> dict[str, Any]:
    """The ledger with its entries, over HTTP."""
    answer: dict[str, Any] = requests.get(f"{server.url}/simulator/ledger?detail=1", timeout=5).json()
    return answer
