"""Which tables of facts the active tags read, so that a renewal reads no others."""

from sqlmodel import Session

from segmentation.preference.compute import FACTS as PREFERENCE_FACTS
from segmentation.rules.reading import conditions
from segmentation.rules.types import Clicks, Events, InSegment, Measure, Moved, Orders, Rule
from segmentation.rules.values import PREDICTIONS
from segmentation.tags.definitions import MeasureTag, RuleTag
from segmentation.tags.live import live_tags
from segmentation.tags.measures import MEASURES
from segmentation.tags.rule_tags import whole_rule
from store.errors import BadInput


def needed_facts(session: Session) -> frozenset[str]:
    """The names of the tables of Facts that `renew_tags` would read, `customers` always among them. Tags that are on it
    reads itself, and segments it is given."""
    live = live_tags(session)
    needed = {"customers"}
    if live.has_preferences:
        needed |= set(PREFERENCE_FACTS)
    for tag in live.of(MeasureTag):
        if MEASURES[tag.definition.measure].kind == "predictive":
            needed.add("predictions")
    for tag in live.of(RuleTag):
        try:
            rule = whole_rule(tag.definition, live.rules)
        except BadInput:
            continue  # it won't be judged, and its row will say why
        for part in (rule.on, rule.off):
            if part is not None:
                needed |= {table for _, condition in conditions(part) for table in _tables(condition)}
    return frozenset(needed)


def _tables(condition: Rule) -> set[str]:
    match condition:
        case Orders(products=None, measure="count" | "sum" | "average" | "days" | "first" | "last"):
            return {"orders"}
        case Orders():
            return {"orders", "lines", "products"}
        case Events() | Clicks():
            return {"events", "products"}
        case Moved():
            return {"changes"}
        case InSegment() if condition.days_ago is not None or condition.on is not None:
            # all of the history, which grows for ever: not for a segment as it is now
            return {"changes", "runs"}
        case Measure() if condition.name in PREDICTIONS:
            return {"predictions"}
    return set()
