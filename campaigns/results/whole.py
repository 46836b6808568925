"""What all runs of a campaign brought together, however many: kept sums that the database adds up. Reads only."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select
from sqlmodel import Session

from campaigns.results.runs import RunResults
from campaigns.results.sums import Acted, acted_after
from campaigns.results.tally import tallies
from store.engine import table_of
from store.models import CampaignRun
from store.types import from_ten_thousandths

run = table_of(CampaignRun)


@dataclass(frozen=True)
class Whole:
    """Of so many `runs`: people reached (once in each), messages that LINE counts, taps by people, buyers after a tap
    and their money."""

    runs: int
    accepted: int
    messages: int
    clicks: int
    conversions: int
    revenue: Decimal

    @classmethod
    def of(cls, results: RunResults, runs: int) -> "Whole":
        """The same of results at hand."""
        total = results.total
        accepted = total.deliveries["accepted"]
        return cls(runs, accepted, total.messages, results.clicks, results.conversions, results.revenue)


def all_runs(session: Session, campaign_id: int) -> Whole:
    """All runs of a campaign as of now: those that are over from an index, those that aren't one by one."""
    mine = run.c.campaign_id == campaign_id
    sums = (func.count(), func.sum(run.c.reached_count), func.sum(run.c.message_count))
    runs, accepted, messages = session.execute(select(*sums).where(mine)).one()
    going_on = session.scalars(select(run.c.id).where(mine, run.c.reached_count.is_(None))).all()
    found = [one for one in tallies(session, going_on) if one.state == "accepted"]
    accepted = int(accepted or 0) + sum(one.people for one in found)
    messages = int(messages or 0) + sum(one.people for one in found if not one.by_reply)
    acted = acted_after(session, [campaign_id]).get(campaign_id, Acted())
    return Whole(runs, accepted, messages, acted.clicks, acted.buyers, from_ten_thousandths(acted.revenue))
