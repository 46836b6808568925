"""How often whole numbers occur. Arrays in, arrays out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[Any]


def lie_close(values: Ints) -> bool:
    """Whether there are no more numbers from the least to the greatest than values, of which there is one at least: to
    count is then far cheaper than to compare."""
    return int(values.max()) - int(values.min()) < len(values)


def occurrences(values: Ints) -> tuple[Ints, Ints]:
    """Each number that occurs, in rising order, and how often."""
    if not len(values) or not lie_close(values):
        return np.unique(values, return_counts=True)
    least = values.min()
    often = np.bincount(np.subtract(values, least, dtype=np.intp))  # in few bits a difference might wrap
    found = np.flatnonzero(often)
    return found + least, often[found]
