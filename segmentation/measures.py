"""What all models together need to know of each customer, from orders and acts. Ibis expressions; knows no database."""

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ibis

from segmentation import loyalty, rfm

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


def of_orders(
    orders: Table, as_of: date, zone: ZoneInfo, look_back_days: int | None, cycle_days: int, periods: int
) -> Table:
    """One row per customer with an order before `as_of`: what `rfm.aggregates` gives (null for those without an order
    in the look-back window), and

    - `paid_total`, the sum of all history;
    - `recent_orders` of the last two cycles and `former_orders` of the two before, of those that count;
    - `loyalty_product`, t × s of the last `periods` months, of all history.
    """
    at = orders.ordered_at
    rows = orders.filter((at < rfm.moment(at, as_of, zone)).fill_null(True))
    at = rows.ordered_at

    def since(day: date) -> Expression:
        return at >= rfm.moment(at, day, zone)

    inside = None if look_back_days is None else since(as_of - timedelta(days=look_back_days))
    recent, two_before = since(as_of - timedelta(days=2 * cycle_days)), since(as_of - timedelta(days=4 * cycle_days))
    former = two_before & ~recent
    if inside is not None:
        recent, former = recent & inside, former & inside
    starts = loyalty.period_starts(as_of, periods)
    amount = rows.counted_amount if "counted_amount" in rows.columns else rows.amount
    grouped = rows.group_by("customer_id").aggregate(
        last=at.max(where=inside),
        frequency=rows.count(where=inside),
        monetary=rfm.whole_sum(amount, where=inside),
        paid_total=rfm.whole_sum(rows.amount),
        recent_orders=rows.count(where=recent),
        former_orders=rows.count(where=former),
        purchases=rows.count(where=since(starts[-1])),
        periods=loyalty.period_bit(at, [rfm.moment(at, start, zone) for start in starts]).bit_or(),
        unread=2 * rows.count() - at.count() - rows.amount.count(),
    )
    return grouped.select(
        "customer_id",
        "monetary",
        "paid_total",
        recency_days=ibis.literal(as_of).delta(day_of(grouped["last"]), unit="day").cast("int32"),
        frequency=grouped.frequency.nullif(0).cast("int32"),
        recent_orders=grouped.recent_orders.cast("int64"),
        former_orders=grouped.former_orders.cast("int64"),
        loyalty_product=loyalty.active_periods(grouped.periods, periods) * grouped.purchases,
        unread=grouped.unread + grouped.customer_id.isnull().cast("int64"),
    )


def of_gaps(gaps: Table) -> Table:
    """One row per customer of `gaps` (see `nesl.gaps`): `gap_count` and `median_gap`, null for those with one order."""
    return gaps.group_by("customer_id").aggregate(gap_count=gaps.gap.count(), median_gap=gaps.gap.median())


def of_acts(gaps: Table, as_of: date, returned_days: int) -> Table:
    """One row per customer of `gaps` between acts, several of a day being one: `act_gap_count` and `median_act_gap`,
    days `since_first` and `since_last`, and the `longest_recent` gap, of those that ended in the last
    `returned_days`."""
    apart = gaps.gap > 0
    recent = gaps.day >= ibis.literal(as_of - timedelta(days=returned_days))
    found = gaps.group_by("customer_id").aggregate(
        act_gap_count=gaps.gap.count(where=apart),
        median_act_gap=gaps.gap.median(where=apart),
        first=gaps.day.min(),
        last=gaps.day.max(),
        longest_recent=gaps.gap.max(where=recent),
    )
    today = ibis.literal(as_of)
    return found.select(
        "customer_id",
        "act_gap_count",
        "median_act_gap",
        "longest_recent",
        since_first=today.delta(found["first"], unit="day").cast("int32"),
        since_last=today.delta(found["last"], unit="day").cast("int32"),
    )
