"""Rules from JSON: the sentence about what is wrong says where, as a JSON path."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from segmentation.facts import MODEL_COLUMNS
from segmentation.models import MODELS
from segmentation.rules.types import (
    InSegment,
    Moved,
    Rule,
    RuleReference,
    Tagged,
    Wrong,
    part_path,
    parts_of,
)
from store.errors import BadInput

MAX_CONDITIONS = 200
MAX_DEPTH = 20
NUL = "\x00"
# What msgspec says of a value -> what people read. Those with a field in them are told at that field.
_PLAIN = {
    r"Object missing required field '(?P<field>\w+)'": "is missing",
    r"Invalid decimal string|Expected 'decimal( \| null)?', got .*": "must be a number",
    r"Expected 'int( \| null)?', got .*": "must be a whole number",
    r"Expected 'int' >= (?P<number>\S+)": "must be {number} or more",
    r"Expected 'int' <= (?P<number>\S+)": "must be {number} or less",
    r"Expected 'array' of length >= 1": "needs one at least",
    r"Expected 'array' of length <= (?P<number>\d+)": "may have {number} at most",
    r"Expected 'str' of length >= 1": "is empty",
    r"Expected 'str' of length <= (?P<number>\d+)": "may have {number} characters at most",
    r"Invalid RFC3339.*": "this is not a day such as 2026-11-02",
}
_PLACE = re.compile(r"^(?P<sentence>.*?)(?: - at `(?P<path>\$[^`]*)`)?$", re.DOTALL)


class RuleError(BadInput):
    """A rule that can't be used. `path` is where in its JSON."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}")
        self.path = path
        self.sentence = sentence


@dataclass(frozen=True)
class Names:
    """What a rule may name: saved rules and tags."""

    rules: Collection[str] = ()
    tags: Collection[str] = ()


def read_rule(given: str | bytes | dict[str, Any], names: Names | None = None) -> Rule:
    """The rule that `given` (JSON text, or JSON values as a database keeps them) says. With `names`, every saved rule
    and tag that it mentions must be among them. Raises RuleError."""
    values = _decoded(given) if isinstance(given, str | bytes) else given
    _check_size(values)
    _check_storable(values)
    try:
        rule: Rule = msgspec.convert(values, Rule)
    except msgspec.ValidationError as error:
        raise _told(error) from error
    for path, condition in conditions(rule):
        _check_names(path, condition, names)
    return rule


def conditions(rule: Rule, path: str = "$") -> Iterator[tuple[str, Rule]]:
    """`rule` and everything inside it with its JSON path, outer before inner, in the order of the JSON."""
    yield path, rule
    for index, part in enumerate(parts_of(rule)):
        yield from conditions(part, part_path(rule, path, index))


def _decoded(text: str | bytes) -> Any:
    # Numbers with a point become decimals, so that no digit of an amount is lost.
    try:
        return msgspec.json.Decoder(float_hook=Decimal).decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RuleError("$", f"this is not JSON: {error}") from error
    except RecursionError as error:
        raise RuleError("$", f"conditions are nested more than {MAX_DEPTH} deep") from error


def _check_size(values: Any) -> None:
    """Before anything is made of the values: neither too many conditions nor too deep."""
    found = 0
    todo = [("$", values, 1)]
    while todo:
        path, value, depth = todo.pop()
        if not isinstance(value, dict):
            continue
        found += 1
        if found > MAX_CONDITIONS:
            raise RuleError("$", f"more than {MAX_CONDITIONS} conditions; split the rule into saved ones")
        if depth > MAX_DEPTH:
            raise RuleError(path, f"conditions are nested more than {MAX_DEPTH} deep")
        inner = value.get("of")
        if isinstance(inner, list | tuple):
            todo += [(f"{path}.of[{index}]", part, depth + 1) for index, part in enumerate(inner)]
        else:
            todo.append((f"{path}.of", inner, depth + 1))


def _check_storable(values: Any) -> None:
    """PostgreSQL keeps no NUL, and no word of a customer holds one."""
    todo = [("$", values)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, str) and NUL in value:
            raise RuleError(path, "this holds a NUL character, which can't be kept")
        if isinstance(value, dict):
            if any(NUL in name for name in value):
                raise RuleError(path, "a name holds a NUL character, which can't be kept")
            todo += [(f"{path}.{name}", inner) for name, inner in value.items()]
        elif isinstance(value, list | tuple):
            todo += [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]


def _told(error: msgspec.ValidationError) -> RuleError:
    place = _PLACE.match(str(error))
    assert place is not None
    path = place["path"] or "$"
    cause = error.__cause__
    if isinstance(cause, Wrong):
        return RuleError(f"{path}.{cause.field}" if cause.field else path, cause.sentence)
    sentence = place["sentence"].replace("`", "'")
    if sentence.startswith("Invalid value") and path.endswith(".type"):
        sentence = f"{sentence[14:]} is not a type of condition; there are {', '.join(_types())}"
    for pattern, plain in _PLAIN.items():
        if found := re.fullmatch(pattern, sentence):
            parts = found.groupdict()
            return RuleError(f"{path}.{parts['field']}" if "field" in parts else path, plain.format(**parts))
    return RuleError(path, sentence[0].lower() + sentence[1:])


def _types() -> list[str]:
    return [str(kind.__struct_config__.tag) for kind in Rule.__args__]


def _check_names(path: str, condition: Rule, names: Names | None) -> None:
    if isinstance(condition, InSegment | Moved):
        if condition.model not in MODEL_COLUMNS:
            raise RuleError(f"{path}.model", f"there is no model {condition.model!r}; {_listed(MODEL_COLUMNS)}")
        known = [segment.name for segment in MODELS.get(condition.model, ())]
        if isinstance(condition, InSegment):
            named = [("in", condition.in_)]
        else:
            named = [("from", condition.from_ or ()), ("to", condition.to or ())]
        for field, segments in named:
            for index, segment in enumerate(segments):
                if known and segment not in known:
                    sentence = f"the model {condition.model} has no segment {segment!r}; {_listed(known)}"
                    raise RuleError(f"{path}.{field}[{index}]", sentence)
    if names is None:
        return
    if isinstance(condition, RuleReference) and condition.name not in names.rules:
        raise RuleError(f"{path}.name", f"there is no saved rule {condition.name!r}")
    if isinstance(condition, Tagged) and condition.name not in names.tags:
        raise RuleError(f"{path}.name", f"there is no tag {condition.name!r}")


def _listed(names: Collection[str]) -> str:
    return f"there are {', '.join(names)}"
