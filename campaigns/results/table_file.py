"""Writing a table of any length to a file, row by row: CSV, XLSX or JSON, by the name's ending.

The file appears under its name when it is whole, and only its owner may read it. Cells that a spreadsheet would take
for a formula are made plain text (OWASP, "CSV Injection").
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from xlsxwriter import Workbook

from store.errors import BadInput

SHEET_ROWS = 1_048_576  # Excel's limit; more go to further sheets
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write `rows` under `columns` to `path`; returns how many. Times are written as ISO 8601, money exactly (in XLSX
    as a number). Raises BadInput for an ending other than .csv, .xlsx and .json, or a place that can't be written."""
    writers = {".csv": _write_csv, ".xlsx": _write_xlsx, ".json": _write_json}
    if path.suffix.lower() not in writers:
        raise BadInput(f"{path.name} must end in {', '.join(writers)}")
    with whole_file(path) as part:
        return writers[path.suffix.lower()](part, columns, rows)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path`, readable by its owner alone, that takes its place when all went well."""
    part = path.with_name(f".{path.name}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}") from error
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # with its mark, or Excel takes it for Big5
        writer = csv.writer(file)
        writer.writerow(columns)
        for count, row in enumerate(rows, 1):  # noqa: B007 the last one counts
            writer.writerow([_safe(_plain(value)) for value in row])
    return count


def _write_xlsx(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    count, sheet, at = 0, None, SHEET_ROWS
    with Workbook(str(path), {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        for count, row in enumerate(rows, 1):  # noqa: B007 the last one counts
            if at == SHEET_ROWS:
                sheet, at = _new_sheet(book, columns), 1
            assert sheet is not None
            for place, value in enumerate(row):
                _write_cell(sheet, at, place, value)
            at += 1
        if sheet is None:
            _new_sheet(book, columns)
    return count


def _new_sheet(book: Workbook, columns: Sequence[str]) -> Any:
    sheet = book.add_worksheet()
    for place, name in enumerate(columns):
        sheet.write_string(0, place, name)
    return sheet


def _write_cell(sheet: Any, row: int, place: int, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        if value is not None:
            sheet.write_string(row, place, str(_plain(value)))
    elif isinstance(value, int) and abs(value) >= 10**15:  # beyond what a cell's number keeps exactly
        sheet.write_string(row, place, str(value))
    else:
        sheet.write_number(row, place, value)


def _write_json(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for count, row in enumerate(rows, 1):
            _write_object(file, columns, row, is_first=count == 1)
        file.write("\n]\n")
    return count


def _write_object(file: IO[str], columns: Sequence[str], row: Sequence[Any], *, is_first: bool) -> None:
    file.write("\n" if is_first else ",\n")
    values = {name: _plain(value) for name, value in zip(columns, row, strict=True)}
    json.dump(values, file, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _safe(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
