"""What all campaigns together bring: those who may be sent to against those whom the brand holds out of everything.

In each period (`global_holdout_days`) other people are held out, by the stable hash alone. So nobody is chosen by what
messages did to them: everybody counts who could be written to when the comparison began, whether any campaign meant
them or not, and whether they have blocked or refused since. The figure is per person of all these.
"""

from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, Float, and_, case, cast, exists, func, or_, select, type_coerce
from sqlmodel import Session

from campaigns.experiments.assignment import is_held_out_of_all, period_of
from campaigns.money.gain import SCALE
from campaigns.planning.quiet import moment_at
from campaigns.results.lift import Arm, Lift, conversion_lift, revenue_lift
from campaigns.settings import CHANGED, CampaignSettings, read_settings
from store.engine import table_of
from store.models import AuditEntry, Customer, LineAccount, SalesOrder
from store.types import from_ten_thousandths

PERIODS_SHOWN = 4
HOLDS_OUT = ("global_holdout_percent", "global_holdout_days")  # settings whose change begins a new comparison


@dataclass(frozen=True)
class Together:
    """One period. `since` and `until` (aware UTC, exclusive): orders of this time count; `is_over`: the period is.
    `buyers` and `revenue`: what campaigns add per person, None where too few bought to tell."""

    since: datetime
    until: datetime
    is_over: bool
    percent: Decimal
    sent_to: Arm
    held_out: Arm
    buyers: Lift | None
    revenue: Lift | None

    @property
    def added(self) -> Lift | None:
        """Revenue that campaigns added in all, over those who could be sent to."""
        if self.revenue is None:
            return None
        people = self.sent_to.people
        return Lift(people * self.revenue.difference, people * self.revenue.low, people * self.revenue.high)

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs; money as text."""
        plain = asdict(self)
        for side in ("sent_to", "held_out"):
            plain[side]["revenue"] = str(plain[side]["revenue"])
        moments = {"since": self.since.isoformat(), "until": self.until.isoformat(), "percent": str(self.percent)}
        return {**plain, **moments, "added": asdict(self.added) if self.added else None}


def all_campaigns(session: Session, *, zone: ZoneInfo, now: datetime, periods: int = PERIODS_SHOWN) -> list[Together]:
    """The comparison of this period and of those before, the newest first, so many at most; only of the time since the
    brand chose this holdout. Empty without a global holdout. Reads only; it looks at everybody for each period."""
    settings = read_settings(session)
    chosen_at = _chosen_at(session)
    if not settings.global_holdout_percent or chosen_at is None:
        return []
    today, days, found = now.astimezone(zone).date(), settings.global_holdout_days, []
    for number in range(period_of(today, days), period_of(today, days) - periods, -1):
        first = date.fromordinal(number * days)
        begins, ends = (moment_at(day, time(0), zone) for day in (first, first + timedelta(days=days)))
        if ends <= chosen_at:
            break
        found.append(_compared(session, number, settings, max(begins, chosen_at), min(ends, now), is_over=ends <= now))
    return found


def _chosen_at(session: Session) -> datetime | None:
    """When the holdout became what it is; None: never."""
    audit = table_of(AuditEntry)
    changes = select(audit.c.at, audit.c.detail).where(audit.c.action == CHANGED).order_by(audit.c.id.desc())
    for row in session.execute(changes):
        if not set(HOLDS_OUT).isdisjoint(row.detail["changed"]):
            found: datetime = row.at
            return found
    return None


def _compared(
    session: Session, period: int, settings: CampaignSettings, since: datetime, until: datetime, *, is_over: bool
) -> Together:
    percent, customer = settings.global_holdout_percent, table_of(Customer)
    side = case((is_held_out_of_all(customer.c.id, percent, period), 1), else_=0).label("side")
    could_be = _could_be_written_to(since)
    counted = session.execute(select(side, func.count()).where(could_be).group_by(side)).all()
    people: dict[int, int] = dict(counted)
    bought = _bought(since, until)
    paid = cast(bought.c.paid, Float) / SCALE
    sums = (func.count(), func.sum(bought.c.orders), func.sum(bought.c.paid), func.sum(paid * paid))
    # From the few who bought to the person, each by their id: a join of everybody would take several times as long.
    of_buyers = select(side, *sums).select_from(bought.join(customer, customer.c.id == bought.c.customer_id))
    rows = session.execute(of_buyers.where(could_be).group_by(side)).all()
    arms = {0: Arm(people.get(0, 0)), 1: Arm(people.get(1, 0))}
    for place, buyers, orders, raw, squares in rows:
        arms[place] += Arm(0, buyers, int(orders), from_ten_thousandths(int(raw)), float(squares))
    sent_to, held_out = arms[0], arms[1]
    lifts = conversion_lift(sent_to, held_out), revenue_lift(sent_to, held_out)
    return Together(since, until, is_over, percent, sent_to, held_out, *lifts)


def _bought(since: datetime, until: datetime) -> Any:
    """Subquery: customer_id, orders and what was paid (ten-thousandths) of everybody with an order of that time."""
    order = table_of(SalesOrder)
    counts = (order.c.status == "paid", order.c.ordered_at >= since, order.c.ordered_at < until)
    raw = type_coerce(order.c.total, BigInteger)
    sums = (func.count().label("orders"), func.sum(raw).label("paid"))
    who = (order.c.customer_id + 0).label("customer_id")  # or SQLite goes through all orders by their customers' index
    return select(who, *sums).where(*counts).group_by(who).subquery()


def _could_be_written_to(since: datetime) -> Any:
    """SQL on `customer`: known by then, with an account that had not blocked us, and not refusing; by what was so when
    the comparison began, for what came after may be the messages' doing."""
    customer, account = table_of(Customer), table_of(LineAccount)
    followed = or_(account.c.is_following.is_not(False), account.c.follow_changed_ms >= int(since.timestamp() * 1000))
    return and_(
        customer.c.created_at < since,
        or_(customer.c.marketing_refused_at.is_(None), customer.c.marketing_refused_at >= since),
        exists().where(account.c.customer_id == customer.c.id, followed),
    )
