"""What is known of customers, as tables that every model, rule and tag reads: the one shape, wherever they come from.

Money and quantities are whole ten-thousandths (int64), times have a zone (UTC), days are the brand's. Knows no
database: reading.py fills these tables from one.
"""

from dataclasses import dataclass, fields
from typing import Any

import ibis
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

Table = Any

MODEL_COLUMNS = ("rf4", "rf11", "rfm3", "rfm8", "nesl", "nes", "nesl_personal", "nes_personal", "activity")
_MOMENT = "timestamp('UTC', 6)"

SCHEMAS = {
    "customers": ibis.schema(
        {
            "customer_id": "int64",
            "member_id": "string",
            "name": "string",
            "gender": "string",
            "birthday": "date",
            "city": "string",
            "language": "string",
            "attributes": "string",  # JSON object, as stored
            "is_refused": "boolean",
            "is_following": "boolean",  # on any channel; null: not known
            "created_at": _MOMENT,
        }
    ),
    # paid orders only, in all tables of orders
    "orders": ibis.schema(
        {
            "order_id": "int64",  # ours
            "customer_id": "int64",
            "ordered_at": _MOMENT,
            "amount": "int64",
            "coupon": "string",
        }
    ),
    "lines": ibis.schema(
        {
            "order_id": "int64",
            "customer_id": "int64",
            "ordered_at": _MOMENT,
            "sku": "string",
            "quantity": "int64",
            "unit_price": "int64",
            "discount": "int64",  # of the whole line
        }
    ),
    "products": ibis.schema(
        {
            "sku": "string",
            "name": "string",
            "description": "string",
            "categories": "array<string>",
            "labels": "array<string>",
            "price": "int64",
            "in_stock": "boolean",
        }
    ),
    "events": ibis.schema(
        {
            "customer_id": "int64",
            "kind": "string",
            "occurred_at": _MOMENT,
            "sku": "string",
            "topic": "string",
            "campaign_id": "int64",
        }
    ),
    # what people wrote, for words said; never shown, never logged
    "words": ibis.schema({"customer_id": "int64", "occurred_at": _MOMENT, "text": "string"}),
    # on now
    "tags": ibis.schema(
        {"customer_id": "int64", "tag": "string", "since": _MOMENT, "strength": "float64", "source": "string"}
    ),
    "segments": ibis.schema(
        {
            "customer_id": "int64",
            "last_ordered_on": "date",
            "frequency": "int32",
            "monetary": "int64",
            "r": "int8",
            "f": "int8",
            "m": "int8",
            **dict.fromkeys(MODEL_COLUMNS, "string"),
            "cycle_days": "int32",
            "loyalty": "float64",
            "loyalty_percentile": "float64",
            "paid_total": "int64",
        }
    ),
    # whole computations that came to their end; before the changes, so that none is known without its own
    "runs": ibis.schema({"as_of": "date", "last_change_id": "int64"}),
    "changes": ibis.schema(
        {
            "id": "int64",
            "customer_id": "int64",
            "as_of": "date",
            "changed_at": _MOMENT,
            "is_relabelled": "boolean",  # by lines drawn anew: no move of the person
            **{f"old_{name}": "string" for name in MODEL_COLUMNS},
            **dict.fromkeys(MODEL_COLUMNS, "string"),
        }
    ),
    "predictions": ibis.schema(
        {
            "customer_id": "int64",
            "p_buy": "float64",
            "churn_risk": "float64",
            "expected_orders": "float64",
            "spend_90": "int64",
            "spend_365": "int64",
        }
    ),
}


@dataclass(frozen=True)
class Facts:
    """The tables, each with the columns of its schema. Customers without a row in `segments` have never been
    computed."""

    customers: Table
    orders: Table
    lines: Table
    products: Table
    events: Table
    words: Table
    tags: Table
    segments: Table
    runs: Table
    changes: Table
    predictions: Table


def facts_of(connection: Any, **tables: pa.Table) -> Facts:
    """Facts from Arrow tables, those not given being empty; kept as temporary tables `fact_…` of `connection`."""
    made = {}
    for field in fields(Facts):
        schema = SCHEMAS[field.name].to_pyarrow()
        rows = tables.get(field.name, schema.empty_table()).select(schema.names).cast(schema)
        made[field.name] = keep(connection, f"fact_{field.name}", rows)
    return Facts(**made)


def keep(connection: Any, name: str, rows: Any, select: str = "FROM incoming") -> Table:
    """`rows` (an Arrow table or stream) as the temporary table `name` of a DuckDB connection, in place of one that was
    there; or what `select` makes of them, as `incoming`."""
    duck = connection.con
    duck.register("incoming", rows)
    try:
        duck.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}").fetchall()
    finally:
        duck.unregister("incoming")
    return connection.table(name)


def lend(connection: Any, name: str, rows: Any) -> Table:
    """`rows` (an Arrow table or dataset) as the view `name` of a DuckDB connection, in place of one that was there:
    read where they lie, until that is closed."""
    connection.con.register(name, rows)
    return connection.table(name)
