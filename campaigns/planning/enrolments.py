"""People on their way through a campaign's steps: entering, leaving, going on. The one writer of enrolments, but for a
refusal, which the bot obeys at once.

States: waiting (for `due_at` of their step), taken (by a run, `run_id`), finished (`condition`: the last step was not
for them; `missed`: its time was over), left (`reason`: goal, refused, blocked, no_line_account, not_in_audience,
failed, cancelled; missed: the first step's time was over; already_in: an event that came while they were on the way).
Each function looks at a slice: the write transactions stay short, and the next call goes on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, case, exists, func, literal, literal_column, or_, select, update
from sqlmodel import Session

from campaigns.planning.feeds import TOO_LATE, Entry
from store.engine import insert_for, table_of
from store.models import Campaign, CampaignRun, CampaignStep, Customer, Delivery, Enrolment, LineAccount, SendBatch
from store.types import BigId, UTCDateTime

SLICE = 2_000  # enrolments written in one transaction
ON_THE_WAY = ("waiting", "taken")
ENDS = ("refused", "blocked", "no_line_account")  # skipped for one of these, a person gets nothing more
FIRST_STEP = 1

enrolment, step, run = table_of(Enrolment), table_of(CampaignStep), table_of(CampaignRun)
campaign, delivery, batch = table_of(Campaign), table_of(Delivery), table_of(SendBatch)
customer, account = table_of(Customer), table_of(LineAccount)


# --- entering --------------------------------------------------------------------------------------------------


def enrol(session: Session, campaign_id: int, entries: Sequence[Entry]) -> int:
    """Let people enter at step 1; returns how many did. The campaign's row must be locked. Who is on the way already
    doesn't enter a second time: the event is noted as `already_in`."""
    wait = session.scalar(select(step.c.wait_minutes).where(step.c.campaign_id == campaign_id, step.c.step_number == 1))
    people = {entry.customer_id for entry in entries}
    inside = select(enrolment.c.customer_id).where(
        enrolment.c.campaign_id == campaign_id,
        enrolment.c.customer_id.in_(people),
        enrolment.c.state.in_(ON_THE_WAY),
    )
    on_the_way = set(session.scalars(inside))
    rows = []
    for entry in entries:
        is_in = entry.customer_id in on_the_way
        on_the_way.add(entry.customer_id)
        rows.append(
            {
                "campaign_id": campaign_id,
                "customer_id": entry.customer_id,
                "entry_key": entry.key,
                "entered_at": entry.moment,
                "step_number": 1,
                "due_at": entry.moment + timedelta(minutes=wait or 0),
                "state": "left" if is_in else "waiting",
                "reason": "already_in" if is_in else None,
            }
        )
    if rows:
        session.connection().execute(insert_for(session, Enrolment).on_conflict_do_nothing(), rows)
    return sum(row["state"] == "waiting" for row in rows)


def enrol_frozen(session: Session, run_id: int, low: int, high: int) -> None:
    """Those who get the first step of a sequence that fires for an audience are on their way with it: customers in
    (low, high] just frozen as chosen or held out. For campaigns of one step nothing happens. Called by
    campaigns/audience/freezing.py in the transaction of the slice."""
    of_run = session.get_one(CampaignRun, run_id)
    later_steps = select(step.c.step_number).where(
        step.c.campaign_id == of_run.campaign_id, step.c.step_number > of_run.step_number
    )
    if of_run.by_enrolment or session.execute(later_steps.limit(1)).first() is None:
        return
    inside = exists().where(
        enrolment.c.campaign_id == of_run.campaign_id,
        enrolment.c.customer_id == delivery.c.customer_id,
        enrolment.c.state.in_(ON_THE_WAY),
    )
    rows = select(
        literal(of_run.campaign_id, BigId),
        delivery.c.customer_id,
        literal(f"run:{run_id}"),
        literal(of_run.fired_at, UTCDateTime(timezone=True)),
        literal(of_run.step_number),
        literal(of_run.fired_at, UTCDateTime(timezone=True)),
        literal(run_id, BigId),
        literal("taken"),
    ).where(
        delivery.c.run_id == run_id,
        delivery.c.customer_id > low,
        delivery.c.customer_id <= high,
        delivery.c.state.in_(("chosen", "held_out")),
        ~inside,
    )
    names = ["campaign_id", "customer_id", "entry_key", "entered_at", "step_number", "due_at", "run_id", "state"]
    session.execute(
        insert_for(session, Enrolment).from_select(names, rows, include_defaults=False).on_conflict_do_nothing()
    )


def taken_by(run_id: int, customer_id: Any) -> Any:
    """SQL: whether a customer is among those whom a run by enrolment is for."""
    return exists().where(
        enrolment.c.run_id == run_id, enrolment.c.customer_id == customer_id, enrolment.c.state == "taken"
    )


# --- due -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Due:
    """People whose step has come. `ends`: enrolment -> why it ends here, `rest`: enrolment -> customer."""

    campaign_id: int
    step_number: int
    ends: dict[int, str]
    rest: dict[int, int]


def due_steps(session: Session, *, now: datetime) -> list[tuple[int, int]]:
    """(campaign, step) for which somebody is due, of campaigns that are not at rest, but for those of which a run was
    made in this minute."""
    this_minute = now.replace(second=0, microsecond=0)
    is_made = exists().where(
        run.c.campaign_id == step.c.campaign_id,
        run.c.step_number == step.c.step_number,
        run.c.scheduled_for == this_minute,
    )
    return _live_steps(session, enrolment.c.due_at <= now, ~is_made)


def _live_steps(session: Session, is_due: Any, *more: Any) -> list[tuple[int, int]]:
    """(campaign, step) for which somebody waits who `is_due`, of campaigns that are not at rest. Each step looks up the
    beginning of its part of the index, however many wait."""
    waits = exists().where(
        enrolment.c.campaign_id == step.c.campaign_id,
        enrolment.c.step_number == step.c.step_number,
        enrolment.c.state == literal_column("'waiting'"),  # written out, or SQLite doesn't see that the index will do
        is_due,
    )
    found = select(step.c.campaign_id, step.c.step_number).join(campaign, campaign.c.id == step.c.campaign_id)
    found = found.where(campaign.c.state.in_(("scheduled", "sending")), waits, *more)
    rows = session.execute(found.order_by(step.c.campaign_id, step.c.step_number))
    return [(row[0], row[1]) for row in rows]


def due_people(session: Session, of_campaign: Campaign, step_number: int, goal: Any, *, now: datetime) -> Due:
    """The next SLICE of those due at a step, and who of them ends here: refused, blocked, no account, or the `goal`
    (SQL on enrolment, or None). Reads only."""
    mine = and_(account.c.customer_id == enrolment.c.customer_id, account.c.channel_id == of_campaign.channel_id)
    reachable = exists().where(mine, account.c.is_following.is_not(False))
    refuses = exists().where(customer.c.id == enrolment.c.customer_id, customer.c.marketing_refused_at.is_not(None))
    reasons = [(refuses, "refused")] + ([] if goal is None else [(goal, "goal")])
    reasons += [(~exists().where(mine), "no_line_account"), (~reachable, "blocked")]
    rows = session.execute(
        select(enrolment.c.id, enrolment.c.customer_id, case(*reasons).label("reason"))
        .where(enrolment.c.campaign_id == of_campaign.id, enrolment.c.step_number == step_number)
        .where(enrolment.c.state == "waiting", enrolment.c.due_at <= now)
        .order_by(enrolment.c.due_at, enrolment.c.id)
        .limit(SLICE)
    ).all()
    assert of_campaign.id is not None
    return Due(
        of_campaign.id,
        step_number,
        {row.id: row.reason for row in rows if row.reason is not None},
        {row.id: row.customer_id for row in rows if row.reason is None},
    )


def who_of(session: Session, enrolment_ids: Collection[int], condition: Any) -> set[int]:
    """Those of the enrolments for which `condition` (SQL on enrolment) holds."""
    return set(session.scalars(select(enrolment.c.id).where(enrolment.c.id.in_(enrolment_ids), condition)))


def end(session: Session, ends: dict[int, str]) -> None:
    """Enrolment -> why: they leave, if they are still on the way."""
    for reason in sorted(set(ends.values())):
        ids = [key for key, why in ends.items() if why == reason]
        session.execute(
            update(enrolment)
            .where(enrolment.c.id.in_(ids), enrolment.c.state.in_(ON_THE_WAY))
            .values(state="left", reason=reason)
        )


def pass_over(session: Session, due: Due, enrolment_ids: Collection[int], *, now: datetime) -> None:
    """The step is not for these: they wait for the next one, or are finished."""
    following = _following(session, due.campaign_id, due.step_number)
    values: dict[str, Any] = {"state": "finished", "reason": "condition"}
    if following is not None:
        values = {"step_number": following[0], "due_at": now + timedelta(minutes=following[1])}
    session.execute(update(enrolment).where(*_still_due(due, enrolment_ids)).values(**values))


def take(session: Session, due: Due, enrolment_ids: Collection[int], run_id: int) -> None:
    """Put those of these who still wait into a run."""
    session.execute(update(enrolment).where(*_still_due(due, enrolment_ids)).values(state="taken", run_id=run_id))


def still_waiting(session: Session, due: Due, enrolment_ids: Collection[int]) -> bool:
    """Whether any of these still waits for the step."""
    return session.execute(select(enrolment.c.id).where(*_still_due(due, enrolment_ids)).limit(1)).first() is not None


def _still_due(due: Due, enrolment_ids: Collection[int]) -> list[Any]:
    return [
        enrolment.c.id.in_(enrolment_ids),
        enrolment.c.state == "waiting",
        enrolment.c.step_number == due.step_number,
    ]


# --- too late ---------------------------------------------------------------------------------------------------


def overtaken_steps(session: Session, *, now: datetime) -> list[tuple[int, int]]:
    """(campaign, step) for which somebody waits whose time was over a day ago: the campaign was paused, or no worker
    was up."""
    return _live_steps(session, enrolment.c.due_at < now - TOO_LATE)


def pass_overtaken(session: Session, campaign_id: int, step_number: int, *, now: datetime) -> int:
    """Nobody gets a step whose time was over a day ago, or all that was missed in a pause at once: those people go past
    it, and past each later one that was missed too, as if the steps had kept their times; who missed the first step
    leaves, as the others build upon it. A SLICE at a time; returns how many."""
    latest = now - TOO_LATE
    rows = session.execute(
        select(enrolment.c.id, enrolment.c.due_at)
        .where(enrolment.c.campaign_id == campaign_id, enrolment.c.step_number == step_number)
        .where(enrolment.c.state == literal_column("'waiting'"), enrolment.c.due_at < latest)
        .order_by(enrolment.c.due_at, enrolment.c.id)
        .limit(SLICE)
    ).all()
    if not rows:
        return 0
    later = session.execute(
        select(step.c.step_number, step.c.wait_minutes)
        .where(step.c.campaign_id == campaign_id, step.c.step_number > step_number)
        .order_by(step.c.step_number)
    ).all()
    moved = [{"key": row.id, **_after_missing(row.due_at, step_number, later, latest)} for row in rows]
    statement = update(enrolment).where(
        enrolment.c.id == bindparam("key"), enrolment.c.state == "waiting", enrolment.c.step_number == step_number
    )
    new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("state", "reason", "step_number", "due_at")}
    session.connection().execute(statement.values(**new), moved)
    return len(rows)


def _after_missing(due_at: datetime, step_number: int, later: Sequence[Any], latest: datetime) -> dict[str, Any]:
    """Where somebody is who missed a step that was due at `due_at`; `later`: number and wait of those after it."""
    state = "left" if step_number == FIRST_STEP else "finished"
    for number, wait_minutes in later if state == "finished" else ():
        due_at += timedelta(minutes=wait_minutes)
        step_number = number
        if due_at >= latest:
            state = "waiting"
            break
    reason = None if state == "waiting" else "missed"
    return {"new_state": state, "new_reason": reason, "new_step_number": step_number, "new_due_at": due_at}


def give_back(session: Session, run_id: int) -> None:
    """Whom a run has taken, and who has no delivery of it yet, waits for the step again."""
    is_frozen = exists().where(delivery.c.run_id == run_id, delivery.c.customer_id == enrolment.c.customer_id)
    taken = (enrolment.c.run_id == run_id, enrolment.c.state == "taken", ~is_frozen)
    session.execute(update(enrolment).where(*taken).values(state="waiting", run_id=None))


# --- going on --------------------------------------------------------------------------------------------------


def runs_to_leave(session: Session, *, now: datetime) -> list[int]:
    """Frozen runs with people who may go on: those that are over, and, since a run may last for days, those that have
    been at it for an hour."""
    taken = exists().where(enrolment.c.run_id == run.c.id, enrolment.c.state == "taken")
    is_long = run.c.fired_at < now - timedelta(hours=1)
    found = select(run.c.id).where(
        taken, or_(run.c.finished_at.is_not(None), and_(run.c.frozen_at.is_not(None), is_long))
    )
    return list(session.scalars(found.order_by(run.c.id)))


def go_on(session: Session, run_id: int, *, now: datetime) -> int:
    """People of a run whose delivery is decided wait for the next step, are finished, or leave; returns how many. A
    SLICE at a time. `wait_minutes` count from when the message was accepted; for those held out, and for messages that
    were skipped for a cap or the like, from when the run fired."""
    of_run = session.get_one(CampaignRun, run_id)
    decided = session.execute(_decided(of_run)).all()
    following = _following(session, of_run.campaign_id, of_run.step_number)
    wait = timedelta(minutes=following[1] if following else 0)
    rows = []
    for found in decided:
        reason = _why_over(found, of_run)
        state = "left" if reason else "waiting" if following else "finished"
        rows.append(
            {
                "key": found.id,
                "new_state": state,
                "why": reason,
                "next_step": following[0] if following else of_run.step_number,
                "due": (found.sent_at or found.batch_sent_at or of_run.fired_at) + wait,
                "of_run": None if state == "waiting" else run_id,
            }
        )
    if rows:
        statement = update(enrolment).where(enrolment.c.id == bindparam("key"), enrolment.c.state == "taken")
        statement = statement.values(
            state=bindparam("new_state"),
            reason=bindparam("why"),
            step_number=bindparam("next_step"),
            due_at=bindparam("due"),
            run_id=bindparam("of_run"),
        )
        session.connection().execute(statement, rows)
    return len(rows)


def _decided(of_run: CampaignRun) -> Any:
    """Taken enrolments with what became of the delivery: of a multicast the batch says it (results/runs.py)."""
    follows = case((batch.c.state.in_(("accepted", "failed", "unknown")), batch.c.state), else_="chosen")
    state = case((delivery.c.state == "chosen", func.coalesce(follows, "chosen")), else_=delivery.c.state)
    mine = and_(delivery.c.run_id == of_run.id, delivery.c.customer_id == enrolment.c.customer_id)
    its_batch = and_(batch.c.run_id == delivery.c.run_id, batch.c.batch_number == delivery.c.batch_number)
    columns = (enrolment.c.id, state.label("outcome"), delivery.c.reason, delivery.c.sent_at)
    found = (
        select(*columns, batch.c.sent_at.label("batch_sent_at"))
        .select_from(enrolment)
        .outerjoin(delivery, mine)
        .outerjoin(batch, its_batch)
        .where(enrolment.c.run_id == of_run.id, enrolment.c.state == "taken")
        .order_by(enrolment.c.customer_id)
        .limit(SLICE)
    )
    return found if of_run.finished_at is not None else found.where(or_(state.is_(None), state != "chosen"))


def _why_over(found: Any, of_run: CampaignRun) -> str | None:
    """Why the way ends with this delivery; None: it goes on."""
    if of_run.state in ("cancelled", "failed"):
        return "cancelled"
    if found.outcome is None:
        return "not_in_audience"
    if found.outcome == "failed":
        return "failed"
    ends = (*ENDS, "missed") if of_run.step_number == FIRST_STEP else ENDS
    return found.reason if found.outcome == "skipped" and found.reason in ends else None


def _following(session: Session, campaign_id: int, step_number: int) -> tuple[int, int] | None:
    """Number and wait (minutes) of the next step; None after the last."""
    found = session.execute(
        select(step.c.step_number, step.c.wait_minutes)
        .where(step.c.campaign_id == campaign_id, step.c.step_number > step_number)
        .order_by(step.c.step_number)
        .limit(1)
    ).first()
    return None if found is None else (found[0], found[1])


# --- over ------------------------------------------------------------------------------------------------------


def end_those_of_closed_campaigns(session: Session) -> int:
    """Who is on the way in a campaign that was cancelled or has failed leaves; returns how many, a SLICE at a time."""
    closed = select(campaign.c.id).where(campaign.c.state.in_(("cancelled", "failed")))
    found = select(enrolment.c.id).where(enrolment.c.state.in_(ON_THE_WAY), enrolment.c.campaign_id.in_(closed))
    ids = list(session.scalars(found.limit(SLICE)))
    end(session, dict.fromkeys(ids, "cancelled"))
    return len(ids)


def end_by_goal(session: Session, campaign_id: int, goal: Any) -> int:
    """Who has reached the `goal` (SQL on enrolment) leaves, with a message on the way too; returns how many."""
    found = select(enrolment.c.id).where(
        enrolment.c.campaign_id == campaign_id, enrolment.c.state.in_(ON_THE_WAY), goal
    )
    ids = list(session.scalars(found.limit(SLICE)))
    end(session, dict.fromkeys(ids, "goal"))
    return len(ids)
