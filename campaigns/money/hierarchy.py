"""What to expect of a group in a new run, learned from groups in past runs: each estimate drawn towards the others as
far as the data says that they are alike. Arrays in, arrays out.

y = mean + one effect per factor (segment, theme, run …) + one of the cell itself + known sampling error, all normal.
How much each factor varies is not fixed at one guess but averaged over its posterior: with few runs a single guess is
often zero, and intervals from it are far too narrow. Sources: Gelman et al. (2013), "Bayesian Data Analysis", ch. 5;
Gelman (2006), half-normal and half-t priors for group-level deviations; Efron, Morris (1975) on shrinkage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp

Array = NDArray[np.float64]

GUESSES = 250  # of the deviations, drawn from their prior and weighed by how well they explain the data
MOST_ROWS = 240  # newest rows used: the work grows with their cube


@dataclass(frozen=True)
class Past:
    """What was seen: estimates `y` with their sampling variances `v` (> 0), and for every factor the level of each row,
    any hashable values, all of one length."""

    y: Array
    v: Array
    levels: Mapping[str, list[Any]]


def predict(past: Past, new: Mapping[str, list[Any]], *, scale: float, draws: int, rng: np.random.Generator) -> Array:
    """`draws` joint draws (rows) of the true values of new cells (columns), whose levels `new` names as `past` does; a
    level never seen varies as seen ones do from each other. `scale`: how far effects may reasonably reach (one standard
    deviation of the half-normal prior of each factor's deviation). Needs at least two rows."""
    y, v = past.y[-MOST_ROWS:], past.v[-MOST_ROWS:]
    levels = {name: values[-MOST_ROWS:] for name, values in past.levels.items()}
    same = [_alike(levels[name], levels[name]) for name in levels] + [np.eye(len(y))]
    cross = [_alike(new[name], levels[name]) for name in levels] + [np.zeros((_length(new), len(y)))]
    among = [_alike(new[name], new[name]) for name in levels] + [np.eye(_length(new))]
    deviations = np.abs(rng.normal(0, scale, size=(GUESSES, len(same))))
    fits = [_fit(y, v, same, row**2) for row in deviations]
    weights = np.array([fit.log_likelihood for fit in fits])
    weights = np.exp(weights - logsumexp(weights))
    counts = rng.multinomial(draws, weights)
    parts = [
        _draw(fit, row**2, cross, among, int(count), rng)
        for fit, row, count in zip(fits, deviations, counts, strict=True)
        if count
    ]
    mixed: Array = rng.permutation(np.concatenate(parts))
    return mixed


@dataclass(frozen=True)
class _Fit:
    """One guess of the deviations held against the data."""

    factor: Any  # Cholesky factor of the data's covariance
    mean: float
    mean_variance: float
    residual: Array  # covariance⁻¹ (y - mean)
    log_likelihood: float


def _alike(rows: list[Any], columns: list[Any]) -> Array:
    codes: dict[Any, int] = {}
    a = np.array([codes.setdefault(x, len(codes)) for x in rows])
    b = np.array([codes.setdefault(x, len(codes)) for x in columns])
    same: Array = (a[:, None] == b[None, :]).astype(float)
    return same


def _length(new: Mapping[str, list[Any]]) -> int:
    return len(next(iter(new.values())))


def _fit(y: Array, v: Array, same: list[Array], variances: Array) -> _Fit:
    covariance = np.diag(v) + sum(s * k for s, k in zip(variances, same, strict=True))
    factor = cho_factor(covariance, lower=True)
    ones = np.ones(len(y))
    precise = cho_solve(factor, ones)
    mean_variance = 1 / float(ones @ precise)
    mean = float(precise @ y) * mean_variance
    residual = cho_solve(factor, y - mean)
    # Restricted likelihood: the mean, known to nothing before, is integrated out.
    log_determinant = 2 * np.log(np.diag(factor[0])).sum()
    fit = -0.5 * (log_determinant - np.log(mean_variance) + float((y - mean) @ residual))
    return _Fit(factor, mean, mean_variance, residual, fit)


def _draw(
    fit: _Fit, variances: Array, cross: list[Array], among: list[Array], count: int, rng: np.random.Generator
) -> Array:
    between = sum(s * k for s, k in zip(variances, cross, strict=True))
    own = sum(s * k for s, k in zip(variances, among, strict=True))
    solved = cho_solve(fit.factor, between.T)
    lean = 1 - solved.sum(axis=0)  # how much of the mean's own doubt reaches each new cell
    centre = fit.mean + between @ fit.residual
    covariance = own - between @ solved + fit.mean_variance * np.outer(lean, lean)
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    drawn: Array = centre + rng.standard_normal((count, len(centre))) @ root.T
    return drawn


def logits(successes: Any, people: Any) -> tuple[Array, Array]:
    """Rates on the log-odds scale with their sampling variances; half a success and a failure are added, so that none
    and all are finite (Haldane 1955, Anscombe 1956)."""
    s, n = np.asarray(successes, float) + 0.5, np.asarray(people, float) + 1
    return np.log(s / (n - s)), 1 / s + 1 / (n - s)
