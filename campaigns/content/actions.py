"""What happens on a tap: the reference's "Action objects", with the labels that each place asks for."""

import re
from datetime import date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ValidationInfo, model_validator

from campaigns.content.counting import grapheme_length
from campaigns.content.parts import BY_TYPE, Link, Part, Rule, button_data, kind, words, written, wrong

MAX_POSTBACK = 300
MAX_CLIPBOARD = 1_000
_MODES: dict[str, tuple[str, type[date] | type[time]]] = {
    "date": (r"\d{4}-\d\d-\d\d", date),
    "time": (r"\d\d:\d\d", time),
    "datetime": (r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d", datetime),
}

_Spoken = Annotated[str, words(MAX_POSTBACK, grapheme_length)]


class _Labelled(Part):
    label: str | None = None  # whether it must be there, and how long it may be, is the place's: see `labelled`


class Postback(_Labelled):
    """Comes back by webhook; opens no page."""

    type: Literal["postback"]
    data: Annotated[str, button_data(MAX_POSTBACK)]
    display_text: _Spoken | None = None
    text: _Spoken | None = None
    input_option: Literal["closeRichMenu", "openRichMenu", "openKeyboard", "openVoice"] | None = None
    fill_in_text: _Spoken | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "Postback":
        if self.text is not None and self.display_text is not None:
            raise wrong("can't stand beside displayText", "text")
        if self.fill_in_text is not None and self.input_option != "openKeyboard":
            raise wrong('needs "inputOption": "openKeyboard"', "fillInText")
        return self


class Say(_Labelled):
    """Sends a text in the person's name."""

    type: Literal["message"]
    text: _Spoken


class AltUri(Part):
    """What a desktop opens instead."""

    desktop: Link


class Uri(_Labelled):
    """Opens a page; an http(s) link is tracked."""

    type: Literal["uri"]
    uri: Link
    alt_uri: AltUri | None = None


class DatetimePicker(_Labelled):
    """Lets the person pick a moment, which comes back by webhook."""

    type: Literal["datetimepicker"]
    data: Annotated[str, button_data(MAX_POSTBACK)]
    mode: Literal["date", "time", "datetime"]
    initial: str | None = None
    max: str | None = None
    min: str | None = None

    @model_validator(mode="after")
    def _is_a_moment(self) -> "DatetimePicker":
        pattern, moment = _MODES[self.mode]
        for name in ("initial", "max", "min"):
            text = getattr(self, name)
            if text is not None and not _reads_as(text, pattern, moment):
                raise wrong(f"is no {self.mode} as LINE writes it", name)
        if self.min is not None and self.max is not None and self.max.upper() <= self.min.upper():
            raise wrong("must be later than min", "max")
        return self


def _reads_as(text: str, pattern: str, moment: type[date] | type[time]) -> bool:
    if not re.fullmatch(pattern, text):
        return False
    try:
        read = moment.fromisoformat(text.upper())
    except ValueError:
        return False
    return not isinstance(read, date) or 1900 <= read.year <= 2100


class Clipboard(_Labelled):
    """Copies a text, such as a coupon's code."""

    type: Literal["clipboard"]
    clipboard_text: Annotated[str, words(MAX_CLIPBOARD)]


class Camera(_Labelled):
    """Opens the camera; quick replies only."""

    type: Literal["camera"]


class CameraRoll(_Labelled):
    """Opens the photos; quick replies only."""

    type: Literal["cameraRoll"]


class Location(_Labelled):
    """Asks for a place; quick replies only."""

    type: Literal["location"]


def labelled(most: int, *, is_required: bool) -> AfterValidator:
    """The place's demand on the label of its actions ("Specifications of the label"), in grapheme clusters."""
    rule = Rule(most, grapheme_length)

    def check(action: Any, info: ValidationInfo) -> Any:
        if action.label is None:
            if is_required:
                raise wrong("is missing", "label")
        elif action.label or is_required:
            action.label = written(action.label, rule, info, "label")
        return action

    return AfterValidator(check)


Action = Annotated[
    Annotated[Postback, kind("postback")]
    | Annotated[Say, kind("message")]
    | Annotated[Uri, kind("uri")]
    | Annotated[DatetimePicker, kind("datetimepicker")]
    | Annotated[Clipboard, kind("clipboard")],
    BY_TYPE,
]
QuickAction = Annotated[
    Annotated[Postback, kind("postback")]
    | Annotated[Say, kind("message")]
    | Annotated[Uri, kind("uri")]
    | Annotated[DatetimePicker, kind("datetimepicker")]
    | Annotated[Clipboard, kind("clipboard")]
    | Annotated[Camera, kind("camera")]
    | Annotated[CameraRoll, kind("cameraRoll")]
    | Annotated[Location, kind("location")],
    BY_TYPE,
    labelled(20, is_required=True),
]
TemplateAction = Annotated[Action, labelled(20, is_required=True)]
ImageCarouselAction = Annotated[Action, labelled(12, is_required=False)]
FlexAction = Annotated[Action, labelled(40, is_required=False)]
FlexButtonAction = Annotated[Action, labelled(40, is_required=True)]
