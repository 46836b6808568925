"""The states of NESL as a drawing: how many are in each, and how many went along each arrow between two days.

Drawn by the server as SVG with the colours of the page; static/scripts/flow.js lets it answer. Arrows are those that a
customer can take in one step: bought again, or didn't. Whoever went further between two days (E to L, say) stands in
the matrix beneath.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from console.segments.sizes import Size
from segmentation.movement import Movement

WIDTH, HEIGHT = 860, 330
BOX_WIDTH, BOX_HEIGHT = 132, 64
MODELS = ("nesl", "nesl_personal")

# Where the middle of each state's box lies.
PLACES = {
    "never": (80, 86),
    "N": (300, 86),
    "E": (560, 86),
    "S1": (300, 264),
    "S2": (540, 264),
    "L": (780, 264),
}
# (from, to): the arrow's path, the middle of its label, and whether it is good news.
ARROWS = {
    ("never", "N"): ("M146 86 H228", (187, 74), True),
    ("N", "E"): ("M366 86 H488", (428, 74), True),
    ("N", "S1"): ("M290 118 V226", (252, 176), False),
    ("E", "S1"): ("M500 118 L356 228", (392, 176), False),
    ("S1", "E"): ("M372 236 L524 122", (484, 196), True),
    ("S1", "S2"): ("M366 272 H468", (418, 292), False),
    ("S2", "L"): ("M606 272 H708", (658, 292), False),
    ("S2", "E"): ("M552 232 V124", (584, 176), True),
    ("L", "E"): ("M780 232 V86 H632", (742, 74), True),
}


@dataclass(frozen=True)
class State:
    """One box: the middle of it, the segment's name, how many are in it now and what share (0..1) of everybody, and
    the arrows that leave it."""

    x: int
    y: int
    name: str
    people: int
    share: float
    leaving: list["Arrow"]

    @property
    def corner(self) -> tuple[int, int]:
        """Its upper left corner."""
        return self.x - BOX_WIDTH // 2, self.y - BOX_HEIGHT // 2


@dataclass(frozen=True)
class Arrow:
    """How many went from `before` to `after`, and what share (0..1) of all who had been in `before`; `path` as SVG's
    path takes it, the label's middle at (x, y)."""

    before: str
    after: str
    path: str
    x: int
    y: int
    people: int
    share: float
    is_good: bool
    thickness: float  # px


@dataclass(frozen=True)
class Flow:
    """The whole drawing. `elsewhere`: how many went between two states that no arrow joins, of those who were
    customers on both days."""

    states: list[State]
    elsewhere: int
    width: int = WIDTH
    height: int = HEIGHT
    box: tuple[int, int] = (BOX_WIDTH, BOX_HEIGHT)

    @property
    def arrows(self) -> list[Arrow]:
        """Of all boxes."""
        return [arrow for state in self.states for arrow in state.leaving]


def nesl_flow(model: str, sizes: Mapping[str, Size], moves: Movement | None) -> Flow | None:
    """The drawing of `model` with the people of the newest day and the moves between two; None for other models."""
    if model not in MODELS:
        return None
    counts = dict((moves.counts if moves else None) or {})
    people = {name: sizes[name].customers if name in sizes else 0 for name in PLACES}
    everybody = max(sum(people.values()), 1)
    states = [
        State(x, y, name, people[name], people[name] / everybody, _leaving(name, counts))
        for name, (x, y) in PLACES.items()
    ]
    others = [pair for pair in counts if None not in pair and pair[0] != pair[1] and pair not in ARROWS]
    return Flow(states, sum(counts[pair] for pair in others))


def _leaving(state: str, counts: Mapping[tuple[str | None, str | None], int]) -> list[Arrow]:
    most = max((counts.get(pair, 0) for pair in ARROWS), default=0)
    before = sum(people for (name, _), people in counts.items() if name == state)
    return [
        Arrow(*pair, path, *label, went, went / max(before, 1), is_good, 1.5 + 5 * went / max(most, 1))
        for pair, (path, label, is_good) in ARROWS.items()
        if pair[0] == state
        for went in [counts.get(pair, 0)]
    ]
