"""What `day_matrix.Measured` says of each customer, as Ibis expressions: a cluster brings orders into order, where one
machine has a matrix of days. The tests hold the two to each other, to the last row."""

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ibis

from segmentation import loyalty, nesl, rfm
from segmentation.measures import Spans, amounts_of, day_of, days_between

Table = Any
Expression = Any


def by_day(orders: Table, as_of: date, zone: ZoneInfo) -> Table:
    """The orders before `as_of` (and those of a null time) with the brand's `day`, and `gap` as in `nesl.gaps`:
    customer_id, day, amount, gap, and `counted_amount` where `orders` has it."""
    at = orders.ordered_at
    rows = orders.filter((at < rfm.moment(at, as_of, zone)).fill_null(True))
    return nesl.gaps(rows.select("customer_id", *amounts_of(orders), day=day_of(rows.ordered_at)))


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


def of_customers(orders: Table, acts: Table | None, spans: Spans) -> Table:
    """One row per customer of `orders` (see `by_day`) and `acts` (see `acts_by_day`; None: the orders that count), with
    the columns of `day_matrix.Measured`. A row that can't be read is counted as `unread`."""
    if acts is None:
        gap = counted_gap(orders, spans.as_of, spans.look_back_days)
        inside = None if spans.look_back_days is None else orders.day >= _start(spans, spans.look_back_days)
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
    recent = rows.day >= _start(spans, 2 * cycle)
    former = (rows.day >= _start(spans, 4 * cycle)) & ~recent
    inside = None
    if look_back is not None:
        inside = rows.day >= _start(spans, look_back)
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
        "orders_ever": rows.count(),
        "last_of_all": rows.day.max(),
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
        "longest_recent": gap.max(where=rows.day >= _start(spans, spans.returned_days)),
    }


def _measured(sums: Table, spans: Spans) -> Table:
    """The columns of `of_customers` from the sums."""
    return sums.select(
        *("customer_id", "monetary", "paid_total", "gap_count", "median_gap"),
        *("act_gap_count", "median_act_gap", "longest_recent"),
        recency_days=days_between(sums.last_order, spans.as_of),
        frequency=sums.frequency.nullif(0).cast("int32"),
        orders_ever=sums.orders_ever.nullif(0).cast("int32"),
        last_ever=days_between(sums.last_of_all, spans.as_of),
        recent_orders=sums.recent_orders.cast("int64"),
        former_orders=sums.former_orders.cast("int64"),
        loyalty_product=loyalty.active_periods(sums.periods, spans.periods) * sums.purchases,
        unread=sums.unread + sums.customer_id.isnull().cast("int64"),
        since_first=days_between(sums.first_act, spans.as_of),
        since_last=days_between(sums.last_act, spans.as_of),
    )


def _start(spans: Spans, days: int) -> Expression:
    """The first of the last `days` days."""
    return ibis.literal(spans.as_of - timedelta(days=days))
