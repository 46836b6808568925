"""What most commands need: settings, logging and a database brought up to date."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy import Engine

from service.logging import set_up_logging
from service.settings import Settings, load_settings
from store.engine import open_engine
from store.migrate import upgrade


def settings_for_command() -> Settings:
    """The settings, with logging set up by them. Raises BadInput when they can't be read."""
    settings = load_settings()
    set_up_logging(settings.log_level, as_json=settings.log_json)
    return settings


def open_database(settings: Settings) -> Engine:
    """The configured database, brought to the newest schema (which changes nothing when it is there)."""
    engine = open_engine(settings.database_url)
    upgrade(engine)
    return engine


@contextmanager
def opened_database(settings: Settings) -> Iterator[Engine]:
    """`open_database` for the length of a command: its connections are closed at the end."""
    engine = open_engine(settings.database_url)
    try:
        upgrade(engine)
        yield engine
    finally:
        engine.dispose()


def print_json(value: Any) -> None:
    """One JSON document on standard output, for programs."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))
