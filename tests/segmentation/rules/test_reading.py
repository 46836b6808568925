"""What may stand in a rule's JSON, where a mistake is told, circles, the schema, and the words."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from segmentation.rules.reading import MAX_CONDITIONS, MAX_DEPTH, Names, RuleError, read_rule
from segmentation.rules.references import MAX_EXPANDED, MAX_EXPANDED_DEPTH, References, expanded
from segmentation.rules.schema import rule_schema
from segmentation.rules.types import Age, AllOf, AnyOf, NotOf, Rule, RuleReference, Tagged, mark_of, to_builtins
from segmentation.rules.wording import found_words, sentence
from tests.segmentation.rules import plain

SCHEMA_FILE = Path(__file__).parents[3] / "docs" / "rules.schema.json"
AGE: dict[str, Any] = {"type": "age", "at_least": 18}
EVENTS: dict[str, Any] = {"type": "events", "kinds": ["click"], "at_least": 1}
ORDERS: dict[str, Any] = {"type": "orders", "measure": "count", "at_least": 1}


def nested(depth: int) -> dict[str, Any]:
    rule = AGE
    for _ in range(depth - 1):
        rule = {"type": "not", "of": rule}
    return rule


WRONG: list[tuple[Any, str, str]] = [
    ("{", "$", "not JSON"),
    ("[1, 2]", "$", "expected 'object'"),
    ('["' + "[" * 100_000, "$", "not JSON"),
    ("[" * 100_000, "$", "nested"),
    ({}, "$.type", "is missing"),
    ({"type": "ages"}, "$.type", "'ages' is not a type of condition; there are all, any, not"),
    ({"type": "all", "of": []}, "$.of", "needs one at least"),
    ({"type": "all", "of": [AGE, {"type": "any", "of": [AGE, {"type": "age"}]}]}, "$.of[1].of[1]", "needs a limit"),
    ({"type": "not", "of": {**AGE, "at_most": 17}}, "$.of.at_most", "17 lies below the lower limit 18"),
    ({**AGE, "more_than": 3}, "$.more_than", "beside at_least"),
    ({"type": "age", "more_than": 5, "less_than": 5}, "$.less_than", "nobody could match"),
    ({**AGE, "at_least": -1}, "$.at_least", "whole number from 0"),
    ({**AGE, "at_least": 1.5}, "$.at_least", "whole number from 0"),
    ({**AGE, "at_least": "NaN"}, "$.at_least", "must be a number"),
    ({**AGE, "at_least": "1e99"}, "$.at_least", "must be a number"),
    ({**AGE, "at_least": True}, "$.at_least", "must be a number"),
    ({**AGE, "at_least": "many"}, "$.at_least", "must be a number"),
    ({"type": "birthday", "within_days": "7 days"}, "$.within_days", "must be a whole number"),
    ({"type": "birthday", "within_days": 367}, "$.within_days", "must be 366 or less"),
    ({"type": "birthday"}, "$.within_days", "is missing"),
    ({"type": "tag", "name": ""}, "$.name", "is empty"),
    ({"type": "tag", "name": "x" * 201}, "$.name", "may have 200 characters at most"),
    ({**AGE, "until": 3}, "$", "unknown field 'until'"),
    ({**ORDERS, "measure": "sum", "at_least": "0.00001"}, "$.at_least", "4 decimal places"),
    ({**ORDERS, "measure": "median"}, "$.measure", "'median'"),
    ({**ORDERS, "products": {}}, "$.products", "needs categories"),
    ({**ORDERS, "products": {"skus": []}}, "$.products.skus", "needs one at least"),
    ({**ORDERS, "on": {"from": "2021-01-01"}}, "$.on", "first and last only"),
    ({**ORDERS, "measure": "last", "on": {"from": "2021-01-01"}}, "$.on", "beside limits"),
    (
        {"type": "all", "of": [AGE, AGE, {**EVENTS, "window": {"from": "2021-10-28", "until": "2021-10-28"}}]},
        "$.of[2].window.from",
        "not before until",
    ),
    ({**EVENTS, "window": {}}, "$.window", "needs from, until or last_days"),
    ({**EVENTS, "window": {"last_days": 0}}, "$.window.last_days", "must be 1 or more"),
    ({**EVENTS, "window": {"last_days": 3, "from": "2021-01-01"}}, "$.window.last_days", "beside from"),
    ({**EVENTS, "window": {"from": "2021-02-29"}}, "$.window.from", "not a day"),
    ({**EVENTS, "window": {"from": "2021-02-01T00:00:00Z"}}, "$.window.from", "not a day"),
    ({**EVENTS, "kinds": ["click", 3]}, "$.kinds[1]", "got 'int'"),
    ({**EVENTS, "kinds": "click"}, "$.kinds", "got 'str'"),
    ({"type": "birthday", "within_days": 367}, "$.within_days", "must be 366 or less"),
    ({"type": "attribute", "name": "city"}, "$", "exactly one test"),
    ({"type": "attribute", "name": "city", "is": "x", "exists": True}, "$", "exactly one test"),
    ({"type": "attribute", "name": "is_following", "is": "yes"}, "$.is", "true or false"),
    ({"type": "segment", "model": "rf5", "in": ["new"]}, "$.model", "no model 'rf5'; there are rf4"),
    ({"type": "segment", "model": "rf4", "in": ["new", "lost"]}, "$.in[1]", "no segment 'lost'; there are regular"),
    ({"type": "segment", "model": "rf4", "in": ["new"], "on": "2021-01-01", "days_ago": 1}, "$.on", "beside days_ago"),
    ({"type": "moved", "model": "nesl"}, "$", "needs from or to"),
    ({"type": "moved", "model": "nesl", "from": ["E"], "to": ["X"]}, "$.to[0]", "no segment 'X'"),
    ({"type": "moved", "model": "nesl", "from": ["E"], "to": ["E"]}, "$.to", "no move"),
    ({"type": "measure", "name": "height", "at_least": 1}, "$.name", "'height'"),
    ({"type": "rule", "name": "gone"}, "$.name", "no saved rule 'gone'"),
    ({"type": "not", "of": {"type": "tag", "name": "gone"}}, "$.of.name", "no tag 'gone'"),
    ({"type": "tag", "name": "vip", "days": {}}, "$.days", "needs a limit"),
    ({"type": "tag", "name": "vip", "days": {"at_least": 0.5}}, "$.days.at_least", "whole number"),
    (nested(MAX_DEPTH + 1), "$" + ".of" * MAX_DEPTH, "more than 20 deep"),
    ({"type": "all", "of": [AGE] * MAX_CONDITIONS}, "$", "more than 200 conditions"),
]


@pytest.mark.parametrize(("given", "path", "words"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_told_with_its_place(given: Any, path: str, words: str) -> None:
    with pytest.raises(RuleError) as told:
        read_rule(given, Names(rules=["known"], tags=["vip"]))
    assert told.value.path == path
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_the_largest_rule_can_be_read() -> None:
    assert read_rule(nested(MAX_DEPTH))
    assert read_rule({"type": "all", "of": [AGE] * (MAX_CONDITIONS - 1)})


def test_no_digit_of_an_amount_is_lost() -> None:
    text = '{"type": "measure", "name": "paid_total", "at_least": 12345678901234.5678}'
    assert to_builtins(read_rule(text))["at_least"] == "12345678901234.5678"


def refer(name: str) -> RuleReference:
    return RuleReference(name=name)


def test_what_is_mentioned_is_put_in_its_place() -> None:
    adult = read_rule(AGE)
    assert isinstance(adult, Age)
    rules: dict[str, Rule] = {"adult": adult, "child": NotOf(of=refer("adult"))}
    found = expanded(
        AnyOf(of=(refer("child"), Tagged(name="t"), Tagged(name="other"))), References(rules, {"t": adult})
    )
    assert found == AnyOf(of=(NotOf(of=adult), adult, Tagged(name="other")))


def test_a_circle_is_named() -> None:
    rules: dict[str, Rule] = {"a": NotOf(of=refer("b")), "b": AllOf(of=(Tagged(name="t"),)), "c": refer("c")}
    tags: dict[str, Rule] = {"t": refer("a")}
    with pytest.raises(RuleError, match="circle: rule 'a' → rule 'b' → tag 't' → rule 'a'"):
        expanded(refer("a"), References(rules, tags))
    with pytest.raises(RuleError, match="circle: rule 'c' → rule 'c'"):
        expanded(NotOf(of=refer("c")), References(rules))
    with pytest.raises(RuleError, match="no saved rule 'gone'"):
        expanded(AllOf(of=(refer("gone"),)), References(rules))


def test_rules_that_double_at_every_step_are_refused_without_being_written_out() -> None:
    rules: dict[str, Rule] = {"r0": read_rule(AGE)}
    for step in range(1, 26):
        rules[f"r{step}"] = AllOf(of=(refer(f"r{step - 1}"), refer(f"r{step - 1}")))
    with pytest.raises(RuleError, match=f"more than {MAX_EXPANDED} conditions"):
        expanded(refer("r25"), References(rules))


def test_saved_rules_that_lie_too_deep_in_each_other_are_refused() -> None:
    """Also a chain that is longer than Python's stack, and a rule whose depth was found on another way to it."""
    rules: dict[str, Rule] = {"r1": read_rule(AGE)}
    for step in range(2, 5_000):
        rules[f"r{step}"] = refer(f"r{step - 1}")
    references, why = References(rules), f"nested more than {MAX_EXPANDED_DEPTH} deep"
    deepest = refer(f"r{MAX_EXPANDED_DEPTH - 1}")  # itself the first level, the age the last
    assert expanded(deepest, references) == rules["r1"]
    for deeper in (NotOf(of=deepest), refer("r4999"), AllOf(of=(refer("r2"), NotOf(of=deepest)))):
        with pytest.raises(RuleError, match=why):
            expanded(deeper, references)


# --- the schema ------------------------------------------------------------------------------------------------------


def fits(value: Any, schema: dict[str, Any], defs: dict[str, Any]) -> bool:
    """Whether `value` fits a JSON Schema, of the words that ours uses; KeyError for another word."""
    checks: dict[str, Any] = {
        "$ref": lambda want: fits(value, defs[want.rsplit("/", 1)[1]], defs),
        "anyOf": lambda want: any(fits(value, each, defs) for each in want),
        "enum": lambda want: value in want,
        "type": lambda want: _is(value, want),
        "properties": lambda want: all(
            name not in want or fits(inner, want[name], defs) for name, inner in value.items()
        ),
        "required": lambda want: set(want) <= value.keys(),
        "additionalProperties": lambda want: want or value.keys() <= schema["properties"].keys(),
        "items": lambda want: all(fits(inner, want, defs) for inner in value),
        "minItems": lambda want: len(value) >= want,
        "maxItems": lambda want: len(value) <= want,
        "minLength": lambda want: not isinstance(value, str) or len(value) >= want,
        "maxLength": lambda want: not isinstance(value, str) or len(value) <= want,
        "minimum": lambda want: value >= want,
        "maximum": lambda want: value <= want,
        "pattern": lambda want: isinstance(value, str) and re.search(want, value) is not None,
        "format": lambda want: re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None,
    }
    told = {"$schema", "title", "description", "$defs", "discriminator", "default"}
    words = sorted(schema.keys() - told, key=lambda word: word != "type")
    return all(checks[word](schema[word]) for word in words)


def _is(value: Any, kind: str) -> bool:
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if kind in ("integer", "number"):
        return isinstance(value, int | float if kind == "number" else int) and not isinstance(value, bool)
    return isinstance(value, kinds[kind])


@given(plain.rules())
def test_the_schema_accepts_every_rule(rule: Rule) -> None:
    schema = rule_schema()
    assert fits(json.loads(json.dumps(to_builtins(rule))), schema, schema["$defs"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "ages"},
        {"type": "all", "of": []},
        {"type": "all", "of": [{"type": "age", "at_least": "many"}]},
        {**AGE, "unknown": 1},
        {"type": "birthday", "within_days": 367},
        {**EVENTS, "window": {"from": "tomorrow"}},
    ],
)
def test_the_schema_refuses_what_has_the_wrong_shape(wrong: dict[str, Any]) -> None:
    schema = rule_schema()
    assert not fits(wrong, schema, schema["$defs"])


def test_the_published_schema_is_the_one_of_the_program() -> None:
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == rule_schema()


# --- words -----------------------------------------------------------------------------------------------------------

WORDED: list[tuple[dict[str, Any], str, str]] = [
    (
        {
            "type": "all",
            "of": [
                {"type": "attribute", "name": "city", "is": "台中市"},
                {"type": "attribute", "name": "gender", "is": "female"},
                {"type": "age", "at_least": 35, "at_most": 50},
                {"type": "segment", "model": "rfm3", "in": ["new_high_value"]},
            ],
        },
        "住在台中市，且為女性，且年齡 35–50 歲，且屬於 RFM 三群 的新貴客",
        "lives in 台中市, and is a woman, and aged 35–50, and is new high value in RFM (3)",
    ),
    (
        {**EVENTS, "kinds": ["product_view"], "at_least": 0, "at_most": 0, "window": {"last_days": 30}},
        "最近 30 天內 瀏覽商品 恰 0 次",
        "viewed products exactly 0 times in the last 30 days",
    ),
    (
        {"type": "not", "of": {"type": "any", "of": [AGE, {"type": "rule", "name": "x"}]}},
        "並非（年齡 至少 18 歲，或符合規則「x」）",
        "not (aged at least 18, or fits the rule 'x')",
    ),
    (
        {"type": "all", "of": [AGE, {"type": "any", "of": [AGE, {"type": "birthday", "within_days": 0}]}]},
        "年齡 至少 18 歲，且（年齡 至少 18 歲，或今天生日）",
        "aged at least 18, and (aged at least 18, or has a birthday today)",
    ),
    (
        {
            "type": "any",
            "of": [{"type": "any", "of": [{"type": "all", "of": [AGE, {"type": "rule", "name": "x"}]}]}, AGE],
        },
        "（年齡 至少 18 歲，且符合規則「x」），或年齡 至少 18 歲",
        "(aged at least 18, and fits the rule 'x'), or aged at least 18",
    ),
    ({"type": "events", "kinds": ["click"], "at_most": 0}, "點擊連結 0 次", "tapped links 0 times"),
    (
        {"type": "measure", "name": "monetary", "at_most": 0},
        "消費金額 M 至多 0 元",
        "monetary at most 0 in money",
    ),
    (
        {
            "type": "orders",
            "measure": "sum",
            "more_than": "1234567.50",
            "window": {"from": "2021-01-01"},
            "products": {"labels": ["美白", "保濕"]},
        },
        "2021-01-01 起 購買（標示 美白、保濕）的商品的金額 多於 1,234,567.5 元",
        "spent on products (label 美白, 保濕): more than 1,234,567.5 in money from 2021-01-01 on",
    ),
    (
        {"type": "moved", "model": "nesl", "from": ["E"], "to": ["S1"], "window": {"last_days": 7}},
        "最近 7 天內 在 NESL 由 主力客 變為 瞌睡客",
        "moved in NESL from E to S1 in the last 7 days",
    ),
]


@pytest.mark.parametrize(("rule", "chinese", "english"), WORDED, ids=range(len(WORDED)))
def test_a_rule_in_words(rule: dict[str, Any], chinese: str, english: str) -> None:
    assert sentence(read_rule(rule), "zh") == chinese
    assert sentence(read_rule(rule), "en") == english


@given(plain.rules())
def test_every_rule_has_words(rule: Rule) -> None:
    assert sentence(rule, "zh")
    assert sentence(rule, "en").isprintable()


def test_what_was_found_in_words() -> None:
    assert found_words(read_rule(EVENTS), 1200, "zh") == "1,200 次"
    assert found_words(read_rule({"type": "segment", "model": "nesl", "in": ["E"]}), "S1", "zh") == "瞌睡客"
    assert found_words(read_rule(AGE), None, "en") == "unknown"


@pytest.mark.parametrize(
    ("rule", "chinese", "english"),
    [
        ({"type": "tag", "name": "VIP"}, "沒有貼上", "not on"),
        ({"type": "segment", "model": "rf4", "in": ["new"]}, "不在任何一群", "in no segment"),
        ({"type": "segment", "model": "rf4", "in": ["new"], "days_ago": 100}, "不明", "unknown"),
        ({"type": "segment", "model": "rf4", "in": ["new"], "on": "2026-01-01"}, "不明", "unknown"),
        ({"type": "moved", "model": "rf4", "to": ["new"]}, "沒有這樣移動", "no such move"),
        ({"type": "orders", "measure": "last", "at_most": 30}, "沒有購買", "no purchase"),
        ({"type": "attribute", "name": "city", "is": "台中市"}, "不明", "unknown"),
        ({"type": "measure", "name": "p_buy", "at_least": "0.5"}, "不明", "unknown"),
    ],
)
def test_nothing_found_is_unknown_only_where_it_is(rule: dict[str, Any], chinese: str, english: str) -> None:
    assert [found_words(read_rule(rule), None, language) for language in ("zh", "en")] == [chinese, english]


def test_campaigns_are_told_by_their_names_and_by_numbers_where_there_is_none() -> None:
    clicked = {"type": "clicks", "campaigns": [7, 9], "at_least": 1}
    rule = read_rule({"type": "not", "of": {"type": "any", "of": [clicked, AGE]}})
    names = {7: "母親節"}
    assert sentence(rule, "zh", names) == "並非（點擊連結（活動「母親節」、活動 9） 至少 1 次，或年齡 至少 18 歲）"
    assert sentence(rule, "en", names).startswith("not (tapped links (campaign '母親節', campaign 9) at least 1 times")
    assert "活動 7、活動 9" in sentence(rule, "zh")


def test_a_rule_has_another_mark_when_it_says_something_else() -> None:
    older = {**AGE, "at_least": 19}
    assert mark_of(read_rule(AGE)) == mark_of(read_rule(json.dumps({**AGE, "at_least": "18.0"})))
    assert mark_of(read_rule(AGE)) != mark_of(read_rule(older))
