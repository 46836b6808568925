"""Of which tags it is known when they fall off somebody: there no day means never. Of the others (scores, quantiles,
predictions move with everybody) no day means that nobody can know. Knows no database."""

from datetime import date

from segmentation.rules.types import Tagged
from segmentation.tags.definitions import GroupTag, MeasureTag, PreferenceTag, RuleTag, line_of
from segmentation.tags.foreseen import leaves_of
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
    for name in (name for layer in order for name in layer):
        if _foreseen(rules[name], unknown, as_of, has_cycle=has_cycle):
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


def _foreseen(rule: WholeRule, unknown: set[str], as_of: date, *, has_cycle: bool) -> bool:
    return all(
        can_be_foreseen(leaf, as_of, has_cycle=has_cycle) and not (isinstance(leaf, Tagged) and leaf.name in unknown)
        for leaf in leaves_of(rule.keeps)
    )
