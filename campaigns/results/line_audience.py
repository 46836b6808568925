"""An ad audience at LINE: those of any audience who consented to ads, uploaded by the user ids that a channel has.

LINE takes 10,000 ids in one upload and 60 uploads a minute; an id that it doesn't know fails the whole upload, which is
then halved until that one is found. Nobody can be taken out of an audience, so one that is there already is not added
to: who has withdrawn consent would stay. Sources: "Create audience for uploading user IDs (by JSON)", "Add user IDs or
IFAs to an audience for uploading user IDs".
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from campaigns.audience.asked import ask_audience
from campaigns.audience.target import Audience
from campaigns.results.ads import consent_settings, may_be_shown_ads, people_of
from campaigns.sending.narrowcast import BAD_ID
from campaigns.sending.ways import UPLOAD_SIZE
from store.clock import Clock
from store.engine import reading, transaction
from store.errors import BadInput, ExpectedError
from store.models import AuditEntry

SECONDS_BETWEEN = 1.0
LONGEST_NAME = 120  # characters


class AudienceDoor(Protocol):
    """The door that an upload needs. Each raises an ExpectedError with LINE's words."""

    def find_audience(self, name: str) -> int | None: ...
    def create_audience(self, name: str) -> int: ...
    def add_to_audience(self, audience_id: int, line_user_ids: Sequence[str]) -> None: ...


@dataclass(frozen=True)
class Uploaded:
    """People now in LINE's audience; those `left_out`: no consent, refused, or no account that follows; and how many
    ids LINE didn't know."""

    audience_id: int
    people: int
    left_out: int
    unknown: int


def upload_ads(
    engine: Engine,
    audience: Audience,
    name: str,
    door: AudienceDoor,
    *,
    channel_id: int,
    actor: str,
    zone: ZoneInfo,
    clock: Clock,
    wait: Callable[[float], None] = time.sleep,
) -> Uploaded:
    """Make an audience `name` at LINE of those of `audience` who may be shown ads; audited before anything leaves.

    Raises BadInput for a name that LINE has or doesn't take, and without a setting that says what consent is;
    UnknownTarget, RuleError; the door's ExpectedError, and then some may be in it already.
    """
    name = check_name(name)
    with reading(engine) as session:
        settings = consent_settings(session)
    asked = ask_audience(engine, audience, zone=zone, clock=clock)
    if door.find_audience(name) is not None:
        raise BadInput(f"LINE has an audience {name!r} already, and nobody can be taken out of it: choose another name")
    with transaction(engine) as session:
        detail = {"audience": str(audience), "platform": "line", "name": name}
        session.add(AuditEntry(at=clock(), actor=actor, action="export ad audience", detail=detail))
    audience_id = door.create_audience(name)
    ids: list[str] = []
    added = tried = left_out = 0
    for person in people_of(engine, asked, channel_id):
        if person.line_user_id is None or not may_be_shown_ads(person, settings):
            left_out += 1
            continue
        ids.append(person.line_user_id)
        tried += 1
        if len(ids) == UPLOAD_SIZE:
            added += _add(door, audience_id, ids, wait)
            ids = []
    added += _add(door, audience_id, ids, wait) if ids else 0
    return Uploaded(audience_id, added, left_out, tried - added)


def check_name(name: str) -> str:
    """The name without blanks around it. Raises BadInput for one that LINE doesn't take."""
    if not 0 < len(name.strip()) <= LONGEST_NAME:
        raise BadInput(f"an audience's name has 1 to {LONGEST_NAME} characters")
    return name.strip()


def _add(door: AudienceDoor, audience_id: int, ids: Sequence[str], wait: Callable[[float], None]) -> int:
    """Upload ids; returns how many LINE knew."""
    try:
        door.add_to_audience(audience_id, ids)
        return len(ids)
    except ExpectedError as error:
        if not any(words in str(error) for words in BAD_ID):
            raise
    finally:
        wait(SECONDS_BETWEEN)
    if len(ids) == 1:
        return 0
    middle = len(ids) // 2
    return _add(door, audience_id, ids[:middle], wait) + _add(door, audience_id, ids[middle:], wait)
