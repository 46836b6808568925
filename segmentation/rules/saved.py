"""Saved rules: kept by name, checked when they are saved, not deleted while something needs them.

A rule's row is its one writer's. Where tags follow it, the worker is asked to judge everybody anew when it changes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlmodel import Session

from segmentation.rules.reading import Names, RuleError, read_rule
from segmentation.rules.references import References, expanded, mentioned
from segmentation.rules.types import AllOf, Rule, RuleReference, to_builtins
from store.asked import SEGMENTS, ask_for
from store.engine import insert_for, table_of
from store.errors import UNSEEN, BadInput, ExpectedError, NotFound
from store.locks import DEFINITIONS, lock_until_end
from store.models import Rule as RuleRow
from store.models import Tag

MAX_NAME = 100
MOST_DIGITS = 18  # of a number that a database holds

row, tag = table_of(RuleRow), table_of(Tag)


class RuleInUse(ExpectedError):
    """A rule that tags or other rules need can't be deleted."""

    http_status = 409


class RuleExists(ExpectedError):
    """A new rule, or one under a new name, may not take the place of another."""

    http_status = 409


@dataclass(frozen=True)
class SavedRule:
    """A saved rule as it stands."""

    name: str
    rule: Rule
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Saving:
    """What was saved, and whether the worker was asked to judge the tags that follow it."""

    rule: Rule
    is_followed: bool


def save_rule(session: Session, name: str, given: str | bytes | dict[str, Any], now: datetime, *, actor: str) -> Saving:
    """Save what `given` says (see read_rule) as `name`, in place of a rule of that name. Never commits.

    Raises RuleError for what can't be used, for names that don't exist, and for a circle through rules and tags;
    BadInput for a name that can't be one.
    """
    check_rule_name(name)
    lock_until_end(session.connection(), DEFINITIONS)
    rules = load_rules(session)
    tags = session.execute(select(tag.c.name, tag.c.definition, tag.c.is_active)).all()
    rule = read_rule(given, Names(rules={*rules, name}, tags={one.name for one in tags}))
    grounds = {one.name: ground for one in tags if (ground := _ground(one.definition)) is not None}
    references = References({**rules, name: rule}, grounds)
    expanded(RuleReference(name=name), references)
    for user in _users(session, name):  # what it is a part of must not become too large or go round
        if user in rules:
            expanded(rules[user], references)
    values = {"definition": to_builtins(rule), "updated_at": now}
    saved = insert_for(session, RuleRow).values(name=name, created_at=now, **values)
    session.execute(saved.on_conflict_do_update(index_elements=["name"], set_=values))
    upon = _upon(name, references.rules)
    active = (grounds[one.name] for one in tags if one.is_active and one.name in grounds)
    is_followed = rule != rules.get(name) and any(mentioned(ground)[0] & upon for ground in active)
    if is_followed:
        ask_for(session, SEGMENTS, actor=actor, now=now, anew=True)
    return Saving(rule, is_followed)


def check_rule_name(name: str) -> str:
    """`name`, if a rule can be called that. Raises BadInput."""
    if not name.strip() or name != name.strip() or len(name) > MAX_NAME:
        raise BadInput(f"the name of a rule has 1 to {MAX_NAME} characters, and no space at its ends, not {name!r}")
    if name.startswith("{"):
        raise BadInput("the name of a rule doesn't begin with {: so begin rules that are written out")
    if not name.isprintable():
        raise BadInput(UNSEEN)
    return name


def _upon(name: str, rules: Mapping[str, Rule]) -> set[str]:
    """The rule `name`, and all that stand upon it, through others too."""
    found = {name}
    while more := {one for one, rule in rules.items() if mentioned(rule)[0] & found} - found:
        found |= more
    return found


def list_rules(session: Session) -> list[SavedRule]:
    """All saved rules by name. Raises RuleError, naming it, for one that can't be read."""
    rows = session.execute(select(row).order_by(row.c.name))
    return [SavedRule(found.name, _read(found), found.created_at, found.updated_at) for found in rows]


def load_rules(session: Session) -> dict[str, Rule]:
    """Name -> saved rule, for References. Raises RuleError as list_rules."""
    return {saved.name: saved.rule for saved in list_rules(session)}


def rule_named(session: Session, name: str) -> SavedRule:
    """One saved rule. Raises NotFound."""
    found = session.execute(select(row).where(row.c.name == name)).first()
    if found is None:
        raise NotFound(f"there is no saved rule {name!r}")
    return SavedRule(found.name, _read(found), found.created_at, found.updated_at)


def key_of_rule(session: Session, name: str) -> str:
    """What a saved rule is known by whatever it is called: its number, which may be given again, and when it was made.
    Raises NotFound."""
    found = session.execute(select(row.c.id, row.c.created_at).where(row.c.name == name)).first()
    if found is None:
        raise NotFound(f"there is no saved rule {name!r}")
    return _key(found)


def name_of_rule(session: Session, key: str) -> str | None:
    """What the saved rule of that key is called now; None when it is gone."""
    number = key.partition("@")[0]
    if not number.isdecimal() or len(number) > MOST_DIGITS:
        return None
    found = session.execute(select(row.c.name, row.c.id, row.c.created_at).where(row.c.id == int(number))).first()
    return found.name if found is not None and _key(found) == key else None


def _key(found: Any) -> str:
    return f"{found.id}@{found.created_at.isoformat()}"


def delete_rule(session: Session, name: str) -> None:
    """Forget a saved rule. Raises NotFound, and RuleInUse while a tag or another rule needs it. Never commits."""
    lock_until_end(session.connection(), DEFINITIONS)
    if users := _users(session, name):
        raise RuleInUse(f"the rule {name!r} is needed by {', '.join(users)}; change those first")
    if session.execute(delete(row).where(row.c.name == name)).rowcount == 0:  # type: ignore[attr-defined]
        raise NotFound(f"there is no saved rule {name!r}")


def _read(found: Any) -> Rule:
    try:
        return read_rule(found.definition)
    except RuleError as error:
        raise RuleError(error.path, f"in the saved rule {found.name!r}: {error.sentence}") from error


def _users(session: Session, name: str) -> list[str]:
    """The names of the rules that mention the rule, then of the tags that follow it or mention it."""
    rules = [saved.name for saved in list_rules(session) if name in mentioned(saved.rule)[0]]
    tags = session.execute(select(tag.c.name, tag.c.definition).order_by(tag.c.name))
    return rules + [f"tag {found.name}" for found in tags if name in set(_named(found.definition))]


def _ground(definition: dict[str, Any]) -> Rule | None:
    """All that a tag's definition asks for, as one rule; None for a tag that no rule puts on."""
    written = [read_rule(part) for key in ("when", "until") if isinstance(part := definition.get(key), dict)]
    named = [RuleReference(name=part) for key in ("rule", "until_rule") if isinstance(part := definition.get(key), str)]
    return AllOf(of=(*written, *named)) if written or named else None


def _named(definition: dict[str, Any]) -> Iterator[str]:
    ground = _ground(definition)
    if ground is not None:
        yield from mentioned(ground)[0]
