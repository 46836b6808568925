"""The statements of a renewal, kept from one to the next: what is asked of DuckDB depends on the tags and the day, not
on the customers, and to work it out takes far longer than to run it for a few of them.

A Program is written down while it is first carried out, and then repeated on other connections, whose tables of the
same names hold other customers.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

Table = Any

_MOST_KEPT = 8  # days and sets of tags; one a day is what a worker uses


@dataclass
class Program:
    """Statements for one kind of connection, in order, and what was wrong with tags that have none: tag id -> why."""

    statements: list[str] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Writing:
    """Carries out statements on an Ibis connection of DuckDB and writes them down."""

    connection: Any
    program: Program

    def keep(self, name: str, rows: Table) -> Table:
        """`rows` as the temporary table `name`, in place of one that was there."""
        self._do(f"CREATE OR REPLACE TEMP TABLE {name} AS {self.connection.compile(rows)}")
        return self.connection.table(name)

    def add(self, name: str, rows: Table) -> None:
        """Add `rows` to the table `name`, column by column of the same names."""
        self._do(f"INSERT INTO {name} BY NAME {self.connection.compile(rows)}")

    def _do(self, statement: str) -> None:
        self.connection.con.execute(statement)
        self.program.statements.append(statement)


class Programs:
    """The newest programs by what they were made for."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, Program] = OrderedDict()
        self._lock = Lock()

    def made_for(self) -> list[Any]:
        """What there are programs for."""
        with self._lock:
            return list(self._kept)

    def run(self, connection: Any, key: Any, write: Callable[[Writing], None]) -> Program:
        """Carry out the program of `key`, or `write` one; whoever fails leaves none behind."""
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
        if known is not None:
            for statement in known.statements:
                connection.con.execute(statement)
            return known
        program = Program()
        write(Writing(connection, program))
        with self._lock:
            self._kept[key] = program
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return program
