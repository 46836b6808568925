"""Aggregation units: the names under which LINE counts what is done with pushes and multicasts.

A channel has 1,000 names a calendar month; the 1,001st is dropped silently, so names are counted before they are used.
Source: "Messaging API reference", customAggregationUnits of push and multicast; months and days are in UTC+9, the zone
of LINE's statistics.
"""

import secrets
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import and_, exists, func, or_, select, update
from sqlmodel import Session

from store.engine import insert_for, table_of
from store.models import Campaign, CampaignRun, Channel, UnitStatistic

MAX_UNITS_A_MONTH = 1_000
LINE_ZONE = timezone(timedelta(hours=9))
FIRST_LOOK = timedelta(hours=1)  # after the sending began


def month_of(at: datetime) -> str:
    """LINE's calendar month of a moment: 2026-11."""
    return at.astimezone(LINE_ZONE).strftime("%Y-%m")


def reserve_units(session: Session, run_id: int, *, now: datetime) -> int:
    """Give every variant of a run that is about to be sent a unit, as far as this month's names last; returns how many
    go without. Twice is the same as once. A transaction of its own: it holds the channel while names are counted."""
    run = session.get_one(CampaignRun, run_id)
    wanted = [variant["variant_id"] for variant in run.variants]
    if run.way not in ("push", "multicast") or not (missing := set(wanted) - set(units_of(session, run))):
        return 0
    channel_id = session.get_one(Campaign, run.campaign_id).channel_id
    channel = session.get_one(Channel, channel_id, with_for_update=True, populate_existing=True)
    missing -= set(units_of(session, run))  # given meanwhile by another worker
    month = month_of(run.fired_at)
    given = sorted(missing)[: units_left(session, channel, month)]
    for variant_id in given:
        # People enter one by one: a run each minute would use up the month's names, so the month's runs share one.
        run_part = f"m{month[2:4]}{month[5:]}" if run.by_enrolment else f"r{run.id}"
        session.execute(
            insert_for(session, UnitStatistic)
            .values(
                channel_id=channel_id,
                run_id=None if run.by_enrolment else run.id,
                variant_id=variant_id,
                unit=f"{run_part}_v{variant_id}_{secrets.token_hex(3)}"[:30],  # another database's r1_v1 is not ours
                month=month,
                due_at=now + FIRST_LOOK,
                detail={},
            )
            .on_conflict_do_nothing()
        )
    return len(missing) - len(given)


def units_left(session: Session, channel: Channel, month: str) -> int:
    """Names that may still be used on a channel this month, by our count and LINE's."""
    ours = session.scalar(select(func.count()).where(*_named(channel.id, month))) or 0
    others = channel.units_of_others if channel.units_month == month else 0
    return max(0, MAX_UNITS_A_MONTH - ours - others)


def units_of(session: Session, run: CampaignRun) -> dict[int, str]:
    """Variant id -> the unit that a run's messages are sent under; a variant without one is sent without."""
    unit = table_of(UnitStatistic)
    of_month = and_(unit.c.run_id.is_(None), unit.c.month == month_of(run.fired_at))
    rows = session.execute(
        select(unit.c.variant_id, unit.c.unit).where(
            unit.c.variant_id.in_([variant["variant_id"] for variant in run.variants]),
            of_month if run.by_enrolment else unit.c.run_id == run.id,
            unit.c.unit.is_not(None),
        )
    ).all()
    return {row.variant_id: row.unit for row in rows}


def note_units_of_others(session: Session, channel_id: int, *, used: int, now: datetime) -> None:
    """LINE says that `used` names are counted this month: those beyond the ones of ours that it must have counted are
    somebody else's. Ours that are still being sent count as others' until they are over, so never too few."""
    unit, run = table_of(UnitStatistic), table_of(CampaignRun)
    is_over = exists().where(run.c.id == unit.c.run_id, run.c.finished_at.is_not(None))
    month = month_of(now)
    sent = session.scalar(select(func.count()).where(*_named(channel_id, month), or_(unit.c.run_id.is_(None), is_over)))
    channel = table_of(Channel)
    session.execute(
        update(channel)
        .where(channel.c.id == channel_id)
        .values(units_of_others=max(0, used - (sent or 0)), units_month=month)
    )


def _named(channel_id: int | None, month: str) -> tuple[Any, ...]:
    unit = table_of(UnitStatistic)
    return unit.c.channel_id == channel_id, unit.c.month == month, unit.c.unit.is_not(None)
