"""Everybody's orders and acts out of DuckDB as the arrays that day_matrix.py works on, and what comes of them back into
it: in parts that fit in memory, and each part in shares that fit in a processor's cache."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.day_matrix import Happenings, Ints, Measured
from segmentation.facts import keep, lend
from segmentation.measures import Spans, UnreadableRows

ROWS_AT_ONCE = 12_000_000  # of orders, and of acts
ROWS_A_SHARE = 125_000
MOST_SHARES = 255  # a byte says which
SAMPLE = 10_000  # rows, to find customers who divide them equally
PLACES_A_ROW = 4  # at most; ids that lie wider apart are numbered anew

Table = Any
Result = TypeVar("Result")
GapCounts = Mapping[int, int]  # days -> how often


@dataclass(frozen=True)
class Part:
    """Some customers in shares: a customer is the place of the id among `ids`, and each share has those from … up to …
    of `bounds`. What they did came in batches; of each batch a share has its own rows."""

    ids: pa.Array
    bounds: list[tuple[int, int]]
    orders: list[list[Happenings]]
    acts: list[list[Happenings]] | None
    look_back_days: int | None
    _kept: dict[int, Measured] = field(default_factory=dict)

    def each(self, work: Callable[[pa.Array, Measured], Result], *, keep: bool = False) -> list[Result]:
        """What `work` makes of each share, on all processors. With `keep` what is measured is kept for the next time,
        else each share's goes as soon as it is done with. Raises SumTooLarge."""

        def of_share(place: int) -> Result:
            first, end = self.bounds[place]
            measured = self._kept.pop(place, None) or self._measured(place)
            if keep:
                self._kept[place] = measured
            return work(self.ids.slice(first, end - first), measured)

        return _on_all_processors(of_share, range(len(self.bounds)))

    def _measured(self, place: int) -> Measured:
        first, end = self.bounds[place]
        orders = Happenings.together([batch[place] for batch in self.orders], first)
        acts = None if self.acts is None else Happenings.together([batch[place] for batch in self.acts], first)
        return Measured(end - first, orders, acts, self.look_back_days)


def _on_all_processors(work: Callable[[Any], Result], on: Iterable[Any]) -> list[Result]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, on))


class Everyone:
    """The customers of some orders and acts; see `open_everyone`."""

    def __init__(self, parts: Callable[[], Iterator[Part]], *, is_one: bool) -> None:
        self._parts, self._is_one = parts, is_one

    def gaps(self) -> GapCounts:
        """The gaps between the orders that count."""
        return _together([gaps for part in self._parts() for gaps in part.each(lambda _, m: m.gaps, keep=True)])

    def measure(self, connection: Any, name: str, spans: Spans) -> tuple[Table, GapCounts, GapCounts]:
        """A table of `connection`, called like `name`, with customer_id and the columns of `Measured`; the gaps between
        orders that count, and those between days with an act. One part's rows stay where they are; those of several
        become a temporary table, which can be spilled."""

        def work(ids: pa.Array, measured: Measured) -> tuple[pa.Table, Ints, Ints]:
            columns, has_any = measured.columns(spans)
            rows = pa.table({"customer_id": ids, **columns})
            return rows if has_any.all() else rows.filter(pa.array(has_any)), measured.gaps, measured.act_gaps

        counts: list[tuple[Ints, Ints]] = []
        for number, part in enumerate(self._parts()):
            tables, *found = zip(*part.each(work), strict=True)
            rows = pa.concat_tables(tables)
            people = lend(connection, name, rows) if self._is_one else keep(connection, name, rows, add=number > 0)
            counts += zip(*found, strict=True)
        return people, _together([gaps for gaps, _ in counts]), _together([gaps for _, gaps in counts])


def _together(counts: list[Ints]) -> GapCounts:
    """How often each gap occurs in all, of those that do."""
    total = np.zeros(max(map(len, counts), default=0), np.int64)
    for some in counts:
        total[: len(some)] += some
    found = np.flatnonzero(total)
    return dict(zip(found.tolist(), total[found].tolist(), strict=True))


@contextmanager
def open_everyone(connection: Any, orders: Table, acts: Table | None, look_back_days: int | None) -> Iterator[Everyone]:
    """Everybody in `orders` and `acts` (see `measures.days_back`), for work inside the block. Too many rows for the
    memory are laid out on disk first. Raises UnreadableRows, SumTooLarge."""
    queries = [connection.compile(table) for table in (orders, acts) if table is not None]
    limited = [_read(connection, f"FROM ({query}) LIMIT {ROWS_AT_ONCE + 1}") for query in queries]
    if max(map(len, limited)) <= ROWS_AT_ONCE:
        part = _part(limited, look_back_days)
        limited.clear()
        yield Everyone(lambda: iter([part]), is_one=True)
        return
    limited.clear()
    with tempfile.TemporaryDirectory(prefix="segments-") as folder:
        laid = _lay_out(connection, queries, Path(folder), by_range=orders.customer_id.type().is_integer())
        yield Everyone(
            lambda: (_part([_read(connection, q) for q in part], look_back_days) for part in laid), is_one=False
        )


def _read(connection: Any, query: str) -> pa.Table:
    return connection.con.sql(query).to_arrow_table()


def _lay_out(connection: Any, queries: list[str], folder: Path, *, by_range: bool) -> list[list[str]]:
    """The rows of `queries` as Parquet files in `folder`; for each part of the customers the queries of its rows."""
    counts = [connection.con.sql(f"FROM ({query})").count("*").fetchall()[0][0] for query in queries]
    most = max(counts)
    parts = range(most // ROWS_AT_ONCE + 2)  # one more than would do, since they are not quite equal
    part = f"hash(customer_id) % {len(parts)}"
    if by_range:  # so that ids of a part lie as close together as those of all
        wanted = [number / len(parts) for number in parts[1:]]
        query = f"SELECT reservoir_quantile(customer_id, {wanted}, {SAMPLE}) FROM ({queries[counts.index(most)]})"  # noqa: S608
        bounds = connection.con.sql(query).fetchall()[0][0]
        part = " + ".join(f"coalesce(customer_id >= {bound}, false)::INTEGER" for bound in bounds)
    for number, query in enumerate(queries):
        divided = f"SELECT *, ({part})::INTEGER AS part FROM ({query})"  # noqa: S608 - our own
        options = "FORMAT parquet, COMPRESSION uncompressed, PARTITION_BY (part)"
        connection.con.execute(f"COPY ({divided}) TO '{folder / str(number)}' ({options})")
    return [[_laid(folder / str(number) / f"part={part}", q) for number, q in enumerate(queries)] for part in parts]


def _laid(folder: Path, query: str) -> str:
    return (
        f"FROM read_parquet('{folder}/*', hive_partitioning = false)" if folder.exists() else f"FROM ({query}) LIMIT 0"
    )


def _part(tables: list[pa.Table], look_back_days: int | None) -> Part:
    """The customers of orders and perhaps acts."""
    for table in tables:
        if any(table[name].null_count for name in table.column_names if name != "counted_amount"):
            raise UnreadableRows
    batches = [table.to_batches() for table in tables]
    kind = tables[0].schema.field("customer_id").type
    ids, first, whose = _numbered(kind, [[batch["customer_id"] for batch in some] for some in batches])
    bounds = _bounds(len(ids), first, max(whose, key=lambda arrays: sum(map(len, arrays))))
    share = np.repeat(np.arange(len(bounds), dtype=np.uint8), [end - first for first, end in bounds])

    def divided(batch: tuple[Ints, pa.RecordBatch]) -> list[Happenings]:
        return _happenings(*batch, first).divided(share, len(bounds))

    found = [_on_all_processors(divided, zip(who, some, strict=True)) for who, some in zip(whose, batches, strict=True)]
    return Part(ids, bounds, found[0], found[1] if len(found) > 1 else None, look_back_days)


def _bounds(customers: int, number: int, whose: list[Ints]) -> list[tuple[int, int]]:
    """Customers from … up to …, so that each share has about as many rows; `whose` they are, plus `number`."""
    rows = sum(map(len, whose))
    step, shares = max(1, rows // SAMPLE), min(MOST_SHARES, -(-rows // ROWS_A_SHARE))
    sample = np.sort(np.concatenate([who[::step] for who in whose])) - number if rows else np.zeros(0)
    inner = {int(sample[len(sample) * number // shares]) for number in range(1, shares)}
    return list(pairwise([0, *sorted(inner - {0}), customers]))


def _happenings(who: Ints, batch: pa.RecordBatch, number: int) -> Happenings:
    amounts = {name: batch[name].fill_null(0).to_numpy() for name in batch.schema.names if name.endswith("amount")}
    places = np.subtract(who, number, out=np.empty(len(who), np.int32), casting="unsafe")
    return Happenings(places, batch["ago"].to_numpy(), amounts.get("amount"), amounts.get("counted_amount"))


def _numbered(kind: pa.DataType, columns: list[list[pa.Array]]) -> tuple[pa.Array, int, list[list[Ints]]]:
    """Ids, among them all that occur; a number; and for each array of the columns whose each row is, as the place among
    the ids plus that number."""
    arrays = [array for column in columns for array in column]
    if not arrays:
        return pa.array([], kind), 0, [[] for _ in columns]
    least, most = _ends(arrays)
    if most - least < PLACES_A_ROW * sum(map(len, arrays)):
        ids, number = pa.array(np.arange(least, most + 1)).cast(kind), least
        whose = (array.to_numpy().astype(np.int64, copy=False) for array in arrays)
    else:
        encoded = pa.chunked_array(arrays).dictionary_encode().unify_dictionaries().chunks
        ids, number = encoded[-1].dictionary, 0
        whose = (chunk.indices.to_numpy() for chunk in encoded)
    return ids, number, [[next(whose) for _ in column] for column in columns]


def _ends(arrays: list[pa.Array]) -> tuple[int, int]:
    """The least and the greatest id, where they are whole numbers of 63 bits; else two that lie too far apart."""
    filled = [array.to_numpy() for array in arrays if len(array) and pa.types.is_integer(array.type)]
    least, most = (int(min(map(np.min, filled))), int(max(map(np.max, filled)))) if filled else (0, 2**64)
    return (least, most) if most < 2**62 else (0, 2**64)
