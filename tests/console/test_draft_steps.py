"""Sequences written in the editor: steps, waits, conditions and goal, and the field at which a mistake is told."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from campaigns.planning.schedule import variants_of
from campaigns.settings import change_settings
from console.access.roles import Role
from console.campaigns.draft_steps import DIDS, GOALS, MOST_STEPS, UNITS
from console.words.catalog import english
from console.words.names import DID_WORDS, UNIT_WORDS
from segmentation.rules.saved import save_rule
from store.engine import reading, table_of, transaction
from store.models import Campaign, CampaignStep, TrackedLink
from tests.conftest import StillClock
from tests.console.conftest import page, send, sign_in
from tests.console.test_drafts import LINK, begin, checked, people, step, write

__all__ = ["people"]
SECOND = {"place": "1", "v0-m0-kind": "text", "v0-m0-text": "還在考慮嗎？ https://shop.example/again"}
THEN = {"s0-wait": "3", "s0-unit": "days", "s0-condition": "not clicked", "goal": "bought"}


def write_two_steps(client: FlaskClient, draft: str, **more: Any) -> None:
    """A draft of two messages, ready to be checked."""
    write(client, draft)
    assert step(client, draft, "then", press="add-step").location.endswith("/then")
    assert step(client, draft, "then", press="content-1", **{**THEN, **more}).location.endswith("/what?place=1")
    assert step(client, draft, "what", theme="冬季", **SECOND).location.endswith("/then")


def test_a_sequence_is_written_checked_and_scheduled(client: FlaskClient, engine: Engine, people: None) -> None:
    draft = begin(client)
    write_two_steps(client, draft)
    text = page(client, f"{draft}/check")
    assert "3 天後，沒有點擊連結的人" in text
    assert "購買了" in text
    send(client, f"{draft}/send", version=checked(client, draft))
    with reading(engine) as session:
        made = session.scalars(select(Campaign)).one()
        steps = session.scalars(select(CampaignStep).order_by(table_of(CampaignStep).c.step_number)).all()
        said = [one.messages[0]["text"] for one in variants_of(session, made.id or 0)]
        links = set(session.scalars(select(table_of(TrackedLink).c.url)))
    assert (made.state, made.goal) == ("scheduled", {"did": "buy", "is": True})
    assert [(one.wait_minutes, one.condition) for one in steps] == [
        (0, None),
        (3 * 24 * 60, {"did": "click", "is": False}),
    ]
    assert said[1] == SECOND["v0-m0-text"]
    assert links == {LINK, "https://shop.example/again"}
    assert "3 天後，沒有點擊連結的人" in page(client, "/console/automations")


def test_an_event_lets_the_first_step_wait_and_ask_too(client: FlaskClient, engine: Engine, people: None) -> None:
    draft = begin(client)
    write(client, draft)
    assert 'name="first-wait"' not in page(client, f"{draft}/then")
    step(client, draft, "when", kind="trigger", event="birthday")
    assert 'name="first-wait"' in page(client, f"{draft}/then")
    first = {"first-wait": "2", "first-unit": "hours", "first-condition": "not bought"}
    step(client, draft, "then", **first)
    assert send(client, f"{draft}/send", version=checked(client, draft)).status_code == 303
    with reading(engine) as session:
        one = session.scalars(select(CampaignStep)).one()
    assert (one.wait_minutes, one.condition) == (120, {"did": "buy", "is": False})


def test_a_saved_rule_may_be_a_condition_and_the_goal(
    client: FlaskClient, engine: Engine, clock: StillClock, people: None
) -> None:
    with transaction(engine) as session:
        save_rule(session, "台北人", {"type": "attribute", "name": "city", "is": "台北"}, clock(), actor="me")
    draft = begin(client)
    write_two_steps(client, draft, **{"s0-condition": "rule:台北人", "goal": "rule:台北人"})
    assert '<option value="rule:台北人" selected>' in page(client, f"{draft}/then")
    send(client, f"{draft}/send", version=checked(client, draft))
    with reading(engine) as session:
        assert session.scalars(select(Campaign)).one().goal == {"type": "rule", "name": "台北人"}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"s0-wait": ""}, "s0-wait", "整數"),
        ({"s0-wait": "-1"}, "s0-wait", "整數"),
        ({"s0-wait": "367", "s0-unit": "days"}, "s0-wait", "最多等一年"),
        ({"s0-condition": "rule:沒有的"}, "s0-condition", "沒有的"),
        ({"goal": "rule:沒有的"}, "goal", "沒有的"),
        ({"goal": "perhaps"}, "goal", "不是看得懂的條件"),
    ],
)
def test_a_mistake_is_told_at_its_field(
    client: FlaskClient, people: None, fields: dict[str, str], field: str, words: str
) -> None:
    draft = begin(client)
    write_two_steps(client, draft, **fields)
    answer = client.get(f"{draft}/check")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert 'aria-current="step">4 後續<' in text
    assert re.findall(r'name="([a-z0-9-]+)"[^>]*aria-invalid="true"', text) == [field]
    told = re.search(f'id="wrong-{field}">([^<]*)<', text)
    assert told is not None
    assert words in told[1]


def test_wrong_content_of_a_later_step_opens_that_step_and_a_narrowcast_takes_none(
    client: FlaskClient, people: None
) -> None:
    draft = begin(client)
    write_two_steps(client, draft)
    step(client, draft, "what", **{**SECOND, "v0-m0-text": ""})
    text = client.get(f"{draft}/check").get_data(as_text=True)
    assert 'name="place" value="1"' in text
    assert re.search(r'place=1" aria-current="page">第 2 步', text)
    step(client, draft, "what", **SECOND)
    step(client, draft, "policy", way="narrowcast", holdout="5", priority="0", reply_first_hours="")
    text = client.get(f"{draft}/check").get_data(as_text=True)
    assert "不能分成幾步" in text
    assert 'aria-current="step">5 發送規則<' in text


def test_steps_are_added_and_removed_each_with_its_own_content(client: FlaskClient, people: None) -> None:
    draft = begin(client)
    write_two_steps(client, draft)
    step(client, draft, "then", press="add-step", **THEN)
    third = {"place": "2", "v0-m0-kind": "text", "v0-m0-text": "最後一次"}
    step(client, draft, "what", **third)
    assert "還在考慮嗎" in page(client, f"{draft}/what?place=1")
    assert "最後一次" in page(client, f"{draft}/what?place=2")
    assert "羽絨外套" in page(client, f"{draft}/what")
    seen = send(client, f"{draft}/preview", **third).get_data(as_text=True)
    assert "最後一次" in seen
    step(client, draft, "then", press="drop-step-0")
    assert "最後一次" in page(client, f"{draft}/what?place=1")
    assert client.get(f"{draft}/what?place=2").status_code == 404
    assert send(client, f"{draft}/what", **third).status_code == 404  # gone meanwhile: nothing else is overwritten
    for _ in range(MOST_STEPS):
        step(client, draft, "then", press="add-step")
    text = page(client, f"{draft}/then")
    assert text.count("-condition") >= MOST_STEPS
    assert 'value="add-step"' not in text


def test_a_sequence_waits_for_a_second_person_where_the_brand_says_so(
    client: FlaskClient, engine: Engine, clock: StillClock, people: None
) -> None:
    with transaction(engine) as session:
        change_settings(session, {"needs_approval": True}, actor="t", now=clock())
    draft = begin(client)
    write_two_steps(client, draft)
    send(client, f"{draft}/send", version=checked(client, draft))
    step(client, draft, "then", **{**THEN, "s0-wait": "5"})  # a changed wait has to be approved as well
    other = sign_in(client.application.test_client(), engine, clock, Role.MARKETER)
    assert "核准並排程" not in page(other, f"{draft}/check")
    send(client, f"{draft}/send", version=checked(client, draft))
    assert "5 天後" in page(other, f"{draft}/check")
    send(other, f"{draft}/send", version=checked(other, draft))
    with reading(engine) as session:
        assert session.scalars(select(Campaign)).one().state == "scheduled"


def test_a_draft_begun_in_steps_has_a_second_one(client: FlaskClient) -> None:
    answer = send(client, "/console/campaigns/new", name="三步的", kind="steps")
    assert 'name="s0-wait" min="0" step="1" value="3"' in page(client, str(answer.location).replace("/who", "/then"))


def test_every_choice_has_words_in_both_languages() -> None:
    assert {*DIDS, *GOALS, ""} == set(DID_WORDS)
    assert set(UNITS) == set(UNIT_WORDS)
    assert {*DID_WORDS.values(), *UNIT_WORDS.values()} <= set(english())
