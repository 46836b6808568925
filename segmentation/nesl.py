"""NESL: where a customer stands in the brand's purchase cycle. Ibis expressions; knows no database."""

from typing import Any

import ibis

Table = Any
Expression = Any


def nesl(recency_days: Expression, frequency: Expression, cycle_days: int) -> Expression:
    """The state of a customer with a paid order: N, E, S1, S2 or L. (`never` is everyone without one.)"""
    return ibis.cases(
        ((recency_days <= cycle_days) & (frequency == 1), "N"),
        (recency_days <= cycle_days, "E"),
        (recency_days <= 2 * cycle_days, "S1"),
        (recency_days <= 3 * cycle_days, "S2"),
        else_="L",
    )


def nes(state: Expression) -> Expression:
    """The three states (and `never`) from the six: S1, S2 and L are S."""
    return ibis.cases((state.isin(["S1", "S2", "L"]), "S"), else_=state)


def median_gap(orders: Table) -> Table:
    """One row, `days`: the median number of calendar days between consecutive orders of the same customer, over all
    such pairs; null when nobody ordered twice.

    `orders` has one row per order: `customer_id`, `day` (date). Two orders of one day are 0 days apart.
    """
    window = ibis.window(group_by=orders.customer_id, order_by=orders.day)
    gaps = orders.select(gap=orders.day.delta(orders.day.lag().over(window), unit="day"))
    return gaps.aggregate(days=gaps.gap.median())


def whole_cycle(median_days: float | None) -> int | None:
    """A proposed purchase cycle from a median gap: whole days, halves upwards, at least 1; None from None."""
    return None if median_days is None else max(1, int(median_days + 0.5))
