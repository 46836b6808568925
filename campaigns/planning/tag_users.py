"""What asks for a tag: rules and other tags, campaigns that aren't over and the drafts of some. Reads only."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, select
from sqlmodel import Session

from campaigns.audience.lists import ALIVE
from campaigns.planning.renaming import Renaming, with_name
from store.engine import table_of
from store.models import Campaign, CampaignDraft, CampaignStep, Rule, Tag

rule, tag, draft = table_of(Rule), table_of(Tag), table_of(CampaignDraft)
campaign, step = table_of(Campaign), table_of(CampaignStep)


@dataclass(frozen=True)
class TagUser:
    """A row that asks for the tag."""

    kind: Literal["rule", "tag", "campaign", "draft"]
    id: int
    name: str


def users_of_tag(session: Session, name: str) -> list[TagUser]:
    """Those that name the tag themselves, by kind, each once in the order of its number: whoever renaming it would
    rewrite. Views of customers are left out: they are their owners' own."""
    open_drafts = select(draft.c.id, draft.c.name, draft.c["values"]).where(draft.c.done_at.is_(None))
    of_drafts = select(draft.c.campaign_id).where(draft.c.done_at.is_(None), draft.c.campaign_id.is_not(None))
    alive = (campaign.c.state.in_(ALIVE), campaign.c.id.not_in(of_drafts))
    asks = (campaign.c.audience, campaign.c.trigger, campaign.c.goal)
    steps = select(campaign.c.id, campaign.c.name, step.c.condition).join(step, step.c.campaign_id == campaign.c.id)
    places: tuple[tuple[Any, tuple[Select[Any], ...]], ...] = (
        ("rule", (select(rule.c.id, rule.c.name, rule.c.definition),)),
        ("tag", (select(tag.c.id, tag.c.name, tag.c.definition),)),
        ("campaign", (select(campaign.c.id, campaign.c.name, *asks).where(*alive), steps.where(*alive))),
        ("draft", (open_drafts,)),
    )
    new = Renaming("tag", name, f"{name} ")  # which no tag is called
    found = []
    for kind, queries in places:
        rows = (row for query in queries for row in session.execute(query))
        named = {row[0]: row[1] for row in rows if any(with_name(value, new) != value for value in row[2:])}
        found += [TagUser(kind, number, named[number]) for number in sorted(named)]
    return found
