"""Customers by what was typed into the search box: any part of a name, the beginning of a member id (both whatever the
case), or a whole LINE user id. Reads only."""

import re
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, union
from sqlmodel import Session

from store.engine import is_sqlite, table_of
from store.models import Channel, Customer, CustomerWord, LineAccount
from store.searchable import KEPT_CHARACTERS, begins_with

MANY = 20_000  # found by words: then the next of them is near by, in the order of ids

customer, account = table_of(Customer), table_of(LineAccount)
word, channel = table_of(CustomerWord), table_of(Channel)


def searched(session: Session, words: str, after: int, limit: int, many: int = MANY) -> ColumnElement[bool]:
    """SQL: the customer is one of the first `limit` above the id `after` whom `words` find, or, where they find `many`,
    any of them."""
    hits = select(word.c.customer_id).where(begins_with(words))
    counted = select(func.count()).select_from(hits.limit(many).subquery())
    if session.scalar(counted) == many:
        return or_(_holds(session, words), customer.c.id.in_(_by_account(words)))
    hits = hits.where(word.c.customer_id + 0 > after)  # plain, SQLite would go through all words by their customers
    if len(words) > KEPT_CHARACTERS:
        hits = hits.join(customer, customer.c.id == word.c.customer_id).where(_holds(session, words))
    theirs = _by_account(words).where(account.c.customer_id + 0 > after)
    first = union(hits, theirs).order_by("customer_id").limit(limit)
    these: ColumnElement[bool] = customer.c.id.in_(session.scalars(first).all())
    return these


def _by_account(words: str) -> Select[Any]:
    # the channel is named for its index
    here = account.c.channel_id.in_(select(channel.c.id))
    return select(account.c.customer_id).where(here, account.c.line_user_id == words)


def _holds(session: Session, words: str) -> ColumnElement[bool]:
    """By reading them. SQLite's LIKE knows no case by itself; `lower` around every name makes it nearly three times as
    long."""
    plain = re.sub(r"([/%_])", r"/\1", words)
    begins, holds = f"{plain}%", f"%{plain}%"
    member, name = customer.c.member_id, customer.c.name
    if is_sqlite(session):
        return or_(member.like(begins, escape="/"), name.like(holds, escape="/"))
    return or_(member.ilike(begins, escape="/"), name.ilike(holds, escape="/"))
