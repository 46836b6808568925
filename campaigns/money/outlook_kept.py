"""The outlook of a draft campaign where there are many customers or runs: to ask the gate of a million people takes two
seconds, and to learn from tens of thousands of runs as long, more than a page has. The page asks, the worker finds it
out and keeps it, and for a while it holds.

A campaign in the editor is made anew when anything in it changes (console/campaigns/draft_store.py), so an outlook
belongs to one campaign as it is; it may have the id of the one before, and answers only what was asked for it.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine, and_, or_, select, update
from sqlmodel import Session

from campaigns.money.forecast import Outlook, find_outlook
from segmentation.leases import leased, lengthened
from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.errors import ExpectedError
from store.models import CampaignOutlook

log = structlog.get_logger()

HOLDS = timedelta(minutes=10)  # people come and go meanwhile; the run itself asks the gate again
AGAIN = timedelta(seconds=5)  # what could not be found out is asked anew: its list or rule may be back
LEASE = timedelta(minutes=1)
LEASE_NAME = "outlook"

kept = table_of(CampaignOutlook)


def ask_for_outlook(session: Session, campaign_id: int, now: datetime) -> None:
    """Ask the worker for the outlook of a campaign; nothing where it was asked already, or what it found still holds.
    Never commits."""
    fresh = {"asked_at": now, "found_at": None, "outlook": None}
    ask = insert_for(session, CampaignOutlook).values(campaign_id=campaign_id, **fresh)
    is_over = or_(kept.c.found_at < now - HOLDS, and_(kept.c.outlook.is_(None), kept.c.found_at < now - AGAIN))
    session.execute(ask.on_conflict_do_update(index_elements=["campaign_id"], set_=fresh, where=is_over))


def outlook_asked_at(session: Session, campaign_id: int) -> datetime | None:
    """Since when the worker has been asked for it without an answer; None where it isn't."""
    asked: datetime | None = session.scalar(
        select(kept.c.asked_at).where(kept.c.campaign_id == campaign_id, kept.c.found_at.is_(None))
    )
    return asked


def kept_outlook(session: Session, campaign_id: int) -> Outlook | None:
    """What the worker found, however old; None where it was not asked, has not answered, or could not find it out: then
    `find_outlook` says why."""
    found = session.scalar(select(kept.c.outlook).where(kept.c.campaign_id == campaign_id))
    return None if found is None else Outlook.from_json(found)


def find_asked_outlooks(engine: Engine, *, zone: ZoneInfo, clock: Clock) -> int:
    """Find out whatever is asked for, the newest asking first; returns how much was. One process at a time."""
    if _next_asked(engine) is None:
        return 0
    done = 0
    with leased(engine, LEASE_NAME, LEASE, clock) as held:
        while held is not None and (asked := _next_asked(engine)) is not None:
            campaign_id, asked_at = asked
            with lengthened(engine, held):
                outlook = _outlook(engine, campaign_id, zone=zone, clock=clock)
            with transaction(engine) as session:
                held.hold(session)
                found = {"outlook": None if outlook is None else outlook.to_json(), "found_at": clock()}
                asking = (kept.c.campaign_id == campaign_id, kept.c.asked_at == asked_at)
                session.execute(update(kept).where(*asking).values(**found))
            done += 1
    return done


def _outlook(engine: Engine, campaign_id: int, *, zone: ZoneInfo, clock: Clock) -> Outlook | None:
    try:
        return find_outlook(engine, campaign_id, zone=zone, clock=clock)
    except ExpectedError as error:  # its list or rule is gone, or the campaign is: told to whoever looks
        log.info("outlook_not_found", campaign_id=campaign_id, problem=type(error).__name__)
        return None


def _next_asked(engine: Engine) -> tuple[int, datetime] | None:
    waiting = select(kept.c.campaign_id, kept.c.asked_at).where(kept.c.found_at.is_(None))
    with reading(engine) as session:
        found = session.execute(waiting.order_by(kept.c.asked_at.desc()).limit(1)).first()
    return None if found is None else (found.campaign_id, found.asked_at)
