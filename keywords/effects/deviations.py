"""Where a term's effect is not one number: by segment, over time, and when it is repeated. Shrunk to no difference.

Second looks at the same messages: what the fit left over is explained by the term in one segment, or by the term times
time. The main effects stay as they are; the spread of each kind of deviation is found by empirical Bayes (MacKay 1992),
so where there is none, none is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keywords.effects.messages import Messages
from keywords.effects.ranking import Design, Fit, Z, leftover, widening

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ENOUGH_ROWS = 20  # results with the term, below which nothing of the kind is asked
MOST_TERMS = 60  # the most used: what is looked for takes a second for 100,000 messages otherwise
DAYS_OF_TREND = 90  # a trend is a change so many days later
DAYS_OF_WEAR = 28  # repeated is what the segment had within so many days before
_PRIOR_COUNT, _PRIOR_VARIANCE = 2.0, 0.001
_ROUNDS = 20


@dataclass(frozen=True)
class Bounded:
    """Log-odds with 90 % intervals; NaN where too little data carries them."""

    effect: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Deviations:
    """Per term, in the order of the vocabulary."""

    by_segment: Bounded  # segments x terms: the effect in the segment, main effect and deviation together
    trend: Bounded  # the change of its effect in DAYS_OF_TREND days
    wear: Bounded  # the change for each doubling of 1 + its uses to the segment in the DAYS_OF_WEAR days before


def deviations(messages: Messages, present: Any, design: Design, fit: Fit) -> Deviations:
    """Those of the most used terms."""
    rest, weights = leftover(fit, design, messages.clicks, messages.recipients, messages.campaign)
    uses = np.asarray(present.sum(axis=0)).ravel()
    places = np.argsort(-uses, kind="stable")[:MOST_TERMS]
    places = places[uses[places] >= ENOUGH_ROWS]
    matrix = sparse.csr_matrix(present[:, places])
    over_time = _over_time(matrix, messages, rest, weights)
    wide = widening(len(messages))
    shape = present.shape[1]
    trend, wear = (_bounded(mean, wide * deviation, places, shape) for mean, deviation in over_time)
    return Deviations(_by_segment(matrix, messages, rest, weights, fit, places), trend, wear)


def _by_segment(matrix: Any, messages: Messages, rest: Floats, weights: Floats, fit: Fit, places: Ints) -> Bounded:
    """One block of deviations, segment x term, with one spread: the messages of a segment speak only of its own."""
    enough, parts = [], []
    for segment in range(len(messages.segment_names)):
        rows = np.flatnonzero(messages.segment == segment)
        mine = matrix[rows]
        chosen = np.flatnonzero(np.asarray(mine.sum(axis=0)).ravel() >= ENOUGH_ROWS)
        enough.append(chosen)
        parts.append(_equations(mine[:, chosen], rest[rows], weights[rows], has_level=True))
    shape = len(enough), len(fit.effect)
    effect, deviation = np.full(shape, np.nan), np.full(shape, np.nan)
    main = np.diag(fit.term_covariance)
    for segment, (chosen, (mean, spread)) in enumerate(zip(enough, shrunk(parts), strict=True)):
        at = places[chosen]
        effect[segment, at] = fit.effect[at] + mean
        deviation[segment, at] = np.sqrt(main[at] + (widening(len(messages)) * spread) ** 2)
    return Bounded(effect, effect - Z * deviation, effect + Z * deviation)


def _over_time(matrix: Any, messages: Messages, rest: Floats, weights: Floats) -> list[tuple[Floats, Floats]]:
    """(mean, deviation) of the trend and of the wear of each column, the two together: what is used more and more is
    also repeated more and more."""
    found = sparse.coo_matrix(matrix)
    row, column = found.row.astype(np.int64), found.col.astype(np.int64)
    day = messages.day[row]
    values = [
        _centred(value, column, weights[row])
        for value in (day / DAYS_OF_TREND, np.log2(1.0 + _uses_before(row, column, messages)))
    ]
    both = sparse.hstack([sparse.csr_matrix((value, (row, column)), shape=matrix.shape) for value in values])
    precision, right = _equations(sparse.csr_matrix(both), rest, weights)
    count = matrix.shape[1]
    # given the other's variance each is a block of its own; a few rounds between the two settle both
    variance = np.full(2, _PRIOR_VARIANCE)
    mean, deviation = np.zeros(2 * count), np.zeros(2 * count)
    for _ in range(_ROUNDS if count else 0):
        covariance = np.linalg.inv(precision + np.diag(np.repeat(1 / variance, count)))
        mean, deviation = covariance @ right, np.sqrt(np.diag(covariance))
        for block in range(2):
            part = slice(block * count, (block + 1) * count)
            variance[block] = _renewed(mean[part], deviation[part] ** 2, variance[block])
    return [(mean[:count], deviation[:count]), (mean[count:], deviation[count:])]


def _uses_before(row: Ints, column: Ints, messages: Messages) -> Floats:
    """How many results with the term the segment had in the DAYS_OF_WEAR days before each; that day itself not."""
    day = messages.day[row] - int(messages.day.min(initial=0))
    apart = int(day.max(initial=0)) + DAYS_OF_WEAR + 1
    when = (column * len(messages.segment_names) + messages.segment[row]) * apart + day
    order = np.argsort(when)
    when, since = when[order], (when - np.minimum(day, DAYS_OF_WEAR))[order]
    before = np.empty(len(row))
    before[order] = np.searchsorted(when, when) - np.searchsorted(when, since)
    return before


def _centred(values: Floats, column: Ints, weights: Floats) -> Floats:
    """`values` less the weighted mean of their column, so that the main effect is that of the average use."""
    total = np.bincount(column, weights)
    mean = np.bincount(column, weights * values) / np.maximum(total, 1e-12)
    return np.asarray(values - mean[column])


def _equations(matrix: Any, rest: Floats, weights: Floats, *, has_level: bool = False) -> tuple[Floats, Floats]:
    """X'WX and X'Wr; with `has_level` the level of these rows is free, as the segment's was in the fit."""
    weighted = sparse.diags(weights) @ matrix
    precision, right = (matrix.T @ weighted).toarray(), np.asarray(weighted.T @ rest)
    if has_level and len(weights):
        sums, total = np.asarray(weighted.sum(axis=0)).ravel(), weights.sum()
        precision = precision - np.outer(sums, sums) / total
        right = right - sums * (weights @ rest) / total
    return precision, right


def shrunk(parts: Sequence[tuple[Floats, Floats]]) -> list[tuple[Floats, Floats]]:
    """(mean, deviation) of the coefficients of each part (its X'WX and X'Wr), all shrunk to nil by one variance, that
    of greatest evidence (MacKay's update). A part may be empty."""
    turned = []
    for precision, right in parts:
        values, vectors = np.linalg.eigh(precision)
        turned.append((np.maximum(values, 0.0), vectors, vectors.T @ right))
    variance = _PRIOR_VARIANCE
    for _ in range(_ROUNDS):
        means = [right / (values + 1 / variance) for values, _, right in turned]
        mean = np.concatenate([np.zeros(0), *means])
        spread = np.concatenate([np.zeros(0), *(1 / (values + 1 / variance) for values, _, _ in turned)])
        variance = _renewed(mean, spread, variance)
    found = []
    for values, vectors, right in turned:
        shrink = 1 / (values + 1 / variance)
        found.append((vectors @ (shrink * right), np.sqrt((vectors**2) @ shrink)))
    return found


def _renewed(mean: Floats, variances: Floats, old: float) -> float:
    determined = float(np.clip(len(mean) - variances.sum() / old, 0.0, len(mean)))
    found = (float(mean @ mean) + _PRIOR_COUNT * _PRIOR_VARIANCE) / (determined + _PRIOR_COUNT)
    return float(np.clip(found, 1e-7, 1.0))


def _bounded(mean: Floats, deviation: Floats, places: Ints, size: int) -> Bounded:
    effect, reach = np.full(size, np.nan), np.full(size, np.nan)
    effect[places], reach[places] = mean, Z * deviation
    return Bounded(effect, effect - reach, effect + reach)
