"""Whether LINE would accept messages: their shape by the models of line-bot-sdk, then the limits these don't know.

Source of the limits: the message object pages of the Messaging API reference and "Text character count". Lengths count
UTF-16 units, except the labels and template texts, which count grapheme clusters.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import linebot.v3.messaging  # noqa: F401 - the models look each other up as attributes of this package
import orjson
import regex  # type: ignore[import-untyped, unused-ignore]
from linebot.v3.messaging.models.message import Message
from pydantic.v1 import ValidationError

from simulator.refusals import Detail

MAX_MESSAGES = 5
MAX_TEXT = 5000
MAX_ALT_TEXT = 1500
MAX_URI = 1000
MAX_MEDIA_URL = 2000
MAX_POSTBACK_DATA = 300
MAX_LABEL = 20
MAX_FLEX_LABEL = 40
MAX_EMOJI = 20
MAX_SENDER_NAME = 20
MAX_QUICK_REPLIES = 13
MAX_BUBBLE_BYTES = 30 * 1024
MAX_CAROUSEL_BYTES = 50 * 1024
MAX_BUBBLES = 12
MAX_COLUMNS = 10
MAX_COLUMN_ACTIONS = 3
MAX_BUTTONS = 4
MAX_COLUMN_TEXT = 120
MAX_COLUMN_TEXT_WITH_TITLE = 60
MAX_BUTTONS_TEXT = 160
MAX_BUTTONS_TEXT_WITH_TITLE = 60
MAX_CONFIRM_TEXT = 240
MAX_TEMPLATE_TITLE = 40
MESSAGE_TYPES = "text, textV2, image, video, audio, location, sticker, template, imagemap, flex, coupon"
_URI_SCHEMES = ("http://", "https://", "line://", "tel:")
_PLACEHOLDER_KEY = re.compile(r"[0-9a-zA-Z_]{1,20}")

Node = dict[str, Any]


def utf16_length(text: str) -> int:
    """The length as LINE counts most texts: UTF-16 units (an emoji outside the basic plane is 2)."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def grapheme_length(text: str) -> int:
    """The length as LINE counts labels and template texts: what a reader calls characters."""
    return len(text) if text.isascii() else len(regex.findall(r"\X", text))


def check_messages(messages: Any) -> list[Detail]:
    """What LINE would find wrong with `messages`, the JSON value of a request; empty when it would accept them."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        return [{"message": f"Size must be between 1 and {MAX_MESSAGES}", "property": "messages"}]
    found: list[Detail] = []
    for number, message in enumerate(messages):
        path = f"messages[{number}]"
        shape = _check_shape(message, path)
        found += shape or _check_limits(message, path)
        if not shape and message.get("quickReply") and number < len(messages) - 1:
            found.append({"message": "May only be on the last message", "property": f"{path}.quickReply"})
    return found


def _check_shape(message: Any, path: str) -> list[Detail]:
    if not isinstance(message, dict):
        return [{"message": "Must be an object", "property": path}]
    kind = message.get("type")
    if not isinstance(kind, str):
        return [{"message": "May not be empty", "property": f"{path}.type"}]
    try:
        Message.from_dict(message)
    except ValidationError as error:
        where = _path_of(error, message, path)
        return [
            {"message": _wording(item["type"], item["msg"]), "property": f"{where}.{_property(item['loc'])}"}
            for item in error.errors()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # the models' own look-up of a `type`: they say so in a ValueError, or fail on something that is no object
        if str(error).startswith("Message failed"):
            return [{"message": f"Must be one of the following values: [{MESSAGE_TYPES}]", "property": f"{path}.type"}]
        return [{"message": "Must be an object with a known type", "property": path}]
    return []


def _property(location: tuple[int | str, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).lstrip(".")


def _wording(kind: str, message: str) -> str:
    if kind in ("value_error.missing", "type_error.none.not_allowed"):
        return "May not be empty"
    return message[:1].upper() + message[1:]


def _path_of(error: ValidationError, message: Node, path: str) -> str:
    """Where in `message` the object is that `error` is about; the message itself when it can't be told.

    The SDK builds nested objects one by one, so an error knows only its own object: find the one that fails alike.
    """
    model: Any = error.model
    for place, node in _objects(message, path):
        try:
            model.from_dict(node)
        except ValidationError as again:
            if again.model is error.model and again.errors() == error.errors():
                kind = getattr(model.__fields__.get("type"), "default", None)
                if kind is None or kind == node.get("type"):
                    return place
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return path


def _objects(node: Any, path: str) -> Iterator[tuple[str, Node]]:
    """Every object in a JSON value with its path, outer ones first."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            if isinstance(value, dict | list):
                yield from _objects(value, f"{path}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _objects(value, f"{path}[{number}]")


class _Findings(list[Detail]):
    """Collects what is over a limit."""

    def length(self, node: Node, key: str, path: str, most: int, measure: Callable[[str], int] = utf16_length) -> None:
        """Note `node[key]` when it is a text longer than `most`."""
        value = node.get(key)
        if isinstance(value, str) and len(value) * 2 > most and measure(value) > most:
            self.append({"message": f"Length must be between 0 and {most}", "property": f"{path}.{key}"})

    def empty(self, node: Node, key: str, path: str) -> None:
        """Note `node[key]` when it is an empty text."""
        if node.get(key) == "":
            self.append({"message": "May not be empty", "property": f"{path}.{key}"})

    def size(self, node: Node, key: str, path: str, most: int, least: int = 0) -> None:
        """Note `node[key]` when it is a list of the wrong size."""
        value = node.get(key)
        if isinstance(value, list) and not least <= len(value) <= most:
            self.append({"message": f"Size must be between {least} and {most}", "property": f"{path}.{key}"})


def _check_limits(message: Node, path: str) -> list[Detail]:
    found = _Findings()
    check = _LIMITS.get(message["type"])
    if check is not None:
        check(message, path, found)
    if (sender := message.get("sender")) is not None:
        found.length(sender, "name", f"{path}.sender", MAX_SENDER_NAME)
    if (quick := message.get("quickReply")) is not None:
        found.size(quick, "items", f"{path}.quickReply", MAX_QUICK_REPLIES, 1)
    if message["type"] not in ("text", "textV2") or quick is not None:
        is_flex = message["type"] == "flex"
        for place, node in _objects(message, path):
            if "action" in node or "actions" in node or "defaultAction" in node:
                _check_actions(node, place, found, is_flex=is_flex)
    return found


def _check_text(message: Node, path: str, found: _Findings) -> None:
    found.empty(message, "text", path)
    found.length(message, "text", path, MAX_TEXT)
    found.size(message, "emojis", path, MAX_EMOJI)


def _check_text_v2(message: Node, path: str, found: _Findings) -> None:
    found.empty(message, "text", path)
    found.length(message, "text", path, MAX_TEXT)
    for key in message.get("substitution") or {}:
        if not _PLACEHOLDER_KEY.fullmatch(key):
            found.append({"message": "Invalid key", "property": f"{path}.substitution.{key}"})


def _check_flex(message: Node, path: str, found: _Findings) -> None:
    found.empty(message, "altText", path)
    found.length(message, "altText", path, MAX_ALT_TEXT)
    contents = message["contents"]
    place = f"{path}.contents"
    if contents["type"] == "carousel":
        found.size(contents, "contents", place, MAX_BUBBLES, 1)
        _check_bytes(contents, place, MAX_CAROUSEL_BYTES, found)
        for number, bubble in enumerate(contents["contents"]):
            _check_bytes(bubble, f"{place}.contents[{number}]", MAX_BUBBLE_BYTES, found)
    else:
        _check_bytes(contents, place, MAX_BUBBLE_BYTES, found)


def _check_bytes(node: Node, path: str, most: int, found: _Findings) -> None:
    if len(orjson.dumps(node)) > most:
        found.append({"message": f"Must be at most {most // 1024} KB of JSON", "property": path})


def _check_template(message: Node, path: str, found: _Findings) -> None:
    found.empty(message, "altText", path)
    found.length(message, "altText", path, MAX_ALT_TEXT)
    template = message["template"]
    place = f"{path}.template"
    kind = template["type"]
    if kind == "buttons":
        has_more = bool(template.get("title") or template.get("thumbnailImageUrl"))
        most = MAX_BUTTONS_TEXT_WITH_TITLE if has_more else MAX_BUTTONS_TEXT
        found.length(template, "text", place, most, grapheme_length)
        found.length(template, "title", place, MAX_TEMPLATE_TITLE, grapheme_length)
        found.size(template, "actions", place, MAX_BUTTONS, 1)
    elif kind == "confirm":
        found.length(template, "text", place, MAX_CONFIRM_TEXT, grapheme_length)
        found.size(template, "actions", place, 2, 2)
    else:
        found.size(template, "columns", place, MAX_COLUMNS, 1)
        for number, column in enumerate(template["columns"] if kind == "carousel" else ()):
            has_more = bool(column.get("title") or column.get("thumbnailImageUrl"))
            most = MAX_COLUMN_TEXT_WITH_TITLE if has_more else MAX_COLUMN_TEXT
            here = f"{place}.columns[{number}]"
            found.length(column, "text", here, most, grapheme_length)
            found.length(column, "title", here, MAX_TEMPLATE_TITLE, grapheme_length)
            found.size(column, "actions", here, MAX_COLUMN_ACTIONS, 1)


def _check_media(message: Node, path: str, found: _Findings) -> None:
    for key in ("originalContentUrl", "previewImageUrl"):
        found.length(message, key, path, MAX_MEDIA_URL)
        if not message.get(key, "https://").startswith("https://"):
            found.append({"message": "Must be an https URL", "property": f"{path}.{key}"})


def _check_imagemap(message: Node, path: str, found: _Findings) -> None:
    found.length(message, "altText", path, MAX_ALT_TEXT)


def _check_actions(node: Node, path: str, found: _Findings, *, is_flex: bool) -> None:
    actions = [(f"{path}.{key}", node[key]) for key in ("action", "defaultAction") if isinstance(node.get(key), dict)]
    actions += [(f"{path}.actions[{number}]", action) for number, action in enumerate(node.get("actions") or ())]
    for place, action in actions:
        found.length(action, "label", place, MAX_FLEX_LABEL if is_flex else MAX_LABEL, grapheme_length)
        found.length(action, "data", place, MAX_POSTBACK_DATA)
        uri = action.get("uri") if action.get("type") == "uri" else None
        if isinstance(uri, str):
            found.length(action, "uri", place, MAX_URI)
            if not uri.startswith(_URI_SCHEMES):
                found.append({"message": "Invalid action URI scheme", "property": f"{place}.uri"})


_LIMITS: dict[str, Callable[[Node, str, _Findings], None]] = {
    "text": _check_text,
    "textV2": _check_text_v2,
    "flex": _check_flex,
    "template": _check_template,
    "image": _check_media,
    "video": _check_media,
    "audio": _check_media,
    "imagemap": _check_imagemap,
}
