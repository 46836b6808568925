"""Who has to enter a campaign because of its trigger: reads only, set by set, each event with a key of its own.

Reading twice is the same as reading once, since the key stands in the enrolment (a unique constraint); so a feed reads
a while back, for what another transaction committed late or a site sent late, and leaves out what is enrolled already.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select, String, and_, cast, exists, extract, func, literal, or_, select
from sqlmodel import Session

from campaigns.planning.quiet import moment_at
from campaigns.planning.triggers import (
    Birthday,
    Bought,
    CartLeft,
    Clicked,
    CouponEnds,
    Moved,
    TagPut,
    Trigger,
    clock_time,
    read_trigger,
)
from store.engine import table_of
from store.models import (
    BehaviourEvent,
    Campaign,
    Click,
    Customer,
    CustomerTag,
    Enrolment,
    SalesOrder,
    SegmentChange,
    Tag,
    TrackedLink,
)

COMMITTED_WITHIN = timedelta(hours=1)  # of a row's own time, whoever writes it
TOO_LATE = timedelta(hours=24)  # a moment longer ago enrols nobody: its message is no longer what the marketer meant
LIMIT = 2_000  # entries of one answer

customer, enrolment, event = table_of(Customer), table_of(Enrolment), table_of(BehaviourEvent)
order, click, link = table_of(SalesOrder), table_of(Click), table_of(TrackedLink)
change, tag, customer_tag = table_of(SegmentChange), table_of(Tag), table_of(CustomerTag)


@dataclass(frozen=True)
class Entry:
    """Somebody who has to enter. `key`: what for, once per person and campaign; `moment` when it happened."""

    customer_id: int
    key: str
    moment: datetime


@dataclass(frozen=True)
class Answer:
    """What a feed said. `after_id`, `read_to`: where to read on when all `entries` are enrolled, whether that
    `has_moved`; `is_all`: none was left for lack of room."""

    entries: list[Entry]
    after_id: int
    read_to: datetime | None
    is_all: bool
    has_moved: bool


def entries_of(session: Session, campaign: Campaign, *, zone: ZoneInfo, now: datetime) -> Answer:
    """The next entries (LIMIT at most) of a campaign with a trigger that is scheduled. Reads only."""
    trigger = read_trigger(campaign.trigger or {})
    assert campaign.trigger_since is not None
    assert campaign.id is not None
    since = max(campaign.trigger_since, now - TOO_LATE)
    if isinstance(trigger, Moved | TagPut | Clicked):
        return _by_id(session, campaign, trigger, since)
    found: list[Entry] = []
    has_asked = False
    for query, entry in _moments(trigger, campaign, since, zone, now):
        has_asked = True
        found += [entry(row) for row in session.execute(query.limit(LIMIT + 1 - len(found)))]
        if len(found) > LIMIT:
            return Answer(found[:LIMIT], campaign.trigger_after_id, campaign.trigger_read_to, False, False)
    has_moved = has_asked and isinstance(trigger, Birthday | CouponEnds)
    read_to = now if has_moved else campaign.trigger_read_to
    return Answer(found, campaign.trigger_after_id, read_to, True, has_moved)


def newest_id(session: Session, trigger: Trigger) -> int:
    """From which id on a feed begins that wants only what comes from now on; 0 for one without ids."""
    table = {Moved: change, TagPut: customer_tag, Clicked: click}.get(type(trigger))
    return 0 if table is None else session.scalar(select(func.max(table.c.id))) or 0


# --- what has ids ----------------------------------------------------------------------------------------------


def _by_id(session: Session, campaign: Campaign, trigger: Moved | TagPut | Clicked, since: datetime) -> Answer:
    table, at, rows = _feed(campaign, trigger, since)
    found = session.execute(rows.where(table.c.id > campaign.trigger_after_id).order_by(table.c.id).limit(LIMIT)).all()
    entries = [Entry(row.customer_id, row.key, row.at) for row in found]
    after_id = campaign.trigger_after_id
    if len(found) == LIMIT:  # more than can be enrolled at once: what is enrolled now is left out next time
        return Answer(entries, after_id, campaign.trigger_read_to, False, False)
    newest = session.scalar(select(func.max(at)).where(table.c.id > after_id))
    if newest is not None:
        # Changes of segments commit in the order of their ids; of other rows one with a lower id may still come.
        behind = timedelta(0) if table is change else COMMITTED_WITHIN
        settled = (table.c.id > after_id, at <= newest - behind)
        after_id = session.scalar(select(func.max(table.c.id)).where(*settled)) or after_id
    has_moved = after_id != campaign.trigger_after_id
    return Answer(entries, after_id, campaign.trigger_read_to, True, has_moved)


def _feed(campaign: Campaign, trigger: Moved | TagPut | Clicked, since: datetime) -> tuple[Any, Any, Select[Any]]:
    """The table read on by its id, the column of its time, and the rows of `since` or later that have to enter and
    haven't."""
    if isinstance(trigger, Moved):
        table, at = change, change.c.changed_at
        key = _key("segment_change:", change.c.id)
        old, new = change.c[f"old_{trigger.model}"], change.c[trigger.model]
        wanted = [old.is_distinct_from(new)]
        wanted += [column.in_(names) for column, names in ((old, trigger.from_), (new, trigger.to)) if names]
        # From one of several to another of them is no leaving, and no entering.
        if trigger.from_ and not trigger.to:
            wanted.append(or_(new.is_(None), new.not_in(trigger.from_)))
        if trigger.to and not trigger.from_:
            wanted.append(or_(old.is_(None), old.not_in(trigger.to)))
        wanted.append(~change.c.is_relabelled)  # whom lines drawn anew put elsewhere did nothing
        rows = select(change.c.id, change.c.customer_id, key.label("key"), at.label("at")).where(*wanted)
    elif isinstance(trigger, TagPut):
        table, at = customer_tag, customer_tag.c.since
        key = _key("customer_tag:", customer_tag.c.id)
        named = select(tag.c.id).where(tag.c.name == trigger.name).scalar_subquery()
        rows = select(customer_tag.c.id, customer_tag.c.customer_id, key.label("key"), at.label("at"))
        rows = rows.where(customer_tag.c.tag_id == named)
    else:
        table, at = click, click.c.clicked_at
        rows = _clicks(campaign, trigger)
        key = rows.selected_columns.key
    # Of a tap who tapped: a multicast's link is nobody's own. Asked of another, it would be read for ever.
    who = rows.selected_columns.customer_id
    return table, at, rows.where(at >= since, ~_is_enrolled(campaign, who, key))


def _clicks(campaign: Campaign, trigger: Clicked) -> Select[Any]:
    """Taps of people, but not on the campaign's own links: its message would lead to the next one for ever."""
    who = func.coalesce(click.c.tapped_by_id, click.c.customer_id)
    key = _key("click:", click.c.link_id).op("||")(_key(":", func.coalesce(click.c.run_id, 0)))
    rows = select(click.c.id, who.label("customer_id"), key.label("key"), click.c.clicked_at.label("at"))
    rows = rows.join(link, link.c.id == click.c.link_id).where(click.c.kind == "person", who.is_not(None))
    rows = rows.where(or_(link.c.campaign_id.is_(None), link.c.campaign_id != campaign.id))
    if trigger.topics:
        rows = rows.where(link.c.topic.in_(trigger.topics))
    if trigger.campaigns:
        rows = rows.where(link.c.campaign_id.in_(trigger.campaigns))
    return rows


# --- what is a moment ------------------------------------------------------------------------------------------

Reader = Any  # a row -> Entry


def _moments(
    trigger: Trigger, campaign: Campaign, since: datetime, zone: ZoneInfo, now: datetime
) -> Iterator[tuple[Select[Any], Reader]]:
    """Queries of people whose moment lies in (since, now], and how a row of each becomes an Entry."""
    if isinstance(trigger, CartLeft):
        waits = timedelta(hours=trigger.hours)
        yield _carts(campaign, since - waits, now - waits), lambda row: Entry(row.customer_id, row.key, row.at + waits)
    elif isinstance(trigger, Bought):
        waits = timedelta(days=trigger.days)
        for day in _days_between(since - waits, now - waits, zone):
            start, end = max(moment_at(day, _MIDNIGHT, zone), since - waits), moment_at(day + _A_DAY, _MIDNIGHT, zone)
            key = f"purchase:{day}"
            rows = _purchases(campaign, key, start, min(end, now - waits + _INSTANT))
            yield rows, lambda row, key=key, waits=waits: Entry(row.customer_id, key, row.at + waits)
    elif isinstance(trigger, Birthday | CouponEnds):
        # Each day's people are found once; who is imported later on that day is too late.
        read_to = max(since, campaign.trigger_read_to or since)
        for day in _days_between(read_to, now, zone):
            moment = moment_at(day, clock_time(trigger), zone)
            if read_to < moment <= now:
                coming = day + timedelta(days=trigger.days_before)
                if isinstance(trigger, Birthday):
                    key, fits = f"birthday:{coming.year}", _has_birthday(coming)
                else:
                    key, fits = f"coupon:{coming}", _day_of(trigger.attribute) == coming.isoformat()
                rows = select(customer.c.id.label("customer_id")).where(
                    fits, ~_is_enrolled(campaign, customer.c.id, literal(key))
                )
                yield (
                    rows.order_by(customer.c.id),
                    lambda row, key=key, moment=moment: Entry(row.customer_id, key, moment),
                )


_A_DAY, _INSTANT = timedelta(days=1), timedelta(microseconds=1)
_MIDNIGHT = datetime.min.time()


def _days_between(first: datetime, last: datetime, zone: ZoneInfo) -> Iterator[date]:
    """The calendar days from that of `first` to that of `last`."""
    day = first.astimezone(zone).date()
    while day <= last.astimezone(zone).date():
        yield day
        day += _A_DAY


def _carts(campaign: Campaign, since: datetime, until: datetime) -> Select[Any]:
    """The newest add_to_cart of each cart that nobody has ordered from."""
    later = event.alias("later")
    is_later = or_(
        later.c.occurred_at > event.c.occurred_at,
        and_(later.c.occurred_at == event.c.occurred_at, later.c.id > event.c.id),
    )
    filled_on = exists().where(later.c.customer_id == event.c.customer_id, later.c.kind == _CART, is_later)
    ordered = exists().where(order.c.customer_id == event.c.customer_id, order.c.ordered_at >= event.c.occurred_at)
    key = _key("cart:", event.c.id)
    return (
        select(event.c.customer_id, key.label("key"), event.c.occurred_at.label("at"))
        .where(event.c.kind == _CART, event.c.customer_id.is_not(None))
        .where(event.c.occurred_at >= since, event.c.occurred_at <= until)
        .where(~filled_on, ~ordered, ~_is_enrolled(campaign, event.c.customer_id, key))
        .order_by(event.c.occurred_at)
    )


_CART = "add_to_cart"


def _purchases(campaign: Campaign, key: str, start: datetime, end: datetime) -> Select[Any]:
    """Who has a paid order in [start, end), with the time of the first."""
    return (
        select(order.c.customer_id, func.min(order.c.ordered_at).label("at"))
        .where(order.c.status == "paid", order.c.ordered_at >= start, order.c.ordered_at < end)
        .where(~_is_enrolled(campaign, order.c.customer_id, literal(key)))
        .group_by(order.c.customer_id)
        .order_by(order.c.customer_id)
    )


def _has_birthday(day: date) -> Any:
    """Whether a customer keeps a birthday on `day`, as in segmentation/rules."""
    dates = [(day.month, day.day)]
    if (day.month, day.day) == (2, 28) and (day + _A_DAY).month == 3:
        dates.append((2, 29))
    month, of_month = extract("month", customer.c.birthday), extract("day", customer.c.birthday)
    return or_(*(and_(month == m, of_month == d) for m, d in dates))


def _day_of(attribute: str) -> Any:
    """The day in a customer's attribute, as text: what follows it (a time) is left out."""
    return func.substr(customer.c.attributes[attribute].as_string(), 1, 10)


def _key(prefix: str, column: Any) -> Any:
    return literal(prefix, String).op("||")(cast(column, String))


def _is_enrolled(campaign: Campaign, customer_id: Any, key: Any) -> Any:
    return exists().where(
        enrolment.c.campaign_id == campaign.id, enrolment.c.customer_id == customer_id, enrolment.c.entry_key == key
    )
