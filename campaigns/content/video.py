"""Video message."""

from typing import Annotated, Literal

from campaigns.content.any_message import MessagePart
from campaigns.content.parts import Address, plain

_TrackingId = Annotated[
    str, plain(100, r"[a-zA-Z0-9\-.=,+*()%$&;:@{}!?<>\[\]]+", "letters, digits and -.=,+*()%$&;:@{}!?<>[]")
]


class VideoMessage(MessagePart):
    """A video (MP4, at most 200 MB). With a tracking id LINE tells by webhook who watched it to the end."""

    type: Literal["video"]
    original_content_url: Address
    preview_image_url: Address
    tracking_id: _TrackingId | None = None
