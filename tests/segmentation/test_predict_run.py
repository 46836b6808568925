"""Predictions of the operational database, on SQLite and on PostgreSQL."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import Engine, delete, func, insert, select, update

from segmentation.predict.history import EPOCH, History
from segmentation.predict.latest import latest_prediction_run
from segmentation.predict.ltv import kept_values
from segmentation.predict.model import predict
from segmentation.predict.run import LEASE, PredictionRunBusy, PredictionRunResult, run_predictions
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import Customer, CustomerPrediction, CustomerSegment, PredictionRun, SalesOrder
from tests.conftest import StillClock
from tests.factories import LONG_AGO, make_customer, make_order
from tests.segmentation.cdnow import OCTOBER, cdnow_sample

TAIPEI = ZoneInfo("Asia/Taipei")
START = date(2025, 1, 1)  # for CDNOW's 1997-01-01
AS_OF = START + timedelta(days=OCTOBER)

customer_table, order_table, run_table = table_of(Customer), table_of(SalesOrder), table_of(PredictionRun)


def store_orders(engine: Engine, history: History) -> None:
    """Customers and orders of `history` under the same numbers, each order at a minute before midnight in Taipei."""
    midnight = datetime(START.year, START.month, START.day, 23, 59, tzinfo=TAIPEI)
    with transaction(engine) as session:
        people = [{"id": int(i), "attributes": {}, "created_at": LONG_AGO} for i in np.unique(history.customer)]
        session.execute(insert(customer_table), people)
        rows = zip(history.customer.tolist(), history.day.tolist(), history.amount.tolist(), strict=True)
        orders = [
            {
                "order_id": f"c{number}",
                "customer_id": customer,
                "ordered_at": midnight + timedelta(days=day),
                "currency": "TWD",
                "total": f"{amount:.2f}",
                "status": "paid",
            }
            for number, (customer, day, amount) in enumerate(rows)
        ]
        session.execute(insert(order_table), orders)


@pytest.fixture
def stocked(engine: Engine) -> Engine:
    store_orders(engine, cdnow_sample())
    return engine


def run(engine: Engine, clock: StillClock, **options: Any) -> PredictionRunResult:
    return run_predictions(engine, **{"as_of": AS_OF, "zone": TAIPEI, "clock": clock, "cycle_days": 30, **options})


def stored(engine: Engine) -> dict[int, CustomerPrediction]:
    with reading(engine) as session:
        return {row.customer_id: row for row in session.scalars(select(CustomerPrediction))}


def test_everyone_with_an_order_gets_what_the_model_says(stocked: Engine, clock: StillClock) -> None:
    result = run(stocked, clock)
    rows = stored(stocked)
    history = cdnow_sample()
    dated = History(history.customer, history.day + (START - EPOCH).days, history.amount)
    made = predict(dated, (AS_OF - EPOCH).days, 30)
    assert (result.state, result.problem, result.customer_count, result.change_count) == ("finished", None, 2357, 2357)
    assert sorted(rows) == made.customer.tolist()
    assert [rows[c].p_buy for c in made.customer] == pytest.approx(made.p_buy, abs=0.5e-4)
    assert [rows[c].expected_orders for c in made.customer] == pytest.approx(made.expected_orders, abs=0.5e-4)
    three = predict(dated, (AS_OF - EPOCH).days, 90)
    assert [rows[c].churn_risk for c in three.customer] == pytest.approx(
        1 - np.maximum(three.p_buy, made.p_buy), abs=1e-4
    )
    assert [float(rows[c].spend_90 or 0) for c in three.customer] == pytest.approx(three.expected_spend, abs=0.0051)


def test_a_horizon_longer_than_the_history_is_left_empty_and_says_why(stocked: Engine, clock: StillClock) -> None:
    quality = run(stocked, clock).quality
    assert quality["spend_365"]["problem"] == (
        f"the orders before the day go back {OCTOBER} days; to predict 365 days ahead takes 365"
    )
    assert {row.spend_365 for row in stored(stocked).values()} == {None}
    assert quality["buy"]["problem"] is quality["churn"]["problem"] is quality["spend_90"]["problem"] is None
    assert quality["churn"] == quality["spend_90"]  # both of 90 days: learned once
    held_back = quality["buy"]["held_back"]
    assert (held_back["as_of"], held_back["days"]) == ((AS_OF - timedelta(days=30)).isoformat(), 30)
    assert {"learned", "bgnbd", "rfm_score", "spend_bands"} <= set(held_back)


def test_longer_horizons_promise_no_less_and_all_are_there_after_a_year(stocked: Engine, clock: StillClock) -> None:
    result = run(stocked, clock, as_of=START + timedelta(days=500))
    cuts = result.quality["spend_365"]["cut_points"]
    assert result.quality["spend_365"]["earlier_levels"] == []  # 500 days hold one window of 250 days, held back
    rows = stored(stocked).values()
    assert all(row.spend_365 is not None and row.spend_90 is not None for row in rows)
    assert all((row.spend_365 or 0) >= (row.spend_90 or 0) for row in rows)
    assert all((row.p_buy or 0) <= 1 - (row.churn_risk or 0) + 1e-4 for row in rows)
    assert cuts == sorted(cuts)
    below = sum((row.spend_365 or 0) * 10_000 <= cuts[4] for row in rows)
    assert below == pytest.approx(len(rows) / 2, abs=2)


def test_the_value_of_every_segment_is_kept_as_the_rows_are_when_the_run_ends(
    stocked: Engine, clock: StillClock
) -> None:
    with transaction(stocked) as session:
        states: dict[str, Any] = {"nesl": "S1", "nes": "S", "paid_total": Decimal(10), "computed_at": clock()}
        session.add_all([CustomerSegment(customer_id=who, **states) for who in (4, 18)])
    run(stocked, clock, as_of=START + timedelta(days=500))
    rows = stored(stocked)
    with reading(stocked) as session:
        kept = {one.segment.name: one for one in kept_values(latest_prediction_run(session), "nes")}
    sleeping = kept["S"]
    assert (sleeping.customers, sleeping.predicted, sleeping.past) == (2, 2, Decimal(20))
    assert sleeping.coming is not None
    assert sleeping.coming.expected == sum(rows[who].spend_365 or 0 for who in (4, 18))
    assert sleeping.coming.low < sleeping.coming.expected < sleeping.coming.high


def test_the_same_run_again_changes_nothing_and_returns_the_former(stocked: Engine, clock: StillClock) -> None:
    first = run(stocked, clock)
    clock.advance(hours=1)
    second = run(stocked, clock)
    assert (second.run_id, second.unchanged, second.change_count) == (first.run_id, True, 0)
    with reading(stocked) as session:
        assert session.scalar(select(func.count()).select_from(run_table)) == 1


def test_a_new_order_changes_its_customer_and_a_refund_of_the_only_one_removes_the_row(
    stocked: Engine, clock: StillClock
) -> None:
    first = run(stocked, clock)
    before = stored(stocked)
    single = next(c for c, n in _order_counts(stocked).items() if n == 1)
    with transaction(stocked) as session:
        added = make_customer(session)
        make_order(session, added, ordered_at=datetime(2025, 9, 30, 15, 59, tzinfo=UTC))  # 23:59 on the day before
        late = make_customer(session)
        make_order(session, late, ordered_at=datetime(2025, 9, 30, 16, tzinfo=UTC))  # AS_OF has begun in Taipei
        session.execute(update(order_table).where(order_table.c.customer_id == single).values(status="refunded"))
    second = run(stocked, clock)
    after = stored(stocked)
    assert second.run_id != first.run_id
    assert set(after) == set(before) - {single} | {added.id}
    assert after[added.id or 0].p_buy is not None
    assert {row.run_id for row in after.values()} <= {first.run_id, second.run_id}


def _order_counts(engine: Engine) -> dict[int, int]:
    with reading(engine) as session:
        counted = select(order_table.c.customer_id, func.count()).group_by(order_table.c.customer_id)
        return {row[0]: row[1] for row in session.execute(counted.order_by(order_table.c.customer_id))}


def test_with_too_little_data_it_is_off_with_a_reason_and_nothing_stale_stays(
    stocked: Engine, clock: StillClock
) -> None:
    run(stocked, clock)
    assert stored(stocked)
    with transaction(stocked) as session:
        session.execute(delete(order_table).where(order_table.c.customer_id > 1500))
    off = run(stocked, clock)
    assert (off.state, off.customer_count) == ("off", 0)
    assert off.problem is not None
    assert "customers had ordered when the learning window began" in off.problem
    assert stored(stocked) == {}
    newest = latest_prediction_run(stocked)
    assert newest is not None
    assert (newest.id, newest.state, newest.problem) == (off.run_id, "off", off.problem)
    assert run(stocked, clock).unchanged


def test_an_empty_database_is_off(engine: Engine, clock: StillClock) -> None:
    off = run(engine, clock)
    assert (off.state, off.problem) == (
        "off",
        "there is no paid order before the day, so there is nothing to learn from",
    )


def test_a_run_at_work_keeps_others_out_until_its_lease_is_over(engine: Engine, clock: StillClock) -> None:
    dead = {"as_of": AS_OF, "cycle_days": 30, "state": "running", "quality": {}, "customer_count": 0}
    with transaction(engine) as session:
        session.execute(insert(run_table).values(**dead, started_at=clock(), lease_until=clock() + LEASE))
    with pytest.raises(PredictionRunBusy, match="another prediction run is at work"):
        run(engine, clock)
    clock.advance(seconds=LEASE.total_seconds() + 1)
    assert run(engine, clock).state == "off"
    with reading(engine) as session:
        assert list(session.scalars(select(run_table.c.state).order_by(run_table.c.id))) == ["failed", "off"]


def test_a_run_that_was_taken_over_writes_nothing_more(stocked: Engine, clock: StillClock) -> None:
    calls = 0

    def slow() -> datetime:  # somebody takes the run over while it learns
        nonlocal calls
        calls += 1
        if calls == 3:
            with transaction(stocked) as session:
                session.execute(update(run_table).values(state="failed"))
        return clock()

    with pytest.raises(PredictionRunBusy, match="took over"):
        run_predictions(stocked, as_of=AS_OF, zone=TAIPEI, clock=slow, cycle_days=30)
    assert stored(stocked) == {}


def test_a_run_that_fails_makes_room_at_once(stocked: Engine, clock: StillClock) -> None:
    with transaction(stocked) as session:
        session.execute(update(order_table).where(order_table.c.customer_id < 9000).values(total="900000000000000"))
    with pytest.raises(Exception, match="more than can be stored"):
        run(stocked, clock, as_of=START + timedelta(days=500))
    with reading(stocked) as session:
        assert session.scalar(select(run_table.c.state)) == "failed"
    assert latest_prediction_run(stocked) is None


def test_a_cycle_out_of_bounds_is_refused(engine: Engine, clock: StillClock) -> None:
    for days in (0, 3661):
        with pytest.raises(BadInput, match="purchase cycle must be 1 to 3660"):
            run(engine, clock, cycle_days=days)
