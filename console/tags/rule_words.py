"""Rules of rule tags in the marketer's words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlmodel import Session

from console.words.catalog import translate
from segmentation.rules.naming import campaign_names
from segmentation.rules.reading import conditions
from segmentation.rules.saved import load_rules
from segmentation.rules.types import AllOf, AnyOf, NotOf, Rule, mark_of
from segmentation.rules.wording import found_words, sentence
from segmentation.tags.definitions import RuleTag
from segmentation.tags.rule_tags import whole_rule


@dataclass(frozen=True)
class Asked:
    """What evidence needs to be told: of a rule tag each condition by its path, and the `mark` of that rule; names of
    campaigns by their numbers."""

    conditions: Mapping[str, Rule] = field(default_factory=dict)
    mark: str | None = None
    campaigns: Mapping[int, str] = field(default_factory=dict)


def rule_sentence(session: Session, definition: RuleTag, language: str) -> str:
    """What puts the tag on, and what takes it off where that is a rule of its own. Raises BadInput for a rule that
    can't be read or is not there."""
    whole = whole_rule(definition, load_rules(session))
    puts = rule_words(session, whole.on, language)
    if whole.off is None:
        return puts
    return f"{puts} · {translate('直到', language)} {rule_words(session, whole.off, language)}"


def rule_words(session: Session, rule: Rule, language: str) -> str:
    """A rule as a sentence, the campaigns that it asks for by their names."""
    return sentence(rule, known(language), campaign_names(session, rule))


def asked_by(session: Session, definition: RuleTag) -> Asked:
    """What evidence of the tag can tell of, in the rule that puts it on. Raises BadInput as `rule_sentence`."""
    puts = whole_rule(definition, load_rules(session)).puts
    found = {path: part for path, part in conditions(puts) if not isinstance(part, AllOf | AnyOf | NotOf)}
    return Asked(found, mark_of(puts), campaign_names(session, puts))


def told_of(condition: Rule, found: Any, language: str, campaigns: Mapping[int, str]) -> tuple[str, str]:
    """(what the condition asks, what was found), in words; campaigns by their names."""
    return sentence(condition, known(language), campaigns), found_words(condition, found, known(language))


def known(language: str) -> Literal["zh", "en"]:
    """The console's language as rules know it."""
    return "en" if language == "en" else "zh"
