"""What A/B variants alone say of each term, beside the estimate from all messages; and where the two disagree.

Between variants that went out together to one segment (Messages.experiment: in one run) nothing differs but the words,
so this estimate asks for no list of what to adjust for; but most messages say nothing to it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keywords.effects.ranking import Fit, Z, linearised, widening
from keywords.effects.vocabulary import membership

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DISPUTED = 2.0  # standard errors of the difference


@dataclass(frozen=True)
class Experiments:
    """Per term: the effect by variants alone with its 90 % interval; NaN where no sending tried it so."""

    effect: Floats
    low: Floats
    high: Floats
    is_disputed: NDArray[np.bool_]  # all messages say something else, by more than DISPUTED standard errors


def within_experiments(
    fit: Fit, clicks: Floats, recipients: Floats, present: Any, *, cell: Ints, tried: NDArray[np.bool_]
) -> Experiments:
    """The effects by variants alone. `cell` is the (sending, segment) of each message; `tried` says which terms some
    cell has with and without. Each cell has a level of its own, of which nothing is taken to be known before; the terms
    are shrunk as in `fit`, whose variances and linearisation hold.

    With one prior and part of the data, what all data adds has the variance V(part) - V(all): so the difference of two
    estimates that share data is judged (Hausman 1978).
    """
    effect, deviation = (np.full(present.shape[1], np.nan) for _ in range(2))
    is_disputed = np.zeros(present.shape[1], dtype=np.bool_)
    places = np.flatnonzero(tried)
    if len(places):
        rows = np.flatnonzero(np.bincount(cell)[cell] > 1)
        response, noise = linearised(fit, clicks, recipients)
        weights = 1 / (noise[rows] + fit.row_variance)
        _, codes = np.unique(cell[rows], return_inverse=True)
        precision, right = _within(present[rows][:, places], response[rows], weights, codes.ravel().astype(np.int64))
        covariance = np.linalg.inv(precision + np.eye(len(places)) / fit.term_variance)
        wide = widening(len(clicks)) ** 2
        variance = np.diag(covariance) * wide
        effect[places], deviation[places] = covariance @ right, np.sqrt(variance)
        added = np.maximum(variance - np.diag(fit.term_covariance)[places], 1e-6)
        is_disputed[places] = np.abs(fit.effect[places] - effect[places]) > DISPUTED * np.sqrt(added)
    return Experiments(effect, effect - Z * deviation, effect + Z * deviation, is_disputed)


def _within(matrix: Any, response: Floats, weights: Floats, cell: Ints) -> tuple[Floats, Floats]:
    """Normal equations with each cell's level taken out."""
    weighted = sparse.diags(weights) @ matrix
    cells = membership(cell)
    totals, sums = cells @ weights, sparse.csr_matrix(cells @ weighted)
    precision = (matrix.T @ weighted).toarray() - (sums.T @ sparse.diags(1 / totals) @ sums).toarray()
    right = np.asarray(weighted.T @ response) - np.asarray(sums.T @ ((cells @ (weights * response)) / totals))
    return precision, right
