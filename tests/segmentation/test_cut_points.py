"""Cut points of a population in whatever bits it is kept, and which orders count where the calendar begins."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pytest

from segmentation.engine import open_duckdb
from segmentation.occurrences import occurrences
from segmentation.rfm import counted, cut_points

TAIPEI = ZoneInfo("Asia/Taipei")


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("times", [1, 3])
def test_few_bits_count_as_many_do(kind: Any, times: int) -> None:
    values = np.repeat(np.arange(-128, 128), times)  # from the least to the greatest of int8 is more than it holds
    numbers, often = occurrences(values.astype(kind))
    assert numbers.tolist() == list(range(-128, 128))
    assert often.tolist() == [times] * 256
    assert cut_points(values.astype(kind)) == (-77, -26, 25, 76)


@pytest.mark.parametrize(
    ("look_back_days", "inside"), [(1, [3]), (730, [2, 3]), (36_500, [1, 2, 3]), (None, [1, 2, 3])]
)
def test_a_window_that_begins_before_the_calendar_holds_all_that_was_before(
    look_back_days: int | None, inside: list[int]
) -> None:
    days = [datetime(*day) for day in ((1, 1, 1), (2, 1, 2), (3, 12, 31), (4, 1, 1))]  # noqa: DTZ001 - brand time
    rows = [{"n": n, "ordered_at": day} for n, day in enumerate(days, start=1)]
    with open_duckdb(TAIPEI) as connection:
        orders = ibis.memtable(rows, schema={"n": "int64", "ordered_at": "timestamp"})
        found = connection.to_pyarrow(orders.filter(counted(orders, date(4, 1, 1), TAIPEI, look_back_days)).n)
    assert sorted(found.to_pylist()) == inside
