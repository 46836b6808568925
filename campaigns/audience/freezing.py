"""Freezing: a run's whole audience becomes delivery rows, with retry keys, before any call to LINE.

Set-based and in slices of people, each its own short transaction under the run's row lock: any number of workers may
freeze one run together, and a crash goes on where the last slice was committed (`CampaignRun.frozen_up_to`).
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import structlog
from sqlalchemy import (
    Engine,
    and_,
    delete,
    func,
    or_,
    select,
)
from sqlmodel import Session

from campaigns.audience.members import find_members, targets_of
from campaigns.audience.slices import Choice, Freeze, Statements, next_part, whole
from campaigns.experiments.arms import is_in_rule_arm
from campaigns.experiments.design import experiment_of
from campaigns.money.gain import EVERYBODY, Cut, gain_cut, gains_of
from campaigns.money.quota import quota_state
from campaigns.planning.enrolments import enrol_frozen
from campaigns.planning.schedule import audience_is_frozen
from campaigns.sending.units import reserve_units
from store.clock import Clock
from store.engine import is_sqlite, let_others_write, reading, table_of, transaction
from store.locks import DELIVERIES, lock_until_end
from store.models import Campaign, CampaignRun, Customer, RunMember

log = structlog.get_logger()

customer, run_member = table_of(Customer), table_of(RunMember)

SLICE = 20_000  # people looked at in one transaction
FIRST_SLICE = 4_000  # small, so that the first are soon on their way
SLICE_SECONDS = 0.15  # on SQLite clicks wait as long as a slice takes (webhooks don't): slices are made to fit


def planned_runs(session: Session, *, now: datetime) -> list[int]:
    """Ids of the runs whose audience is to be frozen now, not of those that quiet hours put off: the highest priority
    first, which so claims its people, then the oldest."""
    run, campaign = table_of(CampaignRun), table_of(Campaign)
    # A run that waits for free replies begins with them, and those quiet hours don't hold for.
    is_time = or_(run.c.send_from.is_(None), run.c.send_from <= now, run.c.reply_until.is_not(None))
    planned = select(run.c.id).join(campaign, campaign.c.id == run.c.campaign_id)
    planned = planned.where(run.c.state == "planned", is_time)
    return list(session.scalars(planned.order_by(campaign.c.priority.desc(), run.c.id)))


def freeze_run(engine: Engine, run_id: int, *, zone: ZoneInfo, clock: Clock) -> None:
    """Freeze the whole audience of a planned run, and make it ready to send; nothing when another worker asks its rules
    at this moment, or it is no longer planned.

    Raises BadInput (UnknownTarget, RuleError) when what it is for has gone meanwhile, LeaseLost as find_members.
    """
    if not find_members(engine, run_id, zone=zone, clock=clock):
        return
    with transaction(engine) as session:  # before the first slice: batches may be sent while later ones are frozen
        unnamed = reserve_units(session, run_id, now=clock())
    if unnamed:
        log.warning("no_aggregation_units_left", run_id=run_id, variants=unnamed)
    find_arms(engine, run_id, zone=zone, clock=clock)
    find_cut(engine, run_id, zone=zone, clock=clock)
    _freeze(engine, run_id, zone=zone, clock=clock)


class _Lane:
    """A connection that chooses a slice's people and then writes them."""

    def __init__(self, engine: Engine, run_id: int, as_of: datetime, zone: ZoneInfo) -> None:
        self._run_id, self._zone, self._kept = run_id, zone, Statements(as_of)
        self._connection = engine.connect()

    def choose(self, size: int, after: int | None = None) -> Choice | None:
        with self._session(writes=False) as session, session.begin():
            return choose_ahead(session, self._run_id, zone=self._zone, size=size, kept=self._kept, after=after)

    def write(self, ahead: Choice | None, *, size: int, now: datetime) -> int | None:
        """Write the slice; up to which customer the run is frozen now, None when nothing was left to do."""
        rest: dict[str, Any] = {"zone": self._zone, "now": now, "size": size, "kept": self._kept, "ahead": ahead}
        with self._session(writes=True) as session, session.begin():
            is_more = freeze_slice(session, self._run_id, **rest)
            return session.get_one(CampaignRun, self._run_id).frozen_up_to if is_more else None

    def close(self) -> None:
        self._connection.close()

    def _session(self, *, writes: bool) -> Session:
        return Session(self._connection.execution_options(writes=writes))


def _freeze(engine: Engine, run_id: int, *, zone: ZoneInfo, clock: Clock) -> None:
    """Choosing takes as long as writing and needs no lock: while one connection writes a slice, the other chooses the
    next. What changes in between is found under the lock, and the slice is chosen anew."""
    as_of, size = clock(), FIRST_SLICE
    lanes = [_Lane(engine, run_id, as_of, zone) for _ in range(2)]
    with closing(lanes[0]), closing(lanes[1]), ThreadPoolExecutor(1, "choosing") as pool:
        ahead = lanes[0].choose(size)
        while True:
            following = pool.submit(lanes[1].choose, size, ahead.part.high) if ahead else None
            start = time.perf_counter()
            frozen_up_to = lanes[0].write(ahead, size=size, now=clock())
            if frozen_up_to is None:
                return
            limit = SLICE_SECONDS if is_sqlite(engine) else None
            size = fitting(size, time.perf_counter() - start, limit)
            let_others_write(engine)
            lanes.reverse()
            ahead = following.result() if following else None
            if ahead is None or ahead.part.low != frozen_up_to:  # another worker freezes the run as well
                ahead = lanes[0].choose(size)


def find_arms(engine: Engine, run_id: int, *, zone: ZoneInfo, clock: Clock) -> None:
    """Where learned targeting runs against the hand rule (campaigns/experiments/arms.py): settle whom expected gain
    chooses in its half, as many as the rule would choose there. Looks only as long as nobody is frozen."""
    with reading(engine) as session:
        run = session.get_one(CampaignRun, run_id)
        campaign = session.get_one(Campaign, run.campaign_id)
        if not experiment_of(campaign.experiment).learned_targeting or run.by_enrolment:
            return
        if run.state != "planned" or run.frozen_up_to or run.arms is not None:
            return
        freeze, everybody, targets = Freeze(session, run, zone, clock()), whole(session, run), targets_of(session, run)
        by_rule = and_(~is_in_rule_arm(customer.c.id, run.campaign_id), everybody.condition)
        in_half = and_(~is_in_rule_arm(customer.c.id, run.campaign_id), targets.exclusion(run_id))
        wanted, half = (
            select(judged.c.customer_id).where(judged.c.state == "chosen")
            for judged in (freeze.judged(replace(everybody, condition=c)).subquery() for c in (by_rule, in_half))
        )
        allowed = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        gains = gains_of(session, np.random.default_rng(run_id))
        cut = gain_cut(session, half, allowed=allowed, run_id=run_id, gains=gains)
    arms = cut or Cut(gains, run_id, EVERYBODY)
    with transaction(engine) as session:
        run = session.get_one(CampaignRun, run_id, with_for_update=True)
        if run.state == "planned" and not run.frozen_up_to and run.arms is None:
            run.arms = arms.to_json()
            session.add(run)


def find_cut(engine: Engine, run_id: int, *, zone: ZoneInfo, clock: Clock) -> None:
    """Where the quota is too short for a run that is about to be frozen: settle who is left out, those with the least
    expected gain (campaigns/money/gain.py). Looks only as long as nobody is frozen; holds no lock while it counts."""
    with reading(engine) as session:
        run = session.get_one(CampaignRun, run_id)
        if run.state != "planned" or run.frozen_up_to or run.gain_cut is not None:
            return
        channel_id = session.get_one(Campaign, run.campaign_id).channel_id
        left = quota_state(session, channel_id, zone=zone, now=clock(), but_run=run_id).left
        if left is None or left >= (session.scalar(select(func.count()).select_from(customer)) or 0):
            return
        judged = Freeze(session, run, zone, clock()).judged(whole(session, run)).subquery()
        chosen = select(judged.c.customer_id).where(judged.c.state == "chosen")
        gains = gains_of(session, np.random.default_rng(run_id))
        cut = gain_cut(session, chosen, allowed=left, run_id=run_id, gains=gains)
    if cut is None:
        return
    with transaction(engine) as session:
        run = session.get_one(CampaignRun, run_id, with_for_update=True)
        if run.state == "planned" and not run.frozen_up_to and run.gain_cut is None:
            run.gain_cut = cut.to_json()
            session.add(run)


def fitting(size: int, seconds: float, limit: float | None) -> int:
    """The size of the next slice after one of `size` took so long: at most SLICE, what fits into `limit` seconds, and
    half as much again, or those before would be sent by the time it is frozen."""
    fitting = SLICE if limit is None else int(size * limit / max(seconds, 1e-6))
    return max(SLICE // 80, min(SLICE, size * 3 // 2, fitting))


def freeze_slice(
    session: Session,
    run_id: int,
    *,
    zone: ZoneInfo,
    now: datetime,
    size: int = SLICE,
    kept: Statements | None = None,
    ahead: "Choice | None" = None,
) -> bool:
    """Freeze the next slice of a planned run, `size` people looked at; False when nothing was left to do. `ahead`:
    whom `choose_ahead` chose for it on this connection; they are chosen anew unless that still holds.

    With the last slice the run becomes ready to send. Rules must have been asked: see members.py. Raises UnknownTarget
    and RuleError when the target has gone meanwhile.
    """
    kept = kept or Statements(now)
    run = session.get(CampaignRun, run_id, with_for_update=True, populate_existing=True)
    if run is None or run.state != "planned":
        return False
    lock_until_end(session.connection(), DELIVERIES)
    targets = None if run.by_enrolment else targets_of(session, run)
    if targets is not None and targets.rules() and run.members_at is None:
        return False
    frozen = Freeze(session, run, zone, kept.as_of)
    if ahead is None or not frozen.still_holds(ahead):
        part = next_part(session, run, targets, size)
        if part is None:
            if _forget_members(session, run_id, size):
                return True
            audience_is_frozen(session, run, now=now)
            return False
        ahead = frozen.choose(part, kept)
    part = ahead.part
    frozen.write(ahead)
    frozen.batches()
    enrol_frozen(session, run_id, part.low, part.high)
    session.execute(delete(run_member).where(run_member.c.run_id == run_id, run_member.c.customer_id <= part.high))
    run.frozen_up_to = part.high
    session.add(run)
    return True


def choose_ahead(
    session: Session, run_id: int, *, zone: ZoneInfo, size: int, kept: Statements, after: int | None = None
) -> "Choice | None":
    """Whom the next slice of a planned run will have, for `freeze_slice` on the same connection; None where that is to
    find out for itself. `after`: up to which customer the run will be frozen by then, else as far as it is now. Reads
    only, but for a temporary table of the connection, so nobody waits for it."""
    run = session.get(CampaignRun, run_id, populate_existing=True)
    if run is None or run.state != "planned":
        return None
    targets = None if run.by_enrolment else targets_of(session, run)
    if targets is not None and targets.rules() and run.members_at is None:
        return None
    part = next_part(session, run, targets, size, after=after)
    return None if part is None else Freeze(session, run, zone, kept.as_of).choose(part, kept)


def _forget_members(session: Session, run_id: int, size: int) -> bool:
    """Delete members whom no slice came to: those who were to be left out of a narrow audience. False: none is left."""
    some = select(run_member.c.customer_id).where(run_member.c.run_id == run_id).limit(size)
    gone = session.execute(delete(run_member).where(run_member.c.run_id == run_id, run_member.c.customer_id.in_(some)))
    return bool(gone.rowcount)  # type: ignore[attr-defined]
