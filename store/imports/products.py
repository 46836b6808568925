"""Products from a file.

Columns: `sku`, `name`; optional `description`, `categories` and `labels` ("a;b"), `price`, `in_stock` (yes or no in
the usual spellings), `url`. An empty optional cell leaves what is stored. A row that repeats another exactly counts
once; rows of one SKU that disagree are refused together. A label that a person approved here stays, whatever the file
says: whoever wrote the file has not seen it.
"""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sqlalchemy import Engine, bindparam, insert, select, update
from sqlmodel import Session

from store.changes import note_changes
from store.clock import Clock
from store.engine import table_of, transaction
from store.imports.checks import checked_file, fill_refusals, refuse_repeats
from store.imports.files import Layout, Progress, half_of
from store.imports.report import ImportReport
from store.imports.staging import CHUNK
from store.models import AuditEntry, OrderLine, Product, ProductLabel, SalesOrder
from store.types import from_ten_thousandths

SORTS = ("categories", "labels")  # what rules and preferences know a product by
MOST_BUYERS = 20_001  # noted of one chunk: so many waiting make a whole renewal, and that is of everybody

LAYOUT = Layout(required=("sku", "name"), optional=("description", "categories", "labels", "price", "in_stock", "url"))

product, order, line = table_of(Product), table_of(SalesOrder), table_of(OrderLine)
product_label = table_of(ProductLabel)


def import_products(
    engine: Engine,
    path: Path,
    *,
    zone: ZoneInfo,
    clock: Clock,
    progress: Progress | None = None,
    refused_path: Path | None = None,
    actor: str = "command line",
) -> ImportReport:
    """Add and update the products of `path` (see the module), and write an audit entry.

    `progress` gets (work done, work in all). All refused rows go to `refused_path` as CSV. Raises BadInput, with
    nothing written, when the file can't be used at all.
    """
    with checked_file(path, LAYOUT, zone, half_of(progress, 0)) as (duck, _columns, report):
        _check(duck)
        fill_refusals(duck, report, refused_path)
        _write(engine, duck, clock, report, half_of(progress, 1))
    with transaction(engine) as session:
        session.add(AuditEntry(at=clock(), actor=actor, action="import products", detail=report.counts()))
    return report


def _check(duck: duckdb.DuckDBPyConnection) -> None:
    """Table `ready`: one row per good product, in the order of the file."""
    duck.execute("""
        CREATE TABLE checked AS
        SELECT row, sku, name, description, words(categories) AS categories, words(labels) AS labels,
               ten_thousandths(price) AS price, url,
               yes_or_no(in_stock) AS in_stock,
               coalesce(
                   id_problem(sku, 'sku'), CASE WHEN name IS NULL THEN 'name is empty' END, words_problem(name, 'name'),
                   number_problem(raw.price, 'price'),
                   CASE WHEN raw.in_stock IS NOT NULL AND yes_or_no(raw.in_stock) IS NULL
                        THEN 'in_stock is neither yes nor no'
                        WHEN url IS NOT NULL AND NOT regexp_matches(url, '^https?://[^\\s]+$')
                        THEN 'url is not a web address' END
               ) AS problem
        FROM raw""")
    refuse_repeats(duck, key="sku", called="sku")


def _write(
    engine: Engine, duck: duckdb.DuckDBPyConnection, clock: Clock, report: ImportReport, progress: Progress | None
) -> None:
    cursor = duck.cursor().execute(
        "SELECT sku, name, description, categories, labels, price, in_stock, url, count(*) OVER () FROM ready"
        " ORDER BY row"
    )
    names = ("sku", "name", "description", "categories", "labels", "price", "in_stock", "url")
    done = 0
    while rows := cursor.fetchmany(CHUNK):
        given = [{k: v for k, v in zip(names, row[:-1], strict=True) if v is not None} for row in rows]
        for values in given:
            if "price" in values:
                values["price"] = from_ten_thousandths(values["price"])
        with transaction(engine) as session:
            _write_chunk(session, given, report, clock())
        done += len(rows)
        if progress:
            progress(done, rows[0][-1])


def _write_chunk(session: Session, given: list[dict[str, Any]], report: ImportReport, now: datetime) -> None:
    skus = [values["sku"] for values in given]
    found = session.execute(select(product).where(product.c.sku.in_(skus))).mappings()
    stored = {row["sku"]: dict(row) for row in found}
    approved = _approved_labels(session, skus)
    for values in given:
        if "labels" in values:
            missing = [label for label in approved.get(values["sku"], ()) if label not in values["labels"]]
            values["labels"] = [*values["labels"], *missing]
    empty: dict[str, Any] = {
        "description": None,
        "categories": [],
        "labels": [],
        "price": None,
        "in_stock": None,
        "url": None,
    }
    new = [{**empty, **values} for values in given if values["sku"] not in stored]
    changed = [
        {**stored[sku], **values, "key": sku}
        for values in given
        if (sku := values["sku"]) in stored and any(stored[sku][name] != value for name, value in values.items())
    ]
    if new:
        session.execute(insert(product), new)
    if changed:
        columns = ("name", *empty)
        statement = update(product).where(product.c.sku == bindparam("key"))
        session.connection().execute(
            statement.values({name: bindparam(f"new_{name}", type_=product.c[name].type) for name in columns}),
            [{"key": row["key"], **{f"new_{name}": row[name] for name in columns}} for row in changed],
        )
    _note_buyers(session, [row["key"] for row in changed if any(row[n] != stored[row["key"]][n] for n in SORTS)], now)
    report.added += len(new)
    report.changed += len(changed)
    report.unchanged += len(given) - len(new) - len(changed)


def _approved_labels(session: Session, skus: list[str]) -> dict[str, list[str]]:
    """SKU -> the labels that a person approved for it."""
    statement = (
        select(product.c.sku, product_label.c.label)
        .join(product_label, product_label.c.product_id == product.c.id)
        .where(product.c.sku.in_(skus), product_label.c.state == "approved")
        .order_by(product_label.c.label)
    )
    found: dict[str, list[str]] = {}
    for sku, label in session.execute(statement):
        found.setdefault(sku, []).append(label)
    return found


def _note_buyers(session: Session, skus: list[str], now: datetime) -> None:
    """Note whoever bought articles that are now of another sort."""
    bought = select(order.c.customer_id).join(line, line.c.sales_order_id == order.c.id).where(line.c.sku.in_(skus))
    if skus:
        note_changes(session, bought.distinct().limit(MOST_BUYERS), now)
