"""One condition on facts: what it measures, as columns, and whether what was measured fits it.

A measure is the condition without its limits. Its columns: `m` with the value; of an average also `m_of`, the count
under the sum; of a tag `m_since` and `m_strength` instead.
"""

import calendar
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import msgspec

from segmentation.rules.aggregates import day_of, needs_lines
from segmentation.rules.days import AsOf, span_of
from segmentation.rules.types import (
    FLAGS,
    MAN,
    MONEY_SCORES,
    REAL_SCORES,
    TAI,
    TEXT_ATTRIBUTES,
    WOMAN,
    Age,
    Attribute,
    Birthday,
    Bounds,
    Clicks,
    Events,
    InSegment,
    Measure,
    Moved,
    Orders,
    Rule,
    Tagged,
)

Table = Any
Expression = Any

CLICK = "click"  # the kind of behaviour event that a tap on a tracked link makes
ZERO = Decimal(0)
MONEY = 10_000  # ten-thousandths
LINE_MONEY = 100_000_000  # quantity × price, both in ten-thousandths
ZERO_SCORES = frozenset({"frequency", "monetary", "loyalty", "paid_total"})  # of those who never bought
PREDICTIONS = frozenset({"p_buy", "churn_risk", "expected_orders", "spend_90", "spend_365"})
_WIDE = "decimal(38, 0)"


def measure_of(condition: Rule) -> Rule:
    """What `condition` measures: equal for conditions that differ in their limits only."""
    match condition:
        case Attribute():
            return Attribute(name=condition.name, exists=True)
        case Birthday():
            return Birthday(within_days=0)
        case Clicks():
            made = Events(kinds=(CLICK,), at_least=ZERO, topics=condition.topics, campaigns=condition.campaigns)
            return msgspec.structs.replace(made, window=condition.window)
        case Tagged():
            return Tagged(name=condition.name)
        case InSegment():
            return msgspec.structs.replace(condition, in_=("",))
        case Moved():
            return condition
    limits = {"at_least": ZERO, "at_most": None, "more_than": None, "less_than": None}
    if isinstance(condition, Orders):
        return msgspec.structs.replace(condition, on=None, **limits)
    return msgspec.structs.replace(condition, **limits)


def value_columns(measure: Rule, name: str, rows: Table, as_of: AsOf) -> dict[str, Expression]:
    """The columns of `measure` from `rows`: customers with segments (`segments_…`), predictions (`predictions_…`) and
    the aggregates beside them."""
    match measure:
        case Attribute():
            return {name: _attribute(measure.name, rows)}
        case Age():
            return {name: _age(rows.birthday, as_of)}
        case Birthday():
            return {name: _days_to_birthday(rows.birthday, as_of)}
        case Orders(measure="first" | "last"):
            return {name: rows[name].date()}
        case Orders(measure="average"):
            return {name: rows[name], f"{name}_of": rows[f"{name}_of"].fill_null(0)}
        case Orders() | Events():
            return {name: rows[name].fill_null(0)}
        case Tagged():
            return {f"{name}_since": rows[f"{name}_since"].date(), f"{name}_strength": rows[f"{name}_strength"]}
        case InSegment():
            return {name: rows[f"segments_{measure.model}"] if day_of(measure, as_of) is None else rows[name]}
        case Measure():
            return {name: _score(measure.name, rows, as_of)}
    return {name: rows[name]}


def holds(condition: Rule, row: Table, name: str, as_of: AsOf) -> Expression:
    """Whether the measured columns of `row` fit `condition`: true or false, never null."""
    fits = _fits(condition, row, name, as_of)
    return fits if isinstance(condition, Events | Clicks) else fits.fill_null(False)  # a count is never null


def shown(condition: Rule, row: Table, name: str) -> Expression:
    """The value as evidence shows it: counts and scores as numbers, amounts as text in money, days, segments and
    attributes as they are; of a tag since when it is on."""
    match condition:
        case Orders(measure="sum"):
            return _money_text(row[name], LINE_MONEY if needs_lines(condition) else MONEY)
        case Orders(measure="average"):
            unit = LINE_MONEY if needs_lines(condition) else MONEY
            return (row[name].cast("float64") / row[f"{name}_of"].nullif(0) / unit).round(4)
        case Orders(measure="quantity"):
            return _money_text(row[name], MONEY)
        case Tagged():
            return row[f"{name}_since"]
        case Measure() if condition.name in MONEY_SCORES:
            return _money_text(row[name], MONEY)
    return row[name]


def _fits(condition: Rule, row: Table, name: str, as_of: AsOf) -> Expression:
    match condition:
        case Attribute():
            return _attribute_fits(condition, row[name])
        case Birthday():
            return row[name] <= condition.within_days
        case Orders():
            return _orders_fit(condition, row, name, as_of)
        case Tagged():
            return _tag_fits(condition, row, name, as_of)
        case InSegment():
            return row[name].isin(condition.in_)
        case Moved():
            return row[name].notnull()
        case Measure() if condition.name in REAL_SCORES:
            return _within(row[name], condition, real=True)
        case Measure() if condition.name in MONEY_SCORES:
            return _within(row[name], condition, MONEY)
        case Age() | Events() | Clicks() | Measure():
            return _within(row[name], condition)
    raise TypeError(f"{type(condition).__name__} measures nothing itself")


def _within(value: Expression, bounds: Bounds, unit: int = 1, *, real: bool = False) -> Expression:
    """Whether `value`, counted in 1/`unit`, keeps the limits; exact unless `real`."""

    def literal(limit: Decimal) -> Expression:
        if real:
            return ibis.literal(float(limit))
        whole = int(limit * unit)
        return ibis.literal(whole) if abs(whole) < 2**63 else ibis.literal(Decimal(whole), type=_WIDE)

    tests = []
    if bounds.at_least is not None:
        tests.append(value >= literal(bounds.at_least))
    if bounds.at_most is not None:
        tests.append(value <= literal(bounds.at_most))
    if bounds.more_than is not None:
        tests.append(value > literal(bounds.more_than))
    if bounds.less_than is not None:
        tests.append(value < literal(bounds.less_than))
    return ibis.and_(*tests)


def _orders_fit(condition: Orders, row: Table, name: str, as_of: AsOf) -> Expression:
    value = row[name]
    if condition.measure in ("first", "last"):
        if condition.on is None:
            return _within(ibis.literal(as_of.day).delta(value, unit="day"), condition)
        span = span_of(condition.on, as_of)
        inside = value < ibis.literal(span.end)
        return inside if span.start is None else inside & (value >= ibis.literal(span.start))
    unit = LINE_MONEY if needs_lines(condition) else MONEY
    if condition.measure == "average":
        return _average_within(value, row[f"{name}_of"], condition, unit)
    if condition.measure == "sum":
        return _within(value, condition, unit)
    return _within(value, condition, MONEY if condition.measure == "quantity" else 1)


def _average_within(total: Expression, count: Expression, bounds: Bounds, unit: int) -> Expression:
    """Whether total / count keeps the limits, by multiplying instead: exact. 28 and 10 digits make 38."""
    total, count = total.cast(_WIDE), count.cast("decimal(10, 0)")

    def limit(value: Decimal) -> Expression:
        return count * ibis.literal(Decimal(int(value * unit)), type=dt.Decimal(28, 0))

    tests = [count > 0]
    if bounds.at_least is not None:
        tests.append(total >= limit(bounds.at_least))
    if bounds.at_most is not None:
        tests.append(total <= limit(bounds.at_most))
    if bounds.more_than is not None:
        tests.append(total > limit(bounds.more_than))
    if bounds.less_than is not None:
        tests.append(total < limit(bounds.less_than))
    return ibis.and_(*tests)


def _tag_fits(condition: Tagged, row: Table, name: str, as_of: AsOf) -> Expression:
    since, tests = row[f"{name}_since"], []
    if condition.days is not None:
        tests.append(_within(ibis.literal(as_of.day).delta(since, unit="day"), condition.days))
    if condition.strength is not None:
        tests.append(_within(row[f"{name}_strength"], condition.strength, real=True))
    return ibis.and_(since.notnull(), *tests)


def _attribute(name: str, rows: Table) -> Expression:
    if name in FLAGS or name in TEXT_ATTRIBUTES:
        return rows[name]
    # a JSON pointer, whose two special characters have an escape: any name can be asked for
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return json_extract_string(rows.attributes, pointer)


def _attribute_fits(condition: Attribute, value: Expression) -> Expression:
    if condition.exists is not None:
        return value.notnull() == condition.exists
    if condition.name in FLAGS:
        return value == ibis.literal(condition.is_)
    if condition.name == "gender":
        value = value.lower()
    elif condition.name == "city":
        value = value.replace(*TAI)
    if condition.in_ is not None:
        return value.isin([way for word in condition.in_ for way in _ways_to_say(condition.name, word)])
    if condition.contains is not None:
        part = condition.contains.replace(*TAI) if condition.name == "city" else condition.contains
        return value.lower().contains(part.lower())
    if isinstance(condition.is_, bool):
        return value.lower() == ("true" if condition.is_ else "false")
    if isinstance(condition.is_, str):
        return value.isin(_ways_to_say(condition.name, condition.is_))
    number = value.try_cast("float64")
    number = ibis.ifelse(number.isnan() | number.isinf(), None, number)  # "nan" is above everything otherwise
    if condition.is_ is not None:
        return number == ibis.literal(float(condition.is_))
    return _within(number, condition, real=True)


def _ways_to_say(name: str, word: str) -> tuple[str, ...]:
    """What means the same as `word` in the attribute `name`: the same gender, the same city."""
    if name == "city":
        return (word.replace(*TAI),)
    if name == "gender":
        return next((ways for ways in (WOMAN, MAN) if word.lower() in ways), (word.lower(),))
    return (word,)


def _age(birthday: Expression, as_of: AsOf) -> Expression:
    """Whole years on the day `as_of.today`; null before birth."""
    today = as_of.today
    has_come = birthday.month() * 100 + birthday.day() <= today.month * 100 + today.day
    years = ibis.literal(today.year) - birthday.year() - ibis.ifelse(has_come, 0, 1)
    return ibis.ifelse(birthday <= ibis.literal(today), years.cast("int64"), None)


def _days_to_birthday(birthday: Expression, as_of: AsOf) -> Expression:
    """Days from today to the next birthday, 0 to 366; null before birth."""

    def days_to(year: int) -> Expression:
        is_leap_day = (birthday.month() == 2) & (birthday.day() == 29)
        day = birthday.day() if calendar.isleap(year) else ibis.ifelse(is_leap_day, 28, birthday.day())
        kept = ibis.date(ibis.literal(year), birthday.month(), day)
        return kept.delta(ibis.literal(as_of.today), unit="day")

    this_year, next_year = days_to(as_of.today.year), days_to(as_of.today.year + 1)
    days = ibis.ifelse(this_year >= 0, this_year, next_year)
    return ibis.ifelse(birthday <= ibis.literal(as_of.today), days, None)


def _score(name: str, rows: Table, as_of: AsOf) -> Expression:
    if name == "recency_days":
        return ibis.literal(as_of.day).delta(rows.segments_last_ordered_on, unit="day")
    if name in PREDICTIONS:
        return rows[f"predictions_{name}"]
    value = rows[f"segments_{name}"]
    return value.fill_null(0) if name in ZERO_SCORES else value


def needed_columns(measures: Sequence[Rule], as_of: AsOf) -> tuple[list[str], list[str]]:
    """The columns of segments and of predictions that the measures read."""
    segments: dict[str, None] = {}
    predictions: dict[str, None] = {}
    for measure in measures:
        if isinstance(measure, InSegment) and day_of(measure, as_of) is None:
            segments[measure.model] = None
        elif isinstance(measure, Measure) and measure.name in PREDICTIONS:
            predictions[measure.name] = None
        elif isinstance(measure, Measure):
            segments["last_ordered_on" if measure.name == "recency_days" else measure.name] = None
    return list(segments), list(predictions)


def _money_text(value: Expression, unit: int) -> Expression:
    """A whole number of 1/`unit` as a decimal text without needless zeros, such as -12.5."""
    digits = len(str(unit)) - 1
    text = value.abs().cast(_WIDE).cast("string").lpad(digits + 1, "0")
    text = text.cast("string")
    size = text.length()
    fraction = text.substr(size - digits, digits).re_replace("0+$", "")
    whole = text.substr(0, size - digits)
    sign = ibis.ifelse(value < 0, "-", "")
    return sign + whole + ibis.ifelse(fraction == "", "", "." + fraction)


@ibis.udf.scalar.builtin(name="json_extract_string")  # type: ignore[untyped-decorator]
def json_extract_string(document: str, pointer: str) -> str:  # type: ignore[empty-body]
    """DuckDB's own: the value at a JSON pointer as text; null where there is none."""
