"""Customers for whom a rule holds, in pages by id: one question for the count and the page. Reads only."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from segmentation.engine import kept
from segmentation.facts import Facts
from segmentation.rules.compile import NOTHING, compile_rules
from segmentation.rules.narrowing import narrowed
from segmentation.rules.references import References
from segmentation.rules.types import Rule

LISTED = "listed_customers"


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
    how many there are in all. Keeps temporary tables on `connection`. Raises RuleError for circles and unknown saved
    rules."""
    few = narrowed(connection, facts, rule, as_of, zone, references)
    compiled = compile_rules({LISTED: rule}, as_of, zone, references)
    measured = compiled.measured(few)
    found = kept(connection, LISTED, measured.filter(compiled.holds(measured, LISTED)).select("customer_id"))
    page = found.filter(found.customer_id > after).order_by("customer_id").limit(limit)
    people = int(connection.to_pyarrow(found.count()).as_py())
    return Listed(people, connection.to_pyarrow(page).column("customer_id").to_pylist())
