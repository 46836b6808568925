"""Which of many lines are taken: one by one, the best first, less willingly if they repeat those taken; some by what
they are expected to bring, some by a draw of what they might. Arrays in, places out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
May = Callable[[int], bool]


def _any(_line: int) -> bool:
    return True


@dataclass(frozen=True)
class Race:
    """The lines that might be taken; arrays are in their order."""

    expected: Floats  # log-odds
    drawn: Floats  # draws x lines; the first row is the request's
    is_open: NDArray[np.bool_]  # has something not yet proven
    uses: Floats  # lines x what may be used up: the product of two rows is what repeating costs
    burden: Floats  # what it costs a line whatever else is taken
    may: May  # whether a line may be taken at all; asked only of those that `run` would take
    count: int
    room: int  # places of `count` that are drawn, among those that are open; all of them: among all

    def run(self) -> tuple[list[int], list[int]]:
        """(Places of the lines that are expected to bring most, places of those that were drawn on top), each the best
        first. Where too few are open, the former fill what room is left."""
        firm = self._take(self.expected, (), self.count - self.room, self.may)
        tried = self._tried(firm, self.drawn[0], self.may)
        firm += self._take(self.expected, [*firm, *tried], self.room - len(tried), self.may)
        best = self.expected if self.room < self.count else self.drawn[0]
        return sorted(firm, key=lambda i: -best[i]), sorted(tried, key=lambda i: -best[i])

    def propensities(self, firm: Sequence[int], tried: Sequence[int]) -> Floats:
        """The chance of each line to be shown, given what `run` returned: 1 of the `firm`, else the share of the draws
        that take it. Lines that `run` did not come by are taken to be allowed, which nearly all are."""
        shown = np.zeros(len(self.expected))
        if len(tried) == self.room > 0:
            counts = np.bincount([i for one in self.drawn for i in self._tried(firm, one)], minlength=len(shown))
            shown = counts / len(self.drawn)
        else:  # every draw takes all that are open
            shown[list(tried)] = 1.0
        shown[list(firm)] = 1.0
        return np.asarray(shown)

    def _tried(self, firm: Sequence[int], drawn: Floats, may: May = _any) -> list[int]:
        scores = drawn if self.room == self.count else np.where(self.is_open, drawn, -np.inf)
        return self._take(scores, firm, self.room, may)

    def _take(self, scores: Floats, taken: Sequence[int], count: int, may: May) -> list[int]:
        """The places of up to `count` more lines beside those `taken`; those of -inf never."""
        left = scores - self.burden - self.uses @ self.uses[list(taken)].sum(axis=0)
        left[list(taken)] = -np.inf
        more: list[int] = []
        while len(more) < count and np.isfinite(left).any():
            best = int(np.argmax(left))
            if may(best):
                more.append(best)
                left -= self.uses @ self.uses[best]
            else:
                self.burden[best] = np.inf  # not asked again
            left[best] = -np.inf
        return more
