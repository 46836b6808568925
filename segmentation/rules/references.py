"""Rules that mention saved rules, and tags that rules put on: put in their place, with circles refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from segmentation.rules.reading import RuleError, conditions
from segmentation.rules.types import Rule, RuleReference, Tagged, part_path, parts_of, with_parts

MAX_EXPANDED = 2_000  # conditions of a rule with everything that it mentions put in its place


@dataclass(frozen=True)
class References:
    """Saved rules by name, and the rules of tags that are put on by one. A tag that isn't here is looked up among the
    tags that are on."""

    rules: Mapping[str, Rule] = field(default_factory=dict)
    tags: Mapping[str, Rule] = field(default_factory=dict)


def expanded(rule: Rule, references: References) -> Rule:
    """`rule` with the saved rules and rule tags that it mentions put in their place, all the way down. A tag condition
    that asks since when or how strongly is kept: only the tag itself knows that.

    Raises RuleError for an unknown saved rule, a circle, or more than MAX_EXPANDED conditions.
    """
    _Walk(references).visit(rule, "$", ())
    return _replaced(rule, references)


def referred(condition: Rule, references: References) -> Rule | None:
    """The rule that stands for `condition`; None when it speaks for itself. Raises KeyError for an unknown rule."""
    if isinstance(condition, RuleReference):
        return references.rules[condition.name]
    if isinstance(condition, Tagged) and condition.days is None and condition.strength is None:
        return references.tags.get(condition.name)
    return None


def mentioned(rule: Rule) -> tuple[set[str], set[str]]:
    """The names of the saved rules and of the tags that `rule` itself mentions."""
    inside = [condition for _, condition in conditions(rule)]
    rules = {condition.name for condition in inside if isinstance(condition, RuleReference)}
    return rules, {condition.name for condition in inside if isinstance(condition, Tagged)}


def _replaced(rule: Rule, references: References) -> Rule:
    target = referred(rule, references)
    if target is not None:
        return _replaced(target, references)
    return with_parts(rule, lambda part: _replaced(part, references))


class _Walk:
    """Looks for circles and counts, visiting each saved rule once however often it is mentioned."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._sizes: dict[tuple[str, str], int] = {}

    def visit(self, rule: Rule, path: str, trail: tuple[tuple[str, str], ...]) -> int:
        """How many conditions `rule` has when expanded. `trail`: what has been entered on the way here."""
        if isinstance(rule, RuleReference) and rule.name not in self._references.rules:
            where = f"{path}.name" if not trail else f"$ of {_named(trail[-1])}"
            raise RuleError(where, f"there is no saved rule {rule.name!r}")
        target = referred(rule, self._references)
        if target is None or not isinstance(rule, RuleReference | Tagged):
            size = 1 + sum(
                self.visit(part, part_path(rule, path, i) if not trail else path, trail)
                for i, part in enumerate(parts_of(rule))
            )
        else:
            entered = ("rule" if isinstance(rule, RuleReference) else "tag", rule.name)
            if entered in trail:
                circle = " → ".join(_named(step) for step in (*trail[trail.index(entered) :], entered))
                raise RuleError(path, f"the rules go round in a circle: {circle}")
            if entered not in self._sizes:
                self._sizes[entered] = self.visit(target, path, (*trail, entered))
            size = self._sizes[entered]
        if size > MAX_EXPANDED:
            raise RuleError(path, f"more than {MAX_EXPANDED} conditions with the rules that it mentions")
        return size


def _named(step: tuple[str, str]) -> str:
    return f"{step[0]} {step[1]!r}"
