"""What all campaigns sent and brought by day: of every run, however many fired, by kept sums that the database adds up.

What is being sent at this moment comes a little later, as in `accepted_since`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, and_, case, func, literal, select, type_coerce
from sqlmodel import Session

from campaigns.planning.quiet import moment_at
from campaigns.results.sums import Sums
from campaigns.results.tally import settled_so_far
from store.engine import table_of
from store.models import Campaign, CampaignRun, OrderCredit, RunTally
from store.types import from_ten_thousandths

run, campaign, tally = table_of(CampaignRun), table_of(Campaign), table_of(RunTally)
credit = table_of(OrderCredit)


@dataclass(frozen=True)
class Day:
    """Of the runs that fired on one day: people reached (once in each run), channel id -> messages that LINE counts in
    the quota (replies are free), and the orders credited to a tap."""

    reached: int
    messages: dict[int, int]
    orders: int
    revenue: Decimal


def sent_by_day(session: Session, first: date, last: date, zone: ZoneInfo) -> dict[date, Day]:
    """Each day from `first` to `last` (days of `zone`, both in it) -> what the runs that fired on it brought so far."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    starts = [moment_at(day, time(0), zone) for day in (*days, last + timedelta(days=1))]
    reached, messages = [0] * len(days), [dict[int, int]() for _ in days]
    channels = {row.id: row.channel_id for row in session.execute(select(campaign.c.id, campaign.c.channel_id))}
    for place, campaign_id, people, counting in _accepted(session, starts):
        reached[place] += people
        channel_id = channels[campaign_id]
        messages[place][channel_id] = messages[place].get(channel_id, 0) + counting
    credited = _credited(session, starts)
    return {
        day: Day(reached[place], messages[place], credited[place][0], from_ten_thousandths(credited[place][1]))
        for place, day in enumerate(days)
    }


def _fired(starts: Sequence[datetime]) -> Any:
    return and_(run.c.fired_at >= starts[0], run.c.fired_at < starts[-1])


def _day_number(starts: Sequence[datetime], low: int, high: int) -> Any:
    """SQL for the place in `starts` of the day on which a run fired: five questions for a month, not thirty."""
    if high - low == 1:
        return literal(low)
    middle = (low + high) // 2
    is_earlier = run.c.fired_at < starts[middle]
    return case((is_earlier, _day_number(starts, low, middle)), else_=_day_number(starts, middle, high))


def _accepted(session: Session, starts: Sequence[datetime]) -> list[tuple[int, int, int, int]]:
    """(Day, campaign, people reached, those of them whose message counts), once for runs that are over and once for
    the batches that have settled of those that aren't."""
    day = _day_number(starts, 0, len(starts) - 1).label("day")
    key = (day, run.c.campaign_id)
    over = select(*key, func.sum(run.c.reached_count), func.sum(run.c.message_count))
    over = over.where(run.c.reached_count.is_not(None))
    counting = func.sum(case((tally.c.by_reply, 0), else_=tally.c.people))
    settled = settled_so_far(*key, func.sum(tally.c.people), counting)
    parts = (part.where(_fired(starts)).group_by(*key) for part in (over, settled))
    found = [row for part in parts for row in session.execute(part)]
    return [(row[0], row[1], int(row[2]), int(row[3])) for row in found]


def _credited(session: Session, starts: Sequence[datetime]) -> list[tuple[int, int]]:
    """Of each day: orders credited to a tap, and their money in ten-thousandths; of large runs by their kept sums."""
    day = _day_number(starts, 0, len(starts) - 1).label("day")
    found = [(0, 0)] * (len(starts) - 1)
    kept = select(run.c.id, day, run.c.response_sums).where(run.c.response_sums.is_not(None), _fired(starts))
    large = session.execute(kept).all()
    rows = [(row.day, one.tap_orders, one.tap_revenue) for row in large for one in (Sums(*c) for c in row[2])]
    paid = func.sum(type_coerce(credit.c.amount, BigInteger))
    small = select(day, func.count(), paid).select_from(run.join(credit, credit.c.run_id == run.c.id))
    small = small.where(credit.c.basis == "tap", _fired(starts), run.c.id.not_in([row.id for row in large]))
    rows += [(row[0], row[1], int(row[2])) for row in session.execute(small.group_by(day))]
    for place, orders, money in rows:
        found[place] = (found[place][0] + orders, found[place][1] + money)
    return found
