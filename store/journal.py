"""Rows made durable together: one writer thread per process commits what all request threads hand in meanwhile.

A commit costs a disk flush; thirty threads that share one pay a thirtieth each. And SQLite has one writer at a time:
several that wait for each other sleep up to a tenth of a second, one thread never does. Written with the bare driver,
because SQLAlchemy's work per statement is ten times that of the row. It never reads and never updates.
"""

import threading
from _thread import LockType, allocate_lock
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Engine
from sqlmodel import SQLModel

from store.engine import begin_immediate, is_sqlite, table_of
from store.errors import ExpectedError

MAX_GROUP = 1000  # calls in one commit: bounds the time that a writer of another process waits for this one
ROWS_PER_STATEMENT = 64  # of SQLite: as many statements are kept prepared at most
MAX_WAITING = 10_000  # calls not yet committed: beyond it the disk has stopped, and memory must not fill


class JournalFailed(ExpectedError):
    """The rows were not stored, or it can't be known; the sender should send them again."""

    http_status = 503
    may_try_again = True


class _Table:
    """How rows of one table get to the driver: the statement, and a converter per column or None."""

    def __init__(self, engine: Engine, model: type[SQLModel]) -> None:
        dialect = engine.dialect
        columns = [c for c in table_of(model).columns if not (c.primary_key and c.autoincrement is not False)]
        self.names = tuple(c.name for c in columns)
        self.converters: tuple[Callable[[Any], Any] | None, ...] = tuple(
            c.type.dialect_impl(dialect).bind_processor(dialect) for c in columns
        )
        self.known = frozenset(self.names)
        quote = dialect.identifier_preparer.quote
        self._into = f"INSERT INTO {quote(table_of(model).name)} ({', '.join(quote(n) for n in self.names)})"
        self._one_row = f"({', '.join('?' * len(columns))})"
        arrays = ", ".join(f"%s::{c.type.compile(dialect)}[]" for c in columns)
        self.insert_arrays = f"{self._into} SELECT * FROM unnest({arrays})"  # noqa: S608 our own tables
        self._insert_rows: dict[int, str] = {}

    def insert_rows(self, count: int) -> str:
        """One statement for `count` rows: executemany would let go of the interpreter lock, and queue for it again
        behind every request thread, once for each row."""
        statement = self._insert_rows.get(count)
        if statement is None:
            statement = self._insert_rows[count] = f"{self._into} VALUES {', '.join([self._one_row] * count)}"
        return statement

    def values(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """The row as the driver wants it; columns not named are NULL."""
        if not row.keys() <= self.known:
            raise ValueError(f"no such column: {', '.join(sorted(row.keys() - self.known))}")
        get = row.get
        return tuple(
            get(name) if convert is None or get(name) is None else convert(row[name])
            for name, convert in zip(self.names, self.converters, strict=True)
        )


class _Entry:
    """The rows of one call, and how its thread learns the outcome."""

    __slots__ = ("done", "problem", "rows", "table")

    def __init__(self, table: _Table, rows: list[tuple[Any, ...]], done: LockType) -> None:
        self.table = table
        self.rows = rows
        self.done = done  # held by the caller; the writer lets go of it
        self.problem: str | None = "the journal stopped before the rows were written"


class Journal:
    """Appends rows durably. One per process, shared by its threads; `close` it at the end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_sqlite = is_sqlite(engine)
        self._driver_error = engine.dialect.loaded_dbapi.Error
        self._tables: dict[type[SQLModel], _Table] = {}
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._is_closed = False
        self._connection: Any = None
        self._writer = threading.Thread(target=self._write_for_ever, name="journal", daemon=True)
        self._writer.start()

    def append(self, model: type[SQLModel], row: Mapping[str, Any], *more: Mapping[str, Any]) -> None:
        """Store rows of `model` (column name -> Python value; columns left out are NULL), all or none of this call.

        Returns when they are committed and flushed. Raises JournalFailed if they were not, or when that can't be
        known (the connection broke in the commit); ValueError for a column that does not exist.
        """
        table = self._tables.get(model) or self._tables.setdefault(model, _Table(self._engine, model))
        rows = [table.values(row)] if not more else [table.values(r) for r in (row, *more)]
        done = allocate_lock()
        done.acquire()
        entry = _Entry(table, rows, done)
        with self._closing:  # an entry put after the closing mark would wait for ever
            if self._is_closed:
                raise JournalFailed("the journal is closed: the service is stopping")
            if self._queue.qsize() >= MAX_WAITING:
                raise JournalFailed(f"{MAX_WAITING} writes are waiting for the database already")
            self._queue.put(entry)
        done.acquire()
        if entry.problem is not None:
            raise JournalFailed(f"the database did not store a row: {entry.problem}")

    def close(self) -> None:
        """Commit what is waiting, then stop. Later appends raise JournalFailed. Safe to repeat."""
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._writer.join()

    def _write_for_ever(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            try:
                self._write(group)
            finally:  # whatever happens, nobody is left waiting; entries carry their problem until committed
                for entry in group:
                    entry.done.release()
        self._disconnect()

    def _next_group(self) -> tuple[list[_Entry], bool]:
        """All that waits now, at least one unless closing; False when it is time to stop."""
        queue = self._queue
        group: list[_Entry] = []
        entry = queue.get()
        while entry is not None:
            group.append(entry)
            if len(group) == MAX_GROUP:
                return group, True
            try:
                entry = queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _write(self, group: list[_Entry]) -> None:
        if not group or self._commit(group):
            return
        if len(group) > 1:  # one bad row must not fail the others
            for entry in group:
                self._commit([entry])

    def _commit(self, group: Sequence[_Entry]) -> bool:
        """Commit the entries in one transaction. False when nothing was stored and smaller groups may fare better.

        Each entry's problem says how it went. A connection found broken is opened anew and the group written again,
        once. If it broke in the very commit, rows are then stored twice: a body lost would be worse, and readers count
        events by key and people by id.
        """
        rows_of: dict[_Table, list[tuple[Any, ...]]] = {}
        for entry in group:
            rows_of.setdefault(entry.table, []).extend(entry.rows)
        problem = None
        for may_reconnect in (self._connection is not None, False):
            try:
                self._insert(self._connected(), rows_of)
            except Exception as error:  # of any kind: the writer must live, and the callers are told
                problem = _without_values(error)
                if self._roll_back() and may_reconnect:
                    continue
            else:
                problem = None
            break
        for entry in group:
            entry.problem = problem
        return problem is None

    def _insert(self, connection: Any, rows_of: dict[_Table, list[tuple[Any, ...]]]) -> None:
        """Write and commit, with as few calls to the driver as can be: each gives the interpreter lock away."""
        if self._is_sqlite:
            begin_immediate(connection)
            for table, rows in rows_of.items():
                for start in range(0, len(rows), ROWS_PER_STATEMENT):
                    part = rows[start : start + ROWS_PER_STATEMENT]
                    connection.execute(table.insert_rows(len(part)), [value for row in part for value in row])
            connection.execute("COMMIT")
        elif len(rows_of) == 1:  # the connection is in autocommit: one statement, one round trip
            ((table, rows),) = rows_of.items()
            connection.execute(table.insert_arrays, [list(column) for column in zip(*rows, strict=True)])
        else:
            with connection.transaction():
                for table, rows in rows_of.items():
                    connection.execute(table.insert_arrays, [list(column) for column in zip(*rows, strict=True)])

    def _connected(self) -> Any:
        """The writer's own driver connection, outside the pool: nobody can leave it in a strange state."""
        if self._connection is None:
            pooled = self._engine.raw_connection()
            self._connection = pooled.driver_connection
            pooled.detach()
            if not self._is_sqlite:
                self._connection.autocommit = True
        return self._connection

    def _roll_back(self) -> bool:
        """Undo the open transaction. True if the connection is of no more use (it is then dropped)."""
        if self._connection is None:
            return True
        try:
            self._connection.rollback()
        except self._driver_error:
            self._disconnect()
            return True
        if not self._is_sqlite and self._connection.closed:
            self._connection = None
            return True
        return False

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(self._driver_error):  # it may be broken already; there is nothing left to lose
                self._connection.close()
            self._connection = None


def _without_values(error: Exception) -> str:
    """The kind of error only: a driver's message may quote the row, and rows hold people's words."""
    name = type(error).__name__
    code = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None)
    return f"{name} ({code})" if code else name
