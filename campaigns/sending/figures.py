"""Asking for LINE's own figures of what was sent: how many opened and tapped, as aggregates; who, LINE never tells.

Asked on a schedule, not when somebody looks: LINE answers 60 questions an hour and channel of each kind, and changes a
figure only for 14 days. Sources: "Get statistics per unit", "Get user interaction statistics", "Rate limits".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol

import structlog
from sqlalchemy import Engine, and_, or_, select, update
from sqlmodel import Session

from campaigns.sending.units import FIRST_LOOK, LINE_ZONE, note_units_of_others
from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.errors import ExpectedError
from store.models import CampaignRun, Narrowcast, SendPace, UnitStatistic

log = structlog.get_logger()

LOOKS = (FIRST_LOOK, timedelta(hours=6))  # after the sending began; then once a day
CHANGES_FOR = timedelta(days=14)  # after the last message LINE's figures stand
LONGEST_SPAN = timedelta(days=30)  # of the days that one question may be about
AN_HOUR = 58  # questions of each kind, one a minute or so: two less than LINE's 60
LEASE = timedelta(minutes=15)  # a question that came to nothing is asked again after this

Kind = Literal["insight_unit", "insight_request"]


class Figures(Protocol):
    """LINE's answer; see bot/line/insight.py. None: hidden, since fewer than 20 people did it."""

    @property
    def delivered(self) -> int | None: ...
    @property
    def opened(self) -> int | None: ...
    @property
    def clicked(self) -> int | None: ...
    @property
    def detail(self) -> dict[str, Any]: ...


class FiguresDoor(Protocol):
    """The door that figures come through. Everything raises an ExpectedError when LINE does not answer."""

    def units_used(self) -> int: ...
    def of_unit(self, unit: str, first: date, last: date) -> Figures: ...
    def of_request(self, request_id: str) -> Figures: ...


@dataclass(frozen=True)
class _Question:
    statistic_id: int
    unit: str | None
    request_id: str | None
    first: date
    last: date
    sent_from: datetime
    sent_until: datetime


def ask_for_figures(engine: Engine, doors: Mapping[int, FiguresDoor], *, clock: Clock) -> int:
    """Ask LINE for the figures that have been due longest, as far as its hourly limits go; returns how many came."""
    came = 0
    for channel_id, door in doors.items():
        for kind in ("insight_unit", "insight_request"):
            came += _ask(engine, channel_id, door, kind, clock)
    return came


def count_units(engine: Engine, doors: Mapping[int, FiguresDoor], *, clock: Clock) -> None:
    """Ask LINE how many names of units are used this month, those of others among them. Raises the door's error when
    all channels have been asked."""
    broken = []
    for channel_id, door in doors.items():
        try:
            used = door.units_used()
        except ExpectedError as error:
            broken.append(error)
            continue
        with transaction(engine) as session:
            note_units_of_others(session, channel_id, used=used, now=clock())
    if broken:
        raise broken[0]


def _ask(engine: Engine, channel_id: int, door: FiguresDoor, kind: Kind, clock: Clock) -> bool:
    now = clock()
    with reading(engine) as session:
        if session.execute(_due(channel_id, kind, now).limit(1)).first() is None:
            return False  # without taking SQLite's write lock
    with transaction(engine) as session:
        question = _take(session, channel_id, kind, now)
    if question is None:
        return False
    try:
        if question.unit is not None:
            figures = door.of_unit(question.unit, question.first, question.last)
        else:
            assert question.request_id is not None
            figures = door.of_request(question.request_id)
    except ExpectedError as error:
        status = getattr(error, "status", None)
        log.warning("line_figures_put_off", channel_id=channel_id, statistic_id=question.statistic_id, status=status)
        return False  # asked again after the lease
    with transaction(engine) as session:
        table = table_of(UnitStatistic)
        session.execute(
            update(table)
            .where(table.c.id == question.statistic_id)
            .values(
                delivered=figures.delivered,
                opened=figures.opened,
                clicked=figures.clicked,
                detail=figures.detail,
                fetched_at=now,
                due_at=next_look(question.sent_from, question.sent_until, now),
            )
        )
    return True


def next_look(sent_from: datetime, sent_until: datetime, now: datetime) -> datetime | None:
    """When to ask again: an hour and six hours after the sending began, then daily, a last time when the figures stand,
    14 days after it ended; None once that is over."""
    end = sent_until + CHANGES_FOR
    looks = [sent_from + look for look in LOOKS]
    days = (now - sent_from) // timedelta(days=1) + 1
    looks.append(sent_from + timedelta(days=max(1, days)))
    return next((min(look, end) for look in looks if look > now), None) if now < end else None


def _take(session: Session, channel_id: int, kind: Kind, now: datetime) -> _Question | None:
    """The question of that kind that has been due longest, held for LEASE, if LINE may be asked now; else None."""
    statistic = table_of(UnitStatistic)
    due = _due(channel_id, kind, now).order_by(statistic.c.due_at, statistic.c.id).limit(1)
    row = session.execute(due.with_for_update(of=statistic, skip_locked=True)).one_or_none()
    if row is None or not _may_ask(session, channel_id, kind, now):
        return None
    session.execute(update(statistic).where(statistic.c.id == row.id).values(due_at=now + LEASE))
    sent_from, sent_until = (row.fired_at, row.finished_at or now) if row.fired_at else _month(row.month, now)
    first, today = sent_from.astimezone(LINE_ZONE).date(), now.astimezone(LINE_ZONE).date()
    last = min(today, first + LONGEST_SPAN)
    return _Question(row.id, row.unit, row.request_id, first, last, sent_from, sent_until)


def _due(channel_id: int, kind: Kind, now: datetime) -> Any:
    statistic, run, narrowcast = table_of(UnitStatistic), table_of(CampaignRun), table_of(Narrowcast)
    is_kind = statistic.c.unit.is_not(None) if kind == "insight_unit" else statistic.c.unit.is_(None)
    names = ("run_id", "variant_id", "language")
    of_request = and_(*(narrowcast.c[name] == statistic.c[name] for name in names))
    return (
        select(
            statistic.c.id,
            statistic.c.unit,
            statistic.c.month,
            narrowcast.c.request_id,
            run.c.fired_at,
            run.c.finished_at,
        )
        .outerjoin(run, run.c.id == statistic.c.run_id)
        .outerjoin(narrowcast, of_request)
        .where(
            statistic.c.channel_id == channel_id,
            is_kind,
            statistic.c.due_at <= now,
            or_(statistic.c.unit.is_not(None), narrowcast.c.request_id.is_not(None)),
        )
    )


def _month(month: str, now: datetime) -> tuple[datetime, datetime]:
    """When the runs of a month were sent, as far as it has gone."""
    start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=LINE_ZONE)
    return start, min(now, (start + timedelta(days=32)).replace(day=1))


def _may_ask(session: Session, channel_id: int, kind: Kind, now: datetime) -> bool:
    """Take the one permit of its minute, shared by all workers (the row of sending/pace.py); False when it is taken."""
    pace, at_us = table_of(SendPace), int(now.timestamp() * 1_000_000)
    session.execute(
        insert_for(session, SendPace)
        .values(channel_id=channel_id, endpoint=kind, free_at_us=at_us)
        .on_conflict_do_nothing()
    )
    taken = session.execute(
        update(pace)
        .where(pace.c.channel_id == channel_id, pace.c.endpoint == kind, pace.c.free_at_us <= at_us)
        .values(free_at_us=at_us + 3_600_000_000 // AN_HOUR)
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]
