"""Facts of fewer customers for one rule: what a row per customer alone can refuse is refused first, so that the events
and orders of everybody else are never summed up."""

from collections.abc import Set
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from segmentation.facts import Facts, keep
from segmentation.rules.compile import compile_rules
from segmentation.rules.references import References, expanded
from segmentation.rules.types import AllOf, Rule

CHEAP = {"segments", "predictions"}  # a row per customer, as `customers` itself
WORTH = 4  # looking up whose each row is pays off below a share of 1/WORTH of the customers
KEPT = "narrowed_customers"


@dataclass(frozen=True)
class Narrowed:
    """Facts of some customers, of whom all for whom a rule may hold; it does for those of them for whom `rest` does."""

    facts: Facts
    rest: Rule


def narrowed(
    connection: Any,
    facts: Facts,
    rule: Rule,
    as_of: date,
    zone: ZoneInfo,
    references: References,
    *,
    read: Set[str] = frozenset(),
) -> Narrowed:
    """`facts` of the customers for whom the cheap parts of `rule` hold; `facts` itself where that would not help. Of
    its tables the customers are fewer, and those that the rest needs or that stand in `read`. Keeps a temporary table
    on the DuckDB `connection`. Raises RuleError for circles and unknown saved rules."""
    parts = _all_needed(expanded(rule, references))
    cheap = [part for part in parts if _is_cheap(part, as_of, zone)]
    if not cheap or len(cheap) == len(parts):
        return Narrowed(facts, rule)
    compiled = compile_rules({"cheap": AllOf(of=tuple(cheap))}, as_of, zone)
    measured = compiled.measured(facts)
    ids = connection.to_pyarrow(measured.filter(compiled.holds(measured, "cheap")).select("customer_id"))
    if len(ids) * WORTH > int(connection.to_pyarrow(facts.customers.count()).as_py()):
        return Narrowed(facts, rule)
    few = keep(connection, KEPT, ids)
    rest = AllOf(of=tuple(part for part in parts if part not in cheap))
    needed = compile_rules({"rest": rest}, as_of, zone).facts_needed()
    tables = {name: getattr(facts, name) for name in {"customers", *needed, *read}}
    theirs = {name: table for name, table in tables.items() if "customer_id" in table.columns}
    fewer = {name: table.semi_join(few, "customer_id") for name, table in theirs.items()}
    return Narrowed(replace(facts, **fewer), rest)


def _all_needed(rule: Rule) -> list[Rule]:
    """Parts of `rule` that must all hold for it to hold."""
    return [part for inner in rule.of for part in _all_needed(inner)] if isinstance(rule, AllOf) else [rule]


def _is_cheap(part: Rule, as_of: date, zone: ZoneInfo) -> bool:
    return compile_rules({"part": part}, as_of, zone).facts_needed() <= CHEAP
