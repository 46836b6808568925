"""Who moved between segments after a run: those sent to beside those held out, who move by themselves too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlmodel import Session

from campaigns.results.lift import Arm, Lift, conversion_lift, z_of
from campaigns.results.runs import run_results
from campaigns.results.sides import is_meant
from campaigns.results.tally import effective_state, with_batch
from segmentation.models import segments_of
from store.engine import table_of
from store.models import CampaignRun, Delivery, SegmentChange

delivery, change = table_of(Delivery), table_of(SegmentChange)


@dataclass(frozen=True)
class Move:
    """People who went from one segment to another; None: the model said nothing of them then. `lift`: the share of
    those sent to minus that of those held out, all moves together right at 95 %; None where the run tells no lift."""

    before: str | None
    after: str | None
    sent: int
    held_out: int
    lift: Lift | None


@dataclass(frozen=True)
class Movement:
    """All moves of a run's people in one model, the most frequent first; the others stayed where they were."""

    model: str
    sent: int
    held_out: int
    moves: list[Move]


def movement_after(session: Session, run_id: int, model: str, *, until: datetime) -> Movement:
    """From the segment at the firing of a run to that at `until` (aware UTC, inclusive). Reads only. Raises NotFound
    for an unknown run or model."""
    segments_of(model)
    results = run_results(session, run_id)
    total, is_told = results.total, results.lift is not None
    fired_at = session.get_one(CampaignRun, run_id).fired_at
    counts: dict[tuple[str | None, str | None], list[int]] = {}
    for before, after, state, variant_id, people in session.execute(_moves(run_id, model, fired_at, until)):
        if before != after and (is_meant(state, variant_id) or state == "held_out"):
            counts.setdefault((before, after), [0, 0])[state == "held_out"] += people
    z = z_of(comparisons=len(counts))
    moves = [
        Move(
            before,
            after,
            sent,
            held,
            _lift(sent, total.sent.people, held, total.held_out.people, z) if is_told else None,
        )
        for (before, after), (sent, held) in counts.items()
    ]
    moves.sort(key=lambda move: -(move.sent + move.held_out))
    return Movement(model, total.sent.people, total.held_out.people, moves)


def _moves(run_id: int, model: str, since: datetime, until: datetime) -> Any:
    """Segment before, segment after, state of the delivery, variant, people: of those whose segments were computed
    otherwise in between. The first change tells where they were, the last where they are."""
    of_run = delivery.alias("of_run")
    ends = (
        select(change.c.customer_id, func.min(change.c.id).label("first_id"), func.max(change.c.id).label("last_id"))
        # only of the run's people: few of all who ever moved
        .join(of_run, and_(of_run.c.run_id == run_id, of_run.c.customer_id == change.c.customer_id))
        .where(change.c.changed_at > since, change.c.changed_at <= until, ~change.c.is_relabelled)
        .group_by(change.c.customer_id)
        .subquery()
    )
    first, last = change.alias("first"), change.alias("last")
    columns: Sequence[Any] = (
        first.c[f"old_{model}"].label("before"),
        last.c[model].label("after"),
        effective_state().label("now"),
        delivery.c.variant_id,
    )
    return (
        with_batch(select(*columns, func.count()))
        .join(ends, ends.c.customer_id == delivery.c.customer_id)
        .join(first, first.c.id == ends.c.first_id)
        .join(last, last.c.id == ends.c.last_id)
        .where(delivery.c.run_id == run_id)
        .group_by(*columns)
    )


def _lift(sent: int, sent_to: int, held: int, held_out: int, z: float) -> Lift | None:
    return conversion_lift(Arm(sent_to, sent), Arm(held_out, held), z)
