"""How many people an experiment takes, and what a number of people can tell: said before it is sent.

Two rules, by how the winner is chosen. `fixed`: one look at the end, two-sided test of two proportions (Fleiss, Levin,
Paik, 2003, "Statistical Methods for Rates and Proportions", §4.2, without continuity correction). `anytime`: the rule
of stopping.py, which may be looked at whenever one likes and takes about twice as many people for it.
"""

from dataclasses import dataclass
from math import ceil, log, sqrt
from typing import Any, Literal

from scipy.optimize import brentq
from scipy.stats import norm

from store.errors import BadInput

Rule = Literal["fixed", "anytime"]

# What the mixture of stakes in stopping.py costs beside a bettor who knows the difference, in log-wealth: measured, the
# power then comes out within a few percent of what was asked (tests/campaigns/experiments/test_sample_size.py).
MIXTURE_COST = 1.6


@dataclass(frozen=True)
class Design:
    """What was asked: rates 0..1 of success, `baseline` of the first variant; `alpha` for all pairs of variants
    together; `power` to see a difference of the given size between any two."""

    baseline: float
    variants: int = 2
    alpha: float = 0.05
    power: float = 0.8
    rule: Rule = "anytime"

    def __post_init__(self) -> None:
        if not 0 < self.baseline < 1:
            raise BadInput(f"the rate expected must be above 0 and below 1, got {self.baseline}")
        if not (0 < self.alpha < 1 and 0 < self.power < 1):
            raise BadInput("alpha and power must be above 0 and below 1")
        if self.variants < 2:
            raise BadInput("an experiment needs at least two variants")


def people_needed(design: Design, difference: float) -> int:
    """People in all, shared equally among the variants, to see a `difference` (absolute, above 0) from the baseline.
    Raises BadInput when no rate could differ by that much."""
    other = design.baseline + difference
    if not (difference > 0 and other < 1):
        raise BadInput(f"the difference must be above 0 and leave the rate below 1, got {difference}")
    return design.variants * ceil(_per_variant(design, other))


def detectable(design: Design, people: int) -> float | None:
    """The smallest difference (absolute) that `people` in all can show; None when not even the largest possible."""
    each = people / design.variants
    largest = (1 - design.baseline) * (1 - 1e-9)
    if each <= 0 or _per_variant(design, design.baseline + largest) > each:
        return None

    def lacking(difference: float) -> float:
        return _per_variant(design, design.baseline + difference) - each

    return float(brentq(lacking, 1e-9, largest, xtol=1e-9))


def _per_variant(design: Design, other: float) -> float:
    p, alpha = design.baseline, design.alpha / (design.variants * (design.variants - 1) / 2)
    z_power = float(norm.ppf(design.power))
    if design.rule == "fixed":
        middle = (p + other) / 2
        spread = float(norm.isf(alpha / 2)) * sqrt(2 * middle * (1 - middle))
        return float((spread + z_power * sqrt(p * (1 - p) + other * (1 - other))) ** 2 / (other - p) ** 2)
    # Of the two variants' people each is worth y·(±2): a variance of 2(p + q) less the square of the difference.
    z = sqrt(2 * (log(2 / alpha) + MIXTURE_COST)) + z_power
    return (z**2 * (2 * (p + other) - (other - p) ** 2) / (other - p) ** 2) / 2


def as_words(design: Design, people: int) -> dict[str, Any]:
    """What `people` can tell, in Traditional Chinese and English."""
    smallest = detectable(design, people)
    if smallest is None:
        return {
            "detectable": None,
            "zh": f"{people:,} 人太少，看不出任何差異。",
            "en": f"{people:,} people are too few to show any difference.",
        }
    rates = f"{design.baseline:.2%} → {design.baseline + smallest:.2%}"
    return {
        "detectable": smallest,
        "zh": f"以 {people:,} 人，可看出至少 {smallest:.2%} 的差異（{rates}），把握 {design.power:.0%}。",
        "en": f"With {people:,} people you can detect {smallest:.2%} or more ({rates}), power {design.power:.0%}.",
    }
