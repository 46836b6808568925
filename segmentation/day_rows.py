"""Orders or acts out of DuckDB as a stream, in as few bits as they need. Each batch is divided among shares of the
customers while it lies in the processor's cache, and held in memory; once they are too many for it, all go to disk, in
pieces by customer. So each row is read once (again where a number needed more bits) and written at most once."""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from scipy import sparse

from segmentation.measures import UnreadableRows

ROWS_AT_ONCE = 12_000_000  # held in memory, of orders and of acts
BATCH_ROWS = 122_880  # as many as DuckDB's row groups have
SHARES, PIECES = 29, 151  # of customers in memory, on disk; primes: ids with a pattern still divide equally
BATCHES_AT_ONCE = 4  # are divided among pieces: much is done for each
NEEDED = ("customer_id", "ago", "amount")
IDS, AMOUNTS = {"customer_id": "INTEGER", "ago": "SMALLINT"}, {"amount": "INTEGER", "counted_amount": "INTEGER"}
NARROWINGS: tuple[Mapping[str, str], ...] = (IDS | AMOUNTS, IDS, {})  # most rows fit the first, all fit the last
NUMBER = "customer_number"  # of customers whose ids are none: the same number for the same id

Table = Any
Result = TypeVar("Result")


def on_all_processors(work: Callable[[Any], Result], on: Iterable[Any], at_once: int | None = None) -> list[Result]:
    """What `work` makes of each, in their order, so many at once (None: as there are processors); NumPy, Arrow and
    DuckDB let go of the interpreter meanwhile."""
    with ThreadPoolExecutor(at_once or os.cpu_count()) as pool:
        return list(pool.map(work, on))


@dataclass(frozen=True)
class Divided:
    """Rows in the order of the shares of their customers: those of share k are `ends[k]` up to `ends[k + 1]`."""

    rows: pa.RecordBatch
    ends: list[int]

    @classmethod
    def among_shares(cls, batch: pa.RecordBatch) -> "Divided":
        """Those of a batch."""
        order, ends = by_remainder(batch, SHARES)
        return cls(batch.take(order), ends)

    def of(self, shares: range) -> pa.RecordBatch:
        """The rows of these shares."""
        start = self.ends[shares.start]
        return self.rows.slice(start, self.ends[shares.stop] - start)


class Rows:
    """The rows of `table` (see `measures.days_back` and `acts_back`), `held` in memory or in `pieces` on disk; the type
    of their ids is `kind`. Raises UnreadableRows, duckdb.Error."""

    def __init__(self, connection: Any, table: Table, files: ExitStack) -> None:
        self.held: list[Divided] = []
        self.pieces: Pieces | None = None
        self.kind = table.customer_id.type().to_pyarrow()
        self._files, self._reading, self._holding = files, Lock(), Lock()
        for narrowing in NARROWINGS:
            try:
                self._read(connection, narrowed(connection.compile(table), table, narrowing))
            except duckdb.Error:  # a number that doesn't fit, or something worse, which comes again
                if not narrowing:
                    raise
                if self.pieces is not None:
                    self.pieces.close()
                self.held, self.pieces = [], None
            else:
                break

    def _read(self, connection: Any, query: str) -> None:
        with connection.con.sql(query).to_arrow_reader(BATCH_ROWS) as reader:  # left open, it would bar the next query
            if not pa.types.is_integer(self.kind):
                self.kind = reader.schema.field("customer_id").type
            on_all_processors(lambda _: self._take_all(reader), range(os.cpu_count() or 1))
            if not self.held and self.pieces is None:
                self._hold(Divided.among_shares(pa.RecordBatch.from_pylist([], reader.schema)))

    def on_disk(self) -> "Pieces":
        """All of them in pieces."""
        if self.pieces is None:
            pieces = Pieces(self._files)
            while self.held:
                pieces.add([divided.rows for divided in self.held[-BATCHES_AT_ONCE:]])
                del self.held[-BATCHES_AT_ONCE:]
            self.pieces = pieces
        return self.pieces

    def _take_all(self, reader: pa.RecordBatchReader) -> None:
        waiting: list[pa.RecordBatch] = []  # for the disk
        while (batch := self._next(reader)) is not None:
            if any(batch[name].null_count for name in NEEDED if name in batch.schema.names):
                raise UnreadableRows
            if self.pieces is None:
                self._hold(Divided.among_shares(batch))
                continue
            waiting.append(batch)
            if len(waiting) == BATCHES_AT_ONCE:
                self.pieces.add(waiting)
                waiting = []
        if self.pieces is not None:
            self.pieces.add(waiting)

    def _hold(self, divided: Divided) -> None:
        with self._holding:
            if self.pieces is None:
                self.held.append(divided)
                if sum(len(one.rows) for one in self.held) > ROWS_AT_ONCE:
                    self.on_disk()
                return
        self.pieces.add([divided.rows])

    def _next(self, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
        try:
            with self._reading:
                return next(reader, None)
        except OSError as error:  # so Arrow calls whatever went wrong in DuckDB
            raise duckdb.Error(str(error)) from error


def narrowed(query: str, table: Table, narrowing: Mapping[str, str]) -> str:
    """The query of `table` with those whole numbers in fewer bits, so that less has to be moved; it fails where one
    doesn't fit. No counted amount is 0; customers whose ids are no whole numbers get a NUMBER."""
    columns = []
    for name in table.columns:
        value, kind = f"coalesce({name}, 0)" if name == "counted_amount" else name, table[name].type()
        fits = narrowing.get(name) if kind.is_integer() else None
        if name == "customer_id" and kind.is_integer() and kind.nbytes < 4:
            fits = IDS[name]  # numbers of so few bits can't be reckoned with
        columns.append(f"CAST({value} AS {fits}) AS {name}" if fits else f"{value} AS {name}")
    if not table.customer_id.type().is_integer():
        columns.append(f"CAST(hash(customer_id) % {PIECES * SHARES} AS SMALLINT) AS {NUMBER}")
    return f"SELECT {', '.join(columns)} FROM ({query})"  # noqa: S608 - our own


def by_remainder(batch: pa.RecordBatch, among: int) -> tuple[pa.Array, list[int]]:
    """The places of the rows in the order of their customers' remainders by `among`, and where those of each end, after
    a first 0: a counting sort."""
    numbers = batch[NUMBER if NUMBER in batch.schema.names else "customer_id"].to_numpy()
    remainder = (numbers - numbers // among * among).astype(np.int32, copy=False)
    entries, nothing = np.arange(len(batch) + 1, dtype=np.int32), np.zeros(len(batch), np.int8)
    cells = sparse.csr_array((nothing, remainder, entries), shape=(len(batch), among)).tocsc()
    return pa.array(cells.indices.view(np.uint32)), cells.indptr.tolist()


class Pieces:
    """Batches in a file that nobody else sees, divided by customers into PIECES, which stand together wherever they
    came in. May be added to by several threads."""

    def __init__(self, files: ExitStack) -> None:
        self._file = files.enter_context(tempfile.TemporaryFile(prefix="segments-"))  # noqa: SIM115 - closed by files
        self._written: list[list[tuple[int, int]]] = [[] for _ in range(PIECES)]
        self._writing, self._end = Lock(), 0
        self._schema = pa.schema([])
        self.rows = 0

    def add(self, batches: list[pa.RecordBatch]) -> None:
        """Write the rows of each piece."""
        if batches:
            self._schema = batches[0].schema
        for batch in pa.Table.from_batches(batches, self._schema).combine_chunks().to_batches():
            order, ends = by_remainder(batch, PIECES)
            together = batch.take(order)
            for written, (start, end) in zip(self._written, pairwise(ends), strict=True):
                if start < end:
                    data = together.slice(start, end - start).serialize()
                    with self._writing:
                        self._file.write(data)
                        written.append((self._end, data.size))
                        self._end += data.size
            with self._writing:
                self.rows += len(batch)

    def close(self) -> None:
        """Give the disk's room back."""
        self._file.close()

    def read(self, number: int) -> Divided:
        """What was added to one of PIECES, undivided."""
        with self._writing:
            self._file.flush()
        batches = [self._read(start, size) for start, size in self._written[number]]
        together = pa.Table.from_batches(batches, self._schema).combine_chunks()
        rows = together.to_batches() or [pa.RecordBatch.from_pylist([], self._schema)]
        return Divided(rows[0], [0, len(together)])

    def _read(self, start: int, size: int) -> pa.RecordBatch:
        return pa.ipc.read_record_batch(pa.py_buffer(os.pread(self._file.fileno(), size, start)), self._schema)
