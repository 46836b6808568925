"""A run that is slowed: it goes on, but so many minutes lie between its batches of at most 500 people.

By minutes, not by a part of LINE's rate: at half of 2,000 a second a run is over before the first of its people have
read it. campaigns/results/blocks.py says when; a person's `resume` lets the run go at LINE's rate again.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, update
from sqlmodel import Session

from store.engine import table_of
from store.models import CampaignRun

MINUTES_BETWEEN = (0, 1, 5, 30)  # by CampaignRun.slow_step: 30,000 people an hour, then 6,000, then 1,000
SLOWEST = len(MINUTES_BETWEEN) - 1

run = table_of(CampaignRun)


def slow_down(session: Session, run_id: int, *, now: datetime) -> int:
    """Let the run go a step slower, and no batch of it before the wait of that step; returns the step."""
    one = session.get_one(CampaignRun, run_id, with_for_update=True, populate_existing=True)
    one.slow_step = min(one.slow_step + 1, SLOWEST)
    one.next_batch_at = now + _wait(one.slow_step)
    session.add(one)
    return one.slow_step


def may_begin(now: datetime) -> Any:
    """SQL: whether a run may begin a batch; one that isn't slowed always may."""
    return or_(run.c.next_batch_at.is_(None), run.c.next_batch_at <= now)


def take_turn(session: Session, run_id: int, slow_step: int, *, now: datetime) -> bool:
    """Whether the caller may begin one batch of a slowed run now; nobody else may before the wait of its step."""
    taken = session.execute(
        update(run).where(run.c.id == run_id, may_begin(now)).values(next_batch_at=now + _wait(slow_step))
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]


def slowed_words(slow_step: int) -> str:
    """Why and how much a run of that step is slowed, for console/words/refusals.tsv."""
    return f"many block the account after this message: slowed to 500 people every {MINUTES_BETWEEN[slow_step]} minutes"


def _wait(slow_step: int) -> timedelta:
    return timedelta(minutes=MINUTES_BETWEEN[slow_step])
