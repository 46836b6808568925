"""The reach of a draft campaign where there are many customers: to ask the gate of a million takes two seconds, more
than a page has. The page asks, the worker finds it out and keeps it, and for a while it holds.

A campaign in the editor is made anew when anything in it changes (console/campaigns/draft_store.py), so a reach
belongs to one campaign as it is.
"""

from dataclasses import asdict
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine, select, update
from sqlmodel import Session

from campaigns.audience.reach import Reach, reach_now
from segmentation.leases import leased, lengthened
from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.errors import ExpectedError
from store.models import CampaignReach

log = structlog.get_logger()

HOLDS = timedelta(minutes=10)  # people come and go meanwhile; the run itself asks the gate again
LEASE = timedelta(minutes=1)
LEASE_NAME = "reach"

kept = table_of(CampaignReach)


def ask_for_reach(session: Session, campaign_id: int, now: datetime) -> None:
    """Ask the worker for the reach of a campaign; nothing where it was asked already, or what it found still holds.
    Never commits."""
    fresh = {"asked_at": now, "found_at": None, "reach": None}
    ask = insert_for(session, CampaignReach).values(campaign_id=campaign_id, **fresh)
    is_over = kept.c.found_at < now - HOLDS
    session.execute(ask.on_conflict_do_update(index_elements=["campaign_id"], set_=fresh, where=is_over))


def reach_asked_at(session: Session, campaign_id: int) -> datetime | None:
    """Since when the worker has been asked for it without an answer; None where it isn't."""
    asked: datetime | None = session.scalar(
        select(kept.c.asked_at).where(kept.c.campaign_id == campaign_id, kept.c.found_at.is_(None))
    )
    return asked


def kept_reach(session: Session, campaign_id: int) -> Reach | None:
    """What the worker found, however old; None where it was not asked, has not answered, or could not find it out: then
    `reach_now` says why."""
    found = session.scalar(select(kept.c.reach).where(kept.c.campaign_id == campaign_id))
    return None if found is None else Reach(**found)


def find_asked_reach(engine: Engine, *, zone: ZoneInfo, clock: Clock) -> int:
    """Find out whatever is asked for, the newest asking first; returns how much was. One process at a time."""
    if _next_asked(engine) is None:
        return 0
    done = 0
    with leased(engine, LEASE_NAME, LEASE, clock) as held:
        while held is not None and (campaign_id := _next_asked(engine)) is not None:
            with lengthened(engine, held):
                reach = _reach(engine, campaign_id, zone=zone, clock=clock)
            with transaction(engine) as session:
                held.hold(session)
                found = {"reach": None if reach is None else asdict(reach), "found_at": clock()}
                session.execute(update(kept).where(kept.c.campaign_id == campaign_id).values(**found))
            done += 1
    return done


def _reach(engine: Engine, campaign_id: int, *, zone: ZoneInfo, clock: Clock) -> Reach | None:
    try:
        return reach_now(engine, campaign_id, zone=zone, clock=clock)
    except ExpectedError as error:  # its list or rule is gone, or the campaign is: told to whoever looks
        log.info("reach_not_found", campaign_id=campaign_id, problem=type(error).__name__)
        return None


def _next_asked(engine: Engine) -> int | None:
    waiting = select(kept.c.campaign_id).where(kept.c.found_at.is_(None)).order_by(kept.c.asked_at.desc()).limit(1)
    with reading(engine) as session:
        found: int | None = session.scalar(waiting)
    return found
