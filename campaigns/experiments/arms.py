"""Learned targeting against the hand rule, in one experiment: half of the people by hash are chosen by the campaign's
audience (arm A), of the other half as many are chosen by expected gain (arm B), whether the rule means them or not.

Each arm keeps back its own holdout, by the same percentage, so each has a lift; the arms are compared by their lifts.
Whom both ways would choose is in either arm by chance alone, and so tells nothing for one of them.
"""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import BigInteger, Float, and_, case, cast, func, or_, select, type_coerce
from sqlmodel import Session

from campaigns.experiments.assignment import BUCKETS, bucket_of, salt_of
from campaigns.money.gain import SCALE, Cut
from campaigns.results.lift import Arm, Lift, conversion_lift, difference_of, revenue_lift
from campaigns.results.sides import HELD_OUT, SENT_TO, side_of
from campaigns.results.tally import SAME_BATCH, effective_state
from store.engine import table_of
from store.models import CampaignRun, Delivery, RunResponse, SendBatch
from store.types import from_ten_thousandths

RULE, GAIN = "rule", "gain"


def is_in_rule_arm(customer_id: Any, campaign_id: int) -> Any:
    """SQL (or a plain bool): whether somebody is of arm A, the hand rule's half."""
    return bucket_of(customer_id, salt_of("arm", campaign_id)) < BUCKETS // 2


def armed(run: CampaignRun, customer_id: Any, *, rule: Any, exclusion: Any) -> Any:
    """SQL on the `customer` table: whom a run with arms is for. `rule` is the audience, `exclusion` the part of it that
    leaves people out, which holds for both arms."""
    assert run.id is not None
    assert run.arms is not None
    is_rule = is_in_rule_arm(customer_id, run.campaign_id)
    by_gain = Cut.from_json(run.id, run.arms).keeps(customer_id)
    return or_(and_(is_rule, rule), and_(~is_rule, exclusion, by_gain))


@dataclass(frozen=True)
class ArmResult:
    """One arm: those meant to be sent to against its own holdout; None where they are too few to tell."""

    sent: Arm
    held_out: Arm
    conversion: Lift | None
    revenue: Lift | None


@dataclass(frozen=True)
class Comparison:
    """The arms side by side. `conversion` and `revenue`: how much more a message by expected gain adds per person than
    one by the hand rule, with the interval. `by_both`: those of arm A meant to be sent to whom expected gain would
    choose too."""

    rule: ArmResult
    gain: ArmResult
    conversion: Lift | None
    revenue: Lift | None
    by_both: int

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs; money as text."""

        def plain(one: ArmResult) -> dict[str, Any]:
            found = asdict(one)
            for side in ("sent", "held_out"):
                found[side]["revenue"] = str(found[side]["revenue"])
            return found

        return {**asdict(self), "rule": plain(self.rule), "gain": plain(self.gain)}


def compare_arms(session: Session, run_id: int) -> Comparison | None:
    """The arms of a run, as of now; None for a run without. Reads only."""
    run = session.get_one(CampaignRun, run_id)
    if run.arms is None:
        return None
    delivery, batch, response = table_of(Delivery), table_of(SendBatch), table_of(RunResponse)
    same_person = and_(response.c.run_id == delivery.c.run_id, response.c.customer_id == delivery.c.customer_id)
    joined = delivery.outerjoin(batch, SAME_BATCH).outerjoin(response, same_person)
    arm = case((is_in_rule_arm(delivery.c.customer_id, run.campaign_id), RULE), else_=GAIN)
    side = side_of(effective_state(), delivery.c.variant_id.is_not(None))
    keeps = Cut.from_json(run_id, run.arms).keeps(delivery.c.customer_id)
    raw = type_coerce(response.c.revenue, BigInteger)
    paid = cast(raw, Float) / SCALE
    rows = session.execute(
        select(
            arm.label("arm"),
            side.label("side"),
            func.count().label("people"),
            func.count(case((response.c.orders > 0, 1))).label("buyers"),
            func.coalesce(func.sum(response.c.orders), 0).label("orders"),
            func.coalesce(func.sum(raw), 0).label("revenue"),
            func.coalesce(func.sum(paid * paid), 0.0).label("squares"),
            func.count(case((keeps, 1))).label("by_gain"),
        )
        .select_from(joined)
        .where(delivery.c.run_id == run_id, side.is_not(None))
        .group_by(arm, side)
    ).all()
    sides = {
        (row.arm, row.side): Arm(
            row.people, row.buyers, int(row.orders), from_ten_thousandths(int(row.revenue)), float(row.squares)
        )
        for row in rows
    }
    rule, gain = (_result(sides, name) for name in (RULE, GAIN))
    by_both = sum(row.by_gain for row in rows if (row.arm, row.side) == (RULE, SENT_TO))
    return Comparison(
        rule,
        gain,
        _apart(gain.conversion, rule.conversion),
        _apart(gain.revenue, rule.revenue),
        by_both,
    )


def newest_comparison(session: Session, campaign_id: int) -> Comparison | None:
    """The arms of the newest run of a campaign that has some; None without any."""
    run = table_of(CampaignRun)
    with_arms = select(run.c.id).where(run.c.campaign_id == campaign_id, run.c.arms.is_not(None))
    newest = session.scalar(with_arms.order_by(run.c.id.desc()).limit(1))
    return None if newest is None else compare_arms(session, newest)


def _result(sides: dict[tuple[str, str], Arm], name: str) -> ArmResult:
    sent, held_out = sides.get((name, SENT_TO), Arm()), sides.get((name, HELD_OUT), Arm())
    return ArmResult(sent, held_out, conversion_lift(sent, held_out), revenue_lift(sent, held_out))


def _apart(one: Lift | None, other: Lift | None) -> Lift | None:
    return difference_of(one, other) if one is not None and other is not None else None
