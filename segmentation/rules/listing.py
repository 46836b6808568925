"""Customers for whom a rule holds, in pages by id: one question for the count and the page. Reads only."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.compute as pc  # type: ignore[import-untyped, unused-ignore]

from segmentation.facts import Facts
from segmentation.rules.compile import NOTHING, compile_rules
from segmentation.rules.narrowing import narrowed
from segmentation.rules.references import References
from segmentation.rules.types import Rule

LISTED = "listed"


@dataclass(frozen=True)
class Listed:
    """How many customers a rule matches, and the ids of a page of them, ascending."""

    people: int
    ids: list[int]


def list_matching(
    connection: Any,
    facts: Facts,
    rule: Rule,
    as_of: date,
    zone: ZoneInfo,
    references: References = NOTHING,
    *,
    after: int = 0,
    limit: int,
) -> Listed:
    """The first `limit` customers of `facts` above the id `after` for whom `rule` holds as of the start of `as_of`, and
    how many there are in all. Keeps a temporary table on the DuckDB `connection`. Raises RuleError for circles and
    unknown saved rules."""
    few = narrowed(connection, facts, rule, as_of, zone, references)
    compiled = compile_rules({LISTED: few.rest}, as_of, zone, references)
    measured = compiled.measured(few.facts)
    found = connection.to_pyarrow(measured.filter(compiled.holds(measured, LISTED)).select("customer_id"))
    ids = found.column("customer_id")  # eight bytes each: less work than two further questions
    above = ids.filter(pc.greater(ids, after))
    return Listed(len(ids), above.take(pc.bottom_k_unstable(above, k=limit)).to_pylist())
