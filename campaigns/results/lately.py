"""What went out of late and to which segments, by every way and while it is still being sent: what a new message might
repeat. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlmodel import Session

from campaigns.content.message import words_of
from campaigns.results.tally import tallies
from store.engine import table_of
from store.models import CampaignRun

MOST_RUNS = 300  # the newest

run = table_of(CampaignRun)


@dataclass(frozen=True)
class SentLately:
    """A variant that LINE accepted for somebody."""

    text: str  # the words as written, fields not yet filled in
    sent_at: datetime  # aware UTC
    segments: frozenset[str]  # rfm8 of those who got it, when their audience was frozen; "none" for none


def sent_lately(session: Session, since: datetime) -> list[SentLately]:
    """The variants of runs fired at `since` (aware UTC) or later, the newest first. Of a step that people enter one by
    one, only the newest run counts: nobody gets it with each of them."""
    is_late = and_(run.c.fired_at >= since, run.c.state != "planned")
    newest = (
        select(func.max(run.c.id)).where(is_late, run.c.by_enrolment).group_by(run.c.campaign_id, run.c.step_number)
    )
    runs = session.execute(
        select(run.c.id, run.c.variants, run.c.fired_at)
        .where(is_late, or_(~run.c.by_enrolment, run.c.id.in_(newest)))
        .order_by(run.c.fired_at.desc(), run.c.id.desc())
        .limit(MOST_RUNS)
    ).all()
    segments: dict[tuple[int, int], set[str]] = {}
    for one in tallies(session, [row.id for row in runs]):
        if one.state == "accepted" and one.variant_id is not None:
            segments.setdefault((one.run_id, one.variant_id), set()).add(one.segment)
    return [
        SentLately(words_of(variant["messages"]), row.fired_at, frozenset(got))
        for row in runs
        for variant in row.variants
        if (got := segments.get((row.id, variant["variant_id"])))
    ]
