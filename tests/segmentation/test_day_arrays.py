"""Orders and acts as arrays: whatever the customers' ids look like, in however many parts and shares."""

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
import pytest

from segmentation.day_matrix import SumTooLarge
from segmentation.engine import Request, compute, open_duckdb
from segmentation.facts import keep
from segmentation.files import segment_file
from segmentation.measures import UnreadableRows
from store.errors import BadInput

TAIPEI = ZoneInfo("Asia/Taipei")
UNIT = 10_000
DAY = datetime(2024, 1, 1)  # noqa: DTZ001 - wall time
REQUEST = Request(date(2026, 9, 1), TAIPEI, None, models="all")
MOST = 2**63 - 1


def orders_of(whose: pa.Array, seed: int = 7) -> pa.Table:
    drawn = random.Random(seed)
    times = [DAY + timedelta(days=drawn.randrange(900)) for _ in whose]
    amounts = pa.array([drawn.randrange(-5 * UNIT, 999 * UNIT) for _ in whose], pa.int64())
    return pa.table({"customer_id": whose, "ordered_at": pa.array(times, pa.timestamp("us")), "amount": amounts})


def computed(orders: pa.Table, acts: pa.Table | None = None) -> dict[Any, dict[str, Any]]:
    with open_duckdb(TAIPEI) as duck:
        did = None if acts is None else keep(duck, "acts", acts.rename_columns({"ordered_at": "occurred_at"}))
        found = compute(duck, keep(duck, "orders", orders), REQUEST, acts=did)
        table = duck.to_pyarrow(found.table)
    assert table.schema.field("customer_id").type == orders.schema.field("customer_id").type
    return {row.pop("customer_id"): row for row in table.to_pylist()}


@pytest.mark.parametrize(
    ("of_number", "kind"),
    [
        (lambda number: number - 100, pa.int8()),
        (lambda number: number + 2**62, pa.int64()),
        (lambda number: number * 10**15 - MOST, pa.int64()),
        (lambda number: number + 2**63, pa.uint64()),
        (lambda number: f"客 {number}", pa.string()),
        (lambda number: date(2020, 1, 1) + timedelta(days=number), pa.date32()),
    ],
)
def test_ids_of_any_kind_and_spread_come_out_as_small_numbers_do(of_number: Callable[[int], Any], kind: Any) -> None:
    drawn = random.Random(3)
    numbers = [drawn.randrange(150) for _ in range(600)]
    plain = computed(orders_of(pa.array(numbers, pa.int64())))
    assert len(plain) > 140
    found = computed(orders_of(pa.array([of_number(number) for number in numbers], kind)))
    assert found == {of_number(number): row for number, row in plain.items()}


@pytest.mark.parametrize("with_acts", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_shares_and_parts_come_out_as_everybody_at_once(
    monkeypatch: pytest.MonkeyPatch, *, with_acts: bool, as_text: bool
) -> None:
    drawn = random.Random(11)

    def ids(count: int, first: int, end: int) -> pa.Array:
        array = pa.array([first + int((end - first) * drawn.random() ** 3) for _ in range(count)], pa.int64())
        return array.cast(pa.string()) if as_text else array

    orders = orders_of(ids(700, 0, 90))
    acts = orders_of(ids(900, 40, 130), seed=8).drop_columns("amount") if with_acts else None
    at_once = computed(orders, acts)
    assert len(at_once) > (100 if with_acts else 70)
    monkeypatch.setattr("segmentation.day_arrays.ROWS_A_SHARE", 50)
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    assert computed(orders, acts) == at_once
    monkeypatch.setattr("segmentation.day_rows.ROWS_AT_ONCE", 20)  # more parts than some have customers for
    assert computed(orders, acts) == at_once


@pytest.mark.parametrize("with_acts", [False, True])
@pytest.mark.parametrize("beyond", ["customer_id", "amount", "ordered_at", "all"])
def test_numbers_that_need_more_bits_come_out_as_they_are(beyond: str, *, with_acts: bool) -> None:
    """One row in six hundred has an id beyond 31 bits, an amount beyond, or a day that lies 90 years back."""
    whose = [1 + number % 40 for number in range(599)]
    rows = orders_of(pa.array([*whose, 41], pa.int64())).to_pylist()
    acts = orders_of(pa.array(whose, pa.int64()), seed=5).drop_columns("amount") if with_acts else None
    plain = computed(pa.Table.from_pylist(rows), acts)
    far = {"customer_id": 2**40, "amount": 10**17, "ordered_at": DAY - timedelta(days=33_000)}
    rows[-1] |= far if beyond == "all" else {beyond: far[beyond]}
    found = computed(pa.Table.from_pylist(rows), acts)
    last = found[rows[-1]["customer_id"]]
    assert last["paid_total"] == rows[-1]["amount"]
    assert last["recency_days"] == (REQUEST.as_of - rows[-1]["ordered_at"].date()).days
    untouched = ("recency_days", "frequency", "monetary", "paid_total", "cycle_days", "loyalty", "activity")
    assert [[found[who][name] for name in untouched] for who in set(whose)] == [
        [plain[who][name] for name in untouched] for who in set(whose)
    ]


@pytest.mark.parametrize("first", [1, 7 * 10**10, -(10**12)])
@pytest.mark.parametrize("kept_rows", [30, 10**6])
def test_whoever_has_only_acts_or_only_orders_is_measured(
    monkeypatch: pytest.MonkeyPatch, first: int, kept_rows: int
) -> None:
    monkeypatch.setattr("segmentation.day_rows.ROWS_AT_ONCE", kept_rows)
    some = orders_of(pa.array([first + number % 60 for number in range(300)], pa.int64()))
    none = some.slice(0, 0)
    acting = computed(none, some.drop_columns("amount"))
    buying = computed(some, none.drop_columns("amount"))
    assert set(acting) == set(buying) == set(some["customer_id"].to_pylist())
    assert all(row["frequency"] is None and row["activity"] for row in acting.values())
    assert all(row["frequency"] and row["activity"] is None for row in buying.values())


def test_ids_of_a_byte_are_reckoned_with_on_disk_and_days_long_past_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.day_rows.ROWS_AT_ONCE", 30)
    orders = orders_of(pa.array([number % 100 - 50 for number in range(300)], pa.int8()))
    times = [DAY - timedelta(days=36_000), *orders["ordered_at"].to_pylist()[1:]]
    found = computed(orders.set_column(1, "ordered_at", pa.array(times, pa.timestamp("us"))))
    assert sorted(found) == list(range(-50, 50))
    assert {row["frequency"] for row in found.values()} == {3}


def test_orders_and_acts_of_ids_of_two_types_are_refused() -> None:
    orders, acts = orders_of(pa.array([1, 2], pa.int32())), orders_of(pa.array([1, 2], pa.int64()))
    with pytest.raises(TypeError, match="of one type, not int32 and int64"):
        computed(orders, acts.drop_columns("amount"))


def test_a_reading_that_breaks_off_leaves_the_connection_free() -> None:
    orders = orders_of(pa.array([None, *range(400_000)], pa.int64()))  # several batches, the first of which is told of
    with open_duckdb(TAIPEI) as duck:
        for _ in range(3):
            with pytest.raises(UnreadableRows):
                compute(duck, keep(duck, "orders", orders), REQUEST)
        assert duck.con.execute("SELECT 1").fetchall() == [(1,)]


def test_nobody_is_a_population_too() -> None:
    nothing = orders_of(pa.array([], pa.int64()))
    assert computed(nothing) == {}
    assert computed(nothing, nothing.drop_columns("amount")) == {}


def test_sums_of_64_bits_are_exact_to_the_last_unit_and_refused_beyond() -> None:
    def paid(*amounts: int) -> int:
        orders = orders_of(pa.array([1] * len(amounts), pa.int64())).set_column(2, "amount", pa.array(amounts))
        total: int = computed(orders)[1]["paid_total"]
        return total

    half = 2**62
    assert paid(half, half - 1) == MOST
    assert paid(-half, -half) == -MOST - 1
    assert paid(half, half, -5, -half) == half - 5  # beyond on the way only
    for amounts in ((half, half), (-half, -half, -1), (half, half - 1, 1)):
        with pytest.raises(SumTooLarge):
            paid(*amounts)


@pytest.mark.parametrize("name", ["customer_id", "ordered_at", "amount"])
def test_a_row_that_lacks_a_value_is_told_of(name: str) -> None:
    orders = orders_of(pa.array([1, 1, 2], pa.int64()))
    place = orders.column_names.index(name)
    lacking = pa.array([None, *orders[name].to_pylist()[1:]], orders.schema.field(name).type)
    with pytest.raises(UnreadableRows):
        computed(orders.set_column(place, name, lacking))


def test_a_file_whose_sums_are_too_large_is_refused_in_a_sentence(tmp_path: Path) -> None:
    orders = orders_of(pa.array([1] * 100, pa.int64()))
    path = tmp_path / "orders.parquet"
    pq.write_table(orders.set_column(2, "amount", pa.array([10**13] * 100, pa.int64())), path)
    with pytest.raises(BadInput, match="can't be computed with: what one customer paid adds up to more than 64 bits"):
        segment_file(path, tmp_path / "out.parquet", REQUEST)
