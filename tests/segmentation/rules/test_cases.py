"""The cases that the domain names, with every boundary; and each kind of condition."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from segmentation.rules.types import Rule
from tests.segmentation.rules.people import Rows, at, people, who

VIEWED_THEN_NOT = {
    "type": "all",
    "of": [
        {
            "type": "events",
            "kinds": ["product_view"],
            "more_than": 4,
            "window": {"from": "2021-10-05", "until": "2021-10-28"},
        },
        {
            "type": "events",
            "kinds": ["product_view"],
            "at_most": 0,
            "window": {"from": "2021-10-28", "until": "2021-11-28"},
        },
    ],
}
FIRST, LAST = at(2021, 10, 5), at(2021, 10, 27, 23, 59, 59, 999_999)
INSIDE = at(2021, 10, 15)


def views(*times: datetime, customer_id: int = 1, kind: str = "product_view") -> Rows:
    return [{"customer_id": customer_id, "kind": kind, "occurred_at": time} for time in times]


@pytest.mark.parametrize(
    ("events", "is_in"),
    [
        (views(FIRST, FIRST, INSIDE, LAST, LAST), True),
        (views(FIRST, INSIDE, LAST, LAST), False),  # exactly 4 is not more than 4
        (views(*[INSIDE] * 4, at(2021, 10, 28)), False),  # the first moment after: doesn't count, and is a view after
        (views(*[INSIDE] * 5, at(2021, 10, 28)), False),
        (views(*[INSIDE] * 5, at(2021, 11, 27, 23, 59, 59, 999_999)), False),
        (views(*[INSIDE] * 5, at(2021, 11, 28)), True),  # after the second window
        (views(*[INSIDE] * 4, FIRST - timedelta(microseconds=1)), False),
        (views(*[INSIDE] * 4) + views(INSIDE, kind="page_view"), False),
        (views(*[INSIDE] * 5) + views(at(2021, 11, 1), kind="page_view"), True),
        (views(*[INSIDE] * 5, customer_id=2), False),
        ([], False),
    ],
)
def test_viewed_more_than_four_times_and_then_not_at_all(events: Rows, is_in: bool) -> None:
    found = who(VIEWED_THEN_NOT, date(2021, 12, 1), customers=people(1, 2), events=events)
    assert (1 in found) is is_in


def test_what_happens_on_the_day_asked_for_or_later_does_not_count() -> None:
    events = views(*[INSIDE] * 4, at(2021, 10, 20))
    asked = VIEWED_THEN_NOT["of"][0]
    assert isinstance(asked, dict)
    assert who(asked, date(2021, 10, 20), customers=people(1), events=events) == set()
    assert who(asked, date(2021, 10, 21), customers=people(1), events=events) == {1}


@pytest.mark.parametrize(
    ("change", "is_in"),
    [
        ({}, True),
        ({"city": "台北市"}, False),
        ({"city": None}, False),
        ({"gender": "male"}, False),
        ({"birthday": date(1986, 11, 1)}, True),  # 35 today
        ({"birthday": date(1986, 11, 2)}, False),  # 35 tomorrow
        ({"birthday": date(1970, 11, 2)}, True),  # 51 tomorrow
        ({"birthday": date(1970, 11, 1)}, False),  # 51 today
        ({"birthday": None}, False),
    ],
)
@pytest.mark.parametrize("segment", ["new_high_value", "high_value"])
def test_lives_in_taichung_a_woman_of_35_to_50_in_new_high_value(
    change: dict[str, Any], is_in: bool, segment: str
) -> None:
    rule = {
        "type": "all",
        "of": [
            {"type": "attribute", "name": "city", "is": "台中市"},
            {"type": "attribute", "name": "gender", "is": "female"},
            {"type": "age", "at_least": 35, "at_most": 50},
            {"type": "segment", "model": "rfm3", "in": ["new_high_value"]},
        ],
    }
    customer = {"customer_id": 1, "city": "台中市", "gender": "female", "birthday": date(1980, 1, 1), **change}
    segments = [{"customer_id": 1, "rfm3": segment}]
    found = who(rule, date(2021, 11, 2), customers=[customer], segments=segments)  # so today is 1 November
    assert found == ({1} if is_in and segment == "new_high_value" else set())


PRODUCTS: Rows = [
    {"sku": "T1", "name": "美白化妝水", "categories": ["化妝水", "保養"], "labels": ["美白"]},
    {"sku": "T2", "name": "保濕化妝水", "categories": ["化妝水"], "labels": ["保濕"]},
    {"sku": "C1", "name": "Whitening Cream", "categories": ["乳霜"], "labels": ["美白"]},
    {"sku": "N1", "name": "nothing known of it", "categories": None, "labels": None},
]
TONER = {"categories": ["化妝水"], "labels": ["美白"]}


@pytest.mark.parametrize(
    ("skus", "when", "is_in"),
    [
        (["T1"], at(2021, 11, 1), True),
        (["T1"], at(2020, 11, 2), True),  # the first moment of the 365 days
        (["T1"], at(2020, 11, 1, 23, 59, 59, 999_999), False),
        (["T1"], at(2021, 11, 2), False),  # the day asked for
        (["T2", "C1"], at(2021, 11, 1), False),  # toner, and something of 美白: not the same product
        (["N1", "gone"], at(2021, 11, 1), False),
    ],
)
def test_bought_toner_of_whitening_in_the_last_year(skus: list[str], when: datetime, is_in: bool) -> None:
    rule = {"type": "orders", "measure": "count", "at_least": 1, "products": TONER, "window": {"last_days": 365}}
    lines = [{"customer_id": 1, "sku": sku, "ordered_at": when} for sku in skus]
    found = who(rule, date(2021, 11, 2), customers=people(1), lines=lines, products=PRODUCTS)
    assert found == ({1} if is_in else set())


@pytest.mark.parametrize(
    ("rule", "is_in"),
    [
        ({"measure": "count", "at_least": 2, "at_most": 2}, True),
        ({"measure": "sum", "at_least": "300.0001"}, True),
        ({"measure": "sum", "more_than": "300.0001"}, False),
        ({"measure": "sum", "less_than": "300.0002"}, True),
        ({"measure": "average", "at_least": "150", "less_than": "150.0001"}, True),  # 150.00005
        ({"measure": "days", "at_least": 2}, True),
        ({"measure": "quantity", "at_least": "3.5", "at_most": "3.5"}, True),
        ({"measure": "first", "at_least": 57, "at_most": 57}, True),
        ({"measure": "last", "at_most": 55}, False),
        ({"measure": "last", "at_most": 56}, True),
        ({"measure": "first", "on": {"from": "2021-10-06", "until": "2021-10-07"}}, True),
        ({"measure": "last", "on": {"until": "2021-10-07"}}, False),
        ({"measure": "count", "at_least": 2, "products": {"skus": ["A", "B"]}}, True),
        ({"measure": "sum", "at_least": "224.9995", "at_most": "224.9995", "products": {"skus": ["B"]}}, True),
        ({"measure": "average", "at_most": "224.9994", "products": {"skus": ["B"]}}, False),
        ({"measure": "quantity", "at_least": "2.5", "products": {"skus": ["B"]}}, True),
        ({"measure": "last", "at_most": 56, "products": {"skus": ["A"]}}, False),
        ({"measure": "average", "at_least": 0, "window": {"from": "2021-11-01"}}, False),  # no order: no average
        ({"measure": "sum", "at_most": 0, "window": {"from": "2021-11-01"}}, True),
    ],
)
def test_orders(rule: dict[str, Any], is_in: bool) -> None:
    first, second = at(2021, 10, 6), at(2021, 10, 7, 23, 59)
    orders = [
        {"customer_id": 1, "order_id": 1, "ordered_at": first, "amount": 1_000_000},
        {"customer_id": 1, "order_id": 2, "ordered_at": second, "amount": 2_000_001},
    ]
    lines = [
        {"customer_id": 1, "order_id": 1, "ordered_at": first, "sku": "A", "unit_price": 1_000_000},
        {
            "customer_id": 1,
            "order_id": 2,
            "ordered_at": second,
            "sku": "B",
            "quantity": 25_000,
            "unit_price": 900_000,
            "discount": 5,
        },
    ]
    found = who({"type": "orders", **rule}, date(2021, 12, 2), customers=people(1), orders=orders, lines=lines)
    assert found == ({1} if is_in else set())


def test_amounts_beyond_64_bits_of_line_units_stay_exact() -> None:
    huge = 10**16  # 10^12 in money
    lines = [{"customer_id": 1, "sku": "A", "ordered_at": at(2021, 1, 1), "unit_price": huge, "discount": 1}] * 50
    orders = [{"customer_id": 1, "ordered_at": at(2021, 1, 1), "amount": huge}] * 50
    of_lines = {"type": "orders", "measure": "sum", "products": {"skus": ["A"]}}
    exactly = {"at_least": "49999999999999.995", "at_most": "49999999999999.995"}
    assert who({**of_lines, **exactly}, date(2022, 1, 1), customers=people(1), lines=lines) == {1}
    whole = {"type": "orders", "measure": "sum", "at_least": "50000000000000", "at_most": "50000000000000"}
    assert who(whole, date(2022, 1, 1), customers=people(1), orders=orders) == {1}


@pytest.mark.parametrize(
    ("birthday", "today", "days"),
    [
        (date(1990, 11, 2), date(2026, 11, 2), 0),
        (date(1990, 1, 3), date(2026, 12, 31), 3),  # across the end of the year
        (date(1990, 11, 1), date(2026, 11, 2), 364),
        (date(1992, 2, 29), date(2026, 2, 27), 1),  # kept on 28 February in a common year
        (date(1992, 2, 29), date(2028, 2, 28), 1),
        (date(1992, 2, 29), date(2026, 3, 1), 364),
        (date(1992, 2, 29), date(2027, 3, 1), 365),  # over the leap day of 2028: on the 29th again
        (date(1990, 3, 1), date(2028, 2, 28), 2),
    ],
)
def test_birthdays(birthday: date, today: date, days: int) -> None:
    customers: Rows = [{"customer_id": 1, "birthday": birthday}, {"customer_id": 2}]
    day = today + timedelta(days=1)
    assert who({"type": "birthday", "within_days": days}, day, customers=customers) == {1}
    if days:
        assert who({"type": "birthday", "within_days": days - 1}, day, customers=customers) == set()


def test_who_was_born_on_a_leap_day_is_older_on_the_first_of_march() -> None:
    customers = people(1, birthday=date(1992, 2, 29))
    rule = {"type": "age", "at_least": 35}
    assert who(rule, date(2027, 3, 1), customers=customers) == set()  # today is 28 February
    assert who(rule, date(2027, 3, 2), customers=customers) == {1}


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ({"name": "膚質", "is": "油性"}, {1}),
        ({"name": "膚質", "in": ["油性", "乾性"]}, {1, 2}),
        ({"name": "膚質", "contains": "性"}, {1, 2}),
        ({"name": "膚質", "exists": False}, {3}),
        ({"name": "a/b~c", "at_least": 5}, {1}),
        ({"name": "a/b~c", "is": 5}, {1}),
        ({"name": "vip", "is": True}, {2}),
        ({"name": "vip", "exists": True}, {1, 2}),
        ({"name": "name", "contains": "LIN"}, {3}),
        ({"name": "is_following", "is": False}, {2}),
        ({"name": "is_following", "exists": False}, {3}),
        ({"name": "is_refused", "is": False}, {1, 2, 3}),
    ],
)
def test_attributes(test: dict[str, Any], found: set[int]) -> None:
    customers = [
        {"customer_id": 1, "attributes": '{"膚質": "油性", "a/b~c": 5.0, "vip": false}', "is_following": True},
        {"customer_id": 2, "attributes": '{"膚質": "乾性", "a/b~c": "nan", "vip": true}', "is_following": False},
        {"customer_id": 3, "attributes": '{"膚質": null, "a/b~c": "many"}', "name": "Ms Lin"},
    ]
    assert who({"type": "attribute", **test}, date(2026, 1, 1), customers=customers) == found


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ({"name": "gender", "is": "female"}, {1, 2, 3}),
        ({"name": "gender", "is": "女"}, {1, 2, 3}),
        ({"name": "gender", "in": ["M", "other"]}, {4, 5}),
        ({"name": "city", "is": "台中市"}, {1, 2}),
        ({"name": "city", "in": ["臺中市", "台東縣"]}, {1, 2, 3}),
        ({"name": "city", "contains": "臺"}, {1, 2, 3, 4}),
        ({"name": "city", "is": "台中"}, set()),
        ({"name": "name", "is": "臺"}, {5}),
    ],
)
def test_a_gender_or_a_city_is_the_same_however_it_is_written(test: dict[str, Any], found: set[int]) -> None:
    genders = ("Female", "女", "f", "男性", "Other")
    cities = ("臺中市", "台中市", "臺東縣", "台北市", None)
    named = ("台", None, None, None, "臺")
    customers = [
        {"customer_id": place, "gender": gender, "city": city, "name": name}
        for place, (gender, city, name) in enumerate(zip(genders, cities, named, strict=True), start=1)
    ]
    assert who({"type": "attribute", **test}, date(2026, 1, 1), customers=customers) == found


def test_tags_that_are_on_and_for_how_long() -> None:
    tags = [
        {"customer_id": 1, "tag": "vip", "since": at(2026, 1, 1, 23, 59), "strength": 0.5},
        {"customer_id": 2, "tag": "vip", "since": at(2026, 1, 2), "strength": 0.4},
        {"customer_id": 3, "tag": "other"},
    ]
    facts: dict[str, Rows] = {"customers": people(1, 2, 3), "tags": tags}
    as_of = date(2026, 1, 11)
    assert who({"type": "tag", "name": "vip"}, as_of, **facts) == {1, 2}
    assert who({"type": "tag", "name": "vip", "days": {"at_least": 10}}, as_of, **facts) == {1}
    assert who({"type": "tag", "name": "vip", "days": {"at_most": 9}}, as_of, **facts) == {2}
    assert who({"type": "tag", "name": "vip", "strength": {"at_least": 0.5}}, as_of, **facts) == {1}


def _change(number: int, as_of: date, old: str | None, new: str | None, customer_id: int = 1) -> dict[str, Any]:
    moment = at(2026, 12, 1)
    return {"id": number, "customer_id": customer_id, "as_of": as_of, "changed_at": moment, "old_rf4": old, "rf4": new}


CHANGES: Rows = [
    _change(1, date(2026, 1, 1), None, "new"),
    _change(2, date(2026, 2, 1), "new", "regular"),
    _change(3, date(2026, 3, 1), "regular", None),
    _change(4, date(2026, 1, 15), "new", "former"),  # an earlier day, computed later
]


@pytest.mark.parametrize(
    ("when", "segment"),
    [
        ({"on": "2025-12-31"}, None),
        ({"on": "2026-01-01"}, "new"),
        ({"on": "2026-01-14"}, "new"),
        ({"on": "2026-01-31"}, "former"),
        ({"on": "2026-02-01"}, "regular"),
        ({"days_ago": 1}, "regular"),  # 28 February
        ({"days_ago": 29}, "former"),  # 31 January
        ({"on": "2026-03-01"}, None),  # out of the model again
        ({}, "one_time"),
    ],
)
def test_segments_now_and_before(when: dict[str, Any], segment: str | None) -> None:
    segments: Rows = [{"customer_id": 1, "rf4": "one_time"}]
    for name in ("new", "regular", "former", "one_time"):
        rule = {"type": "segment", "model": "rf4", "in": [name], **when}
        found = who(rule, date(2026, 3, 1), customers=people(1, 2), changes=CHANGES, segments=segments)
        assert found == ({1} if name == segment else set()), name


@pytest.mark.parametrize(
    ("move", "is_in"),
    [
        ({"from": ["new"], "to": ["regular"]}, True),
        ({"to": ["regular"], "window": {"from": "2026-01-31", "until": "2026-02-01"}}, True),  # the day before
        ({"to": ["regular"], "window": {"from": "2026-02-01"}}, False),
        ({"to": ["regular"], "window": {"until": "2026-01-31"}}, False),
        ({"from": ["regular"], "window": {"last_days": 1}}, True),
        ({"from": ["new"], "to": ["one_time"]}, False),
        ({"to": ["new"]}, True),  # from nothing
    ],
)
def test_moves(move: dict[str, Any], is_in: bool) -> None:
    rule = {"type": "moved", "model": "rf4", **move}
    found = who(rule, date(2026, 3, 1), customers=people(1, 2), changes=CHANGES)
    assert found == ({1} if is_in else set())


def test_lines_drawn_anew_move_nobody() -> None:
    change = {**_change(1, date(2026, 1, 1), "new", "one_time"), "is_relabelled": True}
    moved = {"type": "moved", "model": "rf4", "to": ["one_time"]}
    was = {"type": "segment", "model": "rf4", "in": ["one_time"], "on": "2026-02-01"}
    assert who(moved, date(2026, 3, 1), customers=people(1), changes=[change]) == set()
    assert who(was, date(2026, 3, 1), customers=people(1), changes=[change]) == {1}


def test_a_change_in_another_model_is_no_move() -> None:
    change = _change(1, date(2026, 1, 1), "new", "new")
    rule = {"type": "moved", "model": "rf4", "to": ["new"]}
    assert who(rule, date(2026, 3, 1), customers=people(1), changes=[change]) == set()


@pytest.mark.parametrize(
    ("measure", "found"),
    [
        ({"name": "frequency", "at_most": 0}, {2, 3}),
        ({"name": "paid_total", "at_least": "12.5", "at_most": "12.5"}, {1}),
        ({"name": "recency_days", "at_least": 10, "at_most": 10}, {1}),
        ({"name": "loyalty", "at_most": 0}, {2, 3}),
        ({"name": "r", "at_most": 5}, {1}),
        ({"name": "p_buy", "at_least": 0.25}, {1}),
        ({"name": "spend_90", "less_than": "3"}, {1}),
    ],
)
def test_measures(measure: dict[str, Any], found: set[int]) -> None:
    segments: Rows = [
        {
            "customer_id": 1,
            "last_ordered_on": date(2026, 1, 1),
            "frequency": 3,
            "paid_total": 125_000,
            "r": 5,
            "loyalty": 0.5,
        },
        {"customer_id": 2},
    ]
    predictions: Rows = [{"customer_id": 1, "p_buy": 0.25, "spend_90": 29_999}]
    rule = {"type": "measure", **measure}
    facts: dict[str, Rows] = {"customers": people(1, 2, 3), "segments": segments, "predictions": predictions}
    assert who(rule, date(2026, 1, 11), **facts) == found


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"type": "clicks", "topics": ["維他命"], "at_least": 1}, {1}),
        ({"type": "clicks", "campaigns": [7], "at_least": 1}, {1, 2}),
        ({"type": "clicks", "at_most": 0}, {3}),
        ({"type": "events", "kinds": ["click", "page_view"], "at_least": 1}, {1, 2, 3}),
        ({"type": "events", "kinds": ["page_view"], "products": TONER, "at_least": 1}, {3}),
        ({"type": "events", "kinds": ["page_view"], "products": {"name_contains": "cream"}, "at_least": 1}, set()),
    ],
)
def test_clicks_and_what_events_are_about(rule: Rule | dict[str, Any], found: set[int]) -> None:
    when = at(2026, 1, 1)
    events = [
        {"customer_id": 1, "kind": "click", "occurred_at": when, "topic": "維他命", "campaign_id": 7},
        {"customer_id": 2, "kind": "click", "occurred_at": when, "campaign_id": 7},
        {"customer_id": 3, "kind": "page_view", "occurred_at": when, "sku": "T1", "topic": "維他命"},
    ]
    facts: dict[str, Rows] = {"customers": people(1, 2, 3), "events": events, "products": PRODUCTS}
    assert who(rule, date(2026, 2, 1), **facts) == found


def test_a_kind_of_event_that_is_named_twice_is_that_kind_alone() -> None:
    taps: dict[str, Any] = {"type": "events", "kinds": ["click", "click"], "at_least": 1}
    carts: dict[str, Any] = {"type": "events", "kinds": ["add_to_cart"], "at_least": 1}
    events = views(INSIDE, kind="click", customer_id=1) + views(INSIDE, kind="add_to_cart", customer_id=2)
    asked = {"type": "all", "of": [taps, {"type": "not", "of": carts}]}
    assert who(taps, date(2021, 12, 1), customers=people(1, 2), events=events) == {1}
    assert who(asked, date(2021, 12, 1), customers=people(1, 2), events=events) == {1}
    either = {"type": "any", "of": [taps, {**carts, "at_least": 9}]}
    assert who(either, date(2021, 12, 1), customers=people(1, 2), events=events) == {1}
