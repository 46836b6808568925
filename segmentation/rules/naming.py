"""What the campaigns that rules ask for are called: rules hold their numbers. Reads only."""

from collections.abc import Collection

from sqlalchemy import select
from sqlmodel import Session

from segmentation.rules.reading import conditions
from segmentation.rules.types import Clicks, Events, Rule
from store.engine import table_of
from store.models import Campaign

campaign = table_of(Campaign)


def campaign_names(session: Session, *rules: Rule) -> dict[int, str]:
    """Number -> name of every campaign that the rules themselves ask for; those that aren't there are absent."""
    parts = [part for rule in rules for _, part in conditions(rule) if isinstance(part, Events | Clicks)]
    return names_of(session, {number for part in parts for number in part.campaigns or ()})


def names_of(session: Session, numbers: Collection[int]) -> dict[int, str]:
    """Number -> name of these campaigns; those that aren't there are absent."""
    if not numbers:
        return {}
    rows = session.execute(select(campaign.c.id, campaign.c.name).where(campaign.c.id.in_(sorted(numbers))))
    return {row.id: row.name for row in rows}
