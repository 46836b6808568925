"""Suggestions for a theme: from the first day, from history, safe and exploring, and never another's discount."""

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from keywords.copy.suggestion import suggest
from keywords.effects.learning import Learning, learn
from keywords.effects.messages import read_messages
from keywords.text.lexicon import categories, marketing_words, stop_words
from keywords.text.tokenizer import shared_tokenizer

RNG = np.random.default_rng


@pytest.fixture
def history(tmp_path: Path) -> Learning:
    """Winter messages where 發熱衣 works and 毛衣 doesn't; camping words only in camping messages."""
    rows = ["message_id,campaign_id,text,segment,sent_at,recipients,clicks,theme"]
    for i in range(120):
        works, second = i % 2, i % 3
        if i % 4 < 2:
            text, theme = f"{'發熱衣' if works else '毛衣'} {['手套', '全館', '滿千送百'][second]} 79折", "冬季服飾"
        else:
            text, theme = f"{'帳篷' if works else '睡袋'} {['野炊', '全館', '滿千送百'][second]}", "露營"
        clicks = 500 + 300 * works + 10 * (i % 7)
        rows.append(f"{i},{i},{text},s{i % 5},2026-11-{1 + i % 28:02d} 10:00,10000,{clicks},{theme}")
    path = tmp_path / "history.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return learn(read_messages(path, ZoneInfo("Asia/Taipei")), shared_tokenizer())


def test_on_the_first_day_the_lexicon_knows_what_fits_a_theme() -> None:
    found = suggest("冬季服飾促銷", None, shared_tokenizer(), RNG(0))
    texts = [s.text for s in found.terms]
    assert texts[:2] == ["羽絨外套", "發熱衣"]  # in both 冬季 and 服飾
    assert "羽絨外套 限時下殺" in [s.text for s in found.phrases]
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


def test_safe_never_changes_and_explore_gives_the_unproven_their_turn(history: Learning) -> None:
    tokenizer = shared_tokenizer()
    assert suggest("冬季服飾", history, tokenizer, RNG(1)) == suggest("冬季服飾", history, tokenizer, RNG(2))
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


def test_a_theme_that_nobody_knows_gets_no_suggestion(history: Learning) -> None:
    found = suggest("量子力學", history, shared_tokenizer(), RNG(0))
    assert (found.terms, found.phrases) == ([], [])


def test_the_word_lists_are_whole() -> None:
    assert len(marketing_words()) >= 250
    assert len(set(marketing_words())) == len(marketing_words())
    assert all(category.terms for category in categories())
    assert len({category.name for category in categories()}) == len(categories())
    assert all(word == word.lower() for word in stop_words())
