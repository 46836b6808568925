"""Exact cut points of a population on a cluster: by counting, never by a sort that one machine must hold.

Values are counted by their leading bits; only the groups that a wanted rank lies in are then counted again by more
bits, until single values are left. A few times 2**STEP_BITS counts travel, whatever the size of the population.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.rfm import quantile_ranks
from segmentation.spark.session import SparkConnection, Table

STEP_BITS = 16


def quantiles(spark: SparkConnection, values: Table, least: int, most: int, count: int) -> tuple[int, ...]:
    """For each of QUANTILES the least value with at least that share of the rows at or below it. `values` has one
    column of whole numbers, `value`, without nulls; `least`, `most` and `count` (at least 1) are of its rows."""
    ranks = quantile_ranks(count)
    shift = max(0, (most - least).bit_length() - STEP_BITS)
    found = _ranked(_counts(spark, values, shift), ranks)
    while shift > 0:
        groups, finer = sorted({group for group, _ in found}), max(0, shift - STEP_BITS)
        counts = _counts(spark, values.filter((values.value >> shift).isin(groups)), finer)
        found = [
            _within(counts, group, shift - finer, rank, below)
            for (group, below), rank in zip(found, ranks, strict=True)
        ]
        shift = finer
    return tuple(value for value, _ in found)


def _counts(spark: SparkConnection, values: Table, shift: int) -> pa.Table:
    """How many rows have each value of `value >> shift` (which keeps the order, of negative values too), ascending."""
    grouped = values.group_by(group=values.value >> shift if shift else values.value)
    return spark.to_pyarrow(grouped.aggregate(people=lambda rows: rows.count())).sort_by("group")


def _ranked(counts: pa.Table, ranks: Sequence[int], below: int = 0) -> list[tuple[int, int]]:
    """For each rank (from 1, over `below` rows and those counted) its group, and how many rows lie before that."""
    groups, people = counts["group"].to_numpy(), counts["people"].to_numpy()
    ends = below + np.cumsum(people)
    places = np.searchsorted(ends, ranks)
    return [(int(groups[place]), int(ends[place] - people[place])) for place in places]


def _within(counts: pa.Table, group: int, bits: int, rank: int, below: int) -> tuple[int, int]:
    """As `_ranked`, for the rows of one coarser group, which has `bits` fewer bits."""
    mine = (counts["group"].to_numpy() >> bits) == group
    return _ranked(counts.filter(pa.array(mine)), [rank], below)[0]
