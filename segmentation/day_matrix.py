"""Customers measured by a matrix: a row per customer, a column per day, and an entry for each order or act.

One machine computes so: the few days of a row lie in order side by side, so that gaps, medians and sums are read off. A
matrix is brought into order by transposing it: a counting sort, which never compares, and is far cheaper than bringing
everybody's orders into order otherwise. A cluster has expressions for the same (spark/measures.py). Arrays in, arrays
out; knows no database.

Days are counted back from the day computed for: 1 is the day before it, and a row begins with its newest day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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


class SumTooLarge(Exception):
    """What one customer paid adds up to more than 64 bits hold."""


@dataclass(frozen=True)
class Happenings:
    """Orders or acts, in any order: `who` (0, 1, … below the number of customers) and how many days `ago`, at least 1;
    of orders the `amount`, and what of it is `counted` where that differs. Before they come `together` numbers may be
    narrower than for work."""

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

        def column(name: str, kind: type[np.integer[Any]]) -> Any:
            arrays = [getattr(batch, name) for batch in batches]
            return None if arrays[0] is None else np.concatenate(arrays, dtype=kind)

        who = column("who", np.int32) - first
        return cls(who, column("ago", np.int32), column("amount", np.int64), column("counted", np.int64))


class DayMatrix:
    """The matrix in scipy's compressed rows: customer k has entries on the days `ago[ends[k]:ends[k + 1]]`, the newest
    first, and paid `total`. Raises SumTooLarge."""

    def __init__(self, customers: int, rows: Happenings) -> None:
        self.customers = customers
        width = int(rows.ago.max(initial=0)) + 1
        self.ends, self.ago = _in_order(rows.who, rows.ago, (customers, width))
        self.times = np.diff(self.ends)
        self.has_any = self.times > 0
        self.total = np.zeros(customers, np.int64)
        if rows.amount is not None:
            _check_sums(customers, rows.who, rows.amount, self.times)
            np.add.at(self.total, rows.who, rows.amount)
        self.gaps = Gaps(self.ago, self.ends, width)
        self._longest = 0, np.zeros(0, np.intp)  # a span of days, and the places of its entries

    @property
    def newest(self) -> Ints:
        """Days back to the newest; 0 for none."""
        return self._at(self.ends[:-1])

    @property
    def oldest(self) -> Ints:
        """Days back to the oldest; 0 for none."""
        return self._at(self.ends[1:] - 1)

    def count(self, newest: int, oldest: int) -> Ints:
        """How many entries each customer has from `newest` to `oldest` days ago."""
        inside = self._within(oldest)
        return self._count(inside if newest <= 1 else inside[self.ago[inside] >= newest])

    def longest_gap(self, last_days: int) -> Ints:
        """The longest that ended in the last `last_days` days; 0 for none."""
        found, inside = np.zeros(self.customers, self.ago.dtype), self._within(last_days)
        np.maximum.at(found, self._who[inside], self.gaps.days[inside])
        return found

    def active_periods(self, starts: list[int]) -> Ints:
        """In how many periods each customer has an entry; each begins so many days back, the newest first."""
        inside = self._within(starts[-1])
        period = np.searchsorted(starts, np.arange(starts[-1] + 1)).astype(np.int8)[self.ago[inside]]
        who, is_new = self._who[inside], np.ones(len(inside), bool)
        is_new[1:] = (who[1:] != who[:-1]) | (period[1:] != period[:-1])
        return self._count(inside[is_new])

    @cached_property
    def _who(self) -> Ints:
        return np.repeat(np.arange(self.customers, dtype=np.int32), self.times)

    def _within(self, days: int) -> Ints:
        """The places of entries of the last `days` days; found among those of a longer span asked for before."""
        longest, places = self._longest
        if days > longest:
            self._longest = days, np.flatnonzero(self.ago <= days)
            return self._longest[1]
        return places if days == longest else places[self.ago[places] <= days]

    def _count(self, places: Ints) -> Ints:
        return np.bincount(self._who[places], minlength=self.customers)

    def _at(self, places: Ints) -> Ints:
        found = np.zeros(self.customers, self.ago.dtype)
        found[self.has_any] = self.ago[places[self.has_any]]
        return found


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

    @property
    def apart(self) -> Ints:
        """How many of at least a day each customer has."""
        found = np.zeros(len(self.ends) - 1, np.int32)
        if len(self.days):
            found[self._has_any] = np.add.reduceat(self.days > 0, self.ends[:-1][self._has_any], dtype=np.int32)
        return found

    def median(self, count: Ints) -> NDArray[np.float64]:
        """The median of each customer's `count` longest; meaningless without one."""
        if not len(self.ascending):
            return np.zeros(len(count))
        first = self.ends[1:] - count
        middle = [self.ascending.take(first + rank, mode="clip") for rank in ((count - 1) // 2, count // 2)]
        found: NDArray[np.float64] = (middle[0] + middle[1]) / 2
        return found


class Measured:
    """Some customers, by their orders and acts (None: the orders that count). Raises SumTooLarge."""

    def __init__(self, customers: int, orders: Happenings, acts: Happenings | None, look_back_days: int | None) -> None:
        self._counted = DayMatrix(customers, orders.within(look_back_days))
        self._orders = self._counted if look_back_days is None else DayMatrix(customers, orders)
        self._acts = self._counted if acts is None else DayMatrix(customers, acts)

    @property
    def gaps(self) -> Ints:
        """How often each gap between orders that count occurs: of 0 days, of 1, …"""
        return self._counted.gaps.often

    @property
    def act_gaps(self) -> Ints:
        """The same of the gaps between days with an act, of which there are none of 0 days."""
        return np.concatenate([[0], self._acts.gaps.often[1:]])

    def columns(self, spans: Spans) -> tuple[Mapping[str, pa.Array], NDArray[np.bool_]]:
        """What is known of each customer, and whether that is anything at all.

        Of the orders in the look-back window (null for those without one) `recency_days`, `frequency`, `monetary`,
        `gap_count` and `median_gap` (null without one), `recent_orders` of the last two cycles and `former_orders` of
        the two before. Of all orders `paid_total`, how many (`orders_ever`), days since the last (`last_ever`), and
        `loyalty_product`, t × s of the last months.

        Of acts, several of a day being one, `act_gap_count` and `median_act_gap`, days `since_first` and `since_last`,
        and the `longest_recent` gap, of those that ended in the last `returned_days`.

        `unread` is 0: rows that can't be read don't come here.
        """
        counted, whole, acted = self._counted, self._orders, self._acts
        cycle, starts = spans.cycle_days, spans.period_starts_back
        gap_count, act_gap_count = np.maximum(counted.times - 1, 0), acted.gaps.apart
        product = whole.active_periods(starts) * whole.count(1, starts[-1])
        longest = acted.longest_gap(spans.returned_days)
        found = {
            "monetary": _column(counted.total, counted.has_any),
            "paid_total": _column(whole.total, whole.has_any),
            "orders_ever": _column(whole.times.astype(np.int32), whole.has_any),
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
            "unread": _column(np.zeros(whole.customers, np.int64), whole.has_any),
            "since_first": _column(acted.oldest, acted.has_any),
            "since_last": _column(acted.newest, acted.has_any),
        }
        return found, whole.has_any | acted.has_any


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
