"""How many deliveries of a run are in which state, without counting a million rows: kept sums, always exact.

What can't change any more, or hasn't since, stands in `run_tally`, a sum per batch; the rest (the batches being sent at
this moment) is counted when asked. Whoever changes a delivery takes its batch's `is_tallied` back in the same
transaction. When a run is over its sums are added up into one set, and nothing of it is counted again.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, delete, exists, func, insert, or_, select, update
from sqlmodel import Session

from campaigns.results.again import again_in
from campaigns.results.sides import FIRST_STEP, NOT_BY_CHANCE, is_meant
from store.engine import table_of
from store.models import CampaignRun, Delivery, RunTally, SendBatch

BATCHES_AT_ONCE = 10  # 5,000 deliveries, about 20 ms: SQLite's webhook waits that long
OVER = ("reached_count", "message_count", "compared_sent", "compared_held", "compared_again")  # of a run, once tallied
FINAL = ("accepted", "failed", "unknown")  # of a batch: what became of the one call for all in it

delivery, batch, tally, run = table_of(Delivery), table_of(SendBatch), table_of(RunTally), table_of(CampaignRun)
SAME_BATCH = and_(batch.c.run_id == delivery.c.run_id, batch.c.batch_number == delivery.c.batch_number)


@dataclass(frozen=True, slots=True)
class Tally:
    """So many people of a run in one state. `variant_id` None: none was chosen for them."""

    run_id: int
    variant_id: int | None
    segment: str
    state: str
    reason: str
    by_reply: bool
    people: int


def effective_state() -> Any:
    """SQL for a delivery's state, joined to its batch: `chosen` of a multicast is whatever became of the one call."""
    return _followed(delivery.c.state)


def _followed(state: Any) -> Any:
    return case((and_(state == "chosen", batch.c.state.in_(FINAL)), batch.c.state), else_=state)


def with_batch(statement: Any) -> Any:
    """Join deliveries to their batches, for `effective_state`."""
    return statement.select_from(delivery.outerjoin(batch, SAME_BATCH))


def tallies(session: Session, run_ids: Sequence[int]) -> list[Tally]:
    """The sums of these runs, as of one moment in a `reading`. Reads only."""
    changing = set(session.scalars(select(run.c.id).where(run.c.id.in_(run_ids), run.c.tallied_at.is_(None))))
    over = _summed(tally.c.state, tally.c.reason).where(tally.c.run_id.in_(set(run_ids) - changing))
    found = [_tally(row) for row in session.execute(over)]
    for run_id in sorted(changing):
        found += _kept(session, run_id)
        found += _counted(session, run_id, _open_batches(session, run_id))
        if not _are_loose_tallied(session, run_id):
            found += _counted_loose(session, run_id)
    return found


def summed_over(session: Session, key: Any, which: Any) -> list[Tally]:
    """The sums of the runs that are over which are meant by `which` (SQL on `campaign_run`), added up: `run_id` of each
    is its `key` (SQL, a whole number). The database adds up, however many runs there are. Reads only."""
    cell = (key, tally.c.variant_id, tally.c.segment, tally.c.state, tally.c.reason, tally.c.by_reply)
    rows = select(*cell, func.sum(tally.c.people)).select_from(run.join(tally, tally.c.run_id == run.c.id))
    return [_tally(row) for row in session.execute(rows.where(run.c.tallied_at.is_not(None), which).group_by(*cell))]


def accepted_since(session: Session, campaign_ids: Sequence[int], since: datetime) -> dict[int, int]:
    """Campaign id -> people reached by its runs that fired at `since` or later, a person once in each run; none of whom
    nothing is known yet. By kept sums alone: what is being sent at this moment comes a little later."""
    mine = (run.c.campaign_id.in_(campaign_ids), run.c.fired_at >= since)
    over = select(run.c.campaign_id, func.sum(run.c.reached_count)).where(*mine, run.c.reached_count.is_not(None))
    settled = settled_so_far(run.c.campaign_id, func.sum(tally.c.people)).where(*mine)
    found = Counter[int]()
    for part in (over, settled):
        for campaign_id, people in session.execute(part.group_by(run.c.campaign_id)):
            found[campaign_id] += int(people)
    return dict(found)


def settled_so_far(*columns: Any) -> Any:
    """Select `columns` of the runs that are not over and their kept sums of people reached."""
    its_batch = and_(batch.c.run_id == tally.c.run_id, batch.c.batch_number == tally.c.batch_number)
    found = select(*columns).select_from(run.join(tally, tally.c.run_id == run.c.id).join(batch, its_batch))
    return found.where(run.c.reached_count.is_(None), batch.c.is_tallied, _followed(tally.c.state) == "accepted")


def tally_frozen(session: Session, run_id: int, counts: Sequence[tuple[int, int | None, str | None, int]]) -> None:
    """Keep the sums of batches that were written in this transaction: number, variant, segment and how many people."""
    rows = [
        (run_id, variant_id or 0, segment or "none", "chosen", "", False, number, people)
        for number, variant_id, segment, people in counts
    ]
    _store(session, rows)


def tally_batches(session: Session) -> int:
    """Put the sums of the next batches that have settled for now into run_tally; returns how many batches.

    Repeatable, and safe beside the sending: the batches are locked, and one that is claimed is left for later.
    """
    rests = or_(batch.c.state != "claimed", run.c.way == "multicast")  # a multicast's outcome is on its batch
    rows = session.execute(
        select(batch.c.run_id, batch.c.batch_number)
        .join(run, run.c.id == batch.c.run_id)
        .where(run.c.tallied_at.is_(None), ~batch.c.is_tallied, rests)
        .order_by(batch.c.run_id, batch.c.batch_number)
        .limit(BATCHES_AT_ONCE)
        .with_for_update(of=batch, skip_locked=True)
    ).all()
    for run_id in sorted({row.run_id for row in rows}):
        numbers = [row.batch_number for row in rows if row.run_id == run_id]
        session.execute(delete(tally).where(tally.c.run_id == run_id, tally.c.batch_number.in_(numbers)))
        counts = _counts(delivery.c.state, func.coalesce(delivery.c.reason, ""), delivery.c.batch_number)
        mine = counts.where(delivery.c.run_id == run_id, delivery.c.batch_number.in_(numbers))
        _store(session, [tuple(row) for row in session.execute(mine)])
        session.execute(
            update(batch).where(batch.c.run_id == run_id, batch.c.batch_number.in_(numbers)).values(is_tallied=True)
        )
    return len(rows)


def loose_to_tally(session: Session) -> list[Tally]:
    """The sums of those without a batch (held out, skipped) of every run whose audience is frozen, unless they are
    kept already. Only reads: there may be millions. `keep_loose` writes them."""
    frozen = select(run.c.id).where(run.c.tallied_at.is_(None), run.c.frozen_at.is_not(None)).order_by(run.c.id)
    fresh = [run_id for run_id in session.scalars(frozen) if not _are_loose_tallied(session, run_id)]
    return [found for run_id in fresh for found in _counted_loose(session, run_id)]


def keep_loose(session: Session, found: Sequence[Tally]) -> None:
    """Write what `loose_to_tally` found, unless another worker has written it meanwhile."""
    fresh = {run_id for run_id in sorted({one.run_id for one in found}) if _is_mine(session, run_id)}
    _store(session, [(*_key(one), 0, one.people) for one in found if one.run_id in fresh])


def _is_mine(session: Session, run_id: int) -> bool:
    """Whether the loose of a run are still to be written, by nobody else from now on to the end of the transaction."""
    still_open = select(run.c.id).where(run.c.id == run_id, run.c.tallied_at.is_(None)).with_for_update()
    return session.execute(still_open).first() is not None and not _are_loose_tallied(session, run_id)


def runs_to_close(session: Session) -> list[int]:
    """Runs that are over and wholly tallied, but not yet added up."""
    return list(session.scalars(_to_close().order_by(run.c.id)))


def _to_close() -> Any:
    is_open = exists().where(batch.c.run_id == run.c.id, ~batch.c.is_tallied)
    return select(run.c.id).where(run.c.tallied_at.is_(None), run.c.finished_at.is_not(None), ~is_open)


def close_tally(session: Session, run_id: int, *, now: datetime) -> None:
    """Add up the sums of a run that is over: one set of rows in place of one per batch; nothing if another worker has,
    or there is more to tally again."""
    if session.execute(_to_close().where(run.c.id == run_id).with_for_update(of=run)).first() is None:
        return
    found = _kept(session, run_id)
    if not _are_loose_tallied(session, run_id):
        found += _counted_loose(session, run_id)
    session.execute(delete(tally).where(tally.c.run_id == run_id))
    added: Counter[tuple[Any, ...]] = Counter()
    for one in found:
        added[_key(one)] += one.people
    _store(session, [(*key, 0, people) for key, people in added.items()])
    accepted = [one for one in found if one.state == "accepted"]
    counts = {
        "reached_count": sum(one.people for one in accepted),
        "message_count": sum(one.people for one in accepted if not one.by_reply),
    }
    values = {"tallied_at": now, **counts, **_compared(session, run_id, found)}
    session.execute(update(run).where(run.c.id == run_id).values(**values))


def _compared(session: Session, run_id: int, found: Sequence[Tally]) -> dict[str, int]:
    """The sides of the run's lift; none where it isn't told (see CampaignRun)."""
    sent = sum(one.people for one in found if is_meant(one.state, one.variant_id))
    held = sum(one.people for one in found if one.state == "held_out")
    is_broken = any(one.state == "skipped" and one.reason in NOT_BY_CHANCE for one in found)
    if is_broken or session.get_one(CampaignRun, run_id).step_number != FIRST_STEP:
        sent = held = 0
    again = again_in(session, run_id, sent + held) if sent + held else 0
    return {"compared_sent": sent, "compared_held": held, "compared_again": again}


def forget_tally(session: Session, run_id: int) -> None:
    """Throw a run's sums away: they are counted anew from its deliveries."""
    session.execute(delete(tally).where(tally.c.run_id == run_id))
    session.execute(update(batch).where(batch.c.run_id == run_id).values(is_tallied=False))
    unknown = dict.fromkeys(("tallied_at", *OVER))
    session.execute(update(run).where(run.c.id == run_id).values(**unknown))


def _kept(session: Session, run_id: int) -> list[Tally]:
    """The sums of a run that are kept and hold."""
    if session.get_one(CampaignRun, run_id).way == "push":
        # A push has its own outcome: its sums, tens of thousands in the middle of a run, need no batch beside them.
        changing = select(batch.c.batch_number).where(batch.c.run_id == run_id, ~batch.c.is_tallied)
        sums = _summed(tally.c.state, tally.c.reason).where(tally.c.batch_number.not_in(changing))
    else:
        its_batch = and_(batch.c.run_id == tally.c.run_id, batch.c.batch_number == tally.c.batch_number)
        sums = _summed(_followed(tally.c.state), _why(tally.c.state, tally.c.reason))
        sums = sums.select_from(tally.outerjoin(batch, its_batch))
        sums = sums.where(or_(tally.c.batch_number == 0, batch.c.is_tallied))
    return [_tally(row) for row in session.execute(sums.where(tally.c.run_id == run_id))]


def _summed(state: Any, reason: Any) -> Any:
    """The kept sums added up."""
    columns = (
        *(tally.c.run_id, tally.c.variant_id, tally.c.segment),
        *(state.label("now"), reason.label("why"), tally.c.by_reply),
    )
    return select(*columns, func.sum(tally.c.people)).group_by(*columns)


def _open_batches(session: Session, run_id: int) -> list[int]:
    """Numbers of the batches that are not tallied."""
    open_ones = select(batch.c.batch_number).where(batch.c.run_id == run_id, ~batch.c.is_tallied)
    return list(session.scalars(open_ones))


def _are_loose_tallied(session: Session, run_id: int) -> bool:
    loose = select(tally.c.run_id).where(tally.c.run_id == run_id, tally.c.batch_number == 0).limit(1)
    return session.execute(loose).first() is not None


def _counted(session: Session, run_id: int, batch_numbers: Sequence[int]) -> list[Tally]:
    if not batch_numbers:
        return []
    counts = _counts(effective_state(), _why(delivery.c.state, func.coalesce(delivery.c.reason, "")))
    mine = counts.where(delivery.c.run_id == run_id, delivery.c.batch_number.in_(batch_numbers))
    return [_tally(row) for row in session.execute(mine)]


def _counted_loose(session: Session, run_id: int) -> list[Tally]:
    counts = _counts(delivery.c.state, func.coalesce(delivery.c.reason, ""))
    loose = counts.where(delivery.c.run_id == run_id, delivery.c.batch_number.is_(None))
    return [_tally(row) for row in session.execute(loose)]


def _counts(state: Any, reason: Any, *more: Any) -> Any:
    """Deliveries counted by run, variant, segment, `state`, `reason`, by reply, and `more`; `people` comes last."""
    columns = (
        delivery.c.run_id,
        func.coalesce(delivery.c.variant_id, 0).label("variant"),
        func.coalesce(delivery.c.segment, "none").label("segment_name"),
        state.label("now"),
        reason.label("why"),
        delivery.c.by_reply,
        *more,
    )
    return with_batch(select(*columns, func.count().label("people"))).group_by(*columns)


def _why(state: Any, reason: Any) -> Any:
    """SQL for the reason: the delivery's own, or else what LINE said of its batch."""
    of_batch = and_(state == "chosen", batch.c.state.in_(FINAL), reason == "")
    return case((of_batch, func.coalesce(batch.c.problem, "")), else_=reason)


def _tally(row: Any) -> Tally:
    run_id, variant_id, segment, state, reason, by_reply, people = row
    return Tally(run_id, variant_id or None, segment, state, reason, bool(by_reply), int(people))


def _key(one: Tally) -> tuple[Any, ...]:
    return one.run_id, one.variant_id or 0, one.segment, one.state, one.reason, one.by_reply


_NAMES = ("run_id", "variant_id", "segment", "state", "reason", "by_reply", "batch_number", "people")


def _store(session: Session, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        session.execute(insert(tally), [dict(zip(_NAMES, row, strict=True)) for row in rows])
