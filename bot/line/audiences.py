"""The door for narrowcasts: audiences uploaded at LINE, the narrowcast to one, and how far it has come.

Sources: "Managing Audience", "Send narrowcast message" and "Get narrowcast message status" of the Messaging API
reference. LINE tells of counts only, never who got it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import urllib3
from linebot.v3 import audience, messaging
from linebot.v3.audience.models import (
    AddAudienceToAudienceGroupRequest,
    Audience,
    AudienceGroupJobStatus,
    CreateAudienceGroupRequest,
)

from bot.line.answers import Answer, LineError, answer_of_status
from bot.line.sdk import call, client

MAX_IDS = 10_000  # of one upload
UPLOAD_SECONDS = 30.0  # LINE asks for at least so long a timeout on uploads
Phase = Literal["waiting", "sending", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class AudienceState:
    """`status`: IN_PROGRESS, READY, FAILED, EXPIRED, …; `count`: people in it now; uploads under way and failed, of the
    newest 50."""

    status: str
    count: int
    uploads_under_way: int
    uploads_failed: int


@dataclass(frozen=True, slots=True)
class NarrowcastProgress:
    """How far a narrowcast is. The counts are None until it is over, `problem` unless it failed."""

    phase: Phase
    target_count: int | None
    success_count: int | None
    failure_count: int | None
    problem: str | None


class NarrowcastDoor:
    """One channel's door for narrowcasts. One per channel and process; thread-safe. All but `narrowcast` raise
    LineError."""

    def __init__(self, *, api_base: str, access_token: str, timeout_seconds: float) -> None:
        self._audiences = audience.ManageAudience(client(audience, api_base, access_token))
        self._api = messaging.MessagingApi(client(messaging, api_base, access_token))
        self._timeout, self._upload_timeout = timeout_seconds, max(timeout_seconds, UPLOAD_SECONDS)
        self._url = f"{api_base}/v2/bot/message/narrowcast"
        self._headers = {"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"}
        self._pool = urllib3.PoolManager(retries=False)

    def create_audience(self, name: str) -> int:
        """Make an empty audience of that name (at most 120 characters); its id."""
        request = CreateAudienceGroupRequest(description=name)
        made = self._call("create audience", self._audiences.create_audience_group, request)
        if made.audience_group_id is None:
            raise LineError("LINE's answer to create audience has no id", may_try_again=False, in_doubt=False)
        return int(made.audience_group_id)

    def find_audience(self, name: str) -> int | None:
        """The id of the newest audience with exactly that name; None when there is none."""
        found = self._call("list audiences", self._audiences.get_audience_groups, page=1, description=name, size=40)
        named = [group for group in found.audience_groups or () if group.description == name]
        return max((int(group.audience_group_id) for group in named), default=None)

    def add_to_audience(self, audience_id: int, line_user_ids: Sequence[str]) -> None:
        """Add at most 10,000 people. Adding somebody twice is the same as once; nobody can be taken out. An id that
        LINE doesn't know fails all: LineError with status 400."""
        people = [Audience(id=line_user_id) for line_user_id in line_user_ids]
        request = AddAudienceToAudienceGroupRequest(audienceGroupId=audience_id, audiences=people)
        method = self._audiences.add_audience_to_audience_group
        call("add to audience", method, request, timeout=self._upload_timeout)

    def audience_state(self, audience_id: int) -> AudienceState:
        """What LINE has made of an audience so far."""
        answer = self._call("show audience", self._audiences.get_audience_data, audience_id)
        group, jobs = answer.audience_group, Counter(job.job_status for job in answer.jobs or ())
        return AudienceState(
            status=group.status.value if group.status else "IN_PROGRESS",
            count=group.audience_count or 0,
            uploads_under_way=jobs[AudienceGroupJobStatus.QUEUED] + jobs[AudienceGroupJobStatus.WORKING],
            uploads_failed=jobs[AudienceGroupJobStatus.FAILED],
        )

    def delete_audience(self, audience_id: int) -> None:
        """Delete an audience; one that has gone already is fine."""
        try:
            self._call("delete audience", self._audiences.delete_audience_group, audience_id)
        except LineError as error:
            if "AUDIENCE_GROUP_NOT_FOUND" not in str(error):
                raise

    def narrowcast(self, audience_id: int, messages: bytes, retry_key: str) -> Answer:
        """Send `messages` (a JSON array) to an audience that is READY. LINE sends later: ask `progress` with the
        request id. Never raises for what LINE or the network does."""
        recipient = b'{"type":"audience","audienceGroupId":' + str(audience_id).encode() + b"}"
        body = b'{"messages":' + messages + b',"recipient":' + recipient + b"}"
        headers = {**self._headers, "X-Line-Retry-Key": retry_key}
        timeout = urllib3.Timeout(total=self._timeout)
        try:
            # Not by the SDK: after a 2xx it would raise for a body it can't read, and lose the request id.
            response = self._pool.request(
                "POST", self._url, body=body, headers=headers, timeout=timeout, redirect=False, preload_content=False
            )
            if response.status < 300:
                with suppress(urllib3.exceptions.HTTPError):
                    response.read()
                response.release_conn()
                return Answer("accepted", response.headers.get("x-line-request-id"))
            return answer_of_status(response.status, _lower(response.headers), response.read())
        except urllib3.exceptions.NewConnectionError as error:
            return Answer("not_reached", problem=f"no connection: {type(error).__name__}")
        except urllib3.exceptions.HTTPError as error:
            return Answer("in_doubt", problem=f"connection broke: {type(error).__name__}")

    def progress(self, request_id: str) -> NarrowcastProgress:
        """How far an accepted narrowcast is; LINE knows for 14 days."""
        answer = self._call("narrowcast progress", self._api.get_narrowcast_progress, request_id)
        problem = None
        if answer.phase == "failed":
            problem = f"error {answer.error_code}: {answer.failed_description or 'LINE gives no reason'}"
        return NarrowcastProgress(
            answer.phase, answer.target_count, answer.success_count, answer.failure_count, problem
        )

    def _call(self, name: str, method: Any, *arguments: Any, **named: Any) -> Any:
        return call(name, method, *arguments, timeout=self._timeout, **named)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
