"""How good predictions were, measured on a window that was held back, beside two plainer ways of predicting."""

from dataclasses import dataclass

import numpy as np

from segmentation.predict.features import chance_to_buy, expected_orders, view_at
from segmentation.predict.history import Floats, History, Ints, Known, Outcome, known_at, outcome_of
from segmentation.predict.model import MOST_LEARNERS, Prediction, TooLittleData, plan, predict

BANDS = 10  # of the calibration tables
MOST_LEVELS = 3  # held-back windows whose total spend is looked at
QUANTILES = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Band:
    """A tenth of the customers, by predicted chance: the mean chance said and the share who bought."""

    customers: int
    predicted: float
    actual: float


@dataclass(frozen=True)
class SpendBand:
    """A tenth of the customers, by predicted spend: what was said of them and what they spent, in total, and
    `deviation`, the standard deviation of a customer's spend around what was said, once the band's total is right."""

    customers: int
    predicted: float
    actual: float
    deviation: float


@dataclass(frozen=True)
class Measure:
    """One way of predicting against what happened. `auc` is of buyers among all, ranked as that way ranks them best:
    by chance to buy ours, by expected orders the others (0.5: at random); the ratios are predicted over actual totals,
    None where nothing happened; so is `auc` where all did the same."""

    auc: float | None
    rmse_orders: float
    rmse_spend: float
    orders_ratio: float | None
    buyers_ratio: float | None
    spend_ratio: float | None
    calibration: list[Band]


@dataclass(frozen=True)
class Quality:
    """Ours, BG/NBD's and the plain R+F+M score's measures for one window, [as_of, as_of + days)."""

    as_of: int
    days: int
    customers: int
    buyers: int
    orders: int
    spend: float
    learned: Measure
    spend_bands: list[SpendBand]
    bgnbd: Measure
    rfm_score: Measure


def held_back(history: History, as_of: int, horizon_days: int) -> Quality:
    """The newest window before `as_of` is held back and predicted from what came before it. Its length is that of the
    windows that a prediction on `as_of` learns from. Judged on the customers that such a prediction would learn from.
    Raises TooLittleData."""
    past = history.before(as_of).sampled(MOST_LEARNERS)
    window = plan(past, as_of, horizon_days).window_days
    return judged(past, as_of - window, window)


def spend_levels(history: History, as_of: int, horizon_days: int) -> list[float]:
    """Actual over predicted total spend in the window before the one that `held_back` holds back, and in the one before
    that: the newest first, as many as there is history for, up to MOST_LEVELS with it. How far apart these are is what
    a season, or a change of the brand's, does to every customer at once. Raises TooLittleData as `held_back` does."""
    past = history.before(as_of).sampled(MOST_LEARNERS)
    window = plan(past, as_of, horizon_days).window_days
    found: list[float] = []
    for number in range(2, MOST_LEVELS + 1):
        day = as_of - number * window
        try:
            made = predict(past, day, window)
        except TooLittleData:
            break
        predicted = float(made.expected_spend.sum())
        if predicted > 0:
            found.append(float(outcome_of(past, known_at(past, day, 0), window).spend.sum()) / predicted)
    return found


def judged(history: History, as_of: int, days: int) -> Quality:
    """The prediction for [as_of, as_of + days), made from earlier orders alone, against what happened in it."""
    made = predict(history, as_of, days)
    known = known_at(history, as_of, 0)
    happened = outcome_of(history, known, days)
    view = view_at(history.before(as_of), as_of, 0)
    orders = expected_orders(view, days)
    spend = orders * np.maximum(view.habits.money.mean_order(known), 0)
    by_bgnbd = Prediction(known.customer, chance_to_buy(view, days), orders, spend)
    by_score = _by_score(history, as_of, days)
    return Quality(
        as_of=as_of,
        days=days,
        customers=len(known.customer),
        buyers=int(np.count_nonzero(happened.orders)),
        orders=int(happened.orders.sum()),
        spend=float(happened.spend.sum()),
        learned=measure(made, happened, made.p_buy),
        spend_bands=spend_bands(made.expected_spend, happened.spend),
        bgnbd=measure(by_bgnbd, happened, by_bgnbd.expected_orders),
        rfm_score=measure(by_score, happened, by_score.expected_orders),
    )


def measure(made: Prediction, happened: Outcome, ranking: Floats) -> Measure:
    """What was predicted against what came, of the same customers; those of high `ranking` are to be the buyers."""
    from sklearn.metrics import roc_auc_score  # here, not above: it takes a second

    bought = happened.orders > 0
    is_mixed = 0 < np.count_nonzero(bought) < len(bought)
    orders, spend = made.expected_orders, made.expected_spend
    return Measure(
        auc=float(roc_auc_score(bought, ranking)) if is_mixed else None,
        rmse_orders=float(np.sqrt(np.mean((orders - happened.orders) ** 2))),
        rmse_spend=float(np.sqrt(np.mean((spend - happened.spend) ** 2))),
        orders_ratio=_ratio(float(orders.sum()), float(happened.orders.sum())),
        buyers_ratio=_ratio(float(made.p_buy.sum()), float(bought.sum())),
        spend_ratio=_ratio(float(spend.sum()), float(happened.spend.sum())),
        calibration=_calibration(made.p_buy, bought),
    )


def spend_bands(predicted: Floats, actual: Floats) -> list[SpendBand]:
    """Customers by predicted spend, the lowest tenth first."""
    found = []
    for part in _tenths(predicted):
        said, spent = predicted[part], actual[part]
        total = float(said.sum())
        scaled = said * (float(spent.sum()) / total) if total > 0 else np.full(len(part), spent.mean())
        found.append(SpendBand(len(part), total, float(spent.sum()), float(np.std(spent - scaled))))
    return found


def rfm_score(known: Known) -> Ints:
    """R + F + M, 3 to 15: each 1 to 5 by quantile, equal values equal, as the segments are scored."""

    def score(value: Floats) -> Ints:
        cuts = np.quantile(value, QUANTILES, method="inverted_cdf")
        return 1 + np.searchsorted(np.sort(cuts), value, side="left")

    return score(-known.recency) + score(known.orders.astype(np.float64)) + score(known.spend)


def _by_score(history: History, as_of: int, days: int) -> Prediction:
    """The customers at `as_of` by their score alone: what customers of that score did in the last learning window,
    stretched to `days` at the same rate (chances as of one silent Poisson window)."""
    learned = plan(history, as_of, days)
    known = known_at(history, learned.cuts[0], 0)
    did = outcome_of(history.before(as_of), known, learned.window_days)
    score, stretch = rfm_score(known), days / learned.window_days
    people = np.maximum(np.bincount(score, minlength=16), 1)
    orders = np.bincount(score, did.orders, minlength=16) / people * stretch
    spend = np.bincount(score, did.spend, minlength=16) / people * stretch
    silent = 1 - np.bincount(score, did.orders > 0, minlength=16) / people
    today = known_at(history, as_of, 0)
    now = rfm_score(today)
    return Prediction(today.customer, (1 - silent**stretch)[now], orders[now], spend[now])


def _calibration(chance: Floats, bought: np.ndarray) -> list[Band]:
    return [Band(len(part), float(chance[part].mean()), float(bought[part].mean())) for part in _tenths(chance)]


def _tenths(values: Floats) -> list[Ints]:
    """Places of the lowest tenth of `values`, of the next, and so on; fewer than ten for fewer values."""
    order = np.argsort(values, kind="stable")
    return [part for part in np.array_split(order, BANDS) if len(part)]


def _ratio(predicted: float, actual: float) -> float | None:
    return predicted / actual if actual > 0 else None
