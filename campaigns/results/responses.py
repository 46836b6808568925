"""What people did after a run, kept up to date: of whoever tapped, bought, left, or had such a fact changed, all
credits and responses are worked out anew, and only what differs is written.

A fact is noted in its own transaction (`store.changes.note_responses`), so none is missed; working out twice is the
same as once. A late click, an order that is imported late, refunded, changed or given to somebody else thus ends right.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, delete, exists, func, insert, or_, select, tuple_, union_all
from sqlmodel import Session

from campaigns.results.attribution import Credit, Facts, InRun, PaidOrder, Response, Tap, Unfollow, Worked, work_out
from campaigns.results.sides import FIRST_STEP
from campaigns.results.sums import forget_sums
from campaigns.results.tally import SAME_BATCH, effective_state, with_batch
from store.engine import insert_for, is_sqlite, table_of
from store.models import (
    BehaviourEvent,
    Campaign,
    CampaignRun,
    CampaignStep,
    Click,
    Customer,
    Delivery,
    OrderCredit,
    ResponseDue,
    RunResponse,
    SalesOrder,
    SendBatch,
)

CUSTOMERS_AT_ONCE = 100  # in one transaction, about 20 ms: SQLite's webhook waits that long
NOTES_AT_ONCE = 400

due, run, delivery, batch = table_of(ResponseDue), table_of(CampaignRun), table_of(Delivery), table_of(SendBatch)
credit, response = table_of(OrderCredit), table_of(RunResponse)


def work_out_due(session: Session) -> int:
    """Put right the credits and responses of the next customers who were noted; returns how many. Safe beside others
    that do the same: a customer is locked first, and its facts are read under the lock."""
    may_be_done = ~exists().where(run.c.id == due.c.after_run_id, *_is_freezing()).correlate(due)
    notes = session.execute(
        select(due.c.id, due.c.customer_id)
        .where(or_(due.c.after_run_id.is_(None), may_be_done))
        .order_by(due.c.id)
        .limit(NOTES_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    ids = sorted({note.customer_id for note in notes})[:CUSTOMERS_AT_ONCE]
    if not ids:
        return 0
    customer = table_of(Customer)
    lock = select(customer.c.id).where(customer.c.id.in_(ids)).order_by(customer.c.id).with_for_update(key_share=True)
    session.execute(lock)
    worked = work_out(facts_of(session, ids))
    _write_credits(session, ids, worked)
    _write_responses(session, ids, worked)
    session.execute(delete(due).where(due.c.id.in_([note.id for note in notes if note.customer_id in set(ids)])))
    _note_again(session, ids)
    return len(ids)


def known_by_now(session: Session) -> list[int]:
    """Customers who did something before it was known what became of their delivery, now that it is; by id. Reads
    only: there may be many to look at."""
    active = select(run.c.id).where(run.c.tallied_at.is_(None))
    is_open = (response.c.run_id.in_(active), response.c.state == "chosen")
    # First the few who did something: SQLite would begin with every delivery of the runs.
    did = select(response.c.run_id, response.c.customer_id).where(*is_open).cte("did")
    did = did.prefix_with("MATERIALIZED") if is_sqlite(session) else did
    theirs = and_(delivery.c.run_id == did.c.run_id, delivery.c.customer_id == did.c.customer_id)
    # A lookup for each of them, whatever SQLite thinks how many they are: it keeps the order of a LEFT JOIN.
    joined = did.outerjoin(delivery, theirs).outerjoin(batch, SAME_BATCH)
    moved = select(did.c.customer_id).select_from(joined).where(effective_state() != "chosen")
    return sorted(set(session.scalars(moved)))


def note_known(session: Session, ids: Sequence[int]) -> None:
    """Note what `known_by_now` found, to be worked out anew. Twice is no harm."""
    session.execute(insert(due), [{"customer_id": customer_id} for customer_id in ids])


def _is_freezing() -> tuple[Any, ...]:
    """SQL on `campaign_run`: its audience is not there yet."""
    return run.c.frozen_at.is_(None), run.c.state.in_(("planned", "paused"))


def _note_again(session: Session, ids: Sequence[int]) -> None:
    """While an audience is being frozen, not all its deliveries could be seen: once more when it is there."""
    newest = session.scalar(select(func.max(run.c.id)).where(*_is_freezing()))
    if newest is not None:
        session.execute(insert(due), [{"customer_id": customer_id, "after_run_id": newest} for customer_id in ids])


def facts_of(session: Session, ids: Sequence[int]) -> Facts:
    """All facts of these customers that results are worked out from."""
    return Facts(_in_runs(session, ids), _taps(session, ids), _orders(session, ids), _unfollows(session, ids))


def _in_runs(session: Session, ids: Sequence[int]) -> list[InRun]:
    campaign = table_of(Campaign)
    rows = session.execute(
        with_batch(
            select(
                delivery.c.run_id,
                delivery.c.customer_id,
                delivery.c.variant_id,
                delivery.c.segment,
                effective_state().label("now"),
                func.coalesce(delivery.c.sent_at, batch.c.sent_at).label("accepted_at"),
                run.c.fired_at,
                run.c.reply_until,
                run.c.campaign_id,
                run.c.step_number,
                campaign.c.conversion_days,
                campaign.c.channel_id,
            )
        )
        .join(run, run.c.id == delivery.c.run_id)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .where(delivery.c.customer_id.in_(ids))
    ).all()
    waits = _later_waits(session, {row.campaign_id for row in rows})
    return [
        InRun(
            run_id=row.run_id,
            campaign_id=row.campaign_id,
            customer_id=row.customer_id,
            variant_id=row.variant_id,
            segment=row.segment or "none",
            state=row.now,
            sent_at=row.accepted_at,
            opens_at=row.fired_at,
            closes_at=(closes_at := (row.reply_until or row.fired_at) + timedelta(days=row.conversion_days)),
            way_closes_at=closes_at + waits[row.campaign_id] if row.step_number == FIRST_STEP else None,
            window=timedelta(days=row.conversion_days),
            channel_id=row.channel_id,
        )
        for row in rows
    ]


def _later_waits(session: Session, campaign_ids: Collection[int]) -> dict[int, timedelta]:
    """Campaign -> from its first step to its last, as planned."""
    step = table_of(CampaignStep)
    is_later = (step.c.campaign_id.in_(campaign_ids), step.c.step_number > FIRST_STEP)
    waits = select(step.c.campaign_id, func.sum(step.c.wait_minutes)).where(*is_later).group_by(step.c.campaign_id)
    minutes: dict[int, int] = {row[0]: int(row[1]) for row in session.execute(waits)}
    return {campaign_id: timedelta(minutes=minutes.get(campaign_id, 0)) for campaign_id in campaign_ids}


def _taps(session: Session, ids: Sequence[int]) -> list[Tap]:
    """Taps of people: on links that were made for them, or that they are proven to have tapped."""
    click = table_of(Click)
    theirs = (
        select(click.c.id, click.c.run_id, delivery.c.customer_id, click.c.clicked_at)
        .join(delivery, and_(click.c.run_id == delivery.c.run_id, click.c.customer_id == delivery.c.customer_id))
        .where(
            delivery.c.customer_id.in_(ids),
            click.c.kind == "person",
            or_(click.c.tapped_by_id.is_(None), click.c.tapped_by_id == click.c.customer_id),
        )
    )
    proven = select(click.c.id, click.c.run_id, click.c.tapped_by_id, click.c.clicked_at).where(
        click.c.tapped_by_id.in_(ids),
        click.c.kind == "person",
        click.c.customer_id.is_(None),
        click.c.run_id.is_not(None),
    )
    return [Tap(*row) for row in session.execute(union_all(theirs, proven))]


def _orders(session: Session, ids: Sequence[int]) -> list[PaidOrder]:
    order = table_of(SalesOrder)
    paid = select(order.c.id, order.c.customer_id, order.c.ordered_at, order.c.total)
    in_runs = exists().where(delivery.c.customer_id == order.c.customer_id)
    return [
        PaidOrder(*row)
        for row in session.execute(paid.where(order.c.customer_id.in_(ids), order.c.status == "paid", in_runs))
    ]


def _unfollows(session: Session, ids: Sequence[int]) -> list[Unfollow]:
    event = table_of(BehaviourEvent)
    left = select(event.c.customer_id, event.c.channel_id, event.c.occurred_at)
    return [
        Unfollow(*row)
        for row in session.execute(
            left.where(event.c.customer_id.in_(ids), event.c.kind == "unfollow", event.c.source == "line")
        )
    ]


def _write_credits(session: Session, ids: Sequence[int], worked: Worked) -> None:
    rows = session.execute(select(credit).where(credit.c.customer_id.in_(ids)))
    stored = {(row.sales_order_id, row.basis): Credit(**row._mapping) for row in rows}
    wanted = {(found.sales_order_id, found.basis): found for found in worked.credits}
    if gone := [key for key in stored if key not in wanted]:
        theirs = (tuple_(credit.c.sales_order_id, credit.c.basis).in_(gone), credit.c.customer_id.in_(ids))
        session.execute(delete(credit).where(*theirs))
        order = table_of(SalesOrder)  # given to somebody else meanwhile: whose credit may just have been overwritten
        given = select(order.c.customer_id).where(
            order.c.id.in_({key[0] for key in gone}), ~order.c.customer_id.in_(ids)
        )
        session.execute(insert(due).from_select(["customer_id"], given.distinct()))
    _upsert(session, OrderCredit, [found for key, found in wanted.items() if stored.get(key) != found])


def _write_responses(session: Session, ids: Sequence[int], worked: Worked) -> None:
    rows = session.execute(select(response).where(response.c.customer_id.in_(ids)))
    stored = {(row.run_id, row.customer_id): Response(**row._mapping) for row in rows}
    wanted = {(found.run_id, found.customer_id): found for found in worked.responses}
    gone = [key for key in stored if key not in wanted]
    if gone:
        session.execute(delete(response).where(tuple_(response.c.run_id, response.c.customer_id).in_(gone)))
    changed = [found for key, found in wanted.items() if stored.get(key) != found]
    _upsert(session, RunResponse, changed)
    forget_sums(session, sorted({run_id for run_id, _ in gone} | {found.run_id for found in changed}))


def _upsert(session: Session, model: Any, rows: Sequence[Credit | Response]) -> None:
    if not rows:
        return
    table = table_of(model)
    keys = [column.name for column in table.primary_key.columns]
    statement = insert_for(session, model)
    # An order that was given to somebody else may still be credited under its former owner, who comes later.
    fresh = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    session.connection().execute(
        statement.on_conflict_do_update(index_elements=keys, set_=fresh), [asdict(row) for row in rows]
    )
