"""Rules read slowly and plainly, one customer at a time: what the compiler is held against. Random rules and facts."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from random import Random
from typing import Any

from hypothesis import strategies as st

from segmentation.rules.references import References
from segmentation.rules.types import (
    Age,
    AllOf,
    AnyOf,
    Attribute,
    Birthday,
    Bounds,
    Clicks,
    Events,
    InSegment,
    Measure,
    Moved,
    NotOf,
    Orders,
    Products,
    Rule,
    RuleReference,
    Score,
    Tagged,
    Window,
)
from tests.segmentation.rules.people import TAIPEI, Rows

AS_OF = date(2028, 3, 2)
NESL = ("N", "E", "S1")
AMOUNTS = ("-0.0001", "0", "0.4999", "0.5", "0.9999", "1", "1.5", "2")  # in money; sums that occur
Tables = dict[str, Rows]
# Saved rules that random ones mention, one of them by way of another.
SAVED: dict[str, Rule] = {
    "沒看過": NotOf(of=Events(kinds=("product_view",), at_least=Decimal(1))),
    "沒看過又是 vip": AllOf(of=(RuleReference(name="沒看過"), Tagged(name="vip"), RuleReference(name="沒看過"))),
}
REFERENCES = References(SAVED)


def holds(rule: Rule, one: int, tables: Tables) -> bool:
    """Whether `rule` holds for the customer `one` as of AS_OF."""
    match rule:
        case AllOf():
            return all(holds(part, one, tables) for part in rule.of)
        case AnyOf():
            return any(holds(part, one, tables) for part in rule.of)
        case NotOf():
            return not holds(rule.of, one, tables)
        case RuleReference():
            return holds(SAVED[rule.name], one, tables)
        case Orders():
            return _orders(rule, one, tables)
        case Events():
            return within(len(_events(rule, rule.kinds, rule.products, one, tables)), rule)
        case Clicks():
            return within(len(_events(rule, ("click",), None, one, tables)), rule)
        case Moved():
            return any(_is_move(rule, row) for row in _of(tables, "changes", one))
        case InSegment():
            return _segment(rule, one, tables) in rule.in_
        case Tagged():
            return any(_tag_fits(rule, row) for row in _of(tables, "tags", one))
        case Measure():
            table = "predictions" if rule.name in ("p_buy", "spend_90") else "segments"
            row = next(iter(_of(tables, table, one)), {})
            value = row.get(rule.name)
            if rule.name == "recency_days":
                last = row.get("last_ordered_on")
                value = None if last is None else (AS_OF - last).days
            elif rule.name == "paid_total":
                value = Decimal(value or 0) / 10_000
            elif rule.name == "spend_90":
                value = None if value is None else Decimal(value) / 10_000
            elif rule.name == "loyalty":
                value = value or 0
            return within(value, rule)
    return _about_the_person(rule, next(row for row in tables["customers"] if row["customer_id"] == one))


def within(value: Any, bounds: Bounds) -> bool:
    """Whether a value (None: unknown) keeps the limits."""
    if value is None:
        return False
    return (
        (bounds.at_least is None or value >= bounds.at_least)
        and (bounds.at_most is None or value <= bounds.at_most)
        and (bounds.more_than is None or value > bounds.more_than)
        and (bounds.less_than is None or value < bounds.less_than)
    )


def inside(window: Window | None, day: date) -> bool:
    """Whether a day counts."""
    if day >= AS_OF:
        return False
    if window is None:
        return True
    if window.last_days is not None:
        return day >= AS_OF - timedelta(days=window.last_days)
    return (window.from_ is None or day >= window.from_) and (window.until is None or day < window.until)


def _day(moment: datetime) -> date:
    return moment.astimezone(TAIPEI).date()


def _of(tables: Tables, name: str, one: int) -> Rows:
    return [row for row in tables[name] if row["customer_id"] == one]


def _fits(products: Products | None, sku: str | None, tables: Tables) -> bool:
    if products is None:
        return True
    if products.skus and sku not in products.skus:
        return False
    row = next((row for row in tables["products"] if row["sku"] == sku), None)
    if row is None:
        return not (products.categories or products.labels or products.name_contains)
    return (
        set(products.categories or ()) <= set(row["categories"])
        and set(products.labels or ()) <= set(row["labels"])
        and (products.name_contains or "").lower() in row["name"].lower()
    )


def _events(rule: Any, kinds: Any, products: Products | None, one: int, tables: Tables) -> Rows:
    return [
        row
        for row in _of(tables, "events", one)
        if row["kind"] in kinds
        and inside(rule.window, _day(row["occurred_at"]))
        and (rule.topics is None or row["topic"] in rule.topics)
        and (rule.campaigns is None or row["campaign_id"] in rule.campaigns)
        and _fits(products, row["sku"], tables)
    ]


def _orders(rule: Orders, one: int, tables: Tables) -> bool:
    orders = [row for row in _of(tables, "orders", one) if inside(rule.window, _day(row["ordered_at"]))]
    lines = [
        row
        for row in _of(tables, "lines", one)
        if inside(rule.window, _day(row["ordered_at"])) and _fits(rule.products, row["sku"], tables)
    ]
    if rule.products is None:
        total = Decimal(sum(row["amount"] for row in orders)) / 10_000
    else:
        orders = [row for row in orders if row["order_id"] in {line["order_id"] for line in lines}]
        costs = (row["quantity"] * row["unit_price"] - row["discount"] * 10_000 for row in lines)
        total = Decimal(sum(costs)) / 10**8
    days = sorted({_day(row["ordered_at"]) for row in orders})
    if rule.on is not None:
        return bool(days) and inside(rule.on, days[0] if rule.measure == "first" else days[-1])
    values = {
        "count": len(orders),
        "sum": total,
        "average": total / len(orders) if orders else None,
        "quantity": Decimal(sum(row["quantity"] for row in lines)) / 10_000,
        "days": len(days),
        "first": (AS_OF - days[0]).days if days else None,
        "last": (AS_OF - days[-1]).days if days else None,
    }
    return within(values[rule.measure], rule)


def _is_move(rule: Moved, row: dict[str, Any]) -> bool:
    old, new = row["old_nesl"], row["nesl"]
    is_asked = (rule.from_ is None or old in rule.from_) and (rule.to is None or new in rule.to)
    return (
        old != new and is_asked and not row["is_relabelled"] and inside(rule.window, row["as_of"] - timedelta(days=1))
    )


def _segment(rule: InSegment, one: int, tables: Tables) -> str | None:
    if rule.days_ago is None and rule.on is None:
        return next((row["nesl"] for row in _of(tables, "segments", one)), None)
    day = rule.on or AS_OF - timedelta(days=rule.days_ago or 0)
    day = min(day, AS_OF)
    ends = [(row["as_of"], row["last_change_id"]) for row in tables["runs"] if row["as_of"] <= day]
    end = max(ends, default=(date.min, -1))
    rows = sorted(_of(tables, "changes", one), key=lambda row: (row["as_of"], row["id"]))
    since = [row for row in rows if end < (row["as_of"], row["id"]) and row["as_of"] <= day]
    until = sorted((row for row in rows if row["id"] <= end[1]), key=lambda row: int(row["id"]))
    segment: str | None = (until + since)[-1]["nesl"] if until + since else None
    return segment


def _tag_fits(rule: Tagged, row: dict[str, Any]) -> bool:
    days = (AS_OF - _day(row["since"])).days
    return (
        row["tag"] == rule.name
        and (rule.days is None or within(days, rule.days))
        and (rule.strength is None or within(row["strength"], rule.strength))
    )


def _about_the_person(rule: Rule, customer: dict[str, Any]) -> bool:
    today = AS_OF - timedelta(days=1)
    born = customer["birthday"]
    if isinstance(rule, Attribute):
        return _attribute(rule, customer)
    if born is None or born > today:
        return False
    if isinstance(rule, Age):
        return within(today.year - born.year - ((today.month, today.day) < (born.month, born.day)), rule)
    assert isinstance(rule, Birthday)
    ahead = (today + timedelta(days=days) for days in range(rule.within_days + 1))
    return any(_is_birthday(born, day) for day in ahead)


def _attribute(rule: Attribute, customer: dict[str, Any]) -> bool:
    of_ours = rule.name in customer
    value = customer[rule.name] if of_ours else json.loads(customer["attributes"]).get(rule.name)
    if rule.exists is not None:
        return (value is not None) == rule.exists
    if value is None:
        return False
    if isinstance(rule.is_, bool):
        return bool(value is rule.is_)
    text = value if isinstance(value, str) else json.dumps(value)
    if rule.name == "gender":
        return _woman_or_man(text) in map(_woman_or_man, rule.in_ or (str(rule.is_),))
    if rule.contains is not None:
        return rule.contains.lower() in text.lower()
    text = text.replace("臺", "台") if rule.name == "city" else text
    if rule.in_ is not None or isinstance(rule.is_, str):
        return text in [word.replace("臺", "台") for word in rule.in_ or (str(rule.is_),)]
    try:
        return within(Decimal(text), rule) and (rule.is_ is None or Decimal(text) == rule.is_)
    except InvalidOperation:
        return False


def _woman_or_man(text: str) -> str:
    return {"f": "女", "female": "女", "女性": "女", "m": "男", "male": "男", "男性": "男"}.get(
        text.lower(), text.lower()
    )


def _is_birthday(born: date, day: date) -> bool:
    if (born.month, born.day) == (2, 29) and day.year % 4:
        return (day.month, day.day) == (2, 28)
    return (day.month, day.day) == (born.month, born.day)


# --- random facts and rules; few different values, so that much falls on the boundaries ------------------------------

PEOPLE = range(1, 13)
SKUS = ("A", "B", "C", "gone")
FIRST_DAY = date(2028, 2, 25)
DAYS = st.dates(FIRST_DAY, date(2028, 3, 4))
PRODUCTS: Rows = [
    {"sku": "A", "name": "Toner", "categories": ["c1", "c2"], "labels": ["l1"]},
    {"sku": "B", "name": "toner B", "categories": ["c1"], "labels": []},
    {"sku": "C", "name": "x", "categories": [], "labels": ["l1", "l2"]},
]


def facts() -> st.SearchStrategy[Tables]:
    """Customers with a few of everything. From a seed: Hypothesis draws mostly empty tables, which decide nothing."""
    return st.integers(0, 2**32).map(lambda seed: _facts(Random(seed)))


def _facts(random: Random) -> Tables:
    tables = (_people(random), _shopping(random), _standing(random), _history(random))
    return {"products": PRODUCTS, **{name: rows for made in tables for name, rows in made.items()}}


def _people(random: Random) -> Tables:
    pick = random.choice
    born = (None, date(1992, 2, 29), date(1993, 3, 1), date(1993, 3, 2), date(2028, 3, 1), date(2028, 3, 2))
    own: tuple[dict[str, Any], ...] = (
        {},
        {"點數": None},
        {"點數": 1},
        {"點數": "1.5"},
        {"點數": True},
        {"點數": "x,Y"},
    )
    customers = [
        {
            "customer_id": who,
            "birthday": pick(born),
            "city": pick((None, "台中市", "臺中市", "x")),
            "gender": pick((None, "F", "女性", "male", "?")),
            "is_following": pick((None, True, False)),
            "is_refused": pick((True, False)),
            "attributes": json.dumps(pick(own)),
        }
        for who in PEOPLE
    ]
    return {"customers": customers}


def _shopping(random: Random) -> Tables:
    pick = random.choice
    bought = [
        {"customer_id": pick(PEOPLE), "ordered_at": _moment(random), "amount": pick((-1, 0, 5_000, 10_000))}
        for _ in range(20)
    ]
    orders = [{**row, "order_id": number} for number, row in enumerate(bought)]
    lines = [
        {
            **{name: order[name] for name in ("customer_id", "order_id", "ordered_at")},
            "sku": pick(SKUS),
            "quantity": pick((5_000, 10_000)),
            "unit_price": pick((0, 10_000, 20_000)),
            "discount": pick((0, 0, 1)),
        }
        for order in orders
        for _ in range(pick((0, 1, 2)))
    ]
    events = [
        {
            "customer_id": pick(PEOPLE),
            "kind": pick(("product_view", "click")),
            "occurred_at": _moment(random),
            "sku": pick((None, *SKUS)),
            "topic": pick((None, "t1", "t2")),
            "campaign_id": pick((None, 1, 2)),
        }
        for _ in range(50)
    ]
    return {"orders": orders, "lines": lines, "events": events}


def _standing(random: Random) -> Tables:
    """What people are now and are expected to do."""
    pick = random.choice
    tags = [
        {"customer_id": who, "tag": tag, "since": _moment(random), "strength": pick((0.25, 0.5))}
        for who in PEOPLE
        for tag in ("vip", "new")
        if pick((True, False))
    ]
    segments = [
        {
            "customer_id": who,
            "nesl": pick(NESL),
            "last_ordered_on": pick((None, _day_in(random))),
            "r": pick((None, 1, 2, 3)),
            "paid_total": pick((None, 0, 5_000, 10_000)),
            "loyalty": pick((None, 0.0, 1.0, 1.5)),
        }
        for who in PEOPLE
        if pick((True, True, False))
    ]
    predictions = [
        {"customer_id": who, "p_buy": pick((0.0, 0.5, 1.0)), "spend_90": pick((None, 0, 5_000, 10_000))}
        for who in PEOPLE
        if pick((True, False))
    ]
    return {"tags": tags, "segments": segments, "predictions": predictions}


def _history(random: Random) -> Tables:
    pick = random.choice
    changes = [
        {
            "id": number,
            "customer_id": pick(PEOPLE),
            "as_of": _day_in(random),
            "old_nesl": pick((None, *NESL)),
            "nesl": pick(NESL),
            "is_relabelled": pick((False, False, True)),
        }
        for number in range(20)
    ]
    runs = [{"as_of": _day_in(random), "last_change_id": random.randrange(20)} for _ in range(pick((0, 1, 4)))]
    return {"changes": changes, "runs": runs}


def _day_in(random: Random) -> date:
    return FIRST_DAY + timedelta(days=random.randrange(9))


def _moment(random: Random) -> datetime:
    """Mostly at the very ends of a day."""
    day = _day_in(random)
    start = datetime(day.year, day.month, day.day, tzinfo=TAIPEI).astimezone(UTC)
    return start + random.choice([timedelta(0), timedelta(hours=12), timedelta(hours=24, microseconds=-1)])


@st.composite
def _limits(draw: st.DrawFn, *values: str) -> dict[str, Decimal]:
    """Limits at values that occur."""
    low, high = sorted(Decimal(draw(st.sampled_from(values or ("0", "1", "2")))) for _ in range(2))
    below = draw(st.sampled_from([None, "at_least", "more_than"]))
    above = draw(st.sampled_from([None, "at_most", "less_than"] if below else ["at_most", "less_than"]))
    if low == high and below and above:
        below, above = "at_least", "at_most"
    given = {below: low, above: high}
    return {name: value for name, value in given.items() if name is not None}


def _windows() -> st.SearchStrategy[Window | None]:
    last = st.builds(Window, last_days=st.integers(1, 7))
    between = st.builds(
        lambda day, length: Window(from_=day, until=day + timedelta(days=length)), DAYS, st.integers(1, 5)
    )
    return st.none() | last | between | st.builds(Window, from_=DAYS) | st.builds(Window, until=DAYS)


def _names(*names: Any) -> st.SearchStrategy[Any]:
    return st.lists(st.sampled_from(names), min_size=1, max_size=3).map(tuple)  # the same name twice, too


_products = st.sampled_from(
    [
        Products(skus=("A", "gone")),
        Products(categories=("c1",)),
        Products(categories=("c1", "c2"), labels=("l1",)),
        Products(labels=("l1", "l1"), skus=("C", "B", "C")),
        Products(name_contains="TONER"),
    ]
)


_ATTRIBUTES = [
    *(Attribute(name="city", **test) for test in ({"is_": "台中市"}, {"exists": True}, {"exists": False})),
    *(Attribute(name="city", **test) for test in ({"in_": ("臺中市", "x")}, {"contains": "X"})),
    *(Attribute(name="gender", **test) for test in ({"is_": "female"}, {"in_": ("M", "?")}, {"exists": False})),
    *(Attribute(name=name, is_=value) for name in ("is_following", "is_refused") for value in (True, False)),
    *(Attribute(name="點數", is_=value) for value in (1, 1.5, True, "1", "true")),
    *(Attribute(name="點數", **test) for test in ({"contains": "y"}, {"exists": True}, {"in_": ("1", "x,Y")})),
    Attribute(name="點數", at_least=Decimal(1), less_than=Decimal("1.5")),
]


@st.composite
def _conditions(draw: st.DrawFn) -> Rule:
    kinds = [Orders, Orders, Events, Events, Clicks, Attribute, Age, Birthday, "state", "state", RuleReference]
    kind = draw(st.sampled_from(kinds))
    if kind is Orders:
        measure = draw(st.sampled_from(["count", "sum", "average", "quantity", "days", "first", "last"]))
        chosen: dict[str, Any] = {"measure": measure, "window": draw(_windows())}
        chosen["products"] = draw(st.none() | _products)
        on = draw(_windows()) if measure in ("first", "last") else None
        if on is not None:
            return Orders(on=on, **chosen)
        values: tuple[str, ...] = ()
        if measure in ("sum", "average"):
            values = AMOUNTS
        elif measure == "quantity":
            values = ("0", "0.5", "1", "1.5")
        return Orders(**{**chosen, **draw(_limits(*values))})
    if kind in (Events, Clicks):
        asked: dict[str, Any] = {"window": draw(_windows()), "topics": draw(st.none() | _names("t1", "t2"))}
        asked["campaigns"] = draw(st.none() | _names(1, 2, 3))
        asked |= draw(_limits())
        if kind is Clicks:
            return Clicks(**asked)
        named = draw(_names("product_view", "click", "nothing"))
        return Events(kinds=named, products=draw(st.none() | _products), **asked)
    if kind is Attribute:
        return draw(st.sampled_from(_ATTRIBUTES))
    if kind is RuleReference:
        return RuleReference(name=draw(st.sampled_from(sorted(SAVED))))
    if kind is Age:
        return Age(**draw(_limits("0", "34", "35", "36")))
    return Birthday(within_days=draw(st.integers(0, 366))) if kind is Birthday else draw(_states())


@st.composite
def _states(draw: st.DrawFn) -> Rule:
    kind = draw(st.sampled_from([InSegment, Moved, Tagged, Measure]))
    segments = _names("N", "E", "S1")
    if kind is InSegment:
        when = draw(st.sampled_from(["now", "on", "ago"]))
        on = draw(DAYS) if when == "on" else None
        ago = draw(st.integers(1, 6)) if when == "ago" else None
        return InSegment(model="nesl", in_=draw(segments), on=on, days_ago=ago)
    if kind is Moved:
        sides = [(("N",), ("E",)), (None, ("E", "N")), (("E",), None), (("S1", "N"), ("N", "S1")), (("E", "E"), None)]
        start, end = draw(st.sampled_from(sides))
        where: dict[str, Any] = {"from_": start, "to": end}
        return Moved(model="nesl", **where, window=draw(_windows()))
    if kind is Tagged:
        days, strength = draw(st.none() | _limits("1", "3", "5")), draw(st.none() | _limits("0.25", "0.5"))
        limits: dict[str, Any] = {"days": days and Bounds(**days), "strength": strength and Bounds(**strength)}
        return Tagged(name=draw(st.sampled_from(["vip", "new"])), **limits)
    scores: list[Score] = ["recency_days", "r", "paid_total", "spend_90", "p_buy", "loyalty"]
    name = draw(st.sampled_from(scores))
    values = AMOUNTS if name in ("paid_total", "spend_90") else ("1", "2", "3")
    return Measure(name=name, **draw(_limits(*("0", "0.5", "1", "1.5") if name in ("p_buy", "loyalty") else values)))


def rules() -> st.SearchStrategy[Any]:
    """Random rules, nested."""
    return st.recursive(
        _conditions(),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: AllOf(of=tuple(parts))),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(of=tuple(parts))),
            inner.map(lambda part: NotOf(of=part)),
        ),
        max_leaves=6,
    )
