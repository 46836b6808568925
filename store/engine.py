"""The one way to a database: an engine set up for it, a transaction, and where the two dialects differ.

Never opens a connection on import; never commits on its own.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, SQLModel

from store.errors import BadInput

SQLITE_BUSY_SECONDS = 30
BREATH_SECONDS = 0.008  # so that writers of other processes, who look for SQLite's lock, get it
LONGEST_BREATH_SECONDS = 0.06
SQLITE_POLL_SECONDS = 0.0005  # between looks whether another process's, or thread's, transaction is over
READS_ON_SQLITE = {"writes": False}  # see `_begin_sqlite`: such a transaction has one moment anyway
READS_ON_POSTGRESQL = {"isolation_level": "REPEATABLE READ"}

_turns: WeakKeyDictionary[Engine, threading.Lock] = WeakKeyDictionary()  # who of an engine's threads looks for the lock


def open_engine(database_url: str, *, pool_size: int = 10) -> Engine:
    """An engine for `database_url` (`sqlite:///file.db`, `postgresql://…`). Opens no connection yet.

    SQLite is put into WAL with synchronous=FULL (a commit survives a power cut) and enforced foreign keys; its
    transactions begin IMMEDIATE when they will write (see `transaction`). Errors never quote a statement's values,
    which may be people's words. Raises sqlalchemy.exc.ArgumentError for an address that can't be read, BadInput for
    another kind of database.
    """
    url = make_url(database_url)
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise BadInput(f"DATABASE_URL must begin with sqlite:/// or postgresql://, not {url.get_backend_name()}:")
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
        engine = create_engine(
            url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, hide_parameters=True
        )
        event.listen(engine, "handle_error", _hide_row)
        return engine
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False},
        pool_size=pool_size,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_up_sqlite)
    turn = _turns[engine] = threading.Lock()
    event.listen(engine, "begin", _begin_sqlite(turn))
    return engine


def _hide_row(context: ExceptionContext) -> None:
    # PostgreSQL adds the whole row to its message ("DETAIL:  Failing row contains (…)"), whatever `hide_parameters`.
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None and error.args:
            error.args = (str(error.args[0]).partition("\nDETAIL:")[0], *error.args[1:])


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own timing breaks IMMEDIATE
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(turn: threading.Lock) -> Callable[[Any], None]:
    """What begins an engine's transactions. A worker's many threads wait for `turn`, and the one that has it looks for
    SQLite's lock: if all of them looked, they would take each other's processor time and the interpreter's lock."""

    def begin(connection: Any) -> None:
        # A writer must take the lock when it begins: upgrading a read transaction fails at once with "database is
        # locked" instead of waiting.
        if not connection.get_execution_options().get("writes", True):
            connection.exec_driver_sql("BEGIN")
            return
        is_mine = turn.acquire(timeout=SQLITE_BUSY_SECONDS)
        try:
            begin_immediate(connection.connection.dbapi_connection)
        except sqlite3.OperationalError as error:
            raise OperationalError("BEGIN IMMEDIATE", None, error) from error
        finally:
            if is_mine:
                turn.release()

    return begin


def begin_immediate(driver: sqlite3.Connection) -> None:
    """Begin a transaction that writes, as soon as nobody else's is open.

    SQLite's own waiting sleeps longer and longer, up to 0.1 s at a time, and so through the short gaps that a busy
    worker leaves: webhooks waited for seconds. Raises sqlite3.OperationalError after SQLITE_BUSY_SECONDS.
    """
    deadline = time.monotonic() + SQLITE_BUSY_SECONDS
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while not _has_begun(driver, deadline):
            time.sleep(SQLITE_POLL_SECONDS)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_SECONDS * 1000}")


def let_others_write(engine: Engine) -> None:
    """Between two transactions of a long work: on SQLite, sleep a moment, and on while other threads of this process
    wait to write, but not for longer than LONGEST_BREATH_SECONDS. PostgreSQL's writers don't wait for each other."""
    turn = _turns.get(engine)
    if turn is None:
        return
    deadline = time.monotonic() + LONGEST_BREATH_SECONDS
    time.sleep(BREATH_SECONDS)
    while turn.locked() and time.monotonic() < deadline:
        time.sleep(SQLITE_POLL_SECONDS)


def _has_begun(driver: sqlite3.Connection, deadline: float) -> bool:
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
            raise
        return False
    return True


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session in one transaction: committed at the end, rolled back on an error. Opened only at the edge of a
    request or job step; inner functions take the session and never commit."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that only reads, however many statements as of one moment, that of the first: what is committed
    meanwhile it doesn't see. On SQLite it never waits for a writer. Its changes are thrown away; temporary tables may
    be filled. It must lock no rows, which on PostgreSQL fails when somebody has changed one meanwhile."""
    with Session(engine, expire_on_commit=False) as session:
        session.connection(execution_options=READS_ON_SQLITE if is_sqlite(engine) else READS_ON_POSTGRESQL)
        yield session


def is_sqlite(session_or_engine: Session | Engine) -> bool:
    """True on SQLite, False on PostgreSQL."""
    bind = session_or_engine if isinstance(session_or_engine, Engine) else session_or_engine.get_bind()
    return bind.dialect.name == "sqlite"


def insert_for(session: Session, model: type[SQLModel]) -> Any:
    """The dialect's INSERT for `model`, which knows ON CONFLICT."""
    table = model.__table__  # type: ignore[attr-defined]
    return sqlite.insert(table) if is_sqlite(session) else postgresql.insert(table)


def table_of(model: type[SQLModel]) -> Any:
    """The Core table of a model, for set-based statements."""
    return model.__table__  # type: ignore[attr-defined]
