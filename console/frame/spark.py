"""Small drawings of numbers over time: the points of a line, for an inline SVG that scripts/spark.js lets answer."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 120, 28  # units of the drawing
MARGIN = 2  # so that the line's ends are not cut


@dataclass(frozen=True)
class Spark:
    """One line of numbers at equal steps. `points` as SVG's polyline takes them; empty with fewer than two numbers.
    `said`: what each point says, between strokes."""

    points: str
    said: str
    first: int
    last: int
    width: int = WIDTH
    height: int = HEIGHT


def spark(steps: Sequence[object], numbers: Sequence[int]) -> Spark:
    """The drawing of `numbers`, one for each of `steps` (days). They begin at zero height at 0: a line that looks flat
    is nearly flat."""
    if not numbers:
        return Spark("", "", 0, 0)
    top = max(*numbers, 1) if len(numbers) > 1 else max(numbers[0], 1)
    step = (WIDTH - 2 * MARGIN) / max(len(numbers) - 1, 1)
    places = (
        f"{MARGIN + place * step:.1f},{HEIGHT - MARGIN - number / top * (HEIGHT - 2 * MARGIN):.1f}"
        for place, number in enumerate(numbers)
    )
    said = "|".join(f"{name} {number:,}" for name, number in zip(steps, numbers, strict=True))
    return Spark(" ".join(places) if len(numbers) > 1 else "", said, numbers[0], numbers[-1])
