"""The compiler against the plain reading, over random rules and facts."""

import json
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.facts import Facts
from segmentation.rules import counting, narrowing
from segmentation.rules.compile import NOTHING, compile_rules, matching
from segmentation.rules.explain import why
from segmentation.rules.listing import Listed, list_matching
from segmentation.rules.preview import MatchCount, count_matching
from segmentation.rules.reading import conditions, read_rule
from segmentation.rules.references import expanded
from segmentation.rules.types import AllOf, AnyOf, NotOf, Rule, to_builtins
from tests.segmentation.rules import plain
from tests.segmentation.rules.people import TAIPEI, at, facts_with

VIEWS = {"type": "events", "kinds": ["product_view"], "at_least": 1}
MANY = settings(max_examples=60, deadline=None)


@given(plain.facts(), st.lists(plain.rules(), min_size=8, max_size=12))
@MANY
def test_all_rules_in_one_pass_say_what_the_plain_reading_says(tables: plain.Tables, rules: list[Rule]) -> None:
    asked = {f"rule_{place}": rule for place, rule in enumerate(rules)}
    both = []
    for fewest in (0, counting.FEWEST):  # counted by place, and grouped
        with patch.object(counting, "FEWEST", fewest), facts_with(**tables) as (connection, facts):
            table = matching(facts, asked, plain.AS_OF, TAIPEI, references=plain.REFERENCES, with_evidence=True)
            both.append(connection.to_pyarrow(table.order_by("customer_id")).to_pylist())
    rows, grouped = both
    assert grouped == rows
    assert [row["customer_id"] for row in rows] == list(plain.PEOPLE)
    for row in rows:
        for key, rule in asked.items():
            assert row[key] is plain.holds(rule, row["customer_id"], tables), (row["customer_id"], to_builtins(rule))
            whole = expanded(rule, plain.REFERENCES)
            leaves = {path for path, part in conditions(whole) if not isinstance(part, AllOf | AnyOf | NotOf)}
            assert json.loads(row[f"{key}_evidence"]).keys() == leaves


@given(plain.facts(), st.lists(plain.rules(), min_size=2, max_size=4))
@settings(max_examples=15, deadline=None)
def test_one_pass_says_what_rule_by_rule_and_customer_by_customer_say(tables: plain.Tables, rules: list[Rule]) -> None:
    asked = {f"rule_{place}": rule for place, rule in enumerate(rules)}

    def found(facts: Facts, rules: dict[str, Rule]) -> Any:
        return matching(facts, rules, plain.AS_OF, TAIPEI, references=plain.REFERENCES)

    with facts_with(**tables) as (connection, facts):
        whole = _rows(connection, found(facts, asked))
        for key, rule in asked.items():
            alone = _rows(connection, found(facts, {key: rule}))
            assert {one: row[key] for one, row in alone.items()} == {one: row[key] for one, row in whole.items()}
    only_one = {
        name: rows if name in ("products", "runs") else [row for row in rows if row["customer_id"] == 1]
        for name, rows in tables.items()
    }
    with facts_with(**only_one) as (connection, facts):
        assert _rows(connection, found(facts, asked)) == {1: whole[1]}


@given(plain.facts(), st.lists(plain.rules(), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_counting_and_listing_fewer_customers_first_gives_the_same_people(
    tables: plain.Tables, parts: list[Rule]
) -> None:
    rule = AllOf(of=tuple(parts))
    holding = [who for who in plain.PEOPLE if plain.holds(rule, who, tables)]
    asked = (rule, plain.AS_OF, TAIPEI, plain.REFERENCES)
    for worth in (narrowing.WORTH, 1):  # 1: wherever a condition can refuse anybody
        with patch.object(narrowing, "WORTH", worth), facts_with(**tables) as (connection, facts):
            found = count_matching(connection, facts, *asked)
            pages = [list_matching(connection, facts, *asked, after=after, limit=3) for after in (0, 5)]
        assert found == MatchCount(len(holding), len(plain.PEOPLE)), to_builtins(rule)
        assert pages == [Listed(len(holding), [who for who in holding if who > after][:3]) for after in (0, 5)]


@given(plain.facts(), plain.rules(), st.sampled_from(plain.PEOPLE))
@settings(max_examples=20, deadline=None)
def test_why_says_of_every_part_what_the_plain_reading_says(tables: plain.Tables, rule: Rule, who: int) -> None:
    with facts_with(**tables) as (connection, facts):
        todo = [why(connection, facts, rule, who, plain.AS_OF, TAIPEI, plain.REFERENCES)]
    assert todo[0].asked == rule
    while todo:
        part = todo.pop()
        assert part.holds is plain.holds(part.asked, who, tables), (who, part.path, to_builtins(rule))
        todo += part.parts


def test_what_customers_alone_refuse_leaves_their_events_unread() -> None:
    asked = {
        "type": "all",
        "of": [{"type": "attribute", "name": "city", "is": "台中市"}, {"type": "any", "of": [VIEWS]}],
    }
    people = [{"customer_id": who, "city": "台中市" if who == 3 else "台北市"} for who in range(1, 9)]
    events = [{"customer_id": who, "occurred_at": at(2026, 1, 5)} for who in range(1, 9)]
    with facts_with(customers=people, events=events) as (connection, facts):
        few = narrowing.narrowed(connection, facts, read_rule(asked), plain.AS_OF, TAIPEI, NOTHING)
        rows = connection.to_pyarrow(few.facts.events).to_pylist()
        assert [row["customer_id"] for row in rows] == [3]
        assert few.rest == read_rule({"type": "all", "of": [{"type": "any", "of": [VIEWS]}]})
        for everybody in (VIEWS, {"type": "any", "of": asked["of"]}, {"type": "age", "at_most": 200}):
            rule = read_rule({"type": "all", "of": [{"type": "not", "of": everybody}]})
            found = narrowing.narrowed(connection, facts, rule, plain.AS_OF, TAIPEI, NOTHING)
            assert found.facts is facts
            assert found.rest is rule


def _rows(connection: Any, table: Any) -> dict[int, dict[str, Any]]:
    return {row["customer_id"]: row for row in connection.to_pyarrow(table).to_pylist()}


@given(plain.rules())
@settings(deadline=None)
def test_a_rule_written_as_json_is_read_back_the_same(rule: Rule) -> None:
    assert read_rule(to_builtins(rule)) == rule
    assert read_rule(json.dumps(to_builtins(rule), ensure_ascii=False)) == rule


@patch.object(counting, "FEWEST", 0)
def test_events_of_nobody_known_and_of_ids_far_apart_are_counted_right() -> None:
    def who_viewed(ids: list[int]) -> dict[int, bool]:
        people = [{"customer_id": who} for who in ids]
        events = [{"customer_id": who, "occurred_at": at(2028, 1, 5)} for who in (-5, 0, *ids[1:], 2**40, 2**62)]
        with facts_with(customers=people, events=events) as (connection, facts):
            rows = _rows(connection, matching(facts, {"viewed": read_rule(VIEWS)}, plain.AS_OF, TAIPEI))
        return {who: row["viewed"] for who, row in rows.items()}

    assert who_viewed([7, 3, 5]) == {7: False, 3: True, 5: True}
    assert who_viewed([7, 3, 5 * 10**12]) == {7: False, 3: True, 5 * 10**12: True}
    assert who_viewed([]) == {}
    with patch.object(counting, "MOST_COUNTERS", 4):  # ids from 3 to 7 are 5
        assert who_viewed([7, 3, 5]) == {7: False, 3: True, 5: True}


def test_equal_measures_share_a_column() -> None:
    window = {"last_days": 30}
    views = {"type": "events", "kinds": ["click"], "window": window}
    given_rules = {
        "a": read_rule({**views, "at_least": 1}),
        "b": read_rule({"type": "not", "of": {**views, "more_than": 5}}),
        "c": read_rule({"type": "clicks", "window": window, "at_most": 2}),
    }
    assert len(compile_rules(given_rules, plain.AS_OF, TAIPEI).columns) == 1
