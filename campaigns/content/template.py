"""Template message: buttons, confirm, carousel and image carousel."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from campaigns.content.actions import ImageCarouselAction, TemplateAction
from campaigns.content.any_message import MessagePart
from campaigns.content.counting import grapheme_length
from campaigns.content.parts import BY_TYPE, Address, AltText, Color, Part, Rule, kind, words, written, wrong

MAX_COLUMNS = 10

_Title = Annotated[str, words(40, grapheme_length)]
_Ratio = Literal["rectangle", "square"]
_Fit = Literal["cover", "contain"]


class _Pictured(Part):
    """A text with a picture or a title above it, which leave less room for it."""

    thumbnail_image_url: Address | None = None
    image_background_color: Color | None = None
    title: _Title | None = None
    text: str
    default_action: TemplateAction | None = None

    def fit_text(self, alone: int, below: int, info: ValidationInfo) -> None:
        most = alone if self.title is None and self.thumbnail_image_url is None else below
        self.text = written(self.text, Rule(most, grapheme_length), info, "text")


class Buttons(_Pictured):
    """A text and up to four buttons."""

    type: Literal["buttons"]
    image_aspect_ratio: _Ratio | None = None
    image_size: _Fit | None = None
    actions: Annotated[list[TemplateAction], Field(min_length=1, max_length=4)]

    @model_validator(mode="after")
    def _text_fits(self, info: ValidationInfo) -> "Buttons":
        self.fit_text(160, 60, info)
        return self


class Confirm(Part):
    """A question with two answers."""

    type: Literal["confirm"]
    text: Annotated[str, words(240, grapheme_length)]
    actions: Annotated[list[TemplateAction], Field(min_length=2, max_length=2)]


class Column(_Pictured):
    """One card of a carousel."""

    actions: Annotated[list[TemplateAction], Field(min_length=1, max_length=3)]

    @model_validator(mode="after")
    def _text_fits(self, info: ValidationInfo) -> "Column":
        self.fit_text(120, 60, info)
        return self


def _alike(columns: list[Column]) -> list[Column]:
    """ "Keep the number of actions consistent for all columns", and pictures and titles too: LINE refuses others."""
    shapes = [(len(c.actions), c.title is None, c.thumbnail_image_url is None) for c in columns]
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise wrong("needs as many actions as the first column, and a picture and title as it has", f"[{number}]")
    return columns


class Carousel(Part):
    """Cards side by side."""

    type: Literal["carousel"]
    columns: Annotated[list[Column], Field(min_length=1, max_length=MAX_COLUMNS), AfterValidator(_alike)]
    image_aspect_ratio: _Ratio | None = None
    image_size: _Fit | None = None


class ImageColumn(Part):
    """A picture to tap."""

    image_url: Address
    action: ImageCarouselAction


class ImageCarousel(Part):
    """Pictures side by side."""

    type: Literal["image_carousel"]
    columns: Annotated[list[ImageColumn], Field(min_length=1, max_length=MAX_COLUMNS)]


class TemplateMessage(MessagePart):
    """One of the four."""

    type: Literal["template"]
    alt_text: AltText
    template: Annotated[
        Annotated[Buttons, kind("buttons")]
        | Annotated[Confirm, kind("confirm")]
        | Annotated[Carousel, kind("carousel")]
        | Annotated[ImageCarousel, kind("image_carousel")],
        BY_TYPE,
    ]
