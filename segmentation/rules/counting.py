"""Events counted by place: for each condition a row of counters, one for every customer id. Where ids lie close
together, as ours do, that is far cheaper than grouping: no event is looked for among groups, and the counters of all
conditions lie in the same order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

FEWEST = 2_000  # customers; fewer are grouped, which is computed where it is read, whoever they are then
PLACES_A_CUSTOMER = 4  # at most; ids that lie wider apart are grouped
MOST_COUNTERS = 64_000_000  # 256 MB; more are grouped, which can be spilled
BATCH_ROWS = 100_000
ONE = np.int32(1)

Table = Any
Expression = Any
Ints = NDArray[Any]


@dataclass(frozen=True)
class Condition:
    """What events are counted for: those of moments, in microseconds since 1970 (None: all), and whatever else must
    hold."""

    within: range | None
    test: Expression | None


@dataclass(frozen=True)
class Counters:
    """A row of counters for each of `names`, a column for each id from `first` on; `whose` are the ids of customers."""

    names: list[str]
    whose: Ints
    first: int
    counts: Ints

    def add(self, rows: Table, conditions: Mapping[str, Condition]) -> None:
        """Count, for each condition by its name, those of `rows` (of events, and what is tested) that fit."""
        last = self.first + self.counts.shape[1] - 1
        tests = {name: asked.test for name, asked in conditions.items() if asked.test is not None}
        times = ["occurred_at"] if any(asked.within is not None for asked in conditions.values()) else []
        rows = rows.filter(rows.customer_id.between(self.first, last)).select("customer_id", *times, **tests)
        for batch in _relation(rows).to_arrow_reader(BATCH_ROWS):
            who, moments = batch["customer_id"].to_numpy() - self.first, Moments(batch) if times else None
            for name, asked in conditions.items():
                inside = slice(None) if moments is None or asked.within is None else moments.inside(asked.within)
                fits = who[inside]
                if name in tests:
                    fits = fits[batch[name].fill_null(False).to_numpy(zero_copy_only=False)[inside]]
                np.add.at(self.counts[self.names.index(name)], fits, ONE)

    def table(self) -> pa.Table:
        """`customer_id` and the counts by name, a row for each customer."""
        places = self.whose - self.first
        counts = self.counts if len(places) == self.counts.shape[1] else self.counts.take(np.sort(places), axis=1)
        return pa.table({"customer_id": np.sort(self.whose), **dict(zip(self.names, counts, strict=True))})


class Moments:
    """When the events of a batch were. Events come about in the order of their times, so that most windows hold all of
    a batch or nothing of it."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._at = batch["occurred_at"].cast(pa.timestamp("us", "UTC")).view(pa.int64()).to_numpy()
        self._first, self._last = (int(self._at.min()), int(self._at.max())) if len(self._at) else (0, 0)

    def inside(self, within: range) -> slice | NDArray[np.bool_]:
        """Which of the batch lie there."""
        if self._first in within and self._last in within:
            return slice(None)
        if self._last < within.start or self._first >= within.stop:
            return slice(0)
        found: NDArray[np.bool_] = (self._at >= within.start) & (self._at < within.stop)
        return found


def counters(customers: Table, names: list[str]) -> Counters | None:
    """Counters at zero; None for too few, or where ids lie too far apart, or are too many, for so many conditions."""
    whose = _relation(customers.select("customer_id")).to_arrow_table()["customer_id"].to_numpy()
    if len(whose) < max(1, FEWEST):
        return None
    first, last = int(whose.min()), int(whose.max())
    if last - first >= min(PLACES_A_CUSTOMER * len(whose), MOST_COUNTERS // len(names)):
        return None
    counts = np.empty((len(names), last - first + 1), np.int32)  # large pages, where zeros would be small ones
    counts.fill(0)
    return Counters(names, whose, first, counts)


def _relation(table: Table) -> Any:
    connection = table.get_backend()
    return connection.con.sql(connection.compile(table))
