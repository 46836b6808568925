"""Customers measured by a matrix: a row per customer, a column per day, and an entry for each order or act.

One machine computes so: the few days of a row lie in order side by side, so that gaps, medians and sums are read off. A
matrix is brought into order by transposing it: a counting sort, which never compares, and is far cheaper than bringing
everybody's orders into order otherwise. A cluster has expressions for the same (spark/measures.py). Arrays in, arrays
out; knows no database.

Days are counted back from the day computed for: 1 is the day before it, and a row begins with its newest day.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray
from scipy import sparse

from segmentation.measures import Spans

LOW_BITS = 32
HALF = 2 ** (63 - LOW_BITS)

Ints = NDArray[Any]


class SumTooLarge(Exception):
    """What one customer paid adds up to more than 64 bits hold."""


@dataclass(frozen=True)
class Happenings:
    """Orders or acts, in any order: `who` (0, 1, … below the number of customers) and how many days `ago`, at least 1;
    of orders the `amount`, and what of it is `counted` where that differs."""

    who: Ints
    ago: Ints
    amount: Ints | None = None
    counted: Ints | None = None

    def within(self, days: int | None) -> "Happenings":
        """Those of the last `days` days (None: all), with the amounts that count."""
        amount = self.amount if self.counted is None else self.counted
        if days is None:
            return Happenings(self.who, self.ago, amount)
        inside = np.flatnonzero(self.ago <= days)
        return Happenings(self.who[inside], self.ago[inside], None if amount is None else amount[inside])


@dataclass(frozen=True)
class DayMatrix:
    """The matrix in scipy's compressed rows: customer k has entries on the days `ago[ends[k]:ends[k + 1]]`, the newest
    first and all below `width`, and paid `total`."""

    ends: Ints
    ago: Ints
    width: int
    total: Ints
    _spans: dict[int, "Last"] = field(default_factory=dict)

    @classmethod
    def of(cls, customers: int, rows: Happenings) -> "DayMatrix":
        """Of what so many customers did. Raises SumTooLarge."""
        width = int(rows.ago.max(initial=0)) + 1
        ends, ago = _in_order(rows.who, rows.ago, (customers, width))
        return cls(ends, ago, width, _totals(rows.who, rows.amount, np.diff(ends)))

    def only(self, who: NDArray[np.bool_]) -> "DayMatrix":
        """Without the other customers, none of whom has an entry."""
        if who.all():
            return self
        return DayMatrix(np.concatenate([self.ends[:1], self.ends[1:][who]]), self.ago, self.width, self.total[who])

    @cached_property
    def times(self) -> Ints:
        """How many entries each customer has."""
        return np.diff(self.ends)

    @cached_property
    def has_any(self) -> NDArray[np.bool_]:
        """Whether a customer has an entry."""
        return self.times > 0

    @cached_property
    def gaps(self) -> "Gaps":
        """The days between the entries."""
        return Gaps(self.ago, self.ends, self.width)

    @cached_property
    def newest(self) -> Ints:
        """Days back to the newest; 0 for none."""
        return self._at(self.ends[:-1])

    @cached_property
    def oldest(self) -> Ints:
        """Days back to the oldest; 0 for none."""
        return self._at(self.ends[1:] - 1)

    @property
    def days_apart(self) -> Ints:
        """How many gaps of at least a day each customer has."""
        return np.diff(_ends_of(self.gaps.days > 0, self.ends))

    def count(self, newest: int, oldest: int) -> Ints:
        """How many entries each customer has from `newest` to `oldest` days ago."""
        found = np.diff(self._last(oldest).ends)
        return found if newest <= 1 else found - np.diff(self._last(newest - 1).ends)

    def longest_gap(self, last_days: int) -> Ints:
        """The longest that ended in the last `last_days` days; 0 for none."""
        found, last = np.zeros(len(self.times), self.ago.dtype), self._last(last_days)
        if len(last.places):
            has_any = np.diff(last.ends) > 0
            found[has_any] = np.maximum.reduceat(self.gaps.days[last.places], last.ends[:-1][has_any])
        return found

    def active_periods(self, starts: list[int]) -> Ints:
        """In how many periods each customer has an entry; each begins so many days back, the newest first."""
        last = self._last(starts[-1])
        period = np.searchsorted(starts, np.arange(starts[-1] + 1)).astype(np.int8)[last.ago]
        is_new = np.ones(len(period), bool)
        np.not_equal(period[1:], period[:-1], out=is_new[1:])
        is_new[last.ends[:-1][np.diff(last.ends) > 0]] = True
        return np.diff(_ends_of(is_new, last.ends))

    def _last(self, days: int) -> "Last":
        """The entries of the last `days` days; found among those of a longer span asked for before."""
        if days not in self._spans:
            longer = min((span for span in self._spans if span > days), default=None)
            self._spans[days] = Last.of(self.ago, self.ends, days) if longer is None else self._spans[longer].last(days)
        return self._spans[days]

    def _at(self, places: Ints) -> Ints:
        found = np.zeros(len(self.times), self.ago.dtype)
        found[self.has_any] = self.ago[places[self.has_any]]
        return found


@dataclass(frozen=True)
class Last:
    """Entries of some last days: their `places` in the matrix, how long `ago`, and where each customer's end."""

    places: Ints
    ago: Ints
    ends: Ints

    @classmethod
    def of(cls, ago: Ints, ends: Ints, days: int) -> "Last":
        """Those of a whole matrix."""
        inside = ago <= days
        places = np.flatnonzero(inside)
        return cls(places, ago[places], _ends_of(inside, ends))

    def last(self, days: int) -> "Last":
        """Those of fewer days."""
        found = Last.of(self.ago, self.ends, days)
        return Last(self.places[found.places], found.ago, found.ends)


def _ends_of(inside: NDArray[np.bool_], ends: Ints) -> Ints:
    """Where each customer's entries end when only those `inside` are left."""
    so_far = np.zeros(len(inside) + 1, np.int32)
    np.cumsum(inside.astype(np.int32), dtype=np.int32, out=so_far[1:])
    return so_far[ends]


class Gaps:
    """The days between each entry of a matrix and the customer's one before it (0 for the oldest, which has none), in
    the matrix's order: `days`; and each customer's by length: `ascending`. Both `[ends[k]:ends[k + 1]]`."""

    def __init__(self, ago: Ints, ends: Ints, width: int) -> None:
        self.ends, customers = ends, len(ends) - 1
        self._has_any = np.diff(ends) > 0
        self.days = np.zeros_like(ago)
        np.subtract(ago[1:], ago[:-1], out=self.days[:-1])
        self.days[ends[1:][self._has_any] - 1] = 0
        cells = sparse.csr_array((_nothing(len(ago)), self.days, ends), shape=(customers, width)).tocsc()
        self.often = np.diff(cells.indptr)
        self.often[0] -= np.count_nonzero(self._has_any)
        self.ascending = cells.tocsr().indices

    def median(self, count: Ints) -> NDArray[np.float64]:
        """The median of each customer's `count` longest; meaningless without one."""
        if not len(self.ascending):
            return np.zeros(len(count))
        first = self.ends[1:] - count
        middle = [self.ascending.take(first + rank, mode="clip") for rank in ((count - 1) // 2, count // 2)]
        found: NDArray[np.float64] = (middle[0] + middle[1]) / 2
        return found


class Measured:
    """Some customers, by their orders and acts (None: the orders that count); `is_there` says which of them have any.
    Raises SumTooLarge."""

    def __init__(self, customers: int, orders: Happenings, acts: Happenings | None, look_back_days: int | None) -> None:
        counted = DayMatrix.of(customers, orders.within(look_back_days))
        whole = counted if look_back_days is None else DayMatrix.of(customers, orders)
        acted = counted if acts is None else DayMatrix.of(customers, acts)
        self.is_there = whole.has_any | acted.has_any
        self._counted = counted.only(self.is_there)
        self._orders = self._counted if whole is counted else whole.only(self.is_there)
        self._acts = self._counted if acted is counted else acted.only(self.is_there)

    @property
    def gaps(self) -> Ints:
        """How often each gap between orders that count occurs: of 0 days, of 1, …"""
        return self._counted.gaps.often

    @property
    def act_gaps(self) -> Ints:
        """The same of the gaps between days with an act, of which there are none of 0 days."""
        return np.concatenate([[0], self._acts.gaps.often[1:]])

    def columns(self, spans: Spans) -> Mapping[str, pa.Array]:
        """What is known of each customer who is there.

        Of the orders in the look-back window (null for those without one) `recency_days`, `frequency`, `monetary`,
        `gap_count` and `median_gap` (null without one), `recent_orders` of the last two cycles and `former_orders` of
        the two before. Of all orders `paid_total`, how many (`orders_ever`), days since the last (`last_ever`), and
        `loyalty_product`, t × s of the last months.

        Of acts, several of a day being one, `act_gap_count` and `median_act_gap`, days `since_first` and `since_last`,
        and the `longest_recent` gap, of those that ended in the last `returned_days`.
        """
        counted, whole, acted = self._counted, self._orders, self._acts
        cycle, starts = spans.cycle_days, spans.period_starts_back
        gap_count, act_gap_count = np.maximum(counted.times - 1, 0), acted.days_apart
        product = whole.active_periods(starts) * whole.count(1, starts[-1])
        longest = acted.longest_gap(spans.returned_days)
        return {
            "monetary": _column(counted.total, counted.has_any),
            "paid_total": _column(whole.total, whole.has_any),
            "orders_ever": _column(whole.times, whole.has_any),
            "last_ever": _column(whole.newest, whole.has_any),
            "gap_count": _column(gap_count, whole.has_any),
            "median_gap": _column(counted.gaps.median(gap_count), gap_count > 0),
            "act_gap_count": _column(act_gap_count, acted.has_any),
            "median_act_gap": _column(acted.gaps.median(act_gap_count), act_gap_count > 0),
            "longest_recent": _column(longest, longest > 0),
            "recency_days": _column(counted.newest, counted.has_any),
            "frequency": _column(counted.times, counted.has_any),
            "recent_orders": _column(counted.count(1, 2 * cycle), whole.has_any),
            "former_orders": _column(counted.count(2 * cycle + 1, 4 * cycle), whole.has_any),
            "loyalty_product": _column(product, whole.has_any),
            "since_first": _column(acted.oldest, acted.has_any),
            "since_last": _column(acted.newest, acted.has_any),
        }


def _column(values: Ints, is_known: NDArray[np.bool_]) -> pa.Array:
    """The values where they lie, null where they aren't known: Arrow's own way looks at each of them."""
    bits = None if is_known.all() else pa.py_buffer(np.packbits(is_known, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [bits, pa.py_buffer(values)])


def _in_order(who: Ints, ago: Ints, shape: tuple[int, int]) -> tuple[Ints, Ints]:
    """Of each customer the days in order, and where each customer's end: two counting sorts, by day, then by
    customer, the second of which keeps the order of the first."""
    entries = np.arange(len(who) + 1, dtype=np.int32)
    by_day = sparse.csr_array((who, ago, entries), shape=(len(who), shape[1])).tocsc()
    rows = sparse.csc_array((_nothing(len(who)), by_day.data, by_day.indptr), shape=shape).tocsr()
    return rows.indptr, rows.indices


def _nothing(entries: int) -> Ints:
    """What is in the cells of a matrix of which only the places matter."""
    return np.zeros(entries, np.int8)


def _totals(who: Ints, amounts: Ints | None, times: Ints) -> Ints:
    """What each customer paid in all, `times` amounts of them. Raises SumTooLarge where 64 bits would wrap."""
    if amounts is None:
        return np.zeros(len(times), np.int64)
    largest = max(int(amounts.max(initial=0)), -int(amounts.min(initial=0)))
    if largest * int(times.max(initial=0)) >= HALF << LOW_BITS:
        low = _sums(who, amounts & ((1 << LOW_BITS) - 1), len(times))
        high = _sums(who, amounts >> LOW_BITS, len(times)) + (low >> LOW_BITS)
        if high.max() >= HALF or high.min() < -HALF:
            raise SumTooLarge("what one customer paid adds up to more than 64 bits hold")
    return _sums(who, amounts, len(times))


def _sums(who: Ints, amounts: Ints, customers: int) -> Ints:
    """The sum of each customer's amounts, as a product of matrices: NumPy would hold the interpreter for it."""
    entries = np.arange(len(who) + 1, dtype=np.int32)
    cells = sparse.csc_array((amounts, who, entries), shape=(customers, len(who)))
    sums: Ints = cells @ np.ones(len(who), np.int64)
    return sums
