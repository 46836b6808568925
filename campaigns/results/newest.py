"""Runs in pages, the newest first, as many as a page can add up: a campaign that fires person by person has tens of
thousands. Reads only."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, select, tuple_, union_all
from sqlmodel import Session

from store.engine import table_of
from store.errors import NotFound
from store.models import CampaignRun

run = table_of(CampaignRun)


def newest_runs(session: Session, campaign_ids: Sequence[int], most: int) -> tuple[dict[int, list[int]], int | None]:
    """Campaign id -> ids of its runs, for each of `campaign_ids`: all of them where they are `most` or fewer in all;
    else of each campaign at most so many of the newest as let few runs of one stand beside many of another; and how
    many that is (None: all)."""
    found: dict[int, list[int]] = {key: [] for key in campaign_ids}
    counted = select(run.c.campaign_id, func.count()).where(run.c.campaign_id.in_(found)).group_by(run.c.campaign_id)
    counts: dict[int, int] = {row[0]: row[1] for row in session.execute(counted)}
    if not counts:
        return found, None
    each = fair_share(counts, most)
    parts = [_newest(key, each or counts[key]) for key in counts]
    for campaign_id, run_id in session.execute(union_all(*parts)):
        found[campaign_id].append(run_id)
    return found, each


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


def run_of(session: Session, campaign_id: int, run_id: int) -> CampaignRun:
    """That run of the campaign. Raises NotFound where it has none, also for a number that no database holds."""
    found = session.get(CampaignRun, run_id) if 0 < run_id < 2**63 else None
    if found is None or found.campaign_id != campaign_id:
        raise NotFound(f"campaign {campaign_id} has no run {run_id}")
    return found


def fair_share(counts: Mapping[int, int], most: int) -> int | None:
    """How many each may have at most so that all have `most` in all, but one at least; None: as many as there are."""
    left = most
    for place, count in enumerate(sorted(counts.values())):
        share = left // (len(counts) - place)
        if count > share:
            return max(share, 1)
        left -= count
    return None


def _newest(campaign_id: int, limit: int) -> Select[Any]:
    mine = select(run.c.campaign_id, run.c.id).where(run.c.campaign_id == campaign_id)
    return select(mine.order_by(run.c.fired_at.desc(), run.c.id.desc()).limit(limit).subquery())
