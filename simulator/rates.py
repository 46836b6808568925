"""How often each endpoint may be called: token buckets per channel and endpoint, and the busiest second of each.

Source: "Rate limits" of the Messaging API reference. LINE does not publish the size of the bucket; here it holds
what the limit allows in its own period (a second's or an hour's worth) unless told otherwise.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

PER_SECOND = 1.0
PER_MINUTE = 60.0
PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` requests in `seconds` on average; `burst` is the size of the bucket, `count` when None."""

    count: float
    seconds: float
    burst: float | None = None


EVERYTHING_ELSE = Rate(2000, PER_SECOND)
LINE_RATES = {
    "multicast": Rate(200, PER_SECOND),
    "narrowcast": Rate(60, PER_HOUR),
    "broadcast": Rate(60, PER_HOUR),
    "insight_request": Rate(60, PER_HOUR),
    "insight_unit": Rate(60, PER_HOUR),
    "webhook_test": Rate(60, PER_HOUR),
    **dict.fromkeys(("webhook_get", "webhook_set"), Rate(1000, PER_MINUTE)),
    **dict.fromkeys(
        ("audience_create", "audience_add", "audience_get", "audience_list", "audience_delete", "audience_rename"),
        Rate(60, PER_MINUTE),
    ),
    **dict.fromkeys(("coupon_create", "coupon_get", "coupon_list", "coupon_close"), Rate(200, PER_SECOND)),
}


class Meter:
    """One endpoint's bucket and its busiest second. Not thread-safe: the platform's lock is held around it."""

    def __init__(self, rate: Rate, monotonic: Callable[[], float]) -> None:
        self._per_second = rate.count / rate.seconds
        self._size = max(1.0, rate.count if rate.burst is None else rate.burst)
        self._tokens = self._size
        self._monotonic = monotonic
        self._filled_at = monotonic()
        self._recent: deque[float] = deque()
        self.accepted = 0
        self.refused = 0
        self.peak_in_one_second = 0

    def take(self) -> bool:
        """Take one token; False when there is none, and then nothing changes but the count of refusals."""
        now = self._monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        self._count(now)
        return True

    def _count(self, now: float) -> None:
        self.accepted += 1
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - 1.0:
            recent.popleft()
        self.peak_in_one_second = max(self.peak_in_one_second, len(recent))
