"""CSV, Excel, Parquet and JSON lines files into one DuckDB table of text cells, with the number of each row.

Makes the tables `raw` (row, one VARCHAR per known column, `extra`: the other columns as a JSON object or null) and
`refused` (row, reason). Cells lose the white space around them and empty ones are null; nothing else is changed, so
"00004" stays "00004". Knows nothing of customers or orders.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

from store.errors import BadInput
from store.imports.spreadsheet import sheet_rows

Progress = Callable[[int, int], None]  # (work done, work in all)


BATCH_ROWS = 50_000
BLANKS = "' \t\r\n\u00a0\u3000'"  # trimmed off cells: also the no-break and the full-width space
DELIMITERS = ",\t;"
ENDINGS = ".csv, .xlsx, .parquet or .jsonl"


@dataclass(frozen=True)
class Layout:
    """The columns an import knows. Others are kept in `extra`, or left out and named in the report."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    keeps_others: bool = False

    @property
    def known(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)


@dataclass
class Loaded:
    """What was in the file: which known columns, which others, how many rows."""

    known: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    rows: int = 0


def half_of(progress: Progress | None, half: int) -> Progress | None:
    """Progress of one half of the work: reading is half 0, writing half 1."""
    if progress is None:
        return None
    return lambda done, total: progress(half * total + done, 2 * total)


def load_file(duck: duckdb.DuckDBPyConnection, path: Path, layout: Layout, progress: Progress | None) -> Loaded:
    """Fill `raw` and `refused` from `path`; the name's ending says how to read it.

    `progress` gets bytes read and bytes to read. Raises BadInput, naming the file, when it is missing, unreadable,
    of an unknown kind, or without a required column.
    """
    readers = {
        ".csv": _load_csv,
        ".tsv": _load_csv,
        ".xlsx": _load_sheet,
        ".parquet": _load_parquet,
        ".pq": _load_parquet,
        ".jsonl": _load_json_lines,
        ".ndjson": _load_json_lines,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{path.name}: the name must end in {ENDINGS}")
    columns = "".join(f'"{name}" VARCHAR, ' for name in layout.known)
    duck.execute(f"CREATE TABLE raw (row BIGINT, {columns}extra VARCHAR)")
    duck.execute("CREATE TABLE refused (row BIGINT, reason VARCHAR)")
    try:
        loaded = reader(duck, path, layout, progress or (lambda done, total: None))
    except OSError as error:
        raise BadInput(f"{path.name} can't be read: {error.strerror or error}") from error
    for name in layout.required:
        if name not in loaded.known and (loaded.rows or loaded.known or loaded.others):
            raise BadInput(f"{path.name} has no column {name!r}, which is required")
    _refuse_unstorable(duck, layout)
    return loaded


def _refuse_unstorable(duck: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    cells = ", ".join(f'"{name}"' for name in layout.known)
    duck.execute(
        f"CREATE TEMP TABLE unstorable AS SELECT row FROM raw WHERE contains(concat_ws('', {cells}), chr(0))"  # noqa: S608
        r" OR contains(extra, '\u0000')"
    )
    duck.execute("INSERT INTO refused SELECT row, 'a cell holds a NUL character' FROM unstorable")
    duck.execute("DELETE FROM raw WHERE row IN (FROM unstorable)")


def drop_blank_end(header: list[str]) -> None:
    """Take the columns without a name off the end of a header: spreadsheets have some that hold nothing."""
    while header and not header[-1].strip():
        header.pop()


def _name_columns(path: Path, header: Iterable[str], layout: Layout) -> dict[str, str]:
    """Column name in the file -> known name in small letters, or itself. Raises BadInput for one given twice."""
    names: dict[str, str] = {}
    for written in header:
        small = written.strip().lower()
        name = small if small in layout.known else written.strip()
        if name in names.values():
            raise BadInput(f"{path.name} has two columns named {name!r}")
        names[written] = name
    return names


def _add(duck: duckdb.DuckDBPyConnection, layout: Layout, batch: pa.Table) -> None:
    """Append a batch of text columns to `raw`; columns it lacks become null."""
    present = set(batch.column_names)
    cells = "".join(
        f"nullif(trim(\"{name}\", {BLANKS}), ''), " if name in present else "NULL, " for name in layout.known
    )
    extra = "extra" if "extra" in present else "NULL"
    duck.register("batch", batch)
    duck.execute(f"INSERT INTO raw SELECT row, {cells}{extra} FROM batch")  # noqa: S608
    duck.unregister("batch")


def add_refused(duck: duckdb.DuckDBPyConnection, refused: list[tuple[int, str]]) -> None:
    """Append to `refused`."""
    if refused:
        rows, reasons = zip(*refused, strict=True)
        duck.register("batch", pa.table({"row": pa.array(rows, pa.int64()), "reason": pa.array(reasons, pa.string())}))
        duck.execute("INSERT INTO refused FROM batch")
        duck.unregister("batch")


# --- CSV -------------------------------------------------------------------------------------------------------


def _load_csv(duck: duckdb.DuckDBPyConnection, path: Path, layout: Layout, progress: Progress) -> Loaded:
    size = path.stat().st_size
    try:
        with path.open("rb") as raw_file, io.TextIOWrapper(raw_file, encoding="utf-8-sig", newline="") as file:
            first = raw_file.readline().decode("utf-8-sig", "replace")
            raw_file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, [])
            width = len(header)
            drop_blank_end(header)
            if not header:
                raise BadInput(f"{path.name} has no header row")
            names = _name_columns(path, header, layout)
            loaded = Loaded(set(names.values()) & set(layout.known), [n for n in names.values() if n])
            loaded.others = [n for n in loaded.others if n not in layout.known]
            for rows, refused in _csv_batches(path, reader, width, len(header)):
                loaded.rows += len(rows) + len(refused)
                add_refused(duck, refused)
                if rows:
                    _add(duck, layout, _csv_table(rows, list(names.values()), layout))
                progress(min(size, raw_file.tell()), size)
    except UnicodeDecodeError as error:
        raise BadInput(not_text(path)) from error
    except csv.Error as error:
        raise BadInput(f"{path.name} can't be read as CSV: {error}") from error
    return loaded


def not_text(path: Path) -> str:
    """What to say of a file that is no UTF-8 text (Excel's plain “CSV” is Big5 in Taiwan, its “Unicode text” UTF-16),
    with the first line that isn't."""
    with path.open("rb") as file:
        wrong = next((number for number, line in enumerate(file, 1) if not _is_text(line)), 1)
    return f"{path.name} is not UTF-8 text: line {wrong} is another encoding; save it as “CSV UTF-8”"


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _csv_batches(
    path: Path, reader: Iterator[list[str]], width: int, named: int
) -> Iterator[tuple[list[tuple[Any, ...]], list[tuple[int, str]]]]:
    """Batches of ((row number, cells…) tuples, refused rows) of a table of `width` columns, the first of which are
    `named`; rows without anything in them are left out. Raises BadInput when a quotation is never closed."""
    rows: list[tuple[Any, ...]] = []
    refused: list[tuple[int, str]] = []
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            yield rows, refused
            return
        except csv.Error as error:
            if "end of data" in str(error) or "field larger" in str(error):
                raise BadInput(f"{path.name}, row {number}: a quotation mark is opened and never closed") from error
            refused.append((number, "the quotation marks of this row don't match"))
            continue
        if not any(map(str.strip, cells)):  # also of nothing but commas: Excel writes rows that were emptied so
            continue
        if len(cells) == width and not any(cells[named:]):
            rows.append((number, *cells[:named]))
        else:
            refused.append((number, f"{len(cells)} cells where the header has {named}"))
        if len(rows) + len(refused) >= BATCH_ROWS:
            yield rows, refused
            rows, refused = [], []


def _csv_table(rows: list[tuple[Any, ...]], names: list[str], layout: Layout) -> pa.Table:
    numbers, *columns = zip(*rows, strict=True)
    data = {"row": pa.array(numbers, pa.int64())}
    cells = dict(zip(names, columns, strict=True))
    for name in layout.known:
        if name in cells:
            data[name] = pa.array(cells[name], pa.string())
    others = [name for name in names if name and name not in layout.known]
    if layout.keeps_others and others:
        lists = zip(*(cells[name] for name in others), strict=True)
        data["extra"] = pa.array([_extra(zip(others, row, strict=True)) for row in lists], pa.string())
    return pa.table(data)


def _extra(pairs: Iterable[tuple[str, Any]]) -> str | None:
    """The non-empty pairs as one JSON object; None when there are none."""
    kept: dict[str, Any] = {}
    for name, value in pairs:
        cell = value.strip() if isinstance(value, str) else value
        if cell is not None and cell != "":
            kept[name] = float(cell) if isinstance(cell, Decimal) else cell
    return msgspec.json.encode(kept).decode() if kept else None


# --- Excel -----------------------------------------------------------------------------------------------------


def _load_sheet(duck: duckdb.DuckDBPyConnection, path: Path, layout: Layout, progress: Progress) -> Loaded:
    size = path.stat().st_size
    with sheet_rows(path) as rows:
        header = next(rows, [])
        drop_blank_end(header)  # columns that were only ever formatted
        if not header:
            raise BadInput(f"{path.name} has no header row")
        names = _name_columns(path, header, layout)
        loaded = Loaded(set(names.values()) & set(layout.known), [n for n in names.values() if n])
        loaded.others = [n for n in loaded.others if n not in layout.known]
        numbered = enumerate(rows, 2)
        while batch := list(islice(numbered, BATCH_ROWS)):
            good: list[tuple[Any, ...]] = []
            refused: list[tuple[int, str]] = []
            for number, cells in batch:
                if any(cells[len(header) :]):
                    refused.append((number, f"{len(cells)} cells where the header has {len(header)}"))
                elif any(map(str.strip, cells)):
                    good.append((number, *cells[: len(header)], *[""] * (len(header) - len(cells))))
            loaded.rows += len(good) + len(refused)
            add_refused(duck, refused)
            if good:
                _add(duck, layout, _csv_table(good, list(names.values()), layout))
            # how long the sheet is, nobody knows before its end: half, then half of what is left, and so on
            progress(size - size // (2 + loaded.rows // BATCH_ROWS), size)
    return loaded


# --- JSON lines ------------------------------------------------------------------------------------------------


def _load_json_lines(duck: duckdb.DuckDBPyConnection, path: Path, layout: Layout, progress: Progress) -> Loaded:
    size = path.stat().st_size
    decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
    loaded = Loaded()
    others: dict[str, None] = {}
    records: list[tuple[int, dict[str, Any]]] = []
    refused: list[tuple[int, str]] = []
    with path.open("rb") as file:
        for number, line in enumerate(chain(file, [b""]), 1):
            if line.strip():
                try:
                    given = decoder.decode(line)
                    record = {_small(name, layout): value for name, value in given.items()}
                    if len(record) == len(given):
                        records.append((number, record))
                    else:
                        refused.append((number, "two names in this line are the same column"))
                except ValueError:  # msgspec's own error and UnicodeDecodeError are both ValueErrors
                    refused.append((number, "not one JSON object in UTF-8"))
            if line == b"" or len(records) + len(refused) >= BATCH_ROWS:
                loaded.rows += len(records) + len(refused)
                add_refused(duck, refused)
                if records:
                    _add(duck, layout, _json_table(records, layout, loaded, others))
                records, refused = [], []
                progress(min(size, file.tell()), size)
    loaded.others = list(others)
    if loaded.rows and not duck.execute("SELECT 1 FROM raw LIMIT 1").fetchall():
        raise BadInput(f"{path.name} holds no JSON object: each line must be one")
    return loaded


def _small(name: str, layout: Layout) -> str:
    small = name.strip().lower()
    return small if small in layout.known else name.strip()


def _json_table(
    records: list[tuple[int, dict[str, Any]]], layout: Layout, loaded: Loaded, others: dict[str, None]
) -> pa.Table:
    keys = {key: None for _, record in records for key in record}
    loaded.known |= keys.keys() & set(layout.known)
    others.update((key, None) for key in keys if key not in layout.known)
    data = {"row": pa.array([number for number, _ in records], pa.int64())}
    for name in layout.known:
        if name in keys:
            data[name] = pa.array([_text(name, record.get(name)) for _, record in records], pa.string())
    if layout.keeps_others:
        data["extra"] = pa.array(
            [_extra((k, v) for k, v in record.items() if k not in layout.known) for _, record in records], pa.string()
        )
    return pa.table(data)


def _text(name: str, value: Any) -> str | None:
    """A JSON value as the text a CSV cell would hold; a list of words is joined by ";"."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, list) and name != "lines" and all(isinstance(word, str) for word in value):
        return ";".join(value)
    return msgspec.json.encode(value).decode()


# --- Parquet ---------------------------------------------------------------------------------------------------


def _load_parquet(duck: duckdb.DuckDBPyConnection, path: Path, layout: Layout, progress: Progress) -> Loaded:
    try:
        with pq.ParquetFile(path) as file:
            names = _name_columns(path, file.schema_arrow.names, layout)
            loaded = Loaded(set(names.values()) & set(layout.known))
            loaded.others = [name for name in names.values() if name not in layout.known]
            size = path.stat().st_size
            total = file.metadata.num_rows
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                table = pa.table(batch.columns, names=list(names.values()))
                _add(duck, layout, _parquet_table(duck, table, layout, loaded))
                loaded.rows += batch.num_rows
                progress(size * loaded.rows // total, size)
    except pa.ArrowException as error:
        raise BadInput(f"{path.name} is not a Parquet file that can be read") from error
    return loaded


def _parquet_table(duck: duckdb.DuckDBPyConnection, table: pa.Table, layout: Layout, loaded: Loaded) -> pa.Table:
    numbered = table.append_column("row", pa.array(range(loaded.rows + 1, loaded.rows + 1 + table.num_rows)))
    duck.register("typed", numbered)
    cells = [
        f"{_as_text(name, table.schema.field(name).type)} AS {_quoted(name)}"
        for name in table.column_names
        if name in layout.known
    ]
    if layout.keeps_others and loaded.others:
        pairs = ", ".join(f"'{name.replace(chr(39), chr(39) * 2)}', {_quoted(name)}" for name in loaded.others)
        cells.append(f"nullif(json_merge_patch('{{}}', json_object({pairs}))::VARCHAR, '{{}}') AS extra")
    text = duck.sql(f"SELECT row, {', '.join(cells)} FROM typed").to_arrow_table()  # noqa: S608
    duck.unregister("typed")
    return text


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _as_text(name: str, kind: pa.DataType) -> str:
    """SQL for a typed column as the text a CSV cell would hold.

    A binary fraction carries no exact decimals (9.95 * 3 is 29.849999…), so it is rounded to the four places we keep;
    a whole one loses its ".0", which is what ids become when pandas meets an empty cell.
    """
    column = _quoted(name)
    if pa.types.is_floating(kind):
        rounded = f"regexp_replace(printf('%.4f', {column}::DOUBLE), '\\.?0+$', '')"
        return f"CASE WHEN isnan({column}) THEN NULL ELSE {rounded} END"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"to_json({column})::VARCHAR" if name == "lines" else f"array_to_string({column}, ';')"
    return f"{column}::VARCHAR"
