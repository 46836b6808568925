"""Shapes of LINE's objects with holes for what a form holds: filled they are JSON, and held against JSON they give the
form back. One description serves both ways, so that neither loses what the other made.

A form's values are texts by name, and "rows" of such for what repeats. Filling never fails: what is missing or no
number is filled in as it is, and the content's own check says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, Any]
ROWS = "rows"


@dataclass(frozen=True)
class Text:
    """The words of a field. `may_lack`: empty is left out. `instead`: empty means the same as that field."""

    name: str
    may_lack: bool = False
    instead: str = ""


@dataclass(frozen=True)
class Whole:
    """The whole number of a field."""

    name: str


@dataclass(frozen=True)
class Slots:
    """A list of as many of `shape` as there are prefixes, each with its own fields; empty ones are left out."""

    prefixes: tuple[str, ...]
    shape: Any


@dataclass(frozen=True)
class Rows:
    """A list of `shape`, one for each row; empty rows are left out."""

    shape: Any


@dataclass(frozen=True)
class KeyedRows:
    """An object whose keys are each row's field `key`; left out where there are no rows."""

    key: str
    shape: Any


@dataclass(frozen=True)
class OneOf:
    """One of several shapes, as the field `name` says."""

    name: str
    shapes: Mapping[str, Any]


_LEFT_OUT = object()
_CHOICE = "do"  # which alone makes no row


def fill(shape: Any, values: Values) -> Any:
    """The JSON that a form's values make."""
    match shape:
        case Text(name=name, may_lack=may_lack, instead=instead):
            text = values.get(name) or (values.get(instead, "") if instead else "")
            return _LEFT_OUT if may_lack and not text else text
        case Whole(name=name):
            return _number(values.get(name, ""))
        case Slots(prefixes=prefixes, shape=inner):
            slots = [_slot(values, prefix) for prefix in prefixes]
            return [fill(inner, slot) for slot in slots if not is_blank(slot)]
        case Rows(shape=inner):
            return [fill(inner, row) for row in values.get(ROWS, []) if not is_blank(row)]
        case KeyedRows(key=key, shape=inner):
            rows = [row for row in values.get(ROWS, []) if not is_blank(row)]
            return {row.get(key, ""): fill(inner, row) for row in rows} or _LEFT_OUT
        case OneOf(name=name, shapes=shapes):
            chosen = values.get(name, "")
            return fill(shapes[chosen] if chosen in shapes else next(iter(shapes.values())), values)
        case dict():
            made = {key: fill(part, values) for key, part in shape.items()}
            return {key: part for key, part in made.items() if part is not _LEFT_OUT}
    return shape


def read(shape: Any, json: Any) -> dict[str, Any] | None:
    """The values that fill `shape` to that JSON; None when none do."""
    found = _read(shape, json)
    if found is None or not _same(fill(shape, found), json):
        return None
    for hole in _holes(shape):
        if hole.instead and found.get(hole.name) == found.get(hole.instead):
            found[hole.name] = ""
    return found


def is_blank(row: Values) -> bool:
    """Whether nothing was written into it."""
    return not any(value for name, value in row.items() if name.rpartition("-")[2] != _CHOICE)


def _read(shape: Any, json: Any) -> dict[str, Any] | None:
    match shape:
        case Text(name=name):
            return {name: json} if isinstance(json, str) else None
        case Whole(name=name):
            return {name: str(json)} if isinstance(json, int | str) else None
        case Slots(prefixes=prefixes, shape=inner):
            return _read_slots(prefixes, inner, json)
        case Rows(shape=inner):
            return _rows(inner, json) if isinstance(json, list) else None
        case KeyedRows(key=key, shape=inner):
            rows = _rows(inner, list(json.values())) if isinstance(json, dict) else None
            return rows and {ROWS: [{key: name, **row} for name, row in zip(json, rows[ROWS], strict=True)]}
        case OneOf(name=name, shapes=shapes):
            found = ((one, read(part, json)) for one, part in shapes.items())
            return next(({name: one, **values} for one, values in found if values is not None), None)
        case dict():
            return _read_object(shape, json)
    return {} if _same(shape, json) else None


def _read_object(shape: Mapping[str, Any], json: Any) -> dict[str, Any] | None:
    if not isinstance(json, dict) or not json.keys() <= shape.keys():
        return None
    values: dict[str, Any] = {}
    for key, part in shape.items():
        found = _read(part, json[key]) if key in json else _lacking(part)
        if found is None:
            return None
        values |= found
    return values


def _lacking(part: Any) -> dict[str, Any] | None:
    if isinstance(part, KeyedRows):
        return {ROWS: []}
    return {part.name: ""} if isinstance(part, Text) and part.may_lack else None


def _read_slots(prefixes: Sequence[str], inner: Any, json: Any) -> dict[str, Any] | None:
    rows = _rows(inner, json) if isinstance(json, list) and len(json) <= len(prefixes) else None
    if rows is None:
        return None
    pairs = zip(prefixes, rows[ROWS], strict=False)
    return {prefix + name: value for prefix, row in pairs for name, value in row.items()}


def _rows(inner: Any, parts: Sequence[Any]) -> dict[str, Any] | None:
    found = [read(inner, part) for part in parts]
    return None if None in found else {ROWS: found}


def _slot(values: Values, prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else text


def _holes(shape: Any) -> list[Text]:
    if isinstance(shape, Text):
        return [shape]
    return [hole for part in shape.values() for hole in _holes(part)] if isinstance(shape, dict) else []


def _same(one: Any, other: Any) -> bool:
    """Equal, and of the same kinds: 1 is neither true nor 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(part, other[key]) for key, part in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
