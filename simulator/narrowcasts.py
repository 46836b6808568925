"""Narrowcasts: accepted at once, sent later to whoever is in an uploaded audience.

Source: "Send narrowcast message" and "Get narrowcast message status" of the Messaging API reference. The whole target
is reserved in the quota until the sending is over; then only the people reached are counted.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from simulator import refusals
from simulator.audiences import Audiences
from simulator.refusals import Refusal

PROGRESS_KEPT = timedelta(days=14)
INTERNAL_ERROR = 1  # errorCode of the progress


@dataclass(slots=True)
class Narrowcast:
    """One accepted narrowcast. Waiting until half of its time is over, then sending, then succeeded or failed."""

    request_id: str
    accepted_at: datetime
    ends_at: datetime
    target: tuple[str, ...]
    reserved: int
    is_to_fail: bool = False
    success_count: int | None = None  # None: not over yet

    def progress(self, now: datetime) -> dict[str, Any]:
        """LINE's NarrowcastProgressResponse. Refusal 404 once it is too old."""
        if now - self.accepted_at >= PROGRESS_KEPT:
            raise Refusal(404, "Not found")
        document: dict[str, Any] = {"acceptedTime": line_time(self.accepted_at)}
        if self.success_count is None:
            is_waiting = now < self.accepted_at + (self.ends_at - self.accepted_at) / 2
            return document | {"phase": "waiting" if is_waiting else "sending"}
        document["completedTime"] = line_time(self.ends_at)
        if self.is_to_fail:
            return document | {
                "phase": "failed",
                "failedDescription": "internal error",
                "errorCode": INTERNAL_ERROR,
            }
        return document | {
            "phase": "succeeded",
            "successCount": self.success_count,
            "failureCount": len(self.target) - self.success_count,
            "targetCount": len(self.target),
        }


def target_of(body: dict[str, Any], audiences: Audiences, everyone: tuple[str, ...], now: datetime) -> tuple[str, ...]:
    """Whom a narrowcast's body is for: an audience or, without `recipient`, everyone; at most `limit.max` of them.

    Raises Refusal: what isn't simulated is refused, since to ignore it would be to send to everyone.
    """
    if body.get("filter"):
        raise Refusal(400, "The simulator has no demographics: leave out filter")
    people = everyone if body.get("recipient") is None else _audience(body["recipient"], audiences, now)
    limit = body.get("limit")
    most = limit.get("max") if isinstance(limit, dict) else None
    if most is None:
        return people
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise refusals.invalid_property("limit/max")
    return people[:most]


def _audience(recipient: Any, audiences: Audiences, now: datetime) -> tuple[str, ...]:
    if not isinstance(recipient, dict) or recipient.get("type") != "audience":
        raise Refusal(400, "The simulator knows only recipients of type audience")
    audience = audiences.named(recipient.get("audienceGroupId"))
    if audience.status(now) != "READY":
        raise Refusal(400, "The audience group is not ready", [{"message": "AUDIENCE_GROUP_NOT_READY"}])
    return tuple(sorted(audience.people(now)))


def up_to_remaining_quota(body: dict[str, Any]) -> bool:
    """Whether the body asks to be cut to what is left of the quota."""
    limit = body.get("limit")
    return isinstance(limit, dict) and limit.get("upToRemainingQuota") is True


def line_time(at: datetime) -> str:
    """A moment as LINE writes it: UTC with milliseconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
