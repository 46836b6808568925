"""What the brand has chosen for all its campaigns."""

from datetime import date

import pytest
from sqlalchemy import Engine, select

from campaigns.settings import CampaignSettings, change_settings, chosen, read_settings
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry
from tests.conftest import StillClock


def test_a_choice_is_kept_and_audited_and_goes_back_to_the_default(engine: Engine, clock: StillClock) -> None:
    with reading(engine) as session:
        assert read_settings(session) == CampaignSettings()
    with transaction(engine) as session:
        given = {"quiet_hours": "22:00 - 8:00", "holidays": ["2026-12-24"]}
        with pytest.raises(BadInput, match="quiet_hours can't be '22:00 - 8:00'"):
            change_settings(session, given, actor="ann", now=clock())
        given["quiet_hours"] = "22:00-08:00"
        made = change_settings(session, given, actor="ann", now=clock())
    assert made.calendar().is_holiday(date(2026, 12, 24))
    with reading(engine) as session:
        assert read_settings(session) == made
        assert str(read_settings(session).quiet()) == "22:00-08:00"
        entry = session.execute(select(table_of(AuditEntry))).one()
    assert (entry.actor, entry.detail) == ("ann", {"changed": ["holidays", "quiet_hours"]})
    with transaction(engine) as session:
        change_settings(session, {"quiet_hours": None}, actor="ann", now=clock())
        assert chosen(session) == {"holidays": ["2026-12-24"]}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"silence": "22:00-08:00"}, "there is no setting 'silence'; the settings are quiet_hours"),
        ({"silence": None}, "there is no setting 'silence'"),
        ({"country": "XX"}, "country can't be 'XX'"),
        ({"holidays": ["2026-13-01"]}, "holidays can't be"),
    ],
)
def test_a_wrong_choice_is_named(engine: Engine, clock: StillClock, given: dict[str, object], sentence: str) -> None:
    with transaction(engine) as session:
        with pytest.raises(BadInput, match=sentence):
            change_settings(session, given, actor="ann", now=clock())
        assert chosen(session) == {}
