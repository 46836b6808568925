"""How many messages a channel has left this month: by LINE's figure and by ours, both shown.

LINE's figure is approximate, is read from time to time and knows what the Manager sent; ours is exact and of this
moment but knows only what went out from here. What is left is counted from the higher of the two, less what runs under
way still have to send. A month is a calendar month of the brand's time zone (LINE doesn't say in which zone it resets).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import exists, func, or_, select, update
from sqlmodel import Session

from campaigns.results.tally import effective_state, tallies, with_batch
from store.engine import table_of
from store.models import Campaign, CampaignRun, Channel, Delivery, SendBatch

run, delivery, batch = table_of(CampaignRun), table_of(Delivery), table_of(SendBatch)


class LineQuota(Protocol):
    """LINE's own answer: `limit` None is unlimited."""

    @property
    def limit(self) -> int | None: ...
    @property
    def used(self) -> int: ...


@dataclass(frozen=True)
class QuotaState:
    """A channel's month. `line_used` and `read_at` None: LINE was never asked this month; `limit` None: unlimited, or
    not asked yet."""

    channel: str
    limit: int | None
    line_used: int | None
    read_at: datetime | None
    accepted: int  # of our calls, by LINE, this month; free replies don't count
    waiting: int  # people of runs under way who are still to be sent to

    @property
    def used(self) -> int:
        """The higher of the two figures."""
        return max(self.line_used or 0, self.accepted)

    @property
    def left(self) -> int | None:
        """Messages that a new run could use, never below 0; None: unlimited or unknown."""
        return None if self.limit is None else max(0, self.limit - self.used - self.waiting)


def note_quota(session: Session, channel_id: int, quota: LineQuota, *, now: datetime) -> None:
    """Keep LINE's answer on the channel's row."""
    channel = table_of(Channel)
    values = {"quota_limit": quota.limit, "quota_used": quota.used, "quota_read_at": now}
    session.execute(update(channel).where(channel.c.id == channel_id).values(values))


def quota_state(
    session: Session, channel_id: int, *, zone: ZoneInfo, now: datetime, but_run: int | None = None
) -> QuotaState:
    """The month's figures; `but_run`: a run that doesn't count as waiting, since the question is asked for it."""
    channel = session.get_one(Channel, channel_id)
    since = month_start(now, zone)
    is_fresh = channel.quota_read_at is not None and channel.quota_read_at >= since
    return QuotaState(
        channel=channel.name,
        limit=channel.quota_limit if channel.quota_read_at is not None else None,
        line_used=channel.quota_used if is_fresh else None,  # last month's use says nothing of this one's
        read_at=channel.quota_read_at,
        accepted=_accepted(session, channel_id, since),
        waiting=_waiting(session, channel_id, but_run),
    )


def month_start(now: datetime, zone: ZoneInfo) -> datetime:
    """The first moment of the calendar month of `now` in a time zone."""
    return now.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _accepted(session: Session, channel_id: int, since: datetime) -> int:
    of_month = (_of_channel(channel_id), run.c.fired_at >= since)  # all that an index by that time holds
    kept = session.scalar(select(func.sum(run.c.message_count)).where(*of_month))
    going_on = session.scalars(select(run.c.id).where(*of_month, run.c.tallied_at.is_(None))).all()
    counted = sum(one.people for one in tallies(session, going_on) if one.state == "accepted" and not one.by_reply)
    is_late = or_(run.c.finished_at.is_(None), run.c.finished_at >= since)
    early = session.scalars(select(run.c.id).where(_of_channel(channel_id), run.c.fired_at < since, is_late)).all()
    return int(kept or 0) + counted + sum(_accepted_since(session, run_id, since) for run_id in early)


def _accepted_since(session: Session, run_id: int, since: datetime) -> int:
    """Of a run that began in an earlier month: kept sums don't say when. Each of the few by itself, since PostgreSQL,
    which knows nothing of how large a run is, might read all deliveries for several."""
    accepted = (effective_state() == "accepted", ~delivery.c.by_reply)
    is_late = func.coalesce(delivery.c.sent_at, batch.c.sent_at) >= since
    counted = with_batch(select(func.count())).where(delivery.c.run_id == run_id, *accepted, is_late)
    return session.scalar(counted) or 0


def _waiting(session: Session, channel_id: int, but_run: int | None) -> int:
    under_way = run.c.state.in_(("planned", "sending", "paused"))
    is_open = run.c.tallied_at.is_(None)  # as all of them are, and an index holds those few
    others = select(run.c.id).where(is_open, under_way, _of_channel(channel_id), run.c.id != (but_run or 0))
    found = tallies(session, session.scalars(others).all())
    return sum(one.people for one in found if one.state == "chosen")


def _of_channel(channel_id: int) -> Any:
    """SQL: whether a run is of that channel. Asked of each run, so that SQLite looks for runs by what else is asked."""
    campaign = table_of(Campaign)
    return exists().where(campaign.c.id == run.c.campaign_id, campaign.c.channel_id == channel_id)
