"""Customer state by activity: the time since the last act, measured in the customer's own usual gap between acts. Ibis
expressions; knows no database. The definition in full is in docs/segments.md.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import ibis

from store.errors import BadInput

STATES = ("none", "new", "active", "low", "silent", "lost", "returned")
HUNDREDTHS = 100  # ranges are compared in whole hundredths of a gap, so exactly

Table = Any
Expression = Any


@dataclass(frozen=True)
class Activity:
    """The ranges of the states. Whole days from the first act, or back from the day computed for; the others in usual
    gaps since the last act, at most two decimal places, each range up to and including its end."""

    new_days: int = 30  # first act at most so many days ago: new
    returned_days: int = 30  # a silence ended at most so many days ago: returned, while active
    active_to: Decimal = Decimal("1.5")
    low_to: Decimal = Decimal(3)
    silent_to: Decimal = Decimal(6)  # beyond it: lost
    weight: int = 3  # of the population's usual gap, in gaps of one's own

    def __post_init__(self) -> None:
        for name in ("new_days", "returned_days"):
            if not 0 <= getattr(self, name) <= 3650:
                raise BadInput(f"the activity range {name} must be 0 to 3650 days, not {getattr(self, name)}")
        ends = (self.active_to, self.low_to, self.silent_to)
        if not all(end.is_finite() and end * HUNDREDTHS == int(end * HUNDREDTHS) for end in ends):
            raise BadInput(f"the activity ranges have at most two decimal places, not {', '.join(map(str, ends))}")
        if not 0 < self.active_to < self.low_to < self.silent_to <= 1000:
            raise BadInput(
                f"the activity ranges must rise from above 0 to at most 1000, not {', '.join(map(str, ends))}"
            )
        if not 1 <= self.weight <= 100:
            raise BadInput(f"the weight of the population's usual gap must be 1 to 100, not {self.weight}")


def state(acts: Table, usual_days: Expression, ranges: Activity) -> Expression:
    """The state of customers who have acted. `acts` has `since_first` and `since_last` (days) and `longest_recent`, the
    longest gap that ended in the last `returned_days` (null without one); `usual_days` is each one's usual gap."""

    def within(days: Expression, end: Decimal) -> Expression:
        return days.cast("float64") * HUNDREDTHS <= usual_days.cast("float64") * int(end * HUNDREDTHS)

    is_active = within(acts.since_last, ranges.active_to)
    was_silent = ~within(acts.longest_recent, ranges.low_to)
    return ibis.cases(
        (acts.since_first <= ranges.new_days, "new"),
        (is_active, ibis.cases((was_silent, "returned"), else_="active")),
        (within(acts.since_last, ranges.low_to), "low"),
        (within(acts.since_last, ranges.silent_to), "silent"),
        else_="lost",
    )
