"""LINE's coupons: made, listed, looked at, closed; a message may show one that is running.

Source: "Coupon" of the Messaging API reference. Nobody obtains or uses one here: LINE tells of neither.
"""

import uuid
from datetime import datetime
from typing import Any

from simulator.refusals import Refusal, invalid_body

MAX_VALID = 5_000
MAX_A_PAGE = 100
STATUSES = ("DRAFT", "RUNNING", "CLOSED")
_LENGTHS = {"title": (1, 60), "description": (0, 1_000), "usageCondition": (0, 100), "couponCode": (0, 16)}
_NEEDED = (
    *("title", "acquisitionCondition", "startTimestamp", "endTimestamp"),
    *("maxUseCountPerTicket", "visibility", "timezone"),
)


class Coupons:
    """The coupons of one channel, oldest first. Not thread-safe: the platform's lock is held around every use."""

    def __init__(self) -> None:
        self._coupons: dict[str, dict[str, Any]] = {}

    def create(self, body: dict[str, Any], now: datetime) -> dict[str, Any]:
        """A running coupon, from LINE's CouponCreateRequest; answers its id. Raises Refusal."""
        wrong = [{"message": "May not be empty", "property": name} for name in _NEEDED if body.get(name) is None]
        for name, (least, most) in _LENGTHS.items():
            value = body.get(name)
            if value is not None and not (isinstance(value, str) and least <= len(value) <= most):
                wrong.append({"message": f"Length must be between {least} and {most}", "property": name})
        if body.get("visibility") not in (None, "UNLISTED", "PUBLIC"):
            wrong.append({"message": "Must be UNLISTED or PUBLIC", "property": "visibility"})
        if body.get("maxUseCountPerTicket") not in (None, 1, -1):
            wrong.append({"message": "Must be 1 or -1", "property": "maxUseCountPerTicket"})
        start, end = body.get("startTimestamp"), body.get("endTimestamp")
        if isinstance(start, int) and isinstance(end, int) and end <= start:
            wrong.append({"message": "Must be after startTimestamp", "property": "endTimestamp"})
        if wrong:
            raise invalid_body(wrong)  # type: ignore[arg-type]
        if sum(coupon["status"] != "CLOSED" for coupon in self._coupons.values()) >= MAX_VALID:
            raise Refusal(400, "The number of valid coupons is at its limit")
        coupon_id = uuid.uuid4().hex
        self._coupons[coupon_id] = {
            **body,
            "couponId": coupon_id,
            "createdTimestamp": int(now.timestamp()),
            "status": "RUNNING",
        }
        return {"couponId": coupon_id}

    def show(self, coupon_id: str) -> dict[str, Any]:
        """LINE's CouponResponse. Refusal 404 when there is none."""
        if coupon_id not in self._coupons:
            raise Refusal(404, "Not found")
        return self._coupons[coupon_id]

    def titles(self, statuses: list[str]) -> list[dict[str, str]]:
        """Id and title of the coupons in one of `statuses` (all for none), newest first. Raises Refusal."""
        if any(status not in STATUSES for status in statuses):
            raise Refusal(400, "The value for the 'status' parameter is invalid")
        return [
            {"couponId": coupon["couponId"], "title": coupon["title"]}
            for coupon in reversed(self._coupons.values())
            if not statuses or coupon["status"] in statuses
        ]

    def close(self, coupon_id: str) -> None:
        """End a coupon for good. Refusal 404 when there is none, 410 when it is closed already."""
        coupon = self.show(coupon_id)
        if coupon["status"] == "CLOSED":
            raise Refusal(410, "The coupon is closed")
        coupon["status"] = "CLOSED"

    def check(self, messages: list[dict[str, Any]]) -> None:
        """Refusal 400 when messages show a coupon that isn't running."""
        for number, message in enumerate(messages):
            if message.get("type") == "coupon" and self._status(message.get("couponId")) != "RUNNING":
                raise invalid_body([{"message": "Invalid coupon", "property": f"messages[{number}].couponId"}])

    def _status(self, coupon_id: Any) -> str | None:
        coupon = self._coupons.get(coupon_id) if isinstance(coupon_id, str) else None
        return coupon["status"] if coupon else None
