"""What is wrong with settings as they were typed, said at the field, or the cell of a table, where it is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from console.settings.tables import TABLES, Row, WrongCell, cell_of
from console.words.catalog import translate
from console.words.refusals import told
from store.errors import ExpectedError

# Kinds of errors of pydantic -> words with the places that their context fills
# https://docs.pydantic.dev/latest/errors/validation_errors/
WORDS = {
    "missing": "這裡不能空白。",
    "string_too_short": "這裡不能空白。",
    "int_parsing": "這裡要寫一個整數。",
    "int_from_float": "這裡要寫一個整數。",
    "float_parsing": "這裡要寫一個數字。",
    "decimal_parsing": "這裡要寫一個數字。",
    "finite_number": "這裡要寫一個數字。",
    "greater_than": "要大於 {gt}。",
    "greater_than_equal": "不能小於 {ge}。",
    "less_than": "要小於 {lt}。",
    "less_than_equal": "不能大於 {le}。",
    "decimal_max_places": "小數最多 {decimal_places} 位。",
    "decimal_max_digits": "這個數字太長了。",
    "decimal_whole_digits": "這個數字太長了。",
    "date_from_datetime_parsing": "日期要像 2026-12-24 這樣寫。",
    "date_parsing": "日期要像 2026-12-24 這樣寫。",
}
BLANK, OF_OURS = "這裡不能空白。", "Value error, "
# As segmentation/preference/choices.py names a line or a code
KEYED = re.compile(r"(\w+): (?:'([^']+)'|([^:]+)): ?.*", re.DOTALL)


@dataclass(frozen=True)
class Wrong:
    """Field or cell -> why it can't be; and what belongs to none."""

    at: Mapping[str, str] = field(default_factory=dict)
    whole: Sequence[str] = ()


def wrong_with(error: ExpectedError, typed: Mapping[str, Sequence[Row]], names: Sequence[str], language: str) -> Wrong:
    """What `error`, a refusal of settings, says of the fields `names`; `typed` the rows of those that are tables."""
    if isinstance(error, WrongCell):
        return Wrong({error.cell: told(error, language)})
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        place = _keyed(str(error), typed)
        return Wrong({place: told(error, language)}) if place else Wrong(whole=[told(error, language)])
    at: dict[str, str] = {}
    whole: list[str] = []
    for one in cause.errors():
        words, place = _said(one, language), _place(one["loc"], typed, names)
        if place is None:
            whole.append(words)
        else:
            at.setdefault(place, words)
    return Wrong(at, whole)


def _said(one: Any, language: str) -> str:
    if one.get("input") == "":
        return translate(BLANK, language)
    if (words := WORDS.get(one["type"])) is not None:
        context = {name: f"{held:g}" if isinstance(held, float) else held for name, held in one.get("ctx", {}).items()}
        return translate(words, language, **context)
    return told(one["msg"].removeprefix(OF_OURS), language)


def _place(loc: Sequence[str | int], typed: Mapping[str, Sequence[Row]], names: Sequence[str]) -> str | None:
    if not loc or loc[0] not in names:
        return None
    name = str(loc[0])
    return cell_of(name, typed[name], loc[1:]) if name in typed and len(loc) > 1 else name


def _keyed(sentence: str, typed: Mapping[str, Sequence[Row]]) -> str | None:
    match = KEYED.fullmatch(sentence)
    if match is None or match[1] not in TABLES or match[1] not in typed:
        return None
    return cell_of(match[1], typed[match[1]], [match[2] or match[3]])
