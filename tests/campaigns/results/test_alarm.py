"""The alarm may be looked at all the time: it rarely cries wolf, and soon sees a real one."""

import numpy as np
import pytest

from campaigns.results.alarm import ALARM, evidence_above, is_above

LIMIT = 0.01


def stops_at(rng: np.random.Generator, rate: float, people: int = 20_000, every: int = 20) -> int | None:
    """After how many people the alarm is raised when it is looked at all along; None: never."""
    counts = np.cumsum(rng.random(people) < rate)
    for n in range(every, people + 1, every):
        if is_above(int(counts[n - 1]), n, LIMIT):
            return n
    return None


def test_at_the_limit_it_is_hardly_ever_raised_however_often_one_looks() -> None:
    rng = np.random.default_rng(1)
    raised = sum(stops_at(rng, LIMIT) is not None for _ in range(300))
    assert raised / 300 <= ALARM + 0.015


def test_three_times_the_limit_is_seen_within_a_few_thousand_people() -> None:
    rng = np.random.default_rng(2)
    seen = [stops_at(rng, 3 * LIMIT) for _ in range(50)]
    assert all(n is not None for n in seen)
    assert np.median([n for n in seen if n is not None]) < 2_500


def test_evidence_is_the_integral_that_it_says() -> None:
    rates = np.linspace(LIMIT, 1, 400_001)[:-1] + (1 - LIMIT) / 800_000
    seen = np.mean((rates / LIMIT) ** 3 * ((1 - rates) / (1 - LIMIT)) ** 97)
    assert evidence_above(3, 100, LIMIT) == pytest.approx(float(seen), rel=1e-4)


def test_the_ends_of_the_scale() -> None:
    assert not is_above(0, 0, LIMIT)
    assert not is_above(0, 1_000_000, LIMIT)
    assert not is_above(10, 1_000_000, LIMIT)
    assert is_above(900_000, 1_000_000, LIMIT)


def test_nothing_is_concluded_while_those_who_act_are_not_all_counted() -> None:
    assert is_above(5, 5, 0.02)
    assert not is_above(5, 3, 0.02)
    assert not is_above(5, 0, 0.02)
