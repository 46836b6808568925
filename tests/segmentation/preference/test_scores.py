"""The numeric core of preferences, against the formulas and against a plain computation."""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentation.engine import open_duckdb
from segmentation.preference.settings import LINES, MOST_HALF_LIFE_DAYS, Line, PreferenceSettings
from tests.segmentation.preference.plain import Signal, scored, slowly

DAY = date(2026, 3, 1)
DEFAULT = PreferenceSettings()
DYED = (1, "label", "染護")
property_test = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def duck() -> Iterator[Any]:
    with open_duckdb(ZoneInfo("Asia/Taipei")) as connection:
        yield connection


def lines(**changes: float) -> PreferenceSettings:
    return PreferenceSettings(lines={**LINES, "label": replace(Line(), **changes)})


@st.composite
def signal_lists(draw: st.DrawFn) -> list[Signal]:
    """A few customers, values and dimensions over three years around DAY, some signals on it or later."""
    weights = st.one_of(st.just(0.0), st.floats(0.01, 3))
    one = st.builds(
        Signal,
        day=st.integers(-1000, 60).map(lambda days: DAY + timedelta(days=days)),
        value=st.sampled_from(["染護", "去屑", "頭皮養護", None]),
        weight=weights,
        customer_id=st.integers(1, 3),
        dimension=st.sampled_from(["label", "topic"]),
        portion=st.floats(0, 1),
        whole=st.floats(0.1, 1),
    )
    return draw(st.lists(one, max_size=12))


def test_an_order_is_worth_half_after_a_half_life(duck: Any) -> None:
    found = scored(duck, [Signal(DAY - timedelta(days=90))], DAY, DEFAULT)[DYED]
    assert found["score"] == 0.5
    assert found["share"] == 1.0
    assert not found["is_on"]
    assert found["falls_off_on"] is None


@pytest.mark.parametrize(("days_apart", "is_on"), [(0, True), (89, True), (90, True), (91, False)])
def test_two_orders_put_a_preference_on_if_no_more_than_a_half_life_apart(
    duck: Any, days_apart: int, is_on: bool
) -> None:
    # a line at 1.5 of what they are worth on the day of the second
    on = 1.5 * 2 ** (-1 / 90)
    orders = [Signal(DAY - timedelta(days=1)), Signal(DAY - timedelta(days=1 + days_apart))]
    assert scored(duck, orders, DAY, lines(on=on, off=on / 2))[DYED]["is_on"] is is_on


def test_between_the_thresholds_what_is_on_stays_on_and_what_is_off_stays_off(duck: Any) -> None:
    signals = [Signal(DAY - timedelta(days=1), weight=1.0)]
    assert not scored(duck, signals, DAY, DEFAULT)[DYED]["is_on"]
    assert scored(duck, signals, DAY, DEFAULT, [DYED])[DYED]["is_on"]
    assert not scored(duck, [replace(signals[0], weight=0.7)], DAY, DEFAULT, [DYED])[DYED]["is_on"]


def test_both_thresholds_of_score_are_inside(duck: Any) -> None:
    at_off = [Signal(DAY - timedelta(days=90), weight=1.5)]
    found = scored(duck, at_off, DAY, DEFAULT, [DYED])[DYED]
    assert found["score"] == 0.75
    assert found["is_on"]
    assert found["falls_off_on"] == DAY + timedelta(days=1)
    at_on = [Signal(DAY - timedelta(days=90), weight=3.0)]
    assert scored(duck, at_on, DAY, DEFAULT)[DYED]["is_on"]


@pytest.mark.parametrize(("others", "fresh", "kept"), [(0, True, True), (8, True, True), (9, False, True),
                                                       (18, False, True), (19, False, False)])  # fmt: skip
def test_who_buys_of_everything_prefers_nothing(duck: Any, others: int, fresh: bool, kept: bool) -> None:
    yesterday = DAY - timedelta(days=1)
    mine = [Signal(yesterday)] * 2
    signals = mine + [Signal(yesterday, value=f"其他{n}") for n in range(others)]
    assert scored(duck, signals, DAY, DEFAULT)[DYED]["share"] == pytest.approx(2 / (2 + others))
    assert scored(duck, signals, DAY, DEFAULT)[DYED]["is_on"] is fresh
    assert scored(duck, signals, DAY, DEFAULT, [DYED])[DYED]["is_on"] is kept


def test_attention_that_went_to_no_value_counts_in_the_whole(duck: Any) -> None:
    yesterday = DAY - timedelta(days=1)
    signals = [Signal(yesterday), Signal(yesterday, value=None, weight=0, portion=0, whole=3.0)]
    found = scored(duck, signals, DAY, DEFAULT)
    assert list(found) == [DYED]
    assert found[DYED]["share"] == pytest.approx(0.25)


def test_no_signals_give_no_rows(duck: Any) -> None:
    assert scored(duck, [], DAY, DEFAULT) == {}


def test_what_is_on_without_any_signal_left_comes_off(duck: Any) -> None:
    found = scored(duck, [], DAY, DEFAULT, [DYED])[DYED]
    assert (found["score"], found["share"], found["was_on"], found["is_on"]) == (0.0, 0.0, True, False)
    assert found["falls_off_on"] is None


def test_signals_of_the_day_itself_and_later_are_ignored(duck: Any) -> None:
    assert scored(duck, [Signal(DAY), Signal(DAY + timedelta(days=400))], DAY, DEFAULT) == {}


def test_signals_without_weight_never_put_anything_on(duck: Any) -> None:
    found = scored(duck, [Signal(DAY - timedelta(days=1), weight=0)] * 50, DAY, DEFAULT, [DYED])[DYED]
    assert (found["score"], found["share"], found["is_on"]) == (0.0, 0.0, False)


@pytest.mark.parametrize("half_life", [1, MOST_HALF_LIFE_DAYS])
def test_the_shortest_and_the_longest_half_life_give_finite_scores(duck: Any, half_life: int) -> None:
    signals = [Signal(date(1900, 1, 1), weight=1000), Signal(DAY - timedelta(days=half_life), weight=4)]
    found = scored(duck, signals, DAY, lines(half_life_days=half_life))[DYED]
    assert found["score"] == pytest.approx(2.0 + 1000 * 2.0 ** (-(DAY - date(1900, 1, 1)).days / half_life))
    assert found["is_on"]
    assert math.isfinite(found["share"])


def test_signals_too_old_for_a_float_count_for_nothing(duck: Any) -> None:
    found = scored(duck, [Signal(date(1900, 1, 1))], DAY, lines(half_life_days=1), [DYED])[DYED]
    assert (found["score"], found["share"], found["is_on"]) == (0.0, 0.0, False)


def test_a_value_may_have_a_line_of_its_own(duck: Any) -> None:
    own = PreferenceSettings(lines={**LINES, "label=染護": Line(half_life_days=30, on=3)})
    signals = [Signal(DAY - timedelta(days=30), value=value, weight=4) for value in ("染護", "去屑")]
    found = scored(duck, signals, DAY, own)
    assert found[DYED]["score"] == pytest.approx(2)
    assert not found[DYED]["is_on"]
    assert found[1, "label", "去屑"]["is_on"]
    assert found[DYED]["share"] == found[1, "label", "去屑"]["share"] == pytest.approx(0.5)


@given(signals=signal_lists(), data=st.data())
@property_test
def test_the_core_agrees_with_a_plain_computation(duck: Any, signals: list[Signal], data: st.DataObject) -> None:
    on = data.draw(st.lists(st.sampled_from([DYED, (2, "topic", "去屑"), (9, "label", "去屑")]), unique=True))
    found = scored(duck, signals, DAY, DEFAULT, on)
    wanted = slowly(signals, DAY, DEFAULT, on)
    assert found.keys() == wanted.keys()
    for key, (score, share, is_on) in wanted.items():
        assert found[key]["score"] == pytest.approx(score, rel=1e-9)
        assert found[key]["share"] == pytest.approx(share, rel=1e-9)
        assert found[key]["is_on"] is is_on
        assert found[key]["was_on"] is (key in on)


@given(signals=signal_lists(), later=st.integers(1, 400))
@property_test
def test_a_score_never_rises_and_a_share_never_moves_without_a_new_signal(
    duck: Any, signals: list[Signal], later: int
) -> None:
    known = [signal for signal in signals if signal.day < DAY]
    before = scored(duck, known, DAY, DEFAULT)
    after = scored(duck, known, DAY + timedelta(days=later), DEFAULT)
    for key, row in after.items():
        assert row["score"] <= before[key]["score"]
        assert row["score"] == pytest.approx(before[key]["score"] * 2 ** (-later / 90), rel=1e-9)
        assert row["share"] == pytest.approx(before[key]["share"], rel=1e-9)


@given(signals=signal_lists(), random=st.randoms(use_true_random=False))
@property_test
def test_the_order_of_signals_changes_nothing(duck: Any, signals: list[Signal], random: Any) -> None:
    shuffled = random.sample(signals, len(signals))
    first, second = (scored(duck, rows, DAY, DEFAULT) for rows in (signals, shuffled))
    assert first.keys() == second.keys()
    for key, row in first.items():
        assert row["score"] == pytest.approx(second[key]["score"], rel=1e-12)
        assert (row["is_on"], row["falls_off_on"]) == (second[key]["is_on"], second[key]["falls_off_on"])


@given(signals=signal_lists())
@property_test
def test_a_customer_alone_gets_the_row_that_the_population_gives(duck: Any, signals: list[Signal]) -> None:
    everyone = scored(duck, signals, DAY, DEFAULT)
    for customer_id in {signal.customer_id for signal in signals}:
        alone = scored(duck, [s for s in signals if s.customer_id == customer_id], DAY, DEFAULT)
        assert alone.keys() == {key for key in everyone if key[0] == customer_id}
        for key, row in alone.items():
            assert row["score"] == pytest.approx(everyone[key]["score"], rel=1e-12)
            assert (row["is_on"], row["falls_off_on"]) == (everyone[key]["is_on"], everyone[key]["falls_off_on"])


@pytest.mark.parametrize(("off", "is_told"), [(1e-3, True), (1e-300, False)])
def test_a_day_beyond_the_calendar_is_not_told(duck: Any, off: float, *, is_told: bool) -> None:
    found = scored(duck, [Signal(DAY - timedelta(days=1), weight=30.0)], DAY, lines(half_life_days=3650, off=off))[DYED]
    assert found["is_on"]
    assert (found["falls_off_on"] is not None) is is_told


@given(
    weights=st.lists(st.floats(0.1, 40), min_size=1, max_size=4),
    ages=st.lists(st.integers(1, 300), min_size=4, max_size=4),
    half_life=st.sampled_from([1, 7.5, 30, 90, 400]),
)
@property_test
def test_it_falls_off_on_the_day_that_was_foretold(
    duck: Any, weights: list[float], ages: list[int], half_life: float
) -> None:
    own = lines(half_life_days=half_life)
    signals = [Signal(DAY - timedelta(days=age), weight=w) for w, age in zip(weights, ages, strict=False)]
    foretold = scored(duck, signals, DAY, own, [DYED])[DYED]["falls_off_on"]
    day, is_on = DAY, slowly(signals, DAY, own, [DYED])[DYED][2]
    assert (foretold is not None) == is_on
    while is_on:
        day += timedelta(days=1)
        is_on = slowly(signals, day, own, [DYED])[DYED][2]
    if foretold is not None:
        assert foretold == day
        assert scored(duck, signals, day - timedelta(days=1), own, [DYED])[DYED]["is_on"]
        assert not scored(duck, signals, day, own, [DYED])[DYED]["is_on"]


def test_the_shampoo_case_day_by_day(duck: Any) -> None:
    """Half a year of 去屑 and 抗油; then 染護 too, for half a year; then 頭皮養護 in its place."""
    month = timedelta(days=30)
    start = date(2024, 1, 1)

    def monthly(value: str, first: int, last: int, whole: float = 1.0) -> list[Signal]:
        return [Signal(start + n * month, value=value, whole=whole) for n in range(first, last)]

    steady = [*monthly("去屑", 0, 26, 0.5), *monthly("抗油", 0, 26, 0.5)]  # one shampoo, both labels
    signals = [*steady, *monthly("染護", 6, 12), *monthly("頭皮養護", 12, 26)]
    on: set[tuple[int, str, str]] = set()
    moves: list[tuple[int, str, bool]] = []
    for n in range(26):
        found = scored(duck, signals, start + n * month + timedelta(days=1), DEFAULT, on)
        now_on = {key for key, row in found.items() if row["is_on"]}
        moves += [(n, key[2], key in now_on) for key in sorted(on ^ now_on)]
        on = now_on
    assert moves == [
        (1, "去屑", True),
        (1, "抗油", True),
        (7, "染護", True),
        (13, "頭皮養護", True),
        (17, "染護", False),  # half a year after the last
    ]
