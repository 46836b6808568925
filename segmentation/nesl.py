"""NESL: where a customer stands in the brand's purchase cycle. Ibis expressions; knows no database."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import ibis

CYCLE_WEIGHT = 3  # of the brand's cycle, in gaps of one's own: with four orders a customer's habit counts half

FINER = {"nes": "nesl", "nes_personal": "nesl_personal"}  # the same in more states
# A state of NES -> those of NESL that it is.
NESL_OF_NES = {"never": ("never",), "N": ("N",), "E": ("E",), "S": ("S1", "S2", "L")}

Table = Any
Expression = Any


def nesl(recency_days: Expression, frequency: Expression, cycle_days: int | Expression) -> Expression:
    """The state of a customer with a paid order: N, E, S1, S2 or L. (`never` is everyone without one.) Days since the
    last order and how many there are, in all history. `cycle_days` is the brand's cycle, or each customer's own."""
    return ibis.cases(
        ((recency_days <= cycle_days) & (frequency == 1), "N"),
        (recency_days <= cycle_days, "E"),
        (recency_days <= 2 * cycle_days, "S1"),
        (recency_days <= 3 * cycle_days, "S2"),
        else_="L",
    )


def nes(recency_days: Expression, frequency: Expression, cycle_days: int | Expression) -> Expression:
    """The same in three states: S1, S2 and L are S."""
    return ibis.cases(
        ((recency_days <= cycle_days) & (frequency == 1), "N"), (recency_days <= cycle_days, "E"), else_="S"
    )


def gaps(orders: Table) -> Table:
    """Each order with `gap`, the calendar days since the same customer's order before it; null for the first.

    `orders` has one row per order: `customer_id`, `day` (date). Two orders of one day are 0 days apart.
    """
    window = ibis.window(group_by=orders.customer_id, order_by=orders.day)
    return orders.mutate(gap=orders.day.delta(orders.day.lag().over(window), unit="day").cast("int32"))


def median(counts: Iterable[tuple[int, int]]) -> float | None:
    """The median of values given as (value, how often) in any order; null for none."""
    ordered = sorted(counts)
    ends = list(accumulate(often for _, often in ordered))
    if not ends:
        return None
    middle = [bisect_left(ends, rank) for rank in ((ends[-1] + 1) // 2, ends[-1] // 2 + 1)]
    return sum(ordered[place][0] for place in middle) / 2


def whole_cycle(median_days: float | None) -> int | None:
    """A proposed purchase cycle from a median gap: whole days, halves upwards, at least 1; None from None."""
    return None if median_days is None else max(1, int(median_days + 0.5))


def personal_cycle(gap_count: Expression, median: Expression, brand_days: int, weight: int) -> Expression:
    """A customer's own cycle in whole days, halves upwards, at least 1: the median of the own gaps (null or a multiple
    of a half) shrunk to the brand's, (weight × brand + gaps × own) / (weight + gaps).

    Weighted by how much speaks for each, as in Bühlmann's credibility (Experience Rating and Credibility, 1967) with a
    fixed weight.
    """
    count, doubled = gap_count.cast("float64"), median * 2  # whole numbers below 2^53: floats are exact here, and fast
    rounded = (2 * weight * brand_days + count * doubled + weight + count) / (2 * (weight + count))
    own = ibis.greatest(rounded, 1).floor().cast("int32")
    return ibis.cases((median.notnull(), own), else_=ibis.literal(brand_days, "int32"))
