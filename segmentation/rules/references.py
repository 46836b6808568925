"""Rules that mention saved rules, and tags that rules put on: put in their place, with circles refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from segmentation.rules.reading import RuleError, conditions
from segmentation.rules.types import Rule, RuleReference, Tagged, part_path, parts_of, with_parts

# Of a rule with everything that it mentions put in its place: conditions, and how deep they lie in each other, saved
# rules and tags that stand for one counted too. Deeper ones take minutes to explain, and then more than Python's stack.
MAX_EXPANDED = 2_000
MAX_EXPANDED_DEPTH = 60


@dataclass(frozen=True)
class References:
    """Saved rules by name, and the rules of tags that are put on by one. A tag that isn't here is looked up among the
    tags that are on."""

    rules: Mapping[str, Rule] = field(default_factory=dict)
    tags: Mapping[str, Rule] = field(default_factory=dict)


def expanded(rule: Rule, references: References) -> Rule:
    """`rule` with the saved rules and rule tags that it mentions put in their place, all the way down. A tag condition
    that asks since when or how strongly is kept: only the tag itself knows that.

    Raises RuleError for an unknown saved rule, a circle, more than MAX_EXPANDED conditions, or more than
    MAX_EXPANDED_DEPTH of them in each other.
    """
    _Walk(references).visit(rule, "$", (), 1)
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


@dataclass(frozen=True)
class _Extent:
    """Of an expanded rule: its conditions, and how deep the deepest lies, its own level the first."""

    size: int
    depth: int


class _Walk:
    """Looks for circles and counts, visiting each saved rule once however often it is mentioned."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._extents: dict[tuple[str, str], _Extent] = {}

    def visit(self, rule: Rule, path: str, trail: tuple[tuple[str, str], ...], level: int) -> _Extent:
        """The extent of `rule` when expanded. `trail`: what has been entered on the way here; `level`: how deep."""
        self._check_depth(path, level)
        if isinstance(rule, RuleReference) and rule.name not in self._references.rules:
            where = f"{path}.name" if not trail else f"$ of {_named(trail[-1])}"
            raise RuleError(where, f"there is no saved rule {rule.name!r}")
        target = referred(rule, self._references)
        if target is None or not isinstance(rule, RuleReference | Tagged):
            parts = [
                self.visit(part, part_path(rule, path, i) if not trail else path, trail, level + 1)
                for i, part in enumerate(parts_of(rule))
            ]
            found = _Extent(1 + sum(p.size for p in parts), 1 + max((p.depth for p in parts), default=0))
        else:
            entered = ("rule" if isinstance(rule, RuleReference) else "tag", rule.name)
            if entered in trail:
                circle = " → ".join(_named(step) for step in (*trail[trail.index(entered) :], entered))
                raise RuleError(path, f"the rules go round in a circle: {circle}")
            if entered not in self._extents:
                self._extents[entered] = self.visit(target, path, (*trail, entered), level + 1)
            inside = self._extents[entered]
            found = _Extent(inside.size, 1 + inside.depth)
        self._check_depth(path, level + found.depth - 1)
        if found.size > MAX_EXPANDED:
            raise RuleError(path, f"more than {MAX_EXPANDED} conditions with the rules that it mentions")
        return found

    def _check_depth(self, path: str, level: int) -> None:
        if level > MAX_EXPANDED_DEPTH:
            raise RuleError(path, f"nested more than {MAX_EXPANDED_DEPTH} deep with the rules that it mentions")


def _named(step: tuple[str, str]) -> str:
    return f"{step[0]} {step[1]!r}"
