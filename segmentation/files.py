"""Segments of plain order files, with no database: CSV or Parquet in, CSV or Parquet out.

Every row is read; one that can't be is reported by its number, and then nothing is written. What refunds, lines and
negative amounts mean is told in docs/segments.md.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import sqlglot

from segmentation.day_matrix import SumTooLarge
from segmentation.engine import Request, Segmented, compute, open_duckdb
from segmentation.measures import UnreadableRows
from segmentation.models import MODELS
from segmentation.rfm import UNITS
from store.errors import BadInput
from store.types import DECIMAL_PLACES

NEEDED = ("customer_id", "ordered_at", "amount")
KNOWN = (*NEEDED, "order_id", "status", "currency")
STATUSES = ("paid", "refunded", "cancelled")
MAX_AMOUNT = 10**13  # of one row; leaves room for the sums in 64 bits of ten-thousandths
EXACT = r"^[+-]?(\d+(\.\d{0,4}0*)?|\.\d{1,4}0*)$"  # an amount of at most DECIMAL_PLACES places, written plainly
PRINTED = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$"  # a number as programs print binary floats
FLOAT_NOISE = 1e-6  # what a printed float may be off by: 22.200000000000003 is 22.2, and 0.00001 stays refused
EIGHT_DIGITS = r"^(\d{4})(\d{2})(\d{2})$"
MONEY = ("monetary", "paid_total")
MONEY_TYPES = ("decimal(18, 4)", "decimal(24, 4)")  # 64 bits, which nearly always do; 128 from sums of 10^14 on
PARQUET = "FORMAT parquet, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 2000"  # sums make no dictionary
MOST_NAMED = 5  # of wrong values

Table = Any
Expression = Any


@dataclass(frozen=True)
class FileResult:
    """What `segment_file` wrote."""

    customer_count: int
    cycle_days: int
    out: Path


def segment_file(orders: Path, out: Path, request: Request) -> FileResult:
    """Write one row per customer with a paid order in `orders` to `out` (CORE_COLUMNS, and MORE_COLUMNS
    when all models are asked for; in no particular order).

    The result appears whole or not at all. Raises BadInput for an unknown ending, a file that can't be read or is
    empty, a missing column, and the first row that can't be understood. The date and status of every row must be
    readable; the amount and customer of those that count.
    """
    require_apart(orders, out)
    with reading_orders(orders, request.zone) as file:
        result = compute(file.connection, file.paid, request, lines=file.has_lines)
        if result.people == 0:
            file.require_rows(orders)
        with written_whole(out) as unfinished:
            write_result(file.connection, result, unfinished)
    return FileResult(result.people, result.cycle_days, out)


@dataclass(frozen=True)
class OrderFile:
    """An open file of orders: its rows as they are, and the paid ones in the shape of `rfm.aggregates`."""

    connection: Any
    raw: Table
    paid: Table
    has_lines: bool  # an order may have several rows

    def require_rows(self, path: Path) -> None:
        """Raises BadInput when there is no row at all, paid or not."""
        if self.connection.to_pyarrow(self.raw.count()).as_py() == 0:
            raise BadInput(f"{path} has no orders: there is nothing below the header")


@contextmanager
def reading_orders(path: Path, zone: ZoneInfo) -> Iterator[OrderFile]:
    """The orders of a CSV or Parquet file, for work inside the block. Raises BadInput as `segment_file` says; the block
    raises UnreadableRows when a row that it needs lacks a value, and that becomes a BadInput which names the row."""
    with open_duckdb(zone) as connection:
        raw = _open(connection, path)
        try:
            paid = paid_rows(raw, are_amounts_small=_are_amounts_small(connection, raw, path))
            require_one_currency(connection, raw, str(path))
            has_lines = "order_id" in raw.columns and not _is_unique(connection, raw.order_id)
            yield OrderFile(connection, raw, paid, has_lines)
        except UnreadableRows:
            raise BadInput(_first_fault(connection, raw, path)) from None
        except (duckdb.Error, SumTooLarge, OSError) as error:
            found = _csv_fault(path) or f"{path} can't be computed with: {_first_line(error)}"
            raise BadInput(found) from error


@contextmanager
def written_whole(out: Path) -> Iterator[Path]:
    """A path beside `out` to write to, which takes its place when the block is done: the result appears whole or not
    at all. Raises BadInput for another ending than .csv or .parquet, or when it can't be written."""
    ending_of(out)
    unfinished = out.with_name(f".unfinished.{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            unfinished.replace(out)
        finally:
            unfinished.unlink(missing_ok=True)
    except (OSError, duckdb.Error) as error:
        raise BadInput(f"{out} can't be written: {_first_line(error)}") from error


def require_apart(orders: Path, out: Path) -> None:
    """Raises BadInput when the result would take the place of the orders, or ends in neither .csv nor .parquet."""
    ending_of(out)
    if out.resolve() == orders.resolve():
        raise BadInput(f"{out} holds the orders: write the result to another file")


def ending_of(path: Path) -> str:
    """`.csv` or `.parquet`. Raises BadInput for any other ending."""
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise BadInput(f"{path} must end in .csv or .parquet")
    return ending


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _open(connection: Any, path: Path) -> Table:
    """The file as a table. CSV columns are all text, so that a customer_id stays exactly as it was written."""
    ending = ending_of(path)
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    try:
        if ending == ".parquet":
            raw = connection.read_parquet(str(path))
        elif path.stat().st_size == 0:
            raise BadInput(f"{path} is empty")
        else:
            # nothing is guessed: a guessed comment sign would drop rows
            dialect = {"header": True, "delim": ",", "quote": '"', "escape": '"', "skip": 0, "comment": ""}
            raw = connection.read_csv(str(path), all_varchar=True, **dialect)
    except duckdb.Error as error:
        found = _csv_fault(path) or f"{path} can't be read as {ending[1:]}: {_first_line(error)}"
        raise BadInput(found) from error
    return known_columns(raw, str(path))


def known_columns(raw: Table, path: str) -> Table:
    """`raw` with its columns of KNOWN under these names, however they were spelt; one that holds nothing, and so has no
    type in a Parquet file, is of empty text. Raises BadInput when one is missing, and for customers who are lists or
    records."""
    written = {name: name.strip().lower() for name in raw.columns}
    raw = raw.rename({small: name for name, small in written.items() if small != name and small in KNOWN})
    missing = [name for name in NEEDED if name not in raw.columns]
    if missing:
        raise BadInput(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(raw.columns)}")
    typeless = (name for name in raw.columns if name in KNOWN and raw[name].type().is_unknown())
    raw = raw.mutate(**{name: ibis.null("string") for name in typeless})
    if raw.customer_id.type().is_nested():
        raise BadInput(f"the column customer_id must hold text or numbers, not {raw.customer_id.type()}")
    return raw


def require_one_currency(connection: Any, raw: Table, path: str) -> None:
    """Raises BadInput for orders in several currencies: their amounts can't be added. An empty cell says nothing."""
    if "currency" not in raw.columns:
        return
    names = raw.select(currency=raw.currency.cast("string").strip().upper()).distinct()
    found = sorted(filter(None, connection.to_pyarrow(names)["currency"].to_pylist()))
    if len(found) > 1:
        more = "…" if len(found) > MOST_NAMED else ""
        listed = ", ".join(found[:MOST_NAMED]) + more
        raise BadInput(f"{path} has orders in several currencies ({listed}): convert them, or give a file of each")


def _csv_fault(path: Path) -> str | None:
    """The first place where a CSV file breaks off being one; None for another file or when nothing is found."""
    if path.suffix.lower() != ".csv":
        return None
    width, number = 0, 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, cells in enumerate(csv.reader(file, strict=True)):
                width = width or len(cells)
                if cells and len(cells) != width:
                    return f"{path}, row {number}: {len(cells)} cells where the header has {width}"
    except UnicodeDecodeError:
        return f"{path} is not UTF-8 text: save it as “CSV UTF-8”"
    except csv.Error as error:
        never_closed = "end of data" in str(error) or "field larger" in str(error)
        fault = "a quotation mark is opened and never closed" if never_closed else str(error)
        return f"{path}, row {number + 1}: {fault}"
    with path.open(newline="", encoding="utf-8-sig") as file:
        while file.read(1 << 20):
            pass
        if isinstance(file.newlines, tuple):
            return f"{path} mixes different line ends: save it anew with one kind"
    return None


def _is_unique(connection: Any, column: Expression) -> bool:
    """Whether no order id is there twice (nulls apart): then rows are orders, which is far cheaper to count."""
    table = column.as_table()
    counts = connection.to_pyarrow(table.aggregate(rows=column.count(), ids=column.nunique())).to_pylist()[0]
    return bool(counts["rows"] == counts["ids"])


def _are_amounts_small(connection: Any, raw: Table, path: Path) -> bool:
    """Whether a Parquet file, which nearly always knows its bounds, has no amount beyond MAX_AMOUNT: to look at each is
    dearer than to read it."""
    if path.suffix.lower() != ".parquet" or not (raw.amount.type().is_decimal() or raw.amount.type().is_integer()):
        return False
    bounds = raw.aggregate(least=raw.amount.min(), most=raw.amount.max())
    ((least, most),) = connection.raw_sql(connection.compile(bounds)).fetchall()
    return least is not None and least >= -MAX_AMOUNT and most <= MAX_AMOUNT


def paid_rows(raw: Table, *, are_amounts_small: bool = False) -> Table:
    """The paid rows in the shape of `rfm.aggregates`; what can't be read is null, also the amount of a row whose
    status is unknown. `are_amounts_small`: it is known that none lies beyond MAX_AMOUNT."""
    amount = _amount(raw.amount, are_small=are_amounts_small)
    columns = {"customer_id": raw.customer_id, "ordered_at": _time(raw.ordered_at), "amount": amount}
    if "order_id" in raw.columns:
        columns["order_id"] = raw.order_id
    if "status" not in raw.columns:
        return raw.select(**columns)
    status = _status(raw.status)
    is_known = status.isin(STATUSES).fill_null(False)
    columns["amount"] = ibis.cases((is_known, columns["amount"]))
    return raw.filter((status == "paid") | ~is_known).select(**columns)


def _status(column: Expression) -> Expression:
    if not column.type().is_string():
        raise BadInput(f"the column status must be text, not {column.type()}")
    return column.strip().lower()


def _time(column: Expression) -> Expression:
    """When a row was ordered; null where that can't be read. Text without an offset is the brand's wall time."""
    kind = column.type()
    if kind.is_timestamp() or kind.is_date():
        return column
    if kind.is_string():
        dashed = column.strip().re_replace(EIGHT_DIGITS, r"\1-\2-\3")
        time = dashed.try_cast("timestamp('UTC')")  # the session's zone, the brand's, fills in for none
        return ibis.cases((~dashed.contains("infinity"), time))  # which DuckDB takes for a time
    raise BadInput(f"the column ordered_at must hold dates or times, not {kind}")


def _amount(column: Expression, *, are_small: bool = False) -> Expression:
    """The amount in whole ten-thousandths; null where it can't be read exactly. Binary floats, which hold no decimal
    exactly, are rounded to the nearest ten-thousandth."""

    def within(exact: Expression, units: Expression) -> Expression:
        return units if are_small else ibis.cases((exact.between(-MAX_AMOUNT, MAX_AMOUNT), units))

    kind = column.type()
    if kind.is_floating():
        # isnan by name: Parquet's statistics leave NaN out, so DuckDB takes `< MAX_AMOUNT` for proven
        fits = ~column.isnan() & (column.abs() < MAX_AMOUNT)
        return (ibis.cases((fits, column)) * UNITS).cast("int64")  # DuckDB's cast rounds
    if kind.is_integer():
        return within(column, column.cast("int64")) * UNITS
    if kind.is_decimal():
        if kind.scale <= DECIMAL_PLACES and kind.precision <= 18:
            return within(column, _units_of_64_bits(column))
        exact = column
        if kind.scale > DECIMAL_PLACES:
            exact = ibis.cases((column.round(DECIMAL_PLACES) == column, column))
        return _units(within(exact, exact))
    if kind.is_string():
        plain = column.strip()
        exact = ibis.cases((plain.re_search(EXACT), plain)).try_cast("decimal(18, 4)")
        printed = ibis.cases((plain.re_search(PRINTED) & ~plain.re_search(EXACT), plain)).try_cast("float64")
        rounded = printed.round(DECIMAL_PLACES)
        meant = ibis.cases(((rounded - printed).abs() < FLOAT_NOISE, rounded)).try_cast("decimal(18, 4)")
        return _units(ibis.coalesce(exact, meant))
    raise BadInput(f"the column amount must hold numbers, not {kind}")


def _units_of_64_bits(exact: Expression) -> Expression:
    """A decimal of at most 18 digits and DECIMAL_PLACES, up to MAX_AMOUNT, in whole ten-thousandths, by steps for which
    18 digits are enough: arithmetic of 128 bits costs ten times as much."""
    scale = exact.type().scale
    if 10 ** (18 - 2 * scale) > MAX_AMOUNT:
        return (exact * 10**scale).cast("int64") * 10 ** (DECIMAL_PLACES - scale)
    whole = exact.cast("int64")
    rest = exact - whole.cast(f"decimal(18, {scale})")
    return whole * UNITS + (rest * UNITS).cast("int64")


def _units(exact: Expression) -> Expression:
    return (exact.cast("decimal(23, 4)") * UNITS).cast("int64")


def _first_fault(connection: Any, raw: Table, path: Path) -> str:
    """What is wrong with the first row that can't be read. Rows are counted from 1 below the header."""
    connection.raw_sql("SET preserve_insertion_order = true")
    checked = raw.mutate(row=ibis.row_number() + 1, fault=fault_of(raw))
    first = checked.filter(checked.fault.notnull()).order_by("row").limit(1)
    found = connection.to_pyarrow(first).to_pylist()[0]
    return fault_sentence(f"{path}, row {found['row']}", found["fault"], found[found["fault"]])


def fault_of(raw: Table) -> Expression:
    """The name of the first column of each row that can't be read; null for a good row."""
    status = _status(raw.status) if "status" in raw.columns else ibis.literal("paid")
    return ibis.cases(
        (raw.customer_id.isnull(), "customer_id"),
        (_time(raw.ordered_at).isnull(), "ordered_at"),
        (_amount(raw.amount).isnull(), "amount"),
        (~status.isin(STATUSES) | status.isnull(), "status"),
    )


def fault_sentence(place: str, fault: str, value: object) -> str:
    """What is wrong with the value of the column `fault` at `place`."""
    place = f"{place}: {fault}"
    if value is None or value == "":
        return f"{place} is empty"
    wanted = {
        "ordered_at": "is not a date or time such as 2026-11-02 or 2026-11-02T09:30:00+08:00",
        "amount": f"is not an amount of at most {DECIMAL_PLACES} decimal places",
        "status": f"is none of {', '.join(STATUSES)}",
    }
    return f"{place} {str(value)!r} {wanted[fault]}"


def write_result(connection: Any, result: Segmented, out: Path) -> None:
    """Write those of `result`, on that DuckDB connection, who have an order that counts, to a .csv or .parquet."""
    # not "is not null", which DuckDB would leave to Arrow, and Arrow copies what it filters, as far ahead as it can
    found = result.table.filter(result.table.frequency.fill_null(0) > 0)
    if ending_of(out) == ".csv":
        connection.to_csv(_in_money(found, MONEY_TYPES[-1]), out, header=True)
        return
    names = sorted({segment.name for segments in MODELS.values() for segment in segments})
    connection.raw_sql(f"CREATE OR REPLACE TYPE segment AS ENUM ({', '.join(map(repr, names))})")
    target = str(out).replace("'", "''")
    for kind in MONEY_TYPES:
        query = _with_enums(connection, _in_money(found, kind))
        try:
            connection.raw_sql(f"COPY ({query}) TO '{target}' ({PARQUET})")
        except duckdb.ConversionException:
            if kind == MONEY_TYPES[-1]:
                raise
        else:
            return


def _in_money(people: Table, kind: str) -> Table:
    """The people with amounts as decimals of that kind in place of whole ten-thousandths."""
    # times a decimal 0.0001 keeps the amount exact; a division would make it a float
    unit = ibis.literal(Decimal(1) / UNITS, "decimal(5, 4)")
    return people.mutate(**{name: (unit * people[name]).cast(kind) for name in MONEY if name in people.columns})


def _with_enums(connection: Any, table: Table) -> str:
    """The query of `table` with names of segments as DuckDB's enums, which are written as the dictionary that they are,
    not looked up row by row; they are read as text."""
    query = connection.compiler.to_sqlglot(table)
    for branch in query.find_all(sqlglot.exp.If, sqlglot.exp.Case):
        place = "true" if isinstance(branch, sqlglot.exp.If) else "default"
        value = branch.args.get(place)
        if isinstance(value, sqlglot.exp.Literal) and value.is_string:
            branch.set(place, sqlglot.exp.cast(value, sqlglot.exp.DataType.build("segment", udt=True)))
    return str(query.sql(dialect="duckdb"))
