"""Ad audiences that somebody asks LINE to be given: a row each, claimed and uploaded by the worker, and told when it is
over.

A worker that dies leaves an audience at LINE with some of the people in it. It is told as failed, and not gone on with:
whoever withdrew their consent meanwhile could not be taken out.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine, Row, select, update
from sqlmodel import Session

from campaigns.audience.target import Audience, check_audience
from campaigns.results.ads import consent_settings
from campaigns.results.line_audience import AudienceDoor, check_name, upload_ads
from store.clock import Clock
from store.engine import insert_for, table_of, transaction
from store.errors import BadInput, ExpectedError, NotFound
from store.models import AdUpload, AuditEntry, Channel

LEASE = timedelta(minutes=10)  # longer than asking a rule of everybody, or one upload, takes
UNDER_WAY = ("waiting", "running")

log = structlog.get_logger()
upload = table_of(AdUpload)


def ask_for_upload(session: Session, target: str, name: str, *, channel_id: int, actor: str, now: datetime) -> bool:
    """Ask for an audience `name` at LINE of those of `target` who consented to ads; False when it is asked for already
    and isn't over. Audited; never commits. Raises BadInput for a name that LINE doesn't take and without a setting that
    says what consent is, NotFound for a channel that there isn't, UnknownTarget."""
    name = check_name(name)
    consent_settings(session)
    check_audience(session, Audience((target,)))
    if session.get(Channel, channel_id) is None:
        raise NotFound(f"there is no channel {channel_id}")
    fresh = {"target": target, "state": "waiting", "asked_at": now, "asked_by": actor}
    fresh |= dict.fromkeys(("lease_until", "finished_at", "people", "left_out", "unknown", "problem"))
    asked = insert_for(session, AdUpload).values(channel_id=channel_id, name=name, **fresh)
    is_over = upload.c.state.not_in(UNDER_WAY)
    asked = asked.on_conflict_do_update(index_elements=["channel_id", "name"], set_=fresh, where=is_over)
    if session.execute(asked.returning(upload.c.id)).scalar() is None:
        return False
    detail = {"audience": target, "name": name, "channel_id": channel_id}
    session.add(AuditEntry(at=now, actor=actor, action="ask for ad audience", detail=detail))
    return True


def newest_uploads(session: Session, limit: int) -> list[AdUpload]:
    """At most `limit`, those last asked for first."""
    return list(session.scalars(select(AdUpload).order_by(upload.c.asked_at.desc(), upload.c.id.desc()).limit(limit)))


def upload_asked(
    engine: Engine,
    doors: Mapping[int, AudienceDoor],
    *,
    zone: ZoneInfo,
    clock: Clock,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Upload what is asked for, the oldest first, by the channel's door; returns how many are over. Several workers may
    do so at once. An unexpected failure is told beside the audience, and raised."""
    _give_up(engine, clock())
    over = 0
    while (one := _claim(engine, clock())) is not None:
        _note(engine, one.id, _uploaded(engine, one, doors, zone=zone, clock=clock, wait=wait), clock)
        over += 1
    return over


def _uploaded(
    engine: Engine,
    one: Row[Any],
    doors: Mapping[int, AudienceDoor],
    *,
    zone: ZoneInfo,
    clock: Clock,
    wait: Callable[[float], None],
) -> dict[str, Any]:
    """What became of it."""

    def keep_and_wait(seconds: float) -> None:
        with transaction(engine) as session:
            session.execute(update(upload).where(upload.c.id == one.id).values(lease_until=clock() + LEASE))
        wait(seconds)

    given: dict[str, Any] = {"channel_id": one.channel_id, "actor": one.asked_by, "zone": zone, "clock": clock}
    try:
        door = doors.get(one.channel_id)
        if door is None:
            raise BadInput("the channel has no access token")
        made = upload_ads(engine, Audience((one.target,)), one.name, door, wait=keep_and_wait, **given)
    except ExpectedError as error:
        return {"state": "failed", "problem": str(error)}
    except Exception as error:
        _note(engine, one.id, {"state": "failed", "problem": f"{type(error).__name__}: see the worker's log"}, clock)
        raise
    return {"state": "done", "people": made.people, "left_out": made.left_out, "unknown": made.unknown}


def _claim(engine: Engine, now: datetime) -> Row[Any] | None:
    oldest = select(upload.c.id).where(upload.c.state == "waiting").order_by(upload.c.asked_at, upload.c.id).limit(1)
    taken = (
        update(upload)
        .where(upload.c.id == oldest.scalar_subquery(), upload.c.state == "waiting")
        .values(state="running", lease_until=now + LEASE)
        .returning(*(upload.c[name] for name in ("id", "channel_id", "name", "target", "asked_by")))
    )
    with transaction(engine) as session:
        return session.execute(taken).one_or_none()


def _give_up(engine: Engine, now: datetime) -> None:
    """Tell of those whose worker has died."""
    died = (upload.c.state == "running", upload.c.lease_until < now)
    problem = "the worker stopped while it uploaded: some people may be in LINE's audience"
    with transaction(engine) as session:
        session.execute(
            update(upload).where(*died).values(state="failed", lease_until=None, finished_at=now, problem=problem)
        )


def _note(engine: Engine, upload_id: int, values: Mapping[str, Any], clock: Clock) -> None:
    mine = (upload.c.id == upload_id, upload.c.state == "running")  # not given up meanwhile
    with transaction(engine) as session:
        session.execute(update(upload).where(*mine).values(lease_until=None, finished_at=clock(), **values))
    log.info("ad_audience_is_over", ad_upload_id=upload_id, state=values["state"])
