"""The database with what its results teach up to date, as the worker keeps it: for commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from keywords.effects.stored import renew_learning
from keywords.text.brand import brand_tokenizer
from service.cli.context import opened_database
from service.settings import Settings
from store.clock import system_clock
from store.engine import reading


@contextmanager
def learned_database(settings: Settings) -> Iterator[Engine]:
    """`opened_database`, once what changed was learned from."""
    with opened_database(settings) as engine:
        with reading(engine) as session:
            tokenizer = brand_tokenizer(session)
        renew_learning(engine, tokenizer, zone=settings.zone, clock=system_clock)
        yield engine
