"""Effects with their intervals as bars on one scale, for an inline drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from keywords.report import TermRow

CHART_WIDTH, ROW_HEIGHT = 320, 22  # units of the drawing


@dataclass(frozen=True)
class Bar:
    """One term of the chart: odds ratios for the text, x positions for the drawing."""

    row: TermRow
    times: float
    times_low: float
    times_high: float
    x_low: float
    x_high: float
    x_effect: float
    kind: str  # up | down | open: settled above 1, settled below 1, not settled


def draw(rows: Sequence[TermRow]) -> tuple[float, list[Bar]]:
    """(x of no effect, one bar per row in the same order), on one log-odds scale that holds every interval."""
    low = min([0.0, *(row.low for row in rows)])
    high = max([0.0, *(row.high for row in rows)])
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return round((value - low) / span * CHART_WIDTH, 1)

    return x(0.0), [
        Bar(
            row,
            exp(row.effect),
            exp(row.low),
            exp(row.high),
            x(row.low),
            x(row.high),
            x(row.effect),
            "up" if row.low > 0 else "down" if row.high < 0 else "open",
        )
        for row in rows
    ]


def both_ends(rows: Sequence[TermRow], count: int) -> list[TermRow]:
    """The first `count` and the last `count` of `rows`, each once: what costs clicks is worth knowing too."""
    return [*rows] if len(rows) <= 2 * count else [*rows[:count], *rows[-count:]]
