"""One person of the population: traits drawn once, from a stream of their own."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

import numpy as np

from simulator.words import THEME_WORDS

MEAN_LIFETIME_DAYS = 900.0  # until a person goes quiet for good
HABIT_SPREAD = 0.6  # standard deviation of what makes people tap more or less, in log-odds


class SpendingClass(IntEnum):
    """How much a person has spent so far: visible from orders."""

    NONE = 0
    LOW = 1
    MIDDLE = 2
    HIGH = 3


DAILY_PURCHASES = {
    SpendingClass.NONE: 0.0008,
    SpendingClass.LOW: 0.002,
    SpendingClass.MIDDLE: 0.005,
    SpendingClass.HIGH: 0.012,
}
TYPICAL_AMOUNT = {
    SpendingClass.NONE: 400.0,
    SpendingClass.LOW: 450.0,
    SpendingClass.MIDDLE: 800.0,
    SpendingClass.HIGH: 1600.0,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who they are. `habit` is their own log-odds of tapping against the average; `first_hour` and `hours_awake` are
    local; `price_sensitivity` is 1 on average; rates are per day; `quiet_from` is when they stop caring (aware UTC)."""

    line_user_id: str
    customer_id: str
    name: str
    spending_class: SpendingClass
    habit: float
    first_hour: int
    hours_awake: int
    likes: frozenset[str]
    price_sensitivity: float
    daily_purchases: float
    typical_amount: float
    daily_chats: float
    quiet_from: datetime


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A stream of random numbers that depends on the seed and the names alone, whatever else was drawn before."""
    text = "\x1f".join(map(str, (seed, *names)))
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


_SURNAMES = "陳林黃張李王吳劉蔡楊許鄭謝郭洪曾"
_GIVEN = (
    "怡君",
    "雅婷",
    "志明",
    "家豪",
    "淑芬",
    "佳穎",
    "俊傑",
    "欣怡",
    "承翰",
    "詩涵",
    "柏翰",
    "宜蓁",
    "冠宇",
    "品妍",
)


def draw_person(
    seed: int,
    line_user_id: str,
    born: datetime,
    *,
    spending_class: SpendingClass | None = None,
    customer_id: str | None = None,
    typical_amount: float | None = None,
) -> Person:
    """A person with traits drawn from their own stream; what is given is kept. Their lifetime starts at `born`."""
    draw = stream(seed, "person", line_user_id)
    drawn_class = SpendingClass(int(draw.choice(4, p=[0.25, 0.35, 0.25, 0.15])))
    chosen = drawn_class if spending_class is None else spending_class
    themes = sorted(THEME_WORDS)
    name = _SURNAMES[draw.integers(len(_SURNAMES))] + _GIVEN[draw.integers(len(_GIVEN))]
    return Person(
        line_user_id=line_user_id,
        customer_id=customer_id or line_user_id,
        name=name,
        spending_class=chosen,
        habit=float(draw.normal(0.0, HABIT_SPREAD)),
        first_hour=int(draw.integers(6, 13)),
        hours_awake=int(draw.integers(10, 15)),
        likes=frozenset(themes[i] for i in draw.choice(len(themes), size=2, replace=False)),
        price_sensitivity=float(draw.gamma(6.0, 1 / 6.0)),
        daily_purchases=DAILY_PURCHASES[chosen] * float(draw.gamma(2.0, 0.5)),
        typical_amount=typical_amount or TYPICAL_AMOUNT[chosen] * float(draw.lognormal(0.0, 0.3)),
        daily_chats=float(draw.gamma(0.5, 0.04)),
        quiet_from=born + timedelta(days=float(draw.exponential(MEAN_LIFETIME_DAYS))),
    )
