"""The way to a database: what it accepts, and what its errors keep to themselves."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlmodel import Session

import store.engine
from store.engine import is_sqlite, let_others_write, open_engine, reading, table_of, transaction
from store.errors import BadInput
from store.models import Channel
from tests.factories import make_channel


def test_another_kind_of_database_is_refused_in_one_sentence() -> None:
    with pytest.raises(BadInput, match="sqlite:/// or postgresql://, not mysql"):
        open_engine("mysql://somebody@localhost/db")


def test_errors_never_quote_peoples_words(engine: Engine) -> None:
    with pytest.raises(SQLAlchemyError) as caught, transaction(engine) as session:
        session.execute(text("INSERT INTO no_such_table VALUES (:words)"), {"words": "我的祕密"})
    assert "我的祕密" not in str(caught.value)


def test_who_waits_to_write_comes_between_the_slices_of_a_long_work(engine: Engine) -> None:
    done = threading.Event()

    def small_works() -> None:
        for _ in range(20):
            with transaction(engine) as session:
                session.execute(text("SELECT 1"))
        done.set()

    other, slices = threading.Thread(target=small_works), 0
    other.start()
    while not done.is_set() and slices < 400:
        with transaction(engine) as session:
            session.execute(text("SELECT 1"))
            time.sleep(0.02)
        let_others_write(engine)
        slices += 1
    other.join()
    assert slices <= 40  # at least one of twenty comes between any two, and mostly several


def test_a_lock_that_somebody_keeps_is_told_and_then_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.engine, "SQLITE_BUSY_SECONDS", 0.2)
    path = tmp_path / "kept.db"
    engine = open_engine(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(OperationalError, match="locked"), transaction(engine) as session:
            session.execute(text("SELECT 1"))
    other.execute("COMMIT")
    with transaction(engine) as session:
        assert session.scalar(text("SELECT 1")) == 1
    other.close()
    engine.dispose()


def test_a_reading_sees_one_moment_however_many_statements(engine: Engine) -> None:
    with reading(engine) as session:
        assert _channels(session) == 0
        with transaction(engine) as other:
            make_channel(other)
        assert _channels(session) == 0
    with reading(engine) as session:
        assert _channels(session) == 1


def test_what_a_reading_changes_is_thrown_away(engine: Engine) -> None:
    with reading(engine) as session:
        make_channel(session)
    with transaction(engine) as session:
        assert _channels(session) == 0


def test_a_transaction_after_a_reading_sees_what_is_committed_meanwhile(engine: Engine) -> None:
    with reading(engine) as session:
        assert _channels(session) == 0
    if not is_sqlite(engine):  # there a writer waits for the other
        with transaction(engine) as session:  # of the same connection
            assert _channels(session) == 0
            with transaction(engine) as other:
                make_channel(other)
            assert _channels(session) == 1


def _channels(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(table_of(Channel))) or 0
