"""What a tag's row means: who puts it on (`source`), by which definition, what it states and how its line is drawn.

One source of truth each: a tag of people (`hand`) is put on by hand, by imports and by links, and never by a
computation; every other tag is put on and taken off by computation alone. Knows no database.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from segmentation.tags.measures import MEASURES
from store.errors import UNSEEN, BadInput

COMPUTED = ("group", "rule", "measure", "preference")
BY_PEOPLE = ("hand", "import", "link")  # sources of a CustomerTag that no computation takes off
MAX_NAME = 100

Kind = Literal["fact", "model", "predictive"]
Line = Literal["static", "dynamic"]

# Built-in tags over segmentation/groups.py: name -> (what marketers read, line). Those that look at scores move with
# the population.
GROUP_TAGS: dict[str, tuple[str, Line]] = {
    "champion": ("冠軍", "dynamic"),
    "potential_loyalist": ("潛在忠誠者", "dynamic"),
    "win_back": ("贏回", "static"),
    "at_risk_spender": ("風險人群", "dynamic"),
    "repeat_buyer": ("回頭客", "static"),
}


class InvalidTag(BadInput):
    """A tag's definition can't be used; the sentence says where."""


class HandTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to say: people decide."""


class GroupTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In one of the five overlapping groups."""

    group: Literal["champion", "potential_loyalist", "win_back", "at_risk_spender", "repeat_buyer"]


class MeasureTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A line over a measure, in the units that marketers read. Exactly one line is given.

    Dynamic: the least number of people that make up `top_percent` (or `bottom_percent`) of those who have the
    measure, and whoever equals the last of them; or everyone strictly `above_mean`. Static: the value itself is
    `at_least` or `at_most`, bounds included.
    """

    measure: str
    top_percent: Decimal | None = None
    bottom_percent: Decimal | None = None
    above_mean: bool = False
    at_least: Decimal | None = None
    at_most: Decimal | None = None


class RuleTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """On while a rule holds. The rule is a saved one (`rule`) or written out (`when`).

    With a second rule (`until_rule` or `until`) there is hysteresis: put on when the first holds and the second does
    not, and then kept, whatever the first says, until the second holds.
    """

    rule: str | None = None
    when: dict[str, Any] | None = None
    until_rule: str | None = None
    until: dict[str, Any] | None = None
    foretells: Literal["buys", "churns"] | None = None  # what it is checked for later (predict/checks.py)


class PreferenceTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value (a product label, a category, a topic …) that segmentation/preference finds somebody to prefer."""

    dimension: str
    value: str


Definition = HandTag | GroupTag | MeasureTag | RuleTag | PreferenceTag
_TYPES: dict[str, type[Definition]] = {
    "hand": HandTag,
    "group": GroupTag,
    "measure": MeasureTag,
    "rule": RuleTag,
    "preference": PreferenceTag,
}


def read_definition(source: str, definition: Mapping[str, Any]) -> Definition:
    """The definition of a tag of `source`. Raises InvalidTag naming the wrong part by its path (`$.top_percent`)."""
    if source not in _TYPES:
        raise InvalidTag(f"{source!r} is not a source of tags: it is one of {', '.join(_TYPES)}")
    try:
        read: Any = msgspec.convert(definition, _TYPES[source], strict=True)
    except msgspec.ValidationError as error:
        said = str(error).replace("Invalid decimal string", "this is not a number")
        raise InvalidTag(f"the definition can't be used: {said}") from error
    if isinstance(read, MeasureTag):
        _check_measure(read)
    if isinstance(read, RuleTag):
        _check_rule(read)
    found: Definition = read
    return found


def _check_measure(read: MeasureTag) -> None:
    if read.measure not in MEASURES:
        raise InvalidTag(f"there is no measure {read.measure!r} - at `$.measure`; it is one of {', '.join(MEASURES)}")
    lines = [
        name for name in ("top_percent", "bottom_percent", "at_least", "at_most") if getattr(read, name) is not None
    ]
    lines += ["above_mean"] if read.above_mean else []
    if len(lines) != 1:
        given = ", ".join(lines) or "none"
        raise InvalidTag(
            "give exactly one of top_percent, bottom_percent, above_mean, at_least and at_most - at `$`; "
            f"there is {given}"
        )
    for name in ("top_percent", "bottom_percent"):
        percent = getattr(read, name)
        if percent is not None and not (percent.is_finite() and 0 < percent < 100):
            raise InvalidTag(f"a percentage is above 0 and below 100, got {percent} - at `$.{name}`")
    for name in ("at_least", "at_most"):
        bound = getattr(read, name)
        if bound is not None and not (bound.is_finite() and abs(bound) < Decimal(10) ** 14):
            raise InvalidTag(f"{bound} is not a number that can be compared with - at `$.{name}`")


def _check_rule(read: RuleTag) -> None:
    if (read.rule is None) == (read.when is None):
        raise InvalidTag("give either a saved rule's name (rule) or a rule written out (when) - at `$`")
    if read.until_rule is not None and read.until is not None:
        raise InvalidTag("give at most one of until_rule and until - at `$`")


def written(definition: Definition) -> dict[str, Any]:
    """The JSON form of a definition, as it is stored: what is left out reads as its default."""
    found: dict[str, Any] = msgspec.to_builtins(definition)
    return found


def line_of(definition: Definition) -> Line:
    """How its line is drawn: dynamic where it moves with the population."""
    if isinstance(definition, GroupTag):
        return GROUP_TAGS[definition.group][1]
    if isinstance(definition, MeasureTag) and definition.at_least is None and definition.at_most is None:
        return "dynamic"
    return "static"


def kind_of(definition: Definition) -> Kind:
    """What it states unless a person says otherwise: by people a fact, by computation a model, but a measure states
    what its numbers do."""
    if isinstance(definition, HandTag):
        return "fact"
    if isinstance(definition, MeasureTag):
        kind: Any = MEASURES[definition.measure].kind
        return kind  # type: ignore[no-any-return]
    if isinstance(definition, RuleTag) and definition.foretells is not None:
        return "predictive"
    return "model"


def check_name(name: str) -> str:
    """`name`, if a tag can be called that. Raises InvalidTag."""
    if not name or name != name.strip() or len(name) > MAX_NAME or ";" in name:
        raise InvalidTag(
            f"{name!r} can't be a tag's name: 1 to {MAX_NAME} characters, without semicolons and spaces at its ends"
        )
    if not name.isprintable():
        raise InvalidTag(UNSEEN)
    return name
