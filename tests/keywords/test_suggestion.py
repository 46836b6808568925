"""Suggestions for a theme: from the first day, from history, safe and exploring, and never another's discount."""

from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import select
from sqlmodel import Session

from keywords.copy.shown import log_shown, shown_of
from keywords.copy.suggestion import Mode, choose, fitting_terms, room_of, shares_shown, suggest
from keywords.effects.learning import Learning
from keywords.text.lexicon import categories, marketing_words, stop_words
from keywords.text.tokenizer import shared_tokenizer
from store.engine import table_of
from store.models import KeywordSuggestion

RNG = np.random.default_rng


def test_on_the_first_day_the_lexicon_knows_what_fits_a_theme() -> None:
    found = suggest("冬季服飾促銷", None, shared_tokenizer(), RNG(0))
    texts = [s.text for s in found.terms]
    assert texts[:2] == ["羽絨外套", "發熱衣"]  # in both 冬季 and 服飾
    phrases = [s.text for s in found.phrases if not s.is_trial]
    assert phrases[:2] == ["羽絨外套 冬季特賣", "保暖 羽絨外套"]
    assert "羽絨外套 限時下殺" in phrases
    assert all(s.messages == 0 and s.low < 0 < s.high and not s.is_proven for s in found.terms)


def test_history_ranks_what_worked_above_what_did_not_and_adds_its_own_words(history: Learning) -> None:
    found = suggest("冬季服飾", history, shared_tokenizer(), RNG(0), count=30)
    by_text = {s.text: s for s in found.terms}
    texts = list(by_text)
    assert texts[0] == "發熱衣"
    assert by_text["發熱衣"].is_proven
    assert by_text["發熱衣"].messages == 30
    assert texts.index("發熱衣") < texts.index("毛衣")
    assert by_text["手套"].fits_by == "history"  # no lexicon has it
    assert by_text["發熱衣"].fits_by == "lexicon+history"
    assert not {"帳篷", "睡袋", "野炊"} & set(texts)  # another theme's


def test_a_word_of_the_theme_brings_the_words_that_keep_it_company(history: Learning) -> None:
    texts = [s.text for s in suggest("帳篷", history, shared_tokenizer(), RNG(0), count=30).terms]
    assert "野炊" in texts
    assert "手套" not in texts


def test_another_campaigns_discount_is_never_proposed(history: Learning) -> None:
    assert "79折" in history.terms
    texts = [s.text for s in suggest("冬季服飾", history, shared_tokenizer(), RNG(0), count=99).terms]
    assert not [text for text in texts if "79折" in text or ":" in text]


def test_safe_changes_only_in_its_room_and_explore_gives_all_that_is_unproven_its_turn(history: Learning) -> None:
    tokenizer = shared_tokenizer()
    safe = [suggest("冬季服飾", history, tokenizer, RNG(seed)).terms for seed in range(40)]
    assert len({tuple(s.text for s in terms if not s.is_trial) for terms in safe}) == 1
    tried = [[s for s in terms if s.is_trial] for terms in safe]
    assert {len(terms) for terms in safe} == {10}
    assert {len(terms) for terms in tried} == {2}  # one in five
    assert all(s.low <= 0 <= s.high for terms in tried for s in terms)
    assert len({s.text for terms in tried for s in terms}) > 3
    assert [s.is_trial for s in safe[0]] == [False] * 8 + [True] * 2
    first = [suggest("冬季服飾", history, tokenizer, RNG(seed), mode="explore").terms[0] for seed in range(40)]
    assert len({s.text for s in first}) > 5
    assert any(s.messages == 0 for s in first)
    once, again = (suggest("冬季服飾", history, tokenizer, RNG(9), mode="explore") for _ in range(2))
    assert once == again


def test_a_phrase_adds_its_terms_and_takes_its_interval_from_their_covariance(history: Learning) -> None:
    found = suggest("冬季服飾促銷", history, shared_tokenizer(), RNG(0), count=99)
    by_text = {s.text: s for s in found.terms}
    phrase = found.phrases[0]
    article, deal = phrase.text.split(" ")
    assert article == "發熱衣"
    assert phrase.effect == pytest.approx(by_text[article].effect + by_text[deal].effect)
    assert by_text[article].high - by_text[article].low < phrase.high - phrase.low


def test_the_newest_past_messages_stand_behind_a_suggestion_with_what_they_brought(history: Learning) -> None:
    found = suggest("冬季服飾", history, shared_tokenizer(), RNG(0), count=30)
    behind = next(s for s in found.terms if s.text == "發熱衣").behind
    # all of the 26th: the last three of its four messages
    assert [past.text for past in behind] == ["發熱衣 全館 79折", "發熱衣 手套 79折", "發熱衣 滿千送百 79折"]
    rows = np.flatnonzero(np.array(history.messages.texts)[history.messages.text] == behind[0].text)
    assert behind[0].clicks == history.messages.clicks[rows].sum()
    assert behind[0].recipients == 10_000 * len(rows)
    assert all(not s.behind for s in found.terms if s.messages == 0)


def test_the_propensity_is_the_chance_that_the_request_showed_it(history: Learning) -> None:
    tokenizer = shared_tokenizer()
    modes: tuple[Mode, ...] = ("safe", "explore")
    for mode in modes:
        once = suggest("冬季服飾", history, tokenizer, RNG(0), mode=mode, count=5)
        said = {s.text: s.propensity for s in once.terms}
        times = 300
        seen = [
            s.text
            for i in range(times)
            for s in suggest("冬季服飾", history, tokenizer, RNG(1000 + i), mode=mode, count=5).terms
        ]
        for text, propensity in said.items():
            assert 0 < propensity <= 1
            assert seen.count(text) / times == pytest.approx(propensity, abs=0.1)  # over 3 standard errors
        firm = [s.propensity for s in (*once.terms, *once.phrases) if not s.is_trial]
        assert (set(firm) == {1.0}) == (mode == "safe")


def test_shares_shown_add_up_to_the_number_shown() -> None:
    scores = RNG(3).normal(size=(2_000, 12))
    assert shares_shown(scores, 4).sum() == pytest.approx(4)
    assert set(shares_shown(scores, 12)) == {1.0}
    assert set(shares_shown(scores, 0)) == {0.0}


def test_there_is_always_some_room_and_the_best_fill_what_nothing_open_takes() -> None:
    assert [room_of(count, "safe") for count in (1, 2, 5, 10, 30)] == [0, 1, 1, 2, 6]
    assert room_of(5, "explore") == 5
    expected, drawn = (
        np.array([5.0, 4.0, 3.0, 2.0, 1.0]),
        np.array([[0.0, 0.0, 0.0, 1.0, 2.0], [9.0, 9.0, 9.0, 9.0, 0.0]]),
    )
    firm, tried, shown = choose(expected, drawn, np.array([True, False, False, True, True]), 3, 1)
    assert (firm, tried, shown.tolist()) == ([0, 1], [4], [1, 1, 0, 0.5, 0.5])
    firm, tried, shown = choose(expected, drawn, np.zeros(5, dtype=bool), 3, 1)
    assert (firm, tried, shown.tolist()) == ([0, 1, 2], [], [1, 1, 1, 0, 0])
    firm, tried, shown = choose(expected, drawn, np.zeros(5, dtype=bool), 2, 2)  # exploring: whatever is proven
    assert (firm, tried, shown.tolist()) == ([], [4, 3], [0.5, 0.5, 0, 0.5, 0.5])


def test_what_was_shown_is_logged_with_its_terms_and_chance(history: Learning, session: Session) -> None:
    found = suggest("冬季服飾促銷", history, shared_tokenizer(), RNG(2), mode="explore")
    now = datetime(2026, 11, 29, tzinfo=UTC)
    log_shown(session, shown_of(found), theme="冬季服飾促銷", mode="explore", by="anna", now=now)
    rows = session.scalars(select(KeywordSuggestion).order_by(table_of(KeywordSuggestion).c.id)).all()
    assert len(rows) == len(found.terms) + len(found.phrases)
    assert len({row.request_key for row in rows}) == 1
    assert {(row.theme, row.mode, row.made_by, row.made_at) for row in rows} == {
        ("冬季服飾促銷", "explore", "anna", now)
    }
    phrase = next(row for row in rows if row.kind == "phrase")
    assert (phrase.words, phrase.terms) == (found.phrases[0].text, list(found.phrases[0].terms))
    assert all(row.propensity is not None and 0 < row.propensity <= 1 for row in rows)
    assert {row.source for row in rows} <= {"lexicon", "history", "lexicon+history"}


@pytest.mark.parametrize("theme", [category.name for category in categories()])
def test_phrases_are_of_what_is_sold_with_what_is_said_of_it_or_offered_on_it(theme: str) -> None:
    found = fitting_terms(theme, None, shared_tokenizer())
    kinds = {
        text: kind
        for category in categories()
        for kind in ("articles", "qualities", "offers")
        for text in getattr(category, kind)
    }
    assert {kinds[text] for text in found.articles} <= {"articles"}
    assert {kinds[text] for text in found.offers} <= {"offers"}
    assert {kinds[text] for text in found.qualities} <= {"qualities"}
    for one in suggest(theme, None, shared_tokenizer(), RNG(0)).phrases:
        first, second = one.text.split(" ")
        assert (kinds[first], kinds[second]) in {("articles", "offers"), ("qualities", "articles")}


def test_a_theme_that_nobody_knows_gets_no_suggestion(history: Learning) -> None:
    found = suggest("量子力學", history, shared_tokenizer(), RNG(0))
    assert (found.terms, found.phrases) == ([], [])


def test_the_word_lists_are_whole() -> None:
    assert len(marketing_words()) >= 250
    assert len(set(marketing_words())) == len(marketing_words())
    assert all(category.terms for category in categories())
    kinds = [{word for c in categories() for word in getattr(c, kind)} for kind in ("articles", "qualities", "offers")]
    assert sum(map(len, kinds)) == len(set.union(*kinds))  # a word is of one kind wherever it stands
    assert len({category.name for category in categories()}) == len(categories())
    assert all(word == word.lower() for word in stop_words())
