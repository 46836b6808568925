"""The segmentation once more, plainly: loops, decimals, one step after the other. Slow, and only for comparing."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

RF11 = {  # R score -> segments for F scores 1 to 5
    5: ("new", "potential_loyal", "potential_loyal", "champions", "champions"),
    4: ("promising", "potential_loyal", "potential_loyal", "loyal", "loyal"),
    3: ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    2: ("lost", "hibernating", "at_risk", "at_risk", "cannot_lose"),
    1: ("lost", "hibernating", "at_risk", "at_risk", "cannot_lose"),
}


@dataclass(frozen=True)
class Order:
    customer_id: str
    ordered_at: datetime  # naive: the brand's wall time
    amount: Decimal
    order_id: str | None = None
    status: str = "paid"

    def day(self, zone: ZoneInfo) -> date:
        return self.ordered_at.astimezone(zone).date() if self.ordered_at.tzinfo else self.ordered_at.date()


def segment(
    orders: list[Order],
    as_of: date,
    zone: ZoneInfo,
    cycle: int = 30,
    look_back: int | None = None,
    high_from: int | None = None,
) -> dict[str, dict[str, object]]:
    """Customer id -> the columns of the result file (without customer_id)."""
    groups: dict[str, list[Order]] = defaultdict(list)
    ever: dict[str, list[Order]] = defaultdict(list)  # whatever the look-back window
    for order in orders:
        days = (as_of - order.day(zone)).days
        if order.status == "paid" and days > 0:
            ever[order.customer_id].append(order)
        if order.status == "paid" and days > 0 and (look_back is None or days <= look_back):
            groups[order.customer_id].append(order)
    recency = {c: min((as_of - o.day(zone)).days for o in mine) for c, mine in groups.items()}
    frequency, ever_frequency = ({c: _orders(mine) for c, mine in some.items()} for some in (groups, ever))
    monetary = {c: sum((o.amount for o in mine), Decimal(0)) for c, mine in groups.items()}
    r = _scores({c: Decimal(-days) for c, days in recency.items()})
    f = _scores({c: Decimal(n) for c, n in frequency.items()})
    m = _scores(monetary)
    high_r, high_f, high_m = (_is_high(scores, high_from) for scores in (r, f, m))
    return {
        c: {
            "recency_days": recency[c],
            "frequency": frequency[c],
            "monetary": monetary[c],
            "r": r[c],
            "f": f[c],
            "m": m[c],
            "rf4": _rf4(high_r(c), high_f(c)),
            "rf11": RF11[r[c]][f[c] - 1],
            "rfm3": _rfm3(high_r(c), high_f(c), high_m(c), ever_frequency[c]),
            "rfm8": _rfm8(high_r(c), high_f(c), high_m(c)),
            "nesl": _nesl(recency[c], ever_frequency[c], cycle),
        }
        for c in groups
    }


def _orders(rows: list[Order]) -> int:
    return len({o.order_id for o in rows if o.order_id is not None}) + sum(o.order_id is None for o in rows)


def cycle_of(orders: list[Order], zone: ZoneInfo) -> int | None:
    """The proposed cycle of orders that all count: median gap, halves up, at least a day."""
    days: dict[tuple[str, object], date] = {}
    for number, order in enumerate(orders):
        key = (order.customer_id, order.order_id if order.order_id is not None else number)
        days[key] = max(order.day(zone), days.get(key, date.min))
    gaps = []
    for customer in {c for c, _ in days}:
        mine = sorted(day for (c, _), day in days.items() if c == customer)
        gaps += [(later - earlier).days for earlier, later in pairwise(mine)]
    return max(1, math.floor(median(gaps) + 0.5)) if gaps else None


def _scores(values: dict[str, Decimal]) -> dict[str, int]:
    ordered = sorted(values.values())
    cuts = [ordered[math.ceil(Fraction(k, 5) * len(ordered)) - 1] for k in (1, 2, 3, 4)] if ordered else []
    return {c: 1 + sum(cut < value for cut in cuts) for c, value in values.items()}


def _is_high(scores: dict[str, int], high_from: int | None) -> Callable[[str], bool]:
    if high_from is not None:
        return lambda c: scores[c] >= high_from
    mean = Fraction(sum(scores.values()), max(1, len(scores)))
    return lambda c: scores[c] > mean


def _rf4(r: bool, f: bool) -> str:
    return {(True, True): "regular", (True, False): "new", (False, True): "former", (False, False): "one_time"}[r, f]


def _rfm3(r: bool, f: bool, m: bool, orders: int) -> str:
    if r and f and m:
        return "high_value"
    if r and m and orders == 1:
        return "new_high_value"
    if r and f and not m:
        return "small_spender"
    return "other"


def _rfm8(r: bool, f: bool, m: bool) -> str:
    kind = "value" if r and f else "develop" if r else "retain" if f else "win_back"
    return f"{'important' if m else 'ordinary'}_{kind}"


def _nesl(days: int, orders: int, cycle: int) -> str:
    if days <= cycle:
        return "N" if orders == 1 else "E"
    return "S1" if days <= 2 * cycle else "S2" if days <= 3 * cycle else "L"
