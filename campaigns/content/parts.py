"""What message objects are made of: texts with their limits, links, addresses of images, and how one of several kinds
is told by its "type". The files beside this one hold one kind of message each, as the Messaging API reference has it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, StringConstraints, Tag, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from campaigns.content.counting import utf16_length
from campaigns.content.fields import Fields, InvalidField, Value, constants_in, has_field, read_fields

MAX_URI = 1_000  # of a link to tap
MAX_ADDRESS = 2_000  # of an image or a video
MAX_ALT_TEXT = 1_500
ONE_BODY = ("multicast", "narrowcast")  # ways to send that take one body for everyone

BUTTON = "postback:"  # before a button's data, where it stands among a campaign's tracked links
MARK_LENGTH = 36  # of what is set behind a button's data, so that a tap is known: campaigns/links/making.py

_URL_BEGIN = r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]"
_URL = re.compile(_URL_BEGIN + "+", re.IGNORECASE)
_URL_WITH_FIELD = re.compile(_URL_BEGIN + r"*\{[{%#]", re.IGNORECASE)
_TRAILING = ".,;:!?)'\"]"
_OPENING = {")": "(", "]": "["}
_SCHEMES = ("http://", "https://", "line://", "tel:")
_ADDRESS = re.compile(r"https://[A-Za-z0-9\-.:\[\]]+(?:[/?#].*)?", re.DOTALL | re.IGNORECASE)

Track = Callable[[str], str]
Fill = Callable[[Fields, Track], str]


class Part(BaseModel):
    """An object of a message. A property that LINE doesn't know is refused: it is a slip of the pen."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


@dataclass(frozen=True)
class Rule:
    """What holds for a text once its fields are filled in: its length, how what the fields bring in is written, and
    which links are tracked: those inside it, or the text as a whole, or its tap by a mark that comes "after" it."""

    most: int
    count: Callable[[str], int] = utf16_length
    escape: Callable[[str], str] | None = None
    links: Literal["none", "inside", "whole", "after"] = "none"

    def problem_of(self, text: str) -> str | None:
        """What LINE would have against the text; None: nothing."""
        if not text.strip():
            return "is empty"
        if len(text) * 2 > self.most and (length := self.count(text)) > self.most:
            return f"has {length} characters as LINE counts them; at most {self.most}"
        return None


class Written(str):
    """A text found right, with the rule that holds once its fields are filled in and its links are tracked."""

    rule: Rule

    @property
    def is_the_same_for_everyone(self) -> bool:
        """Whether no field and no tracked link stands in it."""
        return self.rule.links not in ("whole", "after") and not has_field(self) and not self.links()

    def links(self) -> list[str]:
        """Its links that are tracked, in order."""
        if self.rule.links == "whole":
            return [str(self)]
        return [piece.url for piece in self._pieces() if isinstance(piece, _Url | _Mark)]

    def filler(self) -> Fill:
        """A function from a person's fields and link -> tracked link to the text."""
        pieces = [_as_fill(piece, self.rule.escape) for piece in self._pieces()]
        if len(pieces) == 1 and not isinstance(pieces[0], str):
            return pieces[0]
        return lambda fields, track: "".join([p if isinstance(p, str) else p(fields, track) for p in pieces])

    def _pieces(self) -> list["str | _Url | _Mark | Value"]:
        if self.rule.links == "whole":
            return [_Url(str(self))]
        pieces: list[str | _Url | _Mark | Value] = read_fields(self)  # type: ignore[assignment]
        if self.rule.links == "none":
            return pieces
        if self.rule.links == "after":
            return [*pieces, _Mark(BUTTON + self)]
        # Links are tracked in the marketer's own words only: what a field brings in is never turned into a link.
        return [part for piece in pieces for part in (_cut(piece) if isinstance(piece, str) else [piece])]


@dataclass(frozen=True)
class _Url:
    url: str


@dataclass(frozen=True)
class _Mark:
    """What comes behind a button's data: `url` is the data as the campaign's tracked links name it."""

    url: str


def _as_fill(piece: str | _Url | _Mark | Value, escape: Callable[[str], str] | None) -> str | Fill:
    if isinstance(piece, str):
        return piece
    if isinstance(piece, _Url):
        url = piece.url
        return lambda _, track: track(url)
    if isinstance(piece, _Mark):
        button = piece.url
        return lambda _, track: found[len(button) :] if (found := track(button)).startswith(button) else ""
    value = piece

    def fill(fields: Fields, _: Track) -> str:
        found = value(fields)
        if found is None:
            return ""
        text = found if type(found) is str else str(found)
        return text if escape is None else escape(text)

    return fill


def _cut(text: str) -> list[str | _Url]:
    """Words and links by turns. Punctuation after a link, and a bracket that it did not open, belong to the words."""
    pieces: list[str | _Url] = []
    at = 0
    for match in _URL.finditer(text):
        url = match.group()
        while _ends_sentence(url):
            url = url[:-1]
        pieces += [text[at : match.start()], _Url(url)]
        at = match.start() + len(url)
    pieces.append(text[at:])
    return [piece for piece in pieces if piece != ""]


def _ends_sentence(url: str) -> bool:
    last = url[-1]
    if last in _OPENING:
        return url.count(_OPENING[last]) < url.count(last)
    return last in _TRAILING


def wrong(sentence: str, at: str = "") -> PydanticCustomError:
    """An error in our own words, about the property `at` of the object being looked at ("": that itself)."""
    return PydanticCustomError("content", "{sentence}", {"sentence": sentence, "at": at})


def written(text: str, rule: Rule, info: ValidationInfo, at: str = "") -> Written:
    """`text` with its rule, checked as it reads for somebody of whom nothing is known.

    A field without a fallback may so make an empty text: refused, since LINE would refuse it for that person.
    """
    made = Written(text)
    made.rule = rule
    if not has_field(text):
        if problem := rule.problem_of(text):
            raise wrong(problem, at)
        return made
    if (info.context or {}).get("way") in ONE_BODY:
        raise wrong("has a field, but this way one body goes to everyone; fields need push", at)
    if rule.links == "inside" and _URL_WITH_FIELD.search(text):
        raise wrong("has a field inside a link: a link must be the same for everyone", at)
    try:
        shortest = made.filler()({}, str)
    except InvalidField as error:
        raise wrong(str(error), at) from error
    except Exception as error:  # whatever a filter makes of its arguments
        raise wrong(f"has a field that can't be worked out: {error}", at) from error
    if rule.links == "inside" and any(_URL.search(constant) for constant in constants_in(text)):
        raise wrong("has a link inside the braces of a field, where it can't be tracked", at)
    if problem := rule.problem_of(shortest):
        hint = '; give the field a fallback: {{ name or "您" }}' if problem == "is empty" else ""
        raise wrong(f"{problem} for somebody who lacks its fields{hint}", at)
    return made


def words(most: int, count: Callable[[str], int] = utf16_length) -> AfterValidator:
    """Words that a person reads; fields may stand in them."""
    rule = Rule(most, count)
    return AfterValidator(lambda text, info: written(text, rule, info))


def button_data(most: int) -> AfterValidator:
    """The data of a button that comes back by webhook, with room for the mark that tells its tap."""
    rule, room = Rule(most, links="after"), most - MARK_LENGTH

    def check(text: str, info: ValidationInfo) -> Written:
        if utf16_length(text) > room and not has_field(text):
            raise wrong(f"has {utf16_length(text)} characters; at most {room}, since a mark behind it tells the tap")
        return written(text, rule, info)

    return AfterValidator(check)


def plain(most: int, pattern: str, what: str) -> AfterValidator:
    """An id or a keyword, the same for everyone."""
    fits = re.compile(pattern)

    def check(text: str) -> str:
        if not fits.fullmatch(text):
            raise wrong(f"must be {what}")
        if utf16_length(text) > most:
            raise wrong(f"has {utf16_length(text)} characters; at most {most}")
        return text

    return AfterValidator(check)


_TRACKED = Rule(MAX_URI, links="whole")
_ADDRESS_RULE = Rule(MAX_ADDRESS, escape=lambda value: quote(value, safe=""))


def _link(text: str) -> str:
    if has_field(text):
        raise wrong("has a field inside a link: a link must be the same for everyone")
    if not text.lower().startswith(_SCHEMES) or text.lower() in _SCHEMES:
        raise wrong("must begin with https://, http://, line:// or tel:")
    if problem := _TRACKED.problem_of(text):
        raise wrong(problem)
    if not text.lower().startswith("http"):
        return text
    made = Written(text)
    made.rule = _TRACKED
    return made


def _address(text: str, info: ValidationInfo) -> str:
    """Fields may choose the image, not the host: what they bring in is percent-encoded."""
    if not _ADDRESS.fullmatch(text) or has_field(text.removeprefix("https://").partition("/")[0]):
        raise wrong("must be an https:// address")
    return written(text, _ADDRESS_RULE, info) if has_field(text) else _short(text)


def _short(address: str) -> str:
    if problem := _ADDRESS_RULE.problem_of(address):
        raise wrong(problem)
    return address


Link = Annotated[str, AfterValidator(_link)]
Address = Annotated[str, AfterValidator(_address)]
AltText = Annotated[str, words(MAX_ALT_TEXT)]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?$")]


def kind(name: str) -> Tag:
    """The mark of a union's member whose "type" is `name`."""
    return Tag(f"<{name}>")


def _kind_of(value: Any) -> str:
    if isinstance(value, dict):
        return f"<{value.get('type')}>"
    return f"<{getattr(value, 'type', None)}>"


BY_TYPE = Discriminator(_kind_of)  # tells the members of a union by their "type"


def texts_in(value: Any, path: str = "") -> Iterator[tuple[str, Written]]:
    """(path, text) of the texts with a rule in checked messages; a path reads as "[0].template.columns[1].text"."""
    if isinstance(value, Written):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            yield from texts_in(getattr(value, name), f"{path}.{info.alias or name}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from texts_in(part, f"{path}[{number}]")
