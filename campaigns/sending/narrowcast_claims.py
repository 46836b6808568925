"""Which narrowcast is whose: a row per run and variant, and taking the one whose next step is due, for a while."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, exists, func, or_, select, update
from sqlmodel import Session

from campaigns.sending.claims import may_send
from campaigns.sending.ways import UPLOAD_SIZE
from store.engine import insert_for, table_of
from store.models import (
    Campaign,
    CampaignRun,
    Channel,
    Narrowcast,
    SendBatch,
)

OVER = ("succeeded", "failed", "unknown", "cancelled")
ENDED = ("sent", "cancelled", "failed")  # states of runs that nobody is sent to any more


@dataclass(frozen=True)
class Taken:
    """A narrowcast whose next step is in this worker's hands. `doubt_since`: since when LINE may have the request."""

    row: Narrowcast
    channel_id: int
    run_state: str
    doubt_since: datetime | None

    @property
    def mine(self) -> tuple[Any, ...]:
        """Which row it is, as it was taken: a worker that is late changes nothing."""
        table = table_of(Narrowcast)
        return (
            table.c.run_id == self.row.run_id,
            table.c.variant_id == self.row.variant_id,
            table.c.language == self.row.language,
            table.c.state == self.row.state,
            table.c.uploaded_up_to == self.row.uploaded_up_to,
        )


def batches_of(row: Narrowcast) -> tuple[Any, ...]:
    """SQL on send_batch: those of a narrowcast's version."""
    batch = table_of(SendBatch)
    return (
        batch.c.run_id == row.run_id,
        batch.c.variant_id == row.variant_id,
        func.coalesce(batch.c.language, "") == row.language,
    )


def plan_narrowcasts(session: Session, *, now: datetime) -> None:
    """Write a row, with its retry key, for every version of the runs that are to be sent by narrowcast."""
    run = table_of(CampaignRun)
    new = session.execute(select(run.c.id, run.c.variants).where(*_unplanned())).all()
    rows = [
        {
            "run_id": row.id,
            "variant_id": variant["variant_id"],
            "language": language,
            "state": "planned",
            "due_at": now,
            "attempts": 0,
            "uploaded_up_to": 0,
            "held_up_to": 0,
            "upload_size": UPLOAD_SIZE,
            "retry_key": str(uuid.uuid4()),
            "counts": {},
        }
        for row in new
        for variant in row.variants
        for language in ("", *(variant.get("languages") or {}))
    ]
    if rows:
        session.execute(insert_for(session, Narrowcast).values(rows).on_conflict_do_nothing())


def _unplanned() -> tuple[Any, ...]:
    run, narrowcast = table_of(CampaignRun), table_of(Narrowcast)
    planned = exists().where(narrowcast.c.run_id == run.c.id)
    return run.c.state == "sending", run.c.way == "narrowcast", ~planned


def is_anything_due(session: Session, now: datetime) -> bool:
    """Whether a step is due, or a run has no rows yet. Reads only."""
    due = _with_its_run(select(table_of(Narrowcast).c.run_id)).where(*_is_due(now)).exists()
    new = exists().where(*_unplanned())
    return bool(session.scalar(select(or_(due, new))))


def _with_its_run(query: Any) -> Any:
    narrowcast, run, campaign = table_of(Narrowcast), table_of(CampaignRun), table_of(Campaign)
    channel = table_of(Channel)
    joined = query.join(run, run.c.id == narrowcast.c.run_id).join(campaign, campaign.c.id == run.c.campaign_id)
    return joined.join(channel, channel.c.id == campaign.c.channel_id)


def _is_due(now: datetime) -> tuple[Any, ...]:
    """SQL: whether a step is due and may be done. A run that is paused, or that quiet hours have overtaken, gets no
    further than it is; what LINE has accepted is followed to its end, and what is over, or whose run is, is cleaned up.
    """
    narrowcast, run, channel = table_of(Narrowcast), table_of(CampaignRun), table_of(Channel)
    goes_on = and_(run.c.state == "sending", channel.c.stopped_reason.is_(None), may_send(now))
    is_followed = narrowcast.c.request_id.is_not(None)
    return narrowcast.c.due_at <= now, or_(goes_on, is_followed, run.c.state.in_(ENDED), narrowcast.c.state.in_(OVER))


def take_narrowcast(session: Session, channels: Sequence[int], *, lease: timedelta, now: datetime) -> Taken | None:
    """Take the narrowcast that has waited longest for its step, for as long as `lease`; None when none is due.

    One that is about to be sent is noted as tried, under the condition that its run is still being sent.
    """
    narrowcast, run, campaign = table_of(Narrowcast), table_of(CampaignRun), table_of(Campaign)
    batch = table_of(SendBatch)
    found = session.execute(
        _with_its_run(select(Narrowcast, run.c.state, campaign.c.channel_id))
        .where(*_is_due(now), campaign.c.channel_id.in_(channels))
        .order_by(narrowcast.c.due_at, narrowcast.c.run_id, narrowcast.c.variant_id, narrowcast.c.language)
        .limit(1)
        .with_for_update(of=narrowcast, skip_locked=True)
    ).one_or_none()
    if found is None:
        return None
    row, run_state, channel_id = found
    session.expunge(row)  # it is read from now on, not written
    values: dict[str, Any] = {"due_at": now + lease}
    doubt_since = row.first_attempt_at
    if row.state == "sending" and row.request_id is None and run_state == "sending":
        values["first_attempt_at"] = row.first_attempt_at = doubt_since or now
        mine = (*batches_of(row), batch.c.state == "due")
        session.execute(update(batch).where(*mine).values(first_attempt_at=row.first_attempt_at))
    taken = Taken(row, channel_id, run_state, doubt_since)
    session.execute(update(narrowcast).where(*taken.mine).values(**values))
    return taken
