"""Rows of an Excel workbook's first sheet as text, read as they come: a sheet of a million rows never stands in memory.

Cells become what a CSV would hold: days and times in ISO form, whole numbers without ".0", formulas as the value that
Excel last saw.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from store.errors import BadInput

MOST_UNPACKED = 8 * 1024**3  # bytes: a sheet of Excel's full million rows takes less; a bomb takes more


@contextmanager
def sheet_rows(path: Path) -> Iterator[Iterator[list[str]]]:
    """The rows of the first sheet, the header first; empty cells are "". Raises BadInput, naming the file, for what is
    no workbook."""
    from openpyxl import load_workbook  # type: ignore[import-untyped, import-not-found, unused-ignore]  # a slow import
    from openpyxl.utils.exceptions import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
        InvalidFileException,
    )

    damaged = (BadZipFile, InvalidFileException, KeyError, ValueError, SyntaxError, EOFError, zlib.error)
    with path.open("rb") as file:  # a workbook that can't be loaded leaves it open
        try:
            with ZipFile(file) as packed:
                if sum(part.file_size for part in packed.infolist()) > MOST_UNPACKED:
                    raise BadInput(f"{path.name} unpacks to more than a workbook can hold")
            book = load_workbook(file, read_only=True, data_only=True)
        except damaged as error:
            raise BadInput(f"{path.name} is not an Excel workbook (.xlsx) that can be read") from error

        def texts() -> Iterator[list[str]]:
            try:
                for row in book.worksheets[0].iter_rows(values_only=True):
                    yield [_text(value) for value in row]
            except damaged as error:
                raise BadInput(f"{path.name} is damaged: its first sheet can't be read to the end") from error

        try:
            if not book.worksheets:
                raise BadInput(f"{path.name} has no sheet of cells")
            yield texts()
        finally:
            book.close()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        is_day = value.time() == time(0)
        return value.date().isoformat() if is_day else value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)
