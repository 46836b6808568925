"""Where webhook bodies wait to be read: on PostgreSQL in the database, on SQLite in a file of their own beside it.

SQLite has one writer at a time in a file, and a worker that plans and sends writes all the time: in their own file
bodies never wait for it. No transaction spans the two files, so events are committed first and bodies deleted after:
what a crash in between leaves is read once more, and twice is once by the unique event key. No id is ever given again
(AUTOINCREMENT): whoever deletes a body late, because another has read it meanwhile, deletes no other.

The file's table has the columns of WebhookBody and no foreign key; a change of that model has to be made here, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Column, Engine, MetaData, Table, delete, insert, select
from sqlmodel import Session

from store.engine import is_sqlite, open_engine, reading, table_of, transaction
from store.models import WebhookBody

MOVED_AT_ONCE = 1_000  # bodies in one transaction

_body = table_of(WebhookBody)
_of_file = Table(
    _body.name,
    MetaData(),
    *(Column(c.name, c.type, primary_key=c.primary_key, nullable=c.nullable) for c in _body.columns),
    sqlite_autoincrement=True,
)


def open_bodies(engine: Engine) -> Engine:
    """Where the bodies of `engine`'s database are: `engine` itself, or on SQLite a new engine for the file
    `<database>-inbox`, which is made when it is missing."""
    if not is_sqlite(engine) or engine.url.database in (None, "", ":memory:"):
        return engine
    bodies = open_engine(engine.url.set(database=f"{engine.url.database}-inbox").render_as_string(hide_password=False))
    with transaction(bodies) as session:
        _of_file.create(session.connection(), checkfirst=True)
    return bodies


@contextmanager
def changing_bodies(session: Session) -> Iterator[Session]:
    """A session on the bodies beside `session`: the same on PostgreSQL, one that commits by itself on SQLite."""
    engine = session.get_bind().engine
    bodies = open_bodies(engine)
    if bodies is engine:
        yield session
        return
    try:
        with transaction(bodies) as apart:
            yield apart
    finally:
        bodies.dispose()


def move_bodies(engine: Engine) -> None:
    """Bring bodies that an earlier version left in SQLite's main file to their own. Safe to repeat, and to kill: a body
    in both files is read twice."""
    bodies = open_bodies(engine)
    if bodies is engine:
        return
    while _is_any(engine):
        with transaction(engine) as old, transaction(bodies) as new:  # the new one is committed first
            rows = old.execute(select(_body).order_by(_body.c.id).limit(MOVED_AT_ONCE)).mappings().all()
            if rows:
                new.execute(insert(_body), [{**row, "id": None} for row in rows])
                old.execute(delete(_body).where(_body.c.id <= rows[-1]["id"]))
    bodies.dispose()


def _is_any(engine: Engine) -> bool:
    with reading(engine) as session:
        return session.execute(select(_body.c.id).limit(1)).first() is not None
