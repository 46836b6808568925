"""The way to a database: what it accepts, and what its errors keep to themselves."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from store.engine import open_engine, transaction
from store.errors import BadInput


def test_another_kind_of_database_is_refused_in_one_sentence() -> None:
    with pytest.raises(BadInput, match="sqlite:/// or postgresql://, not mysql"):
        open_engine("mysql://somebody@localhost/db")


def test_errors_never_quote_peoples_words(engine: Engine) -> None:
    with pytest.raises(SQLAlchemyError) as caught, transaction(engine) as session:
        session.execute(text("INSERT INTO no_such_table VALUES (:words)"), {"words": "我的祕密"})
    assert "我的祕密" not in str(caught.value)
