"""The paid orders of a whole brand as histories: a sample of customers to learn from, and everybody, part by part."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.facts import keep
from segmentation.predict.history import History, Ints
from segmentation.rfm import UNITS, counted

PART_CUSTOMERS = 50_000  # said at once: some hundred megabytes of arrays, however large the brand

Table = Any


@dataclass(frozen=True)
class PaidOrders:
    """Orders before a day, in DuckDB (customer_id, day, amount in money), and whose they are, ascending."""

    connection: Any
    orders: Table
    customers: Ints

    def of_sample(self, most: int) -> History:
        """All orders of at most `most` customers: those that `History.sampled` would choose."""
        if len(self.customers) <= most:
            return self._history(self.orders)
        chosen = np.random.default_rng(0).choice(self.customers, most, replace=False)
        table = keep(self.connection, "learners", pa.table({"customer_id": chosen}))
        return self._history(self.orders.semi_join(table, "customer_id"))

    def parts(self, customers: int = PART_CUSTOMERS) -> Iterator[History]:
        """The orders of so many customers at a time, ascending; every customer in one part."""
        for start in range(0, len(self.customers), customers):
            part = self.customers[start : start + customers]
            inside = self.orders.customer_id.between(int(part[0]), int(part[-1]))
            yield self._history(self.orders.filter(inside))

    def _history(self, rows: Table) -> History:
        table = self.connection.to_pyarrow(rows)
        days = table["day"].cast(pa.int32()).to_numpy().astype(np.int64)
        return History(table["customer_id"].to_numpy(), days, table["amount"].to_numpy())


def paid_before(connection: Any, orders: Table, as_of: date, zone: ZoneInfo) -> PaidOrders:
    """The `orders` (customer_id, ordered_at with a zone, amount in ten-thousandths) before the start of `as_of` in
    `zone`, which is the session zone of the DuckDB `connection`. Kept there as the temporary table `paid_orders`."""
    before = orders.filter(counted(orders, as_of, zone, None))
    day, amount = before.ordered_at.date().cast("date"), before.amount.cast("float64") / UNITS
    kept = connection.create_table("paid_orders", before.select("customer_id", day=day, amount=amount), temp=True)
    who = connection.to_pyarrow(kept.select("customer_id").distinct().order_by("customer_id"))
    return PaidOrders(connection, kept, who["customer_id"].to_numpy())
