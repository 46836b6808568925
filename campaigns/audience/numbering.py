"""The people of a slice in their places: each one's place, from 0, among those of the same state and kind.

PostgreSQL counts with a window. SQLite would keep every row twice for that; there they are sorted into a temporary
table, whose row numbers are the places but for where their kind begins: a quarter less for all of a slice. The table
belongs to the connection, lies in memory and takes no lock.
"""

from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, and_, delete, exists, func, insert, select
from sqlalchemy.schema import CreateTable
from sqlmodel import Session

from store.engine import is_sqlite, table_of
from store.models import Customer
from store.types import BigId

_slice = Table(
    "frozen_slice",
    MetaData(),
    Column("row_number", Integer, primary_key=True),
    Column("customer_id", BigId),
    Column("line_user_id", String),
    Column("segment", String),
    Column("reason", String),
    Column("state", String),
    Column("variant_place", Integer),
    Column("wave_place", Integer),
    Column("kind", Integer),
    prefixes=["TEMPORARY"],
)
customer = table_of(Customer)
COLUMNS = tuple(column.name for column in _slice.columns if not column.primary_key)


def numbered(session: Session, judged: Any) -> tuple[list[Any], Any]:
    """The statements to execute first, in order; then a subquery with the columns of `judged` (a SELECT of COLUMNS by
    name) and `place`."""
    if is_sqlite(session):
        return _sorted(judged)
    people = judged.subquery()
    window = {"partition_by": [people.c.state, people.c.kind], "order_by": people.c.customer_id}
    place = func.row_number().over(**window) - 1
    return [], select(*(people.c[name] for name in COLUMNS), place.label("place")).subquery("person")


def _sorted(judged: Any) -> tuple[list[Any], Any]:
    people = judged.subquery()
    rows = select(*(people.c[name] for name in COLUMNS)).order_by(people.c.state, people.c.kind, people.c.customer_id)
    first = [
        CreateTable(_slice, if_not_exists=True),
        delete(_slice),  # of the slice before; row numbers begin at 1 again
        insert(_slice).from_select(COLUMNS, rows, include_defaults=False),
    ]
    begins = select(_slice.c.state, _slice.c.kind, func.min(_slice.c.row_number).label("first"))
    kinds = begins.group_by(_slice.c.state, _slice.c.kind).subquery("kinds")
    same = and_(kinds.c.state == _slice.c.state, kinds.c.kind == _slice.c.kind)
    place = (_slice.c.row_number - kinds.c.first).label("place")
    return first, select(*(_slice.c[name] for name in COLUMNS), place).join(kinds, same).subquery("person")


def are_still_there(session: Session) -> bool:
    """On SQLite: whether everybody chosen in the temporary table is a customer who may be written to still: not merged
    into another, not erased, and not refusing since."""
    still = (customer.c.id == _slice.c.customer_id, customer.c.marketing_refused_at.is_(None))
    gone = select(_slice.c.row_number).where(_slice.c.state == "chosen", ~exists().where(*still)).limit(1)
    return session.execute(gone).first() is None
