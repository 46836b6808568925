"""Coupon message: one of the account's own LINE coupons, the same for everyone."""

from typing import Annotated, Literal

from campaigns.content.any_message import MessagePart
from campaigns.content.parts import plain


class CouponMessage(MessagePart):
    """A coupon by its id; the tag names the way it came in LINE's own figures."""

    type: Literal["coupon"]
    coupon_id: Annotated[str, plain(100, r"[0-9A-Za-z_-]+", "a coupon's id")]
    delivery_tag: Annotated[str, plain(30, r"[a-zA-Z0-9_]+", "letters, digits and _")] | None = None
