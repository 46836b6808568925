"""How versions compete, in the editor: what is stored, what is refused and at which field, and what is told before."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from campaigns.planning.about import about
from console.campaigns.draft_experiment import CHOICES, OUTCOMES
from console.campaigns.draft_store import PLACES, place_of_error
from console.words.catalog import english
from console.words.names import OUTCOME_WORDS, WINNER_WORDS
from console.words.refusals import told
from store.engine import reading
from store.errors import BadInput
from store.models import Campaign
from tests.console.conftest import page
from tests.console.test_drafts import TEXT, begin, checked, people, step, write

__all__ = ["people"]
TWO = {"v1-m0-kind": "text", "v1-m0-text": TEXT + "?b"}
POLICY = {"way": "push", "holdout": "0", "priority": "0", "reply_first_hours": ""}
THOMPSON = {"choice": "thompson", "outcome": "clicks", "waves": "4", "wait_hours": "2", "deadline_hours": "12"}


def test_a_fixed_split_is_no_experiment_and_a_winners_rule_is_stored(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    draft = begin(client)
    write(client, draft, **TWO)
    checked(client, draft)
    with reading(engine) as session:
        assert session.scalars(select(Campaign)).one().experiment is None
    for rule, wanted in (
        (THOMPSON, {"choice": "thompson", "outcome": "clicks", "waves": 4}),
        (
            {**THOMPSON, "choice": "test_then_winner"},
            {"choice": "test_then_winner", "outcome": "clicks", "test_percent": 20},
        ),
    ):
        step(client, draft, "policy", **POLICY, **rule)
        checked(client, draft)
        with reading(engine) as session:
            made = session.scalars(select(Campaign)).one().experiment
        assert made == {**wanted, "wait_minutes": 120, "deadline_minutes": 720}
    assert re.search(r'name="choice" value="test_then_winner" checked', page(client, f"{draft}/policy"))


def test_expected_gain_chooses_half_of_the_people_if_asked_for(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    draft = begin(client)
    write(client, draft, **TWO)
    half = {**POLICY, "holdout": "10", "learned": "on"}
    for rule, wanted in (({"choice": "fixed"}, {}), (THOMPSON, {"choice": "thompson", "waves": 4})):
        step(client, draft, "policy", **half, **rule)
        assert re.search(r'name="learned" value="on" checked', page(client, f"{draft}/policy"))
        assert "一半的人改由預期增益來選" in page(client, f"{draft}/check")
        with reading(engine) as session:
            made = session.scalars(select(Campaign)).one().experiment
        assert {key: (made or {}).get(key) for key in (*wanted, "learned_targeting")} == {
            **wanted,
            "learned_targeting": True,
        }
    step(client, draft, "policy", **{**half, "holdout": "0"})
    answer = client.get(f"{draft}/check")
    assert answer.status_code == 200
    text = answer.get_data(as_text=True)
    assert "沒有對照組就比不出" in text
    assert re.search(r'name="holdout"[^>]*aria-invalid', text)
    step(client, draft, "policy", **{**half, "learned": ""})
    assert "一半的人改由預期增益來選" not in page(client, f"{draft}/check")


@pytest.mark.parametrize(
    ("rule", "field", "words"),
    [
        ({"waves": "1"}, "waves", "不在可以填的範圍"),
        ({"waves": "many"}, "waves", "不在可以填的範圍"),
        ({"choice": "test_then_winner", "test_percent": "99"}, "test_percent", "不在可以填的範圍"),
        ({"wait_hours": "13"}, "deadline_hours", "期限要晚於"),
        ({"deadline_hours": "99999"}, "deadline_hours", "不在可以填的範圍"),
    ],
)
def test_a_wrong_rule_is_told_at_its_field(
    client: FlaskClient, people: None, rule: dict[str, Any], field: str, words: str
) -> None:
    draft = begin(client)
    write(client, draft, **TWO)
    step(client, draft, "policy", **{**POLICY, **THOMPSON, **rule})
    answer = client.get(f"{draft}/check")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert 'aria-current="step">5' in text
    assert words in text
    assert re.search(rf'name="{field}"[^>]*aria-invalid', text)


def test_a_winner_needs_two_versions_and_something_to_tap(client: FlaskClient, people: None) -> None:
    draft = begin(client)
    write(client, draft)
    step(client, draft, "policy", **POLICY, **THOMPSON)
    assert "至少要有兩個版本" in client.get(f"{draft}/check").get_data(as_text=True)
    plain = {"v0-m0-kind": "text", "v0-m0-text": "甲", "v1-m0-kind": "text", "v1-m0-text": "乙"}
    step(client, draft, "what", **plain)
    text = client.get(f"{draft}/check").get_data(as_text=True)
    assert "沒有可以點的東西" in text
    assert 'aria-current="step">5' in text


def test_what_an_experiment_takes_is_told_before(client: FlaskClient, people: None) -> None:
    draft = begin(client)
    write(client, draft, **TWO)
    step(client, draft, "policy", **POLICY, **THOMPSON)
    assert "再檢查一次" in page(client, f"{draft}/experiment")
    assert f"{draft}/experiment" in page(client, f"{draft}/check")
    assert "請寫出您預期的比率" in page(client, f"{draft}/experiment")  # nothing was sent before
    text = page(client, f"{draft}/experiment?baseline=40&difference=30")
    assert "人數不足" in text  # four people
    assert "看不出" in text
    assert "人數不足" in page(client, f"{draft}/experiment?baseline=４０．５&difference=３０")
    assert "請寫大於 0" in page(client, f"{draft}/experiment?baseline=x")
    part = client.get(f"{draft}/experiment?baseline=40", headers={"HX-Request": "true"}).get_data(as_text=True)
    assert "<html" not in part


def test_every_choice_has_words_in_both_languages() -> None:
    assert set(WINNER_WORDS) == set(CHOICES)
    assert set(OUTCOME_WORDS) == set(OUTCOMES)
    assert all(words in english() for words in (*WINNER_WORDS.values(), *OUTCOME_WORDS.values()))


@pytest.mark.parametrize("part", PLACES)
def test_an_error_leads_to_the_step_of_its_part_whatever_its_words(part: Any) -> None:
    with pytest.raises(BadInput) as caught, about("audience"), about(part):
        raise BadInput("a time that recurs, with a trigger, a holdout and a way")
    assert caught.value.part == part
    assert place_of_error(caught.value) == PLACES[part]


def test_what_an_experiment_is_refused_for_is_told_in_chinese() -> None:
    for words in (
        "past runs let no clicks be expected: say the rate you expect (--baseline)",
        "no run of the past: say the rate you expect (--baseline)",
        "a push's links tell not who tapped: let orders decide, or send by push",
        "a winner is learned inside one run of an audience: in a campaign of one step",
        "learned targeting chooses among an audience: a campaign that people enter one by one has none",
        "learned targeting runs against an audience: in a campaign of one step",
    ):
        assert told(BadInput(words), "zh") != words
