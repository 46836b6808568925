"""Rules of rule tags in the marketer's words."""

from collections.abc import Mapping
from typing import Any, Literal

from sqlmodel import Session

from console.words.catalog import translate
from segmentation.rules.reading import conditions
from segmentation.rules.saved import load_rules
from segmentation.rules.types import AllOf, AnyOf, NotOf, Rule
from segmentation.rules.wording import found_words, sentence
from segmentation.tags.definitions import RuleTag
from segmentation.tags.rule_tags import whole_rule


def rule_sentence(session: Session, definition: RuleTag, language: str) -> str:
    """What puts the tag on, and what takes it off where that is a rule of its own. Raises BadInput for a rule that
    can't be read or is not there."""
    whole = whole_rule(definition, load_rules(session))
    puts = sentence(whole.on, known(language))
    return (
        puts if whole.off is None else f"{puts} · {translate('直到', language)} {sentence(whole.off, known(language))}"
    )


def conditions_of(session: Session, definition: RuleTag) -> Mapping[str, Rule]:
    """Path -> each condition that evidence of the tag can tell of, in the rule that puts it on. Raises BadInput as
    `rule_sentence`."""
    puts = whole_rule(definition, load_rules(session)).puts
    return {path: part for path, part in conditions(puts) if not isinstance(part, AllOf | AnyOf | NotOf)}


def told_of(condition: Rule, found: Any, language: str) -> tuple[str, str]:
    """(what the condition asks, what was found), in words."""
    return sentence(condition, known(language)), found_words(condition, found, known(language))


def known(language: str) -> Literal["zh", "en"]:
    """The console's language as rules know it."""
    return "en" if language == "en" else "zh"
