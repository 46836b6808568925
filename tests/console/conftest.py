"""The console served to somebody who signed in, its pages read and its forms sent."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from console.access import sessions
from console.access.guard import TOKEN
from console.access.roles import Role
from console.access.users import make_user, user_by_email
from console.frame.site import Site
from console.pages import create_console
from store.engine import transaction
from tests.conftest import StillClock
from tests.console.auditing import unnoted, watch

TAIPEI = ZoneInfo("Asia/Taipei")


def console_app(engine: Engine, clock: StillClock, *, allow_first_owner: bool = False) -> Flask:
    """An application with nothing but the console."""
    app = Flask(__name__)
    app.secret_key = "a key of tests"
    app.register_blueprint(create_console(Site(engine, TAIPEI, clock), allow_first_owner=allow_first_owner))
    watch(app, engine)
    return app


@pytest.fixture(autouse=True)
def every_change_is_noted() -> Iterator[None]:
    """Whatever a test changes through a form stands in the audit log."""
    unnoted.clear()
    yield
    assert unnoted == []


def sign_in(client: FlaskClient, engine: Engine, clock: StillClock, role: Role = Role.OWNER) -> FlaskClient:
    """Let `client` be signed in as somebody of that role, without the page that does it (it takes a hash of 64 MiB)."""
    email = f"{role}@example.com"
    with transaction(engine) as session:
        one = user_by_email(session, email) or make_user(
            session, email=email, name=role.title(), role=role, actor="test", now=clock()
        )
        token = sessions.begin(session, one.id or 0, user_agent="tests", now=clock())
    with client.session_transaction("/console/") as cookie:
        cookie[TOKEN] = token
    return client


@pytest.fixture
def client(engine: Engine, clock: StillClock) -> FlaskClient:
    """Signed in as an owner."""
    return sign_in(console_app(engine, clock).test_client(), engine, clock)


@pytest.fixture
def client_of(engine: Engine, clock: StillClock) -> Callable[[Role], FlaskClient]:
    """A client signed in as somebody of a role."""
    app = console_app(engine, clock)
    return lambda role: sign_in(app.test_client(), engine, clock, role)


def token_of(client: FlaskClient, address: str = "/console/account") -> str:
    """What the forms of a page carry."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(address).get_data(as_text=True))
    assert found, address
    return found[1]


def send(client: FlaskClient, address: str, form_of: str = "/console/account", **fields: Any) -> TestResponse:
    """POST a form as a browser does: with the token that the page `form_of` carries."""
    return client.post(address, data={"csrf_token": token_of(client, form_of), **fields})


def opened(client: FlaskClient, address: str) -> dict[str, str]:
    """What a form of the page at `address` carries of what it was opened on."""
    return dict(re.findall(r'name="(was|id|seen)" value="([^"]*)"', client.get(address).get_data(as_text=True)))


def page(client: FlaskClient, address: str) -> str:
    """The page as its template wrote it."""
    answer = client.get(address)
    assert answer.status_code == 200, address
    return plain(answer)


def plain(answer: TestResponse) -> str:
    """HTML without the links to definitions, which stand wherever a word of the house is said."""
    text = re.sub(r'<span class="asked">(.*?)<a class="term"[^>]*>[?]</a></span>', r"\1", answer.text, flags=re.DOTALL)
    return re.sub(r'<a class="word"[^>]*>(.*?)</a>', r"\1", text)


def without_token(text: str) -> str:
    """A page without its CSRF token, which holds the second it was made in: to compare two pages by."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', text)
    assert found
    return text.replace(found[1], "")
