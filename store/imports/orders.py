"""Orders from a file.

Columns: `order_id`, `customer_id`, `ordered_at`, `amount`; optional `total`, `status` (paid, refunded, cancelled),
`currency`, `coupon`, and either `sku`, `quantity`, `unit_price`, `discount` or, in JSON lines, `lines` (a list of
objects with those four). An empty optional cell leaves what is stored, but for `currency`: there it means the brand's.

- In a file with a `sku` column every row is a part of its order: rows of one order may stand anywhere in the file, and
  the order's total is its `total`, or else the sum of its rows' `amount`. Its time is the earliest of its rows. A
  `unit_price` left empty is what the row's `amount` and `discount` make of each piece, to 4 decimal places.
- In a file without one, a row is an order; a row that repeats another exactly counts once.
- Rows of one order that disagree (two customers, two states…), or of which one is bad, are refused together.
- A customer not seen before is made, with `customer_id` as the member id.
- All amounts are in the brand's one currency: they are added up. An order in another one is refused, to be converted by
  whoever knows the rate.
"""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from store.changes import note_changes, note_responses
from store.clock import Clock
from store.engine import table_of, transaction
from store.imports.checks import checked_file, fill_refusals, refuse
from store.imports.files import Layout, Progress, half_of
from store.imports.report import ImportReport
from store.imports.staging import (
    CHUNK,
    KEY,
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    insert_new,
    stage,
    staged_table,
    staging_connection,
)
from store.models import AuditEntry, Customer, OrderLine, SalesOrder
from store.searchable import make_searchable

LAYOUT = Layout(
    required=("order_id", "customer_id", "ordered_at", "amount"),
    optional=("total", "status", "currency", "coupon", "sku", "quantity", "unit_price", "discount", "lines"),
)
STATUSES = ("paid", "refunded", "cancelled")
DEFAULT_CURRENCY = "TWD"
# What a row's amount and discount make of one piece, in ten thousandths, half away from zero; null without an amount or
# for no pieces.
PAID = "(ten_thousandths(raw.amount)::HUGEINT + coalesce(ten_thousandths(raw.discount), 0))"
EACH = f"((20000 * {PAID} + sign({PAID}) * abs(pieces)) // nullif(2 * pieces, 0))::BIGINT"

customer, order, line = table_of(Customer), table_of(SalesOrder), table_of(OrderLine)
staged = staged_table(
    "staged_order",
    order_id=TEXT,
    member_id=TEXT,
    ordered_at=TIME,
    total=NUMBER,
    status=TEXT,
    currency=TEXT,
    coupon=TEXT,
    has_lines=WHOLE,
    stored_id=KEY,
    lines_differ=WHOLE,
)
staged_line = staged_table(
    "staged_line",
    keys=2,
    order_id=TEXT,
    line_number=WHOLE,
    sku=TEXT,
    quantity=NUMBER,
    unit_price=NUMBER,
    discount=NUMBER,
)


def import_orders(
    engine: Engine,
    path: Path,
    *,
    zone: ZoneInfo,
    clock: Clock,
    progress: Progress | None = None,
    refused_path: Path | None = None,
    actor: str = "command line",
    currency: str = DEFAULT_CURRENCY,
) -> ImportReport:
    """Add and update the orders of `path` (see the module), and write an audit entry.

    `zone` is the time zone of times that name none, `currency` (three capitals) the brand's. `progress` gets (work
    done, work in all). All refused rows go to `refused_path` as CSV. Raises BadInput, with nothing written, when the
    file can't be used at all.
    """
    with checked_file(path, LAYOUT, zone, half_of(progress, 0)) as (duck, columns, report):
        _check_rows(duck, currency)
        _check_lines(duck)
        _check_orders(duck, in_parts="sku" in columns)
        fill_refusals(duck, report, refused_path)
        _write(engine, duck, clock, report, half_of(progress, 1), currency)
    with transaction(engine) as session:
        session.add(AuditEntry(at=clock(), actor=actor, action="import orders", detail=report.counts()))
    return report


def _check_rows(duck: duckdb.DuckDBPyConnection, brand_currency: str) -> None:
    """Table `part`: one row per row of the file, values read, with its problem or null."""
    statuses = ", ".join(f"'{status}'" for status in STATUSES)
    duck.execute(f"""
        CREATE TABLE part AS
        SELECT row, order_id, customer_id AS member_id, utc_time(ordered_at, getvariable('zone')) AS moment,
               ten_thousandths(amount) AS amount, ten_thousandths(total) AS total, lower(status) AS status,
               upper(currency) AS currency, coupon, sku, lines,
               coalesce(ten_thousandths(raw.quantity), 10000) AS pieces, pieces AS quantity,
               coalesce(ten_thousandths(unit_price), {EACH}) AS price,
               coalesce(ten_thousandths(discount), 0) AS discount,
               coalesce(
                   id_problem(order_id, 'order_id'), id_problem(customer_id, 'customer_id'),
                   CASE WHEN ordered_at IS NULL THEN 'ordered_at is empty'
                        WHEN moment IS NULL THEN 'ordered_at is not a time such as 2026-01-31 18:30'
                        WHEN moment NOT BETWEEN '1900-01-01' AND '2199-12-31' THEN 'ordered_at is outside 1900-2199'
                        WHEN raw.amount IS NULL AND raw.total IS NULL THEN 'amount is empty' END,
                   number_problem(raw.amount, 'amount'), number_problem(raw.total, 'total'),
                   CASE WHEN lower(raw.status) NOT IN ({statuses}) THEN 'status is none of {", ".join(STATUSES)}'
                        WHEN NOT regexp_full_match(raw.currency, '[A-Za-z]{{3}}')
                        THEN 'currency is not a code of three letters'
                        WHEN upper(raw.currency) <> '{brand_currency}'
                        THEN 'currency is ' || upper(raw.currency) || ', not the brand''s {brand_currency}' END,
                   words_problem(coupon, 'coupon'),
                   CASE WHEN sku IS NULL THEN NULL ELSE coalesce(
                       id_problem(sku, 'sku'), number_problem(raw.quantity, 'quantity'),
                       CASE WHEN raw.unit_price IS NULL AND price IS NULL THEN 'unit_price is empty' END,
                       number_problem(raw.unit_price, 'unit_price'), number_problem(raw.discount, 'discount')) END
               ) AS problem
        FROM raw""")  # noqa: S608


def _check_lines(duck: duckdb.DuckDBPyConnection) -> None:
    """Table `line`: one row per order line, from `sku` columns or `lines` lists; bad ones mark their part."""
    shape = '\'[{"sku": "VARCHAR", "quantity": "VARCHAR", "unit_price": "VARCHAR", "discount": "VARCHAR"}]\''
    duck.execute(f"""
        CREATE TABLE listed AS
        SELECT row, order_id, generate_subscripts(list, 1) AS place, unnest(list) AS item
        FROM (SELECT row, order_id, try(from_json(lines, {shape})) AS list FROM part WHERE lines IS NOT NULL)""")  # noqa: S608
    duck.execute("""
        UPDATE part SET problem = 'lines is not a list of objects with sku, quantity and unit_price'
        WHERE problem IS NULL AND lines IS NOT NULL
          AND (coalesce(json_type(lines), '') <> 'ARRAY' OR row IN (
              SELECT row FROM listed WHERE coalesce(
                  id_problem(item.sku, 'sku'), number_problem(coalesce(item.quantity, '1'), 'quantity'),
                  number_problem(coalesce(item.unit_price, '?'), 'unit_price'),
                  number_problem(item.discount, 'discount')) IS NOT NULL))""")
    duck.execute("""
        CREATE TABLE line AS
        SELECT order_id, row_number() OVER (PARTITION BY order_id ORDER BY row, place) AS line_number,
               sku, quantity, unit_price, discount
        FROM (SELECT order_id, row, 0 AS place, sku, quantity, price AS unit_price, discount
              FROM part WHERE sku IS NOT NULL
              UNION ALL
              SELECT order_id, row, place, item.sku, coalesce(ten_thousandths(item.quantity), 10000),
                     ten_thousandths(item.unit_price), coalesce(ten_thousandths(item.discount), 0) FROM listed)""")


def _check_orders(duck: duckdb.DuckDBPyConnection, *, in_parts: bool) -> None:
    """Table `ready`: one row per good order with its chunk number, in the order of the file."""
    disagree = "" if in_parts else "WHEN greatest(amounts, times, lists) > 1 THEN 'amounts, times or lines'"
    has_lines = "true" if in_parts else "max(lines) IS NOT NULL"
    total = "coalesce(max(total), sum(amount)::HUGEINT)" if in_parts else "coalesce(max(total), max(amount))"
    duck.execute(f"""
        CREATE TABLE judged AS
        SELECT *, CASE WHEN bad THEN 'another row of this order is refused'
                       WHEN abs(total) >= {9 * 10**18} THEN 'the total of this order is too large'
                       WHEN conflict IS NOT NULL THEN 'rows of this order have different ' || conflict END AS problem
        FROM (SELECT *, CASE WHEN members > 1 THEN 'customers' WHEN statuses > 1 THEN 'statuses'
                             WHEN currencies > 1 THEN 'currencies' WHEN coupons > 1 THEN 'coupons'
                             WHEN totals > 1 THEN 'totals' {disagree} END AS conflict
              FROM (SELECT order_id, min(row) AS first_row, bool_or(problem IS NOT NULL) AS bad,
                           max(member_id) AS member_id, min(moment) AS moment, {total} AS total, max(status) AS status,
                           max(currency) AS currency, max(coupon) AS coupon, count(DISTINCT member_id) AS members,
                           count(DISTINCT moment) AS times, count(DISTINCT amount) AS amounts,
                           count(DISTINCT status) AS statuses, count(DISTINCT currency) AS currencies,
                           count(DISTINCT coupon) AS coupons, count(DISTINCT total) AS totals,
                           count(DISTINCT lines) AS lists, {has_lines} AS has_lines
                    FROM part WHERE order_id IS NOT NULL GROUP BY order_id))""")  # noqa: S608
    refuse(duck, "SELECT row, problem FROM part WHERE problem IS NOT NULL")
    refuse(
        duck,
        "SELECT row, judged.problem FROM part JOIN judged USING (order_id)"
        " WHERE part.problem IS NULL AND judged.problem IS NOT NULL",
    )
    duck.execute(f"""
        CREATE TABLE ready AS
        SELECT order_id, member_id, strftime(moment, '%Y-%m-%d %H:%M:%S.%f') AS ordered_at, total::BIGINT AS total,
               status, currency, coupon, has_lines::INTEGER AS has_lines,
               (row_number() OVER (ORDER BY first_row) - 1) // {CHUNK} AS chunk
        FROM judged WHERE problem IS NULL ORDER BY chunk""")  # noqa: S608
    duck.execute("""
        CREATE TABLE ready_line AS
        SELECT line.*, chunk
        FROM line JOIN ready USING (order_id) WHERE has_lines = 1 ORDER BY chunk""")


def _write(
    engine: Engine,
    duck: duckdb.DuckDBPyConnection,
    clock: Clock,
    report: ImportReport,
    progress: Progress | None,
    currency: str,
) -> None:
    """One short transaction per chunk; a reader sees whole orders only."""
    [(total, chunks)] = duck.execute("SELECT count(*), coalesce(max(chunk) + 1, 0) FROM ready").fetchall()
    with staging_connection(engine, staged, staged_line) as connection:
        for chunk in range(chunks):
            orders, lines = _chunk_of(duck, "ready", chunk), _chunk_of(duck, "ready_line", chunk)
            with connection.begin():
                stage(connection, staged, orders)
                stage(connection, staged_line, lines)
                added, changed = _write_chunk(connection, clock(), currency)
            report.added += added
            report.changed += changed
            report.unchanged += orders.num_rows - added - changed
            if progress:
                progress(min(total, (chunk + 1) * CHUNK), total)


def _chunk_of(duck: duckdb.DuckDBPyConnection, table: str, chunk: int) -> pa.Table:
    return duck.sql(f"SELECT * EXCLUDE chunk FROM {table} WHERE chunk = {chunk}").to_arrow_table()  # noqa: S608


def _write_chunk(connection: Connection, now: datetime, currency: str) -> tuple[int, int]:
    """(orders added, orders changed) by the staged chunk; whose they are is noted as changed."""
    members = select(staged.c.member_id).distinct().subquery()
    unknown = select(members.c.member_id).where(~exists().where(customer.c.member_id == members.c.member_id))
    if insert_new(connection, customer, unknown, attributes={}, created_at=now, refusal_changed_ms=0):
        make_searchable(connection, select(customer.c.id).join(members, customer.c.member_id == members.c.member_id))
    known = select(order.c.id).where(order.c.order_id == staged.c.order_id).scalar_subquery()
    connection.execute(update(staged).values(stored_id=known, lines_differ=0))
    connection.execute(update(staged).where(_lines_differ()).values(lines_differ=1))
    former = set(connection.execute(_former_owners()).scalars())
    changed = set(connection.execute(_update_orders(currency)).scalars())
    changed |= set(connection.execute(select(staged.c.stored_id).where(staged.c.lines_differ == 1)).scalars())
    outdated = select(staged.c.stored_id).where(staged.c.lines_differ == 1)
    connection.execute(delete(line).where(line.c.sales_order_id.in_(outdated)))

    fresh = (
        select(
            staged.c.order_id,
            customer.c.id.label("customer_id"),
            staged.c.ordered_at,
            func.coalesce(staged.c.currency, currency).label("currency"),
            staged.c.total,
            staged.c.coupon,
            func.coalesce(staged.c.status, "paid").label("status"),
        )
        .join(customer, customer.c.member_id == staged.c.member_id)
        .where(staged.c.stored_id.is_(None))
        .order_by(staged.c.ordered_at)
    )
    added = insert_new(connection, order, fresh)
    to_write = or_(staged.c.stored_id.is_(None), staged.c.lines_differ == 1)
    lines = (
        select(
            order.c.id.label("sales_order_id"),
            staged_line.c.line_number,
            staged_line.c.sku,
            staged_line.c.quantity,
            staged_line.c.unit_price,
            staged_line.c.discount,
        )
        .join(staged, staged.c.order_id == staged_line.c.order_id)
        .join(order, order.c.order_id == staged_line.c.order_id)
        .where(to_write)
    )
    insert_new(connection, line, lines)
    bought = select(customer.c.id).join(staged, staged.c.member_id == customer.c.member_id)
    newly = bought.where(staged.c.stored_id.is_(None))
    note_changes(connection, newly, now)
    note_responses(connection, newly)
    owners = connection.execute(select(order.c.customer_id).where(order.c.id.in_(changed))).scalars()
    concerned = former | set(owners)
    note_changes(connection, concerned, now)
    note_responses(connection, concerned)
    return added, len(changed)


def _former_owners() -> Select[Any]:
    """The customers of stored orders that the staged ones give to somebody else."""
    joined = select(order.c.customer_id).join(staged, staged.c.stored_id == order.c.id)
    joined = joined.join(customer, customer.c.member_id == staged.c.member_id)
    return joined.where(order.c.customer_id != customer.c.id)


def _update_orders(currency: str) -> ReturningUpdate[Any]:
    """The statement that brings stored orders up to the staged ones and returns the ids of those that changed. The
    amount is replaced, so what it is in is too: a file that doesn't say is in `currency`, the brand's."""
    values = {
        **{name: func.coalesce(staged.c[name], order.c[name]) for name in ("status", "coupon")},
        "currency": func.coalesce(staged.c.currency, currency),
        "customer_id": customer.c.id,
        "ordered_at": staged.c.ordered_at,
        "total": staged.c.total,
    }
    return (
        update(order)
        .where(order.c.id == staged.c.stored_id, customer.c.member_id == staged.c.member_id)
        .where(or_(*(order.c[name].is_distinct_from(value) for name, value in values.items())))
        .values(values)
        .returning(order.c.id)
    )


def _lines_differ() -> ColumnElement[bool]:
    """True of a staged order that is stored with other lines; one staged without lines leaves what is stored."""
    same_place = and_(line.c.sales_order_id == staged.c.stored_id, line.c.line_number == staged_line.c.line_number)
    same = and_(same_place, *(line.c[n] == staged_line.c[n] for n in ("sku", "quantity", "unit_price", "discount")))
    mine = staged_line.c.order_id == staged.c.order_id
    missing = exists().where(mine, ~exists().where(same).correlate(staged, staged_line))
    surplus = exists().where(
        line.c.sales_order_id == staged.c.stored_id,
        ~exists().where(mine, staged_line.c.line_number == line.c.line_number).correlate(staged, line),
    )
    return and_(
        staged.c.stored_id.is_not(None),
        staged.c.has_lines == 1,
        or_(missing.correlate(staged), surplus.correlate(staged)),
    )
