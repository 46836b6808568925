"""Predictions: no look ahead, no dependence on the order of rows, honest refusals, and the quality on real orders."""

import json
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.csv as pa_csv  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
import pytest
from typer.testing import CliRunner

from segmentation.predict.features import credibility_of
from segmentation.predict.files import predict_file
from segmentation.predict.history import Floats, History, Outcome, known_at, outcome_of
from segmentation.predict.model import Prediction, TooLittleData, apply, fit, plan, predict
from segmentation.predict.quality import held_back, judged, measure, rfm_score, spend_bands, spend_levels
from service.cli import app
from store.errors import BadInput
from tests.segmentation.cdnow import OCTOBER, cdnow, cdnow_sample

TAIPEI = ZoneInfo("Asia/Taipei")
START = date(2025, 1, 1)


@pytest.fixture(scope="module")
def sample() -> History:
    return cdnow_sample()


def shuffled(history: History, seed: int = 3) -> History:
    order = np.random.default_rng(seed).permutation(len(history.day))
    return History(history.customer[order], history.day[order], history.amount[order])


def history_of(*orders: tuple[int, int, float]) -> History:
    customer, day, amount = zip(*orders, strict=True)
    return History(np.array(customer), np.array(day), np.array(amount))


def test_known_counts_only_what_came_before_the_cut() -> None:
    history = history_of((7, 3, 10.0), (7, 3, 5.0), (7, 9, 1.0), (7, 10, 99.0), (2, 9, 4.0), (5, 10, 8.0))
    known = known_at(history, 10, recent_days=1)
    assert known.customer.tolist() == [2, 7]
    assert known.first.tolist() == [9, 3]
    assert known.recency.tolist() == [1, 1]
    assert known.orders.tolist() == [1, 3]
    assert known.purchase_days.tolist() == [1, 2]
    assert known.recent.tolist() == [1, 1]
    assert known.spend.tolist() == [4.0, 16.0]
    assert known.spend_lately.tolist() == [2.0, 0.5 + 15 / 2**7]  # halved each day that it lies back


def test_outcome_is_a_half_open_window_of_people_known_before() -> None:
    history = history_of((1, 0, 1.0), (3, 9, 1.0), (1, 9, 2.0), (1, 10, 3.0), (3, 14, 5.0), (3, 15, 7.0), (2, 12, 9.0))
    outcome = outcome_of(history, known_at(history, 10, 0), 5)
    assert outcome.orders.tolist() == [1, 1]
    assert outcome.spend.tolist() == [3.0, 5.0]


def test_a_window_is_half_the_history_where_the_horizon_is_long_and_every_window_is_over_by_the_day() -> None:
    history = history_of((1, 0, 1.0), (1, 399, 1.0))
    assert plan(history, 400, 400).cuts == (200,)
    short = plan(history, 400, 60)
    assert (short.window_days, short.cuts) == (60, (340, 310, 280, 250))
    assert plan(history, 120, 60).cuts == (60,)


def test_a_horizon_longer_than_the_history_is_refused() -> None:
    history = history_of((1, 0, 1.0))
    assert plan(history, 60, 60).window_days == 30
    with pytest.raises(TooLittleData, match="go back 60 days; to predict 61 days ahead takes 61"):
        plan(history, 60, 61)
    with pytest.raises(TooLittleData, match="takes 14"):
        plan(history, 13, 1)
    with pytest.raises(TooLittleData, match="no paid order"):
        plan(history, 0, 30)


def test_too_few_customers_or_buyers_are_refused_at_the_boundary(sample: History) -> None:
    def first(people: int) -> History:
        numbers = np.unique(sample.customer)[:people]
        kept = np.isin(sample.customer, numbers)
        return History(sample.customer[kept], sample.day[kept], sample.amount[kept])

    with pytest.raises(TooLittleData, match="only 199 customers"):
        predict(first(199), OCTOBER, 91)
    with pytest.raises(TooLittleData, match=r"only \d+ earlier customers ordered again in the last 14 days"):
        predict(first(300), OCTOBER, 14)
    assert len(predict(first(400), OCTOBER, 182).customer) == 400


def test_later_orders_have_no_influence(sample: History) -> None:
    later = (sample.customer[:50], np.full(50, OCTOBER), np.full(50, 1e6))
    mixed = History(*(np.concatenate(pair) for pair in zip(vars(sample).values(), later, strict=True)))
    for one, other in zip(
        vars(predict(sample.before(OCTOBER), OCTOBER, 91)).values(),
        vars(predict(mixed, OCTOBER, 91)).values(),
        strict=True,
    ):
        assert np.array_equal(one, other)


def test_shuffled_rows_give_the_same_numbers(sample: History) -> None:
    for one, other in zip(
        vars(predict(sample, OCTOBER, 91)).values(), vars(predict(shuffled(sample), OCTOBER, 91)).values(), strict=True
    ):
        assert np.array_equal(one, other)


def test_chances_are_chances_and_whoever_buys_orders_at_least_once(sample: History) -> None:
    for days in (28, 273):
        made = predict(sample, OCTOBER, days)
        assert ((made.p_buy > 0) & (made.p_buy < 1)).all()
        assert (made.expected_orders >= made.p_buy).all()
        assert (made.expected_spend >= 0).all()
        assert np.isfinite(made.expected_spend).all()


def test_refunds_beyond_the_purchases_do_not_break_it(sample: History) -> None:
    returned = History(sample.customer, sample.day, np.where(sample.customer % 3 == 0, -sample.amount, sample.amount))
    made = predict(returned, OCTOBER, 91)
    assert np.isfinite(made.expected_spend).all()
    assert (made.expected_spend >= 0).all()


def test_equal_amounts_and_single_orders_leave_everyone_the_mean_order() -> None:
    alike = known_at(history_of((1, 0, 5.0), (1, 1, 5.0), (2, 0, 5.0)), 9, 0)
    assert credibility_of(alike).mean_order(alike).tolist() == [5.0, 5.0]
    single = known_at(history_of((1, 0, 2.0), (2, 0, 4.0)), 9, 0)
    assert credibility_of(single).mean_order(single).tolist() == [3.0, 3.0]


def test_a_mean_order_is_believed_the_more_the_more_orders_it_comes_from() -> None:
    random = np.random.default_rng(8)
    level = random.normal(100, 10, 500)  # variance between customers 100, within 400: the weight is 4
    customer = np.repeat(np.arange(500), 20)
    known = known_at(History(customer, np.arange(10_000) % 20, level[customer] + random.normal(0, 20, 10_000)), 99, 0)
    found = credibility_of(known)
    assert found.weight == pytest.approx(4, rel=0.25)
    assert found.mean == pytest.approx(100, rel=0.02)


def test_the_score_gives_equal_customers_equal_scores() -> None:
    known = known_at(history_of(*((i, 1, 10.0) for i in range(20)), (99, 5, 50.0), (99, 6, 50.0)), 9, 0)
    score = rfm_score(known)
    assert len(set(score[:-1].tolist())) == 1
    assert score[-1] > score[0]


def said(chance: Floats, orders: Floats) -> Prediction:
    return Prediction(np.arange(len(orders)), chance, orders, 10 * orders)


def test_buyers_are_ranked_by_what_is_given_for_it() -> None:
    happened = Outcome(np.array([0, 2]), np.array([0.0, 20.0]))
    made = said(np.array([0.1, 0.9]), np.array([2.0, 1.0]))
    assert measure(made, happened, made.p_buy).auc == 1.0
    assert measure(made, happened, made.expected_orders).auc == 0.0


def test_measures_of_a_perfect_and_a_mirrored_prediction() -> None:
    orders = np.array([0, 0, 1, 3])
    happened = Outcome(orders, 10.0 * orders)
    chance = np.array([0.0, 0.0, 1.0, 1.0])
    perfect = measure(said(chance, orders.astype(np.float64)), happened, chance)
    assert (perfect.auc, perfect.rmse_orders, perfect.rmse_spend) == (1.0, 0.0, 0.0)
    assert (perfect.orders_ratio, perfect.buyers_ratio, perfect.spend_ratio) == (1.0, 1.0, 1.0)
    mirrored = measure(said(1 - chance, 2.0 - orders), happened, 1 - chance)
    assert mirrored.auc == 0.0
    assert mirrored.rmse_spend == pytest.approx(np.sqrt((400 + 400 + 0 + 1600) / 4))
    assert sum(band.customers for band in mirrored.calibration) == 4
    nothing = measure(said(chance, chance), Outcome(np.zeros(4, dtype=np.int64), np.zeros(4)), chance)
    assert (nothing.auc, nothing.orders_ratio, nothing.spend_ratio) == (None, None, None)


def test_spend_bands_are_tenths_and_their_deviation_is_around_the_corrected_words() -> None:
    predicted = np.repeat(np.arange(1.0, 11.0), 2)
    actual = 2 * predicted + np.tile([-3.0, 3.0], 10)
    bands = spend_bands(predicted[::-1], actual[::-1])
    assert [(band.customers, band.predicted, band.actual) for band in bands] == [
        (2, 2.0 * i, 4.0 * i) for i in range(1, 11)
    ]
    assert {band.deviation for band in bands} == {3.0}
    nothing = spend_bands(np.zeros(3), np.array([0.0, 0.0, 6.0]))
    assert [(band.customers, band.predicted, band.actual) for band in nothing] == [(1, 0, 0), (1, 0, 0), (1, 0, 6)]


def test_a_part_of_the_customers_is_told_the_same_as_all_of_them(sample: History) -> None:
    model = fit(sample, OCTOBER, 182)
    whole = apply(model, sample)
    part = sample.customer % 7 == 0
    some = apply(model, History(sample.customer[part], sample.day[part], sample.amount[part]))
    inside = np.isin(whole.customer, some.customer)
    assert 0 < np.count_nonzero(inside) < len(whole.customer)
    assert np.array_equal(some.customer, whole.customer[inside])
    for name in ("p_buy", "expected_orders", "expected_spend"):
        assert np.allclose(getattr(some, name), getattr(whole, name)[inside], rtol=1e-12)


def test_a_sample_is_of_whole_customers_and_always_the_same(sample: History) -> None:
    one, other = sample.sampled(500), shuffled(sample).sampled(500)
    who = np.unique(one.customer)
    assert len(who) == 500
    assert np.array_equal(who, np.unique(other.customer))
    assert len(one.day) == np.count_nonzero(np.isin(sample.customer, who))
    assert sample.sampled(2357) is sample


def test_spend_levels_look_only_at_windows_over_by_then(sample: History) -> None:
    levels = spend_levels(sample, 400, 91)
    assert len(levels) == 2
    assert levels == spend_levels(sample.before(400 - 91), 400, 91)
    made = predict(sample, 400 - 182, 91)
    actual = outcome_of(sample, known_at(sample, 400 - 182, 0), 91).spend.sum()
    assert levels[0] == pytest.approx(actual / made.expected_spend.sum())
    assert spend_levels(sample, OCTOBER, 200) == []


def test_quality_on_cdnow_is_above_bgnbd_and_the_plain_score() -> None:
    found = judged(cdnow(), OCTOBER, 273)
    assert (found.customers, found.orders) == (23_570, 20_573)
    assert found.learned.auc is not None
    assert found.bgnbd.auc == pytest.approx(0.763, abs=0.001)
    assert found.learned.auc > 0.7715
    assert found.learned.rmse_orders < found.bgnbd.rmse_orders
    assert found.learned.rmse_spend <= found.bgnbd.rmse_spend
    assert 0.9 < (found.learned.orders_ratio or 0) < 1.1
    assert 0.9 < (found.learned.spend_ratio or 0) < 1.1
    low, *_, high = found.learned.calibration
    assert low.actual < 0.2
    assert high.actual == pytest.approx(high.predicted, abs=0.1)


def test_where_one_early_window_of_a_small_brand_is_learned_from_orders_are_as_near_as_bgnbds(sample: History) -> None:
    found = judged(sample, OCTOBER, 273)
    assert len(plan(sample, OCTOBER, 273).cuts) == 1
    assert found.learned.auc is not None
    assert found.bgnbd.auc is not None
    assert found.learned.auc > found.bgnbd.auc
    assert found.learned.rmse_orders < 1.005 * found.bgnbd.rmse_orders
    assert 0.9 < (found.learned.orders_ratio or 0) < 1.1


def test_held_back_window_ends_with_the_day(sample: History) -> None:
    found = held_back(sample, OCTOBER, 91)
    assert (found.as_of, found.days) == (OCTOBER - 91, 91)
    assert found == held_back(sample.before(OCTOBER), OCTOBER, 91)


def order_table(history: History) -> pa.Table:
    days = [(START + timedelta(days=int(day))).isoformat() for day in history.day]
    amounts = [f"{amount:.2f}" for amount in history.amount]
    return pa.table({"customer_id": [f"{i:05}" for i in history.customer], "ordered_at": days, "amount": amounts})


def test_csv_parquet_lines_and_refunds_say_the_same(sample: History, tmp_path: Path) -> None:
    day, whole = START + timedelta(days=OCTOBER), order_table(sample)
    pa_csv.write_csv(whole, tmp_path / "orders.csv")
    plain = predict_file(tmp_path / "orders.csv", tmp_path / "plain.csv", day, 91, TAIPEI)
    ids = pa.array([f"o{i}" for i in range(len(whole))])
    paid = whole.append_column("order_id", ids).append_column("status", pa.array(["paid"] * len(whole)))
    nothing = paid.set_column(2, "amount", pa.array(["0.00"] * len(whole)))  # a second line of each order
    lost = paid.set_column(4, "status", pa.array(["refunded"] * len(whole))).set_column(
        3, "order_id", pa.array([f"r{i}" for i in range(len(whole))])
    )
    pq.write_table(pa.concat_tables([paid, lost, nothing]), tmp_path / "lines.parquet")
    lines = predict_file(tmp_path / "lines.parquet", tmp_path / "lines.csv", day, 91, TAIPEI)
    assert plain.customer_count == lines.customer_count == 2357
    assert plain.quality == lines.quality
    assert (tmp_path / "plain.csv").read_bytes() == (tmp_path / "lines.csv").read_bytes()
    head, first = (tmp_path / "plain.csv").read_text(encoding="utf-8").splitlines()[:2]
    assert head == "customer_id,p_buy,expected_orders,expected_spend"
    assert first.startswith("00004,0.")


def test_customers_that_are_numbers_are_told_the_same_from_csv_and_parquet(sample: History, tmp_path: Path) -> None:
    day, whole = START + timedelta(days=OCTOBER), order_table(sample)
    numbers = whole.set_column(0, "customer_id", pa.array(sample.customer))
    pa_csv.write_csv(numbers, tmp_path / "orders.csv")
    pq.write_table(numbers, tmp_path / "orders.parquet")
    for ending in ("csv", "parquet"):
        predict_file(tmp_path / f"orders.{ending}", tmp_path / f"{ending}-out.parquet", day, 91, TAIPEI)
    text, number = (pq.read_table(tmp_path / f"{ending}-out.parquet") for ending in ("csv", "parquet"))
    ids = number["customer_id"].to_pylist()
    assert ids == sorted(ids)
    as_text = text.set_column(0, "customer_id", text["customer_id"].cast(pa.int64())).sort_by("customer_id")
    assert as_text.equals(number)


def test_an_unreadable_row_is_named_and_nothing_written(sample: History, tmp_path: Path) -> None:
    table = order_table(sample)
    days = table["ordered_at"].to_pylist()
    days[41] = "someday"
    pa_csv.write_csv(table.set_column(1, "ordered_at", pa.array(days)), tmp_path / "orders.csv")
    with pytest.raises(BadInput, match=r"row 42: ordered_at 'someday'"):
        predict_file(tmp_path / "orders.csv", tmp_path / "out.csv", START + timedelta(days=OCTOBER), 91, TAIPEI)
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


def test_the_command_prints_the_quality_as_json_and_writes_parquet(sample: History, tmp_path: Path) -> None:
    pa_csv.write_csv(order_table(sample), tmp_path / "orders.csv")
    files = ["--orders", str(tmp_path / "orders.csv"), "--out", str(tmp_path / "out.parquet")]
    day = (START + timedelta(days=OCTOBER)).isoformat()
    rest = ["--as-of", day, "--horizon-days", "91", "--zone", "Asia/Taipei", "--json"]
    result = CliRunner().invoke(app, ["predict", "files", *files, *rest], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["customers"] == 2357
    assert set(found["quality"]) >= {"learned", "bgnbd", "rfm_score", "buyers"}
    assert len(found["quality"]["learned"]["calibration"]) == 10
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.column_names == ["customer_id", "p_buy", "expected_orders", "expected_spend"]
    assert written["customer_id"].to_pylist() == sorted(written["customer_id"].to_pylist())


def test_too_little_data_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("customer_id,ordered_at,amount\n1,2025-01-01,5\n2,2025-03-01,5\n")
    for horizon, sentence in ((30, "only 2 customers"), (365, "go back"), (0, "the horizon must be")):
        with pytest.raises((TooLittleData, BadInput), match=sentence):
            predict_file(tmp_path / "orders.csv", tmp_path / "new" / "out.csv", date(2025, 6, 1), horizon, TAIPEI)
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


def seldom(people: int = 300, comes_back_from: int = 180) -> History:
    """Everybody's first order lies early, and half of them come back, from a day on."""
    random = np.random.default_rng(5)
    first = random.integers(0, 80, people)
    again = random.integers(comes_back_from, 300, people // 2)
    customer, day = np.append(np.arange(people), np.arange(people // 2)), np.append(first, again)
    return History(customer, day, random.integers(1, 900, len(day)).astype(np.float64))


def test_where_nobody_had_come_back_before_the_early_cuts_it_is_told_how_bad_that_is() -> None:
    history = seldom()
    assert known_at(history, 150, 0).purchase_days.max() == 1
    found = held_back(history, 300, 60)
    assert found.buyers >= 50
    for way in (found.learned, found.bgnbd, found.rfm_score):
        assert np.isfinite([way.rmse_orders, way.rmse_spend, way.buyers_ratio or 0.0]).all()
    assert np.isfinite(predict(history, 300, 60).expected_spend).all()


def test_a_horizon_of_a_few_days_is_learned_from_weeks_and_cut() -> None:
    history = cdnow()
    assert plan(history, 120, 3).window_days == 7
    week = predict(history, 120, 7)
    for days in (1, 3, 5):
        made = predict(history, 120, days)
        happened = outcome_of(history, known_at(history, 120, 0), days)
        assert 0.7 < made.p_buy.sum() / np.count_nonzero(happened.orders) < 1.4
        assert 0.7 < made.expected_orders.sum() / happened.orders.sum() < 1.5
        assert (made.p_buy <= week.p_buy).all()
        assert ((made.p_buy > 0) & (made.p_buy < 1)).all()


@pytest.mark.parametrize("amount", [0.0, -20.0, 10.0**12])
def test_amounts_of_nothing_less_than_nothing_and_a_million_millions(sample: History, amount: float) -> None:
    made = predict(History(sample.customer, sample.day, np.full(len(sample.day), amount)), OCTOBER, 91)
    if amount > 0:
        assert made.expected_spend.sum() == pytest.approx(amount * made.expected_orders.sum(), rel=1e-6)
        assert np.isfinite(made.expected_spend).all()
    else:
        assert not made.expected_spend.any()


def test_the_orders_are_not_written_over(sample: History, tmp_path: Path) -> None:
    pa_csv.write_csv(order_table(sample), tmp_path / "orders.csv")
    before = (tmp_path / "orders.csv").read_bytes()
    (tmp_path / "same.csv").symlink_to(tmp_path / "orders.csv")
    for out in ("orders.csv", "same.csv"):
        with pytest.raises(BadInput, match="holds the orders: write the result to another file"):
            predict_file(tmp_path / "orders.csv", tmp_path / out, START + timedelta(days=OCTOBER), 91, TAIPEI)
    assert (tmp_path / "orders.csv").read_bytes() == before


def test_a_file_without_orders_and_customers_that_are_lists_are_refused(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("customer_id,ordered_at,amount\n")
    with pytest.raises(BadInput, match="has no orders: there is nothing below the header"):
        predict_file(tmp_path / "orders.csv", tmp_path / "out.csv", START, 91, TAIPEI)
    lists = {"customer_id": [[1], [2]], "ordered_at": ["2025-01-01"] * 2, "amount": [1, 2]}
    pq.write_table(pa.table(lists), tmp_path / "orders.parquet")
    with pytest.raises(BadInput, match="the column customer_id must hold text or numbers, not array"):
        predict_file(tmp_path / "orders.parquet", tmp_path / "out.csv", START, 91, TAIPEI)
