"""Shrinkage and intervals, by simulation of worlds whose truth is known."""

import numpy as np
import pytest
from scipy.special import expit

from campaigns.money.hierarchy import Past, logits, predict

SEGMENTS = ["champions", "at_risk", "lost"]


def world(
    rng: np.random.Generator, runs: int, *, between_runs: float
) -> tuple[Past, dict[str, list[object]], list[float]]:
    """Click rates of three segments in some runs, and in one more run that is still to come: its true rates."""
    segment = dict(zip(SEGMENTS, rng.normal(-3.2, 0.7, size=3), strict=True))
    rows = [(s, r) for r in range(runs) for s in SEGMENTS]
    effect = rng.normal(0, between_runs, size=runs + 1)
    people = rng.integers(100, 4_000, size=len(rows))
    clicks = rng.binomial(people, [expit(segment[s] + effect[r]) for s, r in rows])
    y, v = logits(clicks, people)
    past = Past(y, v, {"segment": [s for s, _ in rows], "run": [r for _, r in rows]})
    return past, {"segment": list(SEGMENTS), "run": [runs] * 3}, [expit(segment[s] + effect[runs]) for s in SEGMENTS]


@pytest.mark.parametrize(("runs", "between_runs"), [(3, 0.3), (10, 0.0), (6, 0.8)])
def test_nine_of_ten_ninety_percent_intervals_hold_the_truth_of_a_run_to_come(runs: int, between_runs: float) -> None:
    rng = np.random.default_rng(4)
    inside, worlds = 0, 40
    for _ in range(worlds):
        past, new, truth = world(rng, runs, between_runs=between_runs)
        rates = expit(predict(past, new, scale=0.7, draws=800, rng=rng))
        low, high = np.quantile(rates, [0.05, 0.95], axis=0)
        inside += int(((low <= truth) & (truth <= high)).sum())
    assert inside / (3 * worlds) >= 0.9 - 3 * np.sqrt(0.9 * 0.1 / worlds)


def test_a_small_group_is_drawn_to_the_others_and_a_large_one_stays_itself() -> None:
    people, clicks = np.array([2_000] * 5 + [9, 2_000]), np.array([100] * 5 + [0, 240])
    names = ["a", "b", "c", "d", "e", "small", "large"]
    y, v = logits(clicks, people)
    past = Past(np.tile(y, 3), np.tile(v, 3), {"segment": names * 3})
    drawn = expit(predict(past, {"segment": names}, scale=0.7, draws=4_000, rng=np.random.default_rng(1)))
    rate = dict(zip(names, np.median(drawn, axis=0), strict=True))
    assert 0.03 < rate["small"] < 0.09  # not the 0 that it showed
    assert rate["large"] == pytest.approx(0.12, abs=0.01)


def test_more_of_the_past_makes_the_interval_narrower() -> None:
    rng = np.random.default_rng(6)
    widths = []
    for runs in (3, 30):
        past, new, _ = world(rng, runs, between_runs=0.2)
        low, high = np.quantile(predict(past, new, scale=0.7, draws=4_000, rng=rng)[:, 0], [0.05, 0.95])
        widths.append(high - low)
    assert widths[1] < widths[0] * 0.8
