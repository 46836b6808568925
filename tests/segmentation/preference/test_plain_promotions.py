"""Promotion styles, price sensitivity and labels bought against a plain reading of docs/preferences.md, order by order;
and the day on which each falls off, day by day."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from math import log2
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest

from segmentation.engine import open_duckdb
from segmentation.preference.compute import preferences
from segmentation.preference.scores import CURRENT
from segmentation.preference.settings import PreferenceSettings
from tests.segmentation.preference.test_signals import MONEY, facts, line, order, product

TAIPEI = ZoneInfo("Asia/Taipei")
AS_OF = date(2026, 6, 1)
PRICES = {"A": 100, "B": 300, "C": 80}
LABELS = {"A": ["去屑"], "B": ["染護", "抗油"], "C": []}
CODES = {None: None, "MAMA": None, "SALE9": "打折", "買一送一": "買一送一", "滿千折百": "滿額", "POINT5": "點數"}
SETTINGS = PreferenceSettings()
Key = tuple[int, str, str]


@pytest.fixture(scope="module")
def duck() -> Iterator[Any]:
    with open_duckdb(TAIPEI) as connection:
        yield connection


def shop(random: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Orders, some without lines, and their lines: at full price, cut, at half, free, given back, and coupons that are
    lines below 0. Refunded and cancelled orders are no facts at all."""
    orders, lines = [], []
    for number in range(240):
        who = 1 + number % 12
        at = datetime(2026, 5, 31, random.randrange(24), tzinfo=TAIPEI) - timedelta(days=random.randrange(260))
        mine = []
        for _ in range(random.choice([0, 1, 1, 2, 3])):
            sku = random.choice("ABC")
            price, pieces = PRICES[sku], random.choice([1, 1, 2, 3])
            kind = random.choice(["full", "full", "cut", "half", "free", "gift", "back", "coupon"])
            cut = {"cut": 15, "half": price * pieces / 2, "free": price * pieces}.get(kind, 0)
            mine.append(line(number, sku, 0 if kind == "gift" else price, pieces, cut))
            if kind == "back":
                mine.append(line(number, sku, price, -random.choice([1, pieces])))
            if kind == "coupon":
                mine.append(line(number, "COUPON", -20))
        total = sum(one["quantity"] * one["unit_price"] / MONEY - one["discount"] for one in mine) / MONEY
        common = {"customer_id": who, "ordered_at": at.astimezone(UTC)}
        paid = total + random.choice([0, 0, 60, -30])
        orders.append(order(number, 0, coupon=random.choice(list(CODES))) | common | {"amount": int(paid * MONEY)})
        lines += [one | common for one in mine]
    return orders, lines


def signals(orders: Iterable[dict[str, Any]], lines: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """(customer, dimension, value or None, day, weight, portion, whole) of every order, as the page tells it."""
    for one in orders:
        who, day = one["customer_id"], one["ordered_at"].astimezone(TAIPEI).date()
        by_sku = defaultdict(list)
        for part in lines:
            if part["order_id"] == one["order_id"] and part["unit_price"] >= 0:
                by_sku[part["sku"]].append(
                    (part["quantity"] / MONEY, part["unit_price"] / MONEY, part["discount"] / MONEY)
                )
        kept = {sku: parts for sku, parts in by_sku.items() if sum(part[0] for part in parts) > 0}
        styles = styles_of(kept.values(), CODES[one["coupon"]])
        for style in (*styles, *([] if styles else [None])):
            yield (
                who,
                "promotion",
                style,
                day,
                float(style is not None),
                float(style is not None),
                1 / max(len(styles), 1),
            )
        listed = sum(q * (price or PRICES[sku]) for sku, parts in kept.items() for q, price, _ in parts)
        if listed > 0:
            paid = max(min(sum(paid_for(part) for parts in kept.values() for part in parts), one["amount"] / MONEY), 0)
            depth = max(1 - paid / listed, 0)
            yield who, "price", "價格敏感", day, float(depth >= 0.05), listed * depth, listed / 2
            yield who, "price", "價格不敏感", day, float(depth < 0.05), listed * (1 - depth), listed / 2
        yield from labels_of(who, day, kept)


def paid_for(part: tuple[float, float, float]) -> float:
    pieces, price, discount = part
    return max(pieces * price - discount, 0) if pieces > 0 else pieces * price + abs(discount)


def styles_of(articles: Iterable[list[tuple[float, float, float]]], code: str | None) -> list[str]:
    found = {code} - {None}
    bought = [[part for part in parts if part[0] > 0] for parts in articles]
    anything_paid = any(paid_for(part) > 0 for parts in bought for part in parts)
    for parts in bought:
        free = [part for part in parts if paid_for(part) == 0]
        paid = [part for part in parts if paid_for(part) > 0]
        halves = [part for part in paid if part[0] % 2 == 0 and part[2] == part[0] * part[1] / 2]
        found |= {"打折"} if any(part[2] > 0 and part not in halves for part in paid) else set()
        found |= {"買一送一"} if halves or (free and paid) else set()
        found |= {"滿額"} if free and not paid and anything_paid else set()
    return sorted(one for one in found if one)


def labels_of(who: int, day: date, kept: dict[str, list[tuple[float, float, float]]]) -> Iterator[tuple[Any, ...]]:
    money = {sku: max(sum(paid_for(part) for part in parts), 0) for sku, parts in kept.items() if LABELS[sku]}
    count = {sku: sum(part[0] > 0 for part in kept[sku]) for sku in money}
    values = {label for sku in money for label in LABELS[sku]}
    share_by = money if sum(money.values()) > 0 else count
    for label in values:
        mine = [sku for sku in money if label in LABELS[sku]]
        pieces = sum(part[0] for sku in mine for part in kept[sku])
        more = 0.25 * log2(pieces)
        portion = sum(share_by[sku] for sku in mine) / sum(share_by.values())
        yield who, "label", label, day, 1 + min(more, 0.5), portion, 1 / len(values)


def plainly(rows: list[tuple[Any, ...]], as_of: date, on: set[Key]) -> dict[Key, tuple[float, float, bool]]:
    score, portion = defaultdict[Key, float](float), defaultdict[Key, float](float)
    whole = defaultdict[tuple[int, str], float](float)
    for who, dimension, value, day, weight, part, of in rows:
        fade = 0.5 ** ((as_of - day).days / 90)
        whole[who, dimension] += of * fade
        if value is not None:
            score[who, dimension, value] += weight * fade
            portion[who, dimension, value] += part * fade
    found = {}
    for key in score:
        line_of = SETTINGS.lines.get("=".join(key[1:])) or SETTINGS.lines[key[1]]
        share = portion[key] / whole[key[:2]] if whole[key[:2]] else 0
        above = score[key] >= line_of.on - 1e-9 and share >= line_of.share_on - 1e-9
        kept = key in on and score[key] >= line_of.off - 1e-9 and share >= line_of.share_off - 1e-9
        found[key] = (score[key], share, above or kept)
    return found


def found_by(duck: Any, known: Any, as_of: date, on: set[Key]) -> dict[Key, dict[str, Any]]:
    current = pa.Table.from_pylist(
        [dict(zip(CURRENT.names, key, strict=True)) for key in sorted(on)], schema=CURRENT.to_pyarrow()
    )
    made = preferences(duck, known, as_of=as_of, settings=SETTINGS, current=current, tokenize=None)
    rows = duck.to_pyarrow(made).to_pylist()
    return {(row["customer_id"], row["dimension"], row["value"]): row for row in rows}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_orders_are_read_as_the_page_tells(duck: Any, seed: int) -> None:
    orders, lines = shop(Random(seed))
    rows = list(signals(orders, lines))
    products = [product(sku, LABELS[sku], price=price) for sku, price in PRICES.items()]
    known = facts(duck, orders=orders, lines=lines, products=products)
    plain = plainly(rows, AS_OF, set())
    on = {key for key, (_, _, is_on) in plain.items() if is_on}
    found = found_by(duck, known, AS_OF, set())
    assert found.keys() == on
    assert {key[1] for key in on} == {"label", "promotion", "price"}
    for key, row in found.items():
        assert (row["score"], row["share"]) == pytest.approx(plain[key][:2])
    due = {key: row["falls_off_on"] for key, row in found.items()}
    for days in range(1, 1 + max((day - AS_OF).days for day in due.values())):
        as_of = AS_OF + timedelta(days=days)
        on = {key for key, (_, _, is_on) in plainly(rows, as_of, on).items() if is_on}
        assert on == {key for key, day in due.items() if day > as_of}, as_of
    some = sorted(set(due.values()))[:3]
    held = {key for key, day in due.items() if day >= some[-1]}
    again = found_by(duck, known, some[-1], held)
    assert {key for key, row in again.items() if row["is_on"]} == {key for key in held if due[key] > some[-1]}
