"""What a campaign says: 1 to 5 LINE messages, checked before anything is stored, filled in and linked per person.

Shapes and limits are the Messaging API reference's ("Message objects"); neither line-bot-sdk nor LINE's OpenAPI file
knows the lengths. One file beside this one holds one kind of message. LINE's own word on a content is asked for by
campaigns/content/asking.py.
"""

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from campaigns.content.any_message import MessagePart
from campaigns.content.coupon import CouponMessage
from campaigns.content.fields import Fields
from campaigns.content.flex import MAX_BUBBLE_BYTES, FlexMessage, too_large
from campaigns.content.image import ImageMessage
from campaigns.content.imagemap import ImagemapMessage
from campaigns.content.parts import BY_TYPE, Track, Written, kind, texts_in
from campaigns.content.template import TemplateMessage
from campaigns.content.text import TextMessage
from campaigns.content.text_v2 import TextV2Message
from campaigns.content.video import VideoMessage
from store.errors import BadInput

MAX_MESSAGES = 5
SHOWN_PROBLEMS = 5
_PLAIN_TAGS = str.maketrans("", "", "'<>")

Message = Annotated[
    Annotated[TextMessage, kind("text")]
    | Annotated[TextV2Message, kind("textV2")]
    | Annotated[ImageMessage, kind("image")]
    | Annotated[VideoMessage, kind("video")]
    | Annotated[ImagemapMessage, kind("imagemap")]
    | Annotated[TemplateMessage, kind("template")]
    | Annotated[FlexMessage, kind("flex")]
    | Annotated[CouponMessage, kind("coupon")],
    BY_TYPE,
]
_messages: TypeAdapter[Any] = TypeAdapter(Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)])

Content = Callable[[Fields, Track], bytes]


class InvalidMessage(BadInput):
    """The content can't be sent. `problems`: (place, sentence) of each, a place as LINE names it: messages[0].text."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        shown = "; ".join(f"{place} {sentence}" for place, sentence in problems[:SHOWN_PROBLEMS])
        more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        super().__init__(shown + more)


class NotRenderable(BadInput):
    """One person's fields make a message that LINE would refuse."""


def check_messages(messages: Any, *, way: str) -> None:
    """Raise InvalidMessage unless `messages` are 1-5 messages that LINE would take, whoever they are filled in for.

    `way` "multicast" and "narrowcast" send one body to everyone, so fields are refused there.
    """
    _checked(messages, way)


def _checked(messages: Any, way: str) -> list[MessagePart]:
    _require_encodable(messages)
    try:
        checked: list[MessagePart] = _messages.validate_python(messages, context={"way": way})
    except ValidationError as error:
        raise InvalidMessage([_problem(problem, messages) for problem in error.errors(include_url=False)]) from None
    for number, message in enumerate(checked[:-1]):
        if message.quick_reply is not None:
            place = f"messages[{number}].quickReply"
            raise InvalidMessage([(place, "belongs on the last message: LINE shows no other")])
    return checked


def _require_encodable(messages: Any) -> None:
    """LINE and both databases must be able to take what Python's JSON reader lets through."""
    try:
        orjson.dumps(messages)
        encoded = json.dumps(messages, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        sentence = "hold something that JSON can't carry: half a character, NaN, too large a number or too deep"
        raise InvalidMessage([("messages", sentence)]) from error
    if "\\u0000" in encoded:
        raise InvalidMessage([("messages", "hold a NUL character")])


def _problem(error: Any, messages: Any) -> tuple[str, str]:
    """Place and sentence of one of pydantic's errors. Its location also has the marks of unions, such as <text>."""
    steps = [step for step in error["loc"] if not (isinstance(step, str) and step.startswith("<"))]
    place = "messages" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    given = error.get("ctx", {})
    if error["type"] == "content":
        at = given["at"]
        return place + (at if at.startswith("[") else f".{at}" if at else ""), given["sentence"]
    if error["type"] == "union_tag_invalid":
        return f"{place}.type", f"must be one of {given['expected_tags'].translate(_PLAIN_TAGS)}"
    if error["type"] == "missing":
        return place, "is missing"
    if error["type"] == "extra_forbidden":
        return place, "is nothing that LINE knows here"
    if error["type"] in ("too_long", "too_short"):
        many = given["actual_length"]
        limit = f"at most {given['max_length']}" if "max_length" in given else f"at least {given['min_length']}"
        return place, f"has {many} of them; {limit}"
    return place, error["msg"].replace("Input should", "must").replace("String should", "must")


def links_in(messages: list[dict[str, Any]]) -> list[str]:
    """What is tracked, in order of first appearance, each once: http(s) links to tap, those in texts, and as BUTTON and
    their data the buttons that come back by webhook. Addresses of images are none. Raises InvalidMessage.
    """
    texts = texts_in(_checked(messages, "push"))
    return list(dict.fromkeys(url for _, text in texts for url in text.links()))


def words_of(messages: list[dict[str, Any]]) -> str:
    """What a person reads: texts, titles, labels and altTexts of all messages, a line each, fields not filled in."""
    return "\n".join(
        text for key, text in _strings(messages) if key in ("text", "altText", "title", "label") and text.strip()
    )


def format_of(messages: list[dict[str, Any]]) -> str:
    """The types of the messages, each once, in alphabetical order: "text", "flex+text"."""
    return "+".join(sorted({"text" if message["type"] == "textV2" else message["type"] for message in messages}))


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _strings(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part, key)


def compile_content(messages: list[dict[str, Any]]) -> Content:
    """A function from (fields of one person, link -> tracked link) to the JSON array of messages for LINE.

    Strings without a field or link are encoded once, here. The function raises NotRenderable when the fields make
    something that LINE would refuse. A field that a person lacks reads as empty, so write `{{ name or "朋友" }}`.
    Raises InvalidMessage.
    """
    moving = {path: text for path, text in texts_in(_checked(messages, "push")) if not text.is_the_same_for_everyone}
    parts: list[bytes | Callable[[Fields, Track], bytes]] = []
    _compile(messages, "", moving, parts)
    may_outgrow = any("].contents." in path for path in moving)

    def render(fields: Fields, track: Track) -> bytes:
        body = b"".join([part if isinstance(part, bytes) else part(fields, track) for part in parts])
        if may_outgrow and len(body) > MAX_BUBBLE_BYTES:
            _require_small(body)
        return body

    return render


def _compile(value: Any, path: str, moving: dict[str, Written], parts: list[Any]) -> None:
    if isinstance(value, dict) and value:
        for number, (key, part) in enumerate(value.items()):
            _append(parts, (b"," if number else b"{") + orjson.dumps(key) + b":")
            _compile(part, f"{path}.{key}", moving, parts)
        _append(parts, b"}")
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            _append(parts, b"," if number else b"[")
            _compile(part, f"{path}[{number}]", moving, parts)
        _append(parts, b"]")
    elif path in moving:
        parts.append(_encoder(f"messages{path}", moving[path]))
    else:
        _append(parts, orjson.dumps(value))


def _append(parts: list[Any], fixed: bytes) -> None:
    """Add bytes that are the same for everyone, to those before where there are any."""
    if parts and isinstance(parts[-1], bytes):
        parts[-1] += fixed
    else:
        parts.append(fixed)


def _encoder(place: str, text: Written) -> Callable[[Fields, Track], bytes]:
    fill, problem_of = text.filler(), text.rule.problem_of

    def encoded(fields: Fields, track: Track) -> bytes:
        try:
            filled = fill(fields, track)
        except Exception as error:  # whatever a filter makes of one person's fields must not stop the others
            raise NotRenderable(f"{place}: a field could not be filled in: {type(error).__name__}") from error
        if problem := problem_of(filled):
            raise NotRenderable(f"{place} {problem}, once its fields are filled in")
        try:
            return orjson.dumps(filled)
        except TypeError as error:  # half of a surrogate pair, which an imported attribute may hold
            raise NotRenderable(f"{place}: a field holds a character that can't be sent") from error

    return encoded


def _require_small(body: bytes) -> None:
    for number, message in enumerate(orjson.loads(body)):
        if message["type"] == "flex" and (problem := too_large(message["contents"])):
            raise NotRenderable(f"messages[{number}]: {problem}, once its fields are filled in")
