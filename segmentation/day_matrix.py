"""Customers measured by a matrix: a row per customer, a column per day, and in a cell what was paid on that day.

One machine computes so: the few days of a row are sorted by themselves, which is far cheaper than bringing everybody's
orders into order, and a row's gaps lie side by side, so that medians and sums are read off. A cluster has expressions
for the same (spark/measures.py). Arrays in, arrays out; knows no database.

Days are counted back from the day computed for: 1 is the day before it, and a row begins with its newest day.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray
from scipy import sparse

from segmentation.measures import Spans

LOW_BITS = 32
HALF = 2 ** (63 - LOW_BITS)

Ints = NDArray[Any]
GapCounts = Counter[int]  # days -> how often


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

    def divided(self, share: Ints, shares: int) -> "list[Happenings]":
        """Those of each share of the customers; `share` says in which a customer is."""
        mine = share[self.who]
        order, ends = np.argsort(mine, kind="stable"), np.bincount(mine, minlength=shares).cumsum()
        columns = [None if c is None else c[order] for c in (self.who, self.ago, self.amount, self.counted)]
        return [
            Happenings(*(None if c is None else c[start:end] for c in columns))  # type: ignore[arg-type]
            for start, end in pairwise([0, *ends.tolist()])
        ]

    @classmethod
    def together(cls, batches: "Sequence[Happenings]", first: int) -> "Happenings":
        """Those of several batches, with the customers `first`, `first + 1`, … as 0, 1, …"""
        if not batches:
            return cls(np.zeros(0, np.int32), np.zeros(0, np.int32))

        def column(name: str) -> Ints | None:
            arrays = [getattr(batch, name) for batch in batches]
            return None if arrays[0] is None else np.concatenate(arrays)

        who, ago = np.concatenate([batch.who for batch in batches]), np.concatenate([batch.ago for batch in batches])
        return cls(who - first, ago, column("amount"), column("counted"))

    def count(self, customers: int, newest: int, oldest: int) -> Ints:
        """How many each customer has from `newest` to `oldest` days ago."""
        inside = self.ago <= oldest
        if newest > 1:
            inside &= self.ago >= newest
        return np.bincount(self.who[np.flatnonzero(inside)], minlength=customers)


class DayMatrix:
    """The matrix in scipy's compressed rows: customer k has the days `ago[ends[k]:ends[k + 1]]`, each once, the newest
    first, and paid `paid` on each. Raises SumTooLarge."""

    def __init__(self, customers: int, rows: Happenings) -> None:
        self.customers = customers
        self.times = np.bincount(rows.who, minlength=customers)  # several on a day each counted
        self.width = int(rows.ago.max(initial=0)) + 1
        paid = np.zeros(len(rows.who), np.int8) if rows.amount is None else rows.amount
        _check_sums(customers, rows.who, paid, self.times)
        cells = sparse.coo_array((paid, (rows.who, rows.ago)), shape=(customers, self.width)).tocsr()
        self.ends, self.ago, self.paid = cells.indptr, cells.indices, cells.data
        self.days = np.diff(self.ends)
        self.has_any = self.days > 0

    @property
    def newest(self) -> Ints:
        """Days back to the newest; 0 for none."""
        return self._at(self.ends[:-1])

    @property
    def oldest(self) -> Ints:
        """Days back to the oldest; 0 for none."""
        return self._at(self.ends[1:] - 1)

    @property
    def total(self) -> Ints:
        """What each customer paid."""
        return _of_each(np.add, self.paid, self.ends).astype(np.int64, copy=False)  # of nobody's, too

    @property
    def same_day(self) -> Ints:
        """How many more there are than days: gaps of 0 days."""
        return self.times - self.days

    def gaps(self) -> "Gaps":
        """The days between a day and the one before it."""
        apart, is_own = np.diff(self.ago), np.ones(max(0, len(self.ago) - 1), bool)
        is_own[self.ends[1:][self.has_any][:-1] - 1] = False  # from one customer's oldest to the next one's newest
        ends = np.zeros_like(self.ends)
        np.cumsum(np.maximum(self.days - 1, 0), out=ends[1:])
        own = np.flatnonzero(is_own)
        return Gaps(apart[own], self.ago[own], ends, self.width)

    def active_periods(self, starts: list[int]) -> Ints:
        """In how many periods each customer has a day; each begins so many days back, the newest first."""
        bits = np.zeros(self.width, np.min_scalar_type((1 << len(starts)) - 1))
        for number, start in reversed(list(enumerate(starts))):
            bits[: start + 1] = 1 << number
        return np.bitwise_count(_of_each(np.bitwise_or, bits[self.ago], self.ends))

    def _at(self, places: Ints) -> Ints:
        found = np.zeros(self.customers, self.ago.dtype)
        found[self.has_any] = self.ago[places[self.has_any]]
        return found


class Gaps:
    """Of each customer the gaps between days, at least 1: `days[ends[k]:ends[k + 1]]`, in order of time, and in that of
    length `ascending`; `until` says how many days ago each ended."""

    def __init__(self, days: Ints, until: Ints, ends: Ints, width: int) -> None:
        self.days, self.until, self.ends = days, until, ends
        self.count = np.diff(ends)
        nothing = np.zeros(len(days), np.int8)
        rows = sparse.csr_array((nothing, days.copy(), ends), shape=(len(self.count), width))
        rows.sort_indices()
        self.ascending = rows.indices

    def often(self, noughts: int = 0) -> GapCounts:
        """How often each gap occurs, with so many of 0 days."""
        counts = np.bincount(self.days, minlength=1)
        counts[0] += noughts
        found = np.flatnonzero(counts)
        return Counter(dict(zip(found.tolist(), counts[found].tolist(), strict=True)))

    def longest(self, last_days: int) -> Ints:
        """The longest that ended in the last `last_days` days; 0 for none."""
        return _of_each(np.maximum, np.where(self.until <= last_days, self.days, 0), self.ends)

    def median(self, noughts: Ints | int = 0) -> NDArray[np.float64]:
        """The median of each customer's gaps, so many more of 0 days among them; meaningless without one."""
        count = self.count + noughts

        def at(rank: Ints) -> Ints:
            places = self.ends[:-1] + rank - noughts
            if not len(self.days):
                return np.zeros(len(places), np.int64)
            return np.where(rank < noughts, 0, self.ascending[places.clip(0, len(self.days) - 1)])

        found: NDArray[np.float64] = (at((count - 1) // 2) + at(count // 2)) / 2
        return found


class Measured:
    """Some customers, by their orders and acts (None: the orders that count). Raises SumTooLarge."""

    def __init__(self, customers: int, orders: Happenings, acts: Happenings | None, look_back_days: int | None) -> None:
        self.customers = customers
        counted = orders.within(look_back_days)
        self._of_counted = DayMatrix(customers, counted)
        self._of_orders = self._of_counted if look_back_days is None else DayMatrix(customers, orders)
        self._of_acts = self._of_counted if acts is None else DayMatrix(customers, acts)
        self._gaps = self._of_counted.gaps()
        self._act_gaps = self._gaps if acts is None else self._of_acts.gaps()
        self._orders, self._counted = (Happenings(rows.who, rows.ago) for rows in (orders, counted))

    @property
    def gaps(self) -> GapCounts:
        """The gaps between orders that count."""
        return self._gaps.often(int(self._of_counted.same_day.sum()))

    @property
    def act_gaps(self) -> GapCounts:
        """The gaps between days with an act."""
        return self._act_gaps.often()

    def columns(self, spans: Spans) -> tuple[Mapping[str, pa.Array], NDArray[np.bool_]]:
        """What is known of each customer, and whether that is anything at all.

        Of the orders in the look-back window (null for those without one) `recency_days`, `frequency`, `monetary`,
        `gap_count` and `median_gap` (null without one), `recent_orders` of the last two cycles and `former_orders` of
        the two before. Of all orders `paid_total`, and `loyalty_product`, t × s of the last months.

        Of acts, several of a day being one, `act_gap_count` and `median_act_gap`, days `since_first` and `since_last`,
        and the `longest_recent` gap, of those that ended in the last `returned_days`.

        `unread` is 0: rows that can't be read don't come here.
        """
        counted, whole, acted = self._of_counted, self._of_orders, self._of_acts
        cycle, starts = spans.cycle_days, spans.period_starts_back
        gaps, act_gaps = self._gaps, self._act_gaps
        gap_count = gaps.count + counted.same_day
        longest = act_gaps.longest(spans.returned_days)
        product = whole.active_periods(starts) * self._orders.count(self.customers, 1, starts[-1])
        found = {
            "monetary": _column(counted.total, counted.has_any),
            "paid_total": _column(whole.total, whole.has_any),
            "gap_count": _column(gap_count, whole.has_any),
            "median_gap": _column(gaps.median(counted.same_day), gap_count > 0),
            "act_gap_count": _column(act_gaps.count, acted.has_any),
            "median_act_gap": _column(act_gaps.median(), act_gaps.count > 0),
            "longest_recent": _column(longest, longest > 0),
            "recency_days": _column(counted.newest, counted.has_any),
            "frequency": _column(counted.times.astype(np.int32), counted.has_any),
            "recent_orders": _column(self._counted.count(self.customers, 1, 2 * cycle), whole.has_any),
            "former_orders": _column(self._counted.count(self.customers, 2 * cycle + 1, 4 * cycle), whole.has_any),
            "loyalty_product": _column(product, whole.has_any),
            "unread": _column(np.zeros(self.customers, np.int64), whole.has_any),
            "since_first": _column(acted.oldest, acted.has_any),
            "since_last": _column(acted.newest, acted.has_any),
        }
        return found, whole.has_any | acted.has_any


def _column(values: Ints, is_known: NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=None if is_known.all() else ~is_known)


def _of_each(reduce: np.ufunc, values: Ints, ends: Ints) -> Ints:
    """`reduce` over each customer's values; 0 for none. (`reduceat` alone takes a neighbour's for none.)"""
    found, has_any = np.zeros(len(ends) - 1, values.dtype), np.diff(ends) > 0
    if len(values):
        found[has_any] = reduce.reduceat(values, ends[:-1][has_any])
    return found


def _check_sums(customers: int, who: Ints, amounts: Ints, times: Ints) -> None:
    """Raises SumTooLarge where sums of 64 bits would wrap."""
    largest = max(int(amounts.max(initial=0)), -int(amounts.min(initial=0)))
    if largest * int(times.max(initial=0)) < HALF << LOW_BITS:
        return
    high, low = np.zeros(customers, np.int64), np.zeros(customers, np.int64)
    np.add.at(high, who, amounts >> LOW_BITS)
    np.add.at(low, who, amounts & ((1 << LOW_BITS) - 1))
    high += low >> LOW_BITS
    if high.max() >= HALF or high.min() < -HALF:
        raise SumTooLarge("what one customer paid adds up to more than 64 bits hold")
