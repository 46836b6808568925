"""When the numbers suffice: intervals of a difference that hold at every look, however often and whenever one looks.

Each person who is sent either of two variants is worth y·(1/π if B, else -1/(1-π)), y being 1 for a tap (or an order)
and π the probability with which they got B: its mean is the difference of the two rates, whatever was learned before,
so waves may change π. Betting against a supposed difference m with stakes that don't know the outcome makes a wealth
that is a martingale when m is true; by Ville's inequality it ever reaches 1/α with a probability of at most α.
The interval is all m against which the wealth has not yet become that large. Exact for any number of people.

Sources: Waudby-Smith, Ramdas (2024), "Estimating means of bounded random variables by betting", JRSS B 86; the stakes
are a fixed mixture, as in Robbins (1970), so only counts are needed. Inverse probabilities under adaptive assignment:
Waudby-Smith, Wu, Ramdas, Karampatziakis, Mineiro (2024), "Anytime-valid off-policy inference for contextual bandits".
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp

Array = NDArray[np.float64]

ALPHA = 0.05
# Stakes as parts of the largest that can't ruin: a difference of d is best bet on with about d / (variance of the
# worth), so parts from a hundredth upward serve relative differences from a few percent to several times.
STAKES = np.geomspace(0.005, 0.95, 24)


@dataclass(frozen=True)
class Pair:
    """Two variants side by side, one entry per wave: people and successes of each (arrays of one shape, waves on the
    last axis), and `share`, strictly between 0 and 1: the probability of B among those who got either."""

    people_a: Any
    successes_a: Any
    people_b: Any
    successes_b: Any
    share: Any


@dataclass(frozen=True)
class Interval:
    """Where a difference of rates lies, B minus A, with its estimate; -1 and 1 when nothing is known."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether one of the two is better for sure, at the level asked for."""
        return self.low > 0 or self.high < 0


def log_wealth(pair: Pair, m: float, *, is_b_better: bool) -> Array:
    """Log of the wealth of betting that the difference is above `m` (or with `is_b_better` False, below it). The
    waves' axis is summed over; the other axes stay."""
    n = np.asarray(pair.people_a, float) + np.asarray(pair.people_b, float)
    s_a, s_b = np.asarray(pair.successes_a, float), np.asarray(pair.successes_b, float)
    share = np.asarray(pair.share, float)
    best, worst = 1 / share, -1 / (1 - share)
    # The largest stake that can't ruin for any m of [-1, 1]: not of this m, so that wealth falls (or rises) with m.
    largest = 1 / (1 - worst) if is_b_better else -1 / (best + 1)
    wealths = []
    for part in STAKES:
        stake = part * largest
        wave = (
            (n - s_a - s_b) * np.log1p(-stake * m)
            + s_b * np.log1p(stake * (best - m))
            + s_a * np.log1p(stake * (worst - m))
        )
        wealths.append(wave.sum(axis=-1))
    found: Array = logsumexp(np.stack(wealths), axis=0) - np.log(len(STAKES))
    return found


def interval_of(pair: Pair, *, alpha: float = ALPHA) -> Interval:
    """The interval of B's rate minus A's that holds at all looks together with probability 1 - `alpha`.

    One pair: arrays of one axis, the waves. Each side alone errs with at most alpha / 2.
    """
    limit = np.log(2 / alpha)

    def above(m: float) -> float:
        return float(log_wealth(pair, m, is_b_better=True) - limit)

    def below(m: float) -> float:
        return float(log_wealth(pair, m, is_b_better=False) - limit)

    low = brentq(above, -1, 1, xtol=1e-7) if above(-1) > 0 > above(1) else (1.0 if above(1) >= 0 else -1.0)
    high = brentq(below, -1, 1, xtol=1e-7) if below(-1) < 0 < below(1) else (-1.0 if below(-1) >= 0 else 1.0)
    return Interval(estimate_of(pair), low, high)


def estimate_of(pair: Pair) -> float:
    """The difference of the two rates over all waves, each wave weighed by its people; 0.0 where nobody was."""
    n_a, n_b = np.asarray(pair.people_a, float), np.asarray(pair.people_b, float)
    s_a, s_b = np.asarray(pair.successes_a, float), np.asarray(pair.successes_b, float)
    both = (n_a > 0) & (n_b > 0)
    if not both.any():
        return 0.0
    differences = s_b[both] / n_b[both] - s_a[both] / n_a[both]
    return float(np.average(differences, weights=n_a[both] + n_b[both]))


def winner_of(people: Any, successes: Any, shares: Any, *, alpha: float = ALPHA) -> int | None:
    """The variant that is better than every other for sure, or None while that is open.

    `people`, `successes` (waves × variants) and `shares` (the variants' probabilities in each wave). At whatever time
    one looks and stops, a variant that is not the best (or any, when all are the same) is named with a probability of
    at most `alpha`: the pairs share it.
    """
    n, s, p = (np.asarray(x, float) for x in (people, successes, shares))
    count = n.shape[1]
    pairs = count * (count - 1) / 2
    beats = np.zeros((count, count), bool)
    for a in range(count):
        for b in range(a + 1, count):
            learned = (p[:, a] > 0) & (p[:, b] > 0)  # a wave without one of the two says nothing of the difference
            if not learned.any():
                continue
            share = p[learned, b] / (p[learned, a] + p[learned, b])
            pair = Pair(n[learned, a], s[learned, a], n[learned, b], s[learned, b], share)
            beats[b, a] = log_wealth(pair, 0.0, is_b_better=True) >= np.log(2 * pairs / alpha)
            beats[a, b] = log_wealth(pair, 0.0, is_b_better=False) >= np.log(2 * pairs / alpha)
    for place in range(count):
        if all(beats[place, other] for other in range(count) if other != place):
            return place
    return None
