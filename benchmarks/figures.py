"""One measured figure, and how the command line shows it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measurement beside what it is compared with, both taken in the same run.

    `ratio` is value / peer in the sense that the goal states; None where a figure stands alone.
    """

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None  # None: no goal is stated for it
