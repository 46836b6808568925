"""Intervals held against published figures and against known truth, drawn a thousand times."""

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest

from campaigns.results.lift import Arm, Lift, conversion_lift, difference_of, revenue_lift, z_of


def buyers(count: int, people: int) -> Arm:
    return Arm(people, count)


@pytest.mark.parametrize(
    ("sent", "held", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_conversion_lift_is_newcombes_interval(
    sent: tuple[int, int], held: tuple[int, int], low: float, high: float
) -> None:
    lift = conversion_lift(buyers(*sent), buyers(*held))
    assert lift is not None
    assert [lift.low, lift.high] == pytest.approx([low, high], abs=5e-5)
    assert lift.difference == pytest.approx(sent[0] / sent[1] - held[0] / held[1])


def test_without_anyone_on_one_side_there_is_no_lift() -> None:
    assert conversion_lift(buyers(1, 10), Arm()) is None
    assert revenue_lift(Arm(), Arm(10, 1, 1, Decimal(5), 25.0)) is None


def spender(rng: np.random.Generator, people: int, share: float, scale: float = 1.0) -> Arm:
    """People of whom `share` buy, for amounts of a log-normal with a long tail, times `scale`."""
    paid = rng.lognormal(6.5, 1.0, rng.binomial(people, share)) * scale
    return Arm(people, len(paid), len(paid), Decimal(round(float(paid.sum()), 2)), float((paid**2).sum()))


def welch(sent: Arm, held: Arm) -> Lift:
    error = 0.0
    for arm in (sent, held):
        error += (arm.squares / arm.people - arm.per_person**2) / (arm.people - 1)
    difference, reach = sent.per_person - held.per_person, z_of() * error**0.5
    return Lift(difference, difference - reach, difference + reach)


def misses(
    method: Callable[[Arm, Arm], Lift | None], shares: tuple[float, float], sizes: tuple[int, int], scale: float = 1.0
) -> tuple[float, float, float]:
    """How often an interval lies wholly above the truth, wholly below it, and how often there was one."""
    rng, spend = np.random.default_rng(7), float(np.exp(7.0))
    truth = spend * (shares[0] * scale - shares[1])
    above = below = made = 0
    for _ in range(1_500):
        lift = method(spender(rng, sizes[0], shares[0], scale), spender(rng, sizes[1], shares[1]))
        if lift is not None:
            made, above, below = made + 1, above + (lift.low > truth), below + (lift.high < truth)
    return above / made, below / made, made / 1_500


@pytest.mark.parametrize(
    ("shares", "sizes", "scale"),
    [
        ((0.03, 0.03), (4_750, 250), 1.0),
        ((0.03, 0.02), (19_000, 1_000), 1.0),
        ((0.02, 0.04), (4_750, 250), 1.0),
        ((0.02, 0.02), (95_000, 5_000), 1.0),
        ((0.08, 0.05), (500, 500), 1.0),
        ((0.03, 0.02), (19_000, 1_000), 0.8),  # a coupon: more buy, each for less, so the arms do not spend alike
    ],
)
def test_the_interval_of_revenue_holds_the_truth_on_both_sides(
    shares: tuple[float, float], sizes: tuple[int, int], scale: float
) -> None:
    above, below, made = misses(revenue_lift, shares, sizes, scale)
    assert above < (0.045 if scale == 1.0 else 0.065)
    assert below < 0.055
    assert above + below < 0.085
    assert made > 0.7


def test_welchs_interval_would_claim_gains_that_are_not_there() -> None:
    """Why the ordinary method is not used: 2.5 % is what it promises."""
    above, _, _ = misses(welch, (0.03, 0.03), (4_750, 250))
    assert above > 0.1


def test_too_few_buyers_to_tell_how_revenue_spreads() -> None:
    assert revenue_lift(Arm(950, 40, 40, Decimal(4000), 4e5), Arm(50, 2, 2, Decimal(200), 2e4)) is None


def test_many_comparisons_together_are_right_as_often_as_one() -> None:
    rng, z = np.random.default_rng(3), z_of(comparisons=12)
    wrong = 0
    for _ in range(800):
        sent, held = rng.binomial(4_000, 0.03, 12), rng.binomial(1_000, 0.03, 12)
        lifts = [conversion_lift(buyers(a, 4_000), buyers(b, 1_000), z) for a, b in zip(sent, held, strict=True)]
        wrong += any(lift is not None and lift.is_sure for lift in lifts)
    assert wrong / 800 < 0.08  # of single 95 % intervals, 46 % of such tables would name a segment
    assert z_of(comparisons=12) > z_of() == pytest.approx(1.959964, abs=1e-6)


def test_the_difference_of_two_lifts_holds_the_truth() -> None:
    rng, held = np.random.default_rng(5), 0
    for _ in range(1_500):
        counts = rng.binomial((4_000, 500, 3_000, 300), (0.05, 0.02, 0.03, 0.02))
        arms = [buyers(int(n), p) for n, p in zip(counts, (4_000, 500, 3_000, 300), strict=True)]
        one, other = conversion_lift(arms[0], arms[1]), conversion_lift(arms[2], arms[3])
        assert one is not None
        assert other is not None
        apart = difference_of(one, other)
        held += apart.low <= 0.02 <= apart.high
    assert 0.935 < held / 1_500 < 0.98


def test_people_who_stand_in_the_arms_many_times_tell_no_more_than_once() -> None:
    rng = np.random.default_rng(7)
    spent = rng.exponential(100, 60)
    once = Arm(1_000, 40, 40, Decimal(str(spent[:40].sum())), float((spent[:40] ** 2).sum()))
    held = Arm(500, 20, 20, Decimal(str(spent[40:].sum())), float((spent[40:] ** 2).sum()))
    twelve, held_twelve = sum([once] * 11, once), sum([held] * 11, held)
    for lift in (conversion_lift, revenue_lift):
        single, many = lift(once, held), lift(twelve, held_twelve, times=12)
        assert single is not None
        assert many is not None
        assert many.difference == pytest.approx(single.difference)
        assert (many.low, many.high) == pytest.approx((single.low, single.high))
    few = Arm(1_000, 2, 2, Decimal(200), 20_000.0)
    assert revenue_lift(sum([few] * 11, few), sum([few] * 11, few), times=12) is None
