"""The orders that predictions learn from, as arrays, and what was known of each customer on a day (a cut).

Days are whole numbers on one calendar, customers are numbers from 0; neither files nor databases are known here.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EPOCH = date(1970, 1, 1)  # where calendar days are counted from, when they have a date


def day_of(number: int) -> date:
    """The calendar day of a day number."""
    return EPOCH + timedelta(days=number)


@dataclass(frozen=True)
class History:
    """Paid orders in any order of rows, one entry each in three arrays of equal length."""

    customer: Ints
    day: Ints
    amount: Floats

    def __post_init__(self) -> None:
        if not len(self.customer) == len(self.day) == len(self.amount):
            raise ValueError("customer, day and amount must be equally long")

    def before(self, cut: int) -> "History":
        """The orders of days before `cut`."""
        return self._where(self.day < cut)

    def sampled(self, most: int) -> "History":
        """All orders of at most `most` customers, drawn by chance but always the same for the same customers."""
        who = np.unique(self.customer)
        if len(who) <= most:
            return self
        chosen = np.random.default_rng(0).choice(who, most, replace=False)
        return self._where(np.isin(self.customer, chosen))

    def _where(self, chosen: NDArray[np.bool_]) -> "History":
        return History(self.customer[chosen], self.day[chosen], self.amount[chosen])


@dataclass(frozen=True)
class Known:
    """What was known at the start of day `cut` of each customer with an order before it; arrays with one entry per
    customer, ascending by number."""

    cut: int
    customer: Ints
    first: Ints  # day of the first order
    last: Ints
    orders: Ints
    purchase_days: Ints  # days with at least one order
    recent: Ints  # orders of the last `recent_days` before the cut
    spend: Floats
    spend_squared: Floats  # sum of the squared amounts
    spend_lately: Floats  # each purchase halved for every `recent_days` that it lies back; refunds left out

    @property
    def recency(self) -> Floats:
        """Days from the last order to the cut, 1 or more."""
        return (self.cut - self.last).astype(np.float64)

    @property
    def tenure(self) -> Floats:
        """Days from the first order to the cut, 1 or more."""
        return (self.cut - self.first).astype(np.float64)


def known_at(history: History, cut: int, recent_days: int) -> Known:
    """What the orders before `cut` say; no later one has any influence."""
    past = history.before(cut)
    order = np.lexsort((past.amount, past.day, past.customer))  # sums in one order, whatever that of the rows
    customer, day, amount = past.customer[order], past.day[order], past.amount[order]
    who, starts, at = np.unique(customer, return_index=True, return_inverse=True)
    ends = np.append(starts[1:], len(customer)) - 1
    is_new_day = np.ones(len(customer), dtype=bool)
    is_new_day[1:] = (customer[1:] != customer[:-1]) | (day[1:] != day[:-1])
    people = len(who)
    return Known(
        cut=cut,
        customer=who,
        first=day[starts],
        last=day[ends],
        orders=np.bincount(at, minlength=people),
        purchase_days=np.bincount(at[is_new_day], minlength=people),
        recent=np.bincount(at[day >= cut - recent_days], minlength=people),
        spend=_sums(at, amount, people),
        spend_squared=_sums(at, amount * amount, people),
        spend_lately=_sums(at, np.maximum(amount, 0) * 0.5 ** ((cut - day) / max(recent_days, 1)), people),
    )


@dataclass(frozen=True)
class Outcome:
    """What the customers of a `Known` did in a window of days: orders and money, one entry per customer."""

    orders: Ints
    spend: Floats


def outcome_of(history: History, known: Known, days: int) -> Outcome:
    """What the known customers did in [cut, cut + days); people who first came then are left out."""
    later = (history.day >= known.cut) & (history.day < known.cut + days)
    customer, amount = history.customer[later], history.amount[later]
    order = np.lexsort((amount, customer))  # sums in one order here too
    customer, amount = customer[order], amount[order]
    place = np.searchsorted(known.customer, customer)
    is_known = known.customer[np.minimum(place, len(known.customer) - 1)] == customer
    at, amount = place[is_known], amount[is_known]
    people = len(known.customer)
    return Outcome(np.bincount(at, minlength=people), _sums(at, amount, people))


def _sums(at: Ints, values: Floats, people: int) -> Floats:
    return np.bincount(at, values, minlength=people).astype(np.float64)  # without rows NumPy counts in integers
