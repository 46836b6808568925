"""The content of a draft as its form sends it: variants, their versions in other languages, messages and quick replies;
and what the form's buttons change in it.

Each content has a name: `v0` is that of the first variant, `v0l1` its second version in another language. Fields are
named by it: v0-m2-text, v0l1-m0-r3-label, v0-q-r0-value. A button's press is a verb and what it is done to: up-v0-m2.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from campaigns.content.layouts import LAYOUTS
from campaigns.content.message import MAX_MESSAGES
from console.campaigns.message_kinds import KINDS, QUICK_REPLIES, Repeated, all_fields, row_fields
from console.campaigns.message_parts import (
    CARD,
    JSON,
    KINDS_IN_ORDER,
    content_of_messages,
    json_part,
    part_messages,
)
from console.campaigns.shapes import ROWS
from store.errors import BadInput

Form = MultiDict[str, str]
Part = dict[str, Any]
Content = dict[str, Any]

MOST_VARIANTS, MOST_LANGUAGES = 4, 6
NEW_PART: Part = {"kind": "text", "text": ""}
NO_FORM = "這個 JSON 沒有表單可以放，請留著 JSON。"
_PRESS = re.compile(r"([a-z]+)-(v\d(?:l\d)?)(?:-m(\d))?(?:-r(\d{1,2}))?")


@dataclass(frozen=True)
class Pressed:
    """What a button did: the id of what should have the keyboard now, and why nothing was done (None: it was)."""

    focus: str = ""
    problem: BadInput | None = None


def contents_of(variants: list[dict[str, Any]]) -> Iterator[tuple[str, Content]]:
    """(name, content) of all variants and their languages, in the form's order."""
    for v, variant in enumerate(variants):
        yield f"v{v}", variant
        yield from ((f"v{v}l{n}", one) for n, one in enumerate(variant.get("languages", [])))


def read_variants(form: Form) -> list[dict[str, Any]]:
    """The variants as the form has them; those without a message are none."""
    found = []
    for v in range(MOST_VARIANTS):
        content = _read_content(form, f"v{v}")
        if not content["messages"]:
            continue
        languages = [
            {"language": form[f"v{v}l{n}-language"].strip(), **_read_content(form, f"v{v}l{n}")}
            for n in range(MOST_LANGUAGES)
            if f"v{v}l{n}-language" in form
        ]
        found.append({**content, "weight": form.get(f"v{v}-weight", "1"), "languages": languages})
    return found


def _read_content(form: Form, name: str) -> Content:
    messages = [_read_part(form, f"{name}-m{m}-") for m in range(MAX_MESSAGES) if f"{name}-m{m}-kind" in form]
    assert QUICK_REPLIES.rows is not None
    return {"messages": messages, "replies": _read_rows(form, f"{name}-q-", QUICK_REPLIES.rows)}


def _read_part(form: Form, prefix: str) -> Part:
    kind, was = (form.get(f"{prefix}{name}", "") for name in ("kind", "was"))
    if kind == JSON and was in KINDS_IN_ORDER and was != JSON:
        written = _read_kind(form, prefix, was)
        try:
            return json_part(*part_messages(written))
        except BadInput:
            return written  # nothing that is half written is lost: it becomes JSON when it can
    return _read_kind(form, prefix, kind if kind in KINDS_IN_ORDER else "text")


def _read_kind(form: Form, prefix: str, kind: str) -> Part:
    part: Part = {"kind": kind}
    if kind == JSON:
        part["json"] = _words(form.get(f"{prefix}json", ""))
    elif kind == CARD:
        layout = form.get(f"{prefix}layout", "")
        part["layout"] = layout if layout in LAYOUTS else next(iter(LAYOUTS))
        fields = LAYOUTS[part["layout"]].model_fields
        part["fields"] = {name: _words(form.get(f"{prefix}field-{name}", "")) for name in fields}
    else:
        for name, field in all_fields(KINDS[kind]):
            part[name] = _read_field(form, f"{prefix}{name}", is_long=field.lines > 1)
        if (rows := KINDS[kind].rows) is not None:
            part[ROWS] = _read_rows(form, prefix, rows)
    return part


def _read_rows(form: Form, prefix: str, rows: Repeated) -> list[dict[str, str]]:
    fields = list(row_fields(rows))
    there = (n for n in range(rows.most) if any(f"{prefix}r{n}-{name}" in form for name, _ in fields))
    return [
        {name: _read_field(form, f"{prefix}r{n}-{name}", is_long=field.lines > 1) for name, field in fields}
        for n in there
    ]


def _read_field(form: Form, name: str, *, is_long: bool) -> str:
    text = _words(form.get(name, ""))
    return text if is_long else text.strip()


def _words(text: str) -> str:
    return text.replace("\r\n", "\n")


def press(variants: list[dict[str, Any]], pressed: str) -> Pressed:
    """Do what the button says. Nothing happens where it can't be done: a sixth message, the first moved up."""
    if pressed == "add-variant" and len(variants) < MOST_VARIANTS:
        variants.append(deepcopy(variants[-1]) | {"weight": "1"})
        return Pressed(f"v{len(variants) - 1}-m0-kind")
    if pressed.startswith("drop-variant-"):
        number = pressed.removeprefix("drop-variant-")
        if number.isdigit() and len(number) == 1 and int(number) < len(variants) > 1:
            del variants[int(number)]
        return Pressed("press-add-variant")
    match = _PRESS.fullmatch(pressed)
    content = dict(contents_of(variants)).get(match[2]) if match else None
    if match is None or content is None:
        return Pressed()
    verb, name = match[1], match[2]
    m, r = (None if number is None else int(number) for number in (match[3], match[4]))
    if verb in _LANGUAGE_VERBS and m is None:
        return _LANGUAGE_VERBS[verb](variants, name)
    if verb in ("more", "less"):
        return _press_row(content, verb, name, m, r)
    if verb == "add" and m is None:
        if len(content["messages"]) < MAX_MESSAGES:
            content["messages"].append(dict(NEW_PART))
        return Pressed(f"{name}-m{len(content['messages']) - 1}-kind")
    if verb in _MESSAGE_VERBS and m is not None and m < len(content["messages"]):
        return _MESSAGE_VERBS[verb](content, name, m)
    return Pressed()


def _translate(variants: list[dict[str, Any]], name: str) -> Pressed:
    """One more version of the variant, in a language that is still to be named."""
    variant = dict(contents_of(variants))[name]
    languages = variant.setdefault("languages", [])
    if "l" in name or len(languages) >= MOST_LANGUAGES:
        return Pressed()
    copied = {"messages": deepcopy(variant["messages"]), "replies": deepcopy(variant.get("replies", []))}
    languages.append({"language": "", **copied})
    return Pressed(f"{name}l{len(languages) - 1}-language")


def _drop_language(variants: list[dict[str, Any]], name: str) -> Pressed:
    variant, _, language = name.partition("l")
    if language:
        del variants[int(variant[1:])]["languages"][int(language)]
    return Pressed(f"press-translate-{variant}")


def _drop(content: Content, name: str, m: int) -> Pressed:
    if len(content["messages"]) > 1:
        del content["messages"][m]
    return Pressed(f"{name}-m{max(m - 1, 0)}-kind")


def _up(content: Content, name: str, m: int) -> Pressed:
    return _move(content, name, m, m - 1, "up")


def _down(content: Content, name: str, m: int) -> Pressed:
    return _move(content, name, m, m + 1, "down")


def _move(content: Content, name: str, m: int, to: int, verb: str) -> Pressed:
    messages = content["messages"]
    if not 0 <= to < len(messages):
        return Pressed()
    messages.insert(to, messages.pop(m))
    at_the_end = {0: "down", len(messages) - 1: "up"}.get(to, verb)  # there its own button is gone
    return Pressed(f"press-{at_the_end}-{name}-m{to}")


def _copy(content: Content, name: str, m: int) -> Pressed:
    if len(content["messages"]) >= MAX_MESSAGES:
        return Pressed()
    content["messages"].insert(m + 1, deepcopy(content["messages"][m]))
    return Pressed(f"{name}-m{m + 1}-kind")


def _to_json(content: Content, name: str, m: int) -> Pressed:
    """The message's form as its JSON."""
    part = content["messages"][m]
    if part["kind"] == JSON:
        return Pressed(f"{name}-m{m}-json")
    try:
        [message] = part_messages(part)
    except BadInput as error:
        return Pressed(f"{name}-m{m}-kind", error)
    content["messages"][m] = json_part(message)
    return Pressed(f"{name}-m{m}-json")


def _to_form(content: Content, name: str, m: int) -> Pressed:
    """The JSON as forms: one message, or a list of them."""
    try:
        found = content_of_messages(_objects(part_messages(content["messages"][m])))
    except BadInput as error:
        return Pressed(f"{name}-m{m}-json", error)
    others = len(content["messages"]) - 1
    clash = found["replies"] and (content.get("replies") or m < others)  # they belong on the last message
    if clash or others + len(found["messages"]) > MAX_MESSAGES or all(p["kind"] == JSON for p in found["messages"]):
        return Pressed(f"{name}-m{m}-json", BadInput(NO_FORM))
    content["messages"][m : m + 1] = found["messages"]
    content["replies"] = found["replies"] or content.get("replies", [])
    return Pressed(f"{name}-m{m}-kind")


def _objects(messages: list[Any]) -> list[dict[str, Any]]:
    if not messages or not all(isinstance(one, dict) for one in messages):
        raise BadInput(NO_FORM)
    return json.loads(json.dumps(messages))  # type: ignore[no-any-return]


def _press_row(content: Content, verb: str, name: str, m: int | None, r: int | None) -> Pressed:
    """One more row of a message (or, without one, of the quick replies), or one less."""
    if m is None:
        prefix, kind, rows = f"{name}-q", QUICK_REPLIES, content.setdefault("replies", [])
    elif m < len(content["messages"]) and (part := content["messages"][m])["kind"] in KINDS:
        prefix, kind, rows = f"{name}-m{m}", KINDS[part["kind"]], part.setdefault(ROWS, [])
    else:
        return Pressed()
    if kind.rows is None:
        return Pressed()
    if verb == "less" and r is not None and r < len(rows):
        del rows[r]
    if verb == "more" and len(rows) < kind.rows.most:
        rows.append({name: field.options[0] if field.options else "" for name, field in row_fields(kind.rows)})
        return Pressed(f"{prefix}-r{len(rows) - 1}-{kind.rows.fields[0].name}")
    return Pressed(f"press-more-{prefix.removesuffix('-q')}")


_LANGUAGE_VERBS: Mapping[str, Callable[[list[dict[str, Any]], str], Pressed]] = {
    "translate": _translate,
    "untranslate": _drop_language,
}
_MESSAGE_VERBS: Mapping[str, Callable[[Content, str, int], Pressed]] = {
    "drop": _drop,
    "up": _up,
    "down": _down,
    "copy": _copy,
    "json": _to_json,
    "form": _to_form,
}
