"""Orders or acts out of DuckDB as a stream. Each batch is made narrow while it lies in the processor's cache, and held
in memory; once they are too many for it, all go to disk, divided by customers. So each row is read once, and written at
most once."""

import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from threading import Lock
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.measures import UnreadableRows

ROWS_AT_ONCE = 12_000_000  # held in memory, of orders and of acts
BATCH_ROWS = 250_000
PIECES = 31  # a prime: ids with a pattern still divide equally
NARROW = (np.int16, np.int32)
NEEDED = ("customer_id", "ago", "amount")

Table = Any
Result = TypeVar("Result")


def on_all_processors(work: Callable[[Any], Result], on: Iterable[Any], at_once: int | None = None) -> list[Result]:
    """What `work` makes of each, in their order, so many at once (None: as there are processors); NumPy, Arrow and
    DuckDB let go of the interpreter meanwhile."""
    with ThreadPoolExecutor(at_once or os.cpu_count()) as pool:
        return list(pool.map(work, on))


class Rows:
    """The rows of `table` (see `measures.days_back` and `acts_back`), `held` in memory or in `pieces` on disk; the type
    of their ids is `kind`. Raises UnreadableRows, duckdb.Error."""

    def __init__(self, connection: Any, table: Table, files: ExitStack) -> None:
        self.held: list[pa.RecordBatch] = []
        self.pieces: Pieces | None = None
        self._files, self._reading, self._holding = files, Lock(), Lock()
        query = connection.compile(table)
        if not has_remainders(table):
            query = f"SELECT *, (hash(customer_id) % {PIECES})::UTINYINT AS piece FROM ({query})"  # noqa: S608 - our own
        self._reader = connection.con.sql(query).to_arrow_reader(BATCH_ROWS)
        self.kind = self._reader.schema.field("customer_id").type
        on_all_processors(lambda _: self._take_all(), range(os.cpu_count() or 1))

    def on_disk(self) -> "Pieces":
        """All of them in pieces."""
        if self.pieces is None:
            pieces = Pieces(self._files)
            while self.held:
                pieces.add(self.held.pop())
            self.pieces = pieces
        return self.pieces

    def _take_all(self) -> None:
        while (batch := self._next()) is not None:
            narrow = narrowed(batch)
            with self._holding:
                pieces = self.pieces
                if pieces is None:
                    self.held.append(narrow)
                    if sum(map(len, self.held)) > ROWS_AT_ONCE:
                        self.on_disk()
            if pieces is not None:
                pieces.add(narrow)

    def _next(self) -> pa.RecordBatch | None:
        try:
            with self._reading:
                return next(self._reader, None)
        except OSError as error:  # so Arrow calls whatever went wrong in DuckDB
            raise duckdb.Error(str(error)) from error


def has_remainders(table: Table) -> bool:
    """Whether the ids are whole numbers; then a piece has those of one remainder, PIECES apart."""
    return bool(table.customer_id.type().is_integer())


class Pieces:
    """Batches in a file that nobody else sees, divided by customers into PIECES, which stand together wherever they
    came in. May be added to by several threads."""

    def __init__(self, files: ExitStack) -> None:
        self._file = files.enter_context(tempfile.TemporaryFile(prefix="segments-"))  # noqa: SIM115 - closed by files
        self._written: list[list[tuple[int, int, pa.Schema]]] = [[] for _ in range(PIECES)]
        self._writing, self._end = Lock(), 0
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Write the rows of each piece."""
        numbers = batch["piece" if "piece" in batch.schema.names else "customer_id"].to_numpy()
        piece = (numbers % PIECES).astype(np.uint8)
        order, ends = np.argsort(piece, kind="stable"), np.bincount(piece, minlength=PIECES).cumsum()
        together = batch.take(pa.array(order))
        for written, (start, end) in zip(self._written, pairwise([0, *ends.tolist()]), strict=True):
            if start < end:
                data = together.slice(start, end - start).serialize()
                with self._writing:
                    self._file.write(data)
                    written.append((self._end, data.size, batch.schema))
                    self._end += data.size
                    self.rows += end - start

    def read(self, number: int) -> list[pa.RecordBatch]:
        """What was added to one of PIECES, in as large batches as it came in: much more is done to a batch than to its
        rows."""
        with self._writing:
            self._file.flush()
        alike: dict[pa.Schema, list[pa.RecordBatch]] = {}
        for start, size, schema in self._written[number]:
            alike.setdefault(schema, []).append(self._read(start, size, schema))
        tables = [pa.Table.from_batches(batches).combine_chunks() for batches in alike.values()]
        return [batch for table in tables for batch in table.to_batches(BATCH_ROWS)]

    def _read(self, start: int, size: int, schema: pa.Schema) -> pa.RecordBatch:
        return pa.ipc.read_record_batch(pa.py_buffer(os.pread(self._file.fileno(), size, start)), schema)


def narrowed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with whole numbers in as few bits as they need, so that less has to be moved; no amount is 0. Raises
    UnreadableRows."""
    if any(batch[name].null_count for name in NEEDED if name in batch.schema.names):
        raise UnreadableRows
    return pa.RecordBatch.from_arrays([_narrow(column) for column in batch.columns], batch.schema.names)


def _narrow(column: pa.Array) -> pa.Array:
    if not pa.types.is_integer(column.type) or not len(column):
        return column
    values = column.fill_null(0).to_numpy()
    least, most = int(values.min()), int(values.max())
    for kind in NARROW:
        if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max:
            return pa.array(values.astype(kind, copy=False))
    return pa.array(values)
