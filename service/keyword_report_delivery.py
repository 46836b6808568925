"""The worker's job of keyword reports on a schedule: to marketers by LINE, and as files into a folder."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Engine
from sqlmodel import Session

from console.keywords.report_file import note_export, write_report
from keywords.effects.learning import NothingToLearn
from keywords.report import make_report
from keywords.sharing.deliveries import (
    FOLDER,
    Became,
    Claimed,
    claim_deliveries,
    is_planned,
    plan_deliveries,
    record_delivery,
)
from keywords.sharing.marketers import reach_of
from keywords.sharing.parts import report_parts
from keywords.sharing.schedule import NAME, message_of, read_settings
from service.channels import channel_named
from service.settings import Settings
from store.choices import chosen_at
from store.clock import Clock
from store.engine import reading, transaction
from store.errors import BadInput

if TYPE_CHECKING:
    from bot.line.bulk import BulkDoor

log = structlog.get_logger()

_BECAME: dict[str, Became] = {"accepted": "accepted", "refused": "failed", "in_doubt": "in_doubt"}  # of LINE's answers


def send_keyword_reports(engine: Engine, settings: Settings, clock: Clock) -> int:
    """Plan the period that has begun, and send what is due; returns how many deliveries went. Repeatable, by any number
    of workers: a period has one delivery for each recipient."""
    plan_period(engine, settings, clock)
    with transaction(engine) as session:
        claimed = claim_deliveries(session, now=clock())
    by_line = [one for one in claimed if one.recipient != FOLDER]
    went = asyncio.run(_push_all(engine, settings, clock, by_line)) if by_line else 0
    return went + sum(_write(engine, settings, clock, one) for one in claimed if one.recipient == FOLDER)


def plan_period(engine: Engine, settings: Settings, clock: Clock) -> int:
    """Make the deliveries of the newest period, unless they are there, its moment lies before the choice of the
    schedule, or nothing was learned yet."""
    now = clock()
    with reading(engine) as session:
        wanted, since = read_settings(session), chosen_at(session, NAME)
        due = wanted.due(now, settings.zone) if wanted.marketers or wanted.folder is not None else None
        if due is None or since is None or due[1] < since or is_planned(session, due[0]):
            return 0
        reached = {email: _reached(session, settings, email, wanted.channel) for email in wanted.marketers}
        try:
            report = make_report(session)
        except NothingToLearn:
            return 0
    period = due[0]
    with transaction(engine) as session:
        made = plan_deliveries(
            session,
            period,
            marketers=reached,
            messages=message_of(report, period, f"{settings.public_base_url}/console/keywords"),
            to_folder=wanted.folder is not None,
            now=now,
        )
    log.info("keyword_report_planned", period=period, recipients=made)
    return made


def _reached(session: Session, settings: Settings, email: str, channel: str | None) -> str | BadInput:
    """The channel over which the marketer is reached, or why they can't be."""
    try:
        return reach_of(session, email, channel=channel, among=[one.name for one in settings.channels]).channel
    except BadInput as error:
        return error


async def _push_all(engine: Engine, settings: Settings, clock: Clock, claimed: list[Claimed]) -> int:
    from service.doors import bulk_door  # here, not above: it takes a second to import

    went = 0
    async with AsyncExitStack() as stack:
        names = {one.channel for one in claimed}
        doors = {
            name: await stack.enter_async_context(bulk_door(channel_named(settings, name), settings)) for name in names
        }
        for one in claimed:
            became, problem = await _push(engine, doors[one.channel], one)
            with transaction(engine) as session:
                record_delivery(session, one, became, now=clock(), problem=problem)
            went += became == "accepted"
            log.info("keyword_report_sent", period=one.period, became=became)
    return went


async def _push(engine: Engine, door: "BulkDoor", one: Claimed) -> tuple[Became, str | None]:
    """(What became of it, why it didn't go). Where the marketer is reached is asked now: somebody may have forgotten
    their LINE, or have been switched off, since it was planned."""
    try:
        with reading(engine) as session:
            reach = reach_of(session, one.recipient, channel=one.channel)
    except BadInput as error:
        return "failed" if one.doubt_before is None else "unknown", str(error)
    answer = await door.push(reach.line_user_id, json.dumps(one.messages).encode(), one.retry_key)
    return _BECAME.get(answer.outcome, "not_sent"), answer.problem


def _write(engine: Engine, settings: Settings, clock: Clock, claimed: Claimed) -> int:
    """The period's files in the folder. Written again after a crash, they take their own place."""
    now, rows = clock(), 0
    with reading(engine) as session:
        folder = read_settings(session).folder
        parts = report_parts(session)
    try:
        if folder is None:
            raise BadInput("the folder was taken out of the settings")
        for ending in ("html", "xlsx"):
            path = Path(folder) / f"keyword-report-{claimed.period}.{ending}"
            rows = write_report(path, parts, made_at=now, zone=settings.zone, period=claimed.period)
    except BadInput as error:
        with transaction(engine) as session:
            record_delivery(session, claimed, "not_sent", now=now, problem=str(error))
        return 0
    with transaction(engine) as session:
        for ending in ("html", "xlsx"):
            note_export(session, Path(f"report.{ending}"), rows, actor="worker", now=now)
        record_delivery(session, claimed, "accepted", now=now)
    return 1
