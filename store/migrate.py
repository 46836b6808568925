"""Bring a database to the newest schema with Alembic. The migrations travel inside the package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from store.bodies import move_bodies

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config(engine: Engine) -> Config:
    """Alembic's configuration for the migrations of this package, bound to `engine`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run every migration that the database has not seen. Safe to repeat: the second run does nothing."""
    command.upgrade(alembic_config(engine), revision)
    if revision == "head":
        move_bodies(engine)
