"""Everybody's orders and acts as the arrays that day_matrix.py works on, and what comes of them back into DuckDB: in
parts that fit in memory, and each part in shares that fit in a processor's cache."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from pyarrow import dataset, fs  # type: ignore[import-untyped, unused-ignore]

from segmentation.day_matrix import Happenings, Ints, Measured
from segmentation.day_rows import PIECES, ROWS_AT_ONCE, Rows, has_remainders, on_all_processors
from segmentation.facts import lend
from segmentation.measures import Spans

ROWS_A_SHARE = 125_000
MOST_SHARES = 255  # a byte says which
SAMPLE = 10_000  # rows, to find customers who divide them equally
PLACES_A_ROW = 4  # at most; ids that lie wider apart are numbered anew

Table = Any
Result = TypeVar("Result")
GapCounts = Mapping[int, int]  # days -> how often
Batches = list[pa.RecordBatch]


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

        return on_all_processors(of_share, range(len(self.bounds)))

    def _measured(self, place: int) -> Measured:
        first, end = self.bounds[place]
        orders = Happenings.together([batch[place] for batch in self.orders], first)
        acts = None if self.acts is None else Happenings.together([batch[place] for batch in self.acts], first)
        return Measured(end - first, orders, acts, self.look_back_days)


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

    def measure(self, connection: Any, name: str, spans: Spans) -> tuple[Table, GapCounts, GapCounts]:
        """A view of `connection`, called like `name`, with customer_id and the columns of `Measured`; the gaps between
        orders that count, and those between days with an act. The rows stay where they are: those of one part in
        memory, those of several in files beside what DuckDB spills (whose own tables are several times as dear)."""

        def of_share(ids: pa.Array, measured: Measured) -> tuple[pa.Table, Ints, Ints]:
            columns, has_any = measured.columns(spans)
            rows = pa.table({"customer_id": ids, **columns})
            return rows if has_any.all() else rows.filter(pa.array(has_any)), measured.gaps, measured.act_gaps

        def of_part(part: Callable[[], Part]) -> tuple[pa.Table, Ints, Ints]:
            tables, gaps, act_gaps = zip(*part().each(of_share), strict=True)
            return pa.concat_tables(tables), _added(gaps), _added(act_gaps)

        if len(self._parts) == 1:
            rows, *counts = of_part(self._parts[0])
            return lend(connection, f"lent_{name}", rows), _as_counts(counts[:1]), _as_counts(counts[1:])
        folder = _empty_folder(connection, name)

        def to_disk(number: int) -> tuple[Ints, Ints]:
            rows, *counts = of_part(self._parts[number])
            with pa.ipc.new_file(folder / f"{number}.arrow", rows.schema) as file:
                file.write_table(rows)
            return counts[0], counts[1]

        gaps, act_gaps = zip(*on_all_processors(to_disk, range(len(self._parts)), self._at_once), strict=True)
        # each file is mapped while it is read, and no longer: they are never in memory all at once
        rows = dataset.dataset(folder, format="ipc", filesystem=fs.LocalFileSystem(use_mmap=True))
        return lend(connection, f"lent_{name}", rows), _as_counts(gaps), _as_counts(act_gaps)


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
    memory lie on disk meanwhile. Raises UnreadableRows, SumTooLarge, duckdb.Error."""
    with ExitStack() as files:
        rows = [Rows(connection, table, files) for table in (orders, acts) if table is not None]
        kind = rows[0].kind
        if all(one.pieces is None for one in rows):
            part = _part([one.held for one in rows], kind, look_back_days)
            for one in rows:
                one.held.clear()
            yield Everyone([lambda: part])
            return
        pieces, apart = [one.on_disk() for one in rows], PIECES if has_remainders(orders) else 1

        def piece(number: int) -> Part:
            return _part([one.read(number) for one in pieces], kind, look_back_days, apart)

        # As many at once as have no more rows together than are held in memory otherwise.
        at_once = ROWS_AT_ONCE * PIECES // max(1, sum(one.rows for one in pieces))
        yield Everyone([partial(piece, number) for number in range(PIECES)], max(1, min(os.cpu_count() or 1, at_once)))


def _part(rows: list[Batches], kind: pa.DataType, look_back_days: int | None, apart: int = 1) -> Part:
    """The customers of orders and perhaps acts, whose ids are of that `kind`; whole numbers at least so far `apart`."""
    numbered = _numbered(rows, kind, apart)
    bounds = _bounds(numbered)
    share = np.repeat(np.arange(len(bounds), dtype=np.uint8), [end - first for first, end in bounds])

    def divided(batch: pa.RecordBatch) -> list[Happenings]:
        columns = {name: batch[name].to_numpy() for name in batch.schema.names}
        amounts = (columns.get("amount"), columns.get("counted_amount"))
        return Happenings(numbered.places(columns["customer_id"]), columns["ago"], *amounts).divided(share, len(bounds))

    found = [on_all_processors(divided, batches) for batches in numbered.rows]
    return Part(numbered.ids, bounds, found[0], found[1] if len(found) > 1 else None, look_back_days)


@dataclass(frozen=True)
class Numbered:
    """Rows whose customers have numbers: `first`, `first` + `apart`, …, in the order of `ids`, among which are all that
    occur."""

    ids: pa.Array
    first: int
    apart: int
    rows: list[Batches]

    def places(self, numbers: Ints) -> Ints:
        """The places of customers among the ids."""
        far = numbers.astype(np.int64) - self.first
        return (far if self.apart == 1 else far // self.apart).astype(np.int32)


def _numbered(rows: list[Batches], kind: pa.DataType, apart: int) -> Numbered:
    whose = [batch["customer_id"] for batches in rows for batch in batches]
    if not whose:
        return Numbered(pa.array([], kind), 0, apart, rows)
    least, most = _ends(whose)
    if (most - least) // apart < PLACES_A_ROW * sum(map(len, whose)):
        return Numbered(pa.array(np.arange(least, most + 1, apart)).cast(kind), least, apart, rows)
    encoded = pa.chunked_array([ids.cast(kind) for ids in whose]).dictionary_encode().unify_dictionaries()
    numbers = iter(encoded.chunks)
    renumbered = [[_with_ids(batch, next(numbers).indices) for batch in batches] for batches in rows]
    return Numbered(encoded.chunk(0).dictionary, 0, 1, renumbered)


def _with_ids(batch: pa.RecordBatch, numbers: pa.Array) -> pa.RecordBatch:
    place = batch.schema.get_field_index("customer_id")
    return batch.set_column(place, "customer_id", numbers)


def _ends(whose: list[pa.Array]) -> tuple[int, int]:
    """The least and the greatest id, where they are whole numbers of 63 bits; else two that lie too far apart."""
    filled = [ids.to_numpy() for ids in whose if len(ids) and pa.types.is_integer(ids.type)]
    least, most = (int(min(map(np.min, filled))), int(max(map(np.max, filled)))) if filled else (0, 2**64)
    return (least, most) if most < 2**62 else (0, 2**64)


def _bounds(numbered: Numbered) -> list[tuple[int, int]]:
    """Customers from … up to …, so that each share has about as many rows of that table which has more."""
    batches = max(numbered.rows, key=lambda batches: sum(map(len, batches)))
    rows = sum(map(len, batches))
    step, shares = max(1, rows // SAMPLE), min(MOST_SHARES, -(-rows // ROWS_A_SHARE))
    sampled = [numbered.places(batch["customer_id"].to_numpy()[::step]) for batch in batches]
    sample = np.sort(np.concatenate(sampled)) if sampled else np.zeros(0)
    inner = {int(sample[len(sample) * number // shares]) for number in range(1, shares)}
    return list(pairwise([0, *sorted(inner - {0}), len(numbered.ids)]))
