"""The one gate: who of an audience may be written to now, and why the others are skipped. For every kind of send.

In this order: refused (marketing), no_line_account, blocked, outranked (a campaign of higher priority has claimed the
person within the brand's collision window), cap_day, cap_week, cap_month (the brand's frequency caps over all
campaigns), quota (too little is left for everybody, and this person is expected to bring the least). Each is one SQL
expression over the people of a slice; who is skipped is skipped for good, in this run.

What counts towards caps: a delivery that was accepted, is chosen and not sent yet, or is unknown; by the brand's
calendar day on which it went, and as of now while it hasn't. Held out, skipped and failed ones don't. A week is today
and the six days before, a month today and the 29 before. A campaign with `is_capped` off (a service message) is
neither limited nor outranked, and neither counts nor claims. Who has refused gets nothing of either kind.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, case, exists, func, literal, not_, or_, select, union_all
from sqlmodel import Session

from campaigns.money.gain import Cut
from campaigns.planning.quiet import moment_at
from campaigns.settings import CampaignSettings
from store.engine import is_sqlite, table_of
from store.models import Campaign, CampaignRun, Customer, Delivery, LineAccount, SendBatch

CAPS = {"cap_day": 1, "cap_week": 7, "cap_month": 30}  # reason -> calendar days, today among them
REASONS = ("refused", "no_line_account", "blocked", "outranked", *CAPS, "quota")

Of = Callable[[Any], Any]  # a column of customer ids -> whether they are looked at

SUM_BITS = 12  # of a packed sum: nobody is written to by 4,096 runs in a month

customer, delivery, batch = table_of(Customer), table_of(Delivery), table_of(SendBatch)


@dataclass(frozen=True)
class Limits:
    """What holds for a run: reason -> since when contacts count (aware UTC), and how many there may be; and since when
    a higher priority claims a person."""

    caps: dict[str, tuple[datetime, int]]
    claims_since: datetime
    priority: int


@dataclass(frozen=True)
class Recent:
    """A run whose deliveries may count. `until` of None: it is not over."""

    run_id: int
    way: str
    priority: int
    since: datetime
    until: datetime | None


Counting = dict[str, tuple[datetime, Sequence[Recent]]]  # reason -> since when it counts, and whose deliveries


def limits_of(campaign: Campaign, settings: CampaignSettings, *, zone: ZoneInfo, now: datetime) -> Limits | None:
    """The limits of a campaign's runs now; None for one that no cap holds for."""
    if not campaign.is_capped:
        return None
    today = now.astimezone(zone).date()
    caps = {
        reason: (moment_at(today - timedelta(days=days - 1), time(0), zone), most)
        for reason, days in CAPS.items()
        if (most := settings.caps()[reason]) is not None
    }
    return Limits(caps, now - timedelta(minutes=settings.collision_minutes), campaign.priority)


def best_account(session: Session, channel_id: int, of: Of) -> tuple[Any, Any]:
    """Of each customer the account on the channel to write to, the newest that hasn't blocked us: what `customer` is to
    be outer-joined with, and on what. It has line_user_id, is_following and profile_language."""
    account = table_of(LineAccount)
    if is_sqlite(session):  # person by person, by index: joined as a subquery, it would be scanned for every person
        other = account.alias()
        rank, others = (case((of_them.c.is_following.is_(False), 1), else_=0) for of_them in (account, other))
        is_better = or_(others < rank, and_(others == rank, other.c.id > account.c.id))
        beside = (other.c.customer_id == account.c.customer_id, other.c.channel_id == channel_id, is_better)
        mine = (account.c.customer_id == customer.c.id, account.c.channel_id == channel_id)
        return account, and_(*mine, ~exists().where(*beside))
    order = (case((account.c.is_following.is_(False), 1), else_=0), account.c.id.desc())
    ranked = (
        select(
            account.c.customer_id,
            account.c.line_user_id,
            account.c.is_following,
            account.c.profile_language,
            func.row_number().over(partition_by=account.c.customer_id, order_by=order).label("place"),
        )
        .where(account.c.channel_id == channel_id, of(account.c.customer_id))
        .subquery("best_account")
    )
    return ranked, and_(ranked.c.customer_id == customer.c.id, ranked.c.place == 1)


def reason_to_skip(customer: Any, account: Any, contacts: Any, limits: Limits | None, *, cut: Cut | None) -> Any:
    """SQL for why somebody is skipped; NULL for who may be written to. `contacts` (see `contacts_of`) may be None; so
    may `cut`, when the quota is enough."""
    reasons = [
        (customer.c.marketing_refused_at.is_not(None), "refused"),
        (account.c.line_user_id.is_(None), "no_line_account"),
        (account.c.is_following.is_(False), "blocked"),
    ]
    if contacts is not None and limits is not None:
        most = {"outranked": 1} | {reason: count for reason, (_, count) in limits.caps.items()}
        reasons += [(contacts.c[reason] >= count, reason) for reason, count in most.items() if reason in contacts.c]
    if cut is not None:
        reasons.append((not_(cut.keeps(customer.c.id)), "quota"))
    return case(*reasons)


def counting_of(session: Session, limits: Limits | None, *, but_run: int | None) -> Counting:
    """What counts against `limits` now: the recent runs, without `but_run`, the run itself, for each limit that anybody
    can have come to. To hold when several runs are frozen at once, the caller holds store/locks.DELIVERIES."""
    return {} if limits is None else _counting(_recent(session, limits, but_run), limits)


def contacts_of(session: Session, counting: Counting, of: Of, *, now: datetime) -> Any:
    """Subquery: of each customer what counts: customer_id, `outranked` and a sum for each cap, those left out that
    `counting` has not; None when it has none. Over the deliveries of its runs, which lie by run and customer: no scan
    of them all."""
    if not counting:
        return None
    runs = {run.run_id: run for _, runs in counting.values() for run in runs}.values()
    names = list(counting)
    if is_sqlite(session):
        return _looked_up([_counted([run], counting, now, by_batch=run.way != "push") for run in runs], names, of)
    pushes = [run for run in runs if run.way == "push"]
    others = [run for run in runs if run.way != "push"]  # whose state is their batch's
    parts = [_counted(part, counting, now, by_batch=part is others) for part in (pushes, others) if part]
    rows = union_all(
        *(
            part.source.add_columns(delivery.c.customer_id, *part.flags).where(of(delivery.c.customer_id))
            for part in parts
        )
    ).subquery()
    sums = [func.sum(rows.c[name]).label(name) for name in names]
    return select(rows.c.customer_id, *sums).group_by(rows.c.customer_id).subquery("contacts")


def _looked_up(parts: Sequence["_Counted"], names: Sequence[str], of: Of) -> Any:
    """The subquery for SQLite, which sorts in order to group: there each person's delivery of each run, a part, is
    looked up by the key, a fifth of the time. The flags are packed into one number, for a lookup each would be four."""
    packed: Any = literal(0)
    for part in parts:
        flags = sum((flag * 2 ** (SUM_BITS * place) for place, flag in enumerate(part.flags)), literal(0))
        mine = part.source.add_columns(flags).where(delivery.c.customer_id == customer.c.id)
        packed = packed + func.coalesce(mine.correlate(customer).scalar_subquery(), 0)
    # Materialized, or SQLite would look again wherever a sum is named.
    looks = (
        select(customer.c.id, packed.label("packed")).where(of(customer.c.id)).cte("looks").prefix_with("MATERIALIZED")
    )
    sums = [
        looks.c.packed.op(">>")(SUM_BITS * place).op("&")(2**SUM_BITS - 1).label(name)
        for place, name in enumerate(names)
    ]
    return select(looks.c.id.label("customer_id"), *sums).subquery("contacts")


def _recent(session: Session, limits: Limits, but_run: int | None) -> list[Recent]:
    run, campaign = table_of(CampaignRun), table_of(Campaign)
    oldest = min((since for since, _ in limits.caps.values()), default=limits.claims_since)
    rows = session.execute(
        select(run.c.id, run.c.way, campaign.c.priority, run.c.fired_at, run.c.finished_at)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .where(
            campaign.c.is_capped,
            run.c.frozen_up_to > 0,
            run.c.state != "failed",
            run.c.id != (but_run or 0),
            or_(run.c.finished_at.is_(None), run.c.finished_at >= min(oldest, limits.claims_since)),
        )
        .order_by(run.c.id)
    )
    runs = [Recent(*row) for row in rows]
    return [run for run in runs if limits.caps or run.priority > limits.priority]


def _counting(runs: Sequence[Recent], limits: Limits) -> Counting:
    """What can skip anybody at all: a run writes to a person once at most, so a cap that is above the number of the
    runs that count towards it has nobody to look up for."""
    higher = [run for run in runs if run.priority > limits.priority]
    found: Counting = {}
    asked = [("outranked", limits.claims_since, 1, higher)]
    asked += [(reason, since, most, list(runs)) for reason, (since, most) in limits.caps.items()]
    for reason, since, most, those in asked:
        late = [run for run in those if run.until is None or run.until >= since]
        if len(late) >= max(most, 1):
            found[reason] = (since, late)
    return found


@dataclass(frozen=True)
class _Counted:
    """The deliveries of some runs that count: a SELECT of no columns yet, and 0 or 1 for each limit."""

    source: Any
    flags: list[Any]


def _counted(runs: Sequence[Recent], counting: Counting, now: datetime, *, by_batch: bool) -> _Counted:
    over = [(run.run_id, run.until) for run in runs if run.until is not None]
    moments = [delivery.c.sent_at, *([batch.c.sent_at] if by_batch else [])]
    if over:  # unknown, or of a narrowcast: no later than the run was over
        kind = delivery.c.sent_at.type
        moments.append(case({run_id: literal(until, kind) for run_id, until in over}, value=delivery.c.run_id))
    moment = func.coalesce(*moments, literal(now, delivery.c.sent_at.type))
    flags = [
        _falls_in([run for run in those if run in runs], since, moment).label(reason)
        for reason, (since, those) in counting.items()
    ]
    query = select().select_from(delivery).where(delivery.c.run_id.in_([run.run_id for run in runs]))
    if not by_batch:
        return _Counted(query.where(delivery.c.state.in_(("chosen", "accepted", "unknown"))), flags)
    same = and_(batch.c.run_id == delivery.c.run_id, batch.c.batch_number == delivery.c.batch_number)
    is_open = and_(delivery.c.state == "chosen", or_(batch.c.state.is_(None), batch.c.state != "failed"))
    counts = or_(delivery.c.state.in_(("accepted", "unknown")), is_open)
    return _Counted(query.select_from(delivery.outerjoin(batch, same)).where(counts), flags)


def _falls_in(runs: Sequence[Recent], since: datetime, moment: Any) -> Any:
    """SQL, 1 or 0: whether a delivery of `runs` went at `since` or later. Mostly the run alone tells."""
    wholly = [run.run_id for run in runs if run.since >= since]
    partly = [run.run_id for run in runs if run.since < since and (run.until is None or run.until >= since)]
    tests = [(delivery.c.run_id.in_(wholly), 1)] if wholly else []
    if partly:
        tests.append((and_(delivery.c.run_id.in_(partly), moment >= since), 1))
    return case(*tests, else_=0) if tests else literal(0)
