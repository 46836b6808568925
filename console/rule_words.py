"""Rules of rule tags as they are shown: by name where they are saved ones, else as they are written."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import select
from sqlmodel import Session

from console.words import translate
from segmentation.rules.reading import conditions, read_rule
from segmentation.rules.types import AllOf, AnyOf, NotOf, Rule
from segmentation.tags.definitions import RuleTag
from store.engine import table_of
from store.models import Rule as SavedRule

saved = table_of(SavedRule)


def rule_sentence(session: Session, definition: RuleTag, language: str) -> str:
    """What puts the tag on, and what takes it off where that is a rule of its own. Raises BadInput for a rule that
    can't be read."""

    def told(name: str | None, written: dict[str, object] | None) -> str | None:
        rule = _rule(session, name, written)
        if rule is None:
            return f"{translate('規則', language)} {name}" if name else None
        words = _words(rule)
        return f"{translate('規則', language)} {name}: {words}" if name else words

    puts = told(definition.rule, definition.when) or "–"
    takes = told(definition.until_rule, definition.until)
    return puts if takes is None else f"{puts} · {translate('直到', language)} {takes}"


def conditions_of(session: Session, definition: RuleTag) -> Mapping[str, str]:
    """Path -> the words of each condition that evidence can tell of. Raises BadInput as `rule_sentence`."""
    rule = _rule(session, definition.rule, definition.when)
    if rule is None:
        return {}
    return {path: _words(part) for path, part in conditions(rule) if not isinstance(part, AllOf | AnyOf | NotOf)}


def _rule(session: Session, name: str | None, written: dict[str, object] | None) -> Rule | None:
    """A saved rule, or one that is written out; None for neither, or when there is none of that name."""
    if name is not None:
        written = session.scalar(select(saved.c.definition).where(saved.c.name == name))
    return None if written is None else read_rule(dict(written))


def _words(rule: Rule) -> str:
    return msgspec.json.encode(rule).decode()
