"""Whole lines: at least five, different, scored, in the forms and lengths, and never a fact that nobody gave."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given as given_examples
from hypothesis import settings
from hypothesis import strategies as st

from keywords.copy.compose import AT_LEAST, Line, Wanted, compose, judge_written
from keywords.copy.data import FORMS, slot_words, templates
from keywords.copy.facts import FACT_KINDS, Given
from keywords.copy.judging import Ground, claims_in, notices, refusal, utf16_units
from keywords.copy.recent import SentText, letter_pairs
from keywords.copy.score import score
from keywords.copy.settings import CopySettings, settings_from
from keywords.effects.learning import Learning
from keywords.effects.prediction import Situation
from keywords.text.lexicon import categories
from keywords.text.patterns import Kind
from keywords.text.tokenizer import shared_tokenizer
from keywords.text.vocabulary import terms_of
from store.errors import BadInput

RNG = np.random.default_rng
NOON = Situation(segment="s1", theme="冬季服飾", hour=10)
THEMES = [
    "冬季服飾促銷",
    "雙11 for 小資客",
    "母親節美妝",
    "露營",
    "量子力學",
    "新品上市",
    "週年慶",
    *(c.name for c in categories()),
]
OFFERS = [
    "全館79折",
    "滿千送百",
    "NT$990 起",
    "第二件6折",
    "12/31前",
    "限量200組",
    "免運",
    "買一送一",
    "只到週日",
    "三天限定",
]


def ground(
    theme: str = "冬季服飾", *, offers: tuple[str, ...] = (), products: tuple[str, ...] = (), **rules: object
) -> Ground:
    return Ground(Given(shared_tokenizer(), theme, offers, products), CopySettings.model_validate(rules))


def lines_for(
    where: Ground, learning: Learning | None = None, *, form: str = "message", seed: int = 0, **asked: object
) -> list[Line]:
    wanted = Wanted(Situation(segment="s1", theme=where.given.theme, hour=10), form, **asked)  # type: ignore[arg-type]
    return compose(wanted, learning, where, RNG(seed))


@settings(max_examples=60, deadline=None)
@given_examples(
    theme=st.sampled_from(THEMES),
    offers=st.lists(st.sampled_from(OFFERS), max_size=3, unique=True),
    products=st.lists(st.sampled_from(["羽絨外套", "玻尿酸面膜 5入", "LINE Pay 錢包"]), max_size=2, unique=True),
    form=st.sampled_from(FORMS),
    seed=st.integers(0, 9),
)
def test_every_fact_of_a_line_is_the_marketers(
    theme: str, offers: list[str], products: list[str], form: str, seed: int
) -> None:
    roomy = {f"{form}_units": 400}  # where all offers fit
    where = ground(theme, offers=tuple(offers), products=tuple(products), **roomy)
    tokenizer = where.tokenizer
    typed = FACT_KINDS | {Kind.EMOJI, Kind.FIELD}
    given = {t.term for part in (theme, *offers, *products) for t in tokenizer.tokenize(part) if t.kind in typed}
    for line in lines_for(where, form=form, seed=seed, mode="explore"):
        assert {t.term for t in tokenizer.tokenize(line.text) if t.kind in typed} <= given
        assert all(offer in line.text for offer in offers)  # whole, with their conditions
        # words that promise: none but where the marketer wrote them
        for word in ("免運", "買一送一", "滿千送百", "限量", "折價券", "滿額", "新登場", "倒數", "最後", "週日"):
            assert (
                word not in line.text
                or any(word in part or part in word for part in (theme, *offers))
                or (word in ("倒數", "最後") and any("12/31" in o or "雙11" in theme for o in [*offers, theme]))
            )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("theme", ["冬季服飾促銷", "露營", "量子力學"])
def test_five_different_lines_come_on_the_first_day(form: str, theme: str) -> None:
    for offers in ((), ("全館79折", "12/31前")):
        lines = lines_for(ground(theme, offers=offers), form=form)
        assert len(lines) == AT_LEAST
        assert len({line.text for line in lines}) == AT_LEAST
        assert all(line.prediction is None and line.units == utf16_units(line.text) for line in lines)
        assert all(line.units <= CopySettings().units(form) for line in lines)
    assert any("【" in line.text for line in lines) == (form in ("message", "headline"))


def test_each_line_is_predicted_as_score_my_copy_would(history: Learning) -> None:
    lines = lines_for(ground("冬季服飾", offers=("79折",)), history, count=6)
    assert len(lines) == 6
    for line in lines:
        again = score(line.text, history, shared_tokenizer(), NOON)
        assert again.prediction == line.prediction
        assert again.parts == line.parts
        assert "79折" in line.terms
    assert lines[0].prediction is not None
    assert "發熱衣" in lines[0].text  # what works stands in the best one
    rates = [line.prediction.rate for line in lines if line.prediction and not line.is_trial]
    assert len(rates) == 5
    assert rates == sorted(rates, reverse=True)


def test_safe_lines_change_only_in_their_room_and_all_carry_their_chance(history: Learning) -> None:
    where = ground("冬季服飾", offers=("79折",))
    safe = [lines_for(where, history, seed=seed) for seed in range(60)]
    assert len({tuple(line.text for line in lines if not line.is_trial) for lines in safe}) == 1
    assert {tuple(line.is_trial for line in lines) for lines in safe} == {(False,) * 4 + (True,)}
    assert {line.propensity for lines in safe for line in lines if not line.is_trial} == {1.0}
    trials = [lines[-1] for lines in safe]
    assert all(any(part.low <= 0 <= part.high for part in line.parts) for line in trials)
    assert len({line.text for line in trials}) > 10
    assert all(line.propensity is not None and 0 < line.propensity < 0.5 for line in trials)
    assert [line.is_trial for line in lines_for(where, history, count=1)] == [False]
    tried = [lines_for(where, history, seed=seed, mode="explore", form="headline") for seed in range(40)]
    assert len({line.text for lines in tried for line in lines}) > 20
    flat = [line for lines in tried for line in lines]
    for text in {line.text for line in tried[0]}:
        said = np.mean([line.propensity for line in flat if line.text == text])
        assert 0 < said <= 1
        assert sum(line.text == text for line in flat) / 40 == pytest.approx(said, abs=0.35)


def test_the_marketers_products_stand_in_place_of_the_themes() -> None:
    lines = lines_for(ground("冬季服飾促銷", products=("駱馬毛大衣",)))
    assert all("駱馬毛大衣" in line.text for line in lines)


def test_lengths_are_counted_as_line_counts_them() -> None:
    assert utf16_units("折🎉") == 3
    short = lines_for(ground("冬季服飾", headline_units=10), form="headline")
    assert all(utf16_units(line.text) <= 10 for line in short)
    with pytest.raises(BadInput, match="no headline fits 10 units"):
        lines_for(ground("冬季服飾", offers=("全館商品一律79折",), headline_units=10), form="headline")
    with pytest.raises(BadInput, match="there is no form 'poem'"):
        lines_for(ground(), form="poem")


def test_the_brands_own_templates_stand_in_place_of_the_shipped_ones() -> None:
    own = ("line | 小編推｜{product}", "line | 《{product}》{offer} → {call}")
    assert all(line.text.startswith("小編推｜") for line in lines_for(ground(templates=own), form="line"))
    with_offer = lines_for(ground(templates=own, offers=("79折",)), form="line")
    assert all(line.text.startswith("《") and "》79折 → " in line.text for line in with_offer)
    assert lines_for(ground(templates=own), form="headline")[0].text.startswith("【")  # it has none of its own


def test_what_the_brands_own_templates_leave_is_filled_by_shipped_ones() -> None:
    own = "line | 小編推｜{product}"
    few = lines_for(ground(templates=(own,), products=("羽絨外套", "毛衣")), form="line")
    assert sorted(line.text for line in few if line.by == "own") == ["小編推｜毛衣", "小編推｜羽絨外套"]
    assert [line.by for line in few].count("built_in") == 3
    assert len({line.text for line in few}) == AT_LEAST
    again = lines_for(ground(templates=(own,), products=("羽絨外套", "毛衣")), form="line", mode="explore")
    assert sorted(line.by for line in again) == sorted(line.by for line in few)
    for templates_of_no_use in (
        "line | 全館免運｜{product}",
        "line | {product} 給你 {offer}",
        f"line | {'長' * 60}{{product}}",
    ):
        lines = lines_for(ground(templates=(templates_of_no_use,)), form="line")
        assert [line.by for line in lines] == ["built_in"] * AT_LEAST


def test_where_no_line_may_be_proposed_the_reason_is_told() -> None:
    # what is blocked arises only where a word meets the product
    ends = {f"{word[-1]}羽" for word in slot_words()["urgency"]} | {f"套{word[0]}" for word in slot_words()["urgency"]}
    where = ground(products=("羽絨外套",), blocked=tuple(sorted(ends)))
    with pytest.raises(BadInput, match=r"no headline may be proposed: .* is blocked"):
        lines_for(where, form="headline")


@pytest.mark.parametrize("theme", [category.name for category in categories()])
def test_on_the_first_day_only_what_is_sold_stands_where_the_product_does(theme: str) -> None:
    sold = {word for category in categories() for word in category.articles}
    for line in lines_for(ground(theme, templates=("line | 商品「{product}」",)), form="line", count=30):
        if line.by == "own":
            assert line.text.removeprefix("商品「").removesuffix("」") in sold | {theme}


@pytest.mark.parametrize(
    "template",
    [
        "poem | {product}",
        "line | 沒有欄位",
        "line | {product}{call}",
        "line | {product}，{product}",
        "line | {product.__class__}",
        "line | {product!r}",
        "line | {product:>99}",
        "line | {price}",
        "line | {product",
        "{product}",
    ],
)
def test_a_template_that_cannot_be_is_refused(template: str) -> None:
    with pytest.raises(BadInput, match="templates"):
        settings_from({"templates": [template]})


def test_a_blocked_word_is_refused_in_what_is_given_and_never_proposed() -> None:
    with pytest.raises(BadInput, match=r"療效.*藥事法第69條"):
        lines_for(ground("保養", offers=("療 效 看得見",)))
    with pytest.raises(BadInput, match="神奇"):
        lines_for(ground("神奇保養", blocked=("神奇",)))
    assert not [
        line
        for line in lines_for(ground("冬季服飾促銷", blocked=("羽絨", "限時")))
        if "羽絨" in line.text or "限時" in line.text
    ]


def test_a_word_that_needs_approval_is_said_with_the_law() -> None:
    lines = lines_for(ground("美妝", offers=("全台最便宜",), products=("美白精華",)))
    said = {(one.words, one.kind) for line in lines for one in line.notices}
    assert said == {("最便宜", "approval"), ("全台", "approval"), ("美白", "approval")}
    assert "公平交易法" in next(one.why for one in lines[0].notices if one.words == "最便宜")
    cleared = lines_for(ground("美妝", products=("美白精華",), cleared=("美白",)))
    assert not any(line.notices for line in cleared)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("第一件79折", set()),
        ("銷售第一", {"第一"}),
        ("最 便・宜", {"最便宜"}),
        ("１００％有效", {"100%有效"}),
        ("治療與減肥", {"治療", "減肥"}),
        ("羽絨外套", set()),
        ("超強精華出清血拼，生活血拼好物，營養胃口大開", set()),
        ("養顏美容，補腎固本", {"補腎"}),
        ("增強淋巴引流", {"增強淋巴引流"}),
        ("淋巴引流按摩", {"淋巴引流"}),
        ("疗效看得见，医疗等级", {"療效", "醫療"}),
        ("全台最便宜", {"全台", "最便宜"}),
    ],
)
def test_claims_are_found_whatever_is_put_between_their_letters(text: str, found: set[str]) -> None:
    assert {claim.word for claim in claims_in(text, CopySettings().claims(), shared_tokenizer())} == found


def test_a_block_is_never_hidden_by_a_longer_word_that_only_needs_approval() -> None:
    rules = CopySettings(blocked=("特價",), approval=("特價王",))
    assert {c.level for c in claims_in("特價王", rules.claims(), shared_tokenizer())} == {"blocked", "approval"}


def sent(text: str, *segments: str) -> SentText:
    at, terms = datetime(2026, 11, 20, tzinfo=UTC), terms_of(shared_tokenizer().tokenize(text))
    return SentText(text, at, frozenset(terms), letter_pairs(text), frozenset(segments or ("develop",)))


def test_what_one_segment_got_wears_out_nothing_for_another() -> None:
    rules = ground("冬季服飾促銷")
    apart = [sent(f"羽絨外套 {name}", name) for name in ("a", "b", "c")]
    assert not notices("羽絨外套上架囉", Ground(rules.given, rules.settings, apart))
    one = [*apart, sent("羽絨外套 又一則", "a"), sent("羽絨外套 再一則", "a", "b")]
    said = notices("羽絨外套上架囉", Ground(rules.given, rules.settings, one))
    assert [(found.words, found.count) for found in said if found.kind == "worn"] == [("羽絨外套", 3)]


def test_worn_terms_and_near_repeats_are_told_and_avoided() -> None:
    rules = ground("冬季服飾促銷")
    plain = lines_for(rules)
    worn = Ground(rules.given, rules.settings, [sent(plain[0].text), sent("羽絨外套 A"), sent("羽絨外套 B")])
    said = notices(plain[0].text, worn)
    assert [(one.words, one.count) for one in said if one.kind == "worn"] == [("羽絨外套", 3)]
    assert [one.words for one in said if one.kind == "repeat"] == [plain[0].text]
    assert not notices("毛衣上架囉", worn)
    fresh = lines_for(worn)
    assert plain[0].text not in {line.text for line in fresh}
    assert not any(one.kind == "repeat" for line in fresh for one in line.notices)


def test_a_writers_lines_are_judged_by_the_same_rules(history: Learning) -> None:
    where = ground("冬季服飾", offers=("79折",))
    texts = [
        "發熱衣79折，立即逛逛",
        "發熱衣5折，立即逛逛",
        "發熱衣79折，全館免運",
        "發熱衣79折，有療效",
        "發熱衣79折，買兩件最划算",
        "發熱衣79折，只到明天",
        "發熱衣 " * 100,
        "",
        "發熱衣79折，立即逛逛",
    ]
    lines, dropped = judge_written(texts, Wanted(NOON), history, where)
    assert [line.text for line in lines] == ["發熱衣79折，立即逛逛"]
    assert lines[0].prediction == score(texts[0], history, shared_tokenizer(), NOON).prediction
    assert (lines[0].by, lines[0].propensity) == ("writer", None)
    reasons = [one.reason for one in dropped]
    assert len(reasons) == 7
    for wanted, said in zip(("5折", "免運", "療效", "兩件", "明天", "units long", "empty"), reasons, strict=True):
        assert wanted in said


@pytest.mark.parametrize(
    "line",
    [
        "羽絨外套不到五百",
        "全部五百",
        "再便宜兩百",
        "立省一千",
        "三千有找",
        "現折兩百",
        "便宜一半",
        "對半砍",
        "零運費",
        "不用運費",
        "全馆免运",
        "Free Shipping",
        "聖誕節前下單",
        "只到除夕",
        "上千人都買了",
    ],
)
def test_no_amount_and_no_day_is_invented_in_words_either(line: str) -> None:
    why = refusal(line, "line", ground("冬季服飾", offers=("第2件79折", "12/31前"), products=("羽絨外套",)))
    assert why is not None
    assert why.startswith("nobody gave ")
    assert refusal(line, "line", ground("冬季服飾", offers=(line,), products=("羽絨外套",))) is None


@pytest.mark.parametrize(
    ("line", "offer"),
    [
        ("羽絨外套全館79折", "第2件79折"),
        ("第2件79折，12/31起", "12/31前"),
        ("第2件79折，所有都79折", "第2件79折"),
        ("全館免運，12/31前", "滿千免運"),
        ("第2件 79折 ，12/31 前，滿千免運", None),
        ("羽絨外套立即逛逛", None),
    ],
)
def test_an_offer_stands_whole_or_not_at_all(line: str, offer: str | None) -> None:
    where = ground("冬季服飾", offers=("第2件79折", "12/31前", "滿千免運"), products=("羽絨外套",))
    said = f"it says a part of 「{offer}」 and not the whole"
    assert refusal(line, "line", where) == (None if offer is None else said)


@pytest.mark.parametrize(
    "line", ["千萬別錯過", "上百搭外套", "五星好評", "freestyle 外套", "聖誕節的羽絨外套", "跨年必備", "新年新氣象"]
)
def test_what_states_nothing_is_not_taken_for_an_amount_or_a_day(line: str) -> None:
    assert refusal(line, "line", ground("冬季服飾")) is None


def test_slots_never_touch_so_that_words_are_cut_in_a_line_as_by_themselves() -> None:
    tokenizer = shared_tokenizer()
    for template in templates():
        words = dict.fromkeys(template.slots, "羽絨外套")
        text = template.text.format(**words)
        cut = [token.text for token in tokenizer.tokenize(text) if token.kind is Kind.WORD]
        assert cut == ["羽絨外套"] * len(template.slots), template
    for form in FORMS:  # with an offer and without
        assert {"offer" in t.slots for t in templates() if t.form == form} == {True, False}
    assert all(slot_words().values())
