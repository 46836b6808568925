"""Of which tags it is known when they fall off somebody: there no day means never. Of the others (scores, quantiles,
predictions move with everybody) no day means that nobody can know. Knows no database.

Of most tags of computations it is known how long those that are there last, and a move stays in a window of given
days, but not when new ones come: so they may be asked for where all conditions must hold, but under any or not a new
one could change what was said. In a rolling window a new move could prolong it even there.
"""

from collections.abc import Iterator
from datetime import date

from segmentation.rules.types import AllOf, Moved, Rule, Tagged, parts_of
from segmentation.tags.definitions import GroupTag, MeasureTag, PreferenceTag, RuleTag, line_of
from segmentation.tags.intervals import LASTING, can_be_foreseen
from segmentation.tags.live import Live, LiveTag
from segmentation.tags.rule_tags import WholeRule, untangled, whole_rule
from store.errors import BadInput

_BY_CYCLE = ("win_back", "repeat_buyer")  # groups that only an order, or its age, changes


def known_ends(live: Live, as_of: date, *, has_cycle: bool) -> set[int]:
    """The ids of the tags of which it is known, as of the start of the day. Tags of people, and those that nothing
    takes off any more, are among them. `has_cycle`: orders don't vanish from a look-back window."""
    rules: dict[str, WholeRule] = {}
    tags = {tag.name: tag for tag in live.tags}
    for tag in live.of(RuleTag):
        try:
            rules[tag.name] = whole_rule(tag.definition, live.rules)
        except BadInput:
            continue  # it is left as it is, and its row says why
    order, _ = untangled(rules)
    unknown = {tag.name for tag in live.tags if not _is_known(tag, has_cycle=has_cycle)}
    coming = {tag.name for tag in live.tags if _may_come(tag)}
    for name in (name for layer in order for name in layer):
        if all(
            can_be_foreseen(leaf, as_of, has_cycle=has_cycle)
            and not (isinstance(leaf, Tagged) and leaf.name in unknown)
            and (must_hold or not _comes_unforeseen(leaf, coming, as_of))
            for leaf, must_hold in _conditions(rules[name].keeps)
        ):
            unknown.discard(name)
    return live.names.keys() - live.problems.keys() - {tags[name].tag_id for name in unknown}


def _is_known(tag: LiveTag, *, has_cycle: bool) -> bool:
    """Of a rule's: not before it was looked into."""
    match tag.definition:
        case GroupTag():
            return has_cycle and tag.definition.group in _BY_CYCLE
        case MeasureTag():
            is_lasting = tag.definition.measure == "paid_total" or (
                has_cycle and tag.definition.measure in LASTING | {"recency_days"}
            )
            return is_lasting and line_of(tag.definition) == "static"
    return isinstance(tag.definition, PreferenceTag)


def _may_come(tag: LiveTag) -> bool:
    """Whether it may be put on somebody who does nothing."""
    match tag.definition:
        case GroupTag():
            return tag.definition.group == "win_back"
        case MeasureTag():
            return tag.definition.measure == "recency_days" and tag.definition.at_least is not None
    return isinstance(tag.definition, RuleTag)


def _comes_unforeseen(leaf: Rule, coming: set[str], as_of: date) -> bool:
    """Whether it may begin to hold on a day that is not known."""
    if isinstance(leaf, Tagged):
        return leaf.name in coming
    return isinstance(leaf, Moved) and not (leaf.window and leaf.window.until and leaf.window.until <= as_of)


def _conditions(rule: Rule, *, must_hold: bool = True) -> Iterator[tuple[Rule, bool]]:
    """The conditions on facts in `rule`, and whether each must hold for it to hold."""
    parts = parts_of(rule)
    for part in parts:
        yield from _conditions(part, must_hold=must_hold and isinstance(rule, AllOf))
    if not parts:
        yield rule, must_hold
