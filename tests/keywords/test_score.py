"""Score my copy: what carries and costs, what is unknown, and what to try instead."""

import pytest

from keywords.copy.facts import Given, invented
from keywords.copy.score import roles_of, score
from keywords.effects.learning import Learning
from keywords.effects.prediction import Situation, ground_of, joint_of
from keywords.text.tokenizer import shared_tokenizer

NOON = Situation(segment="s1", theme="冬季服飾", hour=10)


def test_each_word_says_whether_it_carries_costs_or_is_unknown(history: Learning) -> None:
    found = score("毛衣 帳篷 羊駝披肩 79折", history, shared_tokenizer(), NOON)
    by_term = {part.term: part for part in found.parts}
    assert by_term["毛衣"].verdict == "costs"
    assert by_term["帳篷"].verdict == "carries"
    assert by_term["79折"].verdict == "open"
    assert by_term["羊駝"].verdict == "unknown"
    assert by_term["羊駝"].messages == 0
    assert by_term["毛衣"].high < 0 < by_term["帳篷"].low


def test_the_prediction_is_that_of_the_joint_posterior_for_the_situation(history: Learning) -> None:
    found = score("發熱衣 79折", history, shared_tokenizer(), NOON)
    joint = joint_of(ground_of(history), ["發熱衣", "79折"], NOON)
    assert found.prediction is not None
    assert vars(found.prediction) == pytest.approx(vars(joint.predict([["發熱衣", "79折"]])[0]))
    assert 0.06 < found.prediction.rate < 0.11  # 8 in 100 tapped where it was used
    assert score("毛衣 79折", history, shared_tokenizer(), NOON).prediction.rate < 0.065  # type: ignore[union-attr]


def test_a_word_that_costs_gets_a_replacement_of_its_kind_with_the_gain(history: Learning) -> None:
    found = score("毛衣 79折", history, shared_tokenizer(), NOON)
    first = found.replacements[0]
    assert (first.term, first.by) == ("毛衣", "發熱衣")  # both articles of winter; 帳篷 is none
    assert 0 < first.low < first.gain < first.high
    assert {one.term for one in found.replacements} == {"毛衣"}  # nothing stands in for the discount that was given
    better = score("發熱衣 79折", history, shared_tokenizer(), NOON)
    assert better.prediction is not None
    assert found.prediction is not None
    assert better.prediction.logit - found.prediction.logit == pytest.approx(first.gain)


def test_a_replacement_promises_nothing_that_the_text_does_not(history: Learning) -> None:
    assert "滿千送百" in history.terms
    found = score("限時下殺 毛衣", history, shared_tokenizer(), NOON)
    assert "滿千送百" not in {one.by for one in found.replacements}


def test_what_of_the_situation_is_new_is_said(history: Learning) -> None:
    found = score("發熱衣", history, shared_tokenizer(), Situation(segment="vip", theme="清倉"))
    assert found.unseen == ("segment", "theme")


def test_with_nothing_learned_every_word_is_unknown() -> None:
    found = score("發熱衣 79折", None, shared_tokenizer(), NOON)
    assert found.prediction is None
    assert {part.verdict for part in found.parts} == {"unknown"}
    assert found.replacements == []


def test_a_text_without_words_is_scored_by_its_situation_alone(history: Learning) -> None:
    found = score("！！", history, shared_tokenizer(), NOON)
    assert found.parts == []
    assert found.prediction is not None


def test_roles() -> None:
    tokenizer = shared_tokenizer()
    assert roles_of("立即選購", tokenizer) == {"call"}
    assert roles_of("🎉", tokenizer) == {"emoji"}
    assert {"冬季 articles", "服飾 articles"} <= roles_of("羽絨外套", tokenizer)
    assert not roles_of("羽絨外套", tokenizer) & roles_of("保暖", tokenizer)  # one is sold, the other said of it
    assert roles_of("79折", tokenizer) == roles_of("羊駝披肩", tokenizer) == frozenset()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("羽絨外套 79折", ["79折"]),
        ("羽絨外套只要 NT$990", ["NT$990"]),
        ("第二件半價", ["第二件", "半價"]),
        ("12/31 截止", ["12/31", "截止"]),
        ("買兩件送一件", ["買兩件送一件"]),
        ("今晚開搶", ["今晚", "開搶"]),
        ("限量發售", ["限量發售"]),
        ("全館免運", ["免運"]),
        ("平價外送，毛衣必備", []),
        ("挑兩件帶走", ["兩件"]),
        ("新品上市 {{ name }}", ["新品上市"]),
    ],
)
def test_what_nobody_gave_is_found(line: str, found: list[str]) -> None:
    said = invented(line, Given(shared_tokenizer(), "服飾"))
    assert all(any(want in part or part in want for part in said) for want in found), said
    assert bool(said) == bool(found), said


def test_what_was_given_may_be_said_and_an_offer_allows_words_of_price() -> None:
    given = Given(shared_tokenizer(), "服飾", offers=("全館79折", "12/31前", "滿千免運"))
    assert invented("限時下殺！全館79折，滿千免運，12/31前最後倒數", given) == []
    assert invented("全館七九折", given) != []  # the literal that was given, or none
    assert invented("限量79折", given) != []
    assert invented("限時下殺", Given(shared_tokenizer(), "冬季服飾促銷")) == []  # the theme says that there is one
    assert invented("限時下殺", Given(shared_tokenizer(), "冬季服飾")) != []
