"""Audiences and narrowcasts, over HTTP with the SDK's own clients."""

import uuid
from typing import Any

import pytest
import requests
from linebot.v3 import audience as audience_sdk
from linebot.v3.audience import (
    AddAudienceToAudienceGroupRequest,
    Audience,
    CreateAudienceGroupRequest,
    ManageAudience,
    UpdateAudienceGroupDescriptionRequest,
)
from linebot.v3.messaging import (
    ApiException,
    AudienceRecipient,
    Limit,
    NarrowcastRequest,
    TextMessage,
)

from simulator.faults import Fault, FaultKind
from simulator.server import SimulatorThread
from tests.conftest import StillClock
from tests.simulator.conftest import AMY, BEN, CAT, STRANGER, MakeServer, get, ledger, line_client, post, slow_rates


def audience_client(server: SimulatorThread) -> ManageAudience:
    token = server.platform.channels[0].options.access_token
    return ManageAudience(audience_sdk.ApiClient(audience_sdk.Configuration(host=server.url, access_token=token)))


def ids(*people: str) -> list[Audience]:
    return [Audience(id=person) for person in people]


def uploaded(server: SimulatorThread, clock: StillClock, *people: str) -> int:
    """A READY audience of these; its id."""
    made = audience_client(server).create_audience_group(
        CreateAudienceGroupRequest(description="喚回", audiences=ids(*people))
    )
    clock.advance(seconds=2)
    assert made.audience_group_id is not None
    return int(made.audience_group_id)


def narrowcast(server: SimulatorThread, audience_id: int, *, key: str | None = None, **limit: Any) -> Any:
    request = NarrowcastRequest(
        messages=[TextMessage(text="週年慶")],
        recipient=AudienceRecipient(audienceGroupId=audience_id),
        limit=Limit(**limit) if limit else None,
    )
    return line_client(server).narrowcast_with_http_info(request, x_line_retry_key=key)


def test_an_audience_is_ready_once_its_upload_is_done(server: SimulatorThread, clock: StillClock) -> None:
    client = audience_client(server)
    made = client.create_audience_group(CreateAudienceGroupRequest(description="喚回", audiences=ids(AMY)))
    shown = client.get_audience_data(made.audience_group_id)
    assert (shown.audience_group.status, shown.audience_group.audience_count) == ("IN_PROGRESS", 0)
    assert [job.job_status for job in shown.jobs] == ["WORKING"]
    clock.advance(seconds=2)
    client.add_audience_to_audience_group(
        AddAudienceToAudienceGroupRequest(audienceGroupId=made.audience_group_id, audiences=ids(AMY, BEN))
    )
    shown = client.get_audience_data(made.audience_group_id)
    assert (shown.audience_group.status, shown.audience_group.audience_count) == ("READY", 1)
    clock.advance(seconds=2)
    assert client.get_audience_data(made.audience_group_id).audience_group.audience_count == 2  # adding twice is once


def test_an_audience_is_renamed_listed_by_name_and_deleted(server: SimulatorThread, clock: StillClock) -> None:
    client, number = audience_client(server), uploaded(server, clock, AMY)
    client.create_audience_group(CreateAudienceGroupRequest(description="其他"))
    client.update_audience_group_description(number, UpdateAudienceGroupDescriptionRequest(description="VIP回購"))
    found = client.get_audience_groups(page=1, description="vip")
    assert [group.audience_group_id for group in found.audience_groups] == [number]
    assert client.get_audience_groups(page=1).total_count == 2
    client.delete_audience_group(number)
    with pytest.raises(audience_sdk.ApiException) as refusal:
        client.get_audience_data(number)
    assert (refusal.value.status, "AUDIENCE_GROUP_NOT_FOUND" in refusal.value.body) == (400, True)


def test_an_empty_audience_never_gets_ready(server: SimulatorThread, clock: StillClock) -> None:
    client = audience_client(server)
    made = client.create_audience_group(CreateAudienceGroupRequest(description="空"))
    clock.advance(hours=1)
    assert client.get_audience_data(made.audience_group_id).audience_group.status == "IN_PROGRESS"
    with pytest.raises(ApiException) as refusal:
        narrowcast(server, made.audience_group_id)
    assert refusal.value.status == 400


@pytest.mark.parametrize("wrong", [STRANGER, "U123", ""])
def test_one_id_that_is_nobody_fails_the_whole_upload(server: SimulatorThread, clock: StillClock, wrong: str) -> None:
    client, number = audience_client(server), uploaded(server, clock, AMY)
    with pytest.raises(audience_sdk.ApiException, match="UPLOAD_AUDIENCE_GROUP_INVALID_AUDIENCE_ID_FORMAT"):
        client.add_audience_to_audience_group(
            AddAudienceToAudienceGroupRequest(audienceGroupId=number, audiences=ids(BEN, wrong))
        )
    clock.advance(minutes=1)
    assert client.get_audience_data(number).audience_group.audience_count == 1


def test_uploads_are_limited_in_size_in_number_at_once_and_in_rate(serve: MakeServer, clock: StillClock) -> None:
    server = serve(rates=slow_rates(audience_create=3))
    number = uploaded(server, clock, AMY)
    path, one = "/v2/bot/audienceGroup/upload", {"audienceGroupId": number, "audiences": [{"id": BEN}]}
    too_many = one | {"audiences": [{"id": AMY}] * 10_001}
    assert get_put(server, path, too_many) == (400, "UPLOAD_AUDIENCE_GROUP_TOO_MANY_AUDIENCE_IDS")
    assert [get_put(server, path, one)[0] for _ in range(11)] == [202] * 10 + [429]
    statuses = [post(server, path, {"description": f"a{n}"}).status_code for n in range(3)]
    assert statuses == [202, 202, 429]


def get_put(server: SimulatorThread, path: str, body: Any) -> tuple[int, str]:
    token = server.platform.channels[0].options.access_token
    answer = requests.put(server.url + path, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=5)
    details = answer.json().get("details") or [{"message": ""}]
    return answer.status_code, details[0]["message"]


def test_a_channel_has_at_most_a_thousand_audiences(serve: MakeServer, clock: StillClock) -> None:
    server = serve(rates=slow_rates(audience_create=2_000))
    channel = server.platform.channels[0]
    for n in range(1_000):
        channel.audiences.create({"description": f"a{n}"}, channel.friends, clock())
    answer = post(server, "/v2/bot/audienceGroup/upload", {"description": "一個太多"})
    assert answer.json()["details"] == [{"message": "AUDIENCE_GROUP_COUNT_MAX_OVER"}]


def test_a_narrowcast_is_accepted_now_and_sent_later_to_its_audience(
    server: SimulatorThread, clock: StillClock
) -> None:
    client, number = line_client(server), uploaded(server, clock, AMY, CAT)
    answer = narrowcast(server, number)
    request_id = answer.headers["x-line-request-id"]
    assert answer.status_code == 202
    assert client.get_narrowcast_progress(request_id).phase == "waiting"
    clock.advance(seconds=1)
    assert client.get_narrowcast_progress(request_id).phase == "sending"
    assert ledger(server)["delivered"] == 0
    clock.advance(seconds=1)
    progress = client.get_narrowcast_progress(request_id)
    counts = (progress.phase, progress.target_count, progress.success_count, progress.failure_count)
    assert counts == ("succeeded", 2, 1, 1)  # Cat has blocked the account
    (entry,) = ledger(server)["entries"]
    assert (sorted(entry["to"]), entry["delivered"]) == (sorted([AMY, CAT]), [AMY])
    clock.advance(days=14)
    assert get(server, f"/v2/bot/message/progress/narrowcast?requestId={request_id}").status_code == 404


def test_a_narrowcast_is_accepted_once_under_its_key(server: SimulatorThread, clock: StillClock) -> None:
    number, key = uploaded(server, clock, AMY), str(uuid.uuid4())
    first = narrowcast(server, number, key=key)
    with pytest.raises(ApiException) as refusal:
        narrowcast(server, number, key=key)
    assert refusal.value.status == 409
    assert refusal.value.headers["x-line-accepted-request-id"] == first.headers["x-line-request-id"]
    clock.advance(seconds=5)
    assert ledger(server)["per_user"] == {AMY: 1}


def test_the_whole_target_is_reserved_in_the_quota_until_it_is_sent(serve: MakeServer, clock: StillClock) -> None:
    server = serve(quota=3)
    client, number = line_client(server), uploaded(server, clock, AMY, CAT)
    narrowcast(server, number)
    with pytest.raises(ApiException, match="monthly limit"):
        narrowcast(server, number)
    assert client.get_message_quota_consumption().total_usage == 0
    clock.advance(seconds=2)
    assert client.get_message_quota_consumption().total_usage == 1
    narrowcast(server, number, max=1)
    narrowcast(server, number, upToRemainingQuota=True)
    clock.advance(seconds=2)
    assert client.get_message_quota_consumption().total_usage == 3


def test_a_narrowcast_that_fails_at_line_reaches_nobody(server: SimulatorThread, clock: StillClock) -> None:
    number = uploaded(server, clock, AMY)
    server.simulator.faults.replace([Fault("narrowcast", FaultKind.FAILS_AFTER_ACCEPT, count=1)])
    request_id = narrowcast(server, number).headers["x-line-request-id"]
    clock.advance(seconds=2)
    progress = line_client(server).get_narrowcast_progress(request_id)
    assert (progress.phase, progress.error_code, progress.success_count) == ("failed", 1, None)
    assert ledger(server)["per_user"] == {}


@pytest.mark.parametrize(
    "more",
    [
        {"recipient": {"type": "audience", "audienceGroupId": 1}},
        {"recipient": {"type": "redelivery", "requestId": "x"}},
        {"filter": {"demographic": {"type": "gender"}}},
        {"limit": {"max": 0}},
    ],
)
def test_what_narrowcast_can_not_simulate_is_refused_rather_than_sent_to_all(
    server: SimulatorThread, more: dict[str, Any]
) -> None:
    body = {"messages": [{"type": "text", "text": "x"}], **more}
    assert post(server, "/v2/bot/message/narrowcast", body).status_code == 400
