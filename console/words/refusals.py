"""Why something was refused, as marketers read it: the product's rooms say it in English, with the place."""

import re
from functools import cache

from campaigns.content.message import InvalidMessage
from console.words.catalog import FOLDER, english, translate
from console.words.marks import COLON, quoted
from console.words.names import RULE_FIELDS
from console.words.patterns import Patterns, patterns_of
from segmentation.rules.reading import RuleError

SHOWN = 5  # of several problems


def told(reason: object, language: str) -> str:
    """Why something was refused, in `language` ("zh" or "en"): an error, or its words, which are Chinese where a page
    itself refuses. What neither refusals.tsv nor the catalogue knows stays as it is."""
    if isinstance(reason, RuleError):
        return _told_of_rule(reason, language)
    if language == "en":
        return english().get(str(reason), str(reason))
    if isinstance(reason, InvalidMessage):
        return "；".join(f"{place} {_in_chinese(sentence)}" for place, sentence in reason.problems[:SHOWN])
    return _in_chinese(str(reason))


def _told_of_rule(error: RuleError, language: str) -> str:
    """With the number of the condition as it stands on a page, and the field's name there."""
    number, conditions = _condition(error.path), translate("條件", language)
    sentence = error.sentence if language == "en" else _in_chinese(error.sentence)
    if number:
        field = _field(error.path)
        place = f"{conditions} {number}" + (quoted(translate(field, language), language) if field else "")
    else:  # of all conditions together, or one that is written as JSON
        place = conditions if error.path in ("$", "$.of") else error.path
    return f"{place}{COLON[language]}{sentence}"


def _field(path: str) -> str:
    """What the field that the path ends in is called on pages; empty for a whole condition."""
    parts = re.findall(r"[a-z_]+", path.rpartition("of[")[2])
    return next((RULE_FIELDS[name] for name in (".".join(parts), *parts[-1:]) if name in RULE_FIELDS), "")


def _condition(path: str) -> str:
    """The number of a condition as its rows stand on a page, such as 2.1 for the first in the second group; empty where
    the path names none."""
    return ".".join(str(int(place) + 1) for place in re.findall(r"\bof\[(\d+)\]", path))


def _in_chinese(sentence: str) -> str:
    # Python quotes a name that holds an apostrophe, such as Mother's Day, otherwise
    return _patterns().told(sentence) or _patterns().told(re.sub(r'"([^"]*\'[^"]*)"', r"'\1'", sentence)) or sentence


@cache
def _patterns() -> Patterns:
    return patterns_of(FOLDER / "refusals.tsv")
