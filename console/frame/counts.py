"""How many rows a table has, in a time that doesn't grow with it: exact while there are few, then about."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select, text
from sqlmodel import Session

from store.engine import is_sqlite

EXACT_UP_TO = 200_000  # rows counted one by one: a few hundredths of a second


@dataclass(frozen=True)
class Count:
    """`is_exact` False: about so many, or at least so many where only some rows are meant (`is_least`)."""

    number: int
    is_exact: bool = True
    is_least: bool = False


def count_rows(session: Session, table: Any, *only: ColumnElement[bool]) -> Count:
    """Rows of `table`, or those of them for which `only` holds."""
    few = select(literal_column("1")).select_from(table).where(*only).limit(EXACT_UP_TO + 1).subquery()
    number = session.scalar(select(func.count()).select_from(few)) or 0
    if number <= EXACT_UP_TO:
        return Count(number)
    if only:
        return Count(EXACT_UP_TO, is_exact=False, is_least=True)
    return Count(max(_estimate(session, table), EXACT_UP_TO), is_exact=False)


def _estimate(session: Session, table: Any) -> int:
    if is_sqlite(session):  # ids are given in turn, and rows of these tables are seldom deleted
        return int(session.scalar(select(func.max(table.c.id))) or 0)
    # the planner's own estimate: an id that a conflict used up is not a row
    known = text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:name)")
    return int(session.scalar(known, {"name": table.name}) or 0)
