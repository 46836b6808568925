"""What the product refuses is told in the reader's language, and nothing that a marketer can meet is forgotten."""

import ast
import json
from collections.abc import Iterator
from typing import Any

import pytest

from campaigns.content.message import compile_content
from console.words.catalog import FOLDER, english
from console.words.names import RULE_FIELDS
from console.words.refusals import told
from segmentation.rules.reading import RuleError, read_rule
from segmentation.rules.schema import rule_schema
from store.errors import BadInput

ROOT = FOLDER.parent.parent
ROOMS = (
    *("campaigns/audience", "campaigns/content", "campaigns/planning"),
    *("segmentation/preference", "segmentation/rules", "segmentation/tags", "segmentation/labelling.py"),
    *("segmentation/settings.py", "segmentation/rfm.py", "segmentation/activity.py", "segmentation/loyalty.py"),
)
# Raised at programs, never at a page: the command line's words, internal types, whoever meddles with addresses.
NOT_MET = ("measures nothing itself", "is no condition on facts", "could not be moved", "it has 1")


def sentences() -> Iterator[str]:
    """Every sentence that these rooms refuse with, its places filled with something."""
    for room in ROOMS:
        for path in [ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                    yield from filter(None, (_said(one) for one in node.exc.args))


def _said(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        text = node.value if isinstance(node.value, str) else ""
    elif isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else _filled(part) for part in node.values)
        text = "".join(map(str, parts))
    else:
        return None
    return text if " " in text.strip() else None  # else a place


def _filled(part: ast.expr) -> str:
    is_quoted = isinstance(part, ast.FormattedValue) and part.conversion == ord("r")
    return "'1'" if is_quoted else "1"


def test_every_refusal_that_a_marketer_can_meet_has_its_chinese() -> None:
    found = set(sentences())
    assert len(found) > 100
    missing = [one for one in sorted(found) if told(one, "zh") == one and not any(part in one for part in NOT_MET)]
    assert missing == []


def test_no_pattern_is_written_twice_and_each_is_in_chinese() -> None:
    lines = (FOLDER / "refusals.tsv").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs)
    assert len({pattern for pattern, _ in pairs}) == len(pairs)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"type": "text", "text": ""}], "messages[0].text 是空的"),
        ([{"type": "text", "text": "字" * 5_001}], "messages[0].text 有 5001 個字（LINE 的算法），最多 5000 個"),
        ([{"type": "text", "text": "{{ name }}"}], '給欄位預設值，例如 {{ name or "您" }}'),
        ([], "messages 有 0 個，至少要 1 個"),
    ],
)
def test_each_problem_of_a_content_stands_with_its_place(messages: list[dict[str, str]], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        compile_content(messages)
    assert words in told(caught.value, "zh")
    assert told(caught.value, "en") == str(caught.value)


def test_a_rules_mistake_stands_with_its_place() -> None:
    with pytest.raises(RuleError) as caught:
        read_rule({"type": "birthday", "within_days": "x"})
    assert told(caught.value, "zh").startswith(f"{caught.value.path}：")
    with pytest.raises(RuleError) as caught:
        read_rule({"type": "events", "kinds": ["click"]})
    assert told(caught.value, "zh") == "條件：要有一個界限：至少、至多、多於或少於"
    events = {"type": "events", "kinds": ["click"]}
    with pytest.raises(RuleError) as caught:
        read_rule(
            {"type": "all", "of": [{**events, "at_least": 1}, {"type": "not", "of": {"type": "any", "of": [events]}}]}
        )
    assert told(caught.value, "zh") == "條件 2.1：要有一個界限：至少、至多、多於或少於"
    assert told(caught.value, "en").startswith("Condition 2.1: ")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"type": "ages"}, "$.type：沒有「ages」這種條件"),
        ({"type": "all", "of": []}, "條件：至少要有一個"),
        ({"type": "birthday", "within_days": 400}, "$.within_days：最多是 366"),
        ({"type": "birthday", "within_days": "x"}, "$.within_days：要是整數"),
        ({"type": "age", "at_least": "many"}, "$.at_least：要是數字"),
        ({"type": "age", "at_least": True}, "$.at_least：要是數字"),
        ({"type": "clicks", "at_least": 1, "window": {"last_days": 0}}, "$.window.last_days：要是 1 以上"),
        ({"type": "clicks", "at_least": 1, "window": {"last_days": "x"}}, "$.window.last_days：要是整數"),
        ({"type": "events", "kinds": [], "at_least": 1}, "$.kinds：至少要有一個"),
        ({"type": "events", "kinds": ["a"] * 1_001, "at_least": 1}, "$.kinds：最多 1000 個"),
        ({"type": "tag", "name": ""}, "$.name：是空的"),
        ({"type": "tag", "name": "x" * 201}, "$.name：最多 200 個字"),
        ({"type": "measure", "name": "x", "at_least": 1}, "$.name：沒有「x」這個選項"),
        ({"type": "tag"}, "$.name：沒有填"),
        ({"type": "all", "of": [{"type": "tag"}]}, "條件 1「名稱」：沒有填"),
        ({"type": "all", "of": [{"type": "not", "of": {"type": "age", "at_most": "x"}}]}, "條件 1「至多」：要是數字"),
        (
            {"type": "all", "of": [{"type": "clicks", "at_least": 1, "window": {"from": "x"}}]},
            "條件 1「從哪一天」：日期要像 2026-11-02",
        ),
        (
            {"type": "all", "of": [{"type": "clicks", "at_least": 1, "campaigns": ["x"]}]},
            "條件 1「活動」：要是整數",
        ),
        ({"type": "segment", "model": "nes", "in": ["S1"]}, "$.in[0]：nes 沒有「S1」這個分群"),
    ],
)
def test_what_the_shape_of_a_rule_refuses_is_told_in_chinese_too(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(RuleError) as caught:
        read_rule(rule)
    assert told(caught.value, "zh") == words


def test_what_is_wrong_with_a_field_of_a_rule_is_told_in_english_as_people_speak() -> None:
    with pytest.raises(RuleError) as caught:
        read_rule({"type": "all", "of": [{"type": "clicks", "at_least": 1, "window": {"last_days": "thirty"}}]})
    assert told(caught.value, "en") == "Condition 1 “Within the last days”: must be a whole number"


def test_every_field_of_a_rule_has_a_name_on_pages_that_is_translated() -> None:
    schema = json.dumps(rule_schema())
    for path, words in RULE_FIELDS.items():
        assert f'"{path.rpartition(".")[2]}"' in schema, path
        assert words in english(), words


@pytest.mark.parametrize("name", ["母親節", "Mother's Day", "Mother's 'Day'"])
def test_a_name_with_an_apostrophe_is_refused_in_chinese_too(name: str) -> None:
    assert told(BadInput(f"there is a tag {name!r} already"), "zh") == f"已經有「{name}」這個標籤"
    assert told(BadInput(f"the rule {name!r} is needed by campaign 3"), "zh") == f"規則「{name}」還有活動在用：3"


def test_what_nobody_has_translated_stays_as_it_is_and_what_a_page_says_is_translated() -> None:
    assert told("a sentence of tomorrow", "zh") == "a sentence of tomorrow"
    assert told("至少要有一位擁有者。", "en") == "There must be at least one owner."
