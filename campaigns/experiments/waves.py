"""Waves of a run: later people wait for what earlier ones teach. Deciding and releasing are repeatable jobs.

The decision of a wave is a row of `RunWave`, made once by its key however many workers look; from then on its batches
are let go slice by slice, each slice in a short transaction that gives people their variant and makes the batches due:
a crash goes on where the last slice was committed. Only a run that is being sent is looked at: pause and cancel hold.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Interval, and_, case, exists, func, insert, literal, select, update
from sqlmodel import Session

from campaigns.experiments.assignment import variant_place
from campaigns.experiments.choice import best_so_far, shares_by_thompson
from campaigns.experiments.design import Experiment, experiment_of
from campaigns.experiments.stopping import winner_of
from campaigns.results.tally import SAME_BATCH, effective_state
from store.engine import insert_for, is_sqlite, table_of
from store.models import Campaign, CampaignRun, Click, Delivery, RunWave, SalesOrder, SendBatch

SLICE_BATCHES = 8  # 4,000 people in one transaction, as when freezing

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """What the waves decided so far have shown: `people` whose outcome is known and `successes`, waves × variants;
    `shares` the variants' probabilities in each wave; `open_people` sent to, whose outcome is still to come."""

    people: Array
    successes: Array
    shares: Array
    open_people: int


@dataclass(frozen=True)
class Decision:
    """How a wave is shared among variants, and why: learned, winner or deadline."""

    run_id: int
    wave: int
    shares: list[float]
    reason: str


def waiting_runs(session: Session) -> list[int]:
    """Runs being sent that have a wave whose shares are still to be decided."""
    run, batch, decided = table_of(CampaignRun), table_of(SendBatch), table_of(RunWave)
    is_decided = exists().where(decided.c.run_id == batch.c.run_id, decided.c.wave == batch.c.wave)
    waits = exists().where(batch.c.run_id == run.c.id, batch.c.state == "waiting", ~is_decided)
    return list(session.scalars(select(run.c.id).where(run.c.state == "sending", waits).order_by(run.c.id)))


def decide(session: Session, run_id: int, *, now: datetime) -> list[Decision]:
    """Which waves may go now; empty: wait on. Only reads: a count over many deliveries must not hold SQLite's lock."""
    run = session.get_one(CampaignRun, run_id)
    campaign = session.get_one(Campaign, run.campaign_id)
    experiment = experiment_of(campaign.experiment)
    waves = _undecided(session, run_id)
    counts = counts_of(session, run, experiment, now=now)
    n, s = counts.people.sum(axis=0), counts.successes.sum(axis=0)
    if (winner := _winner(session, run, experiment, counts)) is not None:
        return [Decision(run_id, wave, _all_to(winner, len(n)), "winner") for wave in waves]
    if now >= deadline_of(run, experiment):
        is_test = experiment.choice == "test_then_winner"
        shares = _all_to(best_so_far(n, s), len(n)) if is_test else shares_by_thompson(n, s).tolist()
        return [Decision(run_id, wave, shares, "deadline") for wave in waves]
    if experiment.choice == "thompson" and waves and not counts.open_people and _is_through(session, run_id, waves[0]):
        return [Decision(run_id, waves[0], shares_by_thompson(n, s).tolist(), "learned")]
    return []


def keep_decision(session: Session, decision: Decision, *, now: datetime) -> bool:
    """Write a decision down; False when another worker has decided this wave, or the run is no longer being sent."""
    run = table_of(CampaignRun)
    # Against a pause or cancelling under way; their transaction is short.
    state = session.scalar(select(run.c.state).where(run.c.id == decision.run_id).with_for_update(read=True))
    if state != "sending":
        return False
    made = session.execute(
        insert_for(session, RunWave)
        .values(
            run_id=decision.run_id,
            wave=decision.wave,
            shares=decision.shares,
            reason=decision.reason,
            decided_at=now,
        )
        .on_conflict_do_nothing(index_elements=["run_id", "wave"])
        .returning(table_of(RunWave).c.wave)
    )
    return made.first() is not None


def runs_to_release(session: Session) -> list[int]:
    """Runs being sent with batches that wait although their wave is decided."""
    run, batch, decided = table_of(CampaignRun), table_of(SendBatch), table_of(RunWave)
    waits = exists().where(
        batch.c.run_id == run.c.id,
        batch.c.state == "waiting",
        decided.c.run_id == run.c.id,
        decided.c.wave == batch.c.wave,
    )
    return list(session.scalars(select(run.c.id).where(run.c.state == "sending", waits).order_by(run.c.id)))


def release_slice(session: Session, run_id: int) -> bool:
    """Let go the next batches of decided waves; False when none was left or the run is no longer being sent."""
    run = session.get(CampaignRun, run_id, with_for_update=True)  # also the order of those who number batches
    if run is None or run.state != "sending":
        return False
    batch, decided = table_of(SendBatch), table_of(RunWave)
    waiting = session.execute(
        select(batch.c.batch_number, batch.c.wave, decided.c.shares)
        .join(decided, and_(decided.c.run_id == batch.c.run_id, decided.c.wave == batch.c.wave))
        .where(batch.c.run_id == run_id, batch.c.state == "waiting")
        .order_by(batch.c.wave, batch.c.batch_number)
        .limit(SLICE_BATCHES)
    ).all()
    for wave in sorted({row.wave for row in waiting}):
        rows = [row for row in waiting if row.wave == wave]
        _give_variants(session, run, [row.batch_number for row in rows], rows[0].shares)
        if run.way == "multicast":
            _split_by_variant(session, run, [row.batch_number for row in rows], rows[0].shares)
    session.execute(
        update(batch)
        .where(
            batch.c.run_id == run_id,
            batch.c.state == "waiting",
            batch.c.batch_number.in_([row.batch_number for row in waiting]),
        )
        .values(state="split" if run.way == "multicast" else "due", is_tallied=False)
    )
    return bool(waiting)


def _place(run: CampaignRun, shares: Sequence[float]) -> Any:
    return variant_place(table_of(Delivery).c.customer_id, run.campaign_id, run.step_number, shares)


def _give_variants(session: Session, run: CampaignRun, numbers: list[int], shares: Sequence[float]) -> None:
    delivery = table_of(Delivery)
    variant_id = case({n: v["variant_id"] for n, v in enumerate(run.variants)}, value=_place(run, shares))
    session.execute(
        update(delivery)
        .where(delivery.c.run_id == run.id, delivery.c.batch_number.in_(numbers), delivery.c.state == "chosen")
        .values(variant_id=variant_id)
    )


def _split_by_variant(session: Session, run: CampaignRun, numbers: list[int], shares: Sequence[float]) -> None:
    """One call of a multicast has one body: each waiting batch becomes one for every variant that somebody got."""
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    last = session.scalar(select(func.max(batch.c.batch_number)).where(batch.c.run_id == run.id)) or 0
    first = {number: last + 1 + turn * len(run.variants) for turn, number in enumerate(numbers)}
    session.execute(
        update(delivery)
        .where(delivery.c.run_id == run.id, delivery.c.batch_number.in_(numbers), delivery.c.state == "chosen")
        .values(batch_number=case(first, value=delivery.c.batch_number) + _place(run, shares))
    )
    origin = {start + n: number for number, start in first.items() for n in range(len(run.variants))}
    old = {
        row.batch_number: row
        for row in session.execute(select(batch).where(batch.c.run_id == run.id, batch.c.batch_number.in_(numbers)))
    }
    made = session.execute(
        select(delivery.c.batch_number, func.count(), func.min(delivery.c.variant_id))
        .where(delivery.c.run_id == run.id, delivery.c.batch_number.in_(origin))
        .group_by(delivery.c.batch_number)
        .order_by(delivery.c.batch_number)
    ).all()
    rows = [
        {
            "run_id": run.id,
            "batch_number": number,
            "recipient_count": people,
            "variant_id": variant_id,
            "language": old[origin[number]].language,
            "wave": old[origin[number]].wave,
            "state": "due",
            "attempts": 0,
            "retry_key": str(uuid.uuid4()),
            "not_before": old[origin[number]].not_before,
        }
        for number, people, variant_id in made
    ]
    if rows:
        session.connection().execute(insert(batch), rows)


def deadline_of(run: CampaignRun, experiment: Experiment) -> datetime:
    """When the rest of a run goes, whatever is known."""
    return max(run.reply_until or run.fired_at, run.fired_at) + timedelta(minutes=experiment.deadline_minutes)


def counts_of(session: Session, run: CampaignRun, experiment: Experiment, *, now: datetime) -> Counts:
    """The outcomes known at `now` of a run's waves that were let go, wave 0 first."""
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    decided = _shares(session, run)
    sent_at = func.coalesce(delivery.c.sent_at, batch.c.sent_at)
    until = _plus_minutes(session, sent_at, experiment.wait_minutes)
    known_before = now - timedelta(minutes=experiment.wait_minutes)
    is_known = sent_at <= literal(known_before, delivery.c.sent_at.type)
    success = _tapped(sent_at, until) if experiment.outcome == "clicks" else _ordered(sent_at, until)
    rows = session.execute(
        select(
            batch.c.wave,
            delivery.c.variant_id,
            func.count(case((is_known, 1))).label("people"),
            func.count(case((and_(is_known, success), 1))).label("successes"),
            func.count(case((~is_known, 1))).label("open_people"),
        )
        .select_from(delivery.join(batch, SAME_BATCH))
        .where(delivery.c.run_id == run.id, effective_state() == "accepted", delivery.c.variant_id.is_not(None))
        .group_by(batch.c.wave, delivery.c.variant_id)
    ).all()
    wave_at = {wave: place for place, wave in enumerate(sorted(decided))}
    variant_at = {variant["variant_id"]: place for place, variant in enumerate(run.variants)}
    people, successes = np.zeros((2, len(wave_at), len(variant_at)))
    for row in rows:
        people[wave_at[row.wave], variant_at[row.variant_id]] = row.people
        successes[wave_at[row.wave], variant_at[row.variant_id]] = row.successes
    shares = np.array([decided[wave] for wave in sorted(decided)])
    return Counts(people, successes, shares, sum(row.open_people for row in rows))


def _shares(session: Session, run: CampaignRun) -> dict[int, list[float]]:
    """Wave -> the variants' shares: the weights for the first, what was decided for the later ones."""
    wave = table_of(RunWave)
    weights = np.array([variant["weight"] for variant in run.variants], float)
    later = session.execute(select(wave.c.wave, wave.c.shares).where(wave.c.run_id == run.id)).all()
    return {0: (weights / weights.sum()).tolist(), **{row.wave: row.shares for row in later}}


def _winner(session: Session, run: CampaignRun, experiment: Experiment, counts: Counts) -> int | None:
    """The clear winner; one that was named for a wave before stays it: the rule held then."""
    wave = table_of(RunWave)
    named = session.scalar(
        select(wave.c.shares).where(wave.c.run_id == run.id, wave.c.reason == "winner").order_by(wave.c.wave).limit(1)
    )
    if named is not None:
        return int(np.argmax(named))
    return winner_of(counts.people, counts.successes, counts.shares, alpha=experiment.alpha)


def _undecided(session: Session, run_id: int) -> list[int]:
    batch, decided = table_of(SendBatch), table_of(RunWave)
    is_decided = exists().where(decided.c.run_id == run_id, decided.c.wave == batch.c.wave)
    waiting = select(batch.c.wave).where(batch.c.run_id == run_id, batch.c.state == "waiting", ~is_decided)
    return list(session.scalars(waiting.distinct().order_by(batch.c.wave)))


def _is_through(session: Session, run_id: int, wave: int) -> bool:
    """Whether nothing of the waves before `wave` is still to be sent."""
    batch = table_of(SendBatch)
    unsent = select(batch.c.batch_number).where(
        batch.c.run_id == run_id, batch.c.wave < wave, batch.c.state.in_(("waiting", "due", "claimed"))
    )
    return session.execute(unsent.limit(1)).first() is None


def _all_to(place: int, count: int) -> list[float]:
    return [1.0 if n == place else 0.0 for n in range(count)]


def _tapped(since: Any, until: Any) -> Any:
    click, delivery = table_of(Click), table_of(Delivery)
    return exists().where(
        click.c.run_id == delivery.c.run_id,
        func.coalesce(click.c.tapped_by_id, click.c.customer_id) == delivery.c.customer_id,
        click.c.kind == "person",
        click.c.clicked_at >= since,
        click.c.clicked_at < until,
    )


def _ordered(since: Any, until: Any) -> Any:
    order, delivery = table_of(SalesOrder), table_of(Delivery)
    return exists().where(
        order.c.customer_id == delivery.c.customer_id,
        order.c.status == "paid",
        order.c.ordered_at >= since,
        order.c.ordered_at < until,
    )


def _plus_minutes(session: Session, moment: Any, minutes: int) -> Any:
    if is_sqlite(session):
        # strftime knows only milliseconds: the fraction is carried over as it stands.
        whole = func.strftime("%Y-%m-%d %H:%M:%S", func.substr(moment, 1, 19), f"+{minutes} minutes")
        return whole.concat(func.substr(moment, 20))
    return moment + literal(timedelta(minutes=minutes), Interval())
