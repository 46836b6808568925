"""The hour of the day at which a person taps most, from few taps: people borrow from those like them. Arrays in, arrays
out; knows no database.

A person's taps over the 24 hours are drawn from shares of their own, and those from a Dirichlet distribution around
the shares of their segment, which in turn lie around everybody's. How tightly (the strength, in taps) is what makes the
taps of all most likely; a person's own taps outweigh it once they are more. Source: Minka, "Estimating a Dirichlet
distribution" (2000), the Dirichlet-multinomial (Polya) likelihood with a given mean.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

HOURS = 24
WEAKEST, STRONGEST = 1.0, 1_000.0  # taps: bounds of the strength where the data can't say
NOT_KNOWN = 8.0  # the strength as long as nobody has tapped twice
NEIGHBOURS = np.array([0.25, 0.5, 0.25])  # a tap at 19:58 speaks for 20 o'clock too
SAMPLE = 20_000  # people from whom the strength is learned

Counts = NDArray[Any]  # (people or segments, 24): taps in each hour of the brand's day
Shares = NDArray[np.float64]  # (…, 24): above 0, each row adds up to 1


@dataclass(frozen=True)
class Hours:
    """What the taps of everybody say. `strength` is in taps."""

    everyone: Shares  # (24,)
    segments: Shares  # (segments, 24)
    strength: float


def learn(counts: Counts, segment: NDArray[np.intp], segments: int) -> Hours:
    """From people's `counts` and the number of each one's `segment` (0 to segments - 1)."""
    totals = np.zeros((segments, HOURS))
    np.add.at(totals, segment, counts)
    everyone = _shares(_smooth(totals.sum(axis=0)) + 1.0)  # one tap an hour beforehand: without any, no hour is best
    of_segments = _towards(_smooth(totals), everyone, _strength(totals, np.broadcast_to(everyone, totals.shape)))
    chosen = (
        np.random.default_rng(0).choice(len(counts), SAMPLE, replace=False) if len(counts) > SAMPLE else slice(None)
    )
    strength = _strength(np.asarray(counts)[chosen], of_segments[segment[chosen]])
    return Hours(everyone, of_segments, strength)


def shares_of(counts: Counts, segment: NDArray[np.intp], hours: Hours) -> Shares:
    """Each person's shares (people, 24): their own taps, and their segment's for as many taps as the strength says."""
    return _towards(_smooth(np.asarray(counts, dtype=float)), hours.segments[segment], hours.strength)


def best_hour(shares: Shares, allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The hour (0 to 23) with the greatest share among the `allowed` (24,); all of them when none is allowed. The
    earliest of equal ones."""
    usable = allowed if allowed.any() else np.ones(HOURS, dtype=bool)
    found: NDArray[np.intp] = np.argmax(np.where(usable, shares, -1.0), axis=-1)
    return found


def _towards(counts: Counts, mean: Shares, strength: float) -> Shares:
    return _shares(counts + strength * mean)


def _shares(counts: Counts) -> Shares:
    found: Shares = counts / counts.sum(axis=-1, keepdims=True)
    return found


def _smooth(counts: Counts) -> Counts:
    """Each hour's taps shared with the hours beside it, round the clock."""
    before, here, after = NEIGHBOURS
    smoothed: Counts = before * np.roll(counts, 1, axis=-1) + here * counts + after * np.roll(counts, -1, axis=-1)
    return smoothed


def _strength(counts: Counts, mean: Shares) -> float:
    """How many taps the `mean` of each row is worth: the most likely. Only rows with two taps and more can tell."""
    totals = counts.sum(axis=-1)
    telling = totals >= 2
    if not telling.any():
        return NOT_KNOWN
    counts, mean, totals = counts[telling], mean[telling], totals[telling]

    def unlikelihood(log_strength: float) -> float:
        strength = np.exp(log_strength)
        prior = strength * mean
        of_rows = gammaln(strength) - gammaln(strength + totals)
        of_hours = (gammaln(prior + counts) - gammaln(prior)).sum(axis=-1)
        return -float((of_rows + of_hours).sum())

    found = minimize_scalar(unlikelihood, bounds=(np.log(WEAKEST), np.log(STRONGEST)), method="bounded")
    return float(np.exp(found.x))
