"""The way to a database: what it accepts, and what its errors keep to themselves."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

import store.engine
from store.engine import let_others_write, open_engine, transaction
from store.errors import BadInput


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
