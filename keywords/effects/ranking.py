"""What a word adds to the log-odds of a click, everything else equal. Arrays in, arrays out; knows no database.

The model, for message i of campaign g sent to n people of whom k clicked:

    k ~ Binomial(n, p),  logit p = intercept + context + words + u_g + e_i,  u ~ N(0, t2),  e ~ N(0, s2)

Each block of coefficients (segment, hour, …, words) is shrunk to nil with a variance of its own, by empirical Bayes
(MacKay 1992). The extra variances s2 and t2 enter the weights (Williams 1982): without them a send to 100,000 people
would count as 100,000 independent witnesses. The campaign effect is integrated out in closed form.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import norm

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

INTERVAL = 0.90
Z = float(norm.ppf(0.5 + INTERVAL / 2))
MAX_ROUNDS = 40
_TOLERANCE = 0.01  # of a posterior standard deviation, between two rounds
_GOING_ON_TOLERANCE = 0.05  # where the variances are known from a fit to nearly the same messages
_LOGIT_LIMIT = 20.0
_INTERCEPT_VARIANCE = 25.0
# A weak prior, worth so many coefficients of this size, keeps a variance finite where the data says nothing of it.
_PRIOR_COUNT, _PRIOR_VARIANCE = 1.0, 0.03
_PRIOR_NOISE = 0.001  # the like for s2 and t2, worth one message
_VARIANCE_BOUNDS = (1e-6, 4.0)
_WARM_START_ROWS = 12_000  # above twice this many messages the variances are first found on a part of them


@dataclass(frozen=True)
class Fit:
    """What was learned. Effects are log-odds; `low` and `high` bound 90 % intervals; all in the order of the terms."""

    effect: Floats
    low: Floats
    high: Floats
    probability_positive: Floats  # 0..1
    coefficients: Floats  # of the whole design: intercept, blocks, terms
    covariance: Floats  # of the coefficients, already widened (see `widening`)
    columns: Mapping[str, slice]  # block -> its columns; "terms" always, context blocks with two levels or more
    block_variance: Mapping[str, float]
    row_variance: float
    campaign_variance: float
    eta: Floats  # log-odds of each message, noise included

    @property
    def term_covariance(self) -> Floats:
        """Joint posterior covariance of the term effects, terms x terms."""
        part = self.columns["terms"]
        return self.covariance[part, part]

    @property
    def term_variance(self) -> float:
        """Variance of the population of term effects: what is known of a term never tried."""
        return self.block_variance["terms"]


@dataclass(frozen=True)
class Start:
    """Where a fit to nearly the same messages came to an end, so that the next has a short way."""

    eta: Floats  # log-odds of each message; NaN where it is new
    block_variance: Mapping[str, float]
    row_variance: float
    campaign_variance: float


@dataclass(frozen=True)
class Design:
    """What each message has, block by block; the terms last."""

    matrix: Any  # csr, messages x coefficients; column 0 is the intercept
    columns: dict[str, slice]
    spreads: dict[str, Ints]  # columns that are shrunk by one variance: the blocks, and within the terms their kinds


@dataclass(frozen=True)
class _Data:
    clicks: Floats
    recipients: Floats
    design: Design
    group: Ints  # campaign of each row, 0..groups-1
    groups: int
    shared: Any  # csr, campaigns of two or more messages x messages, 1 where it belongs
    in_shared: NDArray[np.bool_]


@dataclass(frozen=True)
class _State:
    """Where the iteration stands."""

    coefficients: Floats
    centre: float  # prior mean of the intercept
    eta: Floats  # log-odds of each message, noise included
    block_variance: dict[str, float]
    row_variance: float
    campaign_variance: float


def fit(
    clicks: Floats,
    recipients: Floats,
    terms: Any,
    *,
    campaign: Ints,
    context: Mapping[str, Ints],
    loadings: Mapping[str, Floats] | None = None,
) -> Fit:
    """The effects of the terms, given what each message brought.

    `clicks` (unique people) and `recipients` are one number per message, 0 <= clicks <= recipients and recipients > 0;
    `terms` is a sparse messages x terms matrix of 0 and 1; `campaign` and each of `context` (segment, theme, hour, …)
    are codes per message; each of `loadings` is a messages x columns array (topics, where the theme is unknown).
    A block with one level says nothing and is left out. Raises ValueError for counts that can't be.
    """
    return fit_design(clicks, recipients, make_design(terms, context, loadings or {}), campaign=campaign)


def fit_design(
    clicks: Floats, recipients: Floats, design: Design, *, campaign: Ints, start: Start | None = None
) -> Fit:
    """The same for a design that is made already, from `start` on if there is one. Raises ValueError."""
    _check(clicks, recipients)
    data = _gather(clicks, recipients, design, campaign)
    state = _start(data)
    if start is not None:
        state = _go_on(data, state, start)
    elif len(clicks) > 2 * _WARM_START_ROWS:
        state = _warm_start(data, state)
    state, covariance = _iterate(data, state, _TOLERANCE if start is None else _GOING_ON_TOLERANCE)
    covariance = covariance * widening(len(clicks)) ** 2
    columns = data.design.columns
    effect = state.coefficients[columns["terms"]]
    deviation = np.sqrt(np.diag(covariance)[columns["terms"]])
    return Fit(
        effect=effect,
        low=effect - Z * deviation,
        high=effect + Z * deviation,
        probability_positive=np.asarray(norm.cdf(effect / deviation), dtype=np.float64),
        coefficients=state.coefficients,
        covariance=covariance,
        columns=columns,
        block_variance=state.block_variance,
        row_variance=state.row_variance,
        campaign_variance=state.campaign_variance,
        eta=state.eta,
    )


def leave_out(
    learned: Fit, design: Design, clicks: Floats, recipients: Floats, *, campaign: Ints, rows: Ints
) -> tuple[Floats, Floats]:
    """(Effects, standard deviations) of the terms as learned from all messages but `rows`, with the variances and the
    linearisation of the fit to all: their part is taken out of the posterior. Other arguments as they were fitted."""
    touched = np.flatnonzero(np.isin(campaign, campaign[rows]))
    columns = np.unique(design.matrix[touched].indices)
    rest = np.setdiff1d(touched, rows)
    whole, part = (
        _information(
            replace(learned, eta=learned.eta[some]),
            design.matrix[some][:, columns],
            clicks[some],
            recipients[some],
            campaign[some],
        )
        for some in (touched, rest)
    )
    precision, right = whole[0] - part[0], whole[1] - part[1]
    covariance = learned.covariance / widening(len(clicks)) ** 2
    terms = design.columns["terms"]
    across, among = covariance[terms, columns], covariance[np.ix_(columns, columns)]
    # (P - E A E')^-1 = C + C E (I - A E'CE)^-1 A E'C, so no matrix larger than the run's columns is inverted
    gain = np.linalg.solve(np.eye(len(columns)) - among @ precision, across.T).T
    effect = learned.coefficients[terms] + gain @ (precision @ learned.coefficients[columns] - right)
    variance = np.diag(covariance)[terms] + np.einsum("ij,ij->i", gain @ precision, across)
    return effect, np.sqrt(variance) * widening(len(clicks))


def _information(
    learned: Fit, matrix: Any, clicks: Floats, recipients: Floats, campaign: Ints
) -> tuple[Floats, Floats]:
    """What these messages, which share no campaign with others, add to the normal equations."""
    width = matrix.shape[1]
    if not len(clicks):
        return np.zeros((width, width)), np.zeros(width)
    data = _gather(clicks, recipients, Design(matrix, {}, {}), campaign)
    return _normal_equations(data, learned, *_linearise(data, learned))


def linearised(learned: "Fit | _State", clicks: Floats, recipients: Floats) -> tuple[Floats, Floats]:
    """The Gaussian stand-in of each count where the fit ended: its log-odds, and their variance."""
    rate = expit(learned.eta)
    information = np.maximum(recipients * rate * (1 - rate), 1e-9)
    return learned.eta + (clicks - recipients * rate) / information, 1 / information


def leftover(
    learned: Fit, design: "Design", clicks: Floats, recipients: Floats, campaign: Ints
) -> tuple[Floats, Floats]:
    """(What the fit leaves of each message's log-odds, its weight): the campaign's own effect is taken out too."""
    response, noise = linearised(learned, clicks, recipients)
    rest, weights = response - design.matrix @ learned.coefficients, 1 / (noise + learned.row_variance)
    _, group = np.unique(campaign, return_inverse=True)
    group = group.ravel()
    if learned.campaign_variance > 0:
        totals = np.bincount(group, weights)
        rest = rest - (np.bincount(group, weights * rest) / (1 / learned.campaign_variance + totals))[group]
    return rest, weights


def widening(messages: int) -> float:
    """Factor on the standard errors: the variances are plugged in as if known, which costs most with few messages."""
    return 1.03 + 30.0 / (messages + 400.0)


def _check(clicks: Floats, recipients: Floats) -> None:
    if not len(clicks):
        raise ValueError("no messages")
    if not (np.isfinite(clicks).all() and np.isfinite(recipients).all()):
        raise ValueError("a count is missing")
    if (recipients <= 0).any() or (clicks < 0).any() or (clicks > recipients).any():
        raise ValueError("counts must satisfy 0 <= clicks <= recipients and recipients > 0")


def _one_hot(codes: Ints) -> Any:
    levels, column = np.unique(codes, return_inverse=True)
    rows = np.arange(len(codes))
    return sparse.csr_matrix((np.ones(len(codes)), (rows, column.ravel())), shape=(len(codes), len(levels)))


def make_design(
    terms: Any,
    context: Mapping[str, Ints],
    loadings: Mapping[str, Floats],
    kinds: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Design:
    """The design of these terms in this context; see `fit` for the shapes. Each of `kinds` says which terms are shrunk
    apart from the others, by a variance of their own (the offers)."""
    matrix = sparse.csr_matrix(terms, dtype=np.float64)
    blocks: list[tuple[str, Any]] = [(name, _one_hot(codes)) for name, codes in context.items()]
    blocks = [(name, block) for name, block in blocks if block.shape[1] > 1]
    blocks += [(name, sparse.csr_matrix(values)) for name, values in loadings.items() if np.ptp(values, axis=0).any()]
    blocks.append(("terms", matrix))
    columns, at = {}, 1
    for name, block in blocks:
        columns[name] = slice(at, at + block.shape[1])
        at += block.shape[1]
    ones = sparse.csr_matrix(np.ones((matrix.shape[0], 1)))
    spreads = {name: np.arange(part.start, part.stop) for name, part in columns.items()}
    for name, chosen in (kinds or {}).items():
        if chosen.any() and not chosen.all():
            places = spreads["terms"]
            spreads[name] = columns["terms"].start + np.flatnonzero(chosen)
            spreads["terms"] = np.setdiff1d(places, spreads[name])
    return Design(sparse.hstack([ones, *(block for _, block in blocks)], format="csr"), columns, spreads)


def _gather(clicks: Floats, recipients: Floats, design: Design, campaign: Ints) -> _Data:
    _, group = np.unique(campaign, return_inverse=True)
    group = group.ravel().astype(np.int64)
    sizes = np.bincount(group)
    in_shared = sizes[group] > 1
    rows = np.flatnonzero(in_shared)
    codes, place = np.unique(group[rows], return_inverse=True)
    shared = sparse.csr_matrix((np.ones(len(rows)), (place.ravel(), rows)), shape=(len(codes), len(group)))
    return _Data(clicks, recipients, design, group, len(sizes), shared, in_shared)


def _start(data: _Data) -> _State:
    total = float(data.recipients.sum())
    centre = float(logit((data.clicks.sum() + 0.5) / (total + 1.0)))
    coefficients = np.zeros(data.design.matrix.shape[1])
    coefficients[0] = centre
    return _State(
        coefficients=coefficients,
        centre=centre,
        eta=np.full(len(data.clicks), centre),
        block_variance=dict.fromkeys(data.design.spreads, 0.1),
        row_variance=0.1,
        # Where no campaign has two messages its variance can't be told from the rows': it stays there.
        campaign_variance=0.05 if data.shared.shape[0] else 0.0,
    )


def _go_on(data: _Data, state: _State, start: Start) -> _State:
    """The state in which an earlier fit ended. What it did not know of begins as in any fit."""
    rate = (data.clicks + 0.5) / (data.recipients + 1.0)
    campaign_variance = start.campaign_variance or state.campaign_variance
    return replace(
        state,
        eta=np.where(np.isnan(start.eta), logit(rate), start.eta),
        block_variance={**state.block_variance, **_known(start.block_variance, state.block_variance)},
        row_variance=start.row_variance,
        campaign_variance=campaign_variance if data.shared.shape[0] else 0.0,
    )


def _known(found: Mapping[str, float], blocks: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if name in blocks}


def _warm_start(data: _Data, state: _State) -> _State:
    """The state after a fit to every m-th campaign, so that all the data needs only a few rounds."""
    step = -(-len(data.clicks) // _WARM_START_ROWS)
    rows = np.flatnonzero(data.group % step == 0)
    part = _gather(
        data.clicks[rows],
        data.recipients[rows],
        replace(data.design, matrix=data.design.matrix[rows]),
        data.group[rows],
    )
    found, _ = _iterate(part, _start(part))
    campaign_variance = found.campaign_variance if data.shared.shape[0] else 0.0
    return _State(
        found.coefficients,
        state.centre,
        data.design.matrix @ found.coefficients,
        found.block_variance,
        found.row_variance,
        campaign_variance,
    )


def _iterate(data: _Data, state: _State, tolerance: float = _TOLERANCE) -> tuple[_State, Floats]:
    """Rounds of linearise, solve, re-estimate until the terms hold still. Returns the state and the covariance."""
    part = data.design.columns["terms"]
    covariance = np.eye(len(state.coefficients))
    for _ in range(MAX_ROUNDS):
        response, noise = _linearise(data, state)
        before = state
        state, covariance = _round(data, state, response, noise)
        scale = np.sqrt(np.diag(covariance)[part])
        moved = np.abs(state.coefficients[part] - before.coefficients[part]) / scale
        if moved.size == 0 or moved.max() < tolerance:
            break
    return state, covariance


def _linearise(data: _Data, state: _State | Fit) -> tuple[Floats, Floats]:
    """The Gaussian stand-in of each binomial count at the message's own log-odds: response and its variance."""
    return linearised(state, data.clicks, data.recipients)


def _round(data: _Data, state: _State, response: Floats, noise: Floats) -> tuple[_State, Floats]:
    precision, right = _normal_equations(data, state, response, noise)
    prior = np.empty(len(state.coefficients))
    prior[0] = 1 / _INTERCEPT_VARIANCE
    for name, part in data.design.spreads.items():
        prior[part] = 1 / state.block_variance[name]
    right[0] += prior[0] * state.centre
    factor = cho_factor(precision + np.diag(prior), lower=True)
    covariance = np.asarray(cho_solve(factor, np.eye(len(prior))))
    coefficients = np.asarray(cho_solve(factor, right))
    fitted = data.design.matrix @ coefficients
    freedom = 1 - float(np.sum(covariance * precision)) / len(response)
    row, campaign = _noise_variances(data, state, (response - fitted) / np.sqrt(max(freedom, 0.2)), noise)
    blocks = {
        name: _block_variance(coefficients[part], np.diag(covariance)[part], state.block_variance[name])
        for name, part in data.design.spreads.items()
    }
    weights = 1 / (noise + row)
    mean = fitted + _campaign_effect(data, weights, response - fitted, campaign)[data.group]
    eta = _message_logits(data, state.eta, mean, row)
    return _State(coefficients, state.centre, eta, blocks, row, campaign), covariance


def _normal_equations(data: _Data, state: _State | Fit, response: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """X'V⁻¹X and X'V⁻¹z, where V = diag(noise + s2) + t2 within each campaign (Woodbury)."""
    variance = noise + state.row_variance
    # a campaign of one message needs no algebra: its effect is only more variance
    weights = 1 / np.where(data.in_shared, variance, variance + state.campaign_variance)
    matrix = data.design.matrix
    weighted = sparse.diags(weights) @ matrix
    precision = (matrix.T @ weighted).toarray()
    right = np.asarray(weighted.T @ response)
    if data.shared.shape[0]:
        totals = data.shared @ weights
        shrink = 1 / (1 / state.campaign_variance + totals)
        sums = data.shared @ weighted
        precision -= (sums.T @ (sparse.diags(shrink) @ sums)).toarray()
        right -= np.asarray(sums.T @ (shrink * (data.shared @ (weights * response))))
    return precision, right


def _block_variance(coefficients: Floats, variances: Floats, old: float) -> float:
    """MacKay's update: the sum of squares over the number of coefficients that the data determines."""
    if not len(coefficients):
        return _PRIOR_VARIANCE
    determined = float(np.clip(len(coefficients) - variances.sum() / old, 0.0, len(coefficients)))
    found = (float(coefficients @ coefficients) + _PRIOR_COUNT * _PRIOR_VARIANCE) / (determined + _PRIOR_COUNT)
    return float(np.clip(found, *_VARIANCE_BOUNDS))


def _noise_variances(data: _Data, state: _State, residual: Floats, noise: Floats) -> tuple[float, float]:
    """s2 and t2 of greatest marginal likelihood for these residuals (t2 stays 0 where no campaign has two messages)."""
    shared = data.shared.shape[0] > 0

    def cost(logs: Floats) -> float:
        row = math.exp(logs[0])
        weights = 1 / (noise + row)
        value = float(np.sum(weights * residual**2) - np.sum(np.log(weights)) + logs[0]) + _PRIOR_NOISE / row
        if shared:
            campaign = math.exp(logs[1])
            totals = np.bincount(data.group, weights, data.groups)
            sums = np.bincount(data.group, weights * residual, data.groups)
            value += float(np.sum(np.log1p(campaign * totals)) - np.sum(sums**2 / (1 / campaign + totals)))
            value += float(logs[1]) + _PRIOR_NOISE / campaign
        return value / len(residual)

    start = np.log([state.row_variance, state.campaign_variance] if shared else [state.row_variance])
    bounds = [tuple(np.log(_VARIANCE_BOUNDS))] * len(start)
    found = np.exp(minimize(cost, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 8}).x)
    return float(found[0]), float(found[1]) if shared else 0.0


def _campaign_effect(data: _Data, weights: Floats, residual: Floats, variance: float) -> Floats:
    """Posterior mean of each campaign's effect, given the residuals."""
    if variance == 0:
        return np.zeros(data.groups)
    totals = np.bincount(data.group, weights, data.groups)
    sums = np.bincount(data.group, weights * residual, data.groups)
    effect: Floats = np.divide(sums, 1 / variance + totals)
    return effect


def _message_logits(data: _Data, eta: Floats, mean: Floats, row_variance: float) -> Floats:
    """The mode of each message's log-odds given its clicks and N(mean, s2), by Newton's steps (bounded)."""
    for _ in range(4):
        rate = expit(eta)
        slope = row_variance * (data.clicks - data.recipients * rate) - (eta - mean)
        step = slope / (1 + row_variance * data.recipients * rate * (1 - rate))
        eta = np.clip(eta + np.clip(step, -2, 2), -_LOGIT_LIMIT, _LOGIT_LIMIT)
    return eta
