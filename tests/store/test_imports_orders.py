"""Orders from files, on both databases."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete
from sqlmodel import select

from console.words.refusals import told
from store.currencies import OtherCurrencies, check_currencies
from store.engine import open_engine, reading, table_of, transaction
from store.errors import BadInput
from store.imports import ImportReport, import_orders
from store.models import AuditEntry, Customer, CustomerChange, CustomerWord, OrderLine, SalesOrder
from tests.conftest import StillClock
from tests.factories import make_customer

TAIPEI = ZoneInfo("Asia/Taipei")
HEADER = "order_id,customer_id,ordered_at,amount"
Importer = Callable[..., ImportReport]


@pytest.fixture
def importer(engine: Engine, tmp_path: Path, clock: StillClock) -> Importer:
    """Import text as a file of the given name."""

    def run(text: str, name: str = "orders.csv", **options: Any) -> ImportReport:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return import_orders(engine, path, zone=TAIPEI, clock=clock, **options)

    return run


def stored(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """Every order with its customer and lines, by order id."""
    with reading(engine) as session:
        lines: dict[int, list[tuple[Any, ...]]] = {}
        for line in session.exec(select(OrderLine).order_by(OrderLine.line_number)):  # type: ignore[arg-type]
            lines.setdefault(line.sales_order_id, []).append(
                (line.line_number, line.sku, line.quantity, line.unit_price, line.discount)
            )
        rows = session.exec(select(SalesOrder, Customer).where(SalesOrder.customer_id == Customer.id))
        return {
            o.order_id: (c.member_id, o.ordered_at, o.total, o.status, o.currency, o.coupon, lines.get(o.id or 0, []))
            for o, c in rows
        }


def test_orders_arrive_exactly_and_make_their_customers(engine: Engine, importer: Importer) -> None:
    with transaction(engine) as session:
        make_customer(session, member_id=None)  # somebody the webhook saw
    report = importer(f"{HEADER}\nA1,00004,2026-01-05 08:00,29.3301\nA2,00004,2026-01-06T00:00:00Z,-5\n")
    assert (report.read, report.added, report.changed, report.refused_count) == (2, 2, 0, 0)
    orders = stored(engine)
    assert orders["A1"] == ("00004", datetime(2026, 1, 5, tzinfo=UTC), Decimal("29.3301"), "paid", "TWD", None, [])
    assert orders["A2"][1:3] == (datetime(2026, 1, 6, tzinfo=UTC), Decimal(-5))


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-01-05", "2026-01-04T16:00:00"),
        ("20260105", "2026-01-04T16:00:00"),
        ("2026/1/5 9:30", "2026-01-05T01:30:00"),
        ("2026-01-05T23:59:59.123456", "2026-01-05T15:59:59.123456"),
        ("2026-01-05T00:00:00+00:00", "2026-01-05T00:00:00"),
        ("2026-01-05 00:00:00 -0930", "2026-01-05T09:30:00"),
        ("2026-01-05T08:00:00+08", "2026-01-05T00:00:00"),
        ("2101-12-31", "2101-12-30T16:00:00"),
    ],
)
def test_times_are_read_in_their_zone_or_else_the_brands(
    new_database_url: Callable[[str], str], tmp_path: Path, clock: StillClock, written: str, utc: str
) -> None:
    engine = open_engine(new_database_url("sqlite"))
    path = tmp_path / "orders.csv"
    path.write_text(f"{HEADER}\nA,1,{written},1\n")
    report = import_orders(engine, path, zone=TAIPEI, clock=clock)
    assert report.refused == []
    assert stored(engine)["A"][1] == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    engine.dispose()


def test_numbers_that_a_program_printed_from_binary_floats_are_read_as_they_were_meant(
    engine: Engine, importer: Importer
) -> None:
    written = {"A": "22.200000000000003", "B": "-15.299999999999999", "C": "1e3", "D": "1.4210854715202004e-14"}
    text = "".join(f"{order_id},1,2026-01-05,{amount}\n" for order_id, amount in written.items())
    assert importer(f"{HEADER}\n{text}").refused == []
    lines = "".join(
        f'{{"order_id":"J{n}","customer_id":1,"ordered_at":"2026-01-05","amount":{n}}}\n' for n in (1.1 + 2.2, 1e3)
    )
    assert importer(lines, "orders.jsonl").refused == []
    totals = sorted(order[2] for order in stored(engine).values())
    assert totals == [Decimal(n) for n in ("-15.3", "0", "3.3", "22.2", "1000", "1000")]


def test_refused_rows_that_cannot_be_written_are_an_error_in_one_sentence(importer: Importer, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the refused rows can't be written"):
        importer(f"{HEADER}\nA,,2026-01-05,1\n", refused_path=tmp_path / "none" / "refused.csv")


BAD_ROWS = [
    (",1,2026-01-05,1,,", "order_id is empty"),
    ("x" * 101 + ",1,2026-01-05,1,,", "order_id is longer than 100 characters"),
    ("A,,2026-01-05,1,,", "customer_id is empty"),
    ("A,1,,1,,", "ordered_at is empty"),
    ("A,1,2026-02-30,1,,", "ordered_at is not a time such as 2026-01-31 18:30"),
    ("A,1,2026-01-05 24:00,1,,", "ordered_at is not a time such as 2026-01-31 18:30"),
    ("A,1,1899-12-31,1,,", "ordered_at is outside 1900-2199"),
    ("A,1,2026-01-05,,,", "amount is empty"),
    ('A,1,2026-01-05,"1,000",,', "amount is not a plain number"),
    ("A,1,2026-01-05,NaN,,", "amount is not a plain number"),
    ("A,1,2026-01-05,0.00001,,", "amount has more than 4 decimal places"),
    ("A,1,2026-01-05,900000000000000,,", "amount is too large"),
    ("A,1,2026-01-05," + "9" * 60 + ",,", "amount is too large"),
    ("A,1,2026-01-05,1,pending,", "status is none of paid, refunded, cancelled"),
    ("A,1,2026-01-05,1,,NT$", "currency is not a code of three letters"),
    ("A,1,2026-01-05,1,,twd", "currency is TWD, not the brand's USD"),
    ("A,1,2026-01-05,1", "4 cells where the header has 6"),
    ("A,1,2026-01-05,1,,,,", "8 cells where the header has 6"),
    ('A,"1"2,2026-01-05,1,,', "the quotation marks of this row don't match"),
    ("A,1\0,2026-01-05,1,,", "a cell holds a NUL character"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS)
def test_a_bad_row_is_refused_with_its_number_and_the_good_one_goes_in(
    new_database_url: Callable[[str], str], tmp_path: Path, clock: StillClock, row: str, reason: str
) -> None:
    engine = open_engine(new_database_url("sqlite"))
    path = tmp_path / "orders.csv"
    path.write_text(f"{HEADER},status,currency\nG,1,2026-01-05,899999999999999.9999,PAID,usd\n\n{row}\n")
    report = import_orders(engine, path, zone=TAIPEI, clock=clock, currency="USD")
    assert report.refused == [(4, reason)]
    assert report.refused_by_reason == {reason: 1}
    assert [(k, v[2], v[4]) for k, v in stored(engine).items()] == [("G", Decimal("899999999999999.9999"), "USD")]
    engine.dispose()


def test_orders_in_other_currencies_are_never_added_to_the_brands(engine: Engine, importer: Importer) -> None:
    text = (
        f"{HEADER},currency\nA,1,2026-01-05,10,TWD\nB,1,2026-01-06,20,\nC,1,2026-01-07,30,USD\nD,1,2026-01-07,4,jpy\n"
    )
    report = importer(text)
    reasons = {"currency is USD, not the brand's TWD": 1, "currency is JPY, not the brand's TWD": 1}
    assert (report.added, report.refused_by_reason) == (2, reasons)
    assert {name: row[4] for name, row in stored(engine).items()} == {"A": "TWD", "B": "TWD"}
    check_currencies(engine, "TWD")
    report = importer(f"{HEADER}\nE,1,2026-01-07,30\nA,1,2026-01-05,11\n", currency="USD")  # the setting was changed
    assert (report.added, report.changed) == (1, 1)
    assert {name: row[4] for name, row in stored(engine).items()} == {"A": "USD", "B": "TWD", "E": "USD"}
    with pytest.raises(OtherCurrencies, match=r"brand's USD, and added as if in it: TWD × 1;"):
        check_currencies(engine, "USD")
    with pytest.raises(OtherCurrencies, match=r"USD × 2;") as found:
        check_currencies(engine, "TWD")
    assert told(found.value, "zh") == (
        "有訂單的幣別不是品牌的 TWD，卻當成 TWD 加總：USD × 2；請換算後重新匯入，或改設定 CURRENCY"
    )


@pytest.mark.parametrize("text", [f"{HEADER}\nA,1,2026-01-05,960\n", f"{HEADER},currency\nA,1,2026-01-05,960,\n"])
def test_orders_imported_again_converted_are_in_the_brands_currency(
    engine: Engine, importer: Importer, text: str
) -> None:
    importer(f"{HEADER},currency\nA,1,2026-01-05,30,USD\n", currency="USD")
    assert importer(text).changed == 1  # the brand's is TWD, and the file doesn't say
    assert stored(engine)["A"][2:5] == (Decimal(960), "paid", "TWD")
    check_currencies(engine, "TWD")
    assert importer(text).unchanged == 1


def test_importing_twice_changes_nothing_and_a_new_status_updates(engine: Engine, importer: Importer) -> None:
    text = f"{HEADER},status,coupon\nA,1,2026-01-05,10,paid,C1\nB,1,2026-01-06,20,,\n"
    importer(text)
    before = stored(engine)
    report = importer(text)
    assert (report.added, report.changed, report.unchanged) == (0, 0, 2)
    assert stored(engine) == before
    report = importer(f"{HEADER},status,coupon\nA,1,2026-01-05,10,REFUNDED,\nB,2,2026-01-06,20,,\n")
    assert (report.added, report.changed, report.unchanged) == (0, 2, 0)
    assert (stored(engine)["A"][3], stored(engine)["A"][5], stored(engine)["B"][0]) == ("refunded", "C1", "2")
    importer(f"{HEADER}\nA,1,2026-01-05,10\n")
    assert stored(engine)["A"][3] == "refunded", "a file without a status says nothing of it"


def test_rows_with_skus_are_lines_of_one_order_wherever_they_stand(engine: Engine, importer: Importer) -> None:
    header = f"{HEADER},sku,quantity,unit_price,discount"
    text = (
        f"{header}\nA,1,2026-01-05 10:00,20,S1,2,10,\nB,2,2026-01-05,7,S3,1,7,\nA,1,2026-01-05 09:59,4.5,S2,1,5,0.5\n"
    )
    text += "A,1,2026-01-05 10:00,60,,,,\n"
    assert importer(text).added == 2
    member, at, total, *_, lines = stored(engine)["A"]
    assert (member, at, total) == ("1", datetime(2026, 1, 5, 1, 59, tzinfo=UTC), Decimal("84.5"))
    assert lines == [(1, "S1", 2, 10, 0), (2, "S2", 1, 5, Decimal("0.5"))]
    assert importer(text).changed == 0
    report = importer(
        text.replace("4.5,S2,1,5,0.5", "4.5,S9,1,5,0.5").replace("B,2,2026-01-05,7,S3", "B,2,2026-01-05,7,")
    )
    assert (report.changed, report.unchanged) == (2, 0)
    assert [line[1] for line in stored(engine)["A"][-1]] == ["S1", "S9"]
    assert stored(engine)["B"][-1] == []
    importer(f"{HEADER}\nA,1,2026-01-05 09:59,84.5\n")
    assert len(stored(engine)["A"][-1]) == 2, "a file without lines leaves them"


def test_an_order_with_one_bad_row_or_two_customers_is_refused_whole(engine: Engine, importer: Importer) -> None:
    header = f"{HEADER},sku,quantity,unit_price"
    report = importer(
        f"{header}\nA,1,2026-01-05,1,S,1,1\nA,1,2026-01-05,1,S,x,1\nB,1,2026-01-05,1,S,1,1\nB,2,2026-01-05,1,S,1,1\n"
        "C,1,2026-01-05,1,S,0,\n"
    )
    assert report.refused == [
        (2, "another row of this order is refused"),
        (3, "quantity is not a plain number"),
        (4, "rows of this order have different customers"),
        (5, "rows of this order have different customers"),
        (6, "unit_price is empty"),
    ]
    assert stored(engine) == {}


def test_a_price_that_is_left_empty_is_what_the_amount_makes_of_each_piece(engine: Engine, importer: Importer) -> None:
    report = importer(
        f"{HEADER},sku,quantity,discount\nA,1,2026-01-05,390,S1,3,\nA,1,2026-01-05,100,S2,3,20.5\nB,1,2026-01-05,-7,S1,,\n"
    )
    assert (report.added, report.refused) == (2, [])
    assert stored(engine)["A"][-1] == [(1, "S1", 3, 130, 0), (2, "S2", 3, Decimal("40.1667"), Decimal("20.5"))]
    assert stored(engine)["B"][-1] == [(1, "S1", 1, -7, 0)]


def test_a_repeated_row_counts_once_and_a_contradiction_is_refused(engine: Engine, importer: Importer) -> None:
    report = importer(f"{HEADER}\nA,1,2026-01-05,1\nA,1,2026-01-05,1.00\nB,1,2026-01-05,1\nB,1,2026-01-05,2\n")
    assert (report.added, [row for row, _ in report.refused]) == (1, [4, 5])
    assert stored(engine)["A"][2] == 1


def test_json_lines_may_carry_lines(engine: Engine, importer: Importer) -> None:
    good = {"order_id": "A", "customer_id": 7, "ordered_at": "2026-01-05", "amount": 29.33, "unknown": {"x": 1}}
    good["lines"] = [
        {"sku": "S1", "quantity": 2, "unit_price": 10.015},
        {"sku": "S2", "unit_price": "9.3", "discount": 0},
    ]
    rows = [json.dumps(good), "", "[1]", '{"order_id": "\\ud800"}']
    rows += [
        json.dumps({**good, "order_id": f"B{i}", "lines": bad}) for i, bad in enumerate(({}, [1], [{"sku": "x"}], ""))
    ]
    report = importer("\n".join(rows), "orders.jsonl")
    assert [row for row, _ in report.refused] == [3, 4, 5, 6, 7]
    assert report.ignored_columns == ["unknown"]
    assert stored(engine)["A"][2] == Decimal("29.33")
    assert stored(engine)["A"][-1] == [(1, "S1", 2, Decimal("10.015"), 0), (2, "S2", 1, Decimal("9.3"), 0)]
    assert stored(engine)["B3"][-1] == []
    assert importer("\n".join(rows), "orders.jsonl").unchanged == 2


def test_parquet_types_are_understood(engine: Engine, tmp_path: Path, clock: StillClock) -> None:
    at = datetime.fromisoformat("2026-01-05T08:00:00")
    table = pa.table(
        {
            "Order_ID": pa.array([536365, 536366, 536367]),
            "customer_id": pa.array([17850.0, 13047.0, None]),  # what pandas makes of ids with a gap
            "ordered_at": pa.array([at, at, at], pa.timestamp("us")),
            "amount": pa.array([9.95 * 3, 0.1 + 0.2, 1.0]),
            "quantity[a]": pa.array([1, 2, 3]),
        }
    )
    pq.write_table(table, tmp_path / "orders[1].parquet")
    report = import_orders(engine, tmp_path / "orders[1].parquet", zone=TAIPEI, clock=clock)
    assert report.refused == [(3, "customer_id is empty")]
    assert stored(engine)["536365"][:3] == ("17850", datetime(2026, 1, 5, tzinfo=UTC), Decimal("29.85"))
    assert stored(engine)["536366"][2] == Decimal("0.3")


def test_an_aware_parquet_time_is_that_moment(engine: Engine, tmp_path: Path, clock: StillClock) -> None:
    at = pa.array([datetime(2026, 1, 5, 8, tzinfo=UTC)], pa.timestamp("us", tz="America/New_York"))
    table = pa.table(
        {"order_id": ["A"], "customer_id": ["1"], "ordered_at": at, "amount": pa.array([Decimal("1.5000")])}
    )
    pq.write_table(table, tmp_path / "o.parquet")
    import_orders(engine, tmp_path / "o.parquet", zone=TAIPEI, clock=clock)
    assert stored(engine)["A"][1:3] == (datetime(2026, 1, 5, 8, tzinfo=UTC), Decimal("1.5"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("orders.xls", b"", "the name must end in"),
        ("orders.xlsx", b"PK no", "is not an Excel workbook"),
        ("orders.csv", b"", "has no header row"),
        ("orders.csv", b"order_id,customer_id,amount\n1,1,1\n", "has no column 'ordered_at'"),
        ("orders.csv", b"name\n", "has no column 'order_id'"),
        ("orders.csv", b"order_id,order_id,customer_id,ordered_at,amount\n", "two columns named 'order_id'"),
        ("orders.csv", HEADER.encode() + "\nA,王,2026-01-05,1\n".encode("big5"), "is not UTF-8"),
        ("orders.csv", HEADER.encode() + b'\nA,1,2026-01-05,1\nB,"1,2026-01-05,1\n', "row 3: a quotation mark"),
        ("orders.parquet", b"PAR1 no", "is not a Parquet file"),
        ("orders.jsonl", b"order_id,customer_id\n", "holds no JSON object"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence_and_nothing_is_written(
    engine: Engine, tmp_path: Path, clock: StillClock, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=said.replace("(", r"\(")):
        import_orders(engine, tmp_path / name, zone=TAIPEI, clock=clock)
    with pytest.raises(BadInput, match="can't be read"):
        import_orders(engine, tmp_path / "missing.csv", zone=TAIPEI, clock=clock)
    with reading(engine) as session:
        assert session.exec(select(AuditEntry)).all() == []
        assert session.exec(select(Customer)).all() == []


def test_many_chunks_report_progress_audit_and_every_refused_row(
    engine: Engine, importer: Importer, tmp_path: Path
) -> None:
    rows = [f"O{i},C{i % 997},2026-01-0{1 + i % 9},{i}.5" for i in range(12_001)]
    rows[::100] = [row.replace(".5", ".5x") for row in rows[::100]]
    seen: list[tuple[int, int]] = []
    refused = tmp_path / "refused.csv"
    report = importer("\n".join([HEADER, *rows]), progress=lambda *now: seen.append(now), refused_path=refused)
    assert (report.read, report.added, report.refused_count, len(report.refused)) == (12_001, 11_880, 121, 100)
    fractions = [done / total for done, total in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    with refused.open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert len(listed) == 121
    assert (listed[1]["row"], listed[1]["order_id"], listed[1]["amount"]) == ("102", "O100", "100.5x")
    with reading(engine) as session:
        entry = session.exec(select(AuditEntry)).one()
        assert (entry.action, entry.detail["added"], entry.detail["refused"]) == ("import orders", 11_880, 121)


def test_tabs_semicolons_and_a_byte_order_mark_are_read(engine: Engine, importer: Importer) -> None:
    importer("\ufeffOrder_ID;customer_id;ordered_at;amount\nA; 1 ;2026-01-05;1\n")
    importer("order_id\tcustomer_id\tordered_at\tamount\nB\t2\t2026-01-05\t1\n", "orders.tsv")
    assert {k: v[0] for k, v in stored(engine).items()} == {"A": "1", "B": "2"}


amounts = st.decimals(min_value=-(10**6), max_value=10**6, places=4)
times = st.integers(631_152_000, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
orders = st.lists(
    st.tuples(
        st.sampled_from("ABCDEFGH"),
        st.sampled_from("12"),
        times,
        amounts,
        st.sampled_from(["", "paid", "refunded", "cancelled"]),
        st.lists(st.tuples(st.sampled_from("xyz"), amounts), max_size=3),
    ),
    unique_by=lambda order: order[0],
    min_size=1,
)


def _write_orders(path: Path, some: list[Any]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADER.split(","), "status", "sku", "quantity", "unit_price"])
        for order_id, member, at, amount, status, lines in some:
            writer.writerow([order_id, member, at.isoformat(), amount, status, "", "", ""])
            for sku, price in lines:
                writer.writerow([order_id, member, at.isoformat(), price, status, sku, 1, price])
    return path


def _emptied(engine: Engine) -> Engine:
    with transaction(engine) as session:
        for model in (CustomerChange, CustomerWord, OrderLine, SalesOrder, Customer):
            session.execute(delete(table_of(model)))
    return engine


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some=orders, cut=st.integers(0, 8))
def test_twice_is_once_and_parts_are_the_whole(
    engine: Engine, tmp_path: Path, clock: StillClock, some: list[Any], cut: int
) -> None:
    _emptied(engine)
    whole = _write_orders(tmp_path / "whole.csv", some)
    report = import_orders(engine, whole, zone=TAIPEI, clock=clock)
    assert (report.added, report.refused) == (len(some), [])
    first = stored(engine)
    assert {k: v[2] for k, v in first.items()} == {o[0]: o[3] + sum(p for _, p in o[5]) for o in some}
    assert import_orders(engine, whole, zone=TAIPEI, clock=clock).unchanged == len(some)
    assert stored(engine) == first
    _emptied(engine)
    for name, piece in (("a.csv", some[:cut]), ("b.csv", some[cut:])):
        import_orders(engine, _write_orders(tmp_path / name, piece), zone=TAIPEI, clock=clock)
    assert stored(engine) == first
