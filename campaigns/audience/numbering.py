"""The people of a slice in their places: each one's place, from 0, among those chosen of the same kind.

They are kept in a temporary table, which belongs to the connection, takes nobody's lock, and holds whom a slice has
until it is written. PostgreSQL counts places with a window. SQLite would keep every row twice for that: there people
are sorted, and row numbers are the places but for where their kind begins.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, and_, delete, exists, func, insert, select, text
from sqlalchemy.schema import CreateTable
from sqlmodel import Session

from store.engine import is_sqlite, table_of
from store.models import Customer
from store.types import BigId

_COLUMNS: dict[str, Any] = {
    "customer_id": BigId,
    "line_user_id": String,
    "segment": String,
    "reason": String,
    "state": String,
    "variant_place": Integer,
    "wave_place": Integer,
    "kind": Integer,
}


def _table(metadata: MetaData, *number: Column[Any]) -> Table:
    columns = (Column(name, kind) for name, kind in _COLUMNS.items())
    return Table("frozen_slice", metadata, *number, *columns, prefixes=["TEMPORARY"])


_placed = _table(MetaData(), Column("place", Integer))
_rowed = _table(MetaData(), Column("row_number", Integer, primary_key=True))  # SQLite's own number of a row
customer = table_of(Customer)


def numbered(session: Session, judged: Any) -> tuple[list[Any], Any]:
    """The statements to execute first, in order; then a subquery with the columns of `judged` (a SELECT of _COLUMNS by
    name) and `place`, which means nothing for who isn't chosen."""
    people = judged.subquery()
    columns = [people.c[name] for name in _COLUMNS]
    if not is_sqlite(session):
        # Customers come in order: where there is one kind, nothing has to be sorted.
        window: dict[str, Any] = {"partition_by": people.c.kind, "order_by": people.c.customer_id, "rows": (None, 0)}
        chosen = func.count().filter(people.c.state == "chosen").over(**window)
        put = _kept(_placed, text(f"TRUNCATE {_placed.name}"), [*_COLUMNS, "place"], select(*columns, chosen - 1))
        return put, select(_placed).subquery("person")
    rows = select(*columns).order_by(people.c.state, people.c.kind, people.c.customer_id)
    begins = select(_rowed.c.state, _rowed.c.kind, func.min(_rowed.c.row_number).label("first"))
    kinds = begins.group_by(_rowed.c.state, _rowed.c.kind).subquery("kinds")
    same = and_(kinds.c.state == _rowed.c.state, kinds.c.kind == _rowed.c.kind)
    place = (_rowed.c.row_number - kinds.c.first).label("place")
    person = select(*(_rowed.c[name] for name in _COLUMNS), place).join(kinds, same).subquery("person")
    return _kept(_rowed, delete(_rowed), [*_COLUMNS], rows), person


def _kept(table: Table, empty: Any, names: list[str], rows: Any) -> list[Any]:
    """The statements that put a slice's people down in place of those of the slice before."""
    create = CreateTable(table, if_not_exists=True)
    return [create, empty, insert(table).from_select(names, rows, include_defaults=False)]


def are_still_there(session: Session, of: Callable[[Any], Any]) -> bool:
    """Whether everybody chosen in the temporary table (all are customers that `of` means) may be written to still: not
    merged into another, not erased, and not refusing since."""
    still = (customer.c.id == _placed.c.customer_id, of(customer.c.id), customer.c.marketing_refused_at.is_(None))
    gone = select(func.count()).select_from(_placed).where(_placed.c.state == "chosen", ~exists().where(*still))
    return session.scalars(gone).one() == 0
