"""The numeric core: whose acts count, what the shares are, and when a value is called short."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest
from scipy import stats

from segmentation.demand.acts import catalogue, product_count, shares
from segmentation.demand.shortage import measured, shortages
from segmentation.demand.unanswered import unanswered
from segmentation.engine import open_duckdb
from segmentation.facts import SCHEMAS, Facts, facts_of

TAIPEI = ZoneInfo("Asia/Taipei")
SINCE = datetime(2026, 8, 1, tzinfo=TAIPEI)
UNTIL = datetime(2026, 11, 1, tzinfo=TAIPEI)
AT = datetime(2026, 10, 1, 4, 0, tzinfo=UTC)
CATALOGUE: list[dict[str, Any]] = [
    {"sku": "A", "name": "去屑洗髮精", "labels": ["去屑"], "categories": ["洗髮"], "in_stock": True},
    {"sku": "B", "name": "抗油洗髮精", "labels": ["抗油"], "categories": ["洗髮"], "in_stock": None},
    {"sku": "C", "name": "雙效洗髮精", "labels": ["去屑", "抗油"], "categories": ["洗髮"], "in_stock": True},
    {"sku": "D", "name": "頭皮精華", "labels": ["頭皮養護"], "categories": ["養護"], "in_stock": True},
    {"sku": "E", "name": "頭皮面膜", "labels": ["頭皮養護"], "categories": ["養護"], "in_stock": False},
    {"sku": "F", "name": "禮盒", "labels": [], "categories": [], "in_stock": True},
]


def by_words(texts: Sequence[str]) -> list[list[str]]:
    """A tokenizer for texts that are already cut, by spaces."""
    return [text.lower().split() for text in texts]


@pytest.fixture
def duck() -> Iterator[Any]:
    with open_duckdb(TAIPEI) as connection:
        yield connection


def facts(duck: Any, **rows: list[dict[str, Any]]) -> Facts:
    whole = {"products": CATALOGUE, **rows}
    return facts_of(duck, **{name: table_of(name, values) for name, values in whole.items()})


def table_of(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema = SCHEMAS[name].to_pyarrow()
    return pa.Table.from_pylist([{**dict.fromkeys(schema.names), **row} for row in rows], schema=schema)


def view(customer_id: int, sku: str | None = None, at: datetime = AT, **fields: Any) -> dict[str, Any]:
    return {"customer_id": customer_id, "kind": "product_view", "occurred_at": at, "sku": sku, **fields}


def line(customer_id: int, sku: str, quantity: int = 10_000) -> dict[str, Any]:
    return {
        "order_id": customer_id,
        "customer_id": customer_id,
        "ordered_at": AT,
        "sku": sku,
        "quantity": quantity,
        "unit_price": 1,
        "discount": 0,
    }


def wants(duck: Any, found: Facts) -> dict[tuple[int, str], dict[str, Any]]:
    values = catalogue(duck, found)
    _, table = shares(duck, found, values, SINCE, UNTIL, by_words)
    return {(row["customer_id"], row["value"]): row for row in duck.to_pyarrow(table).to_pylist()}


def test_a_persons_share_is_the_part_of_their_acts_averaged_over_their_signals(duck: Any) -> None:
    found = wants(
        duck,
        facts(
            duck,
            events=[view(1, "A"), view(1, "C"), view(1, "D"), view(1, "F"), view(1, kind="click", topic="頭皮養護")],
            lines=[line(1, "A")],
            words=[{"customer_id": 1, "occurred_at": AT, "text": "頭皮養護 抗油 嗎"}],
        ),
    )
    dandruff, oil, scalp = (found[1, name] for name in ("去屑", "抗油", "頭皮養護"))
    assert (dandruff["looked"], dandruff["clicked"], dandruff["asked"], dandruff["bought"]) == (0.5, 0.0, 0.0, 1.0)
    assert (oil["looked"], oil["asked"]) == (0.25, 0.5)
    assert (scalp["looked"], scalp["clicked"], scalp["asked"], scalp["bought"]) == (0.25, 1.0, 0.5, 0.0)
    assert [row["share"] for row in (dandruff, oil, scalp)] == [0.375, 0.1875, 0.4375]


def test_signals_that_a_person_did_not_give_do_not_count(duck: Any) -> None:
    found = wants(duck, facts(duck, events=[view(1, "A"), view(1, "B")]))
    assert found[1, "去屑"]["clicked"] is None
    assert found[1, "去屑"]["share"] == 0.5


@pytest.mark.parametrize(
    ("at", "counts"),
    [
        (SINCE, True),
        (SINCE - timedelta(microseconds=1), False),
        (UNTIL, False),
        (UNTIL - timedelta(microseconds=1), True),
    ],
)
def test_the_window_is_half_open(duck: Any, at: datetime, counts: bool) -> None:
    words = [{"customer_id": 2, "occurred_at": at, "text": "抗油"}]
    bought = {**line(3, "A"), "ordered_at": at}
    found = wants(duck, facts(duck, events=[view(1, "A", at)], words=words, lines=[bought]))
    assert set(found) == ({(1, "去屑"), (1, "洗髮"), (2, "抗油"), (3, "去屑"), (3, "洗髮")} if counts else set())


def test_looking_again_on_the_same_day_says_nothing_new_and_unknown_or_returned_things_nothing_at_all(
    duck: Any,
) -> None:
    again = [view(1, "A", AT + timedelta(minutes=n)) for n in range(50)]
    found = wants(
        duck,
        facts(duck, events=[*again, view(1, "B"), view(1, "unknown")], lines=[line(1, "D", -10_000), line(1, "?")]),
    )
    assert found[1, "去屑"]["share"] == 0.5
    assert (1, "頭皮養護") not in found
    other_day = wants(duck, facts(duck, events=[*again, view(1, "A", AT + timedelta(days=1)), view(1, "B")]))
    assert other_day[1, "去屑"]["share"] == pytest.approx(2 / 3)


def test_the_catalogue_counts_what_is_in_stock_and_a_topic_that_nothing_serves_is_there_with_none(duck: Any) -> None:
    found = facts(duck, events=[view(1, topic="植萃"), view(1, topic="抗油"), view(1, topic="養護"), view(1, topic="")])
    rows = duck.to_pyarrow(catalogue(duck, found)).to_pylist()
    assert {(row["dimension"], row["value"]): row["products"] for row in rows} == {
        ("label", "去屑"): 2,
        ("label", "抗油"): 2,
        ("label", "頭皮養護"): 1,
        ("category", "洗髮"): 3,
        ("category", "養護"): 1,
        ("topic", "植萃"): 0,
    }
    assert product_count(duck, found) == 5
    assert wants(duck, found)[1, "植萃"]["looked"] == pytest.approx(1 / 3)


def short(duck: Any, found: Facts, groups: dict[str, Sequence[int]]) -> list[dict[str, Any]]:
    values = catalogue(duck, found)
    people, wanted = shares(duck, found, values, SINCE, UNTIL, by_words)
    members = ibis.memtable(
        pa.table(
            {
                "customer_id": pa.array([n for ids in groups.values() for n in ids], pa.int64()),
                "group": [key for key, ids in groups.items() for _ in ids],
            }
        )
    )
    rows: list[dict[str, Any]] = shortages(
        duck, members, people, wanted, values, product_count(duck, found)
    ).to_pylist()
    return rows


def test_a_catalogue_short_of_scalp_care_is_told_first_and_one_that_serves_it_is_not(duck: Any) -> None:
    skus = [f"S{n}" for n in range(40)]
    products = [
        {"sku": s, "name": s, "labels": ["去屑" if n < 36 else "頭皮養護"], "categories": []}
        for n, s in enumerate(skus)
    ]
    scalp, dandruff = skus[36:], skus[:36]
    events = [view(n, (scalp if n % 5 else dandruff)[n % 4]) for n in range(1, 201)]  # 4 of 5 look at scalp care
    by_value = {
        row["value"]: row for row in short(duck, facts(duck, products=products, events=events), {"g": range(1, 201)})
    }
    missing, plenty = by_value["頭皮養護"], by_value["去屑"]
    assert missing["is_short"]
    assert (missing["people"], missing["group_people"], missing["products"]) == (160, 200, 4)
    assert missing["demand_share"] == pytest.approx(160.5 / 201)
    assert missing["catalogue_share"] == pytest.approx(4.5 / 41)
    assert missing["demand_low"] == pytest.approx(stats.beta.ppf(0.025, 160.5, 40.5))
    assert missing["ratio_low"] < missing["ratio"] < missing["ratio_high"]
    assert missing["priority"] == pytest.approx(np.log(missing["ratio_low"]) * 160)
    assert not plenty["is_short"]
    assert plenty["priority"] == 0
    served = [{**p, "labels": ["頭皮養護" if n < 32 else "去屑"]} for n, p in enumerate(products)]
    events = [view(n, skus[(n * 7) % 40]) for n in range(1, 201)]
    assert not any(
        row["is_short"] for row in short(duck, facts(duck, products=served, events=events), {"g": range(1, 201)})
    )


def test_people_who_take_products_at_random_lack_nothing(duck: Any) -> None:
    random = np.random.default_rng(5)
    labels = [[f"L{k}" for k in np.flatnonzero(random.random(8) < 0.3)] for _ in range(60)]
    products = [{"sku": f"S{n}", "name": "", "labels": own, "categories": []} for n, own in enumerate(labels)]
    events = [view(n, f"S{random.integers(60)}") for n in range(1, 801) for _ in range(random.integers(1, 12))]
    rows = short(duck, facts(duck, products=products, events=events), {"g": range(1, 801)})
    assert len(rows) == 8
    assert [row["value"] for row in rows if row["is_short"]] == []
    assert all(0.85 < row["ratio"] < 1.15 for row in rows)


def test_one_who_looks_at_everything_all_day_has_one_voice(duck: Any) -> None:
    loud = [view(1, "D", AT + timedelta(days=n)) for n in range(20)]
    quiet = [view(n, "A") for n in range(2, 12)]
    rows = {row["value"]: row for row in short(duck, facts(duck, events=[*loud, *quiet]), {"g": range(1, 12)})}
    assert "頭皮養護" not in rows  # one person: nothing is said of it
    assert rows["去屑"]["demand_share"] == pytest.approx(10.5 / 12)


@pytest.mark.parametrize(("people", "told"), [(4, False), (5, True)])
def test_nothing_is_said_of_what_fewer_than_five_want(duck: Any, people: int, told: bool) -> None:
    rows = short(duck, facts(duck, events=[view(n, "D") for n in range(people)]), {"g": range(people)})
    assert bool(rows) == told


def test_groups_are_measured_by_their_own_members_only(duck: Any) -> None:
    events = [*(view(n, "D") for n in range(10)), *(view(n, "A") for n in range(10, 20))]
    rows = short(duck, facts(duck, events=events), {"a": range(10), "b": range(10, 20), "empty": range(90, 99)})
    label = {(row["group"], row["value"]): row["people"] for row in rows if row["dimension"] == "label"}
    assert label == {("a", "頭皮養護"): 10, ("b", "去屑"): 10}


def test_more_people_with_the_same_wish_make_it_surer(duck: Any) -> None:
    rows = pa.table(
        {
            "group": ["g"] * 3,
            "dimension": ["label"] * 3,
            "value": ["few", "some", "many"],
            "people": [10, 100, 1000],
            "group_people": [20, 200, 2000],
            "voices": [10.0, 100.0, 1000.0],
            "products": [3, 3, 3],
            **{f"{name}_share": [None] * 3 for name in ("looked", "clicked", "asked", "bought")},
        }
    )
    found = measured(rows, 10).to_pylist()
    assert [row["value"] for row in found] == ["many", "some", "few"]
    assert [row["is_short"] for row in found] == [True, True, False]
    assert found[0]["ratio_low"] > found[1]["ratio_low"] > found[2]["ratio_low"]


def test_no_rows_are_no_shortages(duck: Any) -> None:
    assert short(duck, facts(duck), {"g": [1]}) == []


def said(duck: Any, texts: dict[int, str], **more: Any) -> list[tuple[str, int]]:
    words = [{"customer_id": n, "occurred_at": more.get("at", AT), "text": text} for n, text in texts.items()]
    members = ibis.memtable(pa.table({"customer_id": pa.array(range(100), pa.int64()), "group": ["g"] * 100}))
    rows = unanswered(duck, facts(duck, words=words), members, SINCE, UNTIL, by_words).to_pylist()
    return [(row["word"], row["people"]) for row in rows]


def test_words_without_a_product_are_told_by_people_and_conversation_is_not(duck: Any) -> None:
    texts = dict.fromkeys(range(6), "請問 有沒有 生髮 生髮 洗髮 謝謝 123 NT$5")
    texts |= dict.fromkeys(range(6, 11), "生髮 敏感肌")
    assert said(duck, texts) == [("生髮", 11), ("敏感肌", 5)]


@pytest.mark.parametrize(("people", "told"), [(4, []), (5, [("生髮", 5)])])
def test_what_fewer_than_five_people_said_stays_unsaid(duck: Any, people: int, told: list[tuple[str, int]]) -> None:
    assert said(duck, dict.fromkeys(range(people), "生髮")) == told


def test_a_word_inside_a_products_name_label_or_category_is_answered(duck: Any) -> None:
    for word in ("精華", "頭皮", "養護", "抗油"):
        assert said(duck, dict.fromkeys(range(9), word)) == []


def test_words_outside_the_window_are_not_heard(duck: Any) -> None:
    assert said(duck, dict.fromkeys(range(9), "生髮"), at=UNTIL) == []
