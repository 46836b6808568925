"""Learns from an earlier cut of the brand's own history what its customers do next, and says it of those known today.

`fit` learns from a sample of the customers (all, up to a limit); `apply` says it of any of them, a part at a time where
they are many, so that millions need no more memory than thousands. At a cut in the past the features know only what
came before, and the answer is what came after, up to the day of the prediction. Arrays in, arrays out. Everything is
seeded or has no chance in it: the same orders, the same numbers.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from segmentation.predict.features import (
    SMALLEST,
    Habits,
    View,
    chance_to_buy,
    expected_orders,
    features,
    money_scale,
    spend_features,
    view_at,
    view_of,
)
from segmentation.predict.history import Floats, History, Ints, Outcome, known_at, outcome_of
from store.errors import ExpectedError

MOST_LEARNERS = 50_000  # customers learned from: more change the third decimal and cost minutes
LEAST_WINDOW_DAYS = 7  # with all days of the week in it
LEAST_CUSTOMERS = 200
LEAST_BUYERS = 50  # and as many who did not buy
MOST_CUTS = 4
ONE_CUT_TIMES = 3.0  # BG/NBD's orders, at the most, where one cut alone was learned from
TREES_SHARE = 0.3  # of the log-odds; the rest is the logistic regression's, which carries better to a later cut
SHRINKAGE = 0.1  # of the orders' regression, which a few customers who order daily would steer without it
SPEND_SHRINKAGE = 2.0  # of the spend's, which one large order would steer


class TooLittleData(ExpectedError):
    """The orders are too few, or too short a history, to learn from; the sentence says which."""


@dataclass(frozen=True)
class Plan:
    """Where a prediction for `horizon_days` from the day `as_of` learns: windows of `window_days` after each of `cuts`
    (latest first), all of them over by `as_of`."""

    as_of: int
    horizon_days: int
    window_days: int
    cuts: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """What was learned for a plan's horizon: chances (`line` and `trees`) and orders (`rates`), as scikit-learn's
    estimators, the brand's habits on the day, `most`, the orders that the busiest customer made in a window, and
    `level`, by which all orders are multiplied to reach the total. Of spend, in mean orders, the same: `spends`,
    `most_spent` and `spend_level`."""

    plan: Plan
    line: Any
    trees: Any
    rates: Any
    habits: Habits
    most: int
    level: float
    spends: Any
    most_spent: float
    spend_level: float


@dataclass(frozen=True)
class Prediction:
    """One entry per customer with an order before the day, ascending by number, for the horizon from that day."""

    customer: Ints
    p_buy: Floats
    expected_orders: Floats
    expected_spend: Floats


@dataclass(frozen=True)
class Lesson:
    """What is learned from: the features of customers at cuts, and what they did in the window after; one row each."""

    features: Floats
    spend_features: Floats
    orders: Ints  # in the window after
    spend: Floats  # in it too, in mean orders of the brand; refunds beyond it left out


def plan(history: History, as_of: int, horizon_days: int) -> Plan:
    """Windows as long as the horizon, but of a week at least, or half the history where that is shorter. Earlier cuts,
    half a window apart, are used as long as a whole window of history lies before them. Raises TooLittleData."""
    past = history.before(as_of)
    if len(past.day) == 0:
        raise TooLittleData("there is no paid order before the day, so there is nothing to learn from")
    start = int(past.day.min())
    length = as_of - start
    window = min(max(horizon_days, LEAST_WINDOW_DAYS), length // 2)
    if length < horizon_days or window < LEAST_WINDOW_DAYS:
        needed = max(horizon_days, 2 * LEAST_WINDOW_DAYS)
        raise TooLittleData(
            f"the orders before the day go back {length} days; to predict {horizon_days} days ahead takes {needed}"
        )
    step = max(window // 2, 1)
    cuts = range(as_of - window, start + window - 1, -step)[:MOST_CUTS] or (as_of - window,)
    return Plan(as_of, horizon_days, window, tuple(cuts))


def predict(history: History, as_of: int, horizon_days: int) -> Prediction:
    """Of everyone with an order before day `as_of`, for [as_of, as_of + horizon_days). Orders of `as_of` or later have
    no influence. Raises TooLittleData."""
    return apply(fit(history, as_of, horizon_days), history)


def fit(history: History, as_of: int, horizon_days: int) -> Model:
    """The model for [as_of, as_of + horizon_days), from the orders before `as_of`. Raises TooLittleData.

    In one thread: these problems are small, and on a busy machine threads that wait for each other took fifteen times
    as long.
    """
    past = history.before(as_of).sampled(MOST_LEARNERS)
    learned = plan(past, as_of, horizon_days)
    with threadpool_limits(limits=1):
        lesson = lesson_of(past, learned)
        near = view_at(past, as_of, learned.window_days // 2)
        line, trees = _classifiers(lesson)
        rates = _regression(lesson.features, lesson.orders, SHRINKAGE)
        most = int(lesson.orders.max())
        level = _total(lesson, near, learned) / _believed(rates, most, near, learned).sum()
        spends = _regression(lesson.spend_features, lesson.spend, SPEND_SHRINKAGE)
        of_spend = (spends, float(lesson.spend.max()), 1.0)
        model = Model(learned, line, trees, rates, near.habits, most, float(level), *of_spend)
    said = apply(model, past)  # the total of spend is that of orders, each at the worth of its customer's
    by_orders = float((said.expected_orders * _worth(near)).sum())
    return replace(model, spend_level=by_orders / max(float(said.expected_spend.sum()), SMALLEST))


def apply(model: Model, history: History) -> Prediction:
    """The model's word on the customers of `history`, all of the brand's or some: each depends on their own orders
    before the model's day alone."""
    learned = model.plan
    near = view_of(known_at(history, learned.as_of, learned.window_days // 2), model.habits)
    p_buy = _chance_to_buy(model, near, history)
    rates = _believed(model.rates, model.most, near, learned) * model.level
    orders = np.maximum(rates, p_buy)  # whoever buys orders at least once
    return Prediction(near.known.customer, p_buy, orders, _spend(model, near, orders))


def _chance_to_buy(model: Model, near: View, history: History) -> Floats:
    """Over a horizon longer than the window, what was learned is carried to the features of the horizon. Over a shorter
    one, the chance not to buy in the window is cut as BG/NBD cuts its own; features of a few days say three times too
    much."""
    learned, far = model.plan, near
    days = max(learned.horizon_days, learned.window_days)
    if days != learned.window_days:
        far = view_of(known_at(history, learned.as_of, days // 2), model.habits)
    with threadpool_limits(limits=1):
        chance = _chances(model, features(far, days))
    if days == learned.horizon_days:
        return chance
    horizon, window = (chance_to_buy(near, each) for each in (learned.horizon_days, days))
    shorter: Floats = -np.expm1(_log_silent(chance) * _log_silent(horizon) / _log_silent(window))
    return shorter


def _log_silent(chance: Floats) -> Floats:
    """The logarithm of the chance not to buy, below 0 and finite."""
    silent: Floats = np.log1p(-np.clip(chance, SMALLEST, 1 - SMALLEST))
    return silent


def _spend(model: Model, view: View, orders: Floats) -> Floats:
    """Per customer the geometric mean of two ways to say it: orders at the worth of the customer's mean order, which
    takes large orders for a habit, and a regression of what was spent, which knows better what becomes of them."""
    learned = model.plan
    with threadpool_limits(limits=1):
        by_itself = model.spends.predict(spend_features(view, learned.window_days))
    by_itself = np.minimum(by_itself, model.most_spent) * _stretch(view, learned) * money_scale(view)
    spend: Floats = np.sqrt(orders * _worth(view) * by_itself) * model.spend_level
    return spend


def _worth(view: View) -> Floats:
    """Of each customer's next order."""
    return np.maximum(view.habits.money.mean_order(view.known), 0)


def lesson_of(history: History, learned: Plan) -> Lesson:
    """The customers at every cut of the plan, one below the other. Raises TooLittleData where there are too few of
    them, or too few who bought or did not in the latest window."""
    rows: list[Floats] = []
    spend_rows: list[Floats] = []
    orders: list[Ints] = []
    spend: list[Floats] = []
    for cut in learned.cuts:
        view = _checked_view(history, cut, learned.window_days)
        outcome = outcome_of(history, view.known, learned.window_days)
        if not rows:
            _check_outcome(outcome, learned)
        rows.append(features(view, learned.window_days))
        spend_rows.append(spend_features(view, learned.window_days))
        orders.append(outcome.orders)
        spend.append(np.maximum(outcome.spend, 0) / money_scale(view))
    return Lesson(np.vstack(rows), np.vstack(spend_rows), np.concatenate(orders), np.concatenate(spend))


def _checked_view(history: History, cut: int, window_days: int) -> View:
    people = len(known_at(history, cut, 0).customer)
    if people < LEAST_CUSTOMERS:
        raise TooLittleData(
            f"only {people} customers had ordered when the learning window began; at least {LEAST_CUSTOMERS} are needed"
        )
    return view_at(history, cut, window_days // 2)


def _check_outcome(outcome: Outcome, learned: Plan) -> None:
    buyers = int(np.count_nonzero(outcome.orders))
    for count, did in ((buyers, "ordered again"), (len(outcome.orders) - buyers, "did not order again")):
        if count < LEAST_BUYERS:
            raise TooLittleData(
                f"only {count} earlier customers {did} in the last {learned.window_days} days; "
                f"at least {LEAST_BUYERS} are needed to learn from"
            )


def _classifiers(lesson: Lesson) -> tuple[Any, Any]:
    """Of at least one order: a logistic regression and boosted trees."""
    bought = lesson.orders > 0
    # here, not above: it takes a second, and whoever only reads predictions learns nothing
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(lesson.features, bought)
    trees = HistGradientBoostingClassifier(**_small_trees(len(bought))).fit(lesson.features, bought)
    return line, trees


def _small_trees(rows: int) -> dict[str, Any]:
    """How trees are boosted: slowly, small and shrunk, so that a cut's peculiarities are not learned by heart."""
    return {
        "max_iter": 100,
        "learning_rate": 0.05,
        "max_leaf_nodes": 6,
        "min_samples_leaf": min(100, rows // 10),
        "l2_regularization": 10.0,
        "early_stopping": False,
        "random_state": 0,
    }


def _chances(model: Model, rows: Floats) -> Floats:
    """Of at least one order: the log-odds of regression and trees, averaged."""
    line_odds = model.line.decision_function(rows)
    tree_odds = logit(np.clip(model.trees.predict_proba(rows)[:, 1], SMALLEST, 1 - SMALLEST))
    chances: Floats = expit((1 - TREES_SHARE) * line_odds + TREES_SHARE * tree_odds)
    return chances


def _regression(rows: Floats, outcome: Any, shrinkage: float) -> Any:
    """Poisson, on a logarithm; where there is no outcome at all, which has none, it is foretold as nothing."""
    from sklearn.dummy import DummyRegressor
    from sklearn.linear_model import PoissonRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not np.any(outcome):
        return DummyRegressor().fit(rows, outcome)
    learner = make_pipeline(StandardScaler(), PoissonRegressor(alpha=shrinkage, max_iter=1000))
    return learner.fit(rows, outcome)


def _believed(learner: Any, most: int, view: View, learned: Plan) -> Floats:
    """Orders over the horizon: a learner's prediction for a window, stretched as BG/NBD stretches its own.

    Nobody is said to make more orders in a window than the `most` that anybody has made: an exponential carried beyond
    what it has seen knows no bounds. Where one window alone was learned from, nobody is said to make many times what
    BG/NBD expects either: what was true of its season and its few busiest customers can't be told from what is true of
    all.
    """
    rates: Floats = np.minimum(learner.predict(features(view, learned.window_days)), most) * _stretch(view, learned)
    if len(learned.cuts) > 1:
        return rates
    return np.minimum(rates, ONE_CUT_TIMES * np.maximum(expected_orders(view, learned.horizon_days), SMALLEST))


def _stretch(view: View, learned: Plan) -> Floats:
    """How many times more BG/NBD expects of the horizon than of the window."""
    window = np.maximum(expected_orders(view, learned.window_days), SMALLEST)
    stretch: Floats = np.maximum(expected_orders(view, learned.horizon_days), SMALLEST) / window
    return stretch


def _total(lesson: Lesson, view: View, learned: Plan) -> float:
    """Orders over the horizon of all learners together: the geometric mean of what boosted trees and BG/NBD expect.

    The trees take the windows they have seen for the rule, with their season; BG/NBD knows that customers fall away,
    and of no season. Measured, the two err to opposite sides. Trees, not the regression: a regression is carried beyond
    the tenures that it has seen, and its total was off by up to four times where one early window was learned from.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(loss="poisson", **_small_trees(len(lesson.orders)))
    trees.fit(lesson.features, lesson.orders)
    by_trees = _believed(trees, int(lesson.orders.max()), view, learned).sum()
    return float(np.sqrt(by_trees * expected_orders(view, learned.horizon_days).sum()))
