"""Who in claimed batches is sent to, as they are now: who has refused or left since the freeze is skipped."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    and_,
    bindparam,
    case,
    exists,
    func,
    select,
    update,
)
from sqlmodel import Session

from campaigns.sending.claims import BY_CUSTOMER, Claimed, chosen_in, take_tally_back
from store.engine import is_sqlite, table_of
from store.models import Customer, Delivery, Enrolment, LineAccount, SendBatch

EVERYBODY = 2**62  # beyond every customer's id
REFUSED_IN_DOUBT = "refused in doubt"
_customer, _account = table_of(Customer), table_of(LineAccount)
READER = (  # what `fields_of` reads of a customer and their account
    *(_customer.c.name, _customer.c.gender, _customer.c.city, _customer.c.language),
    *(_customer.c.member_id, _customer.c.attributes, _account.c.display_name, _account.c.profile_language),
)


class Recipient(NamedTuple):
    """One person of a batch still to be sent to, with the fields that content may name."""

    customer_id: int
    line_user_id: str
    variant_id: int
    retry_key: str | None
    doubt_since: datetime | None
    fields: dict[str, Any]
    languages: tuple[str | None, str | None]  # the brand's word, then LINE's


def pushes_of(session: Session, claimed: Claimed) -> list[Recipient]:
    """Who in a claimed batch is still to be pushed to, by customer id, with their fields. For whom an earlier worker
    may have called, the doubt is noted on the person; a refusal since the freeze is obeyed for all others here, and for
    those in doubt by `still_willing`."""
    delivery, customer, account = table_of(Delivery), table_of(Customer), table_of(LineAccount)
    batch = table_of(SendBatch)
    mine = chosen_in([claimed])
    if claimed.doubt_since is not None:
        here = (batch.c.run_id == claimed.run_id, batch.c.batch_number == claimed.batch_number)
        up_to = select(func.coalesce(batch.c.begun_up_to, EVERYBODY)).where(*here).scalar_subquery()
        session.execute(
            update(delivery)
            .where(*mine, delivery.c.first_attempt_at.is_(None), delivery.c.customer_id <= up_to)
            .values(first_attempt_at=claimed.doubt_since)
        )
        session.execute(update(batch).where(*here).values(first_attempt_at=None, begun_up_to=None))
    rows = session.execute(
        select(
            _why_gone([claimed]),
            delivery.c.customer_id,
            delivery.c.line_user_id,
            delivery.c.variant_id,
            delivery.c.retry_key,
            delivery.c.first_attempt_at,
            *READER,
        )
        .join(customer, customer.c.id == delivery.c.customer_id)
        .outerjoin(
            account,
            and_(account.c.channel_id == claimed.channel_id, account.c.line_user_id == delivery.c.line_user_id),
        )
        .where(*mine)
        .order_by(BY_CUSTOMER)
    ).all()
    _skip(session, [claimed], {row.customer_id: row.why_gone for row in rows if row.why_gone is not None})
    return [
        Recipient(
            row.customer_id,
            row.line_user_id,
            row.variant_id,
            row.retry_key,
            row.first_attempt_at,
            fields_of(row),
            (row.language, row.profile_language),
        )
        for row in rows
        if row.why_gone is None
    ]


def still_willing(session: Session, claimed: Claimed, people: Sequence[Recipient]) -> list[Recipient]:
    """Those of a claimed batch's `people` who have not refused since they were read, which may be minutes ago where the
    rate is slow or LINE is; who has is skipped, or unknown where LINE may have sent it already: asking again could send
    it now. Left out as well is who has become one person with another customer: the batch has them under that name."""
    if not people:
        return []
    its = {"its_run_id": claimed.run_id, "its_number": claimed.batch_number}
    these = {"first": people[0].customer_id, "last": people[-1].customer_id}  # they come by customer id
    willing = set(session.scalars(_WILLING, its | these))
    gone = [one for one in people if one.customer_id not in willing]
    _skip(session, [claimed], {one.customer_id: "refused" for one in gone if one.doubt_since is None})
    _give_up(session, claimed, [one.customer_id for one in gone if one.doubt_since is not None])
    return [person for person in people if person.customer_id in willing]


def _willing() -> Any:
    """By batch and bounds: as ids, the people would be hundreds of parameters."""
    delivery, customer = table_of(Delivery), table_of(Customer)
    return (
        select(delivery.c.customer_id)
        .join(customer, customer.c.id == delivery.c.customer_id)
        .where(
            delivery.c.run_id == bindparam("its_run_id"),
            delivery.c.batch_number == bindparam("its_number"),
            delivery.c.customer_id.between(bindparam("first"), bindparam("last")),
            customer.c.marketing_refused_at.is_(None),
        )
    )


_WILLING = _willing()


def _give_up(session: Session, claimed: Claimed, ids: Sequence[int]) -> None:
    """Of people in doubt who refuse by now it stays unknown whether LINE has it."""
    if ids:
        mine = (*chosen_in([claimed]), table_of(Delivery).c.customer_id.in_(ids))
        session.execute(update(Delivery).where(*mine).values(state="unknown", reason=REFUSED_IN_DOUBT))
        take_tally_back(session, [claimed])


def multicasts_of(session: Session, batches: Sequence[Claimed]) -> list[list[str]]:
    """For each of some claimed multicasts of one run the LINE ids of those in it. A refusal since the freeze is obeyed,
    unless the call may have been made: the same retry key must name the same people again, and LINE may have sent it
    already."""
    delivery, customer = table_of(Delivery), table_of(Customer)
    if untried := [claimed for claimed in batches if claimed.doubt_since is None]:
        why = _why_gone(batches)
        people = select(delivery.c.customer_id, why).join(customer, customer.c.id == delivery.c.customer_id)
        rows = session.execute(people.where(*chosen_in(untried), why.is_not(None)))
        _skip(session, untried, {row.customer_id: row.why_gone for row in rows})
    # A list made by the database: thousands of rows fetched one by one would keep the calls under way from going on.
    ids = (
        func.json_group_array(delivery.c.line_user_id)
        if is_sqlite(session)
        else func.array_agg(delivery.c.line_user_id)
    )
    lists = select(delivery.c.batch_number, ids).where(*chosen_in(batches)).group_by(delivery.c.batch_number)
    found = {number: orjson.loads(ids) if isinstance(ids, str) else ids for number, ids in session.execute(lists)}
    return [found.get(claimed.batch_number, []) for claimed in batches]


def _why_gone(batches: Sequence[Claimed]) -> Any:
    """SQL on delivery joined to customer: why somebody not called yet is no longer to be, NULL for who is: they refuse
    marketing by now, or have left the campaign (they reached its goal)."""
    delivery, customer, enrolment = table_of(Delivery), table_of(Customer), table_of(Enrolment)
    is_untried = delivery.c.first_attempt_at.is_(None)
    reasons: list[tuple[Any, Any]] = [(and_(is_untried, customer.c.marketing_refused_at.is_not(None)), "refused")]
    if batches[0].may_leave:
        left = (
            enrolment.c.run_id == delivery.c.run_id,
            enrolment.c.customer_id == delivery.c.customer_id,
            enrolment.c.state == "left",
        )
        why = select(func.coalesce(enrolment.c.reason, "left")).where(*left).limit(1).scalar_subquery()
        reasons.append((and_(is_untried, exists().where(*left)), why))
    return case(*reasons).label("why_gone")


def _skip(session: Session, batches: Sequence[Claimed], gone: Mapping[int, str]) -> None:
    """Skip people of some claimed batches of one run: customer id -> why."""
    delivery = table_of(Delivery)
    for reason in sorted(set(gone.values())):
        ids = sorted(customer_id for customer_id, why in gone.items() if why == reason)
        mine = (delivery.c.customer_id.in_(ids), delivery.c.first_attempt_at.is_(None))
        session.execute(update(delivery).where(*chosen_in(batches), *mine).values(state="skipped", reason=reason))
    if gone:
        take_tally_back(session, batches)


def fields_of(row: Any) -> dict[str, Any]:
    """The fields that content may name, of a row with a customer's columns; what is unknown is left out."""
    named = {
        "name": row.name or row.display_name,
        "display_name": row.display_name,
        "gender": row.gender,
        "city": row.city,
        "language": row.language,
        "member_id": row.member_id,
    }
    fields = {**(row.attributes or {}), **{key: value for key, value in named.items() if value is not None}}
    return {key: value for key, value in fields.items() if value is not None}
