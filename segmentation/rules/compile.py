"""The one compiler of rules: any number of them become one Ibis expression that passes over each fact table once.

First what the rules measure (`Compiled.measured`: one row per customer, one column per distinct measure), then on those
columns whether each rule holds. Knows no database. A customer without events has 0 of them; a value that isn't known
fits nothing, so that every condition holds or doesn't, and `not` is exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import ibis

from segmentation.facts import Facts
from segmentation.rules.aggregates import (
    day_of,
    event_counts,
    event_measures,
    line_measures,
    move_measures,
    needs_lines,
    order_measures,
    past_segments,
    tag_measures,
)
from segmentation.rules.days import AsOf
from segmentation.rules.reading import conditions
from segmentation.rules.references import References, expanded
from segmentation.rules.types import (
    Age,
    AllOf,
    AnyOf,
    Attribute,
    Birthday,
    Events,
    InSegment,
    Moved,
    NotOf,
    Orders,
    Rule,
    Tagged,
)
from segmentation.rules.values import holds, measure_of, needed_columns, shown, value_columns

Table = Any
Expression = Any
Kind = TypeVar("Kind", bound=Rule)
NOTHING = References()


@dataclass(frozen=True)
class Compiled:
    """Rules ready to be asked. `rules` by key, with what they mention put in its place; `columns`: measure -> the name
    of its column."""

    rules: Mapping[str, Rule]
    columns: Mapping[Rule, str]
    as_of: AsOf

    def facts_needed(self) -> set[str]:
        """The tables of Facts that the measures read, beside customers."""
        segments, predictions = needed_columns(list(self.columns), self.as_of)
        needed = {name for name, columns in (("segments", segments), ("predictions", predictions)) if columns}
        for measure in self.columns:
            match measure:
                case Orders():
                    needed |= {"lines", "products"} if needs_lines(measure) else {"orders"}
                case Events():
                    needed |= {"events"} if measure.products is None else {"events", "products"}
                case Tagged():
                    needed.add("tags")
                case Moved():
                    needed.add("changes")
                case InSegment() if day_of(measure, self.as_of) is not None:
                    needed |= {"changes", "runs"}
        return needed

    def measured(self, facts: Facts) -> Table:
        """`customer_id` and the columns of every measure, one row for each of `facts.customers`. Keep it (create_table)
        where several questions are asked of it. Events are counted at once, the rest when the table is read."""
        rows = _joined(facts, self.columns, self.as_of)
        found = [value_columns(measure, name, rows, self.as_of) for measure, name in self.columns.items()]
        return rows.select("customer_id", **{name: value for columns in found for name, value in columns.items()})

    def asked_by(self, measured: Table, rule: Rule) -> Table:
        """`customer_id` and those columns of `measured` that `rule`, a whole one or a part, looks at: expressions over
        few columns are put together in a fraction of the time."""
        leaves = [part for _, part in conditions(rule) if not isinstance(part, AllOf | AnyOf | NotOf)]
        asked = {self.columns[measure_of(leaf)] for leaf in leaves}
        return measured.select("customer_id", *(name for name in measured.columns if name.partition("_")[0] in asked))

    def holds(self, measured: Table, key: str) -> Expression:
        """Whether the rule `key` holds for a row of `measured`: true or false, never null."""
        return self.holds_part(measured, self.rules[key])

    def holds_part(self, measured: Table, rule: Rule) -> Expression:
        """The same for any part of one of the rules."""
        match rule:
            case AllOf():
                return ibis.and_(*[self.holds_part(measured, part) for part in rule.of])
            case AnyOf():
                return ibis.or_(*[self.holds_part(measured, part) for part in rule.of])
            case NotOf():
                return ~self.holds_part(measured, rule.of)
        return holds(rule, measured, self.columns[measure_of(rule)], self.as_of)

    def evidence(self, measured: Table, key: str) -> Expression:
        """What was found for each condition of the rule `key`, as JSON text: path of the condition -> number, text,
        day or null (amounts as text, in money)."""
        found = {
            path: shown(condition, measured, self.columns[measure_of(condition)])
            for path, condition in conditions(self.rules[key])
            if not isinstance(condition, AllOf | AnyOf | NotOf)
        }
        return to_json(ibis.struct(found)).cast("string")


def compile_rules(rules: Mapping[str, Rule], as_of: date, zone: ZoneInfo, references: References = NOTHING) -> Compiled:
    """`rules` by any keys. Raises RuleError for circles and unknown saved rules."""
    whole = {key: expanded(rule, references) for key, rule in rules.items()}
    measures = dict.fromkeys(
        measure_of(condition)
        for rule in whole.values()
        for _, condition in conditions(rule)
        if not isinstance(condition, AllOf | AnyOf | NotOf)
    )
    return Compiled(whole, {measure: f"m{place}" for place, measure in enumerate(measures)}, AsOf(as_of, zone))


def matching(
    facts: Facts,
    rules: Mapping[str, Rule],
    as_of: date,
    zone: ZoneInfo,
    *,
    references: References = NOTHING,
    with_evidence: bool = False,
) -> Table:
    """`customer_id` and for each rule a boolean column named by its key, one row for each of `facts.customers`; with
    evidence also `KEY_evidence` (see `Compiled.evidence`). See `Compiled.measured` for when what is computed.

    As of the start of `as_of` in `zone`, which must be the session's zone. Keys are column names: they must differ in
    more than case and not be customer_id. Raises RuleError for circles and unknown saved rules.
    """
    taken = {"customer_id", *(f"{key}_evidence" for key in rules if with_evidence)}
    if len({key.casefold() for key in rules} - taken) < len(rules):
        raise ValueError("the keys of rules must differ in more than case and not be names of other columns")
    compiled = compile_rules(rules, as_of, zone, references)
    measured = compiled.measured(facts)
    found = {key: compiled.holds(measured, key) for key in rules}
    if with_evidence:
        found |= {f"{key}_evidence": compiled.evidence(measured, key) for key in rules}
    return measured.select("customer_id", **found)


@ibis.udf.scalar.builtin(name="to_json")  # type: ignore[untyped-decorator]
def to_json(values) -> str:  # type: ignore[no-untyped-def, empty-body]
    """The engine's own (DuckDB and Spark name it alike): a struct as JSON text."""


def _joined(facts: Facts, columns: Mapping[Rule, str], as_of: AsOf) -> Table:
    """Customers with everything beside them that the measures read."""

    def of(kind: type[Kind]) -> dict[Kind, str]:
        return {measure: name for measure, name in columns.items() if isinstance(measure, kind)}

    segments, predictions = needed_columns(list(columns), as_of)
    rows, counted = facts.customers, event_counts(facts, of(Events), as_of)
    if counted is not None:  # it has every customer already
        asks_who = any(isinstance(measure, Attribute | Age | Birthday) for measure in columns)
        rows = rows.inner_join(counted, "customer_id") if asks_who else counted
    tables = {
        "events": event_measures(facts, of(Events), as_of) if counted is None else None,
        "orders": order_measures(facts, of(Orders), as_of),
        "lines": line_measures(facts, of(Orders), as_of),
        "tags": tag_measures(facts, of(Tagged)),
        "past": past_segments(facts, of(InSegment), as_of),
        "moves": move_measures(facts, of(Moved), as_of),
        "segments": _prefixed(facts.segments, "segments", segments) if segments else None,
        "predictions": _prefixed(facts.predictions, "predictions", predictions) if predictions else None,
    }
    for name, table in tables.items():
        if table is not None:
            beside = table.rename({f"{name}_customer_id": "customer_id"})
            rows = rows.left_join(beside, rows.customer_id == beside[f"{name}_customer_id"])
    return rows


def _prefixed(table: Table, prefix: str, names: list[str]) -> Table:
    return table.select("customer_id", **{f"{prefix}_{name}": table[name] for name in names})
