"""Runs in pages, the newest first: a campaign that fires person by person has tens of thousands. Reads only."""

from sqlalchemy import func, select, tuple_
from sqlmodel import Session

from store.engine import table_of
from store.errors import NotFound
from store.models import CampaignRun

run = table_of(CampaignRun)


def page_of_runs(
    session: Session, campaign_id: int, *, before: int | None = None, limit: int
) -> tuple[list[CampaignRun], int | None]:
    """At most `limit` runs of a campaign, the newest first, from the one after its run `before` on (None: from the
    newest); and the id to go on before, None at the end. Raises NotFound where it has no run `before`."""
    found = select(CampaignRun).where(run.c.campaign_id == campaign_id)
    if before is not None:
        at = run_of(session, campaign_id, before).fired_at
        found = found.where(tuple_(run.c.fired_at, run.c.id) < (at, before))
    rows = list(session.scalars(found.order_by(run.c.fired_at.desc(), run.c.id.desc()).limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def count_of_runs(session: Session, campaign_id: int) -> int:
    """How many runs a campaign has had."""
    return session.scalar(select(func.count()).select_from(run).where(run.c.campaign_id == campaign_id)) or 0


def run_of(session: Session, campaign_id: int, run_id: int) -> CampaignRun:
    """That run of the campaign. Raises NotFound where it has none, also for a number that no database holds."""
    found = session.get(CampaignRun, run_id) if 0 < run_id < 2**63 else None
    if found is None or found.campaign_id != campaign_id:
        raise NotFound(f"campaign {campaign_id} has no run {run_id}")
    return found
