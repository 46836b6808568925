"""What the brand may set for preferences, and what holds where it has said nothing.

The scale of a score: one order for a value, today, is 1; so a score of 1.5 reads "as if it had been bought one and a
half times just now".
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from sqlmodel import Session

from store.errors import BadInput
from store.models import BrandSetting

SETTING = "preferences"  # its row of BrandSetting

LABEL, CATEGORY, PROMOTION, PRICE, TOPIC, WORD = "label", "category", "promotion", "price", "topic", "word"
DIMENSIONS = (LABEL, CATEGORY, PROMOTION, PRICE, TOPIC, WORD)

DISCOUNT, BUY_ONE_GET_ONE, SPEND_OVER, POINTS = "打折", "買一送一", "滿額", "點數"  # the values of `promotion`
PROMOTIONS = (DISCOUNT, BUY_ONE_GET_ONE, SPEND_OVER, POINTS)
SENSITIVE, INSENSITIVE = "價格敏感", "價格不敏感"  # the values of `price`

MOST_HALF_LIFE_DAYS = 3650


@dataclass(frozen=True)
class Line:
    """Where a preference begins and ends: on from `on` and `share_on` together, off below `off` or `share_off`; in
    between, what is on stays on. Shares are 0..1 of the customer's own attention within the dimension."""

    half_life_days: float = 90
    on: float = 1.5  # more than one order can give: what was bought once is no habit
    off: float = 0.75  # half of it: at the least, a preference outlives one half-life of nothing
    share_on: float = 0.2  # who buys of everything prefers nothing
    share_off: float = 0.1


# Keys: a dimension, or "dimension=value", which goes before it.
LINES: Mapping[str, Line] = {
    LABEL: Line(),
    CATEGORY: Line(),
    PROMOTION: Line(share_on=0.4, share_off=0.25),  # of all orders
    PRICE: Line(),
    # share is the mean depth of discount, each order counting by its list price
    f"{PRICE}={SENSITIVE}": Line(share_on=0.25, share_off=0.15),
    f"{PRICE}={INSENSITIVE}": Line(share_on=0.95, share_off=0.9),  # share is one minus that depth
    TOPIC: Line(),
    WORD: Line(),
}

# What a signal weighs beside an order (1). A look costs nothing and happens often; asking for something is near to it.
EVENT_WEIGHTS: Mapping[str, float] = {
    "product_view": 0.1,
    "page_view": 0.1,
    "click": 0.3,
    "add_to_cart": 0.5,
    "wishlist": 0.5,
}
TOPIC_WEIGHT = 0.75  # a tap on a topic: three days with one, not two, make a preference
WORD_WEIGHT = 1.0  # a word said on two days makes one


@dataclass(frozen=True)
class PreferenceSettings:
    """`coupon_styles` maps coupon codes (`*` stands for anything) to promotion styles, before our own patterns.
    A tag is made of a value once `least_people` have it, unless more than `most_share` of all who have any signal of
    the dimension do: what everybody has tells nobody apart."""

    lines: Mapping[str, Line] = field(default_factory=lambda: LINES)
    event_weights: Mapping[str, float] = field(default_factory=lambda: EVENT_WEIGHTS)
    topic_weight: float = TOPIC_WEIGHT
    word_weight: float = WORD_WEIGHT
    coupon_styles: Mapping[str, str] = field(default_factory=dict)
    least_people: int = 20
    most_share: float = 0.8


_HalfLife = Annotated[float, msgspec.Meta(ge=1, le=MOST_HALF_LIFE_DAYS)]
_Positive = Annotated[float, msgspec.Meta(gt=0, le=1000)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Weight = Annotated[float, msgspec.Meta(ge=0, le=100)]


class _Scores(msgspec.Struct, forbid_unknown_fields=True):
    half_life_days: _HalfLife | None = None
    on: _Positive | None = None
    off: _Positive | None = None


class _GivenLine(_Scores):
    share_on: _Share | None = None
    share_off: _Share | None = None


class _Given(_Scores):
    lines: dict[str, _GivenLine] = {}
    event_weights: dict[str, _Weight] = {}
    topic_weight: _Weight = TOPIC_WEIGHT
    word_weight: _Weight = WORD_WEIGHT
    coupon_styles: dict[str, str] = {}
    least_people: Annotated[int, msgspec.Meta(ge=1)] = PreferenceSettings.least_people
    most_share: _Share = PreferenceSettings.most_share


def settings_of(value: Mapping[str, Any]) -> PreferenceSettings:
    """The settings that a JSON object gives, over the defaults: `half_life_days`, `on` and `off` for all lines;
    `lines`, by dimension or "dimension=value", which may set the shares too; the others by name. Raises BadInput
    naming the field."""
    try:
        given = msgspec.convert(dict(value), _Given)
    except msgspec.ValidationError as error:
        raise BadInput(f"the preferences' settings can't be used: {error}") from error
    for code, style in given.coupon_styles.items():
        if style not in PROMOTIONS:
            raise BadInput(f"coupon_styles: {code}: {style!r} is none of {', '.join(PROMOTIONS)}")
    return PreferenceSettings(
        lines=_lines_of(given),
        event_weights={**EVENT_WEIGHTS, **given.event_weights},
        topic_weight=given.topic_weight,
        word_weight=given.word_weight,
        coupon_styles=given.coupon_styles,
        least_people=given.least_people,
        most_share=given.most_share,
    )


def _lines_of(given: _Given) -> dict[str, Line]:
    """Ours, changed by what is given for all, then for dimensions, then for single values."""
    lines = {key: _over(given, line) for key, line in LINES.items()}
    for key in sorted(given.lines, key=lambda key: "=" in key):
        dimension, is_value, _ = key.partition("=")
        if dimension not in DIMENSIONS:
            raise BadInput(f"lines: {key!r} is neither a dimension ({', '.join(DIMENSIONS)}) nor one with =value")
        change = given.lines[key]
        lines[key] = _over(change, lines.get(key, lines[dimension]))
        if not is_value:  # its values that have lines of their own keep their shares, which mean other things
            scores = msgspec.convert(change, _Scores, from_attributes=True)
            lines |= {k: _over(scores, line) for k, line in lines.items() if k.startswith(f"{key}=")}
    for key, line in lines.items():
        if line.off > line.on or line.share_off > line.share_on:
            raise BadInput(f"lines: {key}: the threshold to take off lies above the one to put on")
    return lines


def _over(change: _Scores, line: Line) -> Line:
    """`line` with the fields that `change` sets."""
    fields = {f.name: getattr(change, f.name, None) for f in dataclasses.fields(Line)}
    return dataclasses.replace(line, **{name: value for name, value in fields.items() if value is not None})


def preference_settings(session: Session) -> PreferenceSettings:
    """The brand's settings as stored; the defaults where it has set none. Raises BadInput."""
    row = session.get(BrandSetting, SETTING)
    return settings_of(row.value if row else {})
