"""The day on which a rule tag falls off by itself, if nothing more happens: exact, or not said at all.

Each condition's intervals (intervals.py) are swept from today on; on every day on which some condition begins or ends
to hold, the whole rule is asked again. Work grows with the facts of those who have the tag, not with their square, and
not with the days ahead. Ibis expressions; knows no database.
"""

from typing import Any

import ibis

from segmentation.rules.reading import conditions
from segmentation.rules.types import AllOf, AnyOf, NotOf, Rule
from segmentation.tags.days import FOREVER
from segmentation.tags.intervals import Future, intervals_of

Table = Any
Expression = Any


def leaves_of(rule: Rule) -> list[Rule]:
    """The different conditions on facts in `rule`."""
    return list(dict.fromkeys(part for _, part in conditions(rule) if not isinstance(part, AllOf | AnyOf | NotOf)))


def first_day_without(rule: Rule, future: Future) -> Table:
    """`customer_id, falls_off_on`: of the future's holders, for whom `rule` (expanded; all of its conditions can be
    foreseen) holds now, the first day as of whose start it doesn't; those for whom it holds for ever are left out."""
    leaves = leaves_of(rule)
    turns = []
    for place, leaf in enumerate(leaves):
        intervals = intervals_of(leaf, future)
        turns += [_turn(intervals, "start", place, 1), _turn(intervals, "stop", place, -1)]
    both = ibis.union(*turns)
    both = both.filter(both.day < ibis.literal(FOREVER))
    steps = {f"leaf{place}": both.step.sum(where=both.leaf == place).fill_null(0) for place in range(len(leaves))}
    by_day = both.group_by(["customer_id", "day"]).aggregate(**steps)
    so_far = ibis.window(group_by=by_day.customer_id, order_by=by_day.day, preceding=None, following=0)
    rows = by_day.mutate(**{name: by_day[name].sum().over(so_far) > 0 for name in steps})
    truth = {leaf: rows[f"leaf{place}"] for place, leaf in enumerate(leaves)}
    over = rows.filter(rows.day > ibis.literal(future.as_of.day), ~_holds(rule, truth))
    return over.group_by("customer_id").aggregate(falls_off_on=over.day.min())


def _turn(intervals: Table, side: str, leaf: int, step: int) -> Table:
    return intervals.select("customer_id", day=intervals[side], leaf=ibis.literal(leaf), step=ibis.literal(step))


def _holds(rule: Rule, truth: dict[Rule, Expression]) -> Expression:
    match rule:
        case AllOf():
            return ibis.and_(*[_holds(part, truth) for part in rule.of])
        case AnyOf():
            return ibis.or_(*[_holds(part, truth) for part in rule.of])
        case NotOf():
            return ~_holds(rule.of, truth)
    return truth[rule]
