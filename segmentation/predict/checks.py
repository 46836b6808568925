"""Predictive tags held against what happened: of those who had a tag at the start of a day one horizon ago, how many
did what it said, and how many of those who did it had the tag.

Judged are all with a paid order before that day, on the orders as they are known now. What a tag says follows from its
definition (`claim_of`): a measure is held against the number it foresees, over its own horizon, and drawn by the same
line: "the top 5 % by expected spend" is right about whoever is among the top 5 % by what was spent. A rule that
foretells says itself what.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, func, or_, select
from sqlmodel import Session

from segmentation.engine import open_duckdb
from segmentation.predict.history import Floats, Ints
from segmentation.predict.horizons import BUY, CHURN, SPEND_90, SPEND_365, horizon_days
from segmentation.reading import read_orders
from segmentation.rfm import UNITS, moment, start_of_day
from segmentation.tags.definitions import MeasureTag, RuleTag, read_definition
from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.models import CustomerTag, PredictionRun, Tag, TagCheck

CHECK_EVERY = timedelta(days=7)
HORIZON_OF = {
    "p_buy": BUY,
    "expected_orders": BUY,
    "churn_risk": CHURN,
    "spend_90": SPEND_90,
    "spend_365": SPEND_365,
}

tag, customer_tag, tag_check = table_of(Tag), table_of(CustomerTag), table_of(TagCheck)
run = table_of(PredictionRun)

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Claim:
    """What a tag says of people: `measure` as foreseen, over `horizon`, and by which line."""

    measure: str
    horizon: str
    line: MeasureTag


@dataclass(frozen=True)
class Happened:
    """What each judged customer (ascending) did in the horizon: orders, and money in whole ten-thousandths."""

    customer: Ints
    orders: Ints
    spend: Floats


@dataclass(frozen=True)
class TagQuality:
    """A check as marketers read it; None where nobody had the tag, or nobody did it, or nobody was judged."""

    check: TagCheck

    @property
    def precision(self) -> float | None:
        """Of those with the tag, the share who did what it said."""
        return _share(self.check.hits, self.check.tagged)

    @property
    def recall(self) -> float | None:
        """Of those who did it, the share who had the tag."""
        return _share(self.check.hits, self.check.happened)

    @property
    def base_rate(self) -> float | None:
        """The share of everyone who did it: the precision of a tag given out by chance."""
        return _share(self.check.happened, self.check.people)


def check_tags(engine: Engine, *, today: date, zone: ZoneInfo, clock: Clock, cycle_days: int) -> list[TagCheck]:
    """Check every active predictive tag whose last check is a week old, as of the day one horizon before `today`;
    returns the checks made and stored. Left out are tags that nobody ever had by that day, those that said something
    else then, and those that say nothing that can be checked. `cycle_days` counts where no prediction run was made by
    that day. Writes in one short transaction."""
    with reading(engine) as session:
        due = _due(session, today, zone, cycle_days)
        tagged = {(one.tag_id, one.as_of): _tagged(session, one, zone) for one, _ in due}
    if not due:
        return []
    made = []
    with open_duckdb(zone) as connection:
        orders = read_orders(connection, engine)
        windows = {
            window: _happened(connection, orders, *window, zone)
            for window in {(one.as_of, one.until) for one, _ in due}
        }
    for one, claim in due:
        happened = windows[one.as_of, one.until]
        had = np.isin(happened.customer, tagged[one.tag_id, one.as_of])
        did = came_true(claim, happened)
        counts = {"people": len(had), "tagged": had.sum(), "happened": did.sum(), "hits": (had & did).sum()}
        found = {name: int(count) for name, count in counts.items()}
        made.append(TagCheck(tag_id=one.tag_id, as_of=one.as_of, until=one.until, computed_at=clock(), **found))
    with transaction(engine) as session:
        rows = [one.model_dump() for one in made]
        session.execute(insert_for(session, TagCheck).on_conflict_do_nothing(), rows)
    return made


def checks_of(session: Session, tag_id: int | None = None) -> list[tuple[str, TagQuality]]:
    """Tag names with their checks, of one tag or of all: by name, the newest first."""
    wanted = select(tag.c.name, TagCheck).join(TagCheck, tag_check.c.tag_id == tag.c.id)
    if tag_id is not None:
        wanted = wanted.where(tag.c.id == tag_id)
    rows = session.execute(wanted.order_by(tag.c.name, tag_check.c.as_of.desc())).all()
    return [(name, TagQuality(check)) for name, check in rows]


def claim_of(source: str, definition: dict[str, Any]) -> Claim | None:
    """What a tag of this definition says of people's future; None when nothing that can be checked."""
    read = read_definition(source, definition)
    if isinstance(read, MeasureTag) and read.measure in HORIZON_OF:
        return Claim(read.measure, HORIZON_OF[read.measure], read)
    if isinstance(read, RuleTag) and read.foretells is not None:
        measure = {"buys": "p_buy", "churns": "churn_risk"}[read.foretells]
        return Claim(measure, HORIZON_OF[measure], MeasureTag(measure, above_mean=True))
    return None


def came_true(claim: Claim, happened: Happened) -> Flags:
    """Of whom the claim was right. Of a chance: it happened, or, for a line on low chances, it did not. Of an amount:
    the line over what was foreseen, drawn over what came."""
    line = claim.line
    is_low = line.at_most is not None or line.bottom_percent is not None
    bought = happened.orders > 0
    if claim.measure in ("p_buy", "churn_risk"):
        foretold = bought if claim.measure == "p_buy" else ~bought
        return ~foretold if is_low else foretold
    value = happened.orders.astype(np.float64) if claim.measure == "expected_orders" else happened.spend / UNITS
    # where fewer bought than the top has places, those who did not are no top
    return _line_over(value, line) & (bought if line.top_percent is not None else True)


def _line_over(value: Floats, line: MeasureTag) -> Flags:
    """Whose values the line takes in; as tags draw it, all that equal the last one inside are in."""
    inside: Flags
    if len(value) == 0:
        inside = np.zeros(0, dtype=bool)
    elif line.at_most is not None:
        inside = value <= float(line.at_most)
    elif line.at_least is not None:
        inside = value >= float(line.at_least)
    elif line.bottom_percent is not None:
        inside = value <= np.sort(value)[ceil(len(value) * line.bottom_percent / 100) - 1]
    elif line.top_percent is not None:
        inside = value >= np.sort(value)[-ceil(len(value) * line.top_percent / 100)]
    else:
        inside = value > value.mean()
    return inside


@dataclass(frozen=True)
class _Due:
    tag_id: int
    as_of: date
    until: date


def _due(session: Session, today: date, zone: ZoneInfo, cycle_days: int) -> list[tuple[_Due, Claim]]:
    """The checks to be made."""
    newest = (
        select(tag_check.c.tag_id, func.max(tag_check.c.as_of).label("as_of")).group_by(tag_check.c.tag_id).subquery()
    )
    predictive = (
        select(tag.c.id, tag.c.source, tag.c.definition, tag.c.defined_at, newest.c.as_of)
        .outerjoin(newest, newest.c.tag_id == tag.c.id)
        .where(tag.c.kind == "predictive", tag.c.is_active)
        .order_by(tag.c.id)
    )
    found = []
    for tag_id, source, definition, defined_at, last in session.execute(predictive):
        claim = claim_of(source, definition)
        if claim is None:
            continue
        as_of = _day_to_judge(session, claim, today, cycle_days)
        start = start_of_day(as_of, zone)
        if (last is not None and as_of - last < CHECK_EVERY) or (defined_at is not None and defined_at > start):
            continue
        ever = select(customer_tag.c.id).where(customer_tag.c.tag_id == tag_id, customer_tag.c.since <= start)
        if session.scalar(ever.limit(1)) is not None:
            found.append((_Due(tag_id, as_of, today), claim))
    return found


def _day_to_judge(session: Session, claim: Claim, today: date, cycle_days: int) -> date:
    """The day whose horizon ends with `today`, by the cycle that predictions had then (the newest such run's)."""
    runs = select(run.c.as_of, run.c.cycle_days).where(run.c.state == "finished").order_by(run.c.id.desc()).limit(400)
    for made_for, cycle in session.execute(runs):
        as_of = today - timedelta(days=horizon_days(cycle)[claim.horizon])
        if made_for <= as_of:
            return as_of
    return today - timedelta(days=horizon_days(cycle_days)[claim.horizon])


def _tagged(session: Session, due: _Due, zone: ZoneInfo) -> Ints:
    """Who had the tag at the start of the day."""
    start = start_of_day(due.as_of, zone)
    had = select(customer_tag.c.customer_id).where(
        customer_tag.c.tag_id == due.tag_id,
        customer_tag.c.since <= start,
        or_(customer_tag.c.until.is_(None), customer_tag.c.until > start),
    )
    return np.fromiter(session.scalars(had), dtype=np.int64)


def _happened(connection: Any, orders: Any, as_of: date, until: date, zone: ZoneInfo) -> Happened:
    """Of everyone with a paid order before `as_of`: what they did in [as_of, until)."""
    at = orders.ordered_at
    start, end = moment(at, as_of, zone), moment(at, until, zone)
    people = orders.filter(at < start).select("customer_id").distinct()
    later = orders.filter((at >= start) & (at < end))
    did = later.group_by("customer_id").aggregate(orders=later.count(), spend=later.amount.cast("float64").sum())
    both = people.left_join(did, "customer_id").select(
        "customer_id", orders=did.orders.fill_null(0), spend=did.spend.fill_null(0.0)
    )
    rows = connection.to_pyarrow(both.order_by("customer_id"))
    return Happened(*(rows[name].to_numpy() for name in ("customer_id", "orders", "spend")))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
