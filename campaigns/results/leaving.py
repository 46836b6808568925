"""Campaigns after which unusually many people blocked the account of late: also those that were over before it showed,
for which the brake (blocks.py) came too late. Reads only."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select
from sqlmodel import Session

from campaigns.results.alarm import is_above
from campaigns.results.blocks import FEWEST
from campaigns.results.sums import Sums
from campaigns.results.tally import accepted_since
from campaigns.settings import read_settings
from store.engine import table_of
from store.models import Campaign, CampaignRun, RunResponse

run, response, campaign = table_of(CampaignRun), table_of(RunResponse), table_of(Campaign)


@dataclass(frozen=True)
class Leaving:
    """`blocked` of `people` reached by the campaign's runs of late, which surely is above `percent`."""

    campaign_id: int
    name: str
    blocked: int
    people: int
    percent: Decimal

    def words(self, days: int) -> str:
        """For console/words/refusals.tsv; its runs are those of so many days."""
        return (
            f"{self.blocked:,} of {self.people:,} people ({self.blocked / self.people:.1%}) blocked the account after "
            f"messages of the last {days} days, above the limit of {self.percent:g} %"
        )


def leaving_since(session: Session, since: datetime) -> list[Leaving]:
    """Campaigns whose runs that fired at `since` or later drove people away, by the lower of the brand's limits; the
    newest first, [] where the brand has no limit."""
    settings = read_settings(session)
    percent = settings.block_slow_percent or settings.block_limit_percent
    if percent is None:
        return []
    blocked = {key: count for key, count in _blocked(session, since).items() if count >= FEWEST}
    people = accepted_since(session, list(blocked), since)
    above = [key for key in blocked if is_above(blocked[key], people.get(key, 0), float(percent) / 100)]
    names = session.execute(select(campaign.c.id, campaign.c.name).where(campaign.c.id.in_(above)))
    found = [Leaving(row.id, row.name, blocked[row.id], people[row.id], percent) for row in names]
    return sorted(found, key=lambda one: -one.campaign_id)


def _blocked(session: Session, since: datetime) -> Counter[int]:
    """Campaign id -> people reached who blocked; of large runs by their kept sums."""
    kept = select(run.c.id, run.c.campaign_id, run.c.response_sums).where(run.c.response_sums.is_not(None))
    large = session.execute(kept.where(run.c.fired_at >= since)).all()
    found = Counter[int]()
    for _, campaign_id, cells in large:
        found[campaign_id] += sum(one.blocked for one in (Sums(*cell) for cell in cells) if one.state == "accepted")
    left = (response.c.has_blocked, response.c.state == "accepted", run.c.fired_at >= since)
    few = select(run.c.campaign_id, func.count()).select_from(run.join(response, response.c.run_id == run.c.id))
    few = few.where(*left, run.c.id.not_in([row.id for row in large])).group_by(run.c.campaign_id)
    for campaign_id, people in session.execute(few):
        found[campaign_id] += people
    return found
