"""Why a customer is in a rule, or isn't: every part of it, what was found, and whether it holds. Reads only."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from segmentation.facts import SCHEMAS, Facts
from segmentation.rules.compile import NOTHING, compile_rules
from segmentation.rules.references import References, expanded, referred
from segmentation.rules.types import AllOf, AnyOf, NotOf, Rule, part_path, parts_of
from segmentation.rules.values import measure_of, shown
from store.errors import NotFound


@dataclass(frozen=True)
class Explained:
    """A part of a rule. `found` (conditions on facts only): number, text, day or None for unknown. A saved rule has as
    its one part what stands behind its name; paths inside it begin anew with `$`."""

    path: str
    asked: Rule
    holds: bool
    found: Any
    parts: tuple["Explained", ...] = ()


def why(
    connection: Any,
    facts: Facts,
    rule: Rule,
    customer_id: int,
    as_of: date,
    zone: ZoneInfo,
    references: References = NOTHING,
) -> Explained:
    """`rule` as of the start of `as_of` for one customer. Raises RuleError for circles and unknown saved
    rules, NotFound when `facts` know no such customer."""
    expanded(rule, references)  # before anything is followed: no circles, not too large
    asked: list[Rule] = []
    _collect(rule, references, asked)
    compiled = compile_rules({str(place): part for place, part in enumerate(asked)}, as_of, zone, references)
    measured = compiled.measured(_of(facts, customer_id))
    columns = {f"holds_{key}": compiled.holds(measured, key) for key in compiled.rules}
    for key, part in compiled.rules.items():
        if not isinstance(part, AllOf | AnyOf | NotOf):
            columns[f"found_{key}"] = shown(part, measured, compiled.columns[measure_of(part)])
    rows = connection.to_pyarrow(measured.select(**columns)).to_pylist()
    if not rows:
        raise NotFound(f"there is no customer {customer_id}")
    return _told(rule, "$", references, rows[0], iter(range(len(asked))))


def _of(facts: Facts, customer_id: int) -> Facts:
    """The facts of one customer, and all products."""
    names = [name for name, schema in SCHEMAS.items() if "customer_id" in schema]
    tables = {name: getattr(facts, name) for name in names}
    return replace(facts, **{name: table.filter(table.customer_id == customer_id) for name, table in tables.items()})


def _collect(rule: Rule, references: References, into: list[Rule]) -> None:
    into.append(rule)
    target = referred(rule, references)
    for part in parts_of(rule) if target is None else (target,):
        _collect(part, references, into)


def _told(rule: Rule, path: str, references: References, row: dict[str, Any], places: Any) -> Explained:
    """The tree, in the order of `_collect`: `places` counts along."""
    place = next(places)
    target = referred(rule, references)
    if target is not None:
        parts = (_told(target, "$", references, row, places),)
        return Explained(path, rule, row[f"holds_{place}"], None, parts)
    inner = [_told(part, part_path(rule, path, i), references, row, places) for i, part in enumerate(parts_of(rule))]
    return Explained(path, rule, row[f"holds_{place}"], row.get(f"found_{place}"), tuple(inner))
