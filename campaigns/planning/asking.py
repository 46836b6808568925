"""Where a campaign, or the draft of one, says whom it means: targets and conditions, and no other words."""

from collections.abc import Iterator
from typing import Any

ASKING = ("any_of", "none_of", "goal", "condition")  # names of fields


def asked_in(value: Any) -> Iterator[Any]:
    """What stands in the fields of `value` (JSON) that ask for people, wherever they stand in it: targets, conditions
    or their text, which may be half written in a draft."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key in ASKING:
            yield inner
        else:
            yield from asked_in(inner)
    for inner in value if isinstance(value, list) else ():
        yield from asked_in(inner)
