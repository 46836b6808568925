"""Everybody's orders and acts as the arrays that day_matrix.py works on, and what comes of them back into DuckDB: in
parts that fit in memory, and each part in shares that fit in a processor's cache."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.day_matrix import Happenings, Ints, Measured
from segmentation.day_numbers import Spread, numbered
from segmentation.day_rows import PIECES, ROWS_AT_ONCE, SHARES, Divided, Rows, on_all_processors
from segmentation.measures import Spans

ROWS_A_SHARE = 250_000  # as many shares at once as have these

Table = Any
Result = TypeVar("Result")
GapCounts = Mapping[int, int]  # days -> how often


@dataclass(frozen=True)
class Part:
    """Some customers, whose ids are of that `kind` and lie so, and what they did, in divided batches (acts of None: the
    orders that count)."""

    orders: list[Divided]
    acts: list[Divided] | None
    kind: pa.DataType
    spread: Spread
    look_back_days: int | None
    _kept: dict[int, tuple[pa.Array, Measured]] = field(default_factory=dict)

    def each(self, work: Callable[[pa.Array, Measured], Result], *, keep: bool = False) -> list[Result]:
        """What `work` makes of the ids and measures of a few shares, for all of them, on all processors. With `keep`
        what is measured is kept for the next time, else it goes as soon as it is done with. Raises SumTooLarge."""
        rows = max(sum(len(one.rows) for one in batches) for batches in (self.orders, self.acts or []))
        shares = self.spread.shares
        together = min(shares, max(1, shares * ROWS_A_SHARE // max(1, rows)))

        def of_shares(first: int) -> Result:
            measured = self._kept.pop(first, None) or self._measured(range(first, min(first + together, shares)))
            if keep:
                self._kept[first] = measured
            return work(*measured)

        return on_all_processors(of_shares, range(0, shares, together))

    def _measured(self, shares: range) -> tuple[pa.Array, Measured]:
        batches = [self.orders] if self.acts is None else [self.orders, self.acts]
        # joined by Arrow: NumPy would let go of the interpreter, and wait for it, for each of them
        tables = [pa.Table.from_batches([one.of(shares) for one in divided]) for divided in batches]
        whose = [table["customer_id"].combine_chunks() for table in tables]
        ids, numbers = numbered(whose, self.kind, self.spread, shares)
        done = [_happenings(who, table) for who, table in zip(numbers, tables, strict=True)]
        measured = Measured(len(ids), done[0], done[1] if len(done) > 1 else None, self.look_back_days)
        return ids if measured.is_there.all() else ids.filter(pa.array(measured.is_there)), measured


def _happenings(who: Ints, table: pa.Table) -> Happenings:
    """What the customers did in the rows of a table; only here, where they are worked on, are numbers made wide."""

    def column(name: str, kind: type[np.integer[Any]]) -> Any:
        return table[name].combine_chunks().to_numpy().astype(kind, copy=False) if name in table.column_names else None

    return Happenings(who, column("ago", np.int32), column("amount", np.int64), column("counted_amount", np.int64))


class Everyone:
    """The customers of some orders and acts; see `open_everyone`. Parts of them are made when they are needed, so many
    at once."""

    def __init__(self, parts: Sequence[Callable[[], Part]], at_once: int = 1) -> None:
        self._parts, self._at_once = parts, at_once

    def gaps(self) -> GapCounts:
        """The gaps between the orders that count."""
        is_one = len(self._parts) == 1  # several together have no room

        def of_part(part: Callable[[], Part]) -> Ints:
            return _added(part().each(lambda _, measured: measured.gaps, keep=is_one))

        return _as_counts(on_all_processors(of_part, self._parts, self._at_once))

    def measure(self, connection: Any, name: str, spans: Spans) -> "People":
        """Everyone measured. What is found of one part stays in memory, that of several is in files of that `name`
        beside what the DuckDB `connection` spills (whose own tables are several times as dear)."""

        def of_share(ids: pa.Array, measured: Measured) -> tuple[pa.Table, Ints, Ints]:
            rows = pa.table({"customer_id": ids, **measured.columns(spans)})
            return rows, measured.gaps, measured.act_gaps

        def of_part(part: Callable[[], Part]) -> tuple[pa.Table, Ints, Ints]:
            tables, gaps, act_gaps = zip(*part().each(of_share), strict=True)
            return pa.concat_tables(tables), _added(gaps), _added(act_gaps)

        if len(self._parts) == 1:
            rows, *counts = of_part(self._parts[0])
            return People(rows, _as_counts(counts[:1]), _as_counts(counts[1:]))
        folder = _empty_folder(connection, name)

        def to_disk(number: int) -> tuple[Ints, Ints]:
            rows, *counts = of_part(self._parts[number])
            with pa.ipc.new_file(folder / f"{number}.arrow", rows.schema) as file:
                file.write_table(rows)
            return counts[0], counts[1]

        gaps, act_gaps = zip(*on_all_processors(to_disk, range(len(self._parts)), self._at_once), strict=True)
        from pyarrow import dataset, fs  # type: ignore[import-untyped, unused-ignore] # here, not above: it brings pandas

        # each file is mapped while it is read, and no longer: they are never in memory all at once
        rows = dataset.dataset(folder, format="ipc", filesystem=fs.LocalFileSystem(use_mmap=True))
        return People(rows, _as_counts(gaps), _as_counts(act_gaps))


@dataclass(frozen=True)
class People:
    """Everyone measured: `rows` (an Arrow table or dataset) with customer_id and the columns of `Measured`, the gaps
    between orders that count, and those between days with an act."""

    rows: Any
    gaps: GapCounts
    act_gaps: GapCounts

    def column(self, name: str) -> Ints:
        """The values of a column, of those who have one; nobody else has that array."""
        rows = self.rows.select([name]) if isinstance(self.rows, pa.Table) else self.rows.to_table(columns=[name])
        values: Ints = rows[name].drop_null().to_numpy()
        return values if values.flags.writeable else values.copy()


def _empty_folder(connection: Any, name: str) -> Path:
    """A folder that goes with the connection."""
    ((spilled,),) = connection.con.execute("SELECT current_setting('temp_directory')").fetchall()
    folder = Path(spilled) / name
    shutil.rmtree(folder, ignore_errors=True)  # of a former call; what is still mapped of it stays readable
    folder.mkdir()
    return folder


def _added(counts: Sequence[Ints]) -> Ints:
    """How often each gap occurs in all."""
    total = np.zeros(max(map(len, counts), default=0), np.int64)
    for some in counts:
        total[: len(some)] += some
    return total


def _as_counts(counts: Sequence[Ints]) -> GapCounts:
    """How often each gap occurs in all, of those that do."""
    total = _added(counts)
    found = np.flatnonzero(total)
    return dict(zip(found.tolist(), total[found].tolist(), strict=True))


@contextmanager
def open_everyone(connection: Any, orders: Table, acts: Table | None, look_back_days: int | None) -> Iterator[Everyone]:
    """Everybody in `orders` and `acts` (see `measures.days_back`), for work inside the block. Too many rows for the
    memory lie on disk meanwhile. Raises UnreadableRows, SumTooLarge, duckdb.Error; TypeError for ids of two types."""
    with ExitStack() as files:
        rows = [Rows(connection, table, files) for table in (orders, acts) if table is not None]
        kind = rows[0].kind
        if any(one.kind != kind for one in rows):
            raise TypeError(
                f"ids of orders and of acts must be of one type, not {' and '.join(str(one.kind) for one in rows)}"
            )

        def part(batches: list[list[Divided]], spread: Spread) -> Part:
            return Part(batches[0], batches[1] if len(batches) > 1 else None, kind, spread, look_back_days)

        if all(one.pieces is None for one in rows):
            whole = part([one.held for one in rows], Spread(0, SHARES, SHARES))
            yield Everyone([lambda: whole])
            return
        pieces = [one.on_disk() for one in rows]

        def piece(number: int) -> Part:
            return part([[one.read(number)] for one in pieces], Spread(number, 1, PIECES))

        # As many at once as have no more rows together than are held in memory otherwise.
        at_once = ROWS_AT_ONCE * PIECES // max(1, sum(one.rows for one in pieces))
        yield Everyone([partial(piece, number) for number in range(PIECES)], max(1, min(os.cpu_count() or 1, at_once)))
