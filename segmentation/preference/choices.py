"""What the brand has chosen for its preference tags: checked, stored, audited, and read by every renewal.

Stored is only what was chosen, as one row of BrandSetting; what was not follows the defaults of settings.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from sqlmodel import Session

from segmentation.preference.settings import (
    DIMENSIONS,
    EVENT_WEIGHTS,
    LINES,
    MOST_HALF_LIFE_DAYS,
    PROMOTIONS,
    TOPIC_WEIGHT,
    WORD_WEIGHT,
    Line,
    PreferenceSettings,
)
from store.asked import SEGMENTS, ask_for
from store.choices import checked, chosen, keep_choice
from store.errors import BadInput
from store.locks import SETTINGS, lock_until_end

NAME = "preferences"  # its row of BrandSetting
SCORES = ("half_life_days", "on", "off")  # what all lines share; shares mean other things in other dimensions

HalfLife = Annotated[float, Field(ge=1, le=MOST_HALF_LIFE_DAYS)]
Threshold = Annotated[float, Field(gt=0, le=1000)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=100)]
_line = Line()


class ChosenLine(BaseModel):
    """What one line has of its own; None: what holds for all, or by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    half_life_days: HalfLife | None = None
    on: Threshold | None = None
    off: Threshold | None = None
    share_on: Share | None = None
    share_off: Share | None = None

    @model_serializer(mode="wrap")
    def given(self, handler: SerializerFunctionWrapHandler) -> dict[str, float]:
        """Only what it has."""
        return {name: value for name, value in handler(self).items() if value is not None}


class PreferenceChoices(BaseModel):
    """`half_life_days`, `on` and `off` are of all lines; `lines`, by dimension or "dimension=value", which goes first,
    may set the shares too. `event_weights` and `coupon_styles` stand beside the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    half_life_days: HalfLife = _line.half_life_days
    on: Threshold = _line.on
    off: Threshold = _line.off
    lines: dict[str, ChosenLine] = {}
    topic_weight: Weight = TOPIC_WEIGHT
    word_weight: Weight = WORD_WEIGHT
    event_weights: dict[str, Weight] = {}
    coupon_styles: dict[str, str] = {}
    least_people: Annotated[int, Field(ge=1)] = PreferenceSettings.least_people
    most_share: Share = PreferenceSettings.most_share

    @model_validator(mode="after")
    def _fits_together(self) -> "PreferenceChoices":
        self.settings()
        return self

    def settings(self) -> PreferenceSettings:
        """What preferences are judged by. Raises BadInput naming the line or coupon."""
        for code, style in self.coupon_styles.items():
            if style not in PROMOTIONS:
                raise BadInput(f"coupon_styles: {code}: {style!r} is none of {', '.join(PROMOTIONS)}")
        return PreferenceSettings(
            lines=self._lines(),
            event_weights={**EVENT_WEIGHTS, **self.event_weights},
            topic_weight=self.topic_weight,
            word_weight=self.word_weight,
            coupon_styles=self.coupon_styles,
            least_people=self.least_people,
            most_share=self.most_share,
        )

    def _lines(self) -> dict[str, Line]:
        """The defaults, changed by what is chosen for all, then for dimensions, then for single values."""
        lines = {key: replace(line, **{name: getattr(self, name) for name in SCORES}) for key, line in LINES.items()}
        for key in sorted(self.lines, key=lambda key: "=" in key):
            dimension, is_value, _ = key.partition("=")
            if dimension not in DIMENSIONS:
                raise BadInput(f"lines: {key!r} is neither a dimension ({', '.join(DIMENSIONS)}) nor one with =value")
            change = self.lines[key].model_dump()
            lines[key] = replace(lines.get(key, lines[dimension]), **change)
            if not is_value:  # its values that have lines of their own keep their shares
                scores = {name: value for name, value in change.items() if name in SCORES}
                lines |= {k: replace(line, **scores) for k, line in lines.items() if k.startswith(f"{key}=")}
        for key, line in lines.items():
            if line.off > line.on or line.share_off > line.share_on:
                raise BadInput(f"lines: {key}: the threshold to take off lies above the one to put on")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return self.model_dump(mode="json")


def settings_of(value: Mapping[str, Any]) -> PreferenceSettings:
    """The settings that a JSON object gives, over the defaults. Raises BadInput naming the field."""
    return checked(PreferenceChoices, value).settings()


def read_choices(session: Session) -> PreferenceChoices:
    """What holds now: the brand's choice over the defaults. Raises BadInput."""
    return checked(PreferenceChoices, chosen(session, NAME))


def preference_settings(session: Session) -> PreferenceSettings:
    """What preferences are judged by now. Raises BadInput."""
    return read_choices(session).settings()


def change_choices(session: Session, changes: Mapping[str, Any], *, actor: str, now: datetime) -> PreferenceChoices:
    """Choose `changes` (a value of None: back to the default), audited, ask the worker to judge everybody by it, and
    return what then holds. Raises BadInput, with nothing changed."""
    checked(
        PreferenceChoices, {name: one for name, one in changes.items() if name not in PreferenceChoices.model_fields}
    )
    lock_until_end(session.connection(), SETTINGS)
    wanted = {name: one for name, one in {**chosen(session, NAME), **changes}.items() if one is not None}
    made = checked(PreferenceChoices, wanted)
    stored = {name: one for name, one in made.as_dict().items() if name in wanted}
    keep_choice(session, NAME, stored, changed=changes, actor=actor, now=now)
    ask_for(session, SEGMENTS, actor=actor, now=now, anew=True)
    return made
