"""Lifetime value per segment and customer: the sums of the rows, and a range that holds what it says."""

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from segmentation.models import MODELS
from segmentation.predict.latest import latest_prediction_run
from segmentation.predict.ltv import kept_values, ltv_by_segment, ltv_of, value_range, values_to_keep
from segmentation.predict.quality import spend_bands
from store.engine import reading, transaction
from store.errors import NotFound
from store.models import CustomerPrediction, CustomerSegment, PredictionRun
from tests.conftest import StillClock
from tests.factories import make_customer

BAND = {"customers": 100, "predicted": 1000.0, "actual": 1100.0, "deviation": 4.0}  # 10 said of each, on average


def report(bands: list[dict[str, Any]] | None = None, levels: tuple[float, ...] = ()) -> dict[str, Any]:
    cuts = [1_000_000 * place for place in range(1, 10)]  # tenths end at 100, 200, … 900
    held_back = {"spend_bands": bands or [BAND] * 10}
    return {"problem": None, "held_back": held_back, "earlier_levels": list(levels), "cut_points": cuts}


def store_run(engine: Engine, clock: StillClock, said: dict[str, Any], **fields: Any) -> None:
    with transaction(engine) as session:
        now = clock()
        row: dict[str, Any] = {
            "as_of": now.date(),
            "state": "finished",
            "cycle_days": 30,
            "quality": {"spend_365": said},
        }
        session.add(PredictionRun(**{**row, "started_at": now, "lease_until": now, "finished_at": now, **fields}))


def store_customers(engine: Engine, clock: StillClock, *people: tuple[str, str, str | None]) -> list[int]:
    """(nes, paid so far, expected in 365 days) of each; returns their ids."""
    ids = []
    with transaction(engine) as session:
        for nes, paid, expected in people:
            customer = make_customer(session)
            assert customer.id is not None
            ids.append(customer.id)
            values: dict[str, Any] = {"nesl": nes, "nes": nes, "paid_total": Decimal(paid), "computed_at": clock()}
            session.add(CustomerSegment(customer_id=customer.id, **values))
            if expected is not None:
                spends: dict[str, Any] = {"spend_90": Decimal(5), "spend_365": Decimal(expected)}
                session.add(CustomerPrediction(customer_id=customer.id, run_id=1, **spends))
    return ids


def test_a_segment_sums_its_customers_and_those_without_a_prediction_expect_nothing(
    engine: Engine, clock: StillClock
) -> None:
    store_run(engine, clock, report())
    store_customers(engine, clock, ("N", "120.5", "100"), ("N", "79.5", "100.01"), ("N", "0", None), ("E", "7", "950"))
    with reading(engine) as session:
        found = {value.segment.name: value for value in ltv_by_segment(session, "nes")}
    new = found["N"]
    assert new.coming is not None
    assert (new.customers, new.predicted, new.past, new.past_mean) == (3, 2, Decimal("200.00"), Decimal("66.67"))
    assert (new.coming.expected, new.coming_mean) == (Decimal("200.01"), Decimal("100.00"))
    # 100 and 100.01 lie in different tenths; each deviates by 4 × 100 / 10, and what was said was 10 % too low
    noise = 2 * (2 * 40**2 * 1.01) ** 0.5
    assert float(new.coming.low) == pytest.approx(200.01 - np.hypot(200.01 * (1 - 1 / 1.1**2), noise), abs=0.02)
    assert float(new.coming.high) == pytest.approx(200.01 + np.hypot(200.01 * (1.1**2 - 1), noise), abs=0.02)
    assert (found["S"].customers, found["S"].past_mean, found["S"].coming_mean) == (0, None, None)
    assert found["S"].coming is not None
    assert found["S"].coming.high == 0


def test_what_a_segment_paid_and_will_pay_may_be_more_than_64_bits_hold(engine: Engine, clock: StillClock) -> None:
    store_run(engine, clock, report())
    store_customers(engine, clock, *[("E", "600000000000000.5", "500000000000000.25")] * 3, ("E", "-700.75", "1"))
    with reading(engine) as session:
        found = {one.segment.name: one for one in ltv_by_segment(session, "nes")}["E"]
    assert found.past == Decimal("1799999999999300.75")
    assert found.coming is not None
    assert found.coming.expected == Decimal("1500000000000001.75")


def test_nothing_is_expected_where_the_horizon_or_everything_is_off(engine: Engine, clock: StillClock) -> None:
    (one,) = store_customers(engine, clock, ("N", "120.5", None))
    for run in (None, {"problem": "too short"}):
        if run:
            store_run(engine, clock, run)
        with reading(engine) as session:
            value = next(v for v in ltv_by_segment(session, "nes") if v.segment.name == "N")
            person = ltv_of(session, one)
        assert (value.past, value.predicted, value.coming, value.coming_mean) == (Decimal("120.5"), 0, None, None)
        assert (person.past, person.spend_365, person.deviation) == (Decimal("120.5"), None, None)


@pytest.mark.parametrize("problem", [None, "too short"])
def test_what_a_run_keeps_is_read_back_as_the_rows_say_it(
    engine: Engine, clock: StillClock, problem: str | None
) -> None:
    said = {"problem": problem} if problem else report()
    store_run(engine, clock, said)
    store_customers(engine, clock, ("N", "120.5", "100"), ("N", "0", None), ("E", "7", "950"))
    with transaction(engine) as session:
        run = latest_prediction_run(session)
        assert run is not None
        assert kept_values(run, "nes") == kept_values(None, "nes") == []
        run.segment_values = json.loads(json.dumps(values_to_keep(session, run.quality)))
        session.add(run)
    with reading(engine) as session:
        run = latest_prediction_run(session)
        for model in MODELS:
            assert kept_values(run, model) == ltv_by_segment(session, model)
        assert kept_values(run, "nes")[1].past == Decimal("120.5")
        with pytest.raises(NotFound, match="no model"):
            kept_values(run, "rfm9")


def test_a_customer_has_the_deviation_of_the_tenth_in_proportion(engine: Engine, clock: StillClock) -> None:
    top = {**BAND, "deviation": 20.0}
    store_run(engine, clock, report([BAND] * 9 + [top]))
    low, edge, high = store_customers(engine, clock, ("N", "1", "10"), ("N", "1", "900"), ("E", "1", "900.01"))
    with reading(engine) as session:
        assert ltv_of(session, low).deviation == Decimal("4.00")
        assert ltv_of(session, edge).deviation == Decimal("360.00")
        assert ltv_of(session, high).deviation == Decimal("1800.02")
        assert ltv_of(session, high).spend_90 == Decimal(5)
        with pytest.raises(NotFound, match="no customer 999"):
            ltv_of(session, 999)
        with pytest.raises(NotFound, match="no model"):
            ltv_by_segment(session, "rfm9")


def test_the_range_is_as_wide_as_the_windows_were_off() -> None:
    flat = {"customers": 100, "predicted": 1000.0, "actual": 900.0, "deviation": 0.0}
    assert value_range(report([flat] * 10), {3: (10, 500.0)}) == pytest.approx((500 * 0.81, 500 / 0.81))
    off = np.exp(2 * np.sqrt(np.mean(np.log([0.9, 1.2, 0.7]) ** 2)))
    assert value_range(report([flat] * 10, (1.2, 0.7)), {3: (10, 500.0)}) == pytest.approx((500 / off, 500 * off))
    right = {**flat, "actual": 1000.0}
    assert value_range(report([right] * 10), {3: (10, 500.0)}) == (500.0, 500.0)


def test_the_range_has_bounds_where_nothing_was_spent_or_expected() -> None:
    nothing = {"customers": 100, "predicted": 1000.0, "actual": 0.0, "deviation": 1.0}
    low, high = value_range(report([nothing] * 10, (0.0,)), {0: (1, 5.0)})
    assert low == pytest.approx(0.0, abs=0.01)
    assert np.isfinite(high)
    assert value_range(report(), {}) == (0.0, 0.0)
    unsaid = {"customers": 100, "predicted": 0.0, "actual": 50.0, "deviation": 3.0}
    assert value_range(report([unsaid] * 10), {0: (25, 0.0)}) == pytest.approx((0.0, 2 * 3 * np.sqrt(25 * 1.25)))


def test_the_range_holds_the_truth_of_random_groups() -> None:
    random = np.random.default_rng(4)

    def customers(number: int) -> tuple[Any, Any]:  # heavy-tailed: most spend nothing
        said = random.gamma(0.6, 100, number)
        return said, np.where(random.random(number) < 0.3, said * random.gamma(1.5, 1 / 0.45, number), 0.0)

    bands = [vars(band) for band in spend_bands(*customers(20_000))]
    cuts = np.quantile(random.gamma(0.6, 100, 200_000), np.arange(1, 10) / 10)
    inside = 0
    for size in [30, 100, 1000] * 100:
        said, spent = customers(size)
        tenths = np.searchsorted(cuts, said)
        groups = {int(t): (int((tenths == t).sum()), float(said[tenths == t].sum())) for t in np.unique(tenths)}
        low, high = value_range(report(bands), groups)
        inside += low <= spent.sum() <= high
    assert inside / 300 > 0.92
    assert inside / 300 < 1  # a range that is never missed says nothing
