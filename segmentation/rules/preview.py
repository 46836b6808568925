"""How many customers a rule matches, before it is saved: one query, usually over the Parquet snapshot. Reads only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt

from segmentation.facts import Facts
from segmentation.rules.compile import NOTHING, matching
from segmentation.rules.narrowing import narrowed
from segmentation.rules.references import References
from segmentation.rules.types import Rule

UNSAVED = "counted"


@dataclass(frozen=True)
class MatchCount:
    """Customers that match, of all."""

    matching: int
    customers: int


def count_matching(
    connection: Any, facts: Facts, rule: Rule, as_of: date, zone: ZoneInfo, references: References = NOTHING
) -> MatchCount:
    """The customers of `facts` for whom `rule` holds as of the start of `as_of`. Keeps a temporary table on
    `connection`. Raises RuleError for circles and unknown saved rules."""
    few = narrowed(connection, facts, rule, as_of, zone, references)
    found = count_each(connection, few.facts, {UNSAVED: few.rest}, as_of, zone, references)[UNSAVED]
    return MatchCount(found.matching, int(connection.to_pyarrow(facts.customers.count()).as_py()))


def count_each(
    connection: Any,
    facts: Facts,
    rules: Mapping[str, Rule],
    as_of: date,
    zone: ZoneInfo,
    references: References = NOTHING,
) -> dict[str, MatchCount]:
    """The same for several rules by their keys (see `matching`), in one pass over the facts."""
    matched = matching(facts, rules, as_of, zone, references=references)
    sums = {f"n{place}": count_if(matched[key]) for place, key in enumerate(rules)}
    query = connection.compile(matched.aggregate(people=matched.count(), **sums))
    people, *found = connection.con.execute(query).fetchall()[0]  # ibis would have it planned twice
    return {key: MatchCount(int(count or 0), people) for key, count in zip(rules, found, strict=True)}


@ibis.udf.agg.builtin(signature=((dt.boolean,), dt.int64))
def count_if(values):  # type: ignore[no-untyped-def]
    """DuckDB's own: how many are true, null for no rows. The sum that Ibis would ask for costs more."""
