"""How many rows a table has, in a time that doesn't grow with it: exact while there are few, then about."""

from dataclasses import dataclass
from random import Random
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, func, literal_column, select, text
from sqlmodel import Session

from store.engine import is_sqlite

EXACT_UP_TO = 200_000  # rows counted one by one: a few hundredths of a second
LOOKED_AT = 5_000  # rows, by which the share of a condition is told: half of one in a hundred is its mean error at most
DIGITS = 3  # of a number told by them


@dataclass(frozen=True)
class Count:
    """`is_exact` False: about so many."""

    number: int
    is_exact: bool = True


def count_rows(session: Session, table: Any, *only: ColumnElement[bool]) -> Count:
    """Rows of `table`, or those of them for which `only` holds."""
    few = select(literal_column("1")).select_from(table).where(*only).limit(EXACT_UP_TO + 1).subquery()
    number = session.scalar(select(func.count()).select_from(few)) or 0
    if number <= EXACT_UP_TO:
        return Count(number)
    about = max(_estimate(session, table), EXACT_UP_TO)
    return Count(_rounded(about * _share(session, table, *only)) if only else about, is_exact=False)


def _estimate(session: Session, table: Any) -> int:
    if is_sqlite(session):  # ids are given in turn, and rows of these tables are seldom deleted
        return int(session.scalar(select(func.max(table.c.id))) or 0)
    # the planner's own estimate: an id that a conflict used up is not a row
    known = text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:name)")
    return int(session.scalar(known, {"name": table.name}) or 0)


def _share(session: Session, table: Any, *only: ColumnElement[bool]) -> float:
    """The part (0..1) of rows for which `only` holds, by a sample of ids: nearly the same ones each time, so that the
    number doesn't jump about."""
    newest = int(session.scalar(select(func.max(table.c.id))) or 1)
    chance = Random(0)
    ids = sorted({1 + int(chance.random() * newest) for _ in range(LOOKED_AT)})
    # Written into the statement: as parameters they would take longer than to be looked up.
    sampled = table.c.id.in_(bindparam("sampled", ids, expanding=True, literal_execute=True))
    return float(session.scalar(select(func.avg(case((and_(*only), 1.0), else_=0.0))).where(sampled)) or 0)


def _rounded(number: float) -> int:
    return int(round(number, DIGITS - len(str(int(number)))))
