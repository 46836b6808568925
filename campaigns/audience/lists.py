"""Lists: people put together by hand or from a file, an audience that doesn't move by itself.

A list gets its name when it is whole: one that a killed import left says so in its name, and can be deleted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count, islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, delete, func, select, update
from sqlmodel import Session

from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.errors import UNSEEN, BadInput, ExpectedError, NotFound
from store.imports.checks import checked_file, fill_refusals, refuse
from store.imports.files import Layout, Progress
from store.imports.report import ImportReport
from store.models import AuditEntry, Campaign, Customer, CustomerList, CustomerListMember

LAYOUT = Layout(required=("customer_id",), optional=())
SLICE = 4_000  # people written in one transaction
MAX_NAME = 100
NOT_KNOWN = "no customer has this customer_id"
ALIVE = ("draft", "scheduled", "sending", "paused")  # states of campaigns that may still ask who is on a list

lists, members, customer = table_of(CustomerList), table_of(CustomerListMember), table_of(Customer)


class ListInUse(ExpectedError):
    """A list that a campaign is for can't be deleted."""

    http_status = 409


@dataclass(frozen=True)
class ListSize:
    """A list and how many are on it."""

    name: str
    people: int
    origin: dict[str, Any]
    created_at: datetime


def make_list(
    engine: Engine, name: str, ids: Iterable[int], *, origin: dict[str, Any], actor: str, clock: Clock
) -> int:
    """Make a list of customers, each once; returns how many. Writes an audit entry. Raises BadInput for a name that
    is taken or can't be one."""
    if not name.strip() or name != name.strip() or len(name) > MAX_NAME:
        raise BadInput(f"the name of a list has 1 to {MAX_NAME} characters, and no space at its ends, not {name!r}")
    if not name.isprintable():
        raise BadInput(UNSEEN)
    now = clock()
    with transaction(engine) as session:
        _require_free(session, name)
        made = CustomerList(name=f"{name} (being made {now.isoformat()})", origin=origin, created_at=now)
        session.add(made)
        session.flush()
        list_id = made.id
    waiting = iter(ids)
    while part := list(islice(waiting, SLICE)):
        with transaction(engine) as session:
            rows = [{"list_id": list_id, "customer_id": who} for who in part]
            session.connection().execute(insert_for(session, CustomerListMember).on_conflict_do_nothing(), rows)
    with transaction(engine) as session:
        _require_free(session, name)
        session.execute(update(lists).where(lists.c.id == list_id).values(name=name))
        people = session.scalar(select(func.count()).where(members.c.list_id == list_id)) or 0
        detail = {**origin, "list_id": list_id, "people": people}
        session.add(AuditEntry(at=clock(), actor=actor, action="make list", detail=detail))
    return people


def free_name(session: Session, wanted: str) -> str:
    """`wanted`, shortened to what a list's name may have, with a number behind it if it is taken."""
    words = " ".join(wanted.split())
    behind = chain([""], (f" {number}" for number in count(2)))
    names = (words[: MAX_NAME - len(one)].strip() + one for one in behind)
    return next(name for name in names if not _is_taken(session, name))


def import_list(
    engine: Engine,
    name: str,
    path: Path,
    *,
    zone: ZoneInfo,
    clock: Clock,
    progress: Progress | None = None,
    refused_path: Path | None = None,
    actor: str = "command line",
) -> ImportReport:
    """Make a list of those whose member ids stand in the column `customer_id` of `path`; `added` is how many are on it.
    Rows of people who are no customers are refused. Raises BadInput, with nothing written, when the file can't be used
    or the name is taken."""
    with checked_file(path, LAYOUT, zone, progress) as (duck, _columns, report):
        rows = duck.execute("SELECT row, customer_id FROM raw ORDER BY row").fetchall()
        found = _known(engine, sorted({member_id for _, member_id in rows if member_id}))
        duck.execute("CREATE TABLE unknown (row BIGINT)")
        unknown = [(row,) for row, member_id in rows if member_id not in found]
        if unknown:
            duck.executemany("INSERT INTO unknown VALUES (?)", unknown)
        refuse(duck, f"SELECT row, '{NOT_KNOWN}' FROM unknown")  # noqa: S608 - our own words
        fill_refusals(duck, report, refused_path)
    origin = {"file": path.name, **report.counts()}
    report.added = make_list(engine, name, sorted(found.values()), origin=origin, actor=actor, clock=clock)
    return report


def list_sizes(session: Session) -> list[ListSize]:
    """All lists by name."""
    people = select(func.count()).where(members.c.list_id == lists.c.id).scalar_subquery()
    rows = session.execute(select(lists.c.name, people, lists.c.origin, lists.c.created_at).order_by(lists.c.name))
    return [ListSize(*row) for row in rows]


def members_of(session: Session, name: str, *, limit: int) -> list[tuple[int, str | None, str | None]]:
    """The first `limit` people of a list: id, member id, name. Raises NotFound."""
    list_id = _id_of(session, name)
    query = select(customer.c.id, customer.c.member_id, customer.c.name).join(
        members, members.c.customer_id == customer.c.id
    )
    rows = session.execute(query.where(members.c.list_id == list_id).order_by(customer.c.id).limit(limit))
    return [(row.id, row.member_id, row.name) for row in rows]


def delete_list(engine: Engine, name: str, *, actor: str, clock: Clock) -> int:
    """Forget a list; returns how many were on it. Writes an audit entry. Raises NotFound, and ListInUse while a
    campaign that isn't over is for it."""
    campaign = table_of(Campaign)
    with transaction(engine) as session:
        list_id = _id_of(session, name)
        alive = session.execute(select(campaign.c.id, campaign.c.audience).where(campaign.c.state.in_(ALIVE)))
        users = [str(row.id) for row in alive if f"list:{name}" in _targets(row.audience)]
        if users:
            raise ListInUse(f"the list {name!r} is needed by campaign {', '.join(users)}")
        gone = f"{name} (being deleted {clock().isoformat()})"  # nobody may choose it from now on
        session.execute(update(lists).where(lists.c.id == list_id).values(name=gone))
    people = 0
    first = select(members.c.customer_id).where(members.c.list_id == list_id).order_by(members.c.customer_id)
    while True:
        with transaction(engine) as session:
            part = delete(members).where(members.c.list_id == list_id, members.c.customer_id.in_(first.limit(SLICE)))
            removed: int = session.execute(part).rowcount  # type: ignore[attr-defined]
            people += removed
            if removed < SLICE:
                session.execute(delete(lists).where(lists.c.id == list_id))
                detail = {"list_id": list_id, "people": people}
                session.add(AuditEntry(at=clock(), actor=actor, action="delete list", detail=detail))
                return people


def _targets(audience: dict[str, Any]) -> Sequence[str]:
    return [*audience["any_of"], *audience["none_of"]]


def _known(engine: Engine, member_ids: Sequence[str]) -> dict[str, int]:
    """Member id -> customer id, of those who are customers."""
    found: dict[str, int] = {}
    with reading(engine) as session:
        for start in range(0, len(member_ids), SLICE):
            of_these = customer.c.member_id.in_(member_ids[start : start + SLICE])
            rows = session.execute(select(customer.c.member_id, customer.c.id).where(of_these))
            found |= {row.member_id: row.id for row in rows}
    return found


def _require_free(session: Session, name: str) -> None:
    if _is_taken(session, name):
        raise BadInput(f"there is a list {name!r} already")


def _is_taken(session: Session, name: str) -> bool:
    return session.execute(select(lists.c.id).where(lists.c.name == name)).first() is not None


def _id_of(session: Session, name: str) -> int:
    found = session.scalar(select(lists.c.id).where(lists.c.name == name))
    if found is None:
        raise NotFound(f"there is no list {name!r}")
    return int(found)
