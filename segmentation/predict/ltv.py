"""Lifetime value: what customers have paid, and what they are expected to spend in the next 365 days, with the error
that such words had on held-back days. Reads only.

The range of a group: its customers are in tenths by expected spend (cut at the newest run), and of each tenth the
held-back window told how much was spent for what was said, and how far single customers deviated. The group's spend is
then uncertain in two ways, both taken twice as large as measured. By the chance of its customers. And as a whole, by
the season and by what the brand does: what was said of this group was off by a factor in the newest held-back window,
and of everybody in up to two windows before it; the root mean square of these factors' logarithms counts. Where the
window was shorter than 365 days, its errors are taken in proportion. How often such ranges held: docs/predictions.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import exp, hypot, log, sqrt
from typing import Any

from sqlalchemy import BigInteger, case, func, select, type_coerce
from sqlmodel import Session

from segmentation.models import MODELS, Segment, segments_of
from segmentation.predict.horizons import SPEND_365
from segmentation.predict.latest import latest_prediction_run
from store.engine import table_of
from store.errors import NotFound
from store.models import Customer, CustomerPrediction, CustomerSegment, PredictionRun
from store.types import DECIMAL_PLACES, from_ten_thousandths, sum_parts, whole_sum

DEVIATIONS = 2.0
FACTORS = (0.01, 100.0)  # bounds of what a window may be off by, so that a window without spend has a logarithm
CENTS = Decimal("0.01")

customer, now = table_of(Customer), table_of(CustomerSegment)
prediction = table_of(CustomerPrediction)


@dataclass(frozen=True)
class Range:
    """What a group is expected to spend in the next 365 days in total, and between which totals that may well lie."""

    expected: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True)
class SegmentValue:
    """A segment's customers, what they have paid in all, and what those of them with a prediction (`predicted`) are
    expected to spend. `coming` is None when nothing is predicted for 365 days."""

    segment: Segment
    customers: int
    past: Decimal
    predicted: int
    coming: Range | None

    @property
    def past_mean(self) -> Decimal | None:
        """Per customer; None without customers."""
        return _mean(self.past, self.customers)

    @property
    def coming_mean(self) -> Decimal | None:
        """Expected per predicted customer; None without."""
        return _mean(self.coming.expected, self.predicted) if self.coming else None


@dataclass(frozen=True)
class CustomerValue:
    """One customer's. `deviation`: how far (standard deviation) customers of whom about as much was said came to lie
    from it. The last three are None where nothing is predicted."""

    customer_id: int
    past: Decimal
    spend_90: Decimal | None
    spend_365: Decimal | None
    deviation: Decimal | None


def ltv_by_segment(session: Session, model: str) -> list[SegmentValue]:
    """Every segment of `model` in the order marketers read them, empty ones too, out of everybody's rows as they are
    now: seconds for a million customers, so pages read `kept_values`. Raises NotFound for an unknown model."""
    return _by_segment(session, model, _report(latest_prediction_run(session)))


def values_to_keep(session: Session, quality: Mapping[str, Any]) -> dict[str, Any]:
    """The same of every model as JSON holds it, for the run whose predictions of this `quality` are stored already."""
    report = _usable(quality)
    return {model: [_plain(value) for value in _by_segment(session, model, report)] for model in MODELS}


def kept_values(run: PredictionRun | None, model: str) -> list[SegmentValue]:
    """What `run` found of the segments of `model` when it ended; empty without a run, and for one that kept nothing.
    Raises NotFound for an unknown model."""
    segments = {segment.name: segment for segment in segments_of(model)}
    kept = run.segment_values.get(model, []) if run else []
    return [_read(segments[row["segment"]], row) for row in kept if row["segment"] in segments]


def _plain(value: SegmentValue) -> dict[str, Any]:
    coming = value.coming and [str(value.coming.expected), str(value.coming.low), str(value.coming.high)]
    counts = {"customers": value.customers, "predicted": value.predicted}
    return {"segment": value.segment.name, **counts, "past": str(value.past), "coming": coming}


def _read(segment: Segment, row: Mapping[str, Any]) -> SegmentValue:
    coming = Range(*map(Decimal, row["coming"])) if row["coming"] else None
    return SegmentValue(segment, row["customers"], Decimal(row["past"]), row["predicted"], coming)


def _by_segment(session: Session, model: str, report: dict[str, Any] | None) -> list[SegmentValue]:
    segments, tenth = segments_of(model), _tenth(report)
    rows = session.execute(
        select(now.c[model], tenth, func.count(), *sum_parts(now.c.paid_total), *sum_parts(prediction.c.spend_365))
        .select_from(now.outerjoin(prediction, prediction.c.customer_id == now.c.customer_id))
        .where(now.c[model].is_not(None))
        .group_by(now.c[model], tenth)
    ).all()
    found: dict[str, list[_Tenth]] = {segment.name: [] for segment in segments}
    for name, place, people, *sums in rows:
        if name in found:
            found[name].append(_Tenth(place, people, whole_sum(*sums[:2]), whole_sum(*sums[2:])))
    return [_segment_value(segment, found[segment.name], report) for segment in segments]


@dataclass(frozen=True)
class _Tenth:
    """Those of a segment in one tenth of expected spend (None: nothing is predicted), money in ten-thousandths."""

    place: int | None
    people: int
    paid: int
    spend: int


def ltv_of(session: Session, customer_id: int) -> CustomerValue:
    """Of one customer; nothing paid and nothing expected of somebody not yet computed. Raises NotFound."""
    report = _report(latest_prediction_run(session))
    row = session.execute(
        select(now.c.paid_total, prediction.c.spend_90, prediction.c.spend_365, _tenth(report))
        .select_from(customer.outerjoin(now).outerjoin(prediction, prediction.c.customer_id == customer.c.id))
        .where(customer.c.id == customer_id)
    ).first()
    if row is None:
        raise NotFound(f"there is no customer {customer_id}")
    past, spend_90, spend_365, tenth = row
    deviation = None
    if report is not None and spend_365 is not None:
        band = report["held_back"]["spend_bands"][tenth]
        deviation = Decimal(band["deviation"] * _scale(band, float(spend_365))).quantize(CENTS)
    return CustomerValue(customer_id, past or Decimal(0), spend_90, spend_365, deviation)


def value_range(report: Mapping[str, Any], tenths: Mapping[int, tuple[int, float]]) -> tuple[float, float]:
    """The low and the high total of a group: `tenths` says of each tenth how many of the group are in it, and what they
    are expected to spend together. `report` is a run's quality of the horizon (see `forecast`)."""
    bands = report["held_back"]["spend_bands"]
    expected = repeated = variance = 0.0
    for tenth, (people, total) in tenths.items():
        band = bands[tenth]
        expected += total
        repeated += total * (band["actual"] / band["predicted"] if band["predicted"] > 0 else 1.0)
        deviation = band["deviation"] * _scale(band, total / people)
        variance += people * deviation**2 * (1 + people / band["customers"])  # the band's own total was chance too
    factors = [repeated / expected if expected > 0 else 1.0, *report["earlier_levels"]]
    logs = [log(min(max(factor, FACTORS[0]), FACTORS[1])) for factor in factors]
    off = exp(DEVIATIONS * sqrt(sum(one**2 for one in logs) / len(logs)))
    noise = DEVIATIONS * sqrt(variance)
    return max(expected - hypot(expected * (1 - 1 / off), noise), 0.0), expected + hypot(expected * (off - 1), noise)


def _scale(band: Mapping[str, Any], expected: float) -> float:
    """How many times what was said in the band on average is said now: deviations grow with it."""
    mean = band["predicted"] / band["customers"]
    return expected / mean if mean > 0 else 1.0


def _report(run: PredictionRun | None) -> dict[str, Any] | None:
    """The newest run's words on its 365 days; None where there are none."""
    return _usable(run.quality) if run else None


def _usable(quality: Mapping[str, Any]) -> dict[str, Any] | None:
    report = quality.get(SPEND_365)
    return report if report and report["problem"] is None else None


def _tenth(report: Mapping[str, Any] | None) -> Any:
    """The place (0..9) of a customer's expected spend among the cut points; null without a prediction."""
    spend = type_coerce(prediction.c.spend_365, BigInteger)
    cuts = report["cut_points"] if report else []
    places = [(spend <= cut, place) for place, cut in enumerate(cuts)]
    return case((spend.is_(None), None), *places, else_=len(cuts)).label("tenth")


def _segment_value(segment: Segment, rows: list[_Tenth], report: Mapping[str, Any] | None) -> SegmentValue:
    people = sum(row.people for row in rows)
    past = from_ten_thousandths(sum(row.paid for row in rows))
    tenths = {row.place: (row.people, row.spend) for row in rows if row.place is not None}
    if report is None:
        return SegmentValue(segment, people, past, 0, None)
    predicted = sum(count for count, _ in tenths.values())
    units = sum(spend for _, spend in tenths.values())
    scale = 10**DECIMAL_PLACES
    low, high = value_range(report, {tenth: (count, spend / scale) for tenth, (count, spend) in tenths.items()})
    coming = Range(from_ten_thousandths(units), Decimal(low).quantize(CENTS), Decimal(high).quantize(CENTS))
    return SegmentValue(segment, people, past, predicted, coming)


def _mean(total: Decimal, people: int) -> Decimal | None:
    return (total / people).quantize(CENTS) if people else None
