"""Orders and acts as customers are measured by them, and over which spans. Ibis expressions; knows no database."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import ibis

from segmentation import loyalty, rfm

Table = Any
Expression = Any


class UnreadableRows(Exception):
    """Some rows lack a customer, time or amount: the reader of the rows must find out which and why."""


def day_of(at: Expression) -> Expression:
    """The brand's calendar day of a date, a wall time, or an instant (the session's zone must then be the brand's)."""
    return at if at.type().is_date() else at.date()


def all_acts(orders: Table, acts: Table) -> Table:
    """What activity is judged by: orders and other acts."""
    return orders.select("customer_id", occurred_at=orders.ordered_at).union(acts.select("customer_id", "occurred_at"))


def whole_orders(rows: Table, as_of: date, zone: ZoneInfo, look_back_days: int | None) -> Table:
    """Rows of a customer with the same `order_id` joined to one order, as `rfm.aggregates` with `lines` counts them:
    its time is the latest row's, `amount` the sum of all rows and `counted_amount` of those in the look-back window.
    Rows must be readable."""
    inside = rfm.counted(rows, as_of, zone, look_back_days)
    rows = rows.filter(rfm.counted(rows, as_of, zone, None))
    kept = rows.mutate(counted_amount=ibis.cases((inside, rows.amount)))
    alone = kept.filter(kept.order_id.isnull()).select("customer_id", "ordered_at", "amount", "counted_amount")
    together = kept.filter(kept.order_id.notnull()).group_by(["customer_id", "order_id"])
    joined = together.aggregate(
        ordered_at=kept.ordered_at.max(),
        amount=rfm.whole_sum(kept.amount),
        counted_amount=rfm.whole_sum(kept.counted_amount),
    )
    return alone.union(joined.drop("order_id"))


def days_back(orders: Table, as_of: date, zone: ZoneInfo) -> Table:
    """The orders before `as_of` (and those of a null time) by how many days `ago` they were: customer_id, ago, amount,
    and `counted_amount` where `orders` has it."""
    at = orders.ordered_at
    rows = orders.filter((at < rfm.moment(at, as_of, zone)).fill_null(True))
    return rows.select("customer_id", *amounts_of(orders), ago=days_between(day_of(rows.ordered_at), as_of))


def acts_back(acts: Table, as_of: date, zone: ZoneInfo) -> Table:
    """The acts (customer_id, occurred_at) before `as_of`: customer_id, ago."""
    at = acts.occurred_at
    rows = acts.filter(at < rfm.moment(at, as_of, zone))
    return rows.select("customer_id", ago=days_between(day_of(rows.occurred_at), as_of))


def days_between(day: Expression, as_of: date) -> Expression:
    """From `day` to the day computed for."""
    # the literal first: ibis gives days from the argument up to the literal
    return ibis.literal(as_of).delta(day, unit="day").cast("int32")


def amounts_of(orders: Table) -> list[str]:
    """The columns of amounts that `orders` has."""
    return [name for name in ("amount", "counted_amount") if name in orders.columns]


@dataclass(frozen=True)
class Spans:
    """What customers are measured over, in days back from `as_of`; the periods of loyalty in months."""

    as_of: date
    look_back_days: int | None
    cycle_days: int
    periods: int
    returned_days: int

    @property
    def period_starts_back(self) -> list[int]:
        """How many days back each period of loyalty begins, the newest first."""
        return [(self.as_of - start).days for start in loyalty.period_starts(self.as_of, self.periods)]
