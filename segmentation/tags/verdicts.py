"""From what a source says of a tag to what has to change: put on, taken off, or renewed. Ibis expressions; knows no
database.

A source gives a Verdict: a table with one row for each customer in scope, and expressions over it. Evidence is worked
out for those alone who change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis

from segmentation.facts import Facts
from segmentation.tags.days import FOREVER, MOST_DAYS, later
from segmentation.tags.definitions import BY_PEOPLE, GroupTag, MeasureTag
from segmentation.tags.lines import bound_of, crosses
from segmentation.tags.live import LiveTag
from segmentation.tags.measures import MEASURES, measured
from segmentation.tags.writing import COLUMNS

Table = Any
Expression = Any

# A strength is renewed when it has moved by so much, or by a tenth: it follows scores that fade a little every day.
STRENGTH_STEP = 0.05
STRENGTH_SHARE = 0.1
# What evidence of a group tells beside R, F and M: the brand's cycle where it is judged by it, and orders by cycles.
_FACTS: dict[str, tuple[str, ...]] = {
    "champion": (),
    "potential_loyalist": (),
    "win_back": ("cycle",),
    "at_risk_spender": ("cycle", "recent_orders", "former_orders"),
    "repeat_buyer": ("cycle",),
}


@dataclass(frozen=True)
class Verdict:
    """`rows` has one row per tag and customer in scope (`tag_id`, `customer_id`); the functions take those rows joined
    with `was_on`. Evidence is JSON text."""

    source: str
    rows: Table
    is_on: Callable[[Table], Expression]
    evidence: Callable[[Table], Expression]
    strength: Callable[[Table], Expression] = lambda _: ibis.literal(1.0)
    falls_off_on: Callable[[Table], Expression] = lambda _: ibis.null("date")


def differences(verdict: Verdict, now: Table) -> Table:
    """What has to change (the columns of writing.py), given `now`, all that is on. What people put on is left alone."""
    rows = judged(verdict, now)
    is_new, is_ours = rows.row_id.isnull(), ~rows.old_source.isin(BY_PEOPLE)
    rows = rows.mutate(strength=verdict.strength(rows).cast("float64"), falls_off_on=verdict.falls_off_on(rows))
    moved = (rows.strength - rows.old_strength).abs()
    is_other = (moved > STRENGTH_STEP) & (moved > STRENGTH_SHARE * rows.old_strength.abs())
    is_other |= ~rows.falls_off_on.identical_to(rows.old_falls_off_on)
    action = ibis.cases(
        (rows.is_on & is_new, "put"),
        (~rows.is_on & ~is_new & is_ours, "take"),
        (rows.is_on & ~is_new & is_ours & is_other, "keep"),
    )
    changed = rows.mutate(action=action).filter(ibis._.action.notnull())
    return changed.mutate(
        id=changed.row_id,
        source=ibis.literal(verdict.source),
        falls_off_on=changed.falls_off_on.cast("string"),
        evidence=verdict.evidence(changed),
    ).select(*COLUMNS)


def judged(verdict: Verdict, now: Table) -> Table:
    """The verdict's rows with `was_on` (`row_id`, `old_…` of the current row) and `is_on`; those with neither are left
    out."""
    mine = now.select(
        on_tag="tag_id",
        on_customer="customer_id",
        row_id="id",
        old_strength="strength",
        old_source="source",
        old_falls_off_on="falls_off_on",
    )
    rows = verdict.rows
    rows = rows.left_join(mine, (rows.tag_id == mine.on_tag) & (rows.customer_id == mine.on_customer))
    rows = rows.mutate(was_on=rows.row_id.notnull())
    rows = rows.mutate(is_on=verdict.is_on(rows))
    return rows.filter(rows.is_on | rows.was_on)


def told(as_of: date, found: dict[str, Any]) -> Expression:
    """Evidence of these names as JSON text."""
    return ibis.struct({"as_of": ibis.literal(as_of.isoformat()), **found}).cast("json").cast("string")


def of_group(facts: Facts, groups: Table, tag: LiveTag, as_of: date, cycle_days: int | None) -> Verdict:
    """In the group or not. Only 回頭客 falls off at a day that is known: when the last order is more than a cycle old
    (`cycle_days` of None: can't be said). The others look at the population, or last."""
    definition: GroupTag = tag.definition
    known = facts.segments.select(
        segment_id="customer_id", **{n: n for n in ("last_ordered_on", "frequency", "monetary", "r", "f", "m")}
    )
    people = _people(facts, tag)
    counted = [name for name in _FACTS[definition.group] if name in groups.columns]
    members = groups.select(group_id="customer_id", member=groups[definition.group], **{n: groups[n] for n in counted})
    rows = people.left_join(members, people.customer_id == members.group_id)
    rows = rows.left_join(known, rows.customer_id == known.segment_id)
    rows = rows.mutate(member=rows.member.fill_null(False))

    def evidence(found: Table) -> Expression:
        money = found.monetary / MEASURES["monetary"].units
        of = {"group": ibis.literal(definition.group), "last_ordered_on": found.last_ordered_on.cast("string")}
        scores = {name: found[name] for name in ("r", "f", "m")}
        by_cycles = {name: found[name] for name in counted}
        if cycle_days is not None and "cycle" in _FACTS[definition.group]:
            by_cycles["cycle"] = ibis.literal(cycle_days)
        return told(as_of, {**of, "frequency": found.frequency, "monetary": money, **scores, **by_cycles})

    def falls_off_on(found: Table) -> Expression:
        if definition.group != "repeat_buyer" or cycle_days is None:
            return ibis.null("date")
        return later(found.last_ordered_on, cycle_days + 1)

    return Verdict(tag.source, rows, lambda found: found.member, evidence, falls_off_on=falls_off_on)


def of_measure(facts: Facts, tag: LiveTag, as_of: date, *, is_foreseen: bool) -> Verdict | None:
    """On the side of the line or not; None while a dynamic line was never drawn. Only a limit of recency is crossed at
    a day that is known (if `is_foreseen`: no look-back window makes orders vanish)."""
    definition: MeasureTag = tag.definition
    measure, bound = MEASURES[definition.measure], bound_of(definition, tag.cut)
    if bound is None:
        return None
    people = _people(facts, tag)
    values = measured(facts, measure, as_of).rename(measured_id="customer_id")
    rows = people.left_join(values, people.customer_id == values.measured_id)
    line = {name: ibis.literal(text) for name, text in _given(definition).items()}
    if tag.cut is not None:
        line["cut"] = ibis.literal(tag.cut)

    def evidence(found: Table) -> Expression:
        shown = {"measure": ibis.literal(measure.name), "value": found.value / measure.units, **line}
        return told(as_of, shown)

    def strength(found: Table) -> Expression:
        return (found.value / measure.units).fill_null(0.0) if measure.is_chance else ibis.literal(1.0)

    def falls_off_on(found: Table) -> Expression:
        if measure.name != "recency_days" or definition.at_most is None or not is_foreseen:
            return ibis.null("date")
        day = later(ibis.literal(as_of), min(bound, MOST_DAYS) - found.value + 1)
        return ibis.cases((day < ibis.literal(FOREVER), day))

    def is_on(found: Table) -> Expression:
        return crosses(found.value, definition, bound).fill_null(False)

    return Verdict(tag.source, rows, is_on, evidence, strength, falls_off_on)


def _given(definition: MeasureTag) -> dict[str, str]:
    names = ("top_percent", "bottom_percent", "at_least", "at_most")
    given = {name: str(getattr(definition, name)) for name in names if getattr(definition, name) is not None}
    return given or {"above": "mean"}


def _people(facts: Facts, tag: LiveTag) -> Table:
    return facts.customers.select("customer_id", tag_id=ibis.literal(tag.tag_id, "int64"))
