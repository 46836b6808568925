"""Words that stand together far oftener than by chance are a phrase, with an effect on top of theirs."""

from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from keywords.copy.score import score
from keywords.copy.suggestion import terms_within
from keywords.effects.learning import Learning, learn
from keywords.effects.messages import read_messages
from keywords.effects.prediction import Situation
from keywords.report import term_rows
from keywords.text.cuts import cut_texts
from keywords.text.phrases import mine_phrases, phrases_in, texts_with
from keywords.text.tokenizer import shared_tokenizer

PLANTED = ("暖心驚喜", "開箱心得", "玩美日常")
ARTICLES = ("外套", "洗髮精", "口紅", "帳篷", "面膜", "背包", "球鞋", "毛衣", "咖啡", "茶葉", "乳液", "手錶")
VERBS = ("推薦", "登場", "回購", "熱賣", "必備", "補貨")


def lines(rng: np.random.Generator, count: int) -> list[str]:
    """Marketing lines, half of them with a planted phrase, now first, now in the middle, now last."""
    found = []
    for _ in range(count):
        words = [*rng.choice(ARTICLES, 2, replace=False), *rng.choice(VERBS, 1)]
        if rng.random() < 0.5:
            words.insert(int(rng.integers(0, 4)), rng.choice(PLANTED))
        found.append("".join(map(str, words)))
    return found


def test_planted_phrases_are_found_and_nothing_else() -> None:
    found = mine_phrases(cut_texts(lines(np.random.default_rng(5), 600), shared_tokenizer()))
    assert set(found) == set(PLANTED)
    assert all("".join(words) == name for name, words in found.items())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_words_that_only_follow_each_other_by_chance_are_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.permutation(list(ARTICLES))[:4]) for _ in range(800)]
    assert mine_phrases(cut_texts(texts, shared_tokenizer())) == {}


def test_a_part_of_a_longer_phrase_is_none_of_its_own() -> None:
    texts = [f"{before}手作暖心提案{after}" for before, after in product(ARTICLES, VERBS)]
    found = mine_phrases(cut_texts(texts, shared_tokenizer()))
    assert list(found) == ["手作暖心提案"]
    assert len(found["手作暖心提案"]) == 3


def test_rare_ones_words_of_grammar_and_parted_words_are_none() -> None:
    tokenizer = shared_tokenizer()
    rare = [f"{article}暖心驚喜" for article in ARTICLES[:9]]
    parted = [f"{article}暖心,驚喜{verb}" for article, verb in product(ARTICLES, VERBS)]
    grammar = [f"{article}讓你{verb}" for article, verb in product(ARTICLES, VERBS)]
    assert mine_phrases(cut_texts([*rare, *parted, *grammar], tokenizer)) == {}
    assert mine_phrases(cut_texts([], tokenizer)) == {}


def test_one_text_and_many_say_the_same_of_where_a_phrase_stands() -> None:
    texts = lines(np.random.default_rng(8), 200)
    cuts = cut_texts(texts, shared_tokenizer())
    phrases = mine_phrases(cuts)
    by_text = [set[str]() for _ in range(len(cuts))]
    for name, places in zip(phrases, texts_with(cuts, phrases.values()), strict=True):
        for place in places:
            by_text[place].add(name)
    assert any(by_text)
    for place, text in enumerate(texts):
        row = cuts.codes[cuts.ends[place] : cuts.ends[place + 1]]
        assert set(phrases_in([cuts.names[code] for code in row], phrases)) == by_text[place], text


ALONE, TOGETHER = 0.10, 0.50  # log-odds of each word of the phrase, and of the two together on top


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learning:
    """暖心 and 驚喜 each bring a little; side by side much more. 開箱 never stands without 心得 after it."""
    rng = np.random.default_rng(11)
    rows = ["message_id,campaign_id,text,segment,sent_at,recipients,clicks,theme"]
    for i in range(900):
        article, verb = rng.choice(ARTICLES), rng.choice(VERBS)
        kind = (0, 1, 2, 2, 2, 3, 3, 3, 4, 4)[i % 10]
        middle = ("暖心", "驚喜", "暖心驚喜", "", "開箱心得")[kind]
        effect = (ALONE, ALONE, 2 * ALONE + TOGETHER, 0.0, 0.2)[kind]
        text = f"{middle}{article}{verb}" if rng.random() < 0.5 else f"{article}{middle}{verb}"
        rate = 1 / (1 + np.exp(-(-2.5 + effect + rng.normal(0, 0.1))))
        clicks = rng.binomial(8_000, rate)
        rows.append(f"{i},{i},{text},s{i % 3},2026-10-{1 + i % 28:02d} 10:00,8000,{clicks},t")
    path: Path = tmp_path_factory.mktemp("phrases") / "messages.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return learn(read_messages(path, ZoneInfo("Asia/Taipei")), shared_tokenizer())


def test_a_phrase_gets_what_it_adds_to_its_words_and_no_more(learned: Learning) -> None:
    rows = {row.term: row for row in term_rows(learned)}
    phrase = rows["暖心驚喜"]
    assert phrase.words == ("暖心", "驚喜")
    assert phrase.low < TOGETHER < phrase.high
    assert phrase.low > 0.3
    for word in phrase.words:
        assert rows[word].low < ALONE < rows[word].high
        assert rows[word].words == ()


def test_a_word_that_never_stands_without_its_phrase_is_counted_as_the_phrase(learned: Learning) -> None:
    assert "開箱心得" in learned.terms
    assert "開箱" not in learned.terms
    row = next(row for row in term_rows(learned) if row.term == "開箱心得")
    assert abs(row.effect - 0.2) < 0.05


def test_a_texts_terms_hold_its_phrases(learned: Learning) -> None:
    tokenizer = shared_tokenizer()
    assert terms_within("暖心驚喜外套", learned, tokenizer) == ["暖心", "驚喜", "外套", "暖心驚喜"]
    assert terms_within("暖心,驚喜外套", learned, tokenizer) == ["暖心", "驚喜", "外套"]
    assert terms_within("開箱心得", learned, tokenizer) == ["開箱心得"]
    assert terms_within("暖心驚喜", None, tokenizer) == ["暖心", "驚喜"]


def test_a_text_with_the_phrase_is_predicted_higher_than_with_its_words_apart(learned: Learning) -> None:
    tokenizer = shared_tokenizer()
    whole, apart = (
        score(text, learned, tokenizer, Situation()).prediction for text in ("暖心驚喜外套", "暖心,驚喜外套")
    )
    assert whole is not None
    assert apart is not None
    assert TOGETHER - 0.2 < whole.logit - apart.logit < TOGETHER + 0.2
