"""Imagemap message: a picture with areas to tap, and perhaps a video on it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from campaigns.content.any_message import MessagePart
from campaigns.content.parts import BY_TYPE, Address, AltText, Link, Part, kind, words, wrong

MAX_ACTIONS = 50
WIDTH = 1_040  # "Width of base image in pixels. Set to 1040."

_Side = Annotated[int, Field(ge=0)]
_Label = Annotated[str, words(100)]


class Area(Part):
    """A rectangle, from the top left."""

    x: _Side
    y: _Side
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class _AreaAction(Part):
    label: _Label | None = None
    area: Area


class OpenLink(_AreaAction):
    """Opens a page; an http(s) link is tracked."""

    type: Literal["uri"]
    link_uri: Link


class SayText(_AreaAction):
    """Sends a text in the person's name."""

    type: Literal["message"]
    text: Annotated[str, words(400)]


class CopyText(_AreaAction):
    """Copies a text."""

    type: Literal["clipboard"]
    clipboard_text: Annotated[str, words(1_000)]


class BaseSize(Part):
    """The size that areas are measured in."""

    width: Literal[1040]
    height: Annotated[int, Field(ge=1)]


class ExternalLink(Part):
    """What is offered after the video."""

    link_uri: Link
    label: Annotated[str, words(30)]


class ImagemapVideo(Part):
    """A video that plays on the picture."""

    original_content_url: Address
    preview_image_url: Address
    area: Area
    external_link: ExternalLink | None = None


class ImagemapMessage(MessagePart):
    """The picture is fetched from `baseUrl`/240, /300, /460, /700 and /1040, without an ending such as .png."""

    type: Literal["imagemap"]
    base_url: Address
    alt_text: AltText
    base_size: BaseSize
    video: ImagemapVideo | None = None
    actions: Annotated[
        list[
            Annotated[
                Annotated[OpenLink, kind("uri")]
                | Annotated[SayText, kind("message")]
                | Annotated[CopyText, kind("clipboard")],
                BY_TYPE,
            ]
        ],
        Field(max_length=MAX_ACTIONS),
    ]

    @model_validator(mode="after")
    def _areas_lie_inside(self) -> "ImagemapMessage":
        areas = [(f"actions[{n}].area", action.area) for n, action in enumerate(self.actions)]
        areas += [("video.area", self.video.area)] if self.video else []
        for place, area in areas:
            if area.x + area.width > WIDTH or area.y + area.height > self.base_size.height:
                raise wrong(f"reaches beyond the picture of {WIDTH} x {self.base_size.height}", place)
        return self
