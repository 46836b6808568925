"""A Flex message that a layout made, read back into the layout's fields, so that an editor can show its form again."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from campaigns.content.layouts import LAYOUTS, Layout, build_layout
from store.errors import BadInput

MOST_LINES = 30  # of the longest list that a layout has
_MARK = "\N{SYMBOL FOR SUBSTITUTE FORM TWO}"

Fields = dict[str, Any]


def read_layout(message: Mapping[str, Any]) -> tuple[str, Fields] | None:
    """(layout, fields) that `build_layout` makes this very message of; None when no layout does. What is as the layout
    has it anyway is left out."""
    for name, layout in LAYOUTS.items():
        for marked in _marked(layout):
            bound: dict[str, str] = {}
            made = layout.model_construct(**marked)
            if not _binds(made.unchecked_message(), message, bound):
                continue
            fields = _unmarked(layout, marked, bound)
            try:
                if build_layout(name, fields) == message:
                    return name, fields
            except BadInput:
                continue
    return None


def _marked(layout: type[Layout]) -> Iterator[Fields]:
    """The layout's fields with a mark for each value: with and without what may be left out, lists in every length."""
    may_lack = [name for name, info in layout.model_fields.items() if info.default is None]
    lists = [name for name, info in layout.model_fields.items() if "list" in str(info.annotation)]
    for given in product((True, False), repeat=len(may_lack)):
        left_out = {name for name, is_given in zip(may_lack, given, strict=True) if not is_given}
        for length in range(1, MOST_LINES + 1) if lists else (1,):
            yield {
                name: [f"{_MARK}{name}{n}" for n in range(length)] if name in lists else f"{_MARK}{name}"
                for name in layout.model_fields
                if name not in left_out
            } | dict.fromkeys(left_out)


def _binds(marked: Any, json: Any, bound: dict[str, str]) -> bool:
    """Whether `json` is `marked` with a text for each mark; they are put into `bound`."""
    if isinstance(marked, str) and marked.startswith(_MARK):
        return isinstance(json, str) and bound.setdefault(marked, json) == json
    if isinstance(marked, dict):
        return (
            isinstance(json, dict)
            and marked.keys() == json.keys()
            and all(_binds(part, json[key], bound) for key, part in marked.items())
        )
    if isinstance(marked, list):
        same = isinstance(json, list) and len(marked) == len(json)
        return same and all(_binds(one, other, bound) for one, other in zip(marked, json, strict=True))
    return bool(marked == json)


def _unmarked(layout: type[Layout], marked: Fields, bound: Mapping[str, str]) -> Fields:
    found: Fields = {}
    for name, mark in marked.items():
        value = [bound.get(one, "") for one in mark] if isinstance(mark, list) else bound.get(mark)
        if value is not None and value != layout.model_fields[name].default:
            found[name] = value
    return found
