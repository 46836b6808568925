"""The database with what its results teach up to date, as the worker keeps it: for commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from keywords.effects.stored import renew_learning
from keywords.text.tokenizer import shared_tokenizer
from service.cli.context import opened_database
from service.settings import Settings
from store.clock import system_clock


@contextmanager
def learned_database(settings: Settings) -> Iterator[Engine]:
    """`opened_database`, once what changed was learned from."""
    with opened_database(settings) as engine:
        renew_learning(engine, shared_tokenizer(), zone=settings.zone, clock=system_clock)
        yield engine
