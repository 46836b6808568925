"""All models once more, plainly: loops, fractions, one customer after the other. Slow, and only for comparing."""

import calendar
import math
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

from segmentation.activity import Activity
from tests.segmentation.reference import Order, segment

GROUPS = ("champion", "potential_loyalist", "win_back", "at_risk_spender", "repeat_buyer")
MEASURES = ("recency_days", "frequency", "monetary", "r", "f", "m", "rf4", "rf11", "rfm3", "rfm8", "nesl", "nes")


@dataclass(frozen=True)
class Settings:
    """As `segmentation.engine.Request` has them; `cycle` of None: the proposal."""

    cycle: int | None = 30
    look_back: int | None = None
    high_from: int | None = None
    weight: int = 3
    periods: int = 12
    activity: Activity = Activity()  # noqa: RUF009 - frozen


def segment_all(
    orders: list[Order],
    as_of: date,
    zone: ZoneInfo,
    settings: Settings = Settings(),
    acts: list[tuple[str, date]] | None = None,
) -> dict[str, dict[str, object]]:
    """Customer id -> every column of the engine's table, for each with an order or act before the day."""
    paid = [o for o in orders if o.status == "paid" and o.day(zone) < as_of]
    back = settings.look_back
    inside = [o for o in paid if back is None or (as_of - o.day(zone)).days <= back]
    days, all_days = _days_of_orders(inside, zone), _days_of_orders(paid, zone)
    acted = {c: sorted(set(mine)) for c, mine in days.items()}
    if acts is not None:
        acted = {c: sorted({day for who, day in acts if who == c and day < as_of}) for c, _ in acts}
        acted = {c: mine for c, mine in acted.items() if mine}
    cycle = settings.cycle or _median_gap(days) or 30
    usual = _median_gap(acted) or cycle
    scored = segment(orders, as_of, zone, cycle, back, settings.high_from)
    high = _high(scored, settings.high_from)
    loyal = {c: _loyalty(mine, as_of, settings.periods) for c, mine in all_days.items()}
    result: dict[str, dict[str, object]] = {}
    for c in set(all_days) | set(acted):
        row: dict[str, object] = dict.fromkeys((*MEASURES, "cycle_days", "nesl_personal", "nes_personal"))
        row.update(dict.fromkeys(GROUPS, False), loyalty=None, loyalty_percentile=None, paid_total=None, activity=None)
        if c in scored:
            row.update(scored[c])
            row.update(_groups(scored[c], high, days[c], as_of, cycle))
        if c in loyal:
            ago, often = (as_of - all_days[c][-1]).days, len(all_days[c])
            row["cycle_days"] = own = shrunk(days.get(c, []), cycle, settings.weight)
            row["nesl"], row["nesl_personal"] = _nesl(ago, often, cycle), _nesl(ago, often, own)
            row["nes"], row["nes_personal"] = _nes(str(row["nesl"])), _nes(str(row["nesl_personal"]))
            lower = sum(other < loyal[c] for other in loyal.values())
            row["loyalty"] = float(loyal[c])
            row["loyalty_percentile"] = float(100 * lower // (len(loyal) - 1)) if len(loyal) > 1 else 0.0
            row["paid_total"] = sum((o.amount for o in paid if o.customer_id == c), Decimal(0))
        if c in acted:
            row["activity"] = _activity(acted[c], as_of, usual, settings.activity)
        result[c] = row
    return result


def _days_of_orders(orders: list[Order], zone: ZoneInfo) -> dict[str, list[date]]:
    """Customer id -> the days of the orders, ascending; rows with one order_id are one order, of the latest day."""
    days: dict[tuple[str, object], date] = {}
    for number, order in enumerate(orders):
        key = (order.customer_id, order.order_id if order.order_id is not None else number)
        days[key] = max(order.day(zone), days.get(key, date.min))
    return {who: sorted(day for (c, _), day in days.items() if c == who) for who, _ in days}


def _gaps(days: list[date]) -> list[int]:
    return [(later - earlier).days for earlier, later in pairwise(days)]


def _median_gap(days: dict[str, list[date]]) -> int | None:
    gaps = [gap for mine in days.values() for gap in _gaps(mine)]
    return max(1, math.floor(median(gaps) + 0.5)) if gaps else None


def shrunk(days: list[date], common: int, weight: int) -> int:
    """The median of one's own gaps, shrunk to the common one; whole days, halves up, at least 1."""
    gaps = _gaps(days)
    own = Fraction(median(gaps)) if gaps else Fraction(0)
    return max(1, math.floor((weight * common + len(gaps) * own) / (weight + len(gaps)) + Fraction(1, 2)))


def _nesl(days: int, orders: int, cycle: int) -> str:
    if days <= cycle:
        return "N" if orders == 1 else "E"
    return "S1" if days <= 2 * cycle else "S2" if days <= 3 * cycle else "L"


def _nes(state: str) -> str:
    return "S" if state in ("S1", "S2", "L") else state


def months_before(day: date, months: int) -> date:
    """The same day some months earlier, or the last one of a month that lacks it."""
    while months:
        last = day.replace(day=1) - timedelta(days=1)
        day, months = last, months - 1
    return day


def _starts(as_of: date, periods: int) -> list[date]:
    starts = []
    for back in range(1, periods + 1):
        month = months_before(as_of, back)
        starts.append(month.replace(day=min(as_of.day, calendar.monthrange(month.year, month.month)[1])))
    return starts


def _loyalty(days: list[date], as_of: date, periods: int) -> Fraction:
    edges = [as_of, *_starts(as_of, periods)]
    counts = [sum(start <= day < end for day in days) for end, start in pairwise(edges)]
    return Fraction(sum(count > 0 for count in counts) * sum(counts), periods)


def _high(scored: dict[str, dict[str, object]], fixed: int | None) -> dict[str, Fraction]:
    """Per measure the mean score, which a high one exceeds; just below the fixed score where one is set."""
    if fixed is not None:
        return dict.fromkeys("rfm", Fraction(2 * fixed - 1, 2))
    return {name: Fraction(sum(int(str(row[name])) for row in scored.values()), max(1, len(scored))) for name in "rfm"}


def _groups(
    row: dict[str, object], mean: dict[str, Fraction], days: list[date], as_of: date, cycle: int
) -> dict[str, bool]:
    r, f, m = (int(str(row[name])) > mean[name] for name in "rfm")
    ago = [(as_of - day).days for day in days]
    recent = sum(d <= 2 * cycle for d in ago)
    former = sum(2 * cycle < d <= 4 * cycle for d in ago)
    return {
        "champion": r and f and m,
        "potential_loyalist": r and len(days) >= 2 and row["f"] != 5,
        "win_back": len(days) >= 2 and min(ago) > 2 * cycle,
        "at_risk_spender": m and recent < former / 2,
        "repeat_buyer": len(days) >= 3 and min(ago) <= cycle,
    }


def _activity(days: list[date], as_of: date, common: int, ranges: Activity) -> str:
    usual = shrunk(days, common, ranges.weight)
    since = (as_of - days[-1]).days
    silences = [
        (later - earlier).days > ranges.low_to * usual
        for earlier, later in pairwise(days)
        if (as_of - later).days <= ranges.returned_days
    ]
    if (as_of - days[0]).days <= ranges.new_days:
        return "new"
    if since <= ranges.active_to * usual:
        return "returned" if any(silences) else "active"
    return "low" if since <= ranges.low_to * usual else "silent" if since <= ranges.silent_to * usual else "lost"
