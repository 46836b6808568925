"""Prices, to the ten-thousandth."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlmodel import Session, select

from campaigns.money.line_plan import PLANS, PlanOffer, change_plan, cost_of, plan_from, read_plan
from store.errors import BadInput
from store.models import AuditEntry

NOW = datetime(2026, 11, 2, tzinfo=UTC)
TIERED = {
    "name": "高用量",
    "monthly_fee": "1200",
    "messages": 6000,
    "add_on": [{"first": 1, "price": "0.2"}, {"first": 1001, "price": "0.15"}, {"first": 5001, "price": "0.1"}],
}


def test_what_the_fee_includes_costs_nothing_more() -> None:
    assert cost_of(PLANS["medium"], 1_000, 2_000).money == 0
    short = cost_of(PLANS["medium"], 1_000, 2_500)
    assert (short.included, short.add_on, short.impossible) == (2_000, 0, 500)


@pytest.mark.parametrize(
    ("used", "wanted", "money"),
    [
        (0, 6_000, "0"),
        (6_000, 1_000, "200"),
        (6_000, 1_001, "200.15"),
        (6_500, 1_000, "175"),  # 500 at 0.2, 500 at 0.15
        (0, 16_000, "1300"),  # 1,000 × 0.2 + 4,000 × 0.15 + 5,000 × 0.1
        (11_000, 10, "1"),
    ],
)
def test_add_on_messages_are_paid_tier_by_tier(used: int, wanted: int, money: str) -> None:
    assert cost_of(PlanOffer.model_validate(TIERED), used, wanted).money == Decimal(money)


def test_the_brands_own_table_holds_and_is_audited(session: Session) -> None:
    assert read_plan(session).offer.name == "中用量"
    assert not read_plan(session).is_confirmed
    change_plan(session, {"plan": "high", "plans": {**_plain(), "high": TIERED}}, actor="ann", now=NOW)
    assert read_plan(session).offer.add_on[1].price == Decimal("0.15")
    assert session.exec(select(AuditEntry)).one().action == "change LINE plan"
    change_plan(session, {"plan": None, "plans": None}, actor="ann", now=NOW)
    assert read_plan(session) == plan_from({})


def _plain() -> dict[str, object]:
    return {name: offer.model_dump(mode="json") for name, offer in PLANS.items()}


@pytest.mark.parametrize(
    "wrong",
    [
        {"plan": "huge"},
        {"plans": {"high": {**TIERED, "add_on": [{"first": 2, "price": "0.2"}]}}, "plan": "high"},
        {"price": 3},
        {"plans": {"medium": {**TIERED, "monthly_fee": "-1"}}},
    ],
)
def test_a_plan_that_can_not_be_is_refused(session: Session, wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        change_plan(session, wrong, actor="ann", now=NOW)
    assert read_plan(session) == plan_from({})
