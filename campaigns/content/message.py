"""What a campaign says: checks of its 1-5 LINE messages, tracked links, and filling in the fields for one person.

Limits are LINE's ("Text message", "Flex Message" in the Messaging API reference), counted in UTF-16 units as LINE
does; neither the SDK nor LINE's OpenAPI file knows them. Fields are `{{ name }}`, `{{ city or "朋友" }}`,
`{{ name | upper }}`: Jinja with its loops, calls and statements taken out, run in its sandbox.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from jinja2 import ChainableUndefined, Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from store.errors import BadInput

MAX_MESSAGES = 5
MAX_TEXT = 5_000  # UTF-16 units
MAX_ALT_TEXT = 1_500
MAX_BUBBLE_BYTES = 30 * 1024
MAX_CAROUSEL_BYTES = 50 * 1024
MAX_CAROUSEL_BUBBLES = 12
MAX_URI = 1_000

_URL_BEGIN = r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]"
_URL = re.compile(_URL_BEGIN + "+", re.IGNORECASE)
_URL_WITH_FIELD = re.compile(_URL_BEGIN + r"*\{[{%#]", re.IGNORECASE)
_TRAILING = ".,;:!?)'\"]"
_OPENING = {")": "(", "]": "["}
_FILTERS = {"upper", "lower", "title", "trim", "default", "d", "truncate", "replace"}
_ALLOWED_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Const,
    nodes.Or,
    nodes.Filter,
)


class InvalidMessage(BadInput):
    """The content can't be sent; the sentence says which message and what is wrong."""


class NotRenderable(BadInput):
    """One person's fields can't be filled in, or make a text longer than LINE takes."""


def _shown(value: Any) -> Any:
    """What a field reads as: nothing for an empty value, nor for a method that a dotted name happened to find."""
    return "" if value is None or callable(value) else value


# A line's end before a link is the marketer's: Jinja would drop it.
_environment = ImmutableSandboxedEnvironment(
    undefined=ChainableUndefined, autoescape=False, keep_trailing_newline=True, finalize=_shown
)


def utf16_length(text: str) -> int:
    """Length as LINE counts it: UTF-16 code units, so an emoji outside the BMP is 2."""
    return len(text) + sum(character > "\uffff" for character in text)


def check_messages(messages: Any, *, way: str) -> None:
    """Raise InvalidMessage unless `messages` are 1-5 text or Flex messages that LINE would take.

    `way` "multicast" sends one body to everyone, so fields are refused there.
    """
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise InvalidMessage(f"a campaign has a list of 1 to {MAX_MESSAGES} messages")
    _check_encoding(messages)
    for number, message in enumerate(messages, 1):
        where = f"message {number}"
        if not isinstance(message, dict) or message.get("type") not in ("text", "flex"):
            raise InvalidMessage(f'{where}: "type" must be "text" or "flex"')
        if message["type"] == "text":
            _check_text(where, message)
        else:
            _check_flex(where, message)
        for path, text in _strings(message):
            _check_string(f"{where}, {path}", path, text, way)
    try:
        compile_content(messages)
    except TemplateSyntaxError as error:
        raise InvalidMessage("a link can't stand inside the braces of a field") from error


def _check_encoding(messages: list[Any]) -> None:
    """LINE and both databases must be able to take what Python's JSON reader lets through."""
    try:
        orjson.dumps(messages)
        encoded = json.dumps(messages, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMessage(
            "the messages hold something that JSON can't carry: half a character, NaN, too large a number or too deep"
        ) from error
    if "\\u0000" in encoded:
        raise InvalidMessage("the messages hold a NUL character")


def _check_text(where: str, message: dict[str, Any]) -> None:
    text = message.get("text")
    if not isinstance(text, str) or not text.strip():
        raise InvalidMessage(f'{where}: "text" is missing or empty')
    if (length := utf16_length(text)) > MAX_TEXT:
        raise InvalidMessage(f"{where}: the text has {length} characters as LINE counts them; at most {MAX_TEXT}")
    if message.get("emojis") and ("{{" in text or _URL.search(text)):
        raise InvalidMessage(f'{where}: "emojis" have fixed places, which fields and tracked links would move')


def _check_flex(where: str, message: dict[str, Any]) -> None:
    alt_text, contents = message.get("altText"), message.get("contents")
    if not isinstance(alt_text, str) or not alt_text.strip():
        raise InvalidMessage(f'{where}: a Flex message needs "altText"')
    if (length := utf16_length(alt_text)) > MAX_ALT_TEXT:
        raise InvalidMessage(f"{where}: altText has {length} characters; at most {MAX_ALT_TEXT}")
    if not isinstance(contents, dict) or contents.get("type") not in ("bubble", "carousel"):
        raise InvalidMessage(f'{where}: "contents" must be a bubble or a carousel')
    if contents["type"] == "bubble":
        _check_size(where, contents, MAX_BUBBLE_BYTES)
        return
    bubbles = contents.get("contents")
    if not isinstance(bubbles, list) or not 1 <= len(bubbles) <= MAX_CAROUSEL_BUBBLES:
        raise InvalidMessage(f"{where}: a carousel has 1 to {MAX_CAROUSEL_BUBBLES} bubbles")
    for bubble in bubbles:
        _check_size(where, bubble, MAX_BUBBLE_BYTES)
    _check_size(where, contents, MAX_CAROUSEL_BYTES)


def _check_size(where: str, part: Any, limit: int) -> None:
    if (size := len(orjson.dumps(part))) > limit:
        raise InvalidMessage(f"{where}: a {part.get('type', 'part')} of {size} bytes; at most {limit}")


def _check_string(where: str, path: str, text: str, way: str) -> None:
    if "{{" in text or "{%" in text or "{#" in text:
        try:
            tree = _environment.parse(text)
        except TemplateSyntaxError as error:
            raise InvalidMessage(f"{where}: {error.message}") from error
        for node in tree.find_all(nodes.Node):
            if not isinstance(node, _ALLOWED_NODES) or (isinstance(node, nodes.Filter) and node.name not in _FILTERS):
                raise InvalidMessage(
                    f"{where}: only fields such as {{{{ name }}}}, `or` and the filters {', '.join(sorted(_FILTERS))} "
                    "may stand between braces"
                )
        has_field = any(True for _ in tree.find_all(nodes.Name))
        if way == "multicast" and has_field:
            raise InvalidMessage(f"{where}: multicast sends one body to everyone; fields need push")
        if _URL_WITH_FIELD.search(text):
            raise InvalidMessage(f"{where}: a link can't contain a field")
    if path.rpartition(".")[2] == "uri" and utf16_length(text) > MAX_URI:
        raise InvalidMessage(f"{where}: a link has at most {MAX_URI} characters")


def _strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path.lstrip("."), value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _strings(part, f"{path}.{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _strings(part, f"{path}[{number}]")


def links_in(messages: list[dict[str, Any]]) -> list[str]:
    """The http(s) links of the content in order of first appearance, each once; image addresses are not links."""
    found: dict[str, None] = {}
    for path, text in _strings(messages):
        if _is_clickable(path):
            found.update(dict.fromkeys(url for _, url in _links(path, text)))
    return list(found)


def words_of(messages: list[dict[str, Any]]) -> str:
    """What a person reads: texts and altText of all messages, a line each, fields not filled in."""
    return "\n".join(
        text for path, text in _strings(messages) if path.rpartition(".")[2] in ("text", "altText", "label")
    )


def _is_clickable(path: str) -> bool:
    return path.rpartition(".")[2] in ("uri", "text")


def _links(path: str, text: str) -> list[tuple[int, str]]:
    """(place, link) of the links in a clickable string. A `uri` is one link as a whole, whatever it is written with;
    in a text, punctuation after a link and a bracket that it did not open belong to the sentence."""
    if path.rpartition(".")[2] == "uri":
        return [(0, text)] if _URL.match(text) else []
    found = []
    for match in _URL.finditer(text):
        url = match.group()
        while _ends_sentence(url):
            url = url[:-1]
        found.append((match.start(), url))
    return found


def _ends_sentence(url: str) -> bool:
    last = url[-1]
    if last in _OPENING:
        return url.count(_OPENING[last]) < url.count(last)
    return last in _TRAILING


Content = Callable[[Mapping[str, Any], Callable[[str], str]], bytes]


def compile_content(messages: list[dict[str, Any]]) -> Content:
    """A function from (fields of one person, link -> tracked link) to the JSON array of messages for LINE.

    Strings without a field or link are encoded once, here. The function raises NotRenderable when the fields make a
    text longer than LINE takes. A field that a person lacks reads as empty, so write `{{ name or "朋友" }}`.
    """
    parts: list[bytes | tuple[str, Callable[[Mapping[str, Any], Callable[[str], str]], str]]] = []
    _compile(messages, "", parts)
    merged = _merge(parts)

    def render(fields: Mapping[str, Any], track: Callable[[str], str]) -> bytes:
        out = []
        for part in merged:
            if isinstance(part, bytes):
                out.append(part)
                continue
            path, fill = part
            text = fill(fields, track)
            limit = MAX_TEXT if path.endswith("].text") else MAX_ALT_TEXT if path.endswith("altText") else None
            if limit and len(text) * 2 > limit and utf16_length(text) > limit:
                raise NotRenderable(
                    f"{path.lstrip('.')} is longer than {limit} characters once its fields are filled in"
                )
            out.append(_encoded(text))
        return b"".join(out)

    return render


def _encoded(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except TypeError as error:  # half of a surrogate pair, which an imported attribute may hold
        raise NotRenderable("a field holds a character that can't be sent") from error


def _compile(value: Any, path: str, parts: list[Any]) -> None:
    if isinstance(value, dict):
        for number, (key, part) in enumerate(value.items()):
            parts.append((b"," if number else b"{") + orjson.dumps(key) + b":")
            _compile(part, f"{path}.{key}", parts)
        parts.append(b"}" if value else b"{}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            parts.append(b"," if number else b"[")
            _compile(part, f"{path}[{number}]", parts)
        parts.append(b"]" if value else b"[]")
    elif isinstance(value, str) and ("{{" in value or (_is_clickable(path) and _links(path, value))):
        parts.append((path, _filler(value, _links(path, value) if _is_clickable(path) else [])))
    else:
        parts.append(orjson.dumps(value))


def _merge(parts: list[Any]) -> list[Any]:
    merged: list[Any] = []
    for part in parts:
        if isinstance(part, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _filler(text: str, links: list[tuple[int, str]]) -> Callable[[Mapping[str, Any], Callable[[str], str]], str]:
    # Links are tracked in the marketer's own words only: what a field brings in is never turned into a link.
    pieces: list[tuple[str, str]] = []
    at = 0
    for place, url in links:
        pieces += [("words", text[at:place]), ("link", url)]
        at = place + len(url)
    pieces.append(("words", text[at:]))
    templates = [
        (kind, _template(piece) if kind == "words" and "{{" in piece else None, piece) for kind, piece in pieces
    ]

    def fill(fields: Mapping[str, Any], track: Callable[[str], str]) -> str:
        return "".join(
            track(piece) if kind == "link" else _filled(template, fields) if template else piece
            for kind, template, piece in templates
        )

    return fill


def _filled(template: Template, fields: Mapping[str, Any]) -> str:
    try:
        return template.render(fields)
    except Exception as error:  # whatever a filter makes of one person's fields must not stop the others
        raise NotRenderable(f"a field could not be filled in: {type(error).__name__}") from error


@lru_cache(maxsize=512)
def _template(text: str) -> Template:
    return _environment.from_string(text)
