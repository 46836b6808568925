"""Segments of plain files: against the reference on random orders, and what happens at the edges."""

import csv
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentation.engine import CORE_COLUMNS, MORE_COLUMNS, Request
from segmentation.files import segment_file
from segmentation.rfm import Scoring
from store.errors import BadInput
from tests.segmentation.reference import Order, cycle_of, segment
from tests.segmentation.reference_all import Settings, segment_all

TAIPEI = ZoneInfo("Asia/Taipei")
AS_OF = date(2024, 3, 1)  # the day after a leap day
NUMBERS = ("recency_days", "frequency", "r", "f", "m")


def noon(days_before: int) -> datetime:
    return datetime(2024, 3, 1, 12) - timedelta(days=days_before)  # noqa: DTZ001 - wall time


def write_csv(path: Path, orders: list[Order]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["customer_id", "ordered_at", "amount", "order_id", "status"])
        for o in orders:
            writer.writerow([o.customer_id, o.ordered_at.isoformat(), f"{o.amount:f}", o.order_id or "", o.status])
    return path


def read_rows(path: Path) -> dict[Any, dict[str, Any]]:
    """customer_id -> the other columns, numbers as numbers, whichever the format."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        assert tuple(table.column_names) == CORE_COLUMNS
        return {row.pop("customer_id"): row for row in table.to_pylist()}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == CORE_COLUMNS
        rows: dict[Any, dict[str, Any]] = {row.pop("customer_id"): dict(row) for row in reader}
    for row in rows.values():
        row.update({name: int(row[name]) for name in NUMBERS}, monetary=Decimal(row["monetary"]))
    return rows


def computed(folder: Path, orders: list[Order], ending: str = "csv", **options: Any) -> dict[Any, dict[str, Any]]:
    out = folder / f"out.{ending}"
    segment_file(write_csv(folder / "orders.csv", orders), out, Request(AS_OF, options.pop("zone", TAIPEI), **options))
    return read_rows(out)


def refused(folder: Path, text: str) -> str:
    (folder / "bad.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        segment_file(folder / "bad.csv", folder / "out.csv", Request(AS_OF, TAIPEI))
    assert not (folder / "out.csv").exists()
    return str(caught.value)


ZONES: Any = st.sampled_from([None, UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=5))])
TIMES = st.datetimes(datetime(2023, 11, 1), datetime(2024, 3, 20), timezones=ZONES)  # noqa: DTZ001 - drawn with zones too
AMOUNTS = st.decimals(-(Decimal(10) ** 12), Decimal(10) ** 12, places=4) | st.decimals(0, 20, places=2)
ORDERS = st.lists(
    st.builds(
        Order,
        customer_id=st.sampled_from(["1", "01", "王小明", "a,b", 'q"t', "x", "y", "z", "w"]),
        ordered_at=TIMES,
        amount=AMOUNTS,
        order_id=st.none() | st.sampled_from(["o1", "o2", "o3"]),
        status=st.sampled_from(["paid", "paid", "paid", "refunded", "cancelled"]),
    ),
    min_size=1,
    max_size=60,
)
QUICK = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(ORDERS, st.sampled_from([None, 1, 40]), st.sampled_from([None, 2, 5]), st.sampled_from([1, 30]))
def test_random_orders_come_out_as_the_plain_reference_says(
    tmp_path: Path, orders: list[Order], look_back: int | None, high_from: int | None, cycle: int
) -> None:
    found = computed(tmp_path, orders, look_back_days=look_back, cycle_days=cycle, scoring=Scoring(high_from=high_from))
    assert found == segment(orders, AS_OF, TAIPEI, cycle, look_back, high_from)


@QUICK
@given(ORDERS, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_orders_that_do_not_count_change_nothing(
    tmp_path: Path, orders: list[Order], shuffler: random.Random
) -> None:
    before = computed(tmp_path, orders, ending="parquet")
    more = [replace(o, status="refunded") for o in orders] + [replace(o, ordered_at=noon(0)) for o in orders]
    shuffled = [*orders, *more]
    shuffler.shuffle(shuffled)
    assert computed(tmp_path, shuffled, ending="parquet") == before


@QUICK
@given(ORDERS)
def test_the_proposed_cycle_is_the_median_gap(tmp_path: Path, orders: list[Order]) -> None:
    counting = [replace(o, status="paid") for o in orders if o.day(TAIPEI) < AS_OF]
    if counting:
        result = segment_file(
            write_csv(tmp_path / "o.csv", counting), tmp_path / "out.csv", Request(AS_OF, TAIPEI, None)
        )
        assert result.cycle_days == (cycle_of(counting, TAIPEI) or 30)


def test_a_large_random_population_agrees_with_the_reference(tmp_path: Path) -> None:
    dice = random.Random(11)
    orders = [
        Order(f"c{int(dice.expovariate(0.01))}", noon(dice.randrange(400)), Decimal(dice.randrange(1, 500000)) / 100)
        for _ in range(6000)
    ]
    assert computed(tmp_path, orders) == segment(orders, AS_OF, TAIPEI)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_every_model_is_written_on_request_for_those_with_an_order_that_counts(tmp_path: Path, ending: str) -> None:
    orders = [Order("a", noon(days), Decimal("1.5"), f"o{days}") for days in (1, 8, 15, 400)]
    orders += [Order("a", noon(8), Decimal("-0.0001"), "o8"), Order("gone", noon(401), Decimal(9))]
    out = tmp_path / f"all.{ending}"
    segment_file(write_csv(tmp_path / "o.csv", orders), out, Request(AS_OF, TAIPEI, look_back_days=90, models="all"))
    if ending == "csv":
        with out.open(newline="", encoding="utf-8") as file:
            written: list[dict[str, Any]] = list(csv.DictReader(file))
    else:
        written = pq.read_table(out).to_pylist()
    (row,) = written
    expected = segment_all(orders, AS_OF, TAIPEI, Settings(look_back=90))["a"]
    assert tuple(row) == (*CORE_COLUMNS, *MORE_COLUMNS)
    assert row["customer_id"] == "a"
    for name, value in expected.items():
        if ending == "csv" and isinstance(value, bool):
            assert row[name] == str(value).lower(), name
        else:
            assert type(value)(row[name]) == value, name  # type: ignore[call-arg]
    assert Decimal(row["paid_total"]) == Decimal("5.9999")


def test_one_customer_alone_scores_one_everywhere_and_is_never_high(tmp_path: Path) -> None:
    row = computed(tmp_path, [Order("00004", noon(1), Decimal("5"))])["00004"]
    assert [row[name] for name in ("r", "f", "m", "rf4", "rf11", "rfm3", "rfm8", "nesl")] == [
        *(1, 1, 1, "one_time", "lost", "other", "ordinary_win_back", "N")
    ]


def test_equal_values_get_equal_scores(tmp_path: Path) -> None:
    rows = computed(tmp_path, [Order(str(i), noon(10), Decimal("5")) for i in range(23)])
    assert {(row["r"], row["f"], row["m"]) for row in rows.values()} == {(1, 1, 1)}


def test_five_customers_with_five_values_get_the_five_scores(tmp_path: Path) -> None:
    rows = computed(tmp_path, [Order(str(i), noon(60 - 10 * i), Decimal(i)) for i in range(1, 6)])
    assert [rows[str(i)]["r"] for i in range(1, 6)] == [1, 2, 3, 4, 5]
    assert [rows[str(i)]["m"] for i in range(1, 6)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("days", "orders", "state"),
    [(30, 1, "N"), (30, 2, "E"), (31, 1, "S1"), (60, 2, "S1"), (61, 1, "S2"), (90, 1, "S2"), (91, 5, "L"), (1, 1, "N")],
)
def test_nesl_states_change_the_day_after_a_full_cycle(tmp_path: Path, days: int, orders: int, state: str) -> None:
    rows = computed(tmp_path, [Order("a", noon(days + extra), Decimal(1)) for extra in range(orders)])
    assert rows["a"]["nesl"] == state


def test_days_are_counted_over_the_leap_day_in_the_brands_zone(tmp_path: Path) -> None:
    late = datetime(2024, 2, 28, 16, 30, tzinfo=UTC)  # 00:30 on the 29th in Taipei
    assert computed(tmp_path, [Order("a", late, Decimal(1))])["a"]["recency_days"] == 1
    assert computed(tmp_path, [Order("a", late, Decimal(1))], zone=ZoneInfo("UTC"))["a"]["recency_days"] == 2


def test_midnight_of_the_day_itself_does_not_count(tmp_path: Path) -> None:
    midnight = datetime(2024, 3, 1, tzinfo=TAIPEI)
    orders = [Order("in", midnight - timedelta(seconds=1), Decimal(1)), Order("out", midnight, Decimal(1))]
    assert list(computed(tmp_path, orders)) == ["in"]


def test_lines_of_one_order_are_one_order_and_its_refunded_line_is_left_out(tmp_path: Path) -> None:
    line = Order("a", noon(3), Decimal("10.0001"), "o1")
    orders = [line, line, replace(line, status="refunded"), replace(line, order_id="o2", amount=Decimal("-0.0002"))]
    row = computed(tmp_path, orders)["a"]
    assert (row["frequency"], row["monetary"]) == (2, Decimal("20.0000"))


def test_the_same_order_id_of_two_customers_is_two_orders(tmp_path: Path) -> None:
    orders = [Order("a", noon(3), Decimal(1), "o1"), Order("b", noon(3), Decimal(1), "o1")]
    assert [row["frequency"] for row in computed(tmp_path, orders).values()] == [1, 1]


def test_amounts_of_a_million_million_with_four_places_add_up_exactly(tmp_path: Path) -> None:
    orders = [Order("a", noon(i + 1), Decimal("999999999999.9999")) for i in range(100)]
    assert computed(tmp_path, orders, ending="parquet")["a"]["monetary"] == Decimal("99999999999999.9900")


def test_thresholds_score_strictly_better_than_each_cut(tmp_path: Path) -> None:
    scoring = Scoring((7, 30, 90, 180), (1, 2, 4, 9), (Decimal(100), Decimal(200), Decimal("300.5"), Decimal(400)), 4)
    orders = [Order("seven", noon(7), Decimal("300.5")), Order("six", noon(6), Decimal("300.51"))]
    rows = computed(tmp_path, [*orders, Order("six", noon(200), Decimal(0))], scoring=scoring)
    assert [rows["seven"][n] for n in ("r", "f", "m")] == [4, 1, 3]
    assert [rows["six"][n] for n in ("r", "f", "m", "rf4", "rfm8")] == [5, 2, 4, "new", "important_develop"]


def test_parquet_columns_of_any_fitting_type_mean_the_same(tmp_path: Path) -> None:
    instants = [datetime(2024, 2, 1, 20, tzinfo=UTC), datetime(2024, 2, 10, 1, tzinfo=UTC)]
    days = [t.astimezone(TAIPEI).date() for t in instants]
    times = {
        "aware": pa.array(instants, pa.timestamp("us", "UTC")),
        "milli": pa.array(instants, pa.timestamp("ms", "UTC")),
        "naive": pa.array([t.astimezone(TAIPEI).replace(tzinfo=None) for t in instants], pa.timestamp("ns")),
        "day": pa.array(days, pa.date32()),
        "text": pa.array([t.isoformat() for t in instants]),
    }
    amounts = {
        "float": pa.array([19.99, 0.1]),
        "decimal": pa.array([Decimal("19.99"), Decimal("0.10")], pa.decimal128(12, 2)),
        "long": pa.array([Decimal("19.990000"), Decimal("0.100000")], pa.decimal128(20, 6)),
        "text": pa.array(["19.99", "0.1"]),
    }
    for at in times.values():
        for amount in amounts.values():
            table = pa.table({"customer_id": pa.array([4, 4], pa.int32()), "ordered_at": at, "amount": amount})
            pq.write_table(table, tmp_path / "o.parquet")
            segment_file(tmp_path / "o.parquet", tmp_path / "out.parquet", Request(AS_OF, TAIPEI))
            row = read_rows(tmp_path / "out.parquet")[4]
            assert (row["recency_days"], row["frequency"], row["monetary"]) == (20, 2, Decimal("20.09"))
    assert pa.types.is_integer(pq.read_schema(tmp_path / "out.parquet").field("customer_id").type)


@pytest.mark.parametrize("models", ["core", "all"])
@pytest.mark.parametrize("digits", [17, 18, 24])
@pytest.mark.parametrize("places", [0, 1, 2, 3, 4])
def test_decimals_are_exact_up_to_the_largest_amount_and_refused_beyond(
    tmp_path: Path, places: int, digits: int, models: Literal["core", "all"]
) -> None:
    least = Decimal(1).scaleb(-places)
    path, out = tmp_path / "o.parquet", tmp_path / "out.parquet"

    def segment(*amounts: Decimal) -> dict[Any, Any]:
        money = pa.array(amounts, pa.decimal128(digits, places))
        days = pa.array([date(2024, 1, 1)] * len(amounts))
        pq.write_table(pa.table({"customer_id": range(len(amounts)), "ordered_at": days, "amount": money}), path)
        segment_file(path, out, Request(AS_OF, TAIPEI, models=models))
        found = pq.read_table(out, columns=["customer_id", "monetary"])
        return dict(zip(*found.to_pydict().values(), strict=True))

    amounts = [10**13 - least, -(10**13) + least, Decimal(10**12), least, -least, 2 * least, Decimal(0), 10**9 + least]
    assert segment(*amounts) == dict(enumerate(amounts))
    if digits - places > 14:
        with pytest.raises(
            BadInput, match=r"row 2: amount '-?100000000000000.*' is not an amount of at most 4 decimal"
        ):
            segment(least, Decimal(-(10**14)))


@pytest.mark.parametrize("models", ["core", "all"])
def test_sums_are_written_in_64_bits_as_long_as_these_hold_them(tmp_path: Path, models: Literal["core", "all"]) -> None:
    for count, kind in ((99, pa.decimal128(18, 4)), (101, pa.decimal128(24, 4))):
        (tmp_path / "o.csv").write_text("customer_id,ordered_at,amount\n" + "a,2024-01-01,1000000000000\n" * count)
        segment_file(tmp_path / "o.csv", tmp_path / "out.parquet", Request(AS_OF, TAIPEI, models=models))
        monetary = pq.read_table(tmp_path / "out.parquet")["monetary"]
        assert (monetary.type, monetary.to_pylist()) == (kind, [Decimal(count * 10**12)])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,2024-01-01,1,paid\nb,2024-02-30,1,paid\n", "row 2: ordered_at '2024-02-30' is not a date"),
        ("a,01/02/2024,1,paid\n", "row 1: ordered_at '01/02/2024' is not"),
        ("a,-infinity,1,paid\n", "row 1: ordered_at '-infinity' is not"),
        ("a,2024-01-01,0.00001,paid\n", "row 1: amount '0.00001' is not"),
        ("a,2024-01-01,1.23456,paid\n", "row 1: amount '1.23456' is not an amount of at most 4"),
        ("a,2024-01-01,NT$5,paid\n", "row 1: amount 'NT$5'"),
        ("a,2024-01-01,nan,paid\n", "row 1: amount 'nan'"),
        ("a,2024-01-01,1,paid\na,2024-01-01,1,payed\n", "row 2: status 'payed' is none of paid, refunded, cancelled"),
        (",2024-01-01,1,paid\n", "row 1: customer_id is empty"),
        ("a,,1,paid\n", "row 1: ordered_at is empty"),
        ("a,2024-01-01,,paid\n", "row 1: amount is empty"),
        ("a,2024-01-01,1,\n", "row 1: status is empty"),
        ("", "has no orders"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, rows: str, said: str) -> None:
    assert said in refused(tmp_path, "customer_id,ordered_at,amount,status\n" + rows)


def test_amounts_that_a_program_printed_from_binary_floats_are_read_as_they_were_meant(tmp_path: Path) -> None:
    written = ["22.200000000000003", "15.299999999999999", "-151.20000000000002", "1e3", "1.4210854715202004e-14"]
    rows = "".join(f"a,2024-01-01,{amount}\n" for amount in written)
    (tmp_path / "o.csv").write_text(f"customer_id,ordered_at,amount\n{rows}")
    segment_file(tmp_path / "o.csv", tmp_path / "out.csv", Request(AS_OF, TAIPEI))
    assert read_rows(tmp_path / "out.csv")["a"]["monetary"] == Decimal("886.3")


def test_columns_are_found_whatever_their_case_and_days_may_be_eight_digits(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("Customer_ID, ORDERED_AT,Amount\na,20240201,5\n")
    segment_file(tmp_path / "o.csv", tmp_path / "out.csv", Request(AS_OF, TAIPEI))
    assert read_rows(tmp_path / "out.csv")["a"]["recency_days"] == 29


def test_a_customer_id_that_begins_with_a_sign_of_comments_is_kept(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("customer_id,ordered_at,amount\n1,2024-01-01,1\n2,2024-01-01,1\n#3,2024-01-01,1\n")
    segment_file(tmp_path / "o.csv", tmp_path / "out.csv", Request(AS_OF, TAIPEI))
    assert set(read_rows(tmp_path / "out.csv")) == {"1", "2", "#3"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,2024-01-01,1\nb,2024-01-01\n", "row 2: 2 cells where the header has 3"),
        (b"a,2024-01-01,1\n" * 30_000 + b"b,2024-01-01,1,9\n", "row 30001: 4 cells where the header has 3"),
        (b'a,2024-01-01,1\n"b,2024-01-01,1\n', "row 2: a quotation mark is opened and never closed"),
        ("客戶,2024-01-01,1\n".encode("big5"), "is not UTF-8 text"),
        (b"a,2024-01-01,1\r\nb,2024-01-01,1\n", "mixes different line ends"),
    ],
)
def test_a_csv_file_that_cannot_be_parsed_is_explained_in_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "bad.csv").write_bytes(b"customer_id,ordered_at,amount\n" + content)
    with pytest.raises(BadInput, match=said):
        segment_file(tmp_path / "bad.csv", tmp_path / "out.csv", Request(AS_OF, TAIPEI))
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["customer_id", "ordered_at", "amount", "status"])
def test_a_parquet_column_that_holds_nothing_is_empty_in_its_first_row(tmp_path: Path, name: str) -> None:
    full: dict[str, Any] = {"customer_id": ["a"], "ordered_at": ["2024-01-01"], "amount": [1], "status": ["paid"]}
    pq.write_table(pa.table({**full, name: pa.nulls(1)}), tmp_path / "o.parquet")
    with pytest.raises(BadInput, match=f"row 1: {name} is empty"):
        segment_file(tmp_path / "o.parquet", tmp_path / "out.csv", Request(AS_OF, TAIPEI))


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="can't be written"):
        segment_file(
            write_csv(tmp_path / "o.csv", [Order("a", noon(3), Decimal(1))]),
            tmp_path / "file" / "out.csv",
            Request(AS_OF, TAIPEI),
        )


def test_missing_columns_files_and_endings_are_named(tmp_path: Path) -> None:
    assert "lacks the column ordered_at, amount; it has customer_id, x" in refused(tmp_path, "customer_id,x\na,b\n")
    assert "is empty" in refused(tmp_path, "")
    request = Request(AS_OF, TAIPEI)
    with pytest.raises(BadInput, match="there is no file"):
        segment_file(tmp_path / "no.csv", tmp_path / "out.csv", request)
    with pytest.raises(BadInput, match="must end in"):
        segment_file(tmp_path / "bad.csv", tmp_path / "out.xlsx", request)
    (tmp_path / "not.parquet").write_text("customer_id")
    with pytest.raises(BadInput, match="can't be read as parquet"):
        segment_file(tmp_path / "not.parquet", tmp_path / "out.csv", request)


def test_amounts_of_several_currencies_are_not_added(tmp_path: Path) -> None:
    rows = "Currency,customer_id,ordered_at,amount\nTWD,a,2024-01-01,1\n,a,2024-01-02,2\n twd,a,2024-01-03,3\n"
    (tmp_path / "one.csv").write_text(rows)
    segment_file(tmp_path / "one.csv", tmp_path / "one-out.csv", Request(AS_OF, TAIPEI))
    assert read_rows(tmp_path / "one-out.csv")["a"]["monetary"] == 6
    assert "has orders in several currencies (TWD, USD): convert them" in refused(
        tmp_path, f"{rows}usd,b,2024-01-03,3\n"
    )


def test_a_parquet_file_with_a_missing_amount_or_infinity_is_refused(tmp_path: Path) -> None:
    for amount in (None, float("inf"), float("nan")):
        table = {"customer_id": [1, 2], "ordered_at": [date(2024, 1, 1)] * 2, "amount": pa.array([1.0, amount])}
        pq.write_table(pa.table(table), tmp_path / "o.parquet")
        with pytest.raises(BadInput, match="row 2: amount"):
            segment_file(tmp_path / "o.parquet", tmp_path / "out.csv", Request(AS_OF, TAIPEI))


def test_a_file_whose_orders_all_lie_ahead_gives_an_empty_result(tmp_path: Path) -> None:
    assert computed(tmp_path, [Order("a", noon(-5), Decimal(1))]) == {}


def test_thresholds_and_cuts_that_make_no_sense_are_refused() -> None:
    for wrong in ({"r_days": (1, 2, 3)}, {"f_orders": (1, 1, 2, 3)}, {"high_from": 6}):
        with pytest.raises(BadInput):
            Scoring(**wrong)
