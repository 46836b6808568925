"""A rule as rows of a form: groups of all or any, as deep as one likes, in which each row is a condition, or a group of
its own, and may be turned round. What rows can't say (limits that don't belong to the number, say) is written as JSON.

A form names what stands at a place by the places on the way there: r0-type is the first row's kind, r0.2-value a field
of the third row in it. Knows no database.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from console.frame.typed import as_number
from segmentation.rules.types import FLAGS
from segmentation.rules.words import ATTRIBUTES, KINDS

LIMITS = ("at_least", "at_most")
DAYS = ("last_days", "from", "until")
PRODUCTS = {"category": "categories", "label": "labels", "sku": "skus"}  # field -> its name in a rule
GROUPS = ("all", "any")
# The fields that each kind of row has; `value` of a segment is MODEL=SEGMENT. Commas part names of several.
ROWS: dict[str, tuple[str, ...]] = {
    "segment": ("value", "days_ago"),
    "moved": ("value", "to", *DAYS),
    "tag": ("value", "for_days"),
    "orders": ("measure", *LIMITS, *DAYS, *PRODUCTS),
    "events": ("value", *LIMITS, *DAYS, *PRODUCTS, "campaign"),
    "clicks": ("value", *LIMITS, *DAYS, "campaign"),
    "attribute": ("name", "value", "contains", "exists", *LIMITS),
    "age": LIMITS,
    "birthday": ("value",),
    "measure": ("measure", *LIMITS),
    "rule": ("value",),
}
# Fields that stand folded away until one of them is filled in.
RARE = {"days_ago", "for_days", "from", "until", "contains", "exists", "label", "sku", "campaign"}
ORDER_MEASURES = ("count", "sum", "average", "quantity", "days", "first", "last")
YES = ("yes", "no")
# What people call an attribute or a kind of event -> what rules do.
ATTRIBUTE_NAMES, KIND_NAMES = (
    {words: name for name, called in names.items() for words in called.values()} for names in (ATTRIBUTES, KINDS)
)
# How people write the value of an attribute that is true or false.
FLAG_VALUES = {**dict.fromkeys(("true", "yes", "1", "是"), True), **dict.fromkeys(("false", "no", "0", "否"), False)}
MOST_ROWS = 20  # in one group
DEEPEST = 6
MOST_DIGITS = 19  # of a whole number that a rule could hold
TOO_LARGE = 10**MOST_DIGITS  # stands for whatever has more digits: the reader of rules says how large it may be
_COMMAS = re.compile("[,，、]")


@dataclass(frozen=True)
class Row:
    """A condition with its fields as text, or a group (`kind` all or any) of rows."""

    kind: str
    fields: Mapping[str, str] = field(default_factory=dict)
    rows: tuple["Row", ...] = ()
    is_not: bool = False

    @property
    def is_group(self) -> bool:
        """Whether it holds rows."""
        return self.kind in GROUPS

    @property
    def is_blank(self) -> bool:
        """Whether nothing was filled in. The measure is a choice that is always made."""
        if self.is_group:
            return all(row.is_blank for row in self.rows)
        return not any(text for name, text in self.fields.items() if name != "measure")


def read_form(form: Mapping[str, str]) -> Row:
    """The group that a form holds, after what its button asks for: `add` (what `new` says), `drop-PLACE`, `wrap-PLACE`
    (the row becomes a group with that row in it), `open-PLACE` (a group's rows take its place)."""
    return Row("any" if form.get("join") == "any" else "all", rows=tuple(_rows_at(form, "", 1)))


def _rows_at(form: Mapping[str, str], prefix: str, depth: int) -> list[Row]:
    rows: list[Row] = []
    pressed, end = form.get("press", ""), f"-{prefix.rstrip('.')}" if prefix else ""
    for place in range(MOST_ROWS):
        path = f"{prefix}{place}"
        row = _row_at(form, path, depth)
        if row is None or pressed == f"drop-{path}":
            continue
        if pressed == f"wrap-{path}" and depth < DEEPEST:
            row = Row("any", rows=(row,))
        rows += row.rows if pressed == f"open-{path}" and row.is_group else [row]
    if pressed == f"add{end}":
        rows.append(new_row(form.get(f"new{end}", "segment")))
    return rows[:MOST_ROWS]


def new_row(kind: str) -> Row:
    """An empty row; a segment's for an unknown kind."""
    if kind in GROUPS:
        return Row(kind, rows=(new_row("segment"),))
    kind = kind if kind in ROWS else "segment"
    return Row(kind, dict.fromkeys(ROWS[kind], ""))


def _row_at(form: Mapping[str, str], path: str, depth: int) -> Row | None:
    kind, is_not = form.get(f"r{path}-type"), f"r{path}-not" in form
    if kind in GROUPS and depth < DEEPEST:
        return Row(kind, rows=tuple(_rows_at(form, f"{path}.", depth + 1)), is_not=is_not)
    if kind not in ROWS:
        return None
    return Row(kind, {name: form.get(f"r{path}-{name}", "").strip() for name in ROWS[kind]}, is_not=is_not)


def form_of(row: Row) -> dict[str, str]:
    """The fields that read_form reads back as `row`, a group; what is empty is left out."""
    found = {"join": row.kind}
    for path, one in _walk(row, ""):
        found[f"r{path}-type"] = one.kind
        found |= {f"r{path}-{name}": text for name, text in one.fields.items() if text}
        found |= {f"r{path}-not": "yes"} if one.is_not else {}
    return found


def _walk(group: Row, prefix: str) -> Iterator[tuple[str, Row]]:
    for place, row in enumerate(group.rows):
        yield f"{prefix}{place}", row
        yield from _walk(row, f"{prefix}{place}.")


def filled(row: Row) -> Row:
    """The group without rows in which nothing was filled in."""
    return replace(row, rows=tuple(filled(one) for one in row.rows if not one.is_blank))


def place_of(row: Row, path: str) -> str:
    """The place of the row, in the group `row`, that the JSON path of a RuleError points into; empty for none."""
    found = ""
    for place, one in _json_paths(row, "$", ""):
        if path == one or path.startswith((f"{one}.", f"{one}[")):
            found = place
    return found


def number_of(place: str) -> str:
    """The place of a row as people count: 2.1 for the first in the second group."""
    return ".".join(str(int(one) + 1) for one in place.split("."))


def _json_paths(group: Row, path: str, prefix: str) -> Iterator[tuple[str, str]]:
    for place, row in enumerate(group.rows):
        mine = f"{path}.of[{place}]"
        yield f"{prefix}{place}", mine
        yield from _json_paths(row, f"{mine}.of" if row.is_not else mine, f"{prefix}{place}.")


def rule_of(row: Row) -> dict[str, Any]:
    """The rule in JSON form; what is left empty is left out, and the reader of rules says what is missing."""
    made = {"type": row.kind, "of": [rule_of(one) for one in row.rows]} if row.is_group else _condition(row)
    return {"type": "not", "of": made} if row.is_not else made


def _condition(row: Row) -> dict[str, Any]:
    given = {name: text for name, text in row.fields.items() if text}
    made: dict[str, Any] = {"type": row.kind}
    made.update({name: given[name] for name in ("measure", "contains") if name in given})
    made |= {"name": ATTRIBUTE_NAMES.get(given["name"], given["name"])} if "name" in given else {}
    made.update({name: as_number(given[name]) for name in LIMITS if name in given})
    window = {name: _number(given[name]) for name in DAYS if name in given}
    products = {key: _names(given[name]) for name, key in PRODUCTS.items() if name in given}
    made |= {"window": window} if window else {}
    made |= {"products": products} if products else {}
    made |= {"campaigns": [_number(one) for one in _names(given["campaign"])]} if "campaign" in given else {}
    made |= {"exists": given["exists"] == "yes"} if "exists" in given else {}
    made |= {"days_ago": _number(given["days_ago"])} if "days_ago" in given else {}
    made |= {"days": {"at_least": as_number(given["for_days"])}} if "for_days" in given else {}
    if row.kind == "measure":
        made["name"] = made.pop("measure", "")
    return made | _valued(row.kind, made, given.get("value", ""), given.get("to", ""))


def _valued(kind: str, made: Mapping[str, Any], value: str, to: str) -> dict[str, Any]:
    """What the field `value` says, which each kind has a name of its own for."""
    model, _, name = value.partition("=")
    match kind:
        case "segment" if value:
            return {"model": model, "in": [name]}
        case "moved":
            to_model, _, to_name = to.partition("=")
            sides = {"from": [name]} if value else {}
            if to:  # of another model it is no segment of this one, which the reader of rules says
                sides["to"] = [to_name if to_model == (model or to_model) else to]
            return {"model": model or to_model, **sides}
        case "events":
            return {"kinds": [KIND_NAMES.get(one, one) for one in _names(value)]}
        case "clicks" if value:
            return {"topics": _names(value)}
        case "attribute" if value:
            return {"is": FLAG_VALUES.get(value.lower(), value) if made.get("name") in FLAGS else value}
        case "birthday" if value:
            return {"within_days": _number(value)}
        case "tag" | "rule" if value:
            return {"name": value}
    return {}


def _names(text: str) -> list[str]:
    return [name.strip() for name in _COMMAS.split(text) if name.strip()]


def _number(text: str) -> Any:
    text = as_number(text)
    if not text.isdecimal():
        return text
    return int(text) if len(text) <= MOST_DIGITS else TOO_LARGE


def as_rows(rule: Mapping[str, Any]) -> Row | None:
    """The group that says the same as `rule` (JSON values as a database keeps them); None where rows can't say it, or
    a form could not give them back: too many in a group, or groups too deep. Several segments of a model become a group
    of any."""
    plain = _in_single_segments(rule)
    whole = plain if plain.get("type") in GROUPS else {"type": "all", "of": [plain]}
    found = _row(whole)
    if found is None or _plain(rule_of(read_form(form_of(found)))) != _plain(whole):
        return None
    return found


def _in_single_segments(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") in GROUPS:
        return {**part, "of": [_in_single_segments(one) for one in part["of"]]}
    if part.get("type") == "not":
        return {**part, "of": _in_single_segments(part["of"])}
    if part.get("type") == "segment" and len(part["in"]) > 1:
        return {"type": "any", "of": [{**part, "in": [name]} for name in part["in"]]}
    return dict(part)


def _row(part: Mapping[str, Any]) -> Row | None:
    if part.get("type") == "not":
        inner = _row(part["of"])
        return None if inner is None or inner.is_not else replace(inner, is_not=True)
    if part.get("type") in GROUPS:
        rows = [_row(one) for one in part["of"]]
        return Row(part["type"], rows=tuple(one for one in rows if one)) if None not in rows else None
    kind = part.get("type", "")
    if kind not in ROWS or _is_number(part.get("is")):  # a row's value is text, which equals no number
        return None
    return Row(kind, dict.fromkeys(ROWS[kind], "") | _fields(part))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fields(part: Mapping[str, Any]) -> dict[str, str]:
    found = {name: str(part[name]) for name in (*LIMITS, "measure", "name", "contains", "days_ago") if name in part}
    found |= {name: str(text) for name, text in (part.get("window") or {}).items() if name in DAYS}
    products = part.get("products") or {}
    found |= {name: ", ".join(products[key]) for name, key in PRODUCTS.items() if key in products}
    found |= {"campaign": ", ".join(map(str, part["campaigns"]))} if "campaigns" in part else {}
    found |= {"exists": "yes" if part["exists"] else "no"} if "exists" in part else {}
    match part["type"]:
        case "segment":
            found["value"] = f"{part['model']}={part['in'][0]}"
        case "moved":
            sides = {name: f"{part['model']}={part[key][0]}" for name, key in _SIDES.items() if part.get(key)}
            found = {name: text for name, text in found.items() if name in DAYS} | sides
        case "events":
            found["value"] = ", ".join(part.get("kinds", ()))
        case "clicks" if part.get("topics"):
            found["value"] = ", ".join(part["topics"])
        case "attribute" if "is" in part:
            found["value"] = str(part["is"]).lower() if isinstance(part["is"], bool) else str(part["is"])
        case "birthday" if "within_days" in part:
            found["value"] = str(part["within_days"])
        case "tag" | "rule":
            found["value"] = found.pop("name", "")
            found |= {"for_days": str(days["at_least"])} if "at_least" in (days := part.get("days") or {}) else {}
        case "measure":
            found["measure"] = found.pop("name", "")
    return found


_SIDES = {"value": "from", "to": "to"}


def _plain(rule: Any) -> Any:
    """The rule with its numbers as text, so that 2 and "2" are the same."""
    return json.loads(json.dumps(rule), parse_int=str, parse_float=str)
