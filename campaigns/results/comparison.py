"""Whether a rule picks the right people: what a message adds for those whom it names, against what the same message
adds for others.

A rule that looks right can be wrong: a travel site found that people who had not looked at a region bought three times
as often from its push as those who had. Buyers among those sent to don't show it, since the rule's own people may buy
anyway: only gains against a holdout on both sides do.
"""

from dataclasses import dataclass

from campaigns.results.lift import Arm, Lift, conversion_lift, difference_of, revenue_lift, z_of

CONFIDENCE = 0.90  # of an interval to both sides: a warning, which looks to one side, is false at most once in twenty


@dataclass(frozen=True)
class Comparison:
    """Gains per person, and how far those of the others exceed those of the rule's people."""

    inside: Lift
    outside: Lift
    apart: Lift  # outside minus inside
    revenue_apart: Lift | None  # the same in revenue per person; None where too few bought

    @property
    def is_warning(self) -> bool:
        """The others surely gain more than those whom the rule names."""
        return self.apart.low > 0


def compare(
    inside: tuple[Arm, Arm], outside: tuple[Arm, Arm], *, times: tuple[float, float] = (1.0, 1.0)
) -> Comparison | None:
    """Compare (sent, held out) of a rule's people with those of others; None unless all four have people. `times`: how
    often each person stands in either (campaigns/results/again.py)."""
    z, (often_inside, often_outside) = z_of(CONFIDENCE), times
    gain_inside = conversion_lift(*inside, z, times=often_inside)
    gain_outside = conversion_lift(*outside, z, times=often_outside)
    if gain_inside is None or gain_outside is None:
        return None
    paid_inside = revenue_lift(*inside, z, times=often_inside)
    paid_outside = revenue_lift(*outside, z, times=often_outside)
    revenue_apart = difference_of(paid_outside, paid_inside) if paid_inside and paid_outside else None
    return Comparison(gain_inside, gain_outside, difference_of(gain_outside, gain_inside), revenue_apart)
