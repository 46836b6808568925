"""Files handed in at the console: kept once, looked at, imported by a worker that may die, and forgotten in time."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
import pytest
from openpyxl import Workbook  # type: ignore[import-untyped, import-not-found, unused-ignore]
from sqlalchemy import Engine, func, select, update

from console.imports.reasons import reason_in
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.imports import uploads
from store.imports.kinds import LAYOUTS, template
from store.imports.preview import peek
from store.imports.uploads import (
    ask_import,
    find_import,
    forget_files,
    import_waiting,
    keep_upload,
    path_of,
    refused_path_of,
)
from store.models import AuditEntry, Customer, FileImport, OrderLine, SalesOrder
from tests.conftest import StillClock
from tests.factories import make_channel

TAIPEI = ZoneInfo("Asia/Taipei")
ORDERS = "order_id,customer_id,ordered_at,amount\nA,1,2026-01-05,100\nB,2,2026-01-06,x\nC,2,2026-01-07,50\n"
Keep = Callable[..., int]


@pytest.fixture
def keep(engine: Engine, tmp_path: Path, clock: StillClock) -> Keep:
    def run(content: bytes | str, name: str = "orders.csv", kind: str = "orders") -> int:
        raw = content.encode() if isinstance(content, str) else content
        return keep_upload(engine, tmp_path, kind=kind, file_name=name, content=BytesIO(raw), actor="anna", now=clock())

    return run


def ask(engine: Engine, import_id: int, clock: StillClock) -> bool:
    with transaction(engine) as session:
        return ask_import(session, import_id, channel_id=None, actor="anna", now=clock())


def row(engine: Engine, import_id: int) -> FileImport:
    with reading(engine) as session:
        return find_import(session, import_id)


def counted(engine: Engine, model: Any) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table_of(model))) or 0


def test_a_file_is_looked_at_first_and_imported_by_the_worker(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep
) -> None:
    import_id = keep(ORDERS)
    assert import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock) == 0
    assert counted(engine, SalesOrder) == 0
    assert ask(engine, import_id, clock)
    assert not ask(engine, import_id, clock)
    assert import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock) == 1
    done = row(engine, import_id)
    assert (done.state, done.part_done, done.lease_until) == ("done", 1.0, None)
    assert done.report is not None
    assert (done.report["added"], done.report["refused"]) == (2, 1)
    assert done.report["first_refused"] == [{"row": 3, "reason": "amount is not a plain number"}]
    assert "amount is not a plain number,3,B,2,2026-01-06,x" in refused_path_of(tmp_path, done).read_text()
    with reading(engine) as session:
        said = {(one.actor, one.action) for one in session.scalars(select(AuditEntry))}
    assert {("anna", "upload file to import"), ("anna", "ask for import"), ("anna", "import orders")} <= said


def test_the_same_file_twice_is_one_import_and_another_kind_is_another(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep
) -> None:
    first = keep(ORDERS)
    assert keep(ORDERS, "again.csv") == first
    assert keep(ORDERS, kind="events") != first
    for _ in range(2):
        ask(engine, first, clock)
        import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock)
    assert counted(engine, SalesOrder) == 2
    again = row(engine, first).report
    assert again is not None
    assert (again["added"], again["unchanged"]) == (0, 2)


def test_a_file_that_cannot_be_used_is_told_by_its_own_name_and_writes_nothing(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep
) -> None:
    import_id = keep("name\nx\n", "my orders.csv")
    ask(engine, import_id, clock)
    import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock)
    failed = row(engine, import_id)
    assert (failed.state, failed.problem) == (
        "failed",
        "my orders.csv has no column 'order_id', which is required",
    )
    assert counted(engine, Customer) == 0


@pytest.mark.parametrize(
    ("name", "kind", "content", "said"),
    [
        ("orders.exe", "orders", b"x", "must end in"),
        ("../..", "orders", b"x", "must end in"),
        ("orders.csv", "people", b"x", "no import of"),
        ("orders.csv", "orders", b"", "is empty"),
    ],
)
def test_what_is_no_file_to_import_is_refused_and_leaves_nothing(
    engine: Engine, tmp_path: Path, keep: Keep, name: str, kind: str, content: bytes, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        keep(content, name, kind)
    assert counted(engine, FileImport) == 0
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".part", ".csv")] == []


def test_a_dead_workers_import_is_taken_over_when_its_lease_is_over(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep
) -> None:
    import_id = keep(ORDERS)
    ask(engine, import_id, clock)
    assert uploads._claim(engine, clock()) is not None  # and dies
    assert import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock) == 0
    clock.advance(seconds=61)
    assert import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock) == 1
    assert row(engine, import_id).state == "done"
    assert counted(engine, SalesOrder) == 2


def test_an_import_that_kills_every_worker_is_given_up(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep
) -> None:
    import_id = keep(ORDERS)
    ask(engine, import_id, clock)
    for _ in range(3):
        assert uploads._claim(engine, clock()) is not None
        clock.advance(seconds=61)
    import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock)
    given_up = row(engine, import_id)
    assert given_up.state == "failed"
    assert given_up.problem is not None
    assert "3 times" in given_up.problem
    assert ask(engine, import_id, clock)  # a person may try again


def test_a_worker_without_the_folder_says_what_is_missing(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep
) -> None:
    import_id = keep(ORDERS)
    ask(engine, import_id, clock)
    import_waiting(engine, tmp_path / "elsewhere", zone=TAIPEI, clock=clock)
    assert "UPLOAD_DIR" in (row(engine, import_id).problem or "")


def test_progress_and_lease_are_written_while_it_works(
    engine: Engine, clock: StillClock, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "BEAT_SECONDS", 0.01)
    import_id = keep(ORDERS)
    ask(engine, import_id, clock)
    claimed = uploads._claim(engine, clock())
    assert claimed is not None
    until = clock.advance(seconds=30) + uploads.LEASE
    with uploads._beating(engine, claimed, clock) as beat:
        beat.note(1, 4)
        for _ in range(500):
            beat.over.wait(0.01)
            if row(engine, import_id).part_done == 0.25:
                break
    assert (row(engine, import_id).part_done, row(engine, import_id).lease_until) == (0.25, until)


def test_files_are_forgotten_after_a_week_and_may_be_handed_in_again(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep
) -> None:
    import_id = keep(ORDERS)
    ask(engine, import_id, clock)
    import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock)
    clock.advance(days=6)
    assert forget_files(engine, tmp_path, clock()) == 0
    clock.advance(days=2)
    assert forget_files(engine, tmp_path, clock()) == 1
    gone = row(engine, import_id)
    assert not path_of(tmp_path, gone).exists()
    assert not refused_path_of(tmp_path, gone).exists()
    with pytest.raises(BadInput, match="hand it in again"):
        ask(engine, import_id, clock)
    assert keep(ORDERS) == import_id
    assert path_of(tmp_path, row(engine, import_id)).exists()
    assert ask(engine, import_id, clock)


def test_the_file_is_readable_by_its_owner_alone(engine: Engine, tmp_path: Path, keep: Keep) -> None:
    assert path_of(tmp_path, row(engine, keep(ORDERS))).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_template_is_imported_as_it_stands(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep, kind: str
) -> None:
    import_id = keep(template(kind), f"{kind}.csv", kind)
    with transaction(engine) as session:
        session.execute(update(table_of(FileImport)).values(state="uploaded"))
    found = peek(path_of(tmp_path, row(engine, import_id)), LAYOUTS[kind])
    assert (found.missing, found.others, len(found.rows)) == ([], [], 2)
    if kind == "customers":  # its column line_user_id asks for a channel
        with transaction(engine) as session:
            channel_id = make_channel(session).id
            ask_import(session, import_id, channel_id=channel_id, actor="anna", now=clock())
    else:
        ask(engine, import_id, clock)
    import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock)
    done = row(engine, import_id)
    assert (done.state, done.problem) == ("done", None)
    assert done.report is not None
    assert (done.report["read"], done.report["refused"]) == (2, 0)


def workbook(path: Path) -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["order_id", "customer_id", "ordered_at", "amount", "sku", "quantity", "unit_price", None])
    sheet.append(["A", "00004", datetime.fromisoformat("2026-01-05 18:30"), 29.85, "S", 1.0, 29.85])
    sheet.append([None, None])
    sheet.append([7, 4, date(2026, 1, 6), Decimal("10"), "S", 2, 5, "odd"])
    sheet.append(["C", 5, "2026-01-07", "=1+1", "S", 1, 2])
    book.save(path)
    return path.read_bytes()


def test_excel_says_what_a_csv_would_say(engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep) -> None:
    import_id = keep(workbook(tmp_path / "made.xlsx"), "orders.xlsx")
    found = peek(path_of(tmp_path, row(engine, import_id)), LAYOUTS["orders"])
    assert found.columns[0] == "order_id"
    assert found.rows[0] == ["A", "00004", "2026-01-05 18:30:00", "29.85", "S", "1", "29.85"]
    ask(engine, import_id, clock)
    import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock)
    report = row(engine, import_id).report
    assert report is not None
    # a formula whose value Excel never saved is an empty cell
    assert [(one["row"], one["reason"]) for one in report["first_refused"]] == [
        (4, "8 cells where the header has 7"),
        (5, "amount is empty"),
    ]
    with reading(engine) as session:
        order = session.scalars(select(SalesOrder)).one()
        assert (order.order_id, order.total, order.ordered_at.astimezone(TAIPEI).hour) == ("A", Decimal("29.85"), 18)
        assert session.scalars(select(OrderLine)).one().quantity == 1
        assert session.scalars(select(Customer)).one().member_id == "00004"


def test_a_preview_reads_no_more_than_it_shows(tmp_path: Path) -> None:
    table = pa.table({"order_id": [str(n) for n in range(100)], "extra": [None] * 100})
    pq.write_table(table, tmp_path / "o.parquet")
    (tmp_path / "o.jsonl").write_text('{"order_id": "0", "extra": null}\n' * 9)
    (tmp_path / "o.csv").write_text("Order_ID;extra\n0;\n" + "1;\n" * 9)
    for ending in ("parquet", "jsonl", "csv"):
        found = peek(tmp_path / f"o.{ending}", LAYOUTS["orders"])
        assert found.missing == ["customer_id", "ordered_at", "amount"]
        assert (found.known, found.others, len(found.rows)) == (["order_id"], ["extra"], 5)
        assert found.rows[0] == ["0", ""]


def test_every_reason_of_the_imports_is_said_in_chinese() -> None:
    samples = {
        "amount is not a plain number": "amount 不是單純的數字",
        "9 cells where the header has 4": "這一列有 9 格，標題列有 4 格",
        "rows of this order have different statuses": "這張訂單的幾列說法不同（statuses）",
        "ordered_at is not a time such as 2026-01-31 18:30": "ordered_at 要像 2026-01-31 18:30",
        "the tag 'V' is put on by a computation (rule) and can't be imported": "標籤「V」由系統計算（rule），不能匯入",
    }
    assert {reason: reason_in(reason, "zh") for reason in samples} == samples
    assert reason_in("amount is not a plain number", "en") == "amount is not a plain number"
    assert reason_in("something new", "zh") == "something new"
    source = "".join(path.read_text() for path in sorted(Path(uploads.__file__).parent.glob("*.py")))
    written = re.findall(r"(?:THEN|problem =|, ) ?'([a-z_]+ [^'{|]{8,})'", source)
    fixed = {text for text in written if not text.endswith(" ")}  # others are put together, as in the samples
    assert len(fixed) > 10
    assert {text for text in fixed if reason_in(text, "zh") == text} == set()


def test_an_upload_in_the_middle_of_time_is_not_forgotten(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep
) -> None:
    import_id = keep(ORDERS)
    ask(engine, import_id, clock)
    assert forget_files(engine, tmp_path, clock() + timedelta(days=30)) == 0


def test_a_damaged_workbook_is_told_of_before_and_in_its_import(
    engine: Engine, tmp_path: Path, clock: StillClock, keep: Keep
) -> None:
    book = Workbook()
    for number in range(9_000):  # far more than is read to open it
        book.active.append([f"A{number}", f"{number * 7919 % 10_007}", "2026-01-05", str(number * 31)])
    book.active["A1"], book.active["B1"], book.active["C1"], book.active["D1"] = (
        "order_id",
        "customer_id",
        "ordered_at",
        "amount",
    )
    book.save(tmp_path / "made.xlsx")
    whole = (tmp_path / "made.xlsx").read_bytes()
    with ZipFile(tmp_path / "made.xlsx") as packed:
        sheet = packed.getinfo("xl/worksheets/sheet1.xml")
    middle = sheet.header_offset + 30 + len(sheet.filename) + sheet.compress_size // 2
    damaged = whole[:middle] + bytes(40) + whole[middle + 40 :]
    import_id = keep(damaged, "orders.xlsx")
    ask(engine, import_id, clock)
    import_waiting(engine, tmp_path, zone=TAIPEI, clock=clock)
    failed = row(engine, import_id)
    assert failed.state == "failed"
    assert failed.problem == "orders.xlsx is damaged: its first sheet can't be read to the end"
    assert counted(engine, Customer) == 0
