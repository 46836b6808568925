"""Shares of the next wave."""

import numpy as np
import pytest

from campaigns.experiments.choice import FLOOR, best_so_far, chance_to_be_best, shares_by_thompson


def test_the_chance_to_be_best_is_what_drawing_from_the_posteriors_gives() -> None:
    people, successes = np.array([400, 500, 300]), np.array([8, 14, 9])
    draws = np.random.default_rng(2).beta(1 + successes, 1 + people - successes, size=(200_000, 3))
    drawn = np.bincount(draws.argmax(axis=1), minlength=3) / 200_000
    assert chance_to_be_best(people, successes) == pytest.approx(drawn, abs=0.005)


def test_without_anything_known_all_share_alike() -> None:
    assert shares_by_thompson([0, 0, 0, 0], [0, 0, 0, 0]) == pytest.approx([0.25] * 4, abs=1e-3)


def test_a_hopeless_variant_keeps_the_floor_and_all_adds_up_to_one() -> None:
    shares = shares_by_thompson([10_000, 10_000], [100, 500])
    assert shares[0] == pytest.approx(FLOOR, abs=1e-6)
    assert shares.sum() == pytest.approx(1)


def test_of_equals_the_first_is_the_best_so_far() -> None:
    assert best_so_far([0, 0], [0, 0]) == 0
    assert best_so_far([100, 100, 100], [1, 5, 5]) == 1
