"""What customers are found by, kept so that a search for any part of a name reads only what it finds, on both databases
and whatever the language: Chinese names are two to four characters, too short for an index of trigrams.

Each name stands once for each of its characters, from that character on: what contains the words begins with them
there, and lies side by side in an index.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    delete,
    func,
    insert,
    literal,
    select,
    union_all,
)
from sqlmodel import Session

from store.engine import table_of
from store.models import Customer, CustomerWord

KEPT_CHARACTERS = 32  # of each word
IDS_AT_ONCE = 5_000  # parameters of one statement: databases have a limit
BEYOND = "\U0010ffff"  # sorts behind whatever a word goes on with

customer, word = table_of(Customer), table_of(CustomerWord)


def make_searchable(session: Session | Connection, customer_ids: Iterable[int] | Select[Any]) -> None:
    """Make these customers found by their name and member id as they are stored now. Whoever writes either calls it in
    the same transaction. A Select of one column of ids stays in the database. Never commits."""
    if isinstance(customer_ids, Select):
        _write(session, customer_ids)
        return
    ids = sorted(set(customer_ids))
    for start in range(0, len(ids), IDS_AT_ONCE):
        _write(session, ids[start : start + IDS_AT_ONCE])


def _write(session: Session | Connection, ids: Any) -> None:
    session.execute(delete(word).where(word.c.customer_id.in_(ids)))
    session.execute(insert(word).from_select(["customer_id", "place", "word"], words_of(customer.c.id.in_(ids))))


def words_of(these: ColumnElement[bool]) -> Select[Any]:
    """SQL: customer id, place and word of these customers."""
    at = literal(1, Integer).label("place")
    named = select(customer.c.id.label("customer_id"), at, func.lower(customer.c.name).label("rest"))
    rest = named.where(these, customer.c.name != "").cte("rest_of_name", recursive=True)
    shorter = select(rest.c.customer_id, rest.c.place + 1, func.substr(rest.c.rest, 2))
    rest = rest.union_all(shorter.where(func.length(rest.c.rest) > 1))
    member = select(
        customer.c.id, literal(0, Integer), func.substr(func.lower(customer.c.member_id), 1, KEPT_CHARACTERS)
    )
    found = union_all(
        select(rest.c.customer_id, rest.c.place, func.substr(rest.c.rest, 1, KEPT_CHARACTERS)),
        member.where(these, customer.c.member_id.is_not(None)),
    ).subquery()
    return select(*found.c)


def begins_with(words: str) -> ColumnElement[bool]:
    """SQL: the row of `customer_word` begins with `words`, whatever the case, or with the part of them that is kept."""
    first = func.lower(words[:KEPT_CHARACTERS])
    return and_(word.c.word >= first, word.c.word < first.concat(BEYOND))
