"""Audiences of user ids, made by upload: LINE's rules over the state of one channel.

Source: "Managing Audience" of the Messaging API reference. An upload is accepted at once and takes effect later: the
audience is READY when its first job with anybody in it has ended. Ids can be added, never taken out.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from simulator.refusals import Refusal

MAX_AUDIENCES = 1_000
MAX_IDS = 10_000  # of one JSON upload
MAX_NAME = 120
MAX_JOBS = 10  # under way at once in one audience
MAX_A_PAGE = 40
JOBS_SHOWN = 50
KEPT = timedelta(days=180)

_USER_ID = re.compile(r"U[0-9a-f]{32}")


@dataclass(slots=True)
class Job:
    """One upload. `ends_at`: from then on its people are in the audience."""

    job_id: int
    description: str
    people: frozenset[str]
    created: datetime
    ends_at: datetime


@dataclass(slots=True)
class Audience:
    """One audience. Nobody is taken out of it."""

    audience_id: int
    name: str
    created: datetime
    jobs: list[Job] = field(default_factory=list)

    def people(self, now: datetime) -> frozenset[str]:
        """Who is in it: the people of the jobs that have ended."""
        return frozenset().union(*(job.people for job in self.jobs if job.ends_at <= now))

    def status(self, now: datetime) -> str:
        """READY, IN_PROGRESS or EXPIRED; an empty one never gets READY."""
        if now >= self.created + KEPT:
            return "EXPIRED"
        return "READY" if self.people(now) else "IN_PROGRESS"

    def as_json(self, now: datetime) -> dict[str, Any]:
        """LINE's AudienceGroup."""
        return {
            "audienceGroupId": self.audience_id,
            "createRoute": "MESSAGING_API",
            "type": "UPLOAD",
            "description": self.name,
            "status": self.status(now),
            "audienceCount": len(self.people(now)),
            "created": int(self.created.timestamp()),
            "permission": "READ_WRITE",
            "isIfaAudience": False,
            "expireTimestamp": int((self.created + KEPT).timestamp()),
        }


class Audiences:
    """The audiences of one channel. Not thread-safe: the platform's lock is held around every use.

    `job_seconds`: how long an upload takes. `known`: which ids there are; an upload with any other is refused whole.
    """

    def __init__(self, job_seconds: float) -> None:
        self.audiences: dict[int, Audience] = {}
        self._job_time = timedelta(seconds=job_seconds)
        self._next_id = 1_000_000_000_001
        self._next_job = 10_001

    def create(self, body: dict[str, Any], known: Any, now: datetime) -> dict[str, Any]:
        """A new audience, from LINE's CreateAudienceGroupRequest. Raises Refusal."""
        name = _name(body.get("description"))
        if body.get("isIfaAudience"):
            raise Refusal(400, "The simulator has no audiences of advertising ids")
        people = _people(body.get("audiences", []), known)
        if len(self.audiences) >= MAX_AUDIENCES:
            raise _refused("too many audience groups", "AUDIENCE_GROUP_COUNT_MAX_OVER")
        made = Audience(self._next_id, name, now)
        self._next_id += 1
        self.audiences[made.audience_id] = made
        if people:
            self._add(made, people, body, now)
        answer = made.as_json(now)
        del answer["status"], answer["audienceCount"]
        return answer

    def add(self, body: dict[str, Any], known: Any, now: datetime) -> None:
        """More ids for an audience, from LINE's AddAudienceToAudienceGroupRequest. Raises Refusal."""
        audience = self.named(body.get("audienceGroupId"))
        if audience.status(now) == "EXPIRED":
            raise _refused("audience group expired", "AUDIENCE_GROUP_CAN_NOT_UPLOAD_STATUS_EXPIRED")
        people = _people(body.get("audiences", []), known)
        if not people:
            raise _refused("no valid ids", "UPLOAD_AUDIENCE_GROUP_NO_VALID_AUDIENCE_IDS")
        if sum(job.ends_at > now for job in audience.jobs) >= MAX_JOBS:
            raise Refusal(429, "Too many concurrent operations on this audience group")
        self._add(audience, people, body, now)

    def named(self, audience_id: Any) -> Audience:
        """The audience of that id. Refusal 400 when there is none."""
        found = self.audiences.get(audience_id) if isinstance(audience_id, int) else None
        if found is None:
            raise _refused("audience group not found", "AUDIENCE_GROUP_NOT_FOUND")
        return found

    def show(self, audience_id: int, now: datetime) -> dict[str, Any]:
        """LINE's GetAudienceDataResponse: the audience and its newest jobs. Raises Refusal."""
        audience = self.named(audience_id)
        jobs = [
            {
                "audienceGroupJobId": job.job_id,
                "audienceGroupId": audience_id,
                "description": job.description,
                "type": "DIFF_ADD",
                "jobStatus": "FINISHED" if job.ends_at <= now else "WORKING",
                "audienceCount": len(job.people),
                "created": int(job.created.timestamp()),
            }
            for job in reversed(audience.jobs[-JOBS_SHOWN:])
        ]
        return {"audienceGroup": audience.as_json(now), "jobs": jobs}

    def rename(self, audience_id: int, body: dict[str, Any]) -> None:
        """Give an audience another name. Raises Refusal."""
        self.named(audience_id).name = _name(body.get("description"))

    def delete(self, audience_id: int) -> None:
        """Forget an audience. Raises Refusal."""
        self.named(audience_id)
        del self.audiences[audience_id]

    def page(self, number: int, size: int, name: str | None, status: str | None, now: datetime) -> dict[str, Any]:
        """LINE's GetAudienceGroupsResponse: page `number` (from 1), newest first. Raises Refusal."""
        if number < 1 or not 1 <= size <= MAX_A_PAGE:
            raise Refusal(400, f"page must be at least 1 and size from 1 to {MAX_A_PAGE}")
        found = [
            audience
            for audience in reversed(self.audiences.values())
            if (name is None or name.casefold() in audience.name.casefold())
            and (status is None or status == audience.status(now))
        ]
        first = (number - 1) * size
        return {
            "audienceGroups": [audience.as_json(now) for audience in found[first : first + size]],
            "hasNextPage": first + size < len(found),
            "totalCount": len(found),
            "readWriteAudienceGroupTotalCount": len(found),
            "page": number,
            "size": size,
        }

    def _add(self, audience: Audience, people: frozenset[str], body: dict[str, Any], now: datetime) -> None:
        description = body.get("uploadDescription") or ""
        audience.jobs.append(Job(self._next_job, description, people, now, now + self._job_time))
        self._next_job += 1


def _name(given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        raise _refused("audience name is empty", "AUDIENCE_GROUP_NAME_EMPTY")
    if len(given) > MAX_NAME:
        raise _refused("audience name is too long", "AUDIENCE_GROUP_NAME_SIZE_OVER")
    if "\n" in given:
        raise _refused("audience name is wrong", "AUDIENCE_GROUP_NAME_WRONG")
    return given


def _people(given: Any, known: Any) -> frozenset[str]:
    """The ids of an upload. One that isn't a person known to the channel fails all: nothing says which it is."""
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise Refusal(400, "audiences must be a list of objects with an id")
    if len(given) > MAX_IDS:
        raise _refused("too many ids", "UPLOAD_AUDIENCE_GROUP_TOO_MANY_AUDIENCE_IDS")
    ids = [item.get("id") for item in given]
    if not all(isinstance(one, str) and _USER_ID.fullmatch(one) and one in known for one in ids):
        raise _refused("invalid id", "UPLOAD_AUDIENCE_GROUP_INVALID_AUDIENCE_ID_FORMAT")
    return frozenset(ids)


def _refused(message: str, detail: str) -> Refusal:
    return Refusal(400, message, [{"message": detail}])
