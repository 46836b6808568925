"""Five groups that overlap: built-in tags, not a partition. Ibis expressions; knows no database."""

from typing import Any

Table = Any
Expression = Any


def groups(people: Table, high: tuple[Expression, Expression, Expression], cycle_days: int) -> dict[str, Expression]:
    """For each group whether a customer is in it; false for those without an order that counts.

    `people` has recency_days, frequency, f, and the orders of the last two cycles (`recent_orders`) and of the two
    before (`former_orders`); `high` says of R, F and M whether the score is high.
    """
    counts = people.frequency.notnull()
    r_high, f_high, m_high = high
    found = {
        "champion": r_high & f_high & m_high,
        "potential_loyalist": r_high & (people.frequency >= 2) & (people.f < 5),
        "win_back": (people.frequency >= 2) & (people.recency_days > 2 * cycle_days),
        "at_risk_spender": m_high & (2 * people.recent_orders < people.former_orders),
        "repeat_buyer": (people.frequency >= 3) & (people.recency_days <= cycle_days),
    }
    return {name: counts & test.fill_null(False) for name, test in found.items()}
