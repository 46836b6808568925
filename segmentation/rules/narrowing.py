"""Facts of fewer customers for one rule: what a row per customer alone can refuse is refused first, so that the events
and orders of everybody else are never summed up."""

from collections.abc import Set
from dataclasses import replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from segmentation.engine import kept
from segmentation.facts import Facts
from segmentation.rules.compile import compile_rules
from segmentation.rules.references import References, expanded
from segmentation.rules.types import AllOf, Rule

CHEAP = {"segments", "predictions"}  # a row per customer, as `customers` itself
WORTH = 4  # looking up whose each row is pays off below a share of 1/WORTH of the customers
KEPT = "narrowed_customers"


def narrowed(
    connection: Any,
    facts: Facts,
    rule: Rule,
    as_of: date,
    zone: ZoneInfo,
    references: References,
    *,
    read: Set[str] = frozenset(),
) -> Facts:
    """`facts` of some customers only, of whom all for whom `rule` may hold; `facts` itself where that would not help.
    Of its tables the customers are fewer, and those that the rule needs or that stand in `read`. Keeps a temporary
    table on `connection`. Raises RuleError for circles and unknown saved rules."""
    parts = _all_needed(expanded(rule, references))
    cheap = [part for part in parts if _is_cheap(part, as_of, zone)]
    if not cheap or len(cheap) == len(parts):
        return facts
    compiled = compile_rules({"cheap": AllOf(of=tuple(cheap))}, as_of, zone)
    measured = compiled.measured(facts)
    few = kept(connection, KEPT, measured.filter(compiled.holds(measured, "cheap")).select("customer_id"))
    if _count(connection, few) * WORTH > _count(connection, facts.customers):
        return facts
    needed = compile_rules({"rule": rule}, as_of, zone, references).facts_needed()
    tables = {name: getattr(facts, name) for name in {"customers", *needed, *read}}
    theirs = {name: table for name, table in tables.items() if "customer_id" in table.columns}
    return replace(facts, **{name: table.semi_join(few, "customer_id") for name, table in theirs.items()})


def _all_needed(rule: Rule) -> list[Rule]:
    """Parts of `rule` that must all hold for it to hold."""
    return [part for inner in rule.of for part in _all_needed(inner)] if isinstance(rule, AllOf) else [rule]


def _is_cheap(part: Rule, as_of: date, zone: ZoneInfo) -> bool:
    return compile_rules({"part": part}, as_of, zone).facts_needed() <= CHEAP


def _count(connection: Any, rows: Any) -> int:
    return int(connection.to_pyarrow(rows.count()).as_py())
