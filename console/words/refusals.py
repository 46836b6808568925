"""Why something was refused, as marketers read it: the product's rooms say it in English, with the place."""

import re
from functools import cache

from campaigns.content.message import InvalidMessage
from console.words.catalog import FOLDER, english
from console.words.patterns import Patterns, patterns_of
from segmentation.rules.reading import RuleError

SHOWN = 5  # of several problems


def told(reason: object, language: str) -> str:
    """Why something was refused, in `language` ("zh" or "en"): an error, or its words, which are Chinese where a page
    itself refuses. What neither refusals.tsv nor the catalogue knows stays as it is."""
    if isinstance(reason, RuleError) and (number := _condition(reason.path)):
        chinese = f"條件 {number}：{_in_chinese(reason.sentence)}"
        return f"condition {number}: {reason.sentence}" if language == "en" else chinese
    if language == "en":
        return english().get(str(reason), str(reason))
    if isinstance(reason, InvalidMessage):
        return "；".join(f"{place} {_in_chinese(sentence)}" for place, sentence in reason.problems[:SHOWN])
    if isinstance(reason, RuleError):
        return f"{reason.path}：{_in_chinese(reason.sentence)}"
    return _in_chinese(str(reason))


def _condition(path: str) -> str:
    """The number of a condition as its rows stand on a page, such as 2.1 for the first in the second group; empty where
    the path names none."""
    return ".".join(str(int(place) + 1) for place in re.findall(r"\bof\[(\d+)\]", path))


def _in_chinese(sentence: str) -> str:
    return _patterns().told(sentence) or sentence


@cache
def _patterns() -> Patterns:
    return patterns_of(FOLDER / "refusals.tsv")
