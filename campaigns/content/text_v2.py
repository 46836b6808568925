"""Text message (v2): `{key}` stands for one of LINE's emoji, wherever fields and links move it.

`{{ name }}` is a field, as everywhere. A brace of one's own is written `{{ "{" }}`: what fields bring in has its braces
doubled, which is how LINE reads a plain one, so a customer's data can never name a key. Mentions need a group, and
campaigns are for people.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from campaigns.content.any_message import MessagePart
from campaigns.content.fields import read_fields
from campaigns.content.parts import Part, Rule, plain, written, wrong
from campaigns.content.text import MAX_EMOJI, MAX_TEXT, Id

MAX_SUBSTITUTIONS = 100
_KEY = re.compile(r"\{([0-9a-zA-Z_]{1,20})\}")


def with_doubled_braces(value: str) -> str:
    """A value as LINE reads it literally."""
    return value.replace("{", "{{").replace("}", "}}")


_rule = Rule(MAX_TEXT, escape=with_doubled_braces, links="inside")

Key = Annotated[str, plain(20, r"[0-9a-zA-Z_]+", "a key of letters, digits and _")]


class SubstitutedEmoji(Part):
    """What a key stands for."""

    type: Literal["emoji"]
    product_id: Id
    emoji_id: Id


class TextV2Message(MessagePart):
    """A text of at most 5,000 UTF-16 units with keys in braces."""

    type: Literal["textV2"]
    text: Annotated[str, AfterValidator(lambda text, info: written(text, _rule, info))]
    substitution: Annotated[dict[Key, SubstitutedEmoji], Field(max_length=MAX_SUBSTITUTIONS)] | None = None

    @model_validator(mode="after")
    def _keys_are_known(self) -> "TextV2Message":
        known, used = self.substitution or {}, 0
        for piece in read_fields(self.text):
            if not isinstance(piece, str):
                continue
            keys = _KEY.findall(piece)
            used += len(keys)
            if unknown := [key for key in keys if key not in known]:
                raise wrong(f"names {{{unknown[0]}}}, which substitution does not have", "text")
            if re.search(r"[{}]", _KEY.sub("", piece)):
                raise wrong('has a brace that belongs to no key: write {{ "{" }} for one of your own', "text")
        if used > MAX_EMOJI:
            raise wrong(f"has {used} emoji; at most {MAX_EMOJI}", "text")
        return self
