"""Rule tags: their rules made whole, and in which order they are judged when they ask for each other. Knows no
database."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from segmentation.rules.reading import Names, read_rule
from segmentation.rules.references import References, expanded, mentioned
from segmentation.rules.types import AllOf, NotOf, Rule
from segmentation.tags.definitions import InvalidTag, RuleTag


@dataclass(frozen=True)
class WholeRule:
    """The rules of a tag with the saved rules that they mention put in their place. Tags that they mention are looked
    up among those that are on."""

    on: Rule
    off: Rule | None  # hysteresis: None means off as soon as `on` doesn't hold

    @property
    def tags(self) -> set[str]:
        """The names of the tags that are asked for."""
        return mentioned(self.on)[1] | (mentioned(self.off)[1] if self.off else set())

    @property
    def keeps(self) -> Rule:
        """What holds as long as the tag stays on."""
        return self.on if self.off is None else NotOf(of=self.off)

    @property
    def puts(self) -> Rule:
        """What puts the tag on. `off` goes first, or the two would take turns."""
        return self.on if self.off is None else AllOf(of=(self.on, NotOf(of=self.off)))


def whole_rule(definition: RuleTag, saved: Mapping[str, Rule], names: Names | None = None) -> WholeRule:
    """The rules that a definition names or writes out. Raises RuleError, with the path in the rule, for what can't be
    used; with `names` also for saved rules and tags that aren't among them."""
    on = _rule(definition.rule, definition.when, names)
    assert on is not None
    off = _rule(definition.until_rule, definition.until, names)
    references = References(rules=saved)
    return WholeRule(expanded(on, references), None if off is None else expanded(off, references))


def _rule(name: str | None, written: dict[str, object] | None, names: Names | None) -> Rule | None:
    if name is not None:
        return read_rule({"type": "rule", "name": name}, names)
    return None if written is None else read_rule(written, names)


def layers(rules: Mapping[str, WholeRule]) -> list[list[str]]:
    """The names of rule tags in the order in which they can be judged: those of one layer ask only for tags of the
    layers before, and are judged in one pass. Raises InvalidTag for a circle, naming it."""
    sorter = TopologicalSorter({name: rule.tags & rules.keys() for name, rule in rules.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise Circle(list(error.args[1])) from error
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        found.append(ready)
        sorter.done(*ready)
    return found


class Circle(InvalidTag):
    """Rule tags that wait for each other."""

    def __init__(self, tags: list[str]) -> None:
        super().__init__(f"the rules of these tags go round in a circle: {' → '.join(tags)}")
        self.tags = tags


def untangled(rules: Mapping[str, WholeRule]) -> tuple[list[list[str]], dict[str, str]]:
    """`layers`, with the tags of circles left out; and for each of those what is wrong."""
    left, problems = dict(rules), dict[str, str]()
    while True:
        try:
            return layers(left), problems
        except Circle as error:
            problems |= dict.fromkeys(error.tags, str(error))
            left = {name: rule for name, rule in left.items() if name not in error.tags}
