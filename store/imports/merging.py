"""Two customers who turn out to be one person: everything of the one moves to the other.

This happens when somebody known only by a LINE account (made by the webhook) is bound to a member who was imported.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Table,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlmodel import SQLModel

from store.changes import note_responses
from store.engine import table_of
from store.locks import DELIVERIES, lock_until_end
from store.models import (
    CampaignRun,
    Customer,
    CustomerSegment,
    CustomerTag,
    CustomerWord,
    Delivery,
    Enrolment,
    FormerCustomer,
    Narrowcast,
    Reply,
    RunMember,
    RunResponse,
    RunTally,
    SegmentChange,
    SendBatch,
)
from store.searchable import make_searchable

customer = table_of(Customer)
# the next segment run makes them anew, words are made at once
REBUILT = (table_of(CustomerSegment), table_of(SegmentChange), table_of(CustomerWord))
LOOSE = (table_of(Delivery), table_of(RunMember), table_of(Reply))  # no foreign keys: most are of many rows


def merge_customers(connection: Connection, into: Mapping[int, int]) -> None:
    """For each customer id -> member's customer id: move every row that names the first to the second, fill what the
    second lacks, and delete the first, of whom it is kept who they are now. A refusal of marketing by either holds for
    both. Never commits."""
    if not into:
        return
    lock_until_end(connection, DELIVERIES)
    # Before any row of theirs: who computes them holds them first, too, and one waits for the other from the beginning.
    gone = select(customer.c.id).where(customer.c.id.in_(into)).order_by(customer.c.id)
    connection.execute(gone.with_for_update())
    pairs = [{"old_id": old, "new_id": new} for old, new in into.items()]
    for table in REBUILT:
        connection.execute(delete(table).where(table.c.customer_id == bindparam("old_id")), pairs)
    _settle_deliveries(connection, pairs)
    _mind_uploads(connection, pairs)
    _note_doubt(connection, list(into))
    _forget_sums(connection, pairs)
    _settle_tags(connection, pairs)
    _settle_ways(connection, pairs)
    for table, column in _references():
        for others in _unique_with(table, column):
            connection.execute(_delete_doubles(table, column, others), pairs)
        statement = update(table).where(column == bindparam("old_id")).values({column.name: bindparam("new_id")})
        connection.execute(statement, pairs)
    _fill_member(connection, pairs)
    connection.execute(delete(customer).where(customer.c.id == bindparam("old_id")), pairs)
    former = [{"former_id": old, "customer_id": new} for old, new in into.items()]
    connection.execute(insert(table_of(FormerCustomer)), former)
    make_searchable(connection, into.values())
    note_responses(connection, into.values())


def _references() -> list[tuple[Table, Column[Any]]]:
    """Every column of every table that holds a customer's id, except in what is rebuilt."""
    return [
        (table, column)
        for table in SQLModel.metadata.sorted_tables
        if table not in REBUILT
        for column in table.columns
        if (table in LOOSE and column.name == "customer_id")
        or any(key.column is customer.c.id for key in column.foreign_keys)
    ]


def _unique_with(table: Table, column: Column[Any]) -> list[list[Column[Any]]]:
    """For each constraint that makes `column` unique together with others: those others."""
    keys = [list(table.primary_key.columns)]
    keys += [list(c.columns) for c in table.constraints if isinstance(c, UniqueConstraint)]
    return [[other for other in key if other is not column] for key in keys if column in key]


def _delete_doubles(table: Table, column: Column[Any], others: list[Column[Any]]) -> Any:
    kept = table.alias("kept")
    same = and_(kept.c[column.name] == bindparam("new_id"), *(kept.c[other.name] == other for other in others))
    return delete(table).where(column == bindparam("old_id"), exists().where(same).correlate(table))


def _settle_deliveries(connection: Connection, pairs: list[dict[str, int]]) -> None:
    """Where both were in one run, the member was skipped for want of an account: the delivery that was sent stays."""
    delivery = table_of(Delivery)
    sent = delivery.alias("sent")
    had_one = exists().where(sent.c.run_id == delivery.c.run_id, sent.c.customer_id == bindparam("old_id"))
    skipped = (delivery.c.customer_id == bindparam("new_id"), delivery.c.state == "skipped")
    for pair in pairs:
        gone = connection.execute(
            delete(delivery)
            .where(*skipped, had_one.correlate(delivery))
            .returning(delivery.c.run_id, delivery.c.segment, delivery.c.reason),
            pair,
        ).all()
        for row in gone:
            connection.execute(_one_skipped_less(row.run_id, row.segment or "none", row.reason or ""))


def _mind_uploads(connection: Connection, pairs: list[dict[str, int]]) -> None:
    """The audience of a narrowcast is uploaded in the order of ids: of whoever gets a lower one it must not be thought
    that they stand in it, nor of whoever gets a higher one that they can't. So it goes on from before the lower id, as
    adding people twice is once; and as the place always changes, a step that a worker has in hand, who doesn't know the
    new id, counts for nothing."""
    narrowcast, delivery, batch = table_of(Narrowcast), table_of(Delivery), table_of(SendBatch)
    theirs = exists().where(
        delivery.c.run_id == narrowcast.c.run_id,
        delivery.c.customer_id == bindparam("old_id"),
        delivery.c.state == "chosen",
        batch.c.run_id == delivery.c.run_id,
        batch.c.batch_number == delivery.c.batch_number,
        batch.c.variant_id == narrowcast.c.variant_id,
        func.coalesce(batch.c.language, "") == narrowcast.c.language,
    )
    place, held = narrowcast.c.uploaded_up_to, narrowcast.c.held_up_to
    if lower := [pair for pair in pairs if pair["new_id"] < pair["old_id"]]:
        before = case((place < bindparam("new_id"), place), else_=bindparam("new_id")) - 1
        going_on = update(narrowcast).where(narrowcast.c.state == "uploading", theirs)
        connection.execute(going_on.values(uploaded_up_to=before), lower)
    if higher := [pair for pair in pairs if pair["new_id"] > pair["old_id"]]:
        has_them = (held >= bindparam("old_id"), held < bindparam("new_id"))
        standing = update(narrowcast).where(narrowcast.c.state.in_(("uploading", "uploaded", "sending")), theirs)
        connection.execute(standing.where(*has_them).values(held_up_to=bindparam("new_id")), higher)


def _note_doubt(connection: Connection, ids: list[int]) -> None:
    """A worker that has a batch of pushes in hand knows its people by the ids they had: it may be calling LINE for one
    of them, and what comes of it finds nobody. So the call counts as begun, on the delivery itself: it is repeated with
    the same key, and never once the key may have died."""
    delivery, batch, run = table_of(Delivery), table_of(SendBatch), table_of(CampaignRun)
    its_batch = and_(batch.c.run_id == delivery.c.run_id, batch.c.batch_number == delivery.c.batch_number)
    theirs = (delivery.c.customer_id.in_(ids), delivery.c.state == "chosen")
    waiting = select(batch.c.run_id, batch.c.batch_number).join(delivery, its_batch).where(*theirs)
    waiting = waiting.where(batch.c.state.in_(("waiting", "due"))).order_by(batch.c.run_id, batch.c.batch_number)
    # Locked, so that no worker takes one before they have their new name; one that is taken already is not waited for.
    unbegun = {(row.run_id, row.batch_number) for row in connection.execute(waiting.with_for_update(of=batch))}
    since = func.coalesce(batch.c.first_attempt_at, batch.c.lease_until)
    taken = select(delivery.c.run_id, delivery.c.customer_id, batch.c.batch_number, since.label("since"))
    taken = taken.join(batch, its_batch).join(run, run.c.id == delivery.c.run_id)
    rows = connection.execute(
        taken.where(*theirs, run.c.way == "push", delivery.c.first_attempt_at.is_(None), ~delivery.c.by_reply)
    )
    for row in rows.all():  # few: of a batch that is being sent at this moment
        if (row.run_id, row.batch_number) not in unbegun:
            this = (delivery.c.run_id == row.run_id, delivery.c.customer_id == row.customer_id)
            connection.execute(update(delivery).where(*this).values(first_attempt_at=row.since))


def _one_skipped_less(run_id: int, segment: str, reason: str) -> Any:
    """A run's kept sums, where they are there already, without one who was skipped and has no batch."""
    tally = table_of(RunTally)
    same = (tally.c.run_id == run_id, tally.c.batch_number == 0, tally.c.segment == segment, tally.c.reason == reason)
    return update(tally).where(*same, tally.c.state == "skipped").values(people=tally.c.people - 1)


def _forget_sums(connection: Connection, pairs: list[dict[str, int]]) -> None:
    """What both did after a run will be worked out as one person's: kept sums of such runs hold no longer."""
    run, response = table_of(CampaignRun), table_of(RunResponse)
    theirs = select(response.c.run_id).where(response.c.customer_id == bindparam("old_id"))
    changed = {"response_sums": None, "response_version": run.c.response_version + 1}
    connection.execute(update(run).where(run.c.id.in_(theirs)).values(**changed), pairs)


def _settle_tags(connection: Connection, pairs: list[dict[str, int]]) -> None:
    """A tag that is on for both stays on once."""
    tag = table_of(CustomerTag)
    kept = tag.alias("kept")
    twice = exists().where(
        kept.c.tag_id == tag.c.tag_id, kept.c.customer_id == bindparam("new_id"), kept.c.until.is_(None)
    )
    mine = (tag.c.customer_id == bindparam("old_id"), tag.c.until.is_(None))
    connection.execute(delete(tag).where(*mine, twice.correlate(tag)), pairs)


def _settle_ways(connection: Connection, pairs: list[dict[str, int]]) -> None:
    """Of two ways through one campaign's steps that become one person's, the one entered first goes on."""
    way = table_of(Enrolment)
    other = way.alias("other")
    both: list[Any] = [bindparam("old_id"), bindparam("new_id")]
    is_earlier = or_(
        other.c.entered_at < way.c.entered_at, and_(other.c.entered_at == way.c.entered_at, other.c.id < way.c.id)
    )
    on_the_way = [one.c.customer_id.in_(both) & one.c.state.in_(("waiting", "taken")) for one in (way, other)]
    twice = exists().where(other.c.campaign_id == way.c.campaign_id, on_the_way[1], is_earlier).correlate(way)
    statement = update(way).where(on_the_way[0], twice).values(state="left", reason="already_in")
    for pair in pairs:
        connection.execute(statement, pair)


def _fill_member(connection: Connection, pairs: list[dict[str, int]]) -> None:
    """Give the member what only the other row knows; attributes of both, the member's first."""
    ids = [pair[name] for pair in pairs for name in ("old_id", "new_id")]
    rows = connection.execute(select(customer).where(customer.c.id.in_(ids))).mappings()
    stored = {row["id"]: row for row in rows}
    plain = ("name", "gender", "birthday", "city", "language")
    for pair in pairs:
        old, new = stored[pair["old_id"]], stored[pair["new_id"]]
        values = {name: old[name] for name in plain if new[name] is None and old[name] is not None}
        if extra := {key: value for key, value in old["attributes"].items() if key not in new["attributes"]}:
            values["attributes"] = {**new["attributes"], **extra}
        if old["marketing_refused_at"] and not new["marketing_refused_at"]:
            values["marketing_refused_at"] = old["marketing_refused_at"]
        agreed = [row["marketing_agreed_at"] for row in (old, new) if row["marketing_agreed_at"] is not None]
        is_refused = old["marketing_refused_at"] or new["marketing_refused_at"]
        values["marketing_agreed_at"] = max(agreed) if agreed and not is_refused else None
        values["refusal_changed_ms"] = max(old["refusal_changed_ms"], new["refusal_changed_ms"])
        values["created_at"] = min(old["created_at"], new["created_at"])
        connection.execute(update(customer).where(customer.c.id == new["id"]).values(values))
