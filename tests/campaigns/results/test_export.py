"""Results taken away: the same rows in three kinds of file, safe in a spreadsheet, audited."""

import csv
import json
import stat
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest
from sqlalchemy import select

from campaigns.results import export, table_file
from campaigns.results.export import export_campaign
from campaigns.results.table_file import write_table
from store.engine import reading, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import AuditEntry, Customer
from tests.campaigns.conftest import ZONE
from tests.campaigns.results.conftest import DAY, Story

ROWS = [["=1+1", 5, Decimal("12.50"), None, True], ["-2", 10**16, 1.5, datetime(2026, 11, 2, tzinfo=UTC), False]]
COLUMNS = ["words", "count", "money", "when", "is"]


def xlsx_rows(path: Path, sheet: int = 1) -> list[list[str]]:
    """What stands in the cells of a sheet written row by row (inline strings); formulas would be `f` elements."""
    with ZipFile(path) as book:
        root = ElementTree.fromstring(book.read(f"xl/worksheets/sheet{sheet}.xml"))
    tag = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    assert not list(root.iter(f"{tag}f"))
    return [["".join(cell.itertext()) for cell in row] for row in root.iter(f"{tag}row")]


def test_cells_that_look_like_formulas_are_text(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", COLUMNS, ROWS)
    read = list(csv.reader((tmp_path / "a.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert read == [
        COLUMNS,
        ["'=1+1", "5", "12.50", "", "True"],
        ["'-2", str(10**16), "1.5", "2026-11-02T00:00:00+00:00", "False"],
    ]
    write_table(tmp_path / "a.xlsx", COLUMNS, ROWS)
    rows = xlsx_rows(tmp_path / "a.xlsx")
    assert rows[1] == ["=1+1", "5", "12.50", "True"]
    assert rows[2][:2] == ["-2", str(10**16)]  # not rounded to what a cell's number can hold
    write_table(tmp_path / "a.json", COLUMNS, ROWS)
    assert json.loads((tmp_path / "a.json").read_text())[0] == dict(
        zip(COLUMNS, ["=1+1", 5, "12.50", None, True], strict=True)
    )
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o600


def test_more_rows_than_a_sheet_holds_go_to_further_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "SHEET_ROWS", 4)
    assert write_table(tmp_path / "b.xlsx", ["n"], ([n] for n in range(7))) == 7
    assert [len(xlsx_rows(tmp_path / "b.xlsx", sheet)) for sheet in (1, 2, 3)] == [4, 4, 2]


def test_a_file_that_fails_midway_does_not_appear(tmp_path: Path) -> None:
    def rows() -> Any:
        yield [1]
        raise RuntimeError("the database went away")

    for ending in (".csv", ".json"):
        with pytest.raises(RuntimeError):
            write_table(tmp_path / f"c{ending}", ["n"], rows())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="must end in"):
        write_table(tmp_path / "c.pdf", ["n"], [])
    with pytest.raises(BadInput, match="can't be written"):
        write_table(tmp_path / "missing" / "c.csv", ["n"], [])


def exported(story: Story, folder: Path, what: str, ending: str = ".json") -> list[dict[str, Any]]:
    path = folder / f"{what}{ending}"
    count = export_campaign(story.engine, story.campaign_id, path, what=what, zone=ZONE, actor="test", now=story.at)
    if ending == ".json":
        read = json.loads(path.read_text())
        assert len(read) == count
        return read  # type: ignore[no-any-return]
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def test_sums_people_and_orders_say_the_same(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 2)  # several pages
    run = story.run()
    people = [story.person(run, segment="important_value") for _ in range(5)]
    story.person(run, "held_out")
    story.person(run, "skipped", reason="refused")
    with transaction(story.engine) as session:
        session.get_one(Customer, people[0]).member_id = "=HYPERLINK(1)"
    story.tap(run, people[0])
    story.order(people[0], story.at + DAY, "12.5")
    story.order(people[1], story.at + DAY, "20")
    story.catch_up()
    rows = exported(story, tmp_path, "people")
    assert [row["state"] for row in rows] == ["accepted"] * 5 + ["held_out", "skipped"]
    assert (rows[0]["clicked"], rows[0]["tap_revenue"], rows[0]["variant"]) == (True, "12.50", "A")
    assert (rows[1]["clicked"], rows[1]["revenue"], rows[-1]["reason"]) == (0, "20.00", "refused")
    assert rows[0]["sent_at"].endswith("+08:00")
    assert exported(story, tmp_path, "people", ".csv")[0]["member_id"] == "'=HYPERLINK(1)"
    orders = exported(story, tmp_path, "orders")
    assert [(o["basis"], o["amount"]) for o in orders] == [
        ("tap", "12.50"), ("delivery", "12.50"), ("delivery", "20.00"),
    ]  # fmt: skip
    sums = exported(story, tmp_path, "summary")
    assert [(s["part"], s["name"], s["accepted"], s["tap_revenue"]) for s in sums if s["accepted"]] == [
        ("all", "", 5, "12.50"), ("variant", "A", 5, "12.50"), ("segment", "important_value", 5, "12.50"),
    ]  # fmt: skip
    assert sums[0]["lift_buyers"] == pytest.approx(0.4)
    money = ("replies", "cost_beyond_plan", "cost_of_fee", "currency", "added_per_money")
    assert [sums[0][name] for name in money] == [0, "0", "1.33", "TWD", None]  # 5 of 3,000 messages for 800
    assert sums[1]["currency"] is None
    audit = table_of(AuditEntry)
    with reading(story.engine) as session:
        assert [d["what"] for d in session.scalars(select(audit.c.detail))] == ["people", "people", "orders", "summary"]


def test_what_cannot_be_exported_says_why(story: Story, tmp_path: Path) -> None:
    given = {"zone": ZONE, "actor": "test", "now": story.at}
    with pytest.raises(BadInput, match="none of summary, people, orders"):
        export_campaign(story.engine, story.campaign_id, tmp_path / "a.csv", what="all", **given)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        export_campaign(story.engine, 99, tmp_path / "a.csv", what="people", **given)  # type: ignore[arg-type]
