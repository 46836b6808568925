"""A brand that has nothing yet, and its console served."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy import Engine
from werkzeug.serving import make_server

from console.access.passwords import hash_of
from console.access.roles import Role
from console.access.users import invite, make_user
from console.frame.site import Site
from console.pages import create_console
from store.clock import system_clock
from store.engine import open_engine, transaction
from store.migrate import upgrade

PASSWORD = "a passphrase of tests"


@dataclass(frozen=True)
class NewBrand:
    """Where its console is, and its database."""

    url: str
    engine: Engine

    def user(self, email: str, role: Role = Role.OWNER, *, totp_secret: str | None = None) -> None:
        """Make an account that signs in with PASSWORD."""
        with transaction(self.engine) as session:
            one = make_user(session, email=email, name="Owner", role=role, actor="test", now=system_clock())
            one.password_hash, one.totp_secret = hash_of(PASSWORD), totp_secret

    def invited(self, email: str) -> str:
        """The token of an invitation for a new account."""
        now = system_clock()
        with transaction(self.engine) as session:
            one = make_user(session, email=email, name="", role=Role.MARKETER, actor="test", now=now)
            return invite(session, one, actor="test", now=now)


@contextmanager
def serve_new_brand(folder: Path) -> Iterator[NewBrand]:
    """On a free port, with a database in `folder` and no account."""
    engine = open_engine(f"sqlite:///{folder / 'new.db'}")
    upgrade(engine)
    app = Flask(__name__)
    app.secret_key = "a key of tests"
    site = Site(engine, ZoneInfo("Asia/Taipei"), system_clock)
    app.register_blueprint(create_console(site, allow_first_owner=True))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield NewBrand(f"http://127.0.0.1:{server.server_port}/console", engine)
    finally:
        server.shutdown()
        thread.join()
        engine.dispose()
