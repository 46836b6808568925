"""The first rows of a file, before anything of it is imported. Reads no more than it shows, however large the file."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

from store.errors import BadInput
from store.imports.files import DELIMITERS, ENDINGS, Layout, drop_blank_end, not_text
from store.imports.spreadsheet import sheet_rows

ROWS_SHOWN = 5
LONGEST_CELL = 80  # characters shown of one
LONGEST_LINE = 1 << 20  # bytes of a first line: beyond it, it is no table


@dataclass(frozen=True)
class Preview:
    """What a file begins with. `known`, `others` and `missing` (required ones) are columns, in the file's order and the
    layout's; `rows` has one text per column of `columns`."""

    columns: list[str]
    rows: list[list[str]]
    known: list[str]
    others: list[str]
    missing: list[str]


def peek(path: Path, layout: Layout) -> Preview:
    """The columns and the first rows of `path`. Raises BadInput, naming the file, when it can't be read at all."""
    readers: dict[str, Callable[[Path], tuple[list[str], list[list[str]]]]] = {
        ".csv": _peek_csv,
        ".tsv": _peek_csv,
        ".xlsx": _peek_sheet,
        ".parquet": _peek_parquet,
        ".pq": _peek_parquet,
        ".jsonl": _peek_json_lines,
        ".ndjson": _peek_json_lines,
    }
    if path.suffix.lower() not in readers:
        raise BadInput(f"{path.name}: the name must end in {ENDINGS}")
    try:
        header, rows = readers[path.suffix.lower()](path)
    except OSError as error:
        raise BadInput(f"{path.name} can't be read: {error.strerror or error}") from error
    if not any(header):
        raise BadInput(f"{path.name} has no header row")
    small = {name.strip().lower() for name in header}
    return Preview(
        columns=header,
        rows=[[cell[:LONGEST_CELL] for cell in row] for row in rows],
        known=[name for name in layout.known if name in small],
        others=[name.strip() for name in header if name.strip() and name.strip().lower() not in layout.known],
        missing=[name for name in layout.required if name not in small],
    )


def _peek_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            first = raw.readline(LONGEST_LINE).decode("utf-8-sig", "replace")
            raw.seek(0)
            reader = csv.reader(file, delimiter=max(DELIMITERS, key=first.count), strict=True)
            header = next(reader, [])
            drop_blank_end(header)
            rows = [row[: len(header)] for row in islice(reader, ROWS_SHOWN) if any(map(str.strip, row))]
    except UnicodeDecodeError as error:
        raise BadInput(not_text(path)) from error
    except csv.Error as error:
        raise BadInput(f"{path.name} can't be read as CSV: {error}") from error
    return header, rows


def _peek_sheet(path: Path) -> tuple[list[str], list[list[str]]]:
    with sheet_rows(path) as rows:
        header = next(rows, [])
        drop_blank_end(header)
        return header, [row[: len(header)] for row in islice(rows, ROWS_SHOWN) if any(row)]


def _peek_parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with pq.ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=ROWS_SHOWN), None)
            header = [str(name) for name in file.schema_arrow.names]
            records = batch.to_pylist() if batch is not None else []
    except pa.ArrowException as error:
        raise BadInput(f"{path.name} is not a Parquet file that can be read") from error
    return header, [[_text(record[name]) for name in header] for record in records]


def _peek_json_lines(path: Path) -> tuple[list[str], list[list[str]]]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    with path.open("rb") as file:
        lines = [line for line in (file.readline(LONGEST_LINE) for _ in range(ROWS_SHOWN)) if line.strip()]
    try:
        records = [decoder.decode(line) for line in lines]
    except ValueError as error:
        raise BadInput(f"{path.name} holds no JSON object: each line must be one") from error
    header = list({name: None for record in records for name in record})
    return header, [[_text(record.get(name)) for name in header] for record in records]


def _text(value: Any) -> str:
    return "" if value is None else str(value)
