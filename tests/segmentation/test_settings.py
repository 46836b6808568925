"""The brand's settings of its segments: checked, stored, and taken up by the next run."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select

from segmentation.settings import change_settings, changed_at, chosen, read_settings, settings_from
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry
from tests.conftest import StillClock

DEFAULTS: dict[str, Any] = {"cycle": 45, "look_back_days": None}


def change(engine: Engine, clock: StillClock, **changes: Any) -> None:
    with transaction(engine) as session:
        change_settings(session, changes, defaults=DEFAULTS, actor="anna", now=clock())


def test_what_is_chosen_goes_before_the_environment_and_can_be_taken_back(engine: Engine, clock: StillClock) -> None:
    with reading(engine) as session:
        assert (read_settings(session, DEFAULTS).cycle, changed_at(session)) == (45, None)
    change(engine, clock, cycle="20", r_days=["7", "30", "90", "180"], m_amount=["1.5", "2", "3", "4"])
    with reading(engine) as session:
        now = read_settings(session, DEFAULTS)
        assert (now.cycle, now.r_days, changed_at(session)) == (20, (7, 30, 90, 180), clock())
        assert now.m_amount == tuple(map(Decimal, ("1.5", "2", "3", "4")))
        assert settings_from(now.as_dict()) == now
    change(engine, clock, cycle=None)
    with reading(engine) as session:
        assert read_settings(session, DEFAULTS).cycle == 45
        assert sorted(chosen(session)) == ["m_amount", "r_days"]
        entries = session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id)).all()
    assert [(entry.actor, entry.detail["changed"]) for entry in entries] == [
        ("anna", ["cycle", "m_amount", "r_days"]),
        ("anna", ["cycle"]),
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cycle": "0"}, "cycle"),
        ({"cycle": "weekly"}, "cycle"),
        ({"cycles": "3"}, "no setting 'cycles'"),
        ({"r_days": ["7", "30", "90"]}, "r_days.*four numbers"),
        ({"f_orders": ["1", "2", "3", "4", "5"]}, "f_orders.*four numbers"),
        ({"r_days": ["7", "30", "90", "1" + "0" * 14]}, "thresholds of R must be below 100,000,000,000,000"),
        ({"f_orders": ["1", "2", "3", "-1" + "0" * 20]}, "thresholds of F must be below"),
        ({"m_amount": ["1", "2", "3", "1e30"]}, "thresholds of M must be below"),
        ({"r_days": ["7", "7", "90", "180"]}, "thresholds of R"),
        ({"high_from": "1"}, "high_from"),
        ({"high_from": "6"}, "high_from"),
        ({"loyalty_months": "0"}, "loyalty_months"),
        ({"activity_active_to": "9"}, "activity ranges must rise"),
        ({"m_amount": ["1.00001", "2", "3", "4"]}, "thresholds of M"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_stored(
    engine: Engine, clock: StillClock, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        change(engine, clock, **wrong)
    with reading(engine) as session:
        assert chosen(session) == {}
        assert session.scalars(select(AuditEntry)).all() == []
