"""When a draft goes out: what the choices of the form come to, and the field at which each mistake is told."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select
from werkzeug.datastructures import MultiDict

from campaigns.planning.recurrence import canonical
from campaigns.planning.triggers import read_trigger
from campaigns.planning.workdays import Workdays
from console.campaigns.draft_when import EVENTS, EVERY, ON_HOLIDAYS, WORDS, read_when, trigger_of, when_of
from console.words.catalog import english
from console.words.names import EVENT_WORDS, EVERY_WORDS, HOLIDAY_CHOICES
from store.engine import reading, transaction
from store.models import Campaign, Tag
from tests.console.conftest import TAIPEI, page, send
from tests.console.test_drafts import begin, checked, people, step, write

__all__ = ["people"]
NOW = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)


def values_of(**fields: Any) -> dict[str, Any]:
    """What a draft holds after its form was sent."""
    values: dict[str, Any] = {}
    read_when(values, MultiDict(fields))
    return values


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"every": "day", "clock": "9:30"}, "每天 09:30"),
        ({"every": "workday"}, "每個工作日 10:00"),
        ({"every": "week", "weekdays": ["日", "一"], "on_holiday": "skip"}, "每週一、日 10:00，遇假日跳過"),
        ({"every": "month", "month_days": "20, 5", "on_holiday": "next"}, "每月 5、20 日 10:00，遇假日順延"),
        ({"every": "month_end", "on_holiday": "before"}, "每月最後一天 10:00，遇假日提前"),
        ({"every": "first_workday"}, "每月第一個工作日 10:00"),
        ({"every": "last_workday"}, "每月最後一個工作日 10:00"),
        ({"every": WORDS, "recurs": "every second Monday at 10:00"}, "每 2 週的週一 10:00，自 2026-11-02 起"),
    ],
)
def test_choices_come_to_a_recurrence_that_planning_reads(fields: dict[str, Any], kept: str) -> None:
    _, recurs = when_of(values_of(kind="recurs", **fields), zone=TAIPEI, now=NOW)
    assert recurs is not None
    assert canonical(recurs, workdays=Workdays(), zone=TAIPEI, now=NOW) == kept


@pytest.mark.parametrize(
    ("fields", "trigger"),
    [
        (
            {"event": "segment", "move_from": "nesl=E", "move_to": "nesl=S1"},
            {"on": "segment", "model": "nesl", "from": ["E"], "to": ["S1"]},
        ),
        (
            {"event": "segment", "move_to": "rf11=at_risk"},
            {"on": "segment", "model": "rf11", "from": None, "to": ["at_risk"]},
        ),
        ({"event": "tag", "tag": "VIP"}, {"on": "tag", "name": "VIP"}),
        ({"event": "click", "topic": "維他命"}, {"on": "click", "topics": ["維他命"], "campaigns": None}),
        ({"event": "click"}, {"on": "click", "topics": None, "campaigns": None}),
        ({"event": "purchase", "days_after": "30"}, {"on": "purchase", "days": 30}),
        ({"event": "cart_left", "hours": "4"}, {"on": "cart_left", "hours": 4}),
        ({"event": "birthday", "event_clock": "9:00"}, {"on": "birthday", "days_before": 7, "at": "09:00"}),
        (
            {"event": "coupon_ends", "days_before": "3"},
            {"on": "coupon_ends", "days_before": 3, "attribute": "coupon_until", "at": "10:00"},
        ),
        ({"event": WORDS, "trigger": "生日"}, {"on": "birthday", "days_before": 0, "at": "10:00"}),
    ],
)
def test_choices_come_to_a_trigger_that_planning_reads(fields: dict[str, Any], trigger: dict[str, Any]) -> None:
    given = trigger_of(values_of(kind="trigger", **fields))
    assert given is not None
    assert read_trigger(given) == read_trigger(trigger)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"kind": "at", "at": "2020-01-01T10:00"}, "at", "發送時間已經過了"),
        ({"kind": "recurs", "every": "week"}, "weekdays", "星期幾"),
        ({"kind": "recurs", "every": "day", "clock": "25:00"}, "clock", "時間要像"),
        ({"kind": "recurs", "every": "month", "month_days": "five"}, "month_days", "幾號"),
        ({"kind": "recurs", "every": "month", "month_days": "32"}, "month_days", "還不能發送"),
        ({"kind": "recurs", "every": "words", "recurs": "0 10 30 2 *"}, "recurs", "永遠不會到"),
        ({"kind": "trigger", "event": "segment"}, "move_to", "請選離開或進入"),
        (
            {"kind": "trigger", "event": "segment", "move_from": "nesl=E", "move_to": "rf11=lost"},
            *("move_to", "同一個模型"),
        ),
        ({"kind": "trigger", "event": "tag"}, "tag", "請選一個標籤"),
        ({"kind": "trigger", "event": "tag", "tag": "沒有的"}, "tag", "沒有的"),
        ({"kind": "trigger", "event": "purchase", "days_after": "soon"}, "days_after", "整數"),
        ({"kind": "trigger", "event": "cart_left", "hours": "999"}, "hours", "還不能發送"),
        ({"kind": "trigger", "event": "birthday", "event_clock": "noon"}, "event_clock", "時間要像"),
        ({"kind": "trigger", "event": "words", "trigger": "天氣冷"}, "trigger", "不是看得懂的觸發事件"),
    ],
)
def test_a_mistake_is_told_at_its_field(
    client: FlaskClient, people: None, fields: dict[str, Any], field: str, words: str
) -> None:
    draft = begin(client)
    write(client, draft)
    assert step(client, draft, "when", **fields).status_code == 303
    answer = client.get(f"{draft}/check")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    marked = re.findall(r'name="([a-z_]+)"[^>]*aria-invalid="true"', text)
    assert set(marked) == {field}
    told = re.search(f'id="wrong-{field}">([^<]*)<', text)
    assert told is not None
    assert words in told[1]


def test_a_recurring_and_a_triggered_campaign_are_made_in_the_console(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    with transaction(engine) as session:
        session.add(Tag(name="VIP", created_at=NOW))
    for fields in (
        {"kind": "recurs", "every": "week", "weekdays": ["四"], "clock": "12:00"},
        {"kind": "trigger", "event": "tag", "tag": "VIP"},
    ):
        draft = begin(client)
        write(client, draft)
        step(client, draft, "when", **fields)
        assert send(client, f"{draft}/send", version=checked(client, draft)).status_code == 303
    with reading(engine) as session:
        weekly, listening = session.scalars(select(Campaign).order_by(Campaign.id)).all()  # type: ignore[arg-type]
    assert (weekly.state, weekly.recurs) == ("scheduled", "每週四 12:00")
    assert weekly.next_fire_at == datetime(2026, 11, 5, 4, 0, tzinfo=UTC)
    assert (listening.state, listening.trigger) == ("scheduled", {"on": "tag", "name": "VIP"})
    text = page(client, "/console/automations")
    assert "每週四 12:00" in text
    assert "當顧客被貼上標籤「VIP」" in text


def test_a_draft_begun_as_recurring_or_on_an_event_opens_at_that(client: FlaskClient) -> None:
    for kind in ("recurs", "trigger"):
        assert f'value="{kind}" checked' in page(client, f"/console/campaigns/new?kind={kind}")
        answer = send(client, "/console/campaigns/new", name="自動的", kind=kind)
        text = page(client, str(answer.location).replace("/who", "/when"))
        assert re.search(f'name="kind" value="{kind}" checked', text)


def test_a_draft_from_before_there_were_choices_keeps_its_words() -> None:
    values = {"when": {"kind": "recurs", "at": "", "recurs": "0 10 * * 1", "trigger": "tag:VIP"}}
    assert when_of(values, zone=TAIPEI, now=NOW) == (None, "0 10 * * 1")
    values["when"]["kind"] = "trigger"
    assert trigger_of(values) == "tag:VIP"


def test_every_choice_has_words_in_both_languages() -> None:
    assert set(EVERY_WORDS) == {*EVERY, WORDS}
    assert set(EVENT_WORDS) == {*EVENTS, WORDS}
    assert set(HOLIDAY_CHOICES) == set(ON_HOLIDAYS)
    for words in (EVERY_WORDS, EVENT_WORDS, HOLIDAY_CHOICES):
        assert set(words.values()) <= set(english())
