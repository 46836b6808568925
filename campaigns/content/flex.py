"""Flex message: a bubble, or a carousel of bubbles, of boxes and what stands in them.

Sizes in bytes are those of JSON without spaces ("The maximum size of JSON data that defines a bubble is 30 KB").
"""

import re
from typing import Annotated, Any, Literal, Union

import orjson
from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from campaigns.content.actions import FlexAction, FlexButtonAction, Uri, labelled
from campaigns.content.any_message import MessagePart
from campaigns.content.parts import BY_TYPE, Address, AltText, Color, Part, kind, words, wrong

MAX_BUBBLE_BYTES = 30 * 1024
MAX_CAROUSEL_BYTES = 50 * 1024
MAX_BUBBLES = 12

_Keyword = Annotated[str, StringConstraints(pattern=r"^-?[0-9a-zA-Z.]+%?$")]  # xs, md, 12px, 50%, space-between …
_Share = Annotated[int, Field(ge=0)]
_Position = Literal["relative", "absolute"]
_Gravity = Literal["top", "bottom", "center"]
_Align = Literal["start", "end", "center"]


def _ratio(value: Any) -> Any:
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?):(\d{1,6}(?:\.\d+)?)", value) if isinstance(value, str) else None
    if match is None:
        raise wrong("must be width:height, such as 20:13")
    width, height = map(float, match.groups())
    if not (1 <= width <= 100_000 and 1 <= height <= 100_000 and height <= width * 3):
        raise wrong("must have sides of 1 to 100000, and be at most three times as high as wide")
    return value


_AspectRatio = Annotated[str, BeforeValidator(_ratio)]


class _Placed(Part):
    """Where a component stands in its box."""

    margin: _Keyword | None = None
    position: _Position | None = None
    offset_top: _Keyword | None = None
    offset_bottom: _Keyword | None = None
    offset_start: _Keyword | None = None
    offset_end: _Keyword | None = None


class Gradient(Part):
    """A background that changes its colour."""

    type: Literal["linearGradient"]
    angle: Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d+)?deg$")]
    start_color: Color
    end_color: Color
    center_color: Color | None = None
    center_position: Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d+)?%$")] | None = None


class Button(_Placed):
    """A button; its label must be there."""

    type: Literal["button"]
    action: FlexButtonAction
    flex: _Share | None = None
    height: Literal["sm", "md"] | None = None
    style: Literal["link", "primary", "secondary"] | None = None
    color: Color | None = None
    gravity: _Gravity | None = None
    adjust_mode: Literal["shrink-to-fit"] | None = None
    scaling: bool | None = None


class Image(_Placed):
    """A picture."""

    type: Literal["image"]
    url: Address
    flex: _Share | None = None
    align: _Align | None = None
    gravity: _Gravity | None = None
    size: _Keyword | None = None
    aspect_ratio: _AspectRatio | None = None
    aspect_mode: Literal["cover", "fit"] | None = None
    background_color: Color | None = None
    action: FlexAction | None = None
    animated: bool | None = None


class Icon(_Placed):
    """A small picture in a line of text."""

    type: Literal["icon"]
    url: Address
    size: _Keyword | None = None
    scaling: bool | None = None
    aspect_ratio: _AspectRatio | None = None


class Span(Part):
    """A stretch of a text in a style of its own."""

    type: Literal["span"]
    text: Annotated[str, words(MAX_BUBBLE_BYTES)] | None = None
    color: Color | None = None
    size: _Keyword | None = None
    weight: Literal["regular", "bold"] | None = None
    style: Literal["normal", "italic"] | None = None
    decoration: Literal["none", "underline", "line-through"] | None = None


class Text(_Placed):
    """Words, or spans of words."""

    type: Literal["text"]
    text: Annotated[str, words(MAX_BUBBLE_BYTES)] | None = None
    contents: list[Span] | None = None
    adjust_mode: Literal["shrink-to-fit"] | None = None
    flex: _Share | None = None
    size: _Keyword | None = None
    scaling: bool | None = None
    align: _Align | None = None
    gravity: _Gravity | None = None
    wrap: bool | None = None
    line_spacing: Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?px$")] | None = None
    max_lines: _Share | None = None
    weight: Literal["regular", "bold"] | None = None
    color: Color | None = None
    action: FlexAction | None = None
    style: Literal["normal", "italic"] | None = None
    decoration: Literal["none", "underline", "line-through"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Text":
        if self.text is None and not self.contents:
            raise wrong("is missing", "text")
        return self


class Separator(Part):
    """A line."""

    type: Literal["separator"]
    margin: _Keyword | None = None
    color: Color | None = None


class Filler(Part):
    """Empty space; LINE advises against it."""

    type: Literal["filler"]
    flex: _Share | None = None


Component = Annotated[
    Union[  # noqa: UP007 the box is named before it is known
        Annotated["Box", kind("box")],
        Annotated[Button, kind("button")],
        Annotated[Image, kind("image")],
        Annotated[Icon, kind("icon")],
        Annotated[Text, kind("text")],
        Annotated[Separator, kind("separator")],
        Annotated[Filler, kind("filler")],
    ],
    BY_TYPE,
]


class Box(_Placed):
    """Components beside or below each other."""

    type: Literal["box"]
    layout: Literal["horizontal", "vertical", "baseline"]
    contents: list[Component]
    background_color: Color | None = None
    border_color: Color | None = None
    border_width: _Keyword | None = None
    corner_radius: _Keyword | None = None
    width: _Keyword | None = None
    max_width: _Keyword | None = None
    height: _Keyword | None = None
    max_height: _Keyword | None = None
    flex: _Share | None = None
    spacing: _Keyword | None = None
    padding_all: _Keyword | None = None
    padding_top: _Keyword | None = None
    padding_bottom: _Keyword | None = None
    padding_start: _Keyword | None = None
    padding_end: _Keyword | None = None
    action: FlexAction | None = None
    justify_content: (
        Literal["center", "flex-start", "flex-end", "space-between", "space-around", "space-evenly"] | None
    ) = None
    align_items: Literal["center", "flex-start", "flex-end"] | None = None
    background: Gradient | None = None

    @model_validator(mode="after")
    def _holds_what_it_may(self) -> "Box":
        allowed = ("icon", "text", "filler")
        for number, component in enumerate(self.contents):
            if self.layout == "baseline" and component.type not in allowed:
                raise wrong(f"can't be a {component.type}: a baseline box holds icons and texts", f"contents[{number}]")
            if self.layout != "baseline" and component.type == "icon":
                raise wrong("is an icon, which needs a baseline box", f"contents[{number}]")
        return self


class Video(Part):
    """A video, which only the hero of a bubble may be."""

    type: Literal["video"]
    url: Address
    preview_url: Address
    alt_content: Annotated[
        Annotated[Box, kind("box")] | Annotated[Image, kind("image")],
        BY_TYPE,
    ]
    aspect_ratio: _AspectRatio | None = None
    action: Annotated[Uri, labelled(40, is_required=True)] | None = None


class BlockStyle(Part):
    """How a block of a bubble looks."""

    background_color: Color | None = None
    separator: bool | None = None
    separator_color: Color | None = None


class BubbleStyles(Part):
    """Of each block."""

    header: BlockStyle | None = None
    hero: BlockStyle | None = None
    body: BlockStyle | None = None
    footer: BlockStyle | None = None


class Bubble(Part):
    """One card."""

    type: Literal["bubble"]
    size: Literal["nano", "micro", "deca", "hecto", "kilo", "mega", "giga"] | None = None
    direction: Literal["ltr", "rtl"] | None = None
    header: Box | None = None
    hero: (
        Annotated[
            Annotated[Box, kind("box")] | Annotated[Image, kind("image")] | Annotated[Video, kind("video")],
            BY_TYPE,
        ]
        | None
    ) = None
    body: Box | None = None
    footer: Box | None = None
    styles: BubbleStyles | None = None
    action: FlexAction | None = None

    @model_validator(mode="after")
    def _video_has_room(self) -> "Bubble":
        if isinstance(self.hero, Video) and self.size not in (None, "kilo", "mega", "giga"):
            raise wrong("must be kilo, mega or giga beside a video", "size")
        return self


def _of_bytes(most: int, name: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if (size := len(orjson.dumps(value))) > most:
            raise wrong(f"is a {name} of {size} bytes of JSON; at most {most}")
        return value

    return BeforeValidator(check)


_Bubble = Annotated[Bubble, _of_bytes(MAX_BUBBLE_BYTES, "bubble")]


class FlexCarousel(Part):
    """Cards side by side."""

    type: Literal["carousel"]
    contents: Annotated[list[_Bubble], Field(min_length=1, max_length=MAX_BUBBLES)]

    @model_validator(mode="after")
    def _holds_no_video(self) -> "FlexCarousel":
        for number, bubble in enumerate(self.contents):
            if isinstance(bubble.hero, Video):
                raise wrong("can't be a video in a carousel", f"contents[{number}].hero")
        return self


class FlexMessage(MessagePart):
    """A layout of one's own."""

    type: Literal["flex"]
    alt_text: AltText
    contents: Annotated[
        Annotated[_Bubble, kind("bubble")]
        | Annotated[FlexCarousel, _of_bytes(MAX_CAROUSEL_BYTES, "carousel"), kind("carousel")],
        BY_TYPE,
    ]


def too_large(contents: Any) -> str | None:
    """What LINE would have against the size of a Flex container with its fields filled in; None: nothing."""
    if contents["type"] == "carousel":
        parts = [(contents, MAX_CAROUSEL_BYTES), *((bubble, MAX_BUBBLE_BYTES) for bubble in contents["contents"])]
    else:
        parts = [(contents, MAX_BUBBLE_BYTES)]
    for part, most in parts:
        if (size := len(orjson.dumps(part))) > most:
            return f"a {part['type']} has {size} bytes of JSON; at most {most}"
    return None
