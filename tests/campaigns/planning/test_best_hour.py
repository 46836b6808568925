"""The best hour: little is known of one person, more of those like them; with enough taps a person's own win."""

import numpy as np
import pytest

from campaigns.planning.best_hour import HOURS, NOT_KNOWN, STRONGEST, Hours, best_hour, learn, shares_of

ALL = np.ones(HOURS, dtype=bool)
EVENING, MORNING = 20, 8


def taps(*hours: int) -> np.ndarray:
    return np.bincount(hours, minlength=HOURS).astype(float)[None, :]


def crowd(rng: np.random.Generator, people: int, spread: float, peak: int, most_taps: int = 12) -> np.ndarray:
    """People around a peak; the smaller `spread`, the more each has hours of their own."""
    hours = np.arange(HOURS)
    away = np.minimum((hours - peak) % HOURS, (peak - hours) % HOURS)
    mean = np.exp(-(away**2) / 8.0) + 0.02
    shares = rng.dirichlet(spread * mean / mean.sum(), size=people)
    return np.array([rng.multinomial(rng.integers(0, most_taps), row) for row in shares], dtype=float)


@pytest.fixture
def hours() -> Hours:
    rng = np.random.default_rng(5)
    counts = np.vstack([crowd(rng, 400, 10, EVENING), crowd(rng, 400, 10, MORNING)])
    return learn(counts, np.repeat([0, 1], 400), 2)


def test_without_taps_of_their_own_people_have_the_hour_of_those_like_them(hours: Hours) -> None:
    nobody = np.zeros((2, HOURS))
    found = best_hour(shares_of(nobody, np.array([0, 1]), hours), ALL)
    assert abs(found[0] - EVENING) <= 1
    assert abs(found[1] - MORNING) <= 1


def test_one_tap_does_not_outweigh_the_crowd_and_twenty_do(hours: Hours) -> None:
    segment = np.array([0])
    assert abs(best_hour(shares_of(taps(13), segment, hours), ALL)[0] - EVENING) <= 1
    assert best_hour(shares_of(taps(*[13] * 20), segment, hours), ALL)[0] == 13


def test_the_strength_is_found_again() -> None:
    for spread in (4.0, 40.0):
        counts = crowd(np.random.default_rng(1), 4_000, spread, EVENING)
        found = learn(counts, np.zeros(len(counts), dtype=int), 1).strength
        assert spread / 1.5 < found < spread * 1.5


def test_shrinking_predicts_the_next_taps_better_than_own_taps_or_everybodys() -> None:
    """The figure that matters: the share of later taps that fall within the hour chosen or beside it."""
    rng = np.random.default_rng(3)
    mean = np.full(HOURS, 0.4)
    mean[[9, 20]] = 2.0
    truth = rng.dirichlet(mean, size=3_000)
    counts = np.array([rng.multinomial(rng.integers(0, 15), row) for row in truth], dtype=float)
    segment = np.zeros(len(counts), dtype=int)
    hours = learn(counts, segment, 1)
    near = np.roll(truth, -1, axis=1) + truth + np.roll(truth, 1, axis=1)

    def hit(chosen: np.ndarray) -> float:
        return float(near[np.arange(len(truth)), chosen].mean())

    shrunk = hit(best_hour(shares_of(counts, segment, hours), ALL))
    own = hit(counts.argmax(axis=1))
    everybodys = hit(np.full(len(truth), hours.everyone.argmax()))
    assert shrunk > own
    assert shrunk > everybodys


def test_hours_that_are_not_allowed_are_never_chosen(hours: Hours) -> None:
    allowed = ALL.copy()
    allowed[22:] = allowed[:9] = False
    night = taps(*[2] * 50)
    assert best_hour(shares_of(night, np.array([0]), hours), ALL)[0] == 2
    assert allowed[best_hour(shares_of(night, np.array([0]), hours), allowed)[0]]
    assert best_hour(shares_of(night, np.array([0]), hours), ~ALL)[0] == 2  # nothing is allowed: as if all were


def test_the_day_goes_round(hours: Hours) -> None:
    flat = Hours(np.full(HOURS, 1 / HOURS), np.full((1, HOURS), 1 / HOURS), 1.0)
    assert best_hour(shares_of(taps(23, 23, 0, 0, 1), np.array([0]), flat), ALL)[0] == 0


@pytest.mark.parametrize("counts", [np.zeros((0, HOURS)), np.zeros((3, HOURS)), taps(5)])
def test_with_hardly_any_taps_nothing_breaks(counts: np.ndarray) -> None:
    segment = np.zeros(len(counts), dtype=int)
    hours = learn(counts, segment, 2)
    assert hours.strength == NOT_KNOWN
    assert np.allclose(hours.segments.sum(axis=1), 1)
    assert np.isfinite(shares_of(counts, segment, hours)).all()


def test_people_all_alike_lean_on_each_other_as_much_as_may_be() -> None:
    counts = np.array([np.random.default_rng(n).multinomial(10, np.full(HOURS, 1 / HOURS)) for n in range(500)])
    assert learn(counts, np.zeros(500, dtype=int), 1).strength > STRONGEST / 20
