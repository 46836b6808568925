"""What a message to somebody is expected to bring, and who is left out when the quota is short: those with the least.

Expected gain = incremental revenue: what past runs brought per person of the segment above their held-out (shrunk,
since holdouts are small), times the person's predicted spend as a part of the segment's mean. Where no run with a
holdout is known yet all segments count alike, and predicted spend alone decides; without predictions, the stable hash.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Float, and_, case, cast, exists, func, literal, null, or_, select, type_coerce
from sqlmodel import Session

from campaigns.experiments.assignment import bucket_of, salt_of
from campaigns.money.hierarchy import Array, Past, predict
from campaigns.results.sides import FIRST_STEP, HELD_OUT, SENT_TO, side_of
from store.engine import table_of
from store.models import (
    CampaignRun,
    CampaignStep,
    Customer,
    CustomerPrediction,
    CustomerSegment,
    RunResponse,
    RunTally,
)
from store.types import DECIMAL_PLACES

SCALE = 10**DECIMAL_PLACES
NO_SEGMENT = "none"
LEAST_HELD_OUT = 20  # people of a segment in a run: fewer say nothing of it
DRAWS = 2_000
EVERYBODY = (-(2**62), 0, 0)  # the last of a cut that leaves nobody out


@dataclass(frozen=True)
class PastLift:
    """One row per past run and segment, arrays of one length: people sent to and held out, the sums of what they paid
    in the run's window (currency units), and the sums of squares per person of both together."""

    run: list[int]
    segment: list[str]
    sent: Array
    sent_sum: Array
    held: Array
    held_sum: Array
    squares: Array


def segment_gains(past: PastLift, segments: list[str], rng: np.random.Generator) -> Array | None:
    """Draws (rows) of the incremental revenue per message (currency units) in a run to come, for each of `segments`
    (columns); None with fewer than two rows to learn from. A segment never seen gets what the others let expect."""
    seen = (past.sent >= LEAST_HELD_OUT) & (past.held >= LEAST_HELD_OUT)
    if seen.sum() < 2:
        return None
    rows = np.flatnonzero(seen)
    sent, held = past.sent[rows], past.held[rows]
    y = past.sent_sum[rows] / sent - past.held_sum[rows] / held
    names = [past.segment[i] for i in rows]
    # One variance per segment: a small holdout without a buyer would else seem to be known exactly.
    people, total, squares = sent + held, past.sent_sum[rows] + past.held_sum[rows], past.squares[rows]
    overall = max(float(squares.sum() / people.sum()), 1e-12)
    spread = np.empty(len(rows))
    for name in set(names):
        of = np.array([n == name for n in names])
        mean = total[of].sum() / people[of].sum()
        spread[of] = max(float(squares[of].sum() / people[of].sum() - mean**2), overall * 1e-3)
    levels: dict[str, list[Any]] = {"segment": names, "run": [past.run[i] for i in rows]}
    new: dict[str, list[Any]] = {"segment": list(segments), "run": [-1] * len(segments)}
    scale = max(float(total.sum() / people.sum()), 1e-9)  # effects of the size of what people spend anyhow, not more
    return predict(Past(y, spread * (1 / sent + 1 / held), levels), new, scale=scale, draws=DRAWS, rng=rng)


@dataclass(frozen=True)
class Gains:
    """What a person's expected gain is worked out from, as it stands in CampaignRun.gain_cut: each segment's gain per
    message and mean predicted spend (currency units; 0: nobody there has a prediction)."""

    gain: Mapping[str, float]
    mean_spend: Mapping[str, float]
    is_learned: bool  # from past holdouts; else all segments count alike

    def expression(self, customer_id: Any) -> Any:
        """SQL for the expected gain of a customer in ten-thousandths, a whole number: equal is equal at any time."""
        segment, prediction = table_of(CustomerSegment).alias(), table_of(CustomerPrediction).alias()
        name = func.coalesce(
            select(segment.c.rfm8).where(segment.c.customer_id == customer_id).scalar_subquery(), NO_SEGMENT
        )
        spend = (
            select(cast(type_coerce(prediction.c.spend_90, BigInteger), Float) / SCALE)
            .where(prediction.c.customer_id == customer_id)
            .scalar_subquery()
        )
        factors = {n: g / self.mean_spend[n] for n, g in self.gain.items() if self.mean_spend.get(n)}
        factor: Any = case(factors, value=name) if factors else cast(null(), Float)
        flat = case(dict(self.gain), value=name, else_=literal(0.0))
        return cast(func.round(func.coalesce(factor * spend, flat, 0.0) * SCALE), BigInteger)


def gains_of(session: Session, rng: np.random.Generator) -> Gains:
    """What can be known now of everybody's expected gain."""
    segment, prediction = table_of(CustomerSegment), table_of(CustomerPrediction)
    name = func.coalesce(segment.c.rfm8, NO_SEGMENT)
    spend = cast(type_coerce(prediction.c.spend_90, BigInteger), Float) / SCALE
    rows = session.execute(
        select(name, func.avg(spend))
        .select_from(segment.outerjoin(prediction, prediction.c.customer_id == segment.c.customer_id))
        .group_by(name)
    ).all()
    names = sorted({NO_SEGMENT, *(row[0] for row in rows)})
    means = {row[0]: float(row[1] or 0) for row in rows}
    learned = segment_gains(past_lift(session), names, rng)
    if learned is None:  # the same part of everybody's spend, whatever part it is: only the order matters
        return Gains({n: means.get(n, 0.0) for n in names}, means, is_learned=False)
    return Gains(dict(zip(names, learned.mean(axis=0).tolist(), strict=True)), means, is_learned=True)


def past_lift(session: Session) -> PastLift:
    """Past runs with somebody held out, by segment at the time, oldest first; none of those that were broken off, whose
    people are no fair sample, and none of several steps, whose lift is that of all of them, not of one message. The
    sides are those of a run's own lift (campaigns/results/sides.py)."""
    run, tally, response = table_of(CampaignRun), table_of(RunTally), table_of(RunResponse)
    step = table_of(CampaignStep)
    has_more = exists().where(step.c.campaign_id == run.c.campaign_id, step.c.step_number > FIRST_STEP)
    over = select(run.c.id).where(run.c.tallied_at.is_not(None), run.c.state == "sent", ~has_more)
    side = side_of(tally.c.state, tally.c.variant_id > 0)
    sizes = session.execute(
        select(tally.c.run_id, tally.c.segment, side, func.sum(tally.c.people))
        .where(tally.c.run_id.in_(over), side.is_not(None))
        .group_by(tally.c.run_id, tally.c.segment, side)
    ).all()
    paid = cast(type_coerce(response.c.own_revenue, BigInteger), Float) / SCALE  # what no other run is thanked for
    side = side_of(response.c.state, response.c.variant_id.is_not(None))
    sums = session.execute(
        select(response.c.run_id, response.c.segment, side, func.sum(paid), func.sum(paid * paid))
        .where(response.c.run_id.in_(over), side.is_not(None))
        .group_by(response.c.run_id, response.c.segment, side)
    ).all()
    people = {(run_id, name, of): float(n) for run_id, name, of, n in sizes}
    total = {(run_id, name, of): float(x or 0) for run_id, name, of, x, _ in sums}
    squares = {(run_id, name, of): float(x or 0) for run_id, name, of, _, x in sums}
    keys = sorted({(run_id, name) for run_id, name, of in people if of == HELD_OUT})

    def column(found: dict[tuple[int, str, str], float], of: str) -> Array:
        return np.array([found.get((*key, of), 0.0) for key in keys])

    return PastLift(
        run=[run_id for run_id, _ in keys],
        segment=[name for _, name in keys],
        sent=column(people, SENT_TO),
        sent_sum=column(total, SENT_TO),
        held=column(people, HELD_OUT),
        held_sum=column(total, HELD_OUT),
        squares=column(squares, SENT_TO) + column(squares, HELD_OUT),
    )


@dataclass(frozen=True)
class Cut:
    """The last person who is not left out: by gain, then by the stable hash, then by id."""

    gains: Gains
    run_id: int
    last: tuple[int, int, int] | None  # gain, bucket, customer id; None: everybody is left out

    def keeps(self, customer_id: Any) -> Any:
        """SQL: whether a customer is among those whom the quota is spent on."""
        if self.last is None:
            return literal(False)
        gain, bucket = self.gains.expression(customer_id), bucket_of(customer_id, salt_of("quota", self.run_id))
        least, last_bucket, last_id = self.last
        return or_(
            gain > least,
            and_(gain == least, or_(bucket < last_bucket, and_(bucket == last_bucket, customer_id <= last_id))),
        )

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        g = self.gains
        return {
            "gain": dict(g.gain),
            "mean_spend": dict(g.mean_spend),
            "is_learned": g.is_learned,
            "last": list(self.last) if self.last else None,
        }

    @classmethod
    def from_json(cls, run_id: int, stored: Mapping[str, Any]) -> "Cut":
        """Of CampaignRun.gain_cut."""
        gains = Gains(stored["gain"], stored["mean_spend"], stored["is_learned"])
        last = stored["last"]
        return cls(gains, run_id, (last[0], last[1], last[2]) if last else None)


def gain_cut(session: Session, candidates: Any, *, allowed: int, run_id: int, gains: Gains) -> Cut | None:
    """Where to cut so that `allowed` of the `candidates` (a SELECT of customer ids) are kept; None: all fit. Only
    reads."""
    people, customer = candidates.subquery(), table_of(Customer)
    who = customer.c.id
    gain, bucket = gains.expression(who), bucket_of(who, salt_of("quota", run_id))
    ranked = select(gain.label("gain"), bucket.label("bucket"), who.label("id")).where(who.in_(select(people.c[0])))
    ranked = ranked.order_by(gain.desc(), bucket, who)
    if session.execute(ranked.offset(allowed).limit(1)).first() is None:
        return None
    if allowed == 0:
        return Cut(gains, run_id, None)
    last = session.execute(ranked.offset(allowed - 1).limit(1)).one()
    return Cut(gains, run_id, (int(last.gain), int(last.bucket), int(last.id)))
