"""Coupons, over HTTP with the SDK's own client."""

from typing import Any

import pytest
from linebot.v3.messaging import (
    ApiException,
    CouponCreateRequest,
    CouponMessage,
    MessagingApi,
    NormalAcquisitionConditionRequest,
    PushMessageRequest,
)

from simulator.server import SimulatorThread
from tests.conftest import StillClock
from tests.simulator.conftest import AMY, ledger, line_client


def make(client: MessagingApi, clock: StillClock, **fields: Any) -> str:
    start = int(clock().timestamp())
    given = {
        "title": "九折券",
        "acquisition_condition": NormalAcquisitionConditionRequest(),
        "start_timestamp": start,
        "end_timestamp": start + 86_400,
        "max_use_count_per_ticket": 1,
        "visibility": "UNLISTED",
        "timezone": "ASIA_TAIPEI",
    }
    made = client.create_coupon(CouponCreateRequest(**(given | fields)))
    return str(made.coupon_id)


def show_to_amy(client: MessagingApi, coupon_id: str) -> None:
    client.push_message(PushMessageRequest(to=AMY, messages=[CouponMessage(couponId=coupon_id)]))


def test_a_coupon_is_made_listed_shown_and_closed_for_good(server: SimulatorThread, clock: StillClock) -> None:
    client = line_client(server)
    first, second = make(client, clock), make(client, clock, title="滿千折百")
    detail = client.get_coupon_detail(first)
    assert (detail.title, detail.status, detail.coupon_id) == ("九折券", "RUNNING", first)
    client.close_coupon(first)
    assert client.get_coupon_detail(first).status == "CLOSED"
    assert [coupon.coupon_id for coupon in client.list_coupon(status=["RUNNING"]).items] == [second]
    page = client.list_coupon(limit=1)
    assert [coupon.title for coupon in page.items] == ["滿千折百"]
    assert [coupon.coupon_id for coupon in client.list_coupon(limit=1, start=page.next).items] == [first]
    with pytest.raises(ApiException) as refusal:
        client.close_coupon(first)
    assert refusal.value.status == 410


def test_a_message_shows_only_a_coupon_that_runs(server: SimulatorThread, clock: StillClock) -> None:
    client = line_client(server)
    coupon_id = make(client, clock)
    show_to_amy(client, coupon_id)
    client.close_coupon(coupon_id)
    for gone in (coupon_id, "no-such-coupon"):
        with pytest.raises(ApiException) as refusal:
            show_to_amy(client, gone)
        assert refusal.value.status == 400
    assert ledger(server)["per_user"] == {AMY: 1}


@pytest.mark.parametrize("wrong", [{"end_timestamp": 1}, {"coupon_code": "C" * 17}, {"usage_condition": "條" * 101}])
def test_a_coupon_over_lines_limits_is_refused(
    server: SimulatorThread, clock: StillClock, wrong: dict[str, Any]
) -> None:
    with pytest.raises((ApiException, ValueError)):
        make(line_client(server), clock, **wrong)


def test_there_is_no_coupon_that_was_not_made(server: SimulatorThread) -> None:
    with pytest.raises(ApiException) as refusal:
        line_client(server).get_coupon_detail("no-such-coupon")
    assert refusal.value.status == 404
