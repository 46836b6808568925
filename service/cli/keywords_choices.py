"""What `retarget keywords settings`, `schedule` and `retarget tag preferences` share: NAME=VALUE in, what holds out."""

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from store.errors import BadInput


def changes_of(words: Sequence[str], *, lists: Collection[str]) -> dict[str, Any]:
    """The settings and values of NAME=VALUE each, a value of None for NAME=; those of `lists` have words between
    commas. Raises BadInput."""
    return dict(_change_of(one, lists) for one in words)


def show_choices(values: Mapping[str, Any], own: Collection[str]) -> None:
    """What holds of each setting, and whether the brand chose it."""
    table = Table("setting", "value", "")
    for name, value in values.items():
        said = "、".join(value) if isinstance(value, list) else str(value)
        table.add_row(name, said, "chosen" if name in own else "default")
    Console(file=sys.stdout).print(table)


def _change_of(words: str, lists: Collection[str]) -> tuple[str, Any]:
    name, sign, value = words.partition("=")
    if not sign:
        raise BadInput(f"{words!r} is not NAME=VALUE")
    if value == "":
        return name, None
    if name in lists:
        return name, [word.strip() for word in value.replace("，", ",").replace("、", ",").split(",") if word.strip()]
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
