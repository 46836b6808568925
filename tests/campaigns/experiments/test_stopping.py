"""The rule to stop holds however often one looks: shown by simulation, not by its formula."""

import numpy as np
import pytest

from campaigns.experiments.choice import shares_by_thompson
from campaigns.experiments.stopping import Pair, estimate_of, interval_of, log_wealth, winner_of

LIMIT = np.log(2 / 0.05)


def looks(rng: np.random.Generator, rates: tuple[float, float], people: int, sims: int, share: float) -> Pair:
    """Running counts of `sims` experiments after every fifth person: shape (sims, looks, one wave)."""
    is_b = rng.random((sims, people)) < share
    success = rng.random((sims, people)) < np.where(is_b, rates[1], rates[0])

    def running(which: np.ndarray) -> np.ndarray:
        return np.cumsum(which, axis=1)[:, 4::5, None]

    return Pair(running(~is_b), running(success & ~is_b), running(is_b), running(success & is_b), share)


@pytest.mark.parametrize(
    ("rate", "share", "people"), [(0.02, 0.5, 3000), (0.2, 0.5, 1000), (0.02, 0.1, 3000), (0.002, 0.3, 3000)]
)
def test_looking_all_the_time_finds_a_difference_that_is_not_there_in_at_most_five_of_a_hundred(
    rate: float, share: float, people: int
) -> None:
    pair = looks(np.random.default_rng(11), (rate, rate), people, 400, share)
    wins = [(log_wealth(pair, 0.0, is_b_better=side) >= LIMIT).any(axis=1) for side in (True, False)]
    false_alarms = (wins[0] | wins[1]).mean()
    assert false_alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    naive = _naive_false_alarms(pair)
    assert rate < 0.01 or naive > 0.15  # the same looks with the ordinary 95 % test: the test above can fail


def _naive_false_alarms(pair: Pair) -> float:
    n_a, n_b, s_a, s_b = (
        np.asarray(x)[..., 0] for x in (pair.people_a, pair.people_b, pair.successes_a, pair.successes_b)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (s_a + s_b) / (n_a + n_b)
        z = (s_b / n_b - s_a / n_a) / np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    return float((np.abs(np.nan_to_num(z[:, 10:])) > 1.96).any(axis=1).mean())


@pytest.mark.parametrize("rates", [(0.02, 0.035), (0.1, 0.1), (0.3, 0.2)])
def test_the_true_difference_lies_inside_at_all_looks_together(rates: tuple[float, float]) -> None:
    pair = looks(np.random.default_rng(5), rates, 2000, 400, 0.5)
    truth = rates[1] - rates[0]
    out = [(log_wealth(pair, truth, is_b_better=side) >= LIMIT).any(axis=1) for side in (True, False)]
    assert (out[0] | out[1]).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_a_clear_difference_is_found_and_its_interval_holds_it() -> None:
    pair = Pair([5000], [100], [5000], [220], [0.5])
    interval = interval_of(pair)
    assert interval.low > 0
    assert interval.low < 0.024 < interval.high
    assert interval.estimate == pytest.approx(0.024)
    mirrored = interval_of(Pair([5000], [220], [5000], [100], [0.5]))
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low), abs=1e-6)


def test_nothing_seen_says_nothing() -> None:
    for pair in (Pair([0], [0], [0], [0], [0.5]), Pair([3], [0], [2], [0], [0.5])):
        interval = interval_of(pair)
        assert interval.low < -0.5
        assert interval.high > 0.5
    assert winner_of([[0, 0]], [[0, 0]], [[0.5, 0.5]]) is None


def test_waves_of_unequal_shares_are_weighed_by_their_people_so_that_time_is_no_variant() -> None:
    # B had few people in the good first wave and many in the bad second: pooled it would look worse.
    pair = Pair([900, 100], [90, 2], [100, 900], [10, 18], [0.1, 0.9])
    assert estimate_of(pair) == pytest.approx(0.0)


def test_under_thompson_the_false_winner_is_rare_and_the_good_one_is_found() -> None:
    rng = np.random.default_rng(3)
    named = {(0.03, 0.03, 0.03): 0, (0.03, 0.03, 0.06): 0}
    for rates in named:
        for _ in range(40):
            winner = _adaptive_experiment(rng, rates, waves=8, people=4000)
            named[rates] += int(winner is not None if len(set(rates)) == 1 else winner == 2)
    assert named[0.03, 0.03, 0.03] <= 40 * 0.05 + 3 * np.sqrt(40 * 0.05 * 0.95)
    assert named[0.03, 0.03, 0.06] >= 32


def _adaptive_experiment(rng: np.random.Generator, rates: tuple[float, ...], *, waves: int, people: int) -> int | None:
    """Waves whose shares are learned from the waves before, looked at after each; who is named first."""
    n, s, shares = [], [], []
    share = np.full(len(rates), 1 / len(rates))
    for _ in range(waves):
        got = rng.multinomial(people, share)
        n.append(got)
        s.append(rng.binomial(got, rates))
        shares.append(share)
        if (winner := winner_of(n, s, shares)) is not None:
            return winner
        share = shares_by_thompson(np.sum(n, axis=0), np.sum(s, axis=0))
    return None


def test_three_variants_share_the_level_and_only_one_better_than_all_others_wins() -> None:
    equal = [[1 / 3, 1 / 3, 1 / 3]]
    assert winner_of([[9000, 9000, 9000]], [[180, 180, 360]], equal) == 2
    assert winner_of([[9000, 9000, 9000]], [[90, 360, 360]], equal) is None
