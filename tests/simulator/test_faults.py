"""Faults on request: what the caller sees, and what was accepted all the same."""

import time
import uuid
from typing import Any

import pytest
import requests

from simulator.faults import Fault, FaultKind, FaultPlan
from simulator.server import SimulatorThread
from tests.simulator.conftest import AMY, BEN, ledger, post, text_to

PUSH = "/v2/bot/message/push"


def set_faults(server: SimulatorThread, *faults: dict[str, Any], seed: int = 1) -> None:
    body: dict[str, Any] = {"faults": list(faults), "seed": seed}
    requests.post(f"{server.url}/simulator/faults", json=body, timeout=5).raise_for_status()


@pytest.mark.parametrize("kind", ["drop_before", "drop_after_accept"])
def test_a_dropped_connection_is_accepted_only_after_accept(server: SimulatorThread, kind: str) -> None:
    set_faults(server, {"endpoint": "push", "kind": kind, "count": 1})
    key = str(uuid.uuid4())
    with pytest.raises(requests.ConnectionError):
        post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key)
    again = post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key)
    assert again.status_code == (409 if kind == "drop_after_accept" else 200)
    assert ledger(server)["per_user"] == {AMY: 1}


@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after_accept"])
def test_a_timeout_gives_no_answer_and_is_accepted_only_after_accept(server: SimulatorThread, kind: str) -> None:
    set_faults(server, {"endpoint": "push", "kind": kind, "count": 1, "seconds": 10})
    token = server.platform.channels[0].options.access_token
    key = str(uuid.uuid4())
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            server.url + PUSH,
            json=text_to(AMY),
            headers={"Authorization": f"Bearer {token}", "X-Line-Retry-Key": key},
            timeout=1.5,
        )
    again = post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key)
    assert again.status_code == (409 if kind == "timeout_after_accept" else 200)


def test_errors_on_request_look_like_lines_and_end_after_their_count(server: SimulatorThread) -> None:
    set_faults(
        server,
        {"endpoint": "push", "kind": "error_500", "count": 1},
        {"endpoint": "push", "kind": "error_429", "count": 2},
        {"endpoint": "multicast", "kind": "error_500"},
    )
    answers = [post(server, PUSH, text_to(AMY)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [500, 429, 429, 200]
    assert answers[1].json()["message"] == "The API rate limit has been exceeded. Try again later."
    assert all("X-Line-Request-Id" in answer.headers for answer in answers)
    assert ledger(server)["requests"] == 1
    happened = requests.get(f"{server.url}/simulator/faults", timeout=5).json()["happened"]
    assert happened == {"error_500": 1, "error_429": 2}


def test_a_500_after_accept_was_accepted(server: SimulatorThread) -> None:
    set_faults(server, {"endpoint": "*", "kind": "error_500_after_accept", "count": 1})
    key = str(uuid.uuid4())
    assert post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key).status_code == 500
    assert post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key).status_code == 409


def test_latency_delays_the_answer_and_changes_nothing_else(server: SimulatorThread) -> None:
    set_faults(server, {"endpoint": "push", "kind": "latency", "seconds": 0.2, "count": 1})
    begun = time.monotonic()
    assert post(server, PUSH, text_to(AMY)).status_code == 200
    assert time.monotonic() - begun >= 0.2


def test_faults_with_a_probability_repeat_for_a_seed() -> None:
    def struck(seed: int) -> list[bool]:
        plan = FaultPlan(seed)
        plan.replace([Fault("push", FaultKind.ERROR_500, probability=0.3)])
        return [plan.choose("push") is not None for _ in range(200)]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 30 <= sum(struck(1)) <= 90


@pytest.mark.parametrize(
    "fault",
    [
        {"endpoint": "push", "kind": "earthquake"},
        {"endpoint": "push"},
        {"endpoint": "push", "kind": "error_500", "probability": 1.1},
        {"endpoint": "push", "kind": "error_500", "count": 0},
        {"endpoint": "push", "kind": "latency", "seconds": -1},
        {"endpoint": "push", "kind": "error_500", "chance": 1},
        "error_500",
    ],
    ids=repr,
)
def test_a_fault_that_makes_no_sense_is_refused_and_changes_nothing(server: SimulatorThread, fault: Any) -> None:
    assert requests.post(f"{server.url}/simulator/faults", json=[fault], timeout=5).status_code == 400
    assert post(server, PUSH, text_to(BEN)).status_code == 200
