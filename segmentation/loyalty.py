"""Loyalty: L = (t / n) × s, of n periods t with a purchase, and s purchases. Ibis expressions; knows no database.

After F. Reichheld and W. E. Sasser, Zero Defections: Quality Comes to Services, Harvard Business Review 68 (1990); the
printed formula is lost, so this reading of it is a setting and labelled so. A period is a whole month that ends where
the next begins, the last one at the day computed for: never a month half over, which would count against everybody.
"""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

import ibis

from store.errors import BadInput

PERCENTS = 100
MAX_PERIODS = 60  # one bit each

Expression = Any


@dataclass(frozen=True)
class Loyalty:
    """How loyalty is measured: over how many months, which are the periods."""

    periods: int = 12

    def __post_init__(self) -> None:
        if not 1 <= self.periods <= MAX_PERIODS:
            raise BadInput(f"loyalty is measured over 1 to {MAX_PERIODS} months, not {self.periods}")


def period_starts(as_of: date, periods: int) -> list[date]:
    """The first day of each period, the newest first: `as_of` less 1, 2, … months, on the last day of a month that
    lacks the day. Period k is [starts[k], starts[k - 1]), the newest one ends before `as_of`."""
    starts = []
    for back in range(1, periods + 1):
        year, month = divmod(as_of.year * 12 + as_of.month - 1 - back, 12)
        starts.append(date(year, month + 1, min(as_of.day, calendar.monthrange(year, month + 1)[1])))
    return starts


def period_bit(at: Expression, starts: Iterable[Expression]) -> Expression:
    """The bit (int64) of the period that a time lies in, given the periods' starts as literals that compare with it; 0
    before the first. The times must lie before the day computed for."""
    tests = [(at >= start, ibis.literal(1 << number, "int64")) for number, start in enumerate(starts)]
    return ibis.cases(*tests, else_=ibis.literal(0, "int64"))


def active_periods(bits: Expression, periods: int) -> Expression:
    """t, from the periods' bits joined by or."""
    found = ibis.literal(0, "int64")
    for number in range(periods):
        found += (bits >> number) & 1
    return found


def loyalty(product: Expression, periods: int) -> Expression:
    """L from t × s."""
    return product.cast("float64") / periods


def percentile_points(counts: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """The hundred values of t × s that a percentile is read from (see `percentile`), out of (value, people) in any
    order. Empty for fewer than two people, who can't be compared."""
    ordered = sorted(counts)
    others = sum(people for _, people in ordered) - 1
    points: list[int] = []
    below = 0
    for value, people in ordered if others > 0 else ():
        below += people
        points += [value] * (min(PERCENTS, PERCENTS * below // others) - len(points))
    return tuple(points)


def percentile(product: Expression, points: tuple[int, ...]) -> Expression:
    """What share of the others have a lower loyalty, in whole percent, 0..100: how many points lie strictly below.
    Equal values have equal percentiles, no purchase has 0."""
    steps = [(value, len(list(same))) for value, same in groupby(points)]
    tests, passed = [], 0
    for value, count in steps:
        tests.append((product <= value, ibis.literal(float(passed))))
        passed += count
    return ibis.cases(*tests, else_=ibis.literal(float(passed))) if tests else ibis.literal(0.0)
