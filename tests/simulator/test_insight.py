"""LINE's own figures come from what people did, and hide what few did. Over HTTP with the SDK's own clients."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from linebot.v3 import insight as insight_sdk
from linebot.v3.insight import Insight
from linebot.v3.messaging import BroadcastRequest, MulticastRequest, NarrowcastRequest, TextMessage

from simulator.channels import LINE_ZONE
from simulator.population import ActionKind, Population
from simulator.server import Simulator, SimulatorThread
from tests.conftest import StillClock
from tests.simulator.conftest import MakeServer, get, line_client, slow_rates

LINK = "https://shop.example/a"
PEOPLE = 400


def insight(server: SimulatorThread) -> Insight:
    token = server.platform.channels[0].options.access_token
    return Insight(insight_sdk.ApiClient(insight_sdk.Configuration(host=server.url, access_token=token)))


@pytest.fixture
def town(clock: StillClock) -> Any:
    """Four hundred people who live only when told."""
    people = Population(5, born=clock())
    people.invent(PEOPLE)
    with SimulatorThread(Simulator(population=people, is_live=False, clock=clock)) as server:
        yield server


def send(server: SimulatorThread, unit: str | None, count: int = PEOPLE) -> None:
    to = list(server.platform.channels[0].friends)[:count]
    line_client(server).multicast(
        MulticastRequest(
            to=to,
            messages=[TextMessage(text=f"買一送一 {LINK}")],
            custom_aggregation_units=[unit] if unit else None,
        )
    )


def live(server: SimulatorThread, clock: StillClock, days: float) -> dict[ActionKind, set[str]]:
    """Let everybody do what they do in that time; who did what."""
    until = clock() + timedelta(days=days)
    done: dict[ActionKind, set[str]] = {kind: set() for kind in ActionKind}
    for action in server.life.due(until):
        server.life.apply(action)
        done[action.kind].add(action.line_user_id)
    clock.now = until
    return done


def day(at: datetime) -> str:
    return at.astimezone(LINE_ZONE).strftime("%Y%m%d")


def test_a_units_figures_are_what_its_recipients_did(town: SimulatorThread, clock: StillClock) -> None:
    first = day(clock())
    send(town, "spring")
    did = live(town, clock, 13)
    found = insight(town).get_statistics_per_unit("spring", first, first)
    assert found.overview.unique_impression == len(did[ActionKind.OPEN]) > 100
    assert found.overview.unique_click == len(did[ActionKind.TAP]) >= 20
    assert did[ActionKind.TAP] <= did[ActionKind.OPEN]
    assert [(click.url, click.unique_click) for click in found.clicks] == [(LINK, len(did[ActionKind.TAP]))]
    assert len(found.messages) == 1


def test_units_and_days_are_told_apart(town: SimulatorThread, clock: StillClock) -> None:
    first = day(clock())
    send(town, "spring")
    send(town, None)
    live(town, clock, 10)
    assert insight(town).get_statistics_per_unit("Spring", first, first).overview.unique_impression is None
    assert insight(town).get_statistics_per_unit("spring", day(clock()), day(clock())).overview.unique_click is None


def test_what_fewer_than_twenty_did_is_null(town: SimulatorThread, clock: StillClock) -> None:
    first = day(clock())
    send(town, "few", count=25)
    did = live(town, clock, 10)
    assert 0 < len(did[ActionKind.OPEN]) < 20
    overview = insight(town).get_statistics_per_unit("few", first, first).overview
    assert (overview.unique_impression, overview.unique_click) == (None, None)


def test_figures_stand_after_fourteen_days(town: SimulatorThread, clock: StillClock) -> None:
    first, channel = day(clock()), town.platform.channels[0]
    send(town, "spring")
    (entry,) = channel.ledger.entries
    for number, who in enumerate(entry.to[:40]):
        town.platform.note(
            entry.request_id, who, entry.at + timedelta(days=14 if number < 20 else 13), channel=channel, url=None
        )
    assert insight(town).get_statistics_per_unit("spring", first, first).overview.unique_impression == 20


def test_a_broadcasts_figures_are_had_by_its_request(town: SimulatorThread, clock: StillClock) -> None:
    answer = line_client(town).broadcast_with_http_info(BroadcastRequest(messages=[TextMessage(text=f"週年慶 {LINK}")]))
    request_id = answer.headers["x-line-request-id"]
    did = live(town, clock, 5)
    found = insight(town).get_message_event(request_id)
    assert (found.overview.delivered, found.overview.unique_impression) == (PEOPLE, len(did[ActionKind.OPEN]))
    assert get(town, "/v2/bot/insight/message/event?requestId=none").status_code == 404


def test_a_narrowcasts_delivered_is_null_until_all_is_sent(town: SimulatorThread, clock: StillClock) -> None:
    answer = line_client(town).narrowcast_with_http_info(NarrowcastRequest(messages=[TextMessage(text="週年慶")]))
    request_id = answer.headers["x-line-request-id"]
    assert insight(town).get_message_event(request_id).overview.delivered is None
    clock.advance(seconds=2)
    assert insight(town).get_message_event(request_id).overview.delivered == PEOPLE


@pytest.mark.parametrize(
    "query",
    [
        "customAggregationUnit=with-hyphen&from=20261102&to=20261102",
        "customAggregationUnit=a&from=20261102&to=20261203",  # 31 days
        "customAggregationUnit=a&from=20261103&to=20261102",
        "customAggregationUnit=a&from=2026&to=20261102",
    ],
)
def test_a_wrong_question_is_refused(server: SimulatorThread, query: str) -> None:
    assert get(server, f"/v2/bot/insight/message/event/aggregation?{query}").status_code == 400


def test_figures_may_be_asked_for_sixty_times_an_hour(serve: MakeServer, clock: StillClock) -> None:
    server = serve(rates=slow_rates(insight_unit=60))
    path = f"/v2/bot/insight/message/event/aggregation?customAggregationUnit=a&from={day(clock())}&to={day(clock())}"
    statuses = [get(server, path).status_code for _ in range(61)]
    assert statuses == [200] * 60 + [429]


def test_a_pressed_button_sends_a_postback(clock: StillClock) -> None:
    people = Population(5, born=clock())
    people.invent(300)
    button = {"type": "postback", "label": "我要", "data": "topic=vitamin"}
    message = {"type": "template", "altText": "買一送一", "template": {"type": "buttons", "actions": [button]}}
    simulator = Simulator(population=people, is_live=False, clock=clock)
    pressed = [
        action
        for who in people.people
        for action in people.react(who, [message], clock())
        if action.kind is ActionKind.PRESS
    ]
    assert len(pressed) > 10
    (event,) = simulator.life.apply(pressed[0])
    assert (event["type"], event["postback"]) == ("postback", {"data": "topic=vitamin"})
