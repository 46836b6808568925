"""The day on which a rule tag falls off is the day on which a daily renewal really takes it off, for rules of every
kind of condition that can be foreseen; where it can't be, no day is said."""

import json
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest

from segmentation.engine import kept, open_duckdb
from segmentation.facts import SCHEMAS, Facts, facts_of, keep
from segmentation.rules.compile import compile_rules, matching
from segmentation.rules.reading import read_rule
from segmentation.rules.types import Rule
from segmentation.tags.current import SCHEMA as TAG_SCHEMA
from segmentation.tags.days import FOREVER
from segmentation.tags.foreseen import first_day_without, leaves_of
from segmentation.tags.intervals import Future, can_be_foreseen, daily_measures
from tests.segmentation.tags.renewal import TAIPEI

AS_OF = date(2028, 2, 25)  # before a 29 February, and birthdays of that day
CYCLE_DAYS = 7
DAYS_AHEAD = 32
DAY = timedelta(days=1)
PEOPLE = 60


def at(random: Random, most_days: int) -> datetime:
    """A time before AS_OF in Taipei, now and then the first or last moment of its day."""
    day = AS_OF - random.randint(1, most_days) * DAY
    midnight = datetime(day.year, day.month, day.day, tzinfo=TAIPEI)
    return (midnight + random.choice([0, 1, 43_200_000_000, 86_399_999_999]) * timedelta(microseconds=1)).astimezone(
        UTC
    )


def rows_of(random: Random) -> dict[str, list[dict[str, Any]]]:
    """What PEOPLE did: the rows of each table of facts."""
    people = range(1, PEOPLE + 1)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}
    about = {"a": (["皂"], []), "b": (["皂"], ["染護"]), "c": ([], ["染護"])}
    found["products"] = [{"sku": sku, "name": sku, "categories": c, "labels": n} for sku, (c, n) in about.items()]
    for person in people:
        day = AS_OF + random.randint(-20, 20) * DAY
        birthday = day.replace(year=2000) if random.random() < 0.7 else date(2000, 2, 29)
        born = birthday.replace(year=random.choice([1984, 1988, 1992]))
        who = {"birthday": random.choice([born, born, day, None]), "city": random.choice(["台中", "台北"])}
        found["customers"].append({"customer_id": person} | who)
        for _ in range(random.choice([0, 1, 2, 3, 6])):
            order_id, moment = len(found["orders"]) + 1, at(random, 25)
            amount = random.choice([50, 100, 100, -50]) * 10_000
            found["orders"].append(
                {"order_id": order_id, "customer_id": person, "ordered_at": moment, "amount": amount}
            )
            for sku in random.sample("abc", random.randint(1, 2)):
                price = {"quantity": random.choice([1, 2]) * 10_000, "unit_price": 500_000, "discount": 0}
                line = {"order_id": order_id, "customer_id": person, "ordered_at": moment, "sku": sku}
                found["lines"].append(line | price)
        for _ in range(random.choice([0, 1, 3, 8])):
            kind = random.choice(["product_view", "click"])
            thing = {"sku": random.choice(["a", "b", None]), "topic": random.choice(["髮", None]), "campaign_id": 1}
            found["events"].append({"customer_id": person, "kind": kind, "occurred_at": at(random, 25)} | thing)
        if random.random() < 0.5:
            change = {"id": len(found["changes"]) + 1, "as_of": AS_OF - random.randint(0, 20) * DAY}
            found["changes"].append(change | {"customer_id": person, "old_rf4": "new", "rf4": "regular"})
    return found


def segments_at(orders: list[dict[str, Any]], as_of: date) -> list[dict[str, Any]]:
    """NESL and what it stands on, as of a day."""
    found = []
    for person in range(1, PEOPLE + 1):
        days = sorted(row["ordered_at"].astimezone(TAIPEI).date() for row in orders if row["customer_id"] == person)
        cycle = 3 + person % 9

        def state(cycle: int, days: list[date] = days) -> str:
            if not days:
                return "never"
            gone = (as_of - days[-1]).days
            fresh = "N" if len(days) == 1 else "E"
            return fresh if gone <= cycle else "S1" if gone <= 2 * cycle else "S2" if gone <= 3 * cycle else "L"

        states = {"nesl": state(CYCLE_DAYS), "nesl_personal": state(cycle)}
        nes = {name.replace("nesl", "nes"): "S" if s in ("S1", "S2", "L") else s for name, s in states.items()}
        known = {"last_ordered_on": days[-1], "frequency": len(days), "cycle_days": cycle} if days else {}
        found.append({"customer_id": person, "activity": "none", "rf4": "new"} | states | nes | known)
    return found


def some_limits(random: Random, most: int) -> dict[str, Any]:
    low = random.randint(0, most)
    high = low + random.randint(0, most)
    both = {"at_least": low, "at_most": high}
    return random.choice([{"at_least": low}, {"at_most": high}, {"more_than": low}, {"less_than": high + 1}, both])


def some_days(random: Random) -> dict[str, Any]:
    ends = {"from": "2028-02-08", "until": "2028-02-18"}
    return random.choice([ends, {"from": ends["from"]}, {"until": ends["until"]}])


def leaf(random: Random) -> dict[str, Any]:
    """A condition that can be foreseen."""
    window: dict[str, Any] = random.choice(
        [{"window": {"last_days": random.randint(1, 30)}}] * 3
        + [{}, {"window": {"from": "2028-02-10", "until": "2028-02-20"}}, {"window": {"from": "2028-02-15"}}]
    )
    some: list[dict[str, Any]] = [{"labels": ["染護"]}, {"skus": ["a"]}, {"categories": ["皂"], "labels": ["染護"]}]
    products: dict[str, Any] = random.choice([{}, {}, {}, *({"products": one} for one in some)])
    measure = random.choice(["count", "days", "sum", "average", "quantity", "first", "last"])
    most = {"sum": 200, "average": 100, "first": 25, "last": 25}.get(measure, 3)
    since = {"days": some_limits(random, 20)} if random.random() < 0.5 else {}
    choices: list[dict[str, Any]] = [
        {"type": "orders", "measure": measure, **some_limits(random, most), **window, **products},
        {"type": "orders", "measure": "last", "on": {"last_days": random.randint(1, 30)}, **products},
        {"type": "orders", "measure": random.choice(["first", "last"]), "on": some_days(random), **window},
        {"type": "events", "kinds": ["product_view"], **some_limits(random, 3), **window, **products},
        {"type": "clicks", "topics": ["髮"], **some_limits(random, 2), **window},
        {"type": "age", **some_limits(random, 45)},
        {"type": "birthday", "within_days": random.choice([0, 3, 10, 365, 366])},
        {"type": "attribute", "name": "city", "is": "台中"},
        {"type": "tag", "name": random.choice(["手動", "自動"]), **since},
        {"type": "moved", "model": "rf4", "to": ["regular"], **random.choice([{}, {"window": some_days(random)}])},
        {
            "type": "segment",
            "model": random.choice(["nesl", "nes", "nesl_personal", "nes_personal"]),
            "in": random.sample(["never", "N", "E", "S", "S1", "S2", "L"], 3),
        },
        {"type": "measure", "name": "recency_days", **some_limits(random, 20)},
        {"type": "measure", "name": "frequency", **some_limits(random, 3)},
    ]
    chosen = random.choice(choices)
    if chosen["type"] == "segment":
        known = {"S"} if chosen["model"].startswith("nes_") or chosen["model"] == "nes" else {"S1", "S2", "L"}
        chosen["in"] = [name for name in chosen["in"] if name in {"never", "N", "E"} | known] or ["N"]
    return chosen


def some_rule(random: Random, depth: int = 2) -> dict[str, Any]:
    if depth == 0 or random.random() < 0.3:
        return leaf(random)
    kind = random.choice(["all", "any", "not"])
    if kind == "not":
        return {"type": "not", "of": some_rule(random, depth - 1)}
    return {"type": kind, "of": [some_rule(random, depth - 1) for _ in range(random.randint(1, 3))]}


def arrow(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema = SCHEMAS[name].to_pyarrow()
    full = [{column: row.get(column) for column in schema.names} for row in rows]
    return pa.Table.from_pylist(full, schema=schema)


def tags_of(random: Random) -> list[dict[str, Any]]:
    """A person's tag with a last day, kept to its end, and a computed one off as of its day."""
    found = []
    for person in range(1, PEOPLE + 1):
        for tag, source in (("手動", "hand"), ("自動", "group")):
            if random.random() < 0.6:
                day = random.choice([None, AS_OF + random.randint(1, 30) * DAY])
                row = {"id": 0, "tag_id": 0, "customer_id": person, "strength": 1.0, "source": source, "tag": tag}
                found.append(row | {"since": at(random, 20), "falls_off_on": day})
    return found


def tags_left(tags: list[dict[str, Any]], as_of: date) -> list[dict[str, Any]]:
    last = {"hand": DAY, "group": 0 * DAY}
    return [row for row in tags if row["falls_off_on"] is None or as_of < row["falls_off_on"] + last[row["source"]]]


def foreseen(connection: Any, facts: Facts, tags: list[dict[str, Any]], rule: Rule, holders: list[int]) -> Any:
    """Customer -> the day said for a rule, of these holders."""
    compiled = compile_rules({"rule": rule}, AS_OF, TAIPEI)
    measured = kept(connection, "measured", compiled.measured(facts))
    schema = pa.schema([*TAG_SCHEMA.to_pyarrow(), pa.field("tag", pa.string())])
    on = keep(connection, "on_now", pa.Table.from_pylist(tags, schema=schema))
    people = keep(connection, "holder", pa.table({"customer_id": pa.array(holders, pa.int64())}))
    daily = daily_measures(facts, people, compiled, leaves_of(rule))
    future = Future(facts, people, compiled, measured, on, daily, CYCLE_DAYS)
    rows = connection.to_pyarrow(first_day_without(rule, future)).to_pylist()
    assert len({row["customer_id"] for row in rows}) == len(rows)
    return {row["customer_id"]: row["falls_off_on"] for row in rows}


@pytest.mark.parametrize("seed", range(2))
def test_the_day_said_is_the_day_on_which_a_daily_renewal_takes_it_off(seed: int) -> None:
    random = Random(seed)
    given = rows_of(random)
    tags = tags_of(random)
    written = [some_rule(random) for _ in range(12)] + [leaf(random) for _ in range(12)]
    rules = {f"rule{place}": read_rule(rule) for place, rule in enumerate(written)}
    with open_duckdb(TAIPEI) as connection:
        held: dict[str, dict[int, date | None]] = {}
        for days in range(DAYS_AHEAD + 1):
            day = AS_OF + days * DAY
            now = given | {"segments": segments_at(given["orders"], day), "tags": tags_left(tags, day)}
            facts = facts_of(connection, **{name: arrow(name, rows) for name, rows in now.items()})
            for row in connection.to_pyarrow(matching(facts, rules, day, TAIPEI)).to_pylist():
                for key in rules:
                    if days == 0 and row[key]:
                        held.setdefault(key, {})[row["customer_id"]] = None
                    elif not row[key] and held.get(key, {}).get(row["customer_id"], day) is None:
                        held[key][row["customer_id"]] = day
        now = given | {"segments": segments_at(given["orders"], AS_OF), "tags": tags}
        facts = facts_of(connection, **{name: arrow(name, rows) for name, rows in now.items()})
        ended = 0
        for key, expected in held.items():
            assert all(can_be_foreseen(leaf, AS_OF, has_cycle=True) for leaf in leaves_of(rules[key]))
            said = foreseen(connection, facts, tags, rules[key], list(expected))
            near = {who: said[who] if said.get(who, FOREVER) <= AS_OF + DAYS_AHEAD * DAY else None for who in expected}
            assert near == expected, json.dumps(written[int(key[4:])], ensure_ascii=False)
            ended += sum(day is not None for day in expected.values())
        assert ended > 50  # the facts are such that there is something to foresee


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "segment", "model": "rf4", "in": ["new"]},
        {"type": "segment", "model": "nesl", "in": ["never"], "days_ago": 3},
        {"type": "measure", "name": "r", "at_least": 0},
        {"type": "measure", "name": "loyalty", "at_least": 0},
        {"type": "tag", "name": "手動", "strength": {"at_least": "0.1"}},
        {"type": "moved", "model": "nesl", "to": ["S1", "S2", "L"], "window": {"last_days": 40}},
        {"type": "moved", "model": "rf4", "to": ["new"], "window": {"last_days": 7}},
    ],
)
def test_what_hangs_on_the_population_or_on_moves_to_come_can_t_be_foreseen(condition: dict[str, Any]) -> None:
    assert not can_be_foreseen(read_rule(condition), AS_OF, has_cycle=True)


@pytest.mark.parametrize(
    ("condition", "is_known"),
    [
        ({"type": "segment", "model": "nesl", "in": ["E"]}, False),
        ({"type": "segment", "model": "rf4", "in": ["new"], "on": "2028-02-25"}, True),
        ({"type": "segment", "model": "rf4", "in": ["new"], "on": "2028-02-26"}, False),
        ({"type": "measure", "name": "recency_days", "at_most": 9}, False),
        ({"type": "measure", "name": "paid_total", "at_least": 9}, True),
        ({"type": "orders", "measure": "last", "at_most": 9}, True),
    ],
)
def test_with_a_look_back_window_recency_can_t_be_foreseen(condition: dict[str, Any], is_known: bool) -> None:
    assert can_be_foreseen(read_rule(condition), AS_OF, has_cycle=False) == is_known


@pytest.mark.parametrize(
    ("born_in", "within_days", "until"), [(10, 5, 7), (10, 366, 7), (5, 3, 7), (6, 0, 8), (5, 366, None)]
)
def test_a_birthday_before_birth_is_none(born_in: int, within_days: int, until: int | None) -> None:
    birthday = {"type": "birthday", "within_days": within_days}
    rule = read_rule({"type": "any", "of": [{"type": "orders", "measure": "last", "at_most": 7}, birthday]})
    bought = datetime(AS_OF.year, AS_OF.month, AS_OF.day, tzinfo=TAIPEI) - DAY
    order = {"order_id": 1, "customer_id": 1, "ordered_at": bought, "amount": 10_000}
    with open_duckdb(TAIPEI) as connection:
        rows = {"customers": [{"customer_id": 1, "birthday": AS_OF + born_in * DAY}], "orders": [order]}
        facts = facts_of(connection, **{name: arrow(name, some) for name, some in rows.items()})
        assert foreseen(connection, facts, [], rule, [1]) == ({1: AS_OF + until * DAY} if until else {})


def test_a_rule_that_holds_for_ever_has_no_day_and_one_that_does_not_hold_before_has_none_either() -> None:
    rule = read_rule({"type": "not", "of": {"type": "orders", "measure": "count", "at_least": 1}})
    with open_duckdb(TAIPEI) as connection:
        facts = facts_of(connection, customers=arrow("customers", [{"customer_id": 1}]))
        assert foreseen(connection, facts, [], rule, [1]) == {}
