"""Image message."""

from typing import Literal

from campaigns.content.any_message import MessagePart
from campaigns.content.parts import Address


class ImageMessage(MessagePart):
    """A picture (JPEG or PNG, at most 10 MB) and its preview (at most 1 MB); LINE fetches both."""

    type: Literal["image"]
    original_content_url: Address
    preview_image_url: Address
