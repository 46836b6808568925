"""A saved rule forgotten, unless a campaign that isn't over, the draft of one, or a view of customers needs it; rules
and tags that do are known to segmentation/rules/saved.py."""

from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from campaigns.audience.lists import ALIVE
from campaigns.planning.asking import asked_in
from segmentation.rules.reading import RuleError, read_rule
from segmentation.rules.references import mentioned
from segmentation.rules.saved import RuleInUse, delete_rule
from store.engine import table_of
from store.models import Campaign, CampaignDraft, CampaignStep, ConsoleUser, CustomerView

campaign, step, draft = table_of(Campaign), table_of(CampaignStep), table_of(CampaignDraft)
view, user = table_of(CustomerView), table_of(ConsoleUser)
TARGET = "rule:"


def forget_rule(session: Session, name: str) -> None:
    """Delete a saved rule. Raises NotFound, and RuleInUse while anything needs it. Never commits."""
    if campaigns := _campaigns(session, name):
        raise RuleInUse(f"the rule {name!r} is needed by campaign {', '.join(campaigns)}")
    if drafts := _drafts(session, name):
        raise RuleInUse(f"the rule {name!r} is needed by the draft {', '.join(drafts)}")
    if views := _views(session, name):
        raise RuleInUse(f"the rule {name!r} is needed by view {', '.join(views)}")
    delete_rule(session, name)


def needs_rule(value: Any, name: str) -> bool:
    """Whether `value` (JSON) asks for the saved rule: as a target or condition "rule:NAME", or in a condition that is
    written out, as JSON or as its text."""
    if isinstance(value, str):
        words = value.strip()
        given = words.removeprefix(TARGET).strip()
        return _mentions(given, name) if given.startswith("{") else words.startswith(TARGET) and given == name
    if isinstance(value, dict):
        return _mentions(value, name) if "type" in value else any(needs_rule(one, name) for one in value.values())
    return isinstance(value, list) and any(needs_rule(one, name) for one in value)


def _mentions(given: str | dict[str, Any], name: str) -> bool:
    try:
        return name in mentioned(read_rule(given))[0]
    except RuleError:  # no rule: what was done, or what a draft holds half written
        return False


def _campaigns(session: Session, name: str) -> list[str]:
    """By number."""
    alive, asks = campaign.c.state.in_(ALIVE), (campaign.c.audience, campaign.c.trigger, campaign.c.goal)
    parts = session.execute(select(campaign.c.id, *asks).where(alive))
    steps = session.execute(
        select(campaign.c.id, step.c.condition).join(step, step.c.campaign_id == campaign.c.id).where(alive)
    )
    found: set[int] = {row[0] for row in (*parts, *steps) if any(needs_rule(value, name) for value in row[1:])}
    return [str(number) for number in sorted(found)]


def _drafts(session: Session, name: str) -> list[str]:
    """Those that are open, by name."""
    rows = session.execute(
        select(draft.c.name, draft.c["values"]).where(draft.c.done_at.is_(None)).order_by(draft.c.id)
    )
    return [row.name for row in rows if any(needs_rule(asked, name) for asked in asked_in(row[1]))]


def _views(session: Session, name: str) -> list[str]:
    """By number, with whom to ask: what isn't shared nobody else sees, its name neither."""
    kept = select(view.c.id, view.c.rule, user.c.email).join(user, user.c.id == view.c.user_id).order_by(view.c.id)
    return [f"{row.id} ({row.email})" for row in session.execute(kept) if needs_rule(row.rule, name)]
