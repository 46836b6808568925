"""Two who save the same at the same moment: the second waits for the first, and is told."""

from collections.abc import Callable
from threading import Thread

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from sqlmodel import Session

from console.settings.fields import GROUPS
from segmentation.rules.saved import save_rule
from segmentation.tags.catalogue import change_tag, create_tag
from store.engine import is_sqlite, transaction
from tests.conftest import StillClock
from tests.console.conftest import opened, plain, token_of
from tests.console.test_settings import shown

WAITS_SECONDS = 0.05
RULE = "/console/rules/edit"
ROWS = {"r0-type": "attribute", "r0-name": "city", "r0-value": "高雄"}
Save = Callable[..., str]


def city(name: str) -> dict[str, str]:
    return {"type": "attribute", "name": "city", "is": name}


@pytest.fixture
def save(client: FlaskClient, engine: Engine) -> Save:
    """What a form is answered that is sent while a colleague's change is not committed yet."""

    def sent(address: str, fields: dict[str, str], colleague: Callable[[Session], object]) -> str:
        answers: list[str] = []
        whole = {"csrf_token": token_of(client), **fields}
        mine = Thread(target=lambda: answers.append(plain(client.post(address, data=whole))))
        with transaction(engine) as session:
            colleague(session)
            session.flush()
            mine.start()
            while mine.is_alive() and not is_waited_for(session):
                mine.join(WAITS_SECONDS)
        mine.join()
        return answers[0]

    return sent


def is_waited_for(session: Session) -> bool:
    """Whether somebody waits for a transaction to end; on SQLite, where nobody can know, all who write do."""
    if is_sqlite(session):
        return True
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()")
    return bool(session.scalar(waiting))


def test_a_rule_that_is_just_being_saved(client: FlaskClient, engine: Engine, clock: StillClock, save: Save) -> None:
    def theirs(session: Session) -> None:
        save_rule(session, "在地人", city("臺北"), clock(), actor="colleague")

    with transaction(engine) as session:
        save_rule(session, "在地人", city("臺中"), clock(), actor="me")
    mine = {"name": "在地人", **opened(client, f"{RULE}?name=在地人"), **ROWS}
    assert "有人改過它" in save(RULE, mine, theirs)


def test_a_new_rule_under_a_name_that_is_just_being_taken(client: FlaskClient, clock: StillClock, save: Save) -> None:
    def theirs(session: Session) -> None:
        save_rule(session, "在地人", city("臺北"), clock(), actor="colleague")

    assert "已經有「在地人」這條規則" in save(RULE, {"name": "在地人", **opened(client, RULE), **ROWS}, theirs)


def test_a_tag_that_is_just_being_changed(client: FlaskClient, engine: Engine, clock: StillClock, save: Save) -> None:
    def theirs(session: Session) -> None:
        change_tag(session, "在地", {"when": city("臺北")}, now=clock())

    with transaction(engine) as session:
        made = create_tag(session, "在地", source="rule", definition={"when": city("臺中")}, now=clock())
    address = f"/console/tags/{made.id}/edit"
    assert "有人改過它" in save(address, {"name": "在地", **opened(client, address), **ROWS}, theirs)


@pytest.mark.parametrize(
    ("name", "changes", "typed"),
    [
        ("segments", {"cycle": 45}, {"loyalty_months": "6"}),
        ("plan", {"plan": "high"}, {"currency": "USD"}),
    ],
)
def test_settings_that_are_just_being_changed(
    client: FlaskClient, clock: StillClock, save: Save, name: str, changes: dict[str, object], typed: dict[str, str]
) -> None:
    def theirs(session: Session) -> None:
        GROUPS[name].change(session, changes, defaults={}, actor="colleague", now=clock())

    address = f"/console/settings/{name}"
    assert "有人改過它" in save(address, {**shown(client, name), **typed}, theirs)
