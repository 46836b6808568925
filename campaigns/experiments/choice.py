"""How the next wave's people are shared among variants, by what the waves before have shown. Arrays in, arrays out.

Thompson sampling in batches: each variant's share is the probability that it is the best, from Beta posteriors
(Chapelle, Li, 2011, "An empirical evaluation of Thompson sampling"; in batches: Kalkanli, Özgür, 2021). No variant
falls below a floor, so that the difference can still be judged afterwards (Hadad et al., 2021, PNAS 118).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

FLOOR = 0.05  # of the people, for each variant that is still in the running
_GRID = 401


def chance_to_be_best(people: Any, successes: Any) -> NDArray[np.float64]:
    """The posterior probability of each variant to have the highest rate, all rates being equally likely before; adds
    up to 1. Arrays of one axis, the variants."""
    n, s = np.asarray(people, float), np.asarray(successes, float)
    # In the quantiles of each posterior in turn, where its density is flat: exact to about 1e-3 for any counts.
    middle = (np.arange(_GRID) + 0.5) / _GRID
    chances = np.empty(len(n))
    for place in range(len(n)):
        rates = beta.ppf(middle, 1 + s[place], 1 + n[place] - s[place])
        others = [j for j in range(len(n)) if j != place]
        below = np.array([beta.cdf(rates, 1 + s[j], 1 + n[j] - s[j]) for j in others])
        chances[place] = below.prod(axis=0).mean()
    found: NDArray[np.float64] = chances / chances.sum()
    return found


def shares_by_thompson(people: Any, successes: Any, *, floor: float = FLOOR) -> NDArray[np.float64]:
    """The variants' shares of the next wave: the chance of each to be the best, none below `floor`; adds up to 1."""
    chances = chance_to_be_best(people, successes)
    shares: NDArray[np.float64] = floor + (1 - floor * len(chances)) * chances
    return shares


def best_so_far(people: Any, successes: Any) -> int:
    """The place of the variant that is most likely the best; of equals the first."""
    return int(np.argmax(np.round(chance_to_be_best(people, successes), 6)))
