"""Dynamic lines: where today's population is divided, exactly, in whole units. Ibis expressions; knows no database."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import ibis

from segmentation.tags.definitions import MeasureTag
from segmentation.tags.measures import MEASURES

Table = Any
Expression = Any


def is_lower(definition: MeasureTag) -> bool:
    """Whether the line is a lower bound: those on it and above have the tag. Otherwise those on it and below."""
    return definition.bottom_percent is None and definition.at_most is None


def drawn(connection: Any, population: Table, definition: MeasureTag) -> float | None:
    """Where a dynamic line lies in `population` (`customer_id, value` in units of the measure), in what marketers read:
    the bound that `bound_of` reads back. None when nobody has the measure.

    Top 5 %: the value of the last of the fewest people who make up at least 5 %, so there is always one, of 20 there
    is one and of 21 there are two; who equals that value has the tag too. Above the mean: the least value above it.
    """
    units = MEASURES[definition.measure].units
    if definition.above_mean:
        total = population.value.sum().cast("decimal(38, 0)")  # DuckDB sums 64 bits in 128
        people, total = _row(connection, population.aggregate(people=population.count(), total=total))
        return None if not people else _as_float(int(total) // int(people) + 1, units, lower=True)
    percent = definition.top_percent if definition.bottom_percent is None else definition.bottom_percent
    assert percent is not None
    (people,) = _row(connection, population.aggregate(people=population.count()))
    if not people:
        return None
    wanted = math.ceil(people * Fraction(percent) / 100)
    order = population.value.asc() if definition.bottom_percent is not None else population.value.desc()
    (bound,) = _row(connection, population.order_by(order).select("value").limit(1, offset=wanted - 1))
    return _as_float(int(bound), units, lower=is_lower(definition))


def bound_of(definition: MeasureTag, cut: float | None) -> int | None:
    """The bound in whole units, itself included, that a value is compared with: a static line's own number, or the
    stored `cut` of a dynamic one; None when that was never drawn."""
    units = MEASURES[definition.measure].units
    number = definition.at_least if definition.at_least is not None else definition.at_most
    if number is not None:
        exact = Fraction(Decimal(number)) * units
        return math.ceil(exact) if is_lower(definition) else math.floor(exact)
    return None if cut is None else round(Fraction(cut) * units)


def _as_float(bound: int, units: int, *, lower: bool) -> float:
    """A float that reads back as `bound`; beyond 2**53 units, where floats are further apart than units, as the nearest
    that still lets `bound` itself in."""
    cut = bound / units
    while (read := round(Fraction(cut) * units)) != bound and (read > bound) == lower:
        cut = math.nextafter(cut, -math.inf if lower else math.inf)
    return cut


def _row(connection: Any, one_row: Table) -> tuple[Any, ...]:
    found = connection.to_pyarrow(one_row).to_pylist()[0]
    return tuple(found.values())


def crosses(value: Expression, definition: MeasureTag, bound: int) -> Expression:
    """Whether a value (units) is on the side of the line that has the tag."""
    return value >= ibis.literal(bound, "int64") if is_lower(definition) else value <= ibis.literal(bound, "int64")
