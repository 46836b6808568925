"""Where each table of facts comes from: a query of the operational database, plain columns only, and how DuckDB shapes
its rows. One definition for everybody's rows and for a few customers'.

Plain columns, because connectorx takes SQLite's types from their declarations, and an expression has none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Engine,
    Float,
    Integer,
    Select,
    String,
    Text,
    cast,
    select,
    type_coerce,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from segmentation.facts import MODEL_COLUMNS
from store.engine import is_sqlite, table_of
from store.models import (
    BehaviourEvent,
    Customer,
    CustomerPrediction,
    CustomerSegment,
    CustomerTag,
    LineAccount,
    OrderLine,
    Product,
    SalesOrder,
    SegmentChange,
    SegmentRun,
    Tag,
)
from store.types import UTCDateTime

WORD_KINDS = ("message", "search")  # LINE messages, and what was searched for on the brand's site

customer, account, event = table_of(Customer), table_of(LineAccount), table_of(BehaviourEvent)
order, line, product = table_of(SalesOrder), table_of(OrderLine), table_of(Product)
tag, customer_tag = table_of(Tag), table_of(CustomerTag)
segment, change, prediction = table_of(CustomerSegment), table_of(SegmentChange), table_of(CustomerPrediction)
run = table_of(SegmentRun)

Column = ColumnElement[Any]


def units(column: Column) -> Column:
    """Decimal4 as it is stored: whole ten-thousandths."""
    return type_coerce(column, BigInteger).label(column.name)


def text_of(column: Column, engine: Engine) -> Column:
    """A JSON column as its text: the driver of PostgreSQL would read it, SQLite stores text."""
    name: str = column.name
    return (type_coerce(column, Text) if is_sqlite(engine) else cast(column, Text)).label(name)


def customers(engine: Engine) -> Select[Any]:
    """Every customer."""
    plain = (customer.c[n] for n in ("id", "member_id", "name", "gender", "birthday", "city", "language"))
    attributes = text_of(customer.c.attributes, engine)
    return select(*plain, attributes, customer.c.marketing_refused_at, customer.c.created_at)


def accounts(_engine: Engine) -> Select[Any]:
    """Every LINE account, with whether it follows."""
    return select(account.c.customer_id, account.c.is_following)


def orders(_engine: Engine) -> Select[Any]:
    """Paid orders."""
    columns = (order.c.id, order.c.customer_id, order.c.ordered_at, units(order.c.total), order.c.coupon)
    return select(*columns).where(order.c.status == "paid")


def lines(_engine: Engine) -> Select[Any]:
    """Lines of all orders: those of paid ones are found where the orders are, which costs less than a join here."""
    numbers = (units(line.c[name]) for name in ("quantity", "unit_price", "discount"))
    return select(line.c.sales_order_id, line.c.sku, *numbers)


def products(engine: Engine) -> Select[Any]:
    """The catalogue."""
    words = (text_of(product.c[name], engine) for name in ("categories", "labels"))
    plain = (product.c.sku, product.c.name, product.c.description)
    return select(*plain, *words, units(product.c.price), product.c.in_stock)


def events(_engine: Engine) -> Select[Any]:
    """What people did."""
    names = ("customer_id", "kind", "occurred_at", "sku", "topic", "campaign_id")
    return select(*(event.c[name] for name in names)).where(event.c.customer_id.is_not(None))


def words(engine: Engine) -> Select[Any]:
    """What people wrote."""
    columns = (event.c.customer_id, event.c.occurred_at, text_of(event.c.payload, engine))
    return select(*columns).where(event.c.customer_id.is_not(None), event.c.kind.in_(WORD_KINDS))


def tags(_engine: Engine) -> Select[Any]:
    """Tags that are on."""
    on = customer_tag.c
    columns = (on.customer_id, tag.c.name.label("tag"), on.since, on.strength, on.source)
    return select(*columns).join(tag, tag.c.id == on.tag_id).where(on.until.is_(None))


def segments(_engine: Engine) -> Select[Any]:
    """What the newest computation says of everybody."""
    scores = ("customer_id", "last_ordered_on", "frequency", "r", "f", "m", *MODEL_COLUMNS, "cycle_days", "loyalty")
    money = (units(segment.c[name]) for name in ("monetary", "paid_total"))
    return select(*(segment.c[name] for name in (*scores, "loyalty_percentile")), *money)


def current(engine: Engine) -> Select[Any]:
    """The same, with when each was computed."""
    return segments(engine).add_columns(segment.c.computed_at)


def runs(_engine: Engine) -> Select[Any]:
    """The whole computations of segments that came to their end."""
    return select(run.c.as_of, run.c.last_change_id).where(run.c.state == "finished")


def changes(_engine: Engine) -> Select[Any]:
    """The history of segments."""
    names = ("id", "customer_id", "as_of", "changed_at", "is_relabelled")
    return select(*(change.c[name] for name in (*names, *(f"old_{one}" for one in MODEL_COLUMNS), *MODEL_COLUMNS)))


def predictions(_engine: Engine) -> Select[Any]:
    """What is expected of everybody."""
    plain = (prediction.c[n] for n in ("customer_id", "p_buy", "churn_risk", "expected_orders"))
    return select(*plain, *(units(prediction.c[name]) for name in ("spend_90", "spend_365")))


def _lines_of(query: Select[Any], ids: Sequence[int]) -> Select[Any]:
    theirs = select(order.c.id).where(order.c.customer_id.in_(ids))
    return query.where(line.c.sales_order_id.in_(theirs))


def _owned(owner: Column) -> Callable[[Select[Any], Sequence[int]], Select[Any]]:
    return lambda query, ids: query.where(owner.in_(ids))


@dataclass(frozen=True)
class Source:
    """A query, and the same for a few customers; `of` of None: no customer's."""

    query: Callable[[Engine], Select[Any]]
    of: Callable[[Select[Any], Sequence[int]], Select[Any]] | None


@dataclass(frozen=True)
class Shape:
    """A table of facts out of the rows of `source`, which DuckDB sees as `incoming`: column -> expression where the two
    differ, and what is joined. `beside` is kept first, as the temporary table `beside`."""

    source: Source
    columns: Mapping[str, str] = field(default_factory=dict)
    rest: str = ""
    beside: Source | None = None


CURRENT = Source(current, _owned(segment.c.customer_id))


def _instant(column: str) -> str:
    """A time as an instant: SQLite's arrive naive, in UTC; by way of microseconds both kinds are read alike."""
    return f"make_timestamptz(epoch_us({column}))"


_TEXT = "coalesce(json_extract_string(payload, '$.message.text'), json_extract_string(payload, '$.text'))"

SHAPES = {
    "customers": Shape(
        Source(customers, _owned(customer.c.id)),
        {
            "customer_id": "id",
            "is_refused": "marketing_refused_at IS NOT NULL",
            "created_at": _instant("created_at"),
        },
        "LEFT JOIN (SELECT customer_id, bool_or(is_following) AS is_following FROM beside GROUP BY customer_id) AS a"
        " ON a.customer_id = id",
        beside=Source(accounts, _owned(account.c.customer_id)),
    ),
    "orders": Shape(
        Source(orders, _owned(order.c.customer_id)),
        {"order_id": "id", "ordered_at": _instant("ordered_at"), "amount": "total"},
    ),
    "lines": Shape(
        Source(lines, _lines_of),
        {"customer_id": "o.customer_id", "ordered_at": "o.ordered_at"},
        "JOIN fact_orders AS o ON o.order_id = sales_order_id",
    ),
    "products": Shape(
        Source(products, None), {name: f"json_extract_string({name}, '$[*]')" for name in ("categories", "labels")}
    ),
    "events": Shape(Source(events, _owned(event.c.customer_id)), {"occurred_at": _instant("occurred_at")}),
    "words": Shape(
        Source(words, _owned(event.c.customer_id)),
        {"occurred_at": _instant("occurred_at"), "text": _TEXT},
        f"WHERE {_TEXT} IS NOT NULL",
    ),
    "tags": Shape(Source(tags, _owned(customer_tag.c.customer_id)), {"since": _instant("since")}),
    "segments": Shape(Source(segments, _owned(segment.c.customer_id))),
    "runs": Shape(Source(runs, None)),
    "changes": Shape(Source(changes, _owned(change.c.customer_id)), {"changed_at": _instant("changed_at")}),
    "predictions": Shape(Source(predictions, _owned(prediction.c.customer_id))),
}

_ARROW_TYPES: tuple[tuple[type[TypeEngine[Any]], Any], ...] = (
    (UTCDateTime, pa.timestamp("us", "UTC")),
    (Integer, pa.int64()),
    (Float, pa.float64()),
    (Boolean, pa.bool_()),
    (Date, pa.date32()),
    (String, pa.string()),
)


def arrow_type(kind: TypeEngine[Any]) -> Any:
    """The Arrow type of a column's values as SQLAlchemy gives them."""
    if isinstance(kind, TypeDecorator) and not isinstance(kind, UTCDateTime):
        kind = kind.impl_instance
    return next(arrow for ours, arrow in _ARROW_TYPES if isinstance(kind, ours))
