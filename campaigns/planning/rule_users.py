"""A saved rule forgotten, unless a campaign that isn't over needs it; rules and tags that do are known to
segmentation/rules/saved.py."""

import json
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from campaigns.audience.lists import ALIVE
from segmentation.rules.saved import RuleInUse, delete_rule
from store.engine import table_of
from store.models import Campaign, CampaignStep

campaign, step = table_of(Campaign), table_of(CampaignStep)


def forget_rule(session: Session, name: str) -> None:
    """Delete a saved rule. Raises NotFound, and RuleInUse while anything needs it. Never commits."""
    if users := _users(session, name):
        raise RuleInUse(f"the rule {name!r} is needed by campaign {', '.join(map(str, users))}")
    delete_rule(session, name)


def needs_rule(value: Any, name: str) -> bool:
    """Whether `value` (JSON) asks for the saved rule: as a condition of type "rule", or as a target "rule:NAME", also
    inside of a target "rule:{…}"."""
    if isinstance(value, dict):
        is_it = value.get("type") == "rule" and value.get("name") == name
        return is_it or any(needs_rule(inner, name) for inner in value.values())
    if isinstance(value, list):
        return any(needs_rule(inner, name) for inner in value)
    if not isinstance(value, str) or not value.startswith("rule:"):
        return False
    given = value.removeprefix("rule:")
    return needs_rule(json.loads(given), name) if given.startswith("{") else given == name


def _users(session: Session, name: str) -> list[int]:
    """The campaigns' numbers."""
    alive, asks = campaign.c.state.in_(ALIVE), (campaign.c.audience, campaign.c.trigger, campaign.c.goal)
    parts = session.execute(select(campaign.c.id, *asks).where(alive))
    steps = session.execute(
        select(campaign.c.id, step.c.condition).join(step, step.c.campaign_id == campaign.c.id).where(alive)
    )
    found: set[int] = {row[0] for row in (*parts, *steps) if any(needs_rule(value, name) for value in row[1:])}
    return sorted(found)
