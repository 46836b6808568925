"""The BG/NBD model of repeat purchases, by maximum likelihood: a peer to be measured against, and a source of features.

Source: P. Fader, B. Hardie and K. L. Lee, "Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD
Model, Marketing Science 24 (2005), 275-284; the formulas' numbers below are theirs. Purchases at a rate drawn from
Gamma(r, alpha), and after each purchase the customer is lost with a chance drawn from Beta(a, b).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaincinv, betaln, gammaln, hyp2f1, roots_legendre

from segmentation.predict.history import Floats, Known

DAYS_PER_UNIT = 7.0  # the paper counts weeks
START = (0.5, 10.0, 1.0, 2.0)
SERIES_TERMS = 500
NEAR_ONE = 1e-6  # closer to 1 than this the formula for an `a` of 1 is a nought by a nought
LARGE_A = 30.0  # beyond it powers of it leave the range of floats
QUANTILES = 64
LOG_BOUNDS = (-9.0, 9.0)  # of each parameter: wide, but what follows stays finite


@dataclass(frozen=True)
class Purchases:
    """Per customer the three numbers that the model knows: `x` repeat purchases, the time `t_x` from the first to the
    last, and the time `t` observed since the first; in weeks."""

    x: Floats
    t_x: Floats
    t: Floats


@dataclass(frozen=True)
class Parameters:
    """Of the rate (`r`, `alpha` in weeks) and of the chance to be lost (`a`, `b`)."""

    r: float
    alpha: float
    a: float
    b: float


def purchases_of(known: Known) -> Purchases:
    """Orders of one day are one purchase, as in the paper; observation ends with the day before the cut."""
    return Purchases(
        (known.purchase_days - 1).astype(np.float64),
        (known.last - known.first) / DAYS_PER_UNIT,
        (known.tenure - 1) / DAYS_PER_UNIT,
    )


def log_likelihood(p: Parameters, seen: Purchases) -> Floats:
    """Of each customer (equation 6, in logarithms)."""
    x, lost = seen.x, np.maximum(seen.x, 1)
    common = gammaln(p.r + x) - gammaln(p.r) + p.r * np.log(p.alpha)
    alive = betaln(p.a, p.b + x) - betaln(p.a, p.b) - (p.r + x) * np.log(p.alpha + seen.t)
    gone = betaln(p.a + 1, p.b + lost - 1) - betaln(p.a, p.b) - (p.r + x) * np.log(p.alpha + seen.t_x)
    total: Floats = common + np.logaddexp(alive, np.where(x > 0, gone, -np.inf))
    return total


def fit(seen: Purchases) -> Parameters:
    """The likeliest parameters. Equal customers are counted, not repeated. The optimiser works on logarithms, so that
    every parameter is positive; on a brand whose customers are never lost `a` tends to 0, and stops at the bound."""
    rows, counts = np.unique(np.column_stack([seen.x, seen.t_x, seen.t]), axis=0, return_counts=True)
    distinct = Purchases(*rows.T)

    def loss(logs: Floats) -> float:
        return -float(counts @ log_likelihood(Parameters(*np.exp(logs)), distinct)) / len(seen.x)

    found = minimize(loss, np.log(START), method="L-BFGS-B", bounds=[LOG_BOUNDS] * 4)
    return Parameters(*(float(value) for value in np.exp(found.x)))


def chance_alive(p: Parameters, seen: Purchases) -> Floats:
    """That the customer is not lost at the end of the observation, 0..1: 1 for all without a repeat purchase."""
    log_odds = np.log(p.a) - np.log(p.b + np.maximum(seen.x, 1) - 1)
    log_odds = log_odds + (p.r + seen.x) * np.log((p.alpha + seen.t) / (p.alpha + seen.t_x))
    alive: Floats = np.where(seen.x > 0, np.exp(-np.logaddexp(0.0, log_odds)), 1.0)
    return alive


def chance_to_buy(p: Parameters, seen: Purchases, weeks: float) -> Floats:
    """Of at least one purchase in the next `weeks`, 0..1: alive, and a first purchase at a Gamma-distributed rate."""
    silent = (p.r + seen.x) * np.log((p.alpha + seen.t) / (p.alpha + seen.t + weeks))
    chance: Floats = chance_alive(p, seen) * -np.expm1(silent)
    return chance


def expected_purchases(p: Parameters, seen: Purchases, weeks: float) -> Floats:
    """In the next `weeks` (equation 10)."""
    while_alive = _over_losses(p, seen, weeks) if p.a > LARGE_A else _in_closed_form(p, seen, weeks)
    expected: Floats = chance_alive(p, seen) * while_alive
    return np.maximum(expected, 0.0)


def _in_closed_form(p: Parameters, seen: Purchases, weeks: float) -> Floats:
    """Of those who are alive. The hypergeometric function is taken after Euler's transformation, whose arguments stay
    small: the printed form overflows for customers with hundreds of purchases."""
    a = p.a if abs(p.a - 1) > NEAR_ONE else 1 + NEAR_ONE
    x, end = seen.x, p.alpha + seen.t + weeks
    still = (p.alpha + seen.t) / end
    rest = still ** (a - 1) * _hypergeometric(a + p.b - 1 - p.r, a - 1, a + p.b + x - 1, weeks / end)
    expected: Floats = (a + p.b + x - 1) / (a - 1) * (1 - rest)
    return expected


def _over_losses(p: Parameters, seen: Purchases, weeks: float) -> Floats:
    """The same as the mean over the chance to be lost, which is Beta(a, b + x), by its quantiles: where `a` is large
    the closed form is an endlessly small number by an endlessly large one."""
    nodes, weights = roots_legendre(QUANTILES)
    distinct, place = np.unique(seen.x, return_inverse=True)
    lost = betaincinv(p.a, p.b + distinct[:, None], (1 + nodes) / 2)[place]
    times = lost * (weeks / (p.alpha + seen.t))[:, None]
    expected: Floats = (-np.expm1(-(p.r + seen.x[:, None]) * np.log1p(times)) / lost) @ (weights / 2)
    return expected


def _hypergeometric(a: float, b: float, c: Floats, z: Floats) -> Floats:
    """2F1(a, b; c; z) for 0 <= z < 1. SciPy's is not a number for a large `c` and a `z` near 1, where the plain series
    takes few terms: its terms fall faster than n ** -(c - a - b)."""
    found: Floats = np.asarray(hyp2f1(a, b, c, z), dtype=np.float64)
    lost = ~np.isfinite(found)
    c, z = c[lost], z[lost]
    term: Floats = np.ones(len(c))
    total = term
    for n in range(SERIES_TERMS if len(c) else 0):
        term = term * (a + n) * (b + n) / ((c + n) * (n + 1)) * z
        total = total + term
    found[lost] = total
    return found
