"""What is read from facts: orders, looks, taps, promotions, prices and words."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest

from segmentation.engine import open_duckdb
from segmentation.facts import SCHEMAS, Facts, facts_of
from segmentation.preference.choices import settings_of
from segmentation.preference.compute import preferences
from segmentation.preference.promotions import price_signals, promotion_signals
from segmentation.preference.scores import CURRENT
from segmentation.preference.settings import PreferenceSettings
from segmentation.preference.signals import bought, looked_at, product_values, topics
from segmentation.preference.tags import wanted_values
from segmentation.preference.words import said_words
from store.errors import BadInput

NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
MONEY = 10_000
DEFAULT = PreferenceSettings()


@pytest.fixture(scope="module")
def duck() -> Iterator[Any]:
    with open_duckdb(ZoneInfo("Asia/Taipei")) as connection:
        yield connection


def rows_of(name: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    schema = SCHEMAS[name].to_pyarrow()
    return pa.Table.from_pylist([{column: row.get(column) for column in schema.names} for row in rows], schema=schema)


def facts(duck: Any, **tables: Sequence[dict[str, Any]]) -> Facts:
    return facts_of(duck, **{name: rows_of(name, rows) for name, rows in tables.items()})


def product(sku: str, labels: Sequence[str] = (), categories: Sequence[str] = (), price: int = 0) -> dict[str, Any]:
    return {"sku": sku, "name": sku, "labels": labels, "categories": categories, "price": price * MONEY}


def order(order_id: int, amount: int, **fields: Any) -> dict[str, Any]:
    return {"order_id": order_id, "customer_id": 1, "ordered_at": NOON, "amount": amount * MONEY, **fields}


def line(order_id: int, sku: str, price: int, quantity: float = 1, discount: float = 0) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "customer_id": 1,
        "ordered_at": NOON,
        "sku": sku,
        "quantity": int(quantity * MONEY),
        "unit_price": price * MONEY,
        "discount": int(discount * MONEY),
    }


def by_value(duck: Any, signals: Any) -> dict[str | None, dict[str, Any]]:
    found = {row["value"]: row for row in duck.to_pyarrow(signals).to_pylist()}
    assert len(found) == duck.to_pyarrow(signals).num_rows
    return found


def test_an_order_counts_once_for_a_value_and_shares_go_by_money(duck: Any) -> None:
    products = [product("A", ["去屑", "抗油"]), product("B", ["染護"]), product("C", ["染護"]), product("X")]
    lines = [line(1, "A", 300), line(1, "B", 50), line(1, "C", 100, discount=50), line(1, "X", 900)]
    known = facts(duck, products=products, lines=lines)
    found = by_value(duck, bought(known.lines, product_values(known.products)))
    assert found.keys() == {"去屑", "抗油", "染護"}
    assert found["染護"]["portion"] == pytest.approx(0.25)
    assert found["去屑"]["portion"] == found["抗油"]["portion"] == pytest.approx(0.75)
    assert found["去屑"]["weight"] == 1.0
    assert found["染護"]["weight"] == 1.25  # two pieces
    assert sum(row["whole"] for row in found.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("pieces", "weight"), [(0.3, 1.0), (1, 1.0), (2, 1.25), (4, 1.5), (100, 1.5)])
def test_stocking_up_says_a_little_more_than_buying(duck: Any, pieces: float, weight: float) -> None:
    known = facts(duck, products=[product("A", ["染護"])], lines=[line(1, "A", 10, pieces)])
    [row] = duck.to_pyarrow(bought(known.lines, product_values(known.products))).to_pylist()
    assert row["weight"] == weight
    assert row["weight"] * 2 ** (-1 / 90) < DEFAULT.lines["label"].on


def test_returned_pieces_say_nothing_and_free_orders_share_by_lines(duck: Any) -> None:
    products = [product("A", ["去屑"]), product("B", ["染護"])]
    lines = [line(1, "A", 100, quantity=-1), line(2, "A", 0), line(2, "B", 0), line(2, "B", 0)]
    lines += [line(3, "B", 100), line(3, "B", 100, quantity=-1)]
    known = facts(duck, products=products, lines=lines)
    found = by_value(duck, bought(known.lines, product_values(known.products)))
    assert {row["order_id"] for row in found.values()} == {2}
    assert found["去屑"]["portion"] == pytest.approx(1 / 3)


def test_looking_again_on_the_same_day_says_nothing_new_and_the_day_is_the_brands(duck: Any) -> None:
    midnight = datetime(2026, 2, 28, 16, tzinfo=UTC)  # in Taipei
    times = [midnight - timedelta(seconds=1), midnight, midnight + timedelta(hours=3)]
    events = [{"customer_id": 1, "kind": "product_view", "occurred_at": at, "sku": "A"} for at in times]
    events += [{"customer_id": 1, "kind": "wave", "occurred_at": midnight, "sku": "A"}]
    known = facts(duck, products=[product("A", ["染護"], ["洗髮"])], events=events)
    rows = duck.to_pyarrow(looked_at(known.events, product_values(known.products), DEFAULT)).to_pylist()
    assert {(r["dimension"], r["day"]) for r in rows} == {
        (dimension, day) for dimension in ("label", "category") for day in (date(2026, 2, 28), date(2026, 3, 1))
    }
    assert {(r["weight"], r["whole"]) for r in rows} == {(0.1, 0.1)}


def test_a_topic_counts_once_a_day(duck: Any) -> None:
    events = [
        {"customer_id": 1, "kind": "click", "occurred_at": NOON + timedelta(hours=n), "topic": topic}
        for n, topic in enumerate(["維他命 C", "維他命 C", "防曬", ""])
    ]
    rows = duck.to_pyarrow(topics(facts(duck, events=events).events, DEFAULT)).to_pylist()
    assert sorted(row["value"] for row in rows) == ["維他命 C", "防曬"]


@pytest.mark.parametrize(
    ("lines", "styles"),
    [
        ([line(1, "A", 100)], {None}),
        ([line(1, "A", 100, discount=10)], {"打折"}),
        ([line(1, "A", 100), line(1, "A", 0)], {"買一送一"}),
        ([line(1, "A", 100), line(1, "A", 100, discount=100)], {"買一送一"}),
        ([line(1, "A", 100, quantity=2, discount=100)], {"買一送一"}),
        ([line(1, "A", 99, quantity=2, discount=99)], {"買一送一"}),
        ([line(1, "A", 100, quantity=3, discount=150)], {"打折"}),
        ([line(1, "A", 100, discount=50)], {"打折"}),
        ([line(1, "A", 100), line(1, "B", 0)], {"滿額"}),
        ([line(1, "B", 0)], {None}),
        ([line(1, "A", 100, discount=5), line(1, "B", 0)], {"打折", "滿額"}),
        ([line(1, "A", 100), line(1, "B", 0), line(1, "B", 0, quantity=-1)], {None}),
        ([line(1, "A", 100), line(1, "COUPON", -20)], {None}),
        ([], {None}),
    ],
)
def test_a_promotions_style_is_read_from_an_orders_lines(
    duck: Any, lines: list[dict[str, Any]], styles: set[str | None]
) -> None:
    known = facts(duck, orders=[order(1, 100)], lines=lines)
    found = by_value(duck, promotion_signals(known, DEFAULT))
    assert found.keys() == styles
    assert sum(row["whole"] for row in found.values()) == pytest.approx(1.0)
    assert all(row["weight"] == (value is not None) for value, row in found.items())


@pytest.mark.parametrize(
    ("code", "style"),
    [
        ("SALE20", "打折"),
        ("週末9折", "打折"),
        ("summer-15%", "打折"),
        ("買一送一券", "買一送一"),
        ("BOGO-MAY", "買一送一"),
        ("滿千打9折", "滿額"),
        ("spend500", "滿額"),
        ("紅利折抵", "點數"),
        ("POINTS-100", "點數"),
        ("VIP2026", "點數"),  # the brand's own list
        ("vip2026", "點數"),
        ("XVIP2026", None),
        ("MAMA", None),
        ("OFFICE", None),
        (None, None),
    ],
)
def test_a_coupons_style_comes_from_the_brands_list_or_from_its_code(
    duck: Any, code: str | None, style: str | None
) -> None:
    known = facts(duck, orders=[order(1, 100, coupon=code)])
    found = by_value(duck, promotion_signals(known, PreferenceSettings(coupon_styles={"VIP*": "點數"})))
    assert found.keys() == {style}


@pytest.mark.parametrize(
    ("amount", "lines", "depth"),
    [
        (100, [line(1, "A", 100)], 0.0),
        (160, [line(1, "A", 100)], 0.0),  # with shipping
        (80, [line(1, "A", 100)], 0.2),  # off the whole order
        (80, [line(1, "A", 100, discount=20)], 0.2),
        (140, [line(1, "A", 100, discount=20)], 0.2),
        (100, [line(1, "A", 100), line(1, "A", 0)], 0.5),
        (-5, [line(1, "A", 100)], 1.0),
        (100, [line(1, "A", 100, quantity=2), line(1, "A", 100, quantity=-1)], 0.0),  # one came back
        (100, [line(1, "A", 100), line(1, "B", 900), line(1, "B", 900, quantity=-1)], 0.0),
        (80, [line(1, "A", 100), line(1, "COUPON", -20)], 0.2),
    ],
)
def test_the_depth_of_discount_is_what_was_taken_off_the_worth(
    duck: Any, amount: int, lines: list[dict[str, Any]], depth: float
) -> None:
    known = facts(duck, orders=[order(1, amount)], lines=lines, products=[product("A", price=100)])
    found = by_value(duck, price_signals(known))
    worth = sum(row["whole"] for row in found.values())
    assert found["價格敏感"]["portion"] / worth == pytest.approx(depth)
    assert found["價格不敏感"]["portion"] / worth == pytest.approx(1 - depth)
    assert found["價格敏感"]["weight"] == (depth >= 0.05)


def test_only_the_brands_words_come_out_of_chat_and_no_sentence_is_kept_as_evidence(duck: Any) -> None:
    asked: list[str] = []

    def tokenize(texts: Sequence[str]) -> list[list[str]]:
        asked.extend(texts)
        return [text.lower().replace("Ａ", "a").split() for text in texts]

    said = ["請問 染護 怎麼用", "我住 台中市", "Vitamin C 好嗎", "染護 是 什麼", "染護劑"]
    words = [{"customer_id": 1, "occurred_at": NOON + timedelta(days=n), "text": text} for n, text in enumerate(said)]
    known = facts(duck, words=words, products=[product("A", ["染護", "Vitamin"], ["洗髮"])])
    rows = duck.to_pyarrow(said_words(duck, known, tokenize)).to_pylist()
    assert sorted(row["value"] for row in rows) == ["Vitamin", "染護", "染護"]
    assert "我住 台中市" not in asked
    found = preferences(
        duck,
        known,
        as_of=date(2026, 3, 10),
        settings=DEFAULT,
        current=CURRENT.to_pyarrow().empty_table(),
        tokenize=tokenize,
    )
    [row] = duck.to_pyarrow(found).to_pylist()
    assert (row["dimension"], row["value"], row["is_on"]) == ("word", "染護", True)
    assert "怎麼用" not in row["evidence"]
    assert [signal["source"] for signal in json.loads(row["evidence"])["signals"]] == ["word", "word"]


def test_without_a_tokenizer_words_are_left_alone(duck: Any) -> None:
    current = pa.Table.from_pylist(
        [
            {"customer_id": 1, "dimension": "word", "value": "染護"},
            {"customer_id": 1, "dimension": "label", "value": "x"},
        ],
        schema=CURRENT.to_pyarrow(),
    )
    found = preferences(duck, facts(duck), as_of=date(2026, 3, 10), settings=DEFAULT, current=current, tokenize=None)
    [row] = duck.to_pyarrow(found).to_pylist()
    assert (row["dimension"], row["is_on"]) == ("label", False)
    assert json.loads(row["evidence"])["off_by"] == "score"


def test_evidence_holds_the_five_signals_that_count_most(duck: Any) -> None:
    orders = [order(n, 100, ordered_at=NOON - timedelta(days=10 * n)) for n in range(8)]
    lines = [
        {**line(n, "A", 100, quantity=4 if n == 6 else 1), "ordered_at": orders[n]["ordered_at"]} for n in range(8)
    ]
    known = facts(duck, products=[product("A", ["染護"])], orders=orders, lines=lines)
    current = CURRENT.to_pyarrow().empty_table()
    found = preferences(duck, known, as_of=date(2026, 3, 2), settings=DEFAULT, current=current, tokenize=None)
    [row] = [row for row in duck.to_pyarrow(found).to_pylist() if row["dimension"] == "label"]
    evidence = json.loads(row["evidence"])
    assert [signal["order_id"] for signal in evidence["signals"]] == [0, 6, 1, 2, 3]
    assert evidence["score"] == pytest.approx(row["score"], abs=1e-4)
    assert evidence["off_by"] is None


def test_parts_of_the_population_and_a_customer_alone_give_the_same_rows(duck: Any) -> None:
    people = range(1, 30)
    orders = [order(100 * who + n, 100, customer_id=who) for who in people for n in range(who % 4)]
    lines = [
        {**line(one["order_id"], "AB"[one["order_id"] % 2], 100), "customer_id": one["customer_id"]} for one in orders
    ]
    words = [
        {"customer_id": who, "occurred_at": NOON + timedelta(days=n), "text": "染護"} for who in people for n in (0, 1)
    ]
    current = [{"customer_id": who, "dimension": "label", "value": "抗油"} for who in people if who % 3 == 0]

    def found(chosen: Sequence[int], part_rows: int) -> list[dict[str, Any]]:
        tables = {"orders": orders, "lines": lines, "words": words}
        mine = {name: [row for row in rows if row["customer_id"] in chosen] for name, rows in tables.items()}
        known = facts(duck, products=[product("A", ["染護"]), product("B", ["去屑"])], **mine)
        rows = preferences(
            duck,
            known,
            as_of=date(2026, 3, 10),
            settings=PreferenceSettings(least_people=2, most_share=1),
            current=pa.Table.from_pylist([c for c in current if c["customer_id"] in chosen], CURRENT.to_pyarrow()),
            tokenize=lambda texts: [[text] for text in texts],
            part_rows=part_rows,
        )
        told = duck.to_pyarrow(rows.mutate(score=rows.score.round(9), share=rows.share.round(9))).to_pylist()
        return sorted(told, key=lambda row: (row["customer_id"], row["dimension"], row["value"]))

    whole = found(people, 10**6)
    wanted = wanted_values(duck, PreferenceSettings(least_people=2, most_share=1))
    assert ("label", "染護") in wanted
    assert {row["is_on"] for row in whole} == {True, False}
    ahead = {row["customer_id"]: json.loads(row["evidence"])["ahead"] for row in whole if not row["is_on"]}
    assert (ahead[6], ahead[12]) == ("去屑", None)  # of two that stand alike the first by name; who bought nothing
    assert found(people, 7) == whole
    assert wanted_values(duck, PreferenceSettings(least_people=2, most_share=1)) == wanted
    assert [row for who in people for row in found([who], 10**6)] == whole


def test_settings_are_taken_over_the_defaults_dimension_before_value() -> None:
    made = settings_of(
        {"half_life_days": 120, "lines": {"price": {"off": 0.5}, "label=染護": {"on": 2}, "label": {"share_on": 0.3}}}
    )
    assert made.lines["label=染護"].on == 2
    assert made.lines["label=染護"].share_on == made.lines["label"].share_on == 0.3
    assert made.lines["price=價格敏感"].off == 0.5
    assert made.lines["price=價格敏感"].share_on == DEFAULT.lines["price=價格敏感"].share_on
    assert {line.half_life_days for line in made.lines.values()} == {120}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"half_life_days": 0}, "half_life_days"),
        ({"half_life_days": 3651}, "half_life_days"),
        ({"half_lives": 3}, "half_lives"),
        ({"on": 0.5}, "threshold"),
        ({"lines": {"colour": {"on": 1}}}, "colour"),
        ({"lines": {"label=染護": {"share_on": 0.05}}}, "label=染護"),
        ({"coupon_styles": {"X": "免運"}}, "免運"),
        ({"least_people": 0}, "least_people"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_by_name(value: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        settings_of(value)
