"""RFM: from orders to scores and segments. Ibis expressions in, Ibis expressions out; knows no database.

A population is scored by cut points (four values per measure), never by NTILE: equal values get equal scores
whatever the row order, and on a cluster four numbers travel instead of a global sort.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import numpy as np
from numpy.typing import NDArray

from segmentation.models import RF11_CELLS
from segmentation.occurrences import lie_close, occurrences
from store.errors import BadInput
from store.types import DECIMAL_PLACES

UNITS = 10**DECIMAL_PLACES  # money inside the engine: whole ten-thousandths
BEYOND = 10**14  # of a threshold: in ten-thousandths it would not fit 64 bits
QUANTILES = (0.2, 0.4, 0.6, 0.8)
COLUMNS = {"r": "recency_days", "f": "frequency", "m": "monetary"}
MEASURES = tuple(COLUMNS)

Table = Any  # ibis has no types that mypy can follow
Expression = Any
Ints = NDArray[Any]


@dataclass(frozen=True)
class Scoring:
    """How scores are given. Cut points of None: today's quantiles. Thresholds are four numbers in any order.

    A score is 1 + the number of cut points that the value is strictly better than, so with `r_days` of (7, 30, 90,
    180) a customer of 6 days scores 5 and one of 7 days scores 4.
    """

    r_days: tuple[int, ...] | None = None
    f_orders: tuple[int, ...] | None = None
    m_amount: tuple[Decimal, ...] | None = None
    high_from: int | None = None  # this score and above is high; None: above the population's mean score

    def __post_init__(self) -> None:
        given: dict[str, Sequence[int | Decimal] | None] = {"R": self.r_days, "F": self.f_orders, "M": self.m_amount}
        for name, cuts in given.items():
            if cuts is not None and (len(cuts) != 4 or len(set(cuts)) != 4):
                raise BadInput(f"the thresholds of {name} must be four different numbers, got {list(map(str, cuts))}")
            if cuts is not None and not all(-BEYOND < cut < BEYOND for cut in cuts):
                raise BadInput(f"the thresholds of {name} must be below {BEYOND:,}, got {list(map(str, cuts))}")
        if self.m_amount and any(cut * UNITS != int(cut * UNITS) for cut in self.m_amount):
            raise BadInput(f"the thresholds of M have at most {DECIMAL_PLACES} decimal places")
        if self.high_from is not None and not 2 <= self.high_from <= 5:
            raise BadInput(f"the score from which a customer counts as high must be 2 to 5, got {self.high_from}")

    def fixed_cuts(self) -> dict[str, tuple[int, ...] | None]:
        """Per measure the four cut points as the engine compares them (see `better`), or None for quantiles."""
        return {
            "r": None if self.r_days is None else tuple(sorted(-days for days in self.r_days)),
            "f": None if self.f_orders is None else tuple(sorted(self.f_orders)),
            "m": None if self.m_amount is None else tuple(sorted(int(cut * UNITS) for cut in self.m_amount)),
        }


@dataclass(frozen=True)
class Cuts:
    """What a population was scored with: cut points per measure, worst first (R as negative days, M in
    ten-thousandths), and the lowest score of each measure that is high."""

    points: dict[str, tuple[int, ...]]
    high_from: dict[str, int]


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The instant (aware UTC) at which `day` begins in `zone`."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def moment(column: Expression, day: date, zone: ZoneInfo) -> Expression:
    """The start of `day` as a literal that compares with `column`: an instant for times with a zone, wall time for
    naive ones, the day itself for dates."""
    kind = column.type()
    if kind.is_date():
        return ibis.literal(day)
    if kind.timezone is None:
        return ibis.literal(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - wall time is meant
    return ibis.literal(start_of_day(day, zone), type=dt.Timestamp(timezone="UTC"))


def counted(orders: Table, as_of: date, zone: ZoneInfo, look_back_days: int | None) -> Expression:
    """Whether an order lies before `as_of` and inside the look-back window, [as_of - days, as_of) in brand days."""
    at = orders.ordered_at
    inside = at < moment(at, as_of, zone)
    if look_back_days is not None and look_back_days < (as_of - date.min).days:  # else from before the calendar
        inside &= at >= moment(at, as_of - timedelta(days=look_back_days), zone)
    return inside


def aggregates(
    orders: Table, as_of: date, zone: ZoneInfo, look_back_days: int | None = None, *, lines: bool = False
) -> Table:
    """One row per customer with an order that counts: `customer_id, recency_days, frequency, monetary`
    (ten-thousandths), and `orders_ever`, of all history.

    `orders` holds paid rows only: `customer_id`, `ordered_at` (date, naive brand time, or a time with a zone: the
    session's zone must then be the brand's) and `amount` (int64 ten-thousandths). With `lines`, rows of a customer with
    the same `order_id` are one order; a null order_id is an order of its own.

    A null in one of the three is a row that could not be read (a null time counts as inside). The column `unread`
    has how many a customer has of them: counting beside the sums costs no second pass.
    """
    rows = orders.filter(counted(orders, as_of, zone, None).fill_null(True))
    inside = None if look_back_days is None else counted(rows, as_of, zone, look_back_days).fill_null(True)

    def how_many(where: Expression | None) -> Expression:
        if not lines:
            return rows.count(where=where)
        return rows.order_id.nunique(where=where) + rows.order_id.isnull().sum(where=where)

    grouped = rows.group_by("customer_id").aggregate(
        last=rows.ordered_at.max(where=inside),
        frequency=how_many(inside),
        monetary=whole_sum(rows.amount, where=inside),
        unread=2 * rows.count(where=inside) - rows.ordered_at.count(where=inside) - rows.amount.count(where=inside),
        **({} if inside is None else {"ever": how_many(None)}),
    )
    if inside is not None:
        grouped = grouped.filter(grouped.frequency > 0)
    last_day = grouped["last"] if grouped["last"].type().is_date() else grouped["last"].date()
    return grouped.select(
        "customer_id",
        # the literal first: ibis gives days from the argument up to the literal
        recency_days=ibis.literal(as_of).delta(last_day, unit="day").cast("int32"),
        frequency=grouped.frequency.cast("int32"),
        monetary=grouped.monetary,
        orders_ever=(grouped.frequency if inside is None else grouped.ever).cast("int32"),
        unread=grouped.unread + grouped.customer_id.isnull().cast("int64"),
    )


@ibis.udf.agg.builtin(name="sum", signature=((dt.int64,), dt.Decimal(38, 0)))
def wide_sum(values):  # type: ignore[no-untyped-def]
    """The engine's own sum of 64 bits, typed as wide as DuckDB makes it (128 bits): ibis takes it for 64 bits and would
    leave out the cast that brings it back."""


def whole_sum(amount: Expression, where: Expression | None = None) -> Expression:
    """The sum of int64 as int64, failing rather than wrapping beyond 9.2e14 of money; null for no rows."""
    return wide_sum(amount, where=where).cast("int64")


def better(population: Table) -> dict[str, Expression]:
    """Each measure as an integer where more is better."""
    return {name: upwards(name, population[column]) for name, column in COLUMNS.items()}


def upwards(name: str, values: Any) -> Any:
    """A measure (an expression or an array) such that more is better."""
    return -values if name == "r" else values


def quantile_ranks(count: int) -> list[int]:
    """For each of QUANTILES the rank (1, 2, …) of the least of `count` values with at least that share at or below
    it."""
    return [math.ceil(Fraction(str(quantile)) * count) for quantile in QUANTILES]


def cut_points(values: Ints) -> tuple[int, ...]:
    """The four cut points of at least one value. Leaves `values` in another order."""
    ranks = quantile_ranks(len(values))
    if lie_close(values):
        numbers, often = occurrences(values)
        return tuple(numbers[np.searchsorted(often.cumsum(), ranks)].tolist())
    places = [rank - 1 for rank in ranks]
    values.partition(places)
    return tuple(values[places].tolist())


def scores(population: Table, points: dict[str, tuple[int, ...]]) -> dict[str, Expression]:
    """For each measure the score: 1 + the number of cut points strictly below the value."""
    values = better(population)
    return {name: _score(values[name], points[name]) for name in MEASURES}


def _score(value: Expression, points: Sequence[int]) -> Expression:
    ranks = [((value <= point), rank) for rank, point in enumerate(points, start=1)]
    return ibis.cases(*[(test, ibis.literal(rank, "int8")) for test, rank in ranks], else_=ibis.literal(5, "int8"))


def score_sum(values: Ints, points: Sequence[int]) -> int:
    """The sum of the scores of `values`: what "above the mean" is decided by."""
    return len(values) + sum(int(np.count_nonzero(values > point)) for point in points)


def first_high(score_sum: int, people: int) -> int:
    """The lowest whole score above the mean score: exact, where comparing with a float mean might not be."""
    return score_sum // people + 1


def rf4(r_high: Expression, f_high: Expression) -> Expression:
    """RF, four segments."""
    return ibis.cases((r_high & f_high, "regular"), (r_high, "new"), (f_high, "former"), else_="one_time")


def rf11(r: Expression, f: Expression) -> Expression:
    """RF, eleven segments, by the table of cells."""

    def by_f(of_r: int) -> Expression:
        *above, (_, lowest) = sorted(
            ((min(fs), name) for name, (rs, fs) in RF11_CELLS.items() if of_r in rs), reverse=True
        )
        return ibis.cases(*((f >= least, name) for least, name in above), else_=lowest)

    return ibis.cases(*((r >= least, by_f(least)) for least in (5, 4, 3, 2)), else_=by_f(1))


def rfm3(r_high: Expression, f_high: Expression, m_high: Expression, orders_ever: Expression) -> Expression:
    """RFM, three segments and the rest; where two fit, the first in this order. Who is new has one order in all
    history, whatever the look-back window."""
    return ibis.cases(
        (r_high & f_high & m_high, "high_value"),
        (r_high & m_high & (orders_ever == 1), "new_high_value"),
        (r_high & f_high, "small_spender"),
        else_="other",
    )


def rfm8(r_high: Expression, f_high: Expression, m_high: Expression) -> Expression:
    """RFM, eight segments."""

    def by_rf(rank: str) -> Expression:
        tests = ((r_high & f_high, "value"), (r_high, "develop"), (f_high, "retain"))
        return ibis.cases(*((test, f"{rank}_{name}") for test, name in tests), else_=f"{rank}_win_back")

    return ibis.cases((m_high, by_rf("important")), else_=by_rf("ordinary"))
