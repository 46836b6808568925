"""What any message may carry: quick replies (on the last one only) and another sender's name and icon."""

from typing import Annotated, Literal

from pydantic import Field

from campaigns.content.actions import QuickAction
from campaigns.content.parts import Address, Part, plain

MAX_QUICK_REPLIES = 13


class QuickReplyButton(Part):
    """One button above the keyboard."""

    type: Literal["action"]
    image_url: Address | None = None
    action: QuickAction


class QuickReply(Part):
    """The buttons, in order."""

    items: Annotated[list[QuickReplyButton], Field(min_length=1, max_length=MAX_QUICK_REPLIES)]


class Sender(Part):
    """Who the message seems to come from. LINE refuses some names of its own, such as LINE."""

    name: Annotated[str, plain(20, r"(?!LINE$)[^{}]+", "a name without braces, and not LINE's own")] | None = None
    icon_url: Address | None = None


class MessagePart(Part):
    """Base of all kinds of messages."""

    quick_reply: QuickReply | None = None
    sender: Sender | None = None
