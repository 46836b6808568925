"""The one gate: who of an audience may be written to now, and why the others are skipped. For every kind of send.

In this order: refused (marketing), not_agreed (where the brand needs recorded consent), no_line_account, blocked,
outranked (a campaign of higher priority has claimed the person within the brand's collision window), cap_day, cap_week,
cap_month (the brand's frequency caps over all campaigns), reserved (a campaign of higher priority that is planned needs
the place: ahead.py), quota (too little is left for everybody, and this person is expected to bring the least). Each is
one SQL expression over the people of a slice; who is skipped is skipped for good, in this run.

What counts towards caps: a delivery that was accepted, is chosen and not sent yet, or is unknown; by the brand's
calendar day on which it went, and as of now while it hasn't. Held out, skipped and failed ones don't. A week is today
and the six days before, a month today and the 29 before. A campaign with `is_capped` off (a service message) is
neither limited nor outranked, and neither counts nor claims. Who has refused gets nothing of either kind.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Boolean,
    Column,
    MetaData,
    Table,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.schema import CreateTable
from sqlmodel import Session

from campaigns.audience.ahead import Planned
from campaigns.money.gain import Cut
from campaigns.planning.quiet import moment_at
from campaigns.settings import CAP_DAYS, CampaignSettings
from store.engine import is_sqlite, table_of
from store.models import Campaign, CampaignRun, Customer, Delivery, LineAccount, SendBatch
from store.types import BigId, UTCDateTime

REASONS = ("refused", "not_agreed", "no_line_account", "blocked", "outranked", *CAP_DAYS, "reserved", "quota")

Of = Callable[[Any], Any]  # a column of customer ids -> whether they are looked at

SUM_BITS = 15  # of a packed sum: nobody is written to by 32,768 runs in a month, and
SUMS_PACKED = 4  # fit into 63 bits

customer, delivery, batch = table_of(Customer), table_of(Delivery), table_of(SendBatch)
run, campaign = table_of(CampaignRun), table_of(Campaign)

_recent_run = Table(  # SQLite: of the connection, in memory, takes no lock
    "recent_run",
    MetaData(),
    Column("run_id", BigId, primary_key=True),
    Column("until", UTCDateTime),
    Column("is_higher", Boolean),
    Column("frozen_up_to", BigId),
    prefixes=["TEMPORARY"],
)


@dataclass(frozen=True)
class Kept:
    """Places of a cap that are kept for sendings up to one day to come: `planned`, of which those of `day` make the
    cap hold on that day; contacts count from `since` (aware UTC) on, and there may be `most`."""

    name: str  # of the sum of contacts
    since: datetime
    most: int
    day: date
    planned: tuple[Planned, ...]


@dataclass(frozen=True)
class Limits:
    """What holds for a run of marketing: reason -> since when contacts count (aware UTC), and how many there may be;
    since when a higher priority claims a person; whether the brand asks for recorded consent; and what is kept for
    higher priorities to come, of the caps and within the collision window."""

    caps: dict[str, tuple[datetime, int]]
    claims_since: datetime
    priority: int
    needs_opt_in: bool = False
    kept: tuple[Kept, ...] = ()
    soon: tuple[Planned, ...] = ()

    def counted(self) -> dict[str, tuple[datetime, int]]:
        """What contacts are counted for: name -> since when, and from how many on they can matter."""
        kept = {one.name: (one.since, one.most - len(one.planned)) for one in self.kept}
        return {"outranked": (self.claims_since, 1)} | self.caps | kept


Recent = tuple[Any, ...]  # see `recent_of`
Counting = tuple[str, ...]  # the limits that anybody can have come to: "outranked" and reasons of caps


def limits_of(
    campaign: Campaign,
    settings: CampaignSettings,
    *,
    zone: ZoneInfo,
    now: datetime,
    ahead: Sequence[Planned] = (),
) -> Limits | None:
    """The limits of a campaign's runs now; None for a service message, which none holds for. `ahead`: what is planned
    with a higher priority, by day."""
    if not campaign.is_capped:
        return None
    today = now.astimezone(zone).date()
    caps = {
        reason: (_start(today, days, zone), most)
        for reason, days in CAP_DAYS.items()
        if (most := settings.caps()[reason]) is not None
    }
    kept = [
        Kept(f"{reason} {day}", _start(day, days, zone), caps[reason][1], day, tuple(p for p in ahead if p.day <= day))
        for reason, days in CAP_DAYS.items()
        if reason in caps
        for day in sorted({one.day for one in ahead if one.day < today + timedelta(days=days)})
    ]
    since = now - timedelta(minutes=settings.collision_minutes)
    soon = tuple(one for one in ahead if one.is_soon)
    return Limits(caps, since, campaign.priority, settings.needs_opt_in, tuple(kept), soon)


def _start(day: date, days: int, zone: ZoneInfo) -> datetime:
    """When the `days` calendar days begin of which `day` is the last."""
    return moment_at(day - timedelta(days=days - 1), time(0), zone)


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
    reasons = [(customer.c.marketing_refused_at.is_not(None), "refused")]
    if limits is not None and limits.needs_opt_in:
        reasons.append((customer.c.marketing_agreed_at.is_(None), "not_agreed"))
    reasons += [
        (account.c.line_user_id.is_(None), "no_line_account"),
        (account.c.is_following.is_(False), "blocked"),
    ]
    if contacts is not None and limits is not None:
        most = {"outranked": 1} | {reason: count for reason, (_, count) in limits.caps.items()}
        reasons += [(contacts.c[reason] >= count, reason) for reason, count in most.items() if reason in contacts.c]
    if limits is not None and (limits.kept or limits.soon):
        reasons.append((_is_kept(contacts, limits), "reserved"))
    if cut is not None:
        reasons.append((not_(cut.keeps(customer.c.id)), "quota"))
    return case(*reasons)


def _is_kept(contacts: Any, limits: Limits) -> Any:
    """SQL on `customer`: whether a message now would take the place of one that is planned with a higher priority."""
    found = [one.is_for for one in limits.soon]
    for kept in limits.kept:
        is_in = or_(*(one.is_for for one in kept.planned if one.day == kept.day))
        others: Any = sum((case((one.is_for, 1), else_=0) for one in kept.planned), literal(0))
        if contacts is not None and kept.name in contacts.c:
            others = others + func.coalesce(contacts.c[kept.name], 0)
        found.append(and_(is_in, others >= kept.most))
    return or_(*found)


def counting_of(session: Session, limits: Limits | None, *, but_run: int | None) -> Counting:
    """The limits that anybody can have come to now, by the recent runs without `but_run`, the run itself: a run writes
    to a person once at most, so a cap above the number of the runs that count towards it has nobody to look up for. To
    hold when several runs are frozen at once, the caller holds store/locks.DELIVERIES.

    On SQLite this puts the recent runs down for `contacts_of`, which must be used in the same transaction."""
    if limits is None:
        return ()
    if is_sqlite(session):
        session.execute(CreateTable(_recent_run, if_not_exists=True))
        session.execute(delete(_recent_run))
        chosen = _recent(limits, but_run)
        session.execute(insert(_recent_run).from_select(_recent_run.c.keys(), chosen, include_defaults=False))
    recent = _recent_runs(session, limits, but_run)
    asked = limits.counted()
    counts = {reason: func.sum(_may_count(recent, reason, since)) for reason, (since, _) in asked.items()}
    row = session.execute(select(*(count.label(reason) for reason, count in counts.items()))).one()._mapping
    return tuple(reason for reason, (_, most) in asked.items() if (row[reason] or 0) >= max(most, 1))


def recent_of(session: Session, limits: Limits | None, *, but_run: int | None) -> Recent:
    """What tells whether the runs that count are still the same and have claimed nobody since: sums that any change of
    theirs changes, for numbers of runs and `frozen_up_to` only grow."""
    if limits is None:
        return ()
    recent = _recent(limits, but_run).subquery()
    higher = func.sum(case((recent.c.is_higher, 1), else_=0))
    sums = (func.count(recent.c.run_id), func.sum(recent.c.run_id), func.sum(recent.c.frozen_up_to), higher)
    return tuple(session.execute(select(*sums, func.count(recent.c.until))).one())


def contacts_of(
    session: Session, counting: Counting, limits: Limits | None, of: Of, *, but_run: int | None, now: datetime
) -> Any:
    """Subquery: of each customer what counts: customer_id, and the sum for each of `counting`; None when it is empty.
    However many runs are recent (automations make thousands a month), no older delivery is read."""
    if limits is None or not counting:
        return None
    recent = _recent_runs(session, limits, but_run)
    rows, moment = _counted(recent, now)
    flags = [_counts(recent, moment, reason, limits.counted()[reason][0]) for reason in counting]
    if is_sqlite(session):
        return _looked_up(rows, recent, dict(zip(counting, flags, strict=True)), of)
    sums = [func.sum(flag).label(reason) for reason, flag in zip(counting, flags, strict=True)]
    # As an array, so that few runs are looked up by run and customer, and thousands no worse.
    ids = func.array(select(recent.c.run_id).scalar_subquery())
    theirs = rows.where(of(delivery.c.customer_id), delivery.c.run_id == func.any(ids))
    return theirs.add_columns(delivery.c.customer_id, *sums).group_by(delivery.c.customer_id).subquery("contacts")


def _looked_up(rows: Any, recent: Any, flags: dict[str, Any], of: Of) -> Any:
    """The subquery for SQLite, which sorts in order to group: there each person's deliveries are looked up, from the
    oldest recent run on. The flags are packed, mostly into one number, for a lookup each would be four."""
    oldest = select(func.min(recent.c.run_id)).scalar_subquery()
    mine = rows.where(delivery.c.customer_id == customer.c.id, delivery.c.run_id >= oldest)
    packs: list[Any] = []
    for first in range(0, len(flags), SUMS_PACKED):
        some = list(flags.values())[first : first + SUMS_PACKED]
        packed = sum((flag * 2 ** (SUM_BITS * place) for place, flag in enumerate(some)), literal(0))
        looked_up = mine.add_columns(func.sum(packed)).correlate(customer).scalar_subquery()
        packs.append(func.coalesce(looked_up, 0).label(f"packed{len(packs)}"))
    # Materialized, or SQLite would look again wherever a sum is named.
    looks = select(customer.c.id, *packs).where(of(customer.c.id)).cte("looks").prefix_with("MATERIALIZED")
    sums = []
    for number, reason in enumerate(flags):
        pack, place = divmod(number, SUMS_PACKED)
        sums.append(looks.c[f"packed{pack}"].op(">>")(SUM_BITS * place).op("&")(2**SUM_BITS - 1).label(reason))
    return select(looks.c.id.label("customer_id"), *sums).subquery("contacts")


def _recent_runs(session: Session, limits: Limits, but_run: int | None) -> Any:
    """The runs whose deliveries may count: run_id, `until` when they went at the latest (NULL: it is not over), and
    whether its priority is higher."""
    return _recent_run if is_sqlite(session) else _recent(limits, but_run).subquery("recent_run")


def _recent(limits: Limits, but_run: int | None) -> Any:
    since = min([limits.claims_since, *(since for since, _ in limits.caps.values())])
    is_higher = campaign.c.priority > limits.priority
    return (
        select(
            run.c.id.label("run_id"), run.c.finished_at.label("until"), is_higher.label("is_higher"), run.c.frozen_up_to
        )
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .where(
            campaign.c.is_capped,
            run.c.frozen_up_to > 0,
            run.c.state != "failed",
            run.c.id != (but_run or 0),
            or_(run.c.finished_at.is_(None), run.c.finished_at >= since),
            true() if limits.caps else is_higher,
        )
    )


def _may_count(recent: Any, reason: str, since: datetime) -> Any:
    """SQL, 1 or 0: whether deliveries of a recent run can count towards a limit."""
    is_late = or_(recent.c.until.is_(None), recent.c.until >= since)
    return case((and_(is_late, recent.c.is_higher if reason == "outranked" else true()), 1), else_=0)


def _counts(recent: Any, moment: Any, reason: str, since: datetime) -> Any:
    """SQL, 1 or 0: whether a delivery that went at `moment` counts towards a limit."""
    return case((moment >= since, _may_count(recent, reason, since)), else_=0)


def _counted(recent: Any, now: datetime) -> tuple[Any, Any]:
    """The deliveries of recent runs that count, a SELECT of no columns yet, and when each went: where that isn't known,
    or it is of a narrowcast, no later than its run was over. What is open is as its batch is: that of a multicast tells
    what became of all in it."""
    # In the key, not beside it: PostgreSQL, which knows little of the newest runs, may look batches up row by row, and
    # did so for everybody whose state was settled (a third of a choice). For NULL it looks nothing up.
    number = case((delivery.c.state == "chosen", delivery.c.batch_number))
    its_batch = and_(batch.c.run_id == delivery.c.run_id, batch.c.batch_number == number)
    is_open = and_(delivery.c.state == "chosen", or_(batch.c.state.is_(None), batch.c.state != "failed"))
    joined = delivery.join(recent, recent.c.run_id == delivery.c.run_id).outerjoin(batch, its_batch)
    rows = select().select_from(joined).where(or_(delivery.c.state.in_(("accepted", "unknown")), is_open))
    moment = func.coalesce(delivery.c.sent_at, batch.c.sent_at, recent.c.until, literal(now, UTCDateTime()))
    return rows, moment
