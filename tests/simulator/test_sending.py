"""LINE's rules of sending, over HTTP."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from linebot.v3.messaging import (
    ApiException,
    BroadcastRequest,
    MulticastRequest,
    PushMessageRequest,
    ReplyMessageRequest,
    TextMessage,
    ValidateMessageRequest,
)
from linebot.v3.messaging.exceptions import UnauthorizedException

from simulator.channels import Friend
from simulator.server import SimulatorThread
from tests.conftest import StillClock
from tests.simulator.conftest import (
    AMY,
    BEN,
    CAT,
    STRANGER,
    MakeServer,
    get,
    ledger,
    line_client,
    post,
    slow_rates,
    text_to,
)

PUSH = "/v2/bot/message/push"
KEY = "4d4f6ea1-7d2c-4a9b-8a5e-1f0b8f3c9a27"


def push_request(to: str = AMY, words: str = "哈囉") -> PushMessageRequest:
    return PushMessageRequest(to=to, messages=[TextMessage(text=words)])


def test_the_sdk_pushes_and_gets_the_sent_message_and_a_request_id(server: SimulatorThread) -> None:
    answer = line_client(server).push_message_with_http_info(push_request())
    assert answer.status_code == 200
    assert uuid.UUID(answer.headers["x-line-request-id"])
    assert len(answer.data.sent_messages) == 1
    assert ledger(server)["per_user"] == {AMY: 1}


def test_the_same_retry_key_is_accepted_once_and_409_names_the_accepted_request(server: SimulatorThread) -> None:
    client, key = line_client(server), str(uuid.uuid4())
    first = client.push_message_with_http_info(push_request(), x_line_retry_key=key)
    with pytest.raises(ApiException) as refusal:
        client.push_message(push_request(), x_line_retry_key=key)
    assert refusal.value.status == 409
    assert refusal.value.headers["x-line-accepted-request-id"] == first.headers["x-line-request-id"]
    assert refusal.value.headers["x-line-request-id"] != first.headers["x-line-request-id"]
    again = post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key).json()
    assert again["message"] == "The retry key is already accepted"
    assert again["sentMessages"][0]["id"] == first.data.sent_messages[0].id
    assert ledger(server)["requests"] == 1


def test_a_retry_key_taken_by_another_body_is_refused_too(server: SimulatorThread) -> None:
    key = str(uuid.uuid4())
    assert post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key).status_code == 200
    assert post(server, PUSH, text_to(BEN, "別的"), X_Line_Retry_Key=key).status_code == 409


def test_a_retry_key_is_new_again_after_24_hours(server: SimulatorThread, clock: StillClock) -> None:
    key = str(uuid.uuid4())
    assert post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key).status_code == 200
    clock.advance(hours=24, microseconds=-1)
    assert post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key).status_code == 409
    clock.advance(microseconds=1)
    assert post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key).status_code == 200
    assert ledger(server)["duplicates"] == {"retry_keys": {key: 2}, "contents": {AMY: 1}}


def test_a_refused_request_does_not_take_its_retry_key(server: SimulatorThread) -> None:
    key = str(uuid.uuid4())
    assert post(server, PUSH, {"to": AMY, "messages": []}, X_Line_Retry_Key=key).status_code == 400
    assert post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key).status_code == 200


@pytest.mark.parametrize("key", ["1234", "", "g" * 32, KEY.replace("-", ""), f"{{{KEY}}}"])
def test_a_malformed_retry_key_is_refused(server: SimulatorThread, key: str) -> None:
    assert post(server, PUSH, text_to(AMY), X_Line_Retry_Key=key).status_code == 400
    assert ledger(server)["requests"] == 0


def test_a_retry_key_on_a_reply_is_refused_and_leaves_the_reply_token_usable(
    server: SimulatorThread, clock: StillClock
) -> None:
    token = server.platform.channels[0].new_reply_token(AMY, clock())
    body = {"replyToken": token, "messages": [{"type": "text", "text": "好的"}]}
    assert post(server, "/v2/bot/message/reply", body, X_Line_Retry_Key=str(uuid.uuid4())).status_code == 400
    assert post(server, "/v2/bot/message/reply", body).status_code == 200


def test_a_push_to_a_stranger_or_to_no_user_id_is_refused(server: SimulatorThread) -> None:
    stranger = post(server, PUSH, text_to(STRANGER))
    assert (stranger.status_code, stranger.json()["message"]) == (400, "Failed to send messages")
    nobody = post(server, PUSH, text_to("someone"))
    assert nobody.status_code == 400
    assert "'to'" in nobody.json()["message"]


def test_a_push_to_one_who_blocked_us_is_accepted_not_delivered_and_not_counted(serve: MakeServer) -> None:
    server = serve(quota=1)
    assert post(server, PUSH, text_to(CAT)).status_code == 200
    assert get(server, "/v2/bot/message/quota/consumption").json() == {"totalUsage": 0}
    assert [entry["delivered"] for entry in ledger(server)["entries"]] == [[]]


def test_a_multicast_reaches_500_and_refuses_501(server: SimulatorThread) -> None:
    ids = [f"U{n:032x}" for n in range(501)]
    server.platform.add_friends(Friend(one, "某人") for one in ids)
    client = line_client(server)
    client.multicast(MulticastRequest(to=ids[:500], messages=[TextMessage(text="大家好")]))
    assert ledger(server)["delivered"] == 500
    refused = post(server, "/v2/bot/message/multicast", {"to": ids, "messages": [{"type": "text", "text": "大家好"}]})
    assert refused.status_code == 400
    assert refused.json()["details"][0]["property"] == "to"


def test_one_unknown_id_fails_a_whole_strict_multicast_and_is_left_out_of_a_lenient_one(serve: MakeServer) -> None:
    body = {"to": [AMY, STRANGER, BEN], "messages": [{"type": "text", "text": "大家好"}]}
    strict, lenient = serve(), serve(unknown_in_multicast="lenient")
    assert post(strict, "/v2/bot/message/multicast", body).status_code == 400
    assert ledger(strict)["requests"] == 0
    assert post(lenient, "/v2/bot/message/multicast", body).status_code == 200
    assert ledger(lenient)["entries"][0]["delivered"] == [AMY, BEN]


def test_quota_counts_people_not_messages_and_refuses_the_one_too_many(serve: MakeServer) -> None:
    server = serve(quota=3)
    client = line_client(server)
    assert client.get_message_quota().to_dict() == {"type": "limited", "value": 3}
    several = [TextMessage(text=str(n)) for n in range(5)]
    client.multicast(MulticastRequest(to=[AMY, BEN, CAT], messages=several))
    assert client.get_message_quota_consumption().total_usage == 2
    too_many = post(
        server, "/v2/bot/message/multicast", {"to": [AMY, BEN], "messages": [{"type": "text", "text": "x"}]}
    )
    assert (too_many.status_code, too_many.json()["message"]) == (429, "You have reached your monthly limit.")
    client.push_message(push_request())
    with pytest.raises(ApiException) as refusal:
        client.push_message(push_request())
    assert refusal.value.status == 429
    assert client.get_message_quota_consumption().total_usage == 3


def test_the_quota_starts_again_with_the_month(serve: MakeServer, clock: StillClock) -> None:
    server = serve(quota=1)
    clock.now = datetime(2026, 11, 30, 14, 59, 59, tzinfo=UTC)  # a second before December in LINE's zone
    assert post(server, PUSH, text_to(AMY)).status_code == 200
    assert post(server, PUSH, text_to(AMY)).status_code == 429
    clock.advance(seconds=1)
    assert post(server, PUSH, text_to(AMY)).status_code == 200


def test_a_reply_is_free_and_its_token_works_once_within_a_minute(serve: MakeServer, clock: StillClock) -> None:
    server = serve(quota=0)
    channel, client = server.platform.channels[0], line_client(server)
    token, late = channel.new_reply_token(AMY, clock()), channel.new_reply_token(AMY, clock())
    clock.advance(seconds=60)
    answer = client.reply_message(ReplyMessageRequest(reply_token=token, messages=[TextMessage(text="您好")]))
    assert len(answer.sent_messages) == 1
    clock.advance(microseconds=1)
    for used in (token, late, "never made"):
        refused = post(
            server, "/v2/bot/message/reply", {"replyToken": used, "messages": [{"type": "text", "text": "x"}]}
        )
        assert (refused.status_code, refused.json()["message"]) == (400, "Invalid reply token")


def test_too_many_requests_are_refused_in_lines_words_and_counted(serve: MakeServer) -> None:
    server = serve(rates=slow_rates(push=3))
    statuses = [post(server, PUSH, text_to(AMY, str(n))).status_code for n in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = post(server, PUSH, text_to(AMY))
    assert refused.json() == {"message": "The API rate limit has been exceeded. Try again later."}
    seen = ledger(server)["rates"]["push"]
    assert (seen["let_through"], seen["refused"]) == (3, 3)
    assert post(server, "/v2/bot/message/multicast", {"to": [AMY], "messages": []}).status_code == 400  # its own bucket


def test_a_broadcast_reaches_followers_only(server: SimulatorThread) -> None:
    line_client(server).broadcast(BroadcastRequest(messages=[TextMessage(text="大家好")]))
    assert [entry["delivered"] for entry in ledger(server)["entries"]] == [[AMY, BEN]]


def test_units_are_counted_and_the_1001st_name_of_a_month_is_dropped_silently(
    server: SimulatorThread, clock: StillClock
) -> None:
    client, channel = line_client(server), server.platform.channels[0]
    for n in range(999):
        channel.count_unit(f"unit_{n}", clock(), 1000)
    for name in ("spring", "one_too_many"):
        client.push_message(
            PushMessageRequest(to=AMY, messages=[TextMessage(text="x")], custom_aggregation_units=[name])
        )
    assert client.get_aggregation_unit_usage().num_of_custom_aggregation_units == 1000
    assert [entry["unit"] for entry in ledger(server)["entries"]] == ["spring", None]
    names = client.get_aggregation_unit_name_list(limit="100")
    assert len(names.custom_aggregation_units) == 100
    following = client.get_aggregation_unit_name_list(limit="100", start=names.next)
    assert following.custom_aggregation_units[0] == "unit_100"
    bad = text_to(AMY) | {"customAggregationUnits": ["with-hyphen"]}
    assert post(server, PUSH, bad).status_code == 400


@pytest.mark.parametrize(
    "call", [lambda c: c.get_profile(STRANGER), lambda c: c.get_profile(CAT)], ids=["stranger", "blocked"]
)
def test_a_profile_is_shown_of_followers_only(server: SimulatorThread, call: Callable[[Any], Any]) -> None:
    client = line_client(server)
    assert client.get_profile(AMY).display_name == "愛咪"
    with pytest.raises(ApiException) as refusal:
        call(client)
    assert refusal.value.status == 404


def test_followers_come_in_pages_without_those_who_blocked(server: SimulatorThread) -> None:
    client = line_client(server)
    first = client.get_followers(limit=1)
    assert first.user_ids == [AMY]
    second = client.get_followers(limit=1, start=first.next)
    assert (second.user_ids, second.next) == ([BEN], None)
    assert get(server, "/v2/bot/followers/ids?limit=1001").status_code == 400
    assert get(server, "/v2/bot/followers/ids?start=zzz").status_code == 400


def test_the_bot_tells_who_it_is(server: SimulatorThread) -> None:
    info = line_client(server).get_bot_info()
    assert info.user_id == server.platform.channels[0].options.bot_user_id


def test_a_wrong_or_missing_token_is_401_in_lines_words(server: SimulatorThread) -> None:
    wrong = post(server, PUSH, text_to(AMY), Authorization="Bearer wrong")
    assert wrong.status_code == 401
    assert wrong.json()["message"].startswith("Authentication failed due to the following reason: ")
    assert requests.post(server.url + PUSH, json=text_to(AMY), timeout=5).status_code == 401
    assert post(server, PUSH, text_to(AMY)).status_code == 200
    client = line_client(server)
    client.api_client.configuration.access_token = "wrong"
    with pytest.raises(UnauthorizedException):
        client.push_message(push_request())


def test_every_answer_has_a_request_id_also_404_405_413_and_415(server: SimulatorThread) -> None:
    answers = {
        404: get(server, "/v2/bot/nothing/here"),
        405: get(server, PUSH),
        413: post(server, PUSH, text_to(AMY, "x" * (2 * 1024 * 1024 + 1))),
        415: post(server, PUSH, text_to(AMY), Content_Type="text/plain"),
    }
    assert {answer.status_code for answer in answers.values()} == set(answers)
    for answer in answers.values():
        assert uuid.UUID(answer.headers["X-Line-Request-Id"])
        assert answer.json()["message"]


def test_a_body_that_is_no_json_object_is_refused(server: SimulatorThread) -> None:
    token = server.platform.channels[0].options.access_token
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for raw in (b"{", b"[]", b"", b"\xff"):
        answer = requests.post(server.url + PUSH, data=raw, headers=headers, timeout=5)
        assert answer.status_code == 400
        assert "could not be parsed as JSON" in answer.json()["message"]


def test_validation_says_what_is_wrong_and_sends_nothing(server: SimulatorThread) -> None:
    client = line_client(server)
    client.validate_push(ValidateMessageRequest(messages=[TextMessage(text="x" * 5000)]))
    with pytest.raises(ApiException) as refusal:
        client.validate_push(ValidateMessageRequest(messages=[TextMessage(text="x" * 5001)]))
    assert refusal.value.status == 400
    assert '"messages[0].text"' in refusal.value.body
    for kind in ("push", "multicast", "reply", "narrowcast", "broadcast"):
        path = f"/v2/bot/message/validate/{kind}"
        assert post(server, path, {"messages": [{"type": "text", "text": "x"}]}).status_code == 200
        assert post(server, path, {"messages": [{"type": "text"}]}).status_code == 400
    assert ledger(server)["requests"] == 0
