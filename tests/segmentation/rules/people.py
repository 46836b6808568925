"""Facts for rules from plain Python rows: a test states only the columns it cares about."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.engine import open_duckdb
from segmentation.facts import SCHEMAS, Facts, facts_of
from segmentation.rules.compile import matching
from segmentation.rules.reading import read_rule
from segmentation.rules.types import Rule

TAIPEI = ZoneInfo("Asia/Taipei")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Rows = list[dict[str, Any]]

_DEFAULTS: dict[str, dict[str, Any]] = {
    "customers": {"attributes": "{}", "is_refused": False, "created_at": LONG_AGO},
    "lines": {"quantity": 10_000, "unit_price": 0, "discount": 0, "order_id": 1},
    "orders": {"order_id": 1, "amount": 0},
    "tags": {"since": LONG_AGO, "strength": 1.0, "source": "hand"},
    "events": {"kind": "product_view"},
    "changes": {"is_relabelled": False},
}


def at(*parts: int, zone: ZoneInfo = TAIPEI) -> datetime:
    """A time in Taipei."""
    return datetime(*parts, tzinfo=zone)  # type: ignore[misc, arg-type]


@contextmanager
def facts_with(**tables: Rows) -> Iterator[tuple[Any, Facts]]:
    """A DuckDB connection and facts with these rows."""
    arrow = {}
    for name, rows in tables.items():
        names = SCHEMAS[name].names
        whole = [{**dict.fromkeys(names), **_DEFAULTS.get(name, {}), **row} for row in rows]
        arrow[name] = pa.Table.from_pylist(whole, schema=SCHEMAS[name].to_pyarrow())
    with open_duckdb(TAIPEI) as connection:
        yield connection, facts_of(connection, **arrow)


def who(rule: Rule | dict[str, Any], as_of: date, **tables: Rows) -> set[int]:
    """The ids of the customers who match."""
    asked = read_rule(rule) if isinstance(rule, dict) else rule
    with facts_with(**tables) as (connection, facts):
        table = matching(facts, {"it": asked}, as_of, TAIPEI)
        rows = connection.to_pyarrow(table).to_pylist()
    assert [row["it"] for row in rows if row["it"] is None] == []
    assert len(rows) == len(tables["customers"])
    return {row["customer_id"] for row in rows if row["it"]}


def people(*ids: int, **fields: Any) -> Rows:
    """Customers with these ids, all with the same fields."""
    return [{"customer_id": number, **fields} for number in ids]
