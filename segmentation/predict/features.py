"""What a customer is judged by, in forms that mean the same at an early cut and at a late one: shares and rates beside
the BG/NBD model's own expectation for the window, which carries how long the brand has been watched."""

from dataclasses import dataclass

import numpy as np

from segmentation.predict import bgnbd
from segmentation.predict.history import Floats, History, Known, known_at

SMALLEST = 1e-9  # below it chances and expectations are taken for this, so that logarithms stay finite

# In mean orders: below these, amounts are taken for none, so that a few cents are no feature of their own.
SMALLEST_SPEND, SMALLEST_SPEND_LATELY = 0.1, 0.01


@dataclass(frozen=True)
class Habits:
    """What is true of the brand's customers as a whole at a cut: the BG/NBD model fitted to them, and their orders."""

    parameters: bgnbd.Parameters
    orders_per_purchase_day: float
    money: "Credibility"


@dataclass(frozen=True)
class View:
    """Customers known at a cut, seen with the brand's habits."""

    known: Known
    seen: bgnbd.Purchases
    habits: Habits


@dataclass(frozen=True)
class Credibility:
    """How far a customer's own mean order is to be believed: (spend + weight * mean) / (orders + weight).

    Source: H. Bühlmann and E. Straub, Glaubwürdigkeit für Schadensätze, 1970; the variances by their unbiased
    estimators. An infinite weight: customers don't differ, everyone gets the mean.
    """

    mean: float
    weight: float

    def mean_order(self, known: Known) -> Floats:
        """Expected worth of a customer's next order, in the brand's money."""
        if not np.isfinite(self.weight):
            return np.full(len(known.customer), self.mean)
        believed: Floats = (known.spend + self.weight * self.mean) / (known.orders + self.weight)
        return believed


def credibility_of(known: Known) -> Credibility:
    """From the amounts of all customers. Where nobody ordered twice customers can't be told apart."""
    orders, people = known.orders.astype(np.float64), len(known.customer)
    total = orders.sum()
    mean = float(known.spend.sum() / total)
    within = float(np.maximum(known.spend_squared - known.spend**2 / orders, 0).sum())
    repeats = total - people
    if repeats == 0:
        return Credibility(mean, np.inf)
    within /= repeats
    between = float(orders @ (known.spend / orders - mean) ** 2) - (people - 1) * within
    between /= total - (orders @ orders) / total
    return Credibility(mean, within / between if between > 0 else np.inf)


def habits_of(known: Known) -> Habits:
    """Fitted to the customers' orders before the cut."""
    per_day = known.orders.sum() / known.purchase_days.sum()
    return Habits(bgnbd.fit(bgnbd.purchases_of(known)), float(per_day), credibility_of(known))


def view_of(known: Known, habits: Habits) -> View:
    """Some of the brand's customers, or all; the habits are those of the same cut."""
    return View(known, bgnbd.purchases_of(known), habits)


def view_at(history: History, cut: int, recent_days: int) -> View:
    """Everything known at `cut`, habits too."""
    known = known_at(history, cut, recent_days)
    return view_of(known, habits_of(known))


def expected_orders(view: View, days: int) -> Floats:
    """BG/NBD's expectation for the next `days`, in orders: its purchases times the brand's orders per purchase day."""
    weeks = days / bgnbd.DAYS_PER_UNIT
    return bgnbd.expected_purchases(view.habits.parameters, view.seen, weeks) * view.habits.orders_per_purchase_day


def chance_to_buy(view: View, days: int) -> Floats:
    """BG/NBD's chance of at least one order in the next `days`."""
    return bgnbd.chance_to_buy(view.habits.parameters, view.seen, days / bgnbd.DAYS_PER_UNIT)


def features(view: View, days: int) -> Floats:
    """One row per customer, for a window of `days` after the cut. The view's recent orders must be those of days // 2
    before it."""
    known = view.known
    expected = np.maximum(expected_orders(view, days), SMALLEST)
    chance = np.clip(chance_to_buy(view, days), SMALLEST, 1 - SMALLEST)
    once = (known.purchase_days == 1).astype(np.float64)
    scale = money_scale(view)
    spend = np.maximum(known.spend, 0) / scale
    return np.column_stack(
        [
            np.log(expected),
            np.log(chance / (1 - chance)),
            np.log(known.recency),
            np.log(known.orders),
            np.log((spend + 1) / (known.orders + 1)),
            known.recency / known.tenure,
            np.log1p(known.recent),
            once,
            once * np.log(known.recency),
            np.log(spend + SMALLEST_SPEND),
            np.log(known.spend_lately / scale + SMALLEST_SPEND_LATELY),
        ]
    )


def spend_features(view: View, days: int) -> Floats:
    """The same, and the worth of the customer's mean order, in the brand's."""
    worth = np.maximum(view.habits.money.mean_order(view.known) / money_scale(view), SMALLEST)
    return np.column_stack([features(view, days), np.log(worth)])


def money_scale(view: View) -> float:
    """The brand's mean order, by which money is divided; 1 where that is nothing."""
    return abs(view.habits.money.mean) or 1.0
