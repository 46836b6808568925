"""What the editor's forms hold of a content, as LINE's messages, and LINE's messages as what its forms hold.

A content: `messages`, each a part with its `kind` and the fields of that, and `replies`, the rows of quick replies.
JSON that no form could hold without a loss stays JSON.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from campaigns.content.layout_reading import read_layout
from campaigns.content.layouts import LAYOUTS, build_layout
from console.campaigns.message_kinds import KINDS, QUICK_REPLIES
from console.campaigns.shapes import ROWS, KeyedRows, fill, is_blank, read
from store.errors import BadInput

CARD, JSON = "card", "json"
KINDS_IN_ORDER = (
    *("text", "textV2", "image", "video", "imagemap", CARD),
    *("buttons", "confirm", "carousel", "pictures", "coupon", JSON),
)
QUICK = "quickReply"

Part = dict[str, Any]
Message = dict[str, Any]


class WrongMessage(BadInput):
    """One message of a content can't be made: which (from 1), and why."""

    def __init__(self, number: int, reason: BadInput) -> None:
        super().__init__(f"{number}: {reason}")
        self.number, self.reason = number, reason


def messages_of(content: Mapping[str, Any]) -> list[Message]:
    """The LINE messages of a content, unchecked. Raises WrongMessage, and BadInput for two sets of quick replies."""
    made: list[Message] = []
    for number, part in enumerate(content["messages"], 1):
        try:
            made += part_messages(part)
        except BadInput as error:
            raise WrongMessage(number, error) from error
    rows = [row for row in content.get("replies", []) if not is_blank(row)]
    if rows:
        if not made or not isinstance(made[-1], dict) or QUICK in made[-1]:
            raise BadInput("the JSON of the last message has its own quickReply: keep one of them")
        made[-1] = {**made[-1], QUICK: fill(QUICK_REPLIES.shape, {ROWS: rows})}
    return made


def content_of_messages(messages: Sequence[Message]) -> dict[str, Any]:
    """What the forms hold of these messages; those that no form holds are JSON. `messages_of` gives the same back."""
    found = [dict(message) for message in messages]
    replies = read(QUICK_REPLIES.shape, found[-1][QUICK]) if found and QUICK in found[-1] else None
    if replies and replies[ROWS]:
        del found[-1][QUICK]
    return {"messages": [part_of(one) or json_part(one) for one in found], "replies": (replies or {}).get(ROWS, [])}


def part_messages(part: Part) -> list[Message]:
    """The message of one part; of JSON there may be several. Raises BadInput."""
    if part["kind"] == JSON:
        return _from_json(part.get("json", ""))
    if part["kind"] == CARD:
        return [build_layout(part.get("layout", ""), _card_fields(part))]
    kind = KINDS[part["kind"]]
    _require_different_keys(kind.shape, part)
    return [fill(kind.shape, part)]


def part_of(message: Message) -> Part | None:
    """The form of a message, or None: no form makes this very message."""
    for name, kind in KINDS.items():
        if (values := read(kind.shape, message)) is not None:
            return {"kind": name, **values}
    if (found := read_layout(message)) is not None:
        layout, fields = found
        texts = {name: value if isinstance(value, str) else "\n".join(value) for name, value in fields.items()}
        part = {"kind": CARD, "layout": layout, "fields": texts}
        return part if _makes(part, message) else None
    return None


def json_part(message: Any) -> Part:
    """A message as JSON that a person can read."""
    return {"kind": JSON, "json": json.dumps(message, ensure_ascii=False, indent=2)}


def is_list(layout: Any, name: str) -> bool:
    """Whether a field of a layout holds several values."""
    return "list" in str(layout.model_fields[name].annotation)


def _card_fields(part: Part) -> dict[str, Any]:
    """The fields of a layout; a list is written one a line. What was left empty is left out."""
    layout = LAYOUTS.get(part.get("layout", ""))
    if layout is None:
        return {}
    given = {name: part.get("fields", {}).get(name, "") for name in layout.model_fields}
    return {
        name: [line.strip() for line in text.splitlines() if line.strip()] if is_list(layout, name) else text
        for name, text in given.items()
        if text.strip()
    }


def _makes(part: Part, message: Message) -> bool:
    try:
        return part_messages(part) == [message]
    except BadInput:
        return False


def _from_json(text: str) -> list[Message]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"this is not JSON: {error}") from error
    return found if isinstance(found, list) else [found]


def _require_different_keys(shape: Any, part: Part) -> None:
    keyed = next((one for one in shape.values() if isinstance(one, KeyedRows)), None)
    if keyed is None:
        return
    keys = [row.get(keyed.key, "") for row in part.get(ROWS, []) if not is_blank(row)]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise BadInput(f"the key {twice!r} stands for two emoji")
