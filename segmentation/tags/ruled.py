"""Tags judged by what is known of each customer; rule tags layer by layer, all rules of a layer in one pass over the
facts."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import ibis

from segmentation.facts import Facts
from segmentation.rules.compile import Compiled, compile_rules
from segmentation.rules.types import AllOf, mark_of
from segmentation.tags.current import after
from segmentation.tags.definitions import BY_PEOPLE, GroupTag, MeasureTag, RuleTag
from segmentation.tags.ends import known_ends
from segmentation.tags.foreseen import first_day_without, leaves_of
from segmentation.tags.intervals import Future, daily_measures
from segmentation.tags.live import Live, LiveTag
from segmentation.tags.program import Writing
from segmentation.tags.rule_tags import WholeRule, untangled, whole_rule
from segmentation.tags.verdicts import Verdict, differences, judged, of_group, of_measure, told
from store.errors import BadInput

Table = Any
Expression = Any


@dataclass(frozen=True)
class Ground:
    """What tags are judged on: `now` all that is on, `found` the differences found so far (writing.py), `moment` as in
    `current.after`, `cycle_days` as in `intervals.Future`. Statements go through `writing`."""

    facts: Facts
    now: Table
    found: Table
    moment: Table
    as_of: date
    zone: ZoneInfo
    cycle_days: int | None
    writing: Writing

    def add(self, verdict: Verdict) -> None:
        """Add what has to change by a verdict to the differences."""
        self.writing.add("tag_difference", differences(verdict, self.now))


def judge_measures(live: Live, ground: Ground, groups: Table) -> None:
    """Add the differences of the tags of groups and measures."""
    for tag in live.of(GroupTag):
        ground.add(of_group(ground.facts, groups, tag, ground.as_of, ground.cycle_days))
    for tag in live.of(MeasureTag):
        verdict = of_measure(ground.facts, tag, ground.as_of, is_foreseen=ground.cycle_days is not None)
        if verdict is not None:
            ground.add(verdict)


def judge_rules(live: Live, ground: Ground) -> None:
    """Add the differences of all rule tags. What is wrong with one of them goes to `live.problems`."""
    rules: dict[str, WholeRule] = {}
    tags = {tag.name: tag for tag in live.of(RuleTag)}
    for name, tag in tags.items():
        try:
            rules[name] = whole_rule(tag.definition, live.rules)
        except BadInput as error:
            live.problems[tag.tag_id] = str(error)
    order, tangled = untangled(rules)
    live.problems.update({tags[name].tag_id: problem for name, problem in tangled.items()})
    known = known_ends(live, ground.as_of, has_cycle=ground.cycle_days is not None)
    for layer in order:
        _judge_layer({tags[name]: rules[name] for name in layer}, known, live, ground)


def _judge_layer(rules: dict[LiveTag, WholeRule], known: Set[int], live: Live, ground: Ground) -> None:
    asked = set().union(*(rule.tags for rule in rules.values()))
    on = _tags_on(asked, live, ground)
    facts = replace(ground.facts, tags=on.select("customer_id", "tag", "since", "strength", "source"))
    compiled = compile_rules(
        {key: part for tag, rule in rules.items() for key, part in _parts(tag, rule).items()}, ground.as_of, ground.zone
    )
    measured = ground.writing.keep("rule_measured", compiled.measured(facts))
    verdicts = {tag: _verdict(tag, compiled, measured, ground.as_of) for tag in rules}
    ended = {tag: verdict for tag, verdict in verdicts.items() if tag.tag_id in known}
    days = _foreseen(ended, Future(facts, measured, compiled, measured, on, {}, ground.cycle_days), ground)
    for tag, verdict in verdicts.items():
        ground.add(_dated(verdict, days[tag]) if tag in days else verdict)


def _parts(tag: LiveTag, rule: WholeRule) -> dict[str, Any]:
    return {f"puts{tag.tag_id}": rule.puts, f"keeps{tag.tag_id}": rule.keeps}


def _tags_on(names: Iterable[str], live: Live, ground: Ground) -> Table:
    """The tags of these names that are on once the differences found so far are carried out: current.SCHEMA, `tag`.
    What a computation put on that is switched off now stays: there is no day on which it falls off."""
    wanted = [(tag_id, name) for tag_id, name in live.names.items() if name in names]
    ids = [tag_id for tag_id, _ in wanted]
    now, found = (rows.filter(rows.tag_id.isin(ids)) for rows in (ground.now, ground.found))
    rows = after(now, found, ground.moment)
    name = rows.tag_id.cases(*wanted) if wanted else ibis.null("string")
    ends = rows.source.isin(BY_PEOPLE) | rows.tag_id.isin([tag.tag_id for tag in live.tags])
    return ground.writing.keep("tag_on", rows.mutate(tag=name, falls_off_on=ends.ifelse(rows.falls_off_on, None)))


def _verdict(tag: LiveTag, compiled: Compiled, measured: Table, as_of: date) -> Verdict:
    puts, keeps = f"puts{tag.tag_id}", f"keeps{tag.tag_id}"

    def is_on(rows: Table) -> Expression:
        if compiled.rules[puts] == compiled.rules[keeps]:
            return compiled.holds(rows, puts)
        return rows.was_on.ifelse(compiled.holds(rows, keeps), compiled.holds(rows, puts))

    def evidence(rows: Table) -> Expression:
        on = compiled.evidence(rows, puts).cast("json")
        name, mark = tag.definition.rule, ibis.literal(mark_of(compiled.rules[puts]))
        named = ibis.null("string") if name is None else ibis.literal(name)
        return told(as_of, {"rule": named, "mark": mark, "found": on})

    rows = compiled.asked_by(measured, AllOf(of=(compiled.rules[puts], compiled.rules[keeps])))
    return Verdict(tag.source, rows.mutate(tag_id=ibis.literal(tag.tag_id, "int64")), is_on, evidence)


def _foreseen(verdicts: dict[LiveTag, Verdict], future: Future, ground: Ground) -> dict[LiveTag, Table]:
    """For each of these tags, whose ends can be known, a kept table `customer_id, falls_off_on`, of those whom it falls
    off."""
    if not verdicts:
        return {}
    held = [_held(verdict, ground.now) for verdict in verdicts.values()]
    holders = ground.writing.keep("rule_holder", ibis.union(*held))
    everyone = holders.select("customer_id").distinct()
    keeps = {tag: future.compiled.rules[f"keeps{tag.tag_id}"] for tag in verdicts}
    leaves = list(dict.fromkeys(leaf for rule in keeps.values() for leaf in leaves_of(rule)))
    daily = daily_measures(future.facts, everyone, future.compiled, leaves)
    daily = {name: ground.writing.keep(f"rule_daily_{name}", rows) for name, rows in daily.items()}
    found = {}
    for tag, rule in keeps.items():
        mine = replace(future, holders=holders.filter(holders.tag_id == tag.tag_id).select("customer_id"), daily=daily)
        found[tag] = ground.writing.keep(f"rule_day_{tag.tag_id}", first_day_without(rule, mine))
    return found


def _held(verdict: Verdict, now: Table) -> Table:
    rows = judged(verdict, now)
    return rows.filter(rows.is_on).select("tag_id", "customer_id")


def _dated(verdict: Verdict, days: Table) -> Verdict:
    """The verdict with the day on which it falls off."""
    days = days.rename(day_id="customer_id", foreseen="falls_off_on")
    rows = verdict.rows.left_join(days, verdict.rows.customer_id == days.day_id)
    return replace(verdict, rows=rows, falls_off_on=lambda found: found.foreseen)
