"""What one run taught: each of its terms as known without the run and with it, and what its own variants say alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keywords.effects.learning import Learning, design_of
from keywords.effects.ranking import Z, leave_out

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """An effect on the log-odds of a click with its 90 % interval."""

    effect: float
    low: float
    high: float


@dataclass(frozen=True)
class Lesson:
    """What a run taught about one term of it."""

    term: str
    before: Estimate  # what all other runs teach; of a term that only this run had, that nothing is known
    after: Estimate  # what all runs teach, this one among them
    experiment: Estimate | None  # this run's variants with the term against those without; None: not tried so
    segments: int  # that got both


def lessons_of(learning: Learning, run_id: int) -> list[Lesson]:
    """A lesson per term of the run, the most changed (in standard deviations of before) first; [] where the run is not
    among what was learned from. Nothing is fitted: the run's part is taken out of the posterior that there is."""
    messages = learning.messages
    rows = np.flatnonzero(messages.run == run_id)
    places = np.unique(learning.present[rows].indices)
    if not len(places):
        return []
    design = design_of(messages, learning.terms, learning.present, learning.opening, learning.phrases)
    counts = messages.clicks, messages.recipients
    effect, deviation = leave_out(learning.fit, design, *counts, campaign=messages.campaign, rows=rows)
    found = []
    for place in places:
        before, reach = float(effect[place]), Z * float(deviation[place])
        after = tuple(float(values[place]) for values in (learning.fit.effect, learning.fit.low, learning.fit.high))
        tried, segments = _tried(learning, rows, learning.present[rows, place].toarray().ravel() > 0)
        found.append(
            Lesson(
                term=learning.terms[place],
                before=Estimate(before, before - reach, before + reach),
                after=Estimate(*after),
                experiment=tried,
                segments=segments,
            )
        )
    return sorted(found, key=lambda lesson: -abs(lesson.after.effect - lesson.before.effect) / _width(lesson.before))


def _width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def _tried(learning: Learning, rows: NDArray[Any], has_term: NDArray[np.bool_]) -> tuple[Estimate | None, int]:
    """The difference in log-odds between variants with and without the term, pooled over the segments that got both,
    each weighted by what it says; and how many those are. Other words may differ between the variants too."""
    messages = learning.messages
    clicks, others = messages.clicks[rows] + 0.5, messages.recipients[rows] - messages.clicks[rows] + 0.5
    logits = np.log(clicks / others)
    weights = 1 / (1 / clicks + 1 / others + learning.fit.row_variance)
    differences, says = [], []
    for segment in np.unique(messages.segment[rows]):
        arms = [(messages.segment[rows] == segment) & (has_term == side) for side in (True, False)]
        if all(arm.any() for arm in arms):
            with_term, without = (float(np.average(logits[arm], weights=weights[arm])) for arm in arms)
            differences.append(with_term - without)
            says.append(1 / sum(1 / float(weights[arm].sum()) for arm in arms))
    if not says:
        return None, 0
    effect, reach = float(np.average(differences, weights=says)), Z / float(np.sqrt(sum(says)))
    return Estimate(effect, effect - reach, effect + reach), len(says)
