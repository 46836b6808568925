"""What all models together need to know of each customer, from orders and acts. Ibis expressions; knows no database."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ibis

from segmentation import loyalty, nesl, rfm

Table = Any
Expression = Any


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


def by_day(orders: Table, as_of: date, zone: ZoneInfo) -> Table:
    """The orders before `as_of` (and those of a null time) with the brand's `day`, and `gap` as in `nesl.gaps`:
    customer_id, day, amount, gap, and `counted_amount` where `orders` has it."""
    at = orders.ordered_at
    rows = orders.filter((at < rfm.moment(at, as_of, zone)).fill_null(True))
    amounts = [name for name in ("amount", "counted_amount") if name in orders.columns]
    return nesl.gaps(rows.select("customer_id", *amounts, day=day_of(rows.ordered_at)))


def counted_gap(rows: Table, as_of: date, look_back_days: int | None) -> Expression:
    """The gaps between orders (see `by_day`) that both lie in the look-back window; null for others."""
    if look_back_days is None:
        return rows.gap
    start = ibis.literal(as_of - timedelta(days=look_back_days))
    return ibis.cases((rows.gap <= rows.day.delta(start, unit="day"), rows.gap))


def acts_by_day(acts: Table, as_of: date, zone: ZoneInfo) -> Table:
    """The acts (customer_id, occurred_at) before `as_of`: customer_id, day, and `gap` as in `nesl.gaps`."""
    at = acts.occurred_at
    return nesl.gaps(acts.filter(at < rfm.moment(at, as_of, zone)).select("customer_id", day=day_of(at)))


@dataclass(frozen=True)
class Spans:
    """What customers are measured over, in days back from `as_of`; the periods of loyalty in months."""

    as_of: date
    look_back_days: int | None
    cycle_days: int
    periods: int
    returned_days: int

    def start(self, days: int) -> Expression:
        """The first of the last `days` days."""
        return ibis.literal(self.as_of - timedelta(days=days))

    def days_since(self, day: Expression) -> Expression:
        """From `day` to the day computed for."""
        return ibis.literal(self.as_of).delta(day, unit="day").cast("int32")


def of_customers(orders: Table, acts: Table | None, spans: Spans) -> Table:
    """One row per customer of `orders` (see `by_day`) and `acts` (see `acts_by_day`; None: the orders that count).

    Of orders what `rfm.aggregates` gives (null for those without one in the look-back window), and

    - `gap_count` and `median_gap`, of those that count; null without one;
    - `paid_total`, the sum of all history;
    - `recent_orders` of the last two cycles and `former_orders` of the two before, of those that count;
    - `loyalty_product`, t × s of the last `periods` months, of all history.

    Of acts, several of a day being one, `act_gap_count` and `median_act_gap`, days `since_first` and `since_last`, and
    the `longest_recent` gap, of those that ended in the last `returned_days`.
    """
    if acts is None:
        gap = counted_gap(orders, spans.as_of, spans.look_back_days)
        inside = None if spans.look_back_days is None else orders.day >= spans.start(spans.look_back_days)
        one_pass = orders.group_by("customer_id").aggregate(
            **_of_orders(orders, spans), **_of_acts(orders, gap, inside, spans)
        )
        return _measured(one_pass, spans)
    of_orders = orders.group_by("customer_id").aggregate(**_of_orders(orders, spans))
    of_acts = acts.group_by("customer_id").aggregate(**_of_acts(acts, acts.gap, None, spans))
    joined = of_orders.outer_join(of_acts, "customer_id")
    joined = joined.mutate(customer_id=ibis.coalesce(joined.customer_id, joined.customer_id_right))
    return _measured(joined, spans)


def _of_orders(rows: Table, spans: Spans) -> dict[str, Expression]:
    """What orders are summed up to, per customer."""
    cycle, look_back = spans.cycle_days, spans.look_back_days
    recent = rows.day >= spans.start(2 * cycle)
    former = (rows.day >= spans.start(4 * cycle)) & ~recent
    inside = None
    if look_back is not None:
        inside = rows.day >= spans.start(look_back)
        recent, former = recent & inside, former & inside
    starts = [ibis.literal(start) for start in loyalty.period_starts(spans.as_of, spans.periods)]
    amount = rows.counted_amount if "counted_amount" in rows.columns else rows.amount
    gap = counted_gap(rows, spans.as_of, look_back)
    return {
        "last_order": rows.day.max(where=inside),
        "frequency": rows.count(where=inside),
        "monetary": rfm.whole_sum(amount, where=inside),
        "gap_count": gap.count(),
        "median_gap": gap.median(),
        "paid_total": rfm.whole_sum(rows.amount),
        "recent_orders": rows.count(where=recent),
        "former_orders": rows.count(where=former),
        "purchases": rows.count(where=rows.day >= starts[-1]),
        "periods": loyalty.period_bit(rows.day, starts).bit_or(),
        "unread": 2 * rows.count() - rows.day.count() - rows.amount.count(),
    }


def _of_acts(rows: Table, gap: Expression, inside: Expression | None, spans: Spans) -> dict[str, Expression]:
    """What the acts that are `inside` (None: all) are summed up to, per customer; `gap` is null for the others."""
    apart = gap > 0
    return {
        "act_gap_count": gap.count(where=apart),
        "median_act_gap": gap.median(where=apart),
        "first_act": rows.day.min(where=inside),
        "last_act": rows.day.max(where=inside),
        "longest_recent": gap.max(where=rows.day >= spans.start(spans.returned_days)),
    }


def _measured(sums: Table, spans: Spans) -> Table:
    """The columns of `of_customers` from the sums."""
    return sums.select(
        *("customer_id", "monetary", "paid_total", "gap_count", "median_gap"),
        *("act_gap_count", "median_act_gap", "longest_recent"),
        recency_days=spans.days_since(sums.last_order),
        frequency=sums.frequency.nullif(0).cast("int32"),
        recent_orders=sums.recent_orders.cast("int64"),
        former_orders=sums.former_orders.cast("int64"),
        loyalty_product=loyalty.active_periods(sums.periods, spans.periods) * sums.purchases,
        unread=sums.unread + sums.customer_id.isnull().cast("int64"),
        since_first=spans.days_since(sums.first_act),
        since_last=spans.days_since(sums.last_act),
    )
