"""The brand's own choice of lines and weights: kept alone, audited, and refused when it can't hold together."""

import json

import pytest
from sqlalchemy import Engine, select
from typer.testing import CliRunner

from segmentation.preference.choices import NAME, change_choices, preference_settings, read_choices
from segmentation.preference.settings import PreferenceSettings
from service.cli import app
from store.choices import chosen
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry
from tests.conftest import StillClock


def test_only_what_was_chosen_is_kept_and_the_rest_follows_the_defaults(engine: Engine, clock: StillClock) -> None:
    with reading(engine) as session:
        assert preference_settings(session) == PreferenceSettings()
    changes = {"on": "2", "lines": {"label=染護": {"share_on": 0.3}}, "least_people": "5"}
    with transaction(engine) as session:
        made = change_choices(session, changes, actor="me", now=clock())
        assert (made.on, made.least_people) == (2, 5)
    with reading(engine) as session:
        assert chosen(session, NAME) == {"on": 2, "lines": {"label=染護": {"share_on": 0.3}}, "least_people": 5}
        held = preference_settings(session)
        entry, asked = session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id))
    assert (held.lines["label"].on, held.lines["label=染護"].share_on, held.least_people) == (2, 0.3, 5)
    assert (entry.action, entry.actor) == ("change preferences settings", "me")
    assert asked.action == "ask for segments"
    assert entry.detail == {"changed": ["least_people", "lines", "on"]}
    with transaction(engine) as session:
        change_choices(session, {"on": None}, actor="me", now=clock())
        assert read_choices(session).on == 1.5
        assert "on" not in chosen(session, NAME)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"on": 0.5}, "threshold"),
        ({"off": 0}, "off"),
        ({"lines": {"label": {"half_life": 3}}}, "lines"),
        ({"half_lives": None}, "half_lives"),
    ],
)
def test_what_cannot_hold_is_refused_with_nothing_changed(
    engine: Engine, clock: StillClock, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(BadInput, match=named), transaction(engine) as session:
        change_choices(session, changes, actor="me", now=clock())
    with reading(engine) as session:
        assert chosen(session, NAME) == {}
        assert session.scalars(select(AuditEntry)).all() == []


def test_the_command_line_shows_and_changes_them(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)

    def command(*words: str) -> dict[str, object]:
        result = CliRunner().invoke(app, ["tag", "preferences", *words, "--json"], catch_exceptions=False)
        found: dict[str, object] = json.loads(result.stdout)
        return found

    assert command()["chosen"] == []
    found = command("half_life_days=120", 'lines={"topic": {"half_life_days": 30}}')
    assert found["chosen"] == ["half_life_days", "lines"]
    assert command("half_life_days=")["chosen"] == ["lines"]
