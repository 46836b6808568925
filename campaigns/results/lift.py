"""What sending added: those sent to against those held out, with intervals. Numbers in, numbers out; no database.

People were told apart by chance before anything was sent, so the difference is what the messages did.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from math import sqrt

from scipy.stats import norm

CONFIDENCE = 0.95
FEW_BUYERS = 5  # expected in the smaller arm: below it the spread of revenue can't be told
_PRIOR_PEOPLE = 4  # so many people of the two arms together are mixed into each arm's share of buyers
_PRIOR_BUYERS = 20  # of common spending that each arm's mean is drawn to


@dataclass(frozen=True)
class Arm:
    """People of one side with what they bought inside the window. `squares`: of each person's revenue, summed."""

    people: int = 0
    buyers: int = 0
    orders: int = 0
    revenue: Decimal = Decimal(0)
    squares: float = 0.0

    @property
    def rate(self) -> float:
        """Buyers per person, 0..1; 0.0 for nobody."""
        return self.buyers / self.people if self.people else 0.0

    @property
    def per_person(self) -> float:
        """Revenue per person; 0.0 for nobody."""
        return float(self.revenue) / self.people if self.people else 0.0

    def __add__(self, other: "Arm") -> "Arm":
        return Arm(
            self.people + other.people,
            self.buyers + other.buyers,
            self.orders + other.orders,
            self.revenue + other.revenue,
            self.squares + other.squares,
        )


@dataclass(frozen=True)
class Lift:
    """A difference and the interval that holds the truth as often as its confidence says."""

    difference: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves nil out."""
        return self.low > 0 or self.high < 0


@cache
def z_of(confidence: float = CONFIDENCE, comparisons: int = 1) -> float:
    """How many standard errors a two-sided interval reaches to each side. With several `comparisons` each is widened
    (Bonferroni) so that all of them together are right as often as `confidence`."""
    return float(norm.ppf(1 - (1 - confidence) / (2 * max(1, comparisons))))


def conversion_lift(sent: Arm, held_out: Arm, z: float | None = None, *, times: float = 1.0) -> Lift | None:
    """Buyers per person, sent minus held out (Newcombe 1998, Statistics in Medicine 17, 873-890, method 10: built from
    Wilson's interval of each); None for an empty arm. `z` as from `z_of`; 95 % without it. `times`: how often each
    person stands in the arms; so many times fewer tell something of their own."""
    if not sent.people or not held_out.people:
        return None
    z = z or z_of()
    apart = [Lift(arm.rate, *wilson(arm.buyers / times, arm.people / times, z)) for arm in (sent, held_out)]
    return difference_of(*apart)


def revenue_lift(sent: Arm, held_out: Arm, z: float | None = None, *, times: float = 1.0) -> Lift | None:
    """Revenue per person, sent minus held out; None where the buyers are too few to tell how it spreads. `times` as in
    `conversion_lift`.

    Most people spend nothing and few spend much, and a holdout is small: Welch's interval, which takes the spread of
    each arm from that arm alone, then claims a gain up to eight times too often, since a holdout that misses the big
    spenders looks both poor and even. So in two parts (after Lachenbruch 2001, Statistics in Medicine 20, 1215-1234):
    each arm has a share of buyers of its own, drawn a little to the common one (Agresti and Coull), and what a buyer
    spends spreads as it does over both arms together, but in proportion to the arm's own mean, drawn to the common one,
    where that is more: a coupon may let those sent to spend less each. Never in proportion where it is less, or few and
    small orders by chance would look sure. tests/campaigns/results/test_lift.py measures how often the interval holds
    the truth.
    """
    buyers, people = sent.buyers + held_out.buyers, sent.people + held_out.people
    smaller = min(sent.people, held_out.people)
    if not smaller or buyers / people * smaller / times < FEW_BUYERS:
        return None
    mean = float(sent.revenue + held_out.revenue) / buyers
    square = (sent.squares + held_out.squares) / buyers
    error = 0.0
    for arm in (sent, held_out):
        share = (arm.buyers / times + buyers / people * _PRIOR_PEOPLE) / (arm.people / times + _PRIOR_PEOPLE)
        own = (float(arm.revenue) / times + mean * _PRIOR_BUYERS) / (arm.buyers / times + _PRIOR_BUYERS)
        scale = max(1.0, own / mean) if mean > 0 else 1.0
        error += scale**2 * (share * square - (share * mean) ** 2) / (arm.people / times)
    difference, reach = sent.per_person - held_out.per_person, (z or z_of()) * sqrt(error)
    return Lift(difference, difference - reach, difference + reach)


def difference_of(first: Lift, second: Lift) -> Lift:
    """First minus second, both measured on other people (Zou and Donner 2008, Statistics in Medicine 27, 1693-1702:
    the interval is recovered from theirs, so it is as lopsided as they are)."""
    difference = first.difference - second.difference
    return Lift(
        difference,
        difference - sqrt((first.difference - first.low) ** 2 + (second.high - second.difference) ** 2),
        difference + sqrt((first.high - first.difference) ** 2 + (second.difference - second.low) ** 2),
    )


def wilson(count: float, people: float, z: float) -> tuple[float, float]:
    """Wilson's interval of a share, 0..1."""
    share = count / people
    middle = (share + z**2 / (2 * people)) / (1 + z**2 / people)
    half = z * sqrt(share * (1 - share) / people + z**2 / (4 * people**2)) / (1 + z**2 / people)
    return middle - half, middle + half
