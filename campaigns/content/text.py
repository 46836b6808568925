"""Text message: words, links that become tracked ones, LINE's own emoji at fixed places."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from campaigns.content.any_message import MessagePart
from campaigns.content.parts import Part, Rule, Written, plain, written, wrong

MAX_TEXT = 5_000
MAX_EMOJI = 20

Id = Annotated[str, plain(100, r"[0-9A-Za-z]+", "an id of letters and digits")]
_rule = Rule(MAX_TEXT, links="inside")


class Emoji(Part):
    """One of LINE's emoji in place of the `$` at a UTF-16 index."""

    index: Annotated[int, Field(ge=0)]
    product_id: Id
    emoji_id: Id


class TextMessage(MessagePart):
    """A text of at most 5,000 UTF-16 units."""

    type: Literal["text"]
    text: Annotated[str, AfterValidator(lambda text, info: written(text, _rule, info))]
    emojis: Annotated[list[Emoji], Field(max_length=MAX_EMOJI)] | None = None

    @model_validator(mode="after")
    def _emoji_have_places(self) -> "TextMessage":
        if not self.emojis:
            return self
        assert isinstance(self.text, Written)
        if not self.text.is_the_same_for_everyone:
            raise wrong("have fixed places, which fields and tracked links would move: use textV2", "emojis")
        units = self.text.encode("utf-16-le")
        for number, emoji in enumerate(self.emojis):
            if units[emoji.index * 2 : emoji.index * 2 + 2] != "$".encode("utf-16-le"):
                raise wrong("is not the place of a $", f"emojis[{number}].index")
        return self
