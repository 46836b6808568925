"""How good predictions were, measured on a window that was held back, beside two plainer ways of predicting."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from segmentation.predict.features import chance_to_buy, expected_orders, view_at
from segmentation.predict.history import Floats, History, Ints, Known, known_at, outcome_of
from segmentation.predict.model import plan, predict

BANDS = 10  # of the calibration table
QUANTILES = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Band:
    """A tenth of the customers, by predicted chance: the mean chance said and the share who bought."""

    customers: int
    predicted: float
    actual: float


@dataclass(frozen=True)
class Measure:
    """One way of predicting against what happened. `auc` ranks buyers by expected orders (0.5: by chance); the ratios
    are predicted over actual totals, None where
    nothing happened; so is `auc` where all did the same."""

    auc: float | None
    rmse_orders: float
    orders_ratio: float | None
    buyers_ratio: float | None
    calibration: list[Band]


@dataclass(frozen=True)
class Quality:
    """Ours, BG/NBD's and the plain R+F+M score's measures for one window, [as_of, as_of + days)."""

    as_of: int
    days: int
    customers: int
    buyers: int
    orders: int
    learned: Measure
    spend_ratio: float | None
    bgnbd: Measure
    rfm_score: Measure


def held_back(history: History, as_of: int, horizon_days: int) -> Quality:
    """The newest window before `as_of` is held back and predicted from what came before it. Its length is that of the
    windows that a prediction on `as_of` learns from. Raises TooLittleData."""
    window = plan(history, as_of, horizon_days).window_days
    return judged(history.before(as_of), as_of - window, window)


def judged(history: History, as_of: int, days: int) -> Quality:
    """The prediction for [as_of, as_of + days), made from earlier orders alone, against what happened in it."""
    made = predict(history, as_of, days)
    known = known_at(history, as_of, 0)
    happened = outcome_of(history, known, days)
    view = view_at(history.before(as_of), as_of, 0)
    score_orders, score_chance = _by_score(history, as_of, days)
    return Quality(
        as_of=as_of,
        days=days,
        customers=len(known.customer),
        buyers=int(np.count_nonzero(happened.orders)),
        orders=int(happened.orders.sum()),
        learned=measure(made.p_buy, made.expected_orders, happened.orders),
        spend_ratio=_ratio(float(made.expected_spend.sum()), float(happened.spend.sum())),
        bgnbd=measure(chance_to_buy(view, days), expected_orders(view, days), happened.orders),
        rfm_score=measure(score_chance, score_orders, happened.orders),
    )


def measure(chance: Floats, expected: Floats, orders: Ints) -> Measure:
    """Predicted chances and expected orders against the orders that came, one entry per customer."""
    bought = orders > 0
    is_mixed = 0 < np.count_nonzero(bought) < len(bought)
    return Measure(
        auc=float(roc_auc_score(bought, expected)) if is_mixed else None,
        rmse_orders=float(np.sqrt(np.mean((expected - orders) ** 2))),
        orders_ratio=_ratio(float(expected.sum()), float(orders.sum())),
        buyers_ratio=_ratio(float(chance.sum()), float(bought.sum())),
        calibration=_calibration(chance, bought),
    )


def rfm_score(known: Known) -> Ints:
    """R + F + M, 3 to 15: each 1 to 5 by quantile, equal values equal, as the segments are scored."""

    def score(value: Floats) -> Ints:
        cuts = np.quantile(value, QUANTILES, method="inverted_cdf")
        return 1 + np.searchsorted(np.sort(cuts), value, side="left")

    return score(-known.recency) + score(known.orders.astype(np.float64)) + score(known.spend)


def _by_score(history: History, as_of: int, days: int) -> tuple[Floats, Floats]:
    """Expected orders and chances of the customers at `as_of` by their score alone: what customers of that score did
    in the last learning window, stretched to `days` at the same rate (chances as of one silent Poisson window)."""
    learned = plan(history, as_of, days)
    known = known_at(history, learned.cuts[0], 0)
    orders = outcome_of(history.before(as_of), known, learned.window_days).orders
    score, stretch = rfm_score(known), days / learned.window_days
    people = np.maximum(np.bincount(score, minlength=16), 1)
    mean = np.bincount(score, orders, minlength=16) / people * stretch
    silent = 1 - np.bincount(score, orders > 0, minlength=16) / people
    now = rfm_score(known_at(history, as_of, 0))
    return mean[now], (1 - silent**stretch)[now]


def _calibration(chance: Floats, bought: np.ndarray) -> list[Band]:
    order = np.argsort(chance, kind="stable")
    bands = [part for part in np.array_split(order, BANDS) if len(part)]
    return [Band(len(part), float(chance[part].mean()), float(bought[part].mean())) for part in bands]


def _ratio(predicted: float, actual: float) -> float | None:
    return predicted / actual if actual > 0 else None
