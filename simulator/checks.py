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
MAX_IMAGE_COLUMN_LABEL = 12
MAX_SPOKEN = 300  # texts of message and postback actions
MAX_CLIPBOARD = 1000
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
MAX_AREAS = 50
MAX_AREA_LABEL = 100
MAX_AREA_TEXT = 400
MAX_VIDEO_LABEL = 30
MAX_SUBSTITUTIONS = 100
IMAGEMAP_WIDTH = 1040
MESSAGE_TYPES = "text, textV2, image, video, audio, location, sticker, template, imagemap, flex, coupon"
_URI_SCHEMES = ("http://", "https://", "line://", "tel:")
_PLACEHOLDER_KEY = re.compile(r"[0-9a-zA-Z_]{1,20}")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?")
_RATIO = re.compile(r"\d+(\.\d+)?:\d+(\.\d+)?")
_TAG = re.compile(r"[a-zA-Z0-9_]{1,30}")
_TRACKING_ID = re.compile(r"[a-zA-Z0-9\-.=,+*()%$&;:@{}!?<>\[\]]{1,100}")
_MOMENTS = {"date": r"\d{4}-\d\d-\d\d", "time": r"\d\d:\d\d", "datetime": r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d"}
_ACTIONS = ("postback", "message", "uri", "datetimepicker", "clipboard")
_QUICK_ACTIONS = (*_ACTIONS, "camera", "cameraRoll", "location")

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

    def say(self, path: str, message: str) -> None:
        """Note anything else."""
        self.append({"message": message, "property": path})

    def pattern(self, node: Node, key: str, path: str, pattern: re.Pattern[str]) -> None:
        """Note `node[key]` when it is a text that does not fit."""
        value = node.get(key)
        if isinstance(value, str) and not pattern.fullmatch(value):
            self.say(f"{path}.{key}", "Invalid value")

    def address(self, node: Node, key: str, path: str) -> None:
        """Note `node[key]` when it is no address of an image or video."""
        self.length(node, key, path, MAX_MEDIA_URL)
        value = node.get(key)
        if isinstance(value, str) and not value.startswith("https://"):
            self.say(f"{path}.{key}", "Must be an https URL")

    def link(self, node: Node, key: str, path: str) -> None:
        """Note `node[key]` when it is no link to tap."""
        self.length(node, key, path, MAX_URI)
        value = node.get(key)
        if isinstance(value, str) and not value.startswith(_URI_SCHEMES):
            self.say(f"{path}.{key}", "Invalid action URI scheme")

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
        found.address(sender, "iconUrl", f"{path}.sender")
        if sender.get("name") in ("", "LINE"):
            found.say(f"{path}.sender.name", "Invalid value")
    if (quick := message.get("quickReply")) is not None:
        place = f"{path}.quickReply"
        found.size(quick, "items", place, MAX_QUICK_REPLIES, 1)
        if quick.get("items") is None:
            found.say(f"{place}.items", "May not be empty")
        for number, item in enumerate(quick.get("items") or ()):
            here = f"{place}.items[{number}]"
            if item.get("type") != "action":
                found.say(f"{here}.type", "Must be action")
            found.address(item, "imageUrl", here)
            _check_action(
                item.get("action"), f"{here}.action", found, MAX_LABEL, needs_label=True, kinds=_QUICK_ACTIONS
            )
    return found


def _check_text(message: Node, path: str, found: _Findings) -> None:
    found.empty(message, "text", path)
    found.length(message, "text", path, MAX_TEXT)
    found.size(message, "emojis", path, MAX_EMOJI)
    units = message["text"].encode("utf-16-le", "surrogatepass")
    for number, emoji in enumerate(message.get("emojis") or ()):
        index = emoji.get("index")
        for key in ("productId", "emojiId"):
            if not emoji.get(key):
                found.say(f"{path}.emojis[{number}].{key}", "May not be empty")
        if not isinstance(index, int) or index < 0 or units[index * 2 : index * 2 + 2] != b"$\0":
            found.say(f"{path}.emojis[{number}].index", "Invalid index")


def _check_text_v2(message: Node, path: str, found: _Findings) -> None:
    found.empty(message, "text", path)
    found.length(message, "text", path, MAX_TEXT)
    known = message.get("substitution") or {}
    if len(known) > MAX_SUBSTITUTIONS:
        found.say(f"{path}.substitution", f"Size must be between 0 and {MAX_SUBSTITUTIONS}")
    for key in known:
        if not _PLACEHOLDER_KEY.fullmatch(key):
            found.say(f"{path}.substitution.{key}", "Invalid key")
    used, rest = 0, message["text"]
    while (brace := re.search(r"[{}]", rest)) is not None:
        rest = rest[brace.start() :]
        if rest[:2] in ("{{", "}}"):
            rest = rest[2:]
            continue
        key = re.match(r"\{([^{}]*)\}", rest)
        if key is None or key.group(1) not in known:
            found.say(f"{path}.text", "Braces must be pairs around a key of substitution")
            return
        used += known[key.group(1)].get("type") == "emoji"
        rest = rest[key.end() :]
    if used > MAX_EMOJI:
        found.say(f"{path}.text", f"At most {MAX_EMOJI} emoji")


def _check_flex(message: Node, path: str, found: _Findings) -> None:
    found.empty(message, "altText", path)
    found.length(message, "altText", path, MAX_ALT_TEXT)
    contents = message["contents"]
    place = f"{path}.contents"
    bubbles = [(contents, place)]
    if contents["type"] == "carousel":
        found.size(contents, "contents", place, MAX_BUBBLES, 1)
        _check_bytes(contents, place, MAX_CAROUSEL_BYTES, found)
        bubbles = [(bubble, f"{place}.contents[{number}]") for number, bubble in enumerate(contents["contents"])]
    for bubble, here in bubbles:
        _check_bytes(bubble, here, MAX_BUBBLE_BYTES, found)
        hero = bubble.get("hero") or {}
        if hero.get("type") == "video" and contents["type"] == "carousel":
            found.say(f"{here}.hero", "A carousel can't hold a video")
        if hero.get("type") == "video" and bubble.get("size", "mega") not in ("kilo", "mega", "giga"):
            found.say(f"{here}.size", "Invalid value")
        for where, node in _objects(bubble, here):
            _check_component(node, where, found, is_hero=where == f"{here}.hero")


def _check_component(node: Node, path: str, found: _Findings, *, is_hero: bool) -> None:
    kind = node.get("type")
    if kind == "text" and not node.get("contents") and not node.get("text"):
        found.say(f"{path}.text", "must be non-empty text")
    if kind == "video" and not is_hero:
        found.say(path, "A video may only be a hero")
    if kind == "box":
        for number, part in enumerate(node["contents"]):
            is_baseline, name = node["layout"] == "baseline", part["type"]
            if (name not in ("icon", "text", "filler", "span")) if is_baseline else name == "icon":
                found.say(f"{path}.contents[{number}]", f"A {node['layout']} box can't hold this")
    for key in node:
        if key.endswith("olor"):
            found.pattern(node, key, path, _COLOR)
    found.pattern(node, "aspectRatio", path, _RATIO)
    for key in ("url", "previewUrl"):
        found.address(node, key, path)
    if "action" in node:
        _check_action(node["action"], f"{path}.action", found, MAX_FLEX_LABEL, needs_label=kind in ("button", "video"))


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
        _check_card(template, place, found, MAX_BUTTONS_TEXT, MAX_BUTTONS_TEXT_WITH_TITLE, MAX_BUTTONS)
    elif kind == "confirm":
        found.empty(template, "text", place)
        found.length(template, "text", place, MAX_CONFIRM_TEXT, grapheme_length)
        found.size(template, "actions", place, 2, 2)
        _check_list(template["actions"], f"{place}.actions", found)
    else:
        columns = template["columns"]
        found.size(template, "columns", place, MAX_COLUMNS, 1)
        for number, column in enumerate(columns):
            here = f"{place}.columns[{number}]"
            if kind == "image_carousel":
                found.address(column, "imageUrl", here)
                _check_action(column["action"], f"{here}.action", found, MAX_IMAGE_COLUMN_LABEL, needs_label=False)
                continue
            _check_card(column, here, found, MAX_COLUMN_TEXT, MAX_COLUMN_TEXT_WITH_TITLE, MAX_COLUMN_ACTIONS)
            if _shape(column) != _shape(columns[0]):
                found.say(here, "All columns need the same number of actions, and pictures and titles alike")


def _shape(column: Node) -> tuple[int, bool, bool]:
    return len(column["actions"]), column.get("title") is None, column.get("thumbnailImageUrl") is None


def _check_card(node: Node, path: str, found: _Findings, alone: int, below: int, actions: int) -> None:
    has_more = bool(node.get("title") or node.get("thumbnailImageUrl"))
    for key in ("text", "title"):
        found.empty(node, key, path)
    found.length(node, "text", path, below if has_more else alone, grapheme_length)
    found.length(node, "title", path, MAX_TEMPLATE_TITLE, grapheme_length)
    found.address(node, "thumbnailImageUrl", path)
    found.pattern(node, "imageBackgroundColor", path, _COLOR)
    found.size(node, "actions", path, actions, 1)
    _check_list(node["actions"], f"{path}.actions", found)
    if node.get("defaultAction") is not None:
        _check_action(node["defaultAction"], f"{path}.defaultAction", found, MAX_LABEL, needs_label=True)


def _check_list(actions: list[Node], path: str, found: _Findings) -> None:
    for number, action in enumerate(actions):
        _check_action(action, f"{path}[{number}]", found, MAX_LABEL, needs_label=True)


def _check_media(message: Node, path: str, found: _Findings) -> None:
    for key in ("originalContentUrl", "previewImageUrl"):
        found.address(message, key, path)
    found.pattern(message, "trackingId", path, _TRACKING_ID)


def _check_coupon(message: Node, path: str, found: _Findings) -> None:
    found.empty(message, "couponId", path)
    found.pattern(message, "deliveryTag", path, _TAG)


def _check_imagemap(message: Node, path: str, found: _Findings) -> None:
    found.empty(message, "altText", path)
    found.length(message, "altText", path, MAX_ALT_TEXT)
    found.address(message, "baseUrl", path)
    found.size(message, "actions", path, MAX_AREAS)
    if message["baseSize"]["width"] != IMAGEMAP_WIDTH:
        found.say(f"{path}.baseSize.width", f"Must be {IMAGEMAP_WIDTH}")
    areas = [(f"{path}.actions[{number}]", action) for number, action in enumerate(message["actions"])]
    if (video := message.get("video")) is not None:
        for key in ("originalContentUrl", "previewImageUrl", "area"):
            if video.get(key) is None:
                found.say(f"{path}.video.{key}", "May not be empty")
        for key in ("originalContentUrl", "previewImageUrl"):
            found.address(video, key, f"{path}.video")
        areas.append((f"{path}.video", video))
        if (link := video.get("externalLink")) is not None:
            for key in ("linkUri", "label"):
                if not link.get(key):
                    found.say(f"{path}.video.externalLink.{key}", "May not be empty")
            found.link(link, "linkUri", f"{path}.video.externalLink")
            found.length(link, "label", f"{path}.video.externalLink", MAX_VIDEO_LABEL)
    for place, node in areas:
        area = node.get("area") or {}
        if any(area.get(side, 0) < 0 for side in ("x", "y")) or any(area.get(s, 1) < 1 for s in ("width", "height")):
            found.say(f"{place}.area", "Invalid value")
        for key in ("text", "linkUri", "clipboardText"):
            found.empty(node, key, place)
        found.length(node, "label", place, MAX_AREA_LABEL)
        found.length(node, "text", place, MAX_AREA_TEXT)
        found.length(node, "clipboardText", place, MAX_CLIPBOARD)
        found.link(node, "linkUri", place)


def _check_action(
    action: Node | None,
    path: str,
    found: _Findings,
    most: int,
    *,
    needs_label: bool,
    kinds: tuple[str, ...] = _ACTIONS,
) -> None:
    """One action; `most` and `needs_label` are its place's ("Specifications of the label")."""
    kind = (action or {}).get("type")
    if action is None or kind not in kinds:
        found.say(f"{path}.type", f"Must be one of the following values: [{', '.join(kinds)}]")
        return
    if needs_label and not action.get("label"):
        found.say(f"{path}.label", "May not be empty")
    found.length(action, "label", path, most, grapheme_length)
    found.length(action, "data", path, MAX_POSTBACK_DATA)
    for key in ("text", "displayText", "fillInText"):
        found.empty(action, key, path)
        found.length(action, key, path, MAX_SPOKEN, grapheme_length)
    found.length(action, "clipboardText", path, MAX_CLIPBOARD)
    needed = {"postback": "data", "message": "text", "uri": "uri", "datetimepicker": "data"}.get(str(kind))
    if needed and not action.get(needed):
        found.say(f"{path}.{needed}", "May not be empty")
    found.link(action, "uri", path)
    found.link(action.get("altUri") or {}, "desktop", f"{path}.altUri")
    if kind == "postback":
        if action.get("text") is not None and action.get("displayText") is not None:
            found.say(f"{path}.text", "Can't be used with displayText")
        if action.get("fillInText") is not None and action.get("inputOption") != "openKeyboard":
            found.say(f"{path}.fillInText", "Needs inputOption openKeyboard")
    if kind == "datetimepicker":
        _check_moments(action, path, found)


def _check_moments(action: Node, path: str, found: _Findings) -> None:
    pattern = _MOMENTS.get(str(action.get("mode")))
    if pattern is None:
        found.say(f"{path}.mode", "Must be one of the following values: [date, time, datetime]")
        return
    for key in ("initial", "max", "min"):
        found.pattern(action, key, path, re.compile(pattern))
    least, most = action.get("min"), action.get("max")
    if least is not None and most is not None and most.upper() <= least.upper():
        found.say(f"{path}.max", "Must be greater than min")


_LIMITS: dict[str, Callable[[Node, str, _Findings], None]] = {
    "text": _check_text,
    "textV2": _check_text_v2,
    "flex": _check_flex,
    "template": _check_template,
    "image": _check_media,
    "video": _check_media,
    "audio": _check_media,
    "imagemap": _check_imagemap,
    "coupon": _check_coupon,
}
