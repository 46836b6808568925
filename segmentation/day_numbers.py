"""The customers of some shares as the numbers 0, 1, …, by which arrays are indexed. Arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

PLACES_A_ROW = 4  # at most; ids that lie wider apart are looked up
FAR = 2**62  # so are those that lie so far out, where 64 bits end

Ints = NDArray[Any]


@dataclass(frozen=True)
class Spread:
    """How the ids that are whole numbers lie among some shares: those of share k are `first + k`, and on from there to
    both sides always so far `apart`."""

    first: int
    shares: int
    apart: int

    def numbered(self, whose: Sequence[Ints], shares: range) -> tuple[Ints, list[Ints]] | None:
        """What `numbered` gives, where a number can be told from an id by reckoning: then all ids that could be have
        one, whether they occur or not. None where these would be too many."""
        filled = [ids for ids in whose if len(ids)]
        if not filled:
            return None
        least, most = min(int(ids.min()) for ids in filled), max(int(ids.max()) for ids in filled)
        start, wide = least // self.apart, len(shares)
        count = (most // self.apart - start + 1) * wide
        if least <= -FAR or most >= FAR or count > PLACES_A_ROW * sum(map(len, filled)):
            return None
        times, share = np.divmod(np.arange(count), wide) if wide > 1 else (np.arange(count), 0)
        ids = (start + times) * self.apart + self.first + shares.start + share
        return ids, [self._numbers(of, start, shares) for of in whose]

    def _numbers(self, ids: Ints, start: int, shares: range) -> Ints:
        if not len(ids):  # whose type may be narrower than the start
            return np.zeros(0, np.int32)
        times = (ids // self.apart - start).astype(np.int32)
        if len(shares) == 1:
            return times
        return times * len(shares) + (ids % self.apart).astype(np.int32) - self.first - shares.start


def numbered(
    whose: Sequence[pa.Array], kind: pa.DataType, spread: Spread, shares: range
) -> tuple[pa.Array, list[Ints]]:
    """Ids of that `kind`, among them all that occur in these `shares`, and of `whose` (of each table its rows' ids)
    the place of each among them."""
    if pa.types.is_integer(kind):
        found = spread.numbered([ids.to_numpy() for ids in whose], shares)
        if found is not None:
            return pa.array(found[0]).cast(kind, safe=False), found[1]  # an id that nobody has may be too large
    encoded = pa.concat_arrays([ids.cast(kind) for ids in whose]).dictionary_encode()
    ends = np.cumsum([len(ids) for ids in whose])
    return encoded.dictionary, np.split(encoded.indices.to_numpy(), ends[:-1])
