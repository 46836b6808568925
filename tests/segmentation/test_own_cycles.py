"""Personal cycles and activity are exact, however large the numbers: floats are only used where they are."""

import itertools
import random
from decimal import Decimal
from fractions import Fraction

import ibis
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest

from segmentation.activity import Activity, state
from segmentation.nesl import personal_cycle

LONGEST = 80_000  # days
COUNTS = (1, 2, 3, 7, 12_345, 2**31 - 2)


def cycles_of(gaps: list[tuple[int | None, int | None]], brand: int, weight: int) -> list[int]:
    """The personal cycles, as DuckDB computes them, of customers with so many gaps and twice the median."""
    rows = pa.table(
        {
            "gaps": pa.array([count for count, _ in gaps], pa.int32()),
            "median": pa.array([None if doubled is None else doubled / 2 for _, doubled in gaps], pa.float64()),
        }
    )
    table = ibis.memtable(rows)
    found = table.select(days=personal_cycle(table.gaps, table.median, brand, weight))
    assert found.days.type() == ibis.dtype("int32")
    days: list[int] = ibis.duckdb.connect().to_pyarrow(found)["days"].to_pylist()
    return days


@pytest.mark.parametrize(("brand", "weight"), [(1, 1), (30, 3), (45, 2), (3650, 100), (3649, 7)])
def test_a_personal_cycle_is_the_fraction_rounded_halves_up(brand: int, weight: int) -> None:
    chance = random.Random(11)
    by_chance = [(chance.choice((chance.randint(1, 50), chance.randint(1, 2**31 - 2))), n) for n in range(3_000)]
    corners = itertools.product(COUNTS, (0, 1, 2, 59, 60, 61, 2 * LONGEST - 1, 2 * LONGEST))
    gaps = [(count, doubled) for count, doubled in (*by_chance, *corners)]
    means = [(Fraction(weight * brand) + count * Fraction(doubled, 2)) / (weight + count) for count, doubled in gaps]
    assert any(mean % 1 == Fraction(1, 2) for mean in means)
    assert cycles_of(list(gaps), brand, weight) == [max(1, int(mean + Fraction(1, 2))) for mean in means]


def test_whoever_has_no_gap_has_the_brands_cycle() -> None:
    assert cycles_of([(None, None), (0, None)], 37, 3) == [37, 37]


@pytest.mark.parametrize("ends", [("1.5", "3", "6"), ("0.01", "0.02", "1000"), ("1.1", "1.13", "1.15")])
def test_the_ranges_of_activity_end_where_they_say_to_the_day(ends: tuple[str, str, str]) -> None:
    active, low, silent = map(Decimal, ends)
    ranges = Activity(0, 30, active, low, silent)
    usual = [*range(1, 200), 999, 12_345, LONGEST]
    lasts = [int(days * Decimal(end)) for days in usual for end in ends]  # the last day of each range
    pairs = [
        (last + more, days)
        for (days, _), last in zip(itertools.product(usual, ends), lasts, strict=True)
        for more in (0, 1)
    ]
    acts = ibis.memtable(
        pa.table(
            {"since_last": pa.array([last for last, _ in pairs], pa.int32()), "usual": [days for _, days in pairs]}
        )
    )
    acts = acts.mutate(since_first=acts.since_last + 1, longest_recent=ibis.null("int32"))
    found = ibis.duckdb.connect().to_pyarrow(acts.select(state=state(acts, acts.usual, ranges)))["state"].to_pylist()
    names = ("active", "low", "silent")
    wanted = [
        next((name for name, end in zip(names, ends, strict=True) if last <= days * Decimal(end)), "lost")
        for last, days in pairs
    ]
    assert found == wanted
    assert set(wanted) == {*names, "lost"}
