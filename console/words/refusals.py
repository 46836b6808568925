"""Why something was refused, as marketers read it: the product's rooms say it in English, with the place."""

from functools import cache

from campaigns.content.message import InvalidMessage
from console.words.catalog import FOLDER, english
from console.words.patterns import Patterns, patterns_of
from segmentation.rules.reading import RuleError

SHOWN = 5  # of several problems


def told(reason: object, language: str) -> str:
    """Why something was refused, in `language` ("zh" or "en"): an error, or its words, which are Chinese where a page
    itself refuses. What neither refusals.tsv nor the catalogue knows stays as it is."""
    if language == "en":
        return english().get(str(reason), str(reason))
    if isinstance(reason, InvalidMessage):
        return "；".join(f"{place} {_in_chinese(sentence)}" for place, sentence in reason.problems[:SHOWN])
    if isinstance(reason, RuleError):
        return f"{reason.path}：{_in_chinese(reason.sentence)}"
    return _in_chinese(str(reason))


def _in_chinese(sentence: str) -> str:
    return _patterns().told(sentence) or sentence


@cache
def _patterns() -> Patterns:
    return patterns_of(FOLDER / "refusals.tsv")
