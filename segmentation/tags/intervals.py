"""When each condition of a rule holds from now on if nothing more happens: days [start, stop) per customer.

What was counted leaves a rolling window, an order grows older, a birthday comes: all of it follows from the facts that
are there. Where a condition looks at the whole population (scores, quantile segments, predictions), or for moves in a
rolling window, nobody can know: `can_be_foreseen` says of which. Ibis expressions; knows no database.

Facts are added up by customer and day with the compiler's own aggregates, by giving it customer and day as one number
in place of the customer: filters and sums are then the rules' own, to the last digit.
"""

import dataclasses
from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis

from segmentation.facts import Facts
from segmentation.rules.aggregates import event_measures, line_measures, needs_lines, order_measures
from segmentation.rules.compile import Compiled
from segmentation.rules.days import AsOf
from segmentation.rules.types import (
    Age,
    Attribute,
    Birthday,
    Bounds,
    Clicks,
    Events,
    InSegment,
    Measure,
    Moved,
    Orders,
    Rule,
    Tagged,
)
from segmentation.rules.values import holds, measure_of
from segmentation.tags.days import FOREVER, MOST_DAYS, MOST_YEARS, later
from segmentation.tags.definitions import BY_PEOPLE

Table = Any
Expression = Any

_DAYS = 2**22  # more than the calendar has, to put customer and day into one number
_BEFORE_1970 = 2**20
_BIRTHDAYS_AHEAD = 9  # with 29 February in between, whatever year it is
LASTING = frozenset({"frequency", "monetary", "paid_total", "cycle_days"})  # measures that only another order changes
_CYCLE_MODELS = ("nesl", "nes", "nesl_personal", "nes_personal")


@dataclass(frozen=True)
class Future:
    """What the conditions of compiled rules are looked up in. `holders` (`customer_id`): whom it is about; `measured`:
    the compiled rules' own table; `on`: tags that are on (current.SCHEMA and `tag`, the name); `daily`: see
    `daily_measures`. `cycle_days` of None: orders vanish from a look-back window, so that recency can't be foreseen."""

    facts: Facts
    holders: Table
    compiled: Compiled
    measured: Table
    on: Table
    daily: dict[str, Table]
    cycle_days: int | None

    @property
    def as_of(self) -> AsOf:
        """The day at whose start the future begins."""
        return self.compiled.as_of


def can_be_foreseen(leaf: Rule, as_of: date, *, has_cycle: bool) -> bool:
    """Whether the days on which `leaf` will hold follow from a customer's own facts. `has_cycle`: orders don't vanish
    from a look-back window."""
    match leaf:
        case Tagged():
            return leaf.strength is None  # strengths fade, or follow the population
        case Moved():  # by time alone another move may come before this one leaves the window
            return leaf.window is None or leaf.window.last_days is None
        case InSegment(on=on) if on is not None and on <= as_of:
            return True
        case InSegment():
            return has_cycle and leaf.model in _CYCLE_MODELS and leaf.on is None and leaf.days_ago is None
        case Measure():
            return leaf.name == "paid_total" or (has_cycle and leaf.name in LASTING | {"recency_days"})
    return True


def is_daily(condition: Rule) -> bool:
    """Whether `condition` counts facts that leave a rolling window, or asks how many days ago one was."""
    if not isinstance(condition, Orders | Events | Clicks):
        return False
    if condition.window is not None and condition.window.last_days is not None:
        return True
    if not isinstance(condition, Orders) or condition.measure not in ("first", "last"):
        return False
    return condition.on is None or condition.on.last_days is not None


def daily_measures(facts: Facts, holders: Table, compiled: Compiled, leaves: list[Rule]) -> dict[str, Table]:
    """For events, orders and lines a table (`customer_id`, `day`, the compiled columns of those `leaves` that are
    daily), of the holders; a table that no leaf needs is absent. One pass over each."""
    measures = {measure_of(leaf): compiled.columns[measure_of(leaf)] for leaf in leaves if is_daily(leaf)}
    orders: Any = {m: name for m, name in measures.items() if isinstance(m, Orders)}
    events: Any = {m: name for m, name in measures.items() if isinstance(m, Events)}
    by_day = dataclasses.replace(
        facts,
        events=_keyed(facts.events, facts.events.occurred_at, holders),
        orders=_keyed(facts.orders, facts.orders.ordered_at, holders),
        lines=_keyed(facts.lines, facts.lines.ordered_at, holders),
    )
    found = {
        "events": event_measures(by_day, events, compiled.as_of),
        "orders": order_measures(by_day, orders, compiled.as_of),
        "lines": line_measures(by_day, orders, compiled.as_of),
    }
    return {name: _unkeyed(table) for name, table in found.items() if table is not None}


def _keyed(rows: Table, at: Expression, holders: Table) -> Table:
    number = rows.customer_id * _DAYS + at.date().epoch_days().cast("int64") + _BEFORE_1970
    return rows.semi_join(holders, "customer_id").mutate(customer_id=number)


def _unkeyed(rows: Table) -> Table:
    number = rows.customer_id
    day = later(ibis.literal(date(1970, 1, 1)), number % _DAYS - _BEFORE_1970)
    return rows.mutate(customer_id=number // _DAYS, day=day)


def intervals_of(leaf: Rule, future: Future) -> Table:
    """`customer_id, start, stop` (dates): the days from `as_of` on as of whose start `leaf`, which can be foreseen,
    holds, for the holders; may overlap."""
    match leaf:
        case Orders() | Events() | Clicks() if is_daily(leaf):
            found = _of_facts(leaf, future)
        case Attribute() | Orders() | Events() | Clicks() | Moved():
            found = _lasting(leaf, future)
        case Age() | Birthday():
            found = _of_birthday(leaf, future)
        case Tagged():
            found = _of_tag(leaf, future)
        case InSegment():
            found = _of_segment(leaf, future)
        case Measure():
            found = _of_measure(leaf, future)
        case _:
            raise TypeError(f"{type(leaf).__name__} is no condition on facts")
    start = ibis.greatest(found.start.cast("date"), ibis.literal(future.as_of.day))
    stop = found.stop.fill_null(ibis.literal(FOREVER)).cast("date")
    trimmed = found.mutate(start=start, stop=stop).filter(start < stop, found.customer_id.notnull())
    return trimmed.select("customer_id", "start", "stop")


def _lasting(leaf: Rule, future: Future) -> Table:
    """What holds now holds for ever."""
    rows = future.compiled.asked_by(future.measured, leaf).semi_join(future.holders, "customer_id")
    return _always(rows.filter(future.compiled.holds_part(rows, leaf)), future)


def _always(rows: Table, future: Future) -> Table:
    return rows.select("customer_id", start=ibis.literal(future.as_of.day), stop=ibis.literal(FOREVER))


def _of_facts(leaf: Orders | Events | Clicks, future: Future) -> Table:
    table = "events" if not isinstance(leaf, Orders) else "lines" if needs_lines(leaf) else "orders"
    name = future.compiled.columns[measure_of(leaf)]
    count = f"{name}_of"
    is_time = isinstance(leaf, Orders) and leaf.measure in ("first", "last")
    is_average = isinstance(leaf, Orders) and leaf.measure == "average"
    rows = future.daily[table].select("customer_id", "day", name, *([count] * is_average))
    rows = rows.semi_join(future.holders, "customer_id")
    found = rows[name].notnull() if is_time or is_average else rows[name].fill_null(0) != 0
    rows = rows.filter(found)
    before = rows.day.lag().over(ibis.window(group_by=rows.customer_id, order_by=rows.day))
    rows = rows.mutate(before=before)
    window = leaf.window.last_days if leaf.window is not None else None
    if is_time:
        assert isinstance(leaf, Orders)
        return _of_age_of_order(leaf, rows, window)
    assert window is not None
    rest_of = ibis.window(group_by=rows.customer_id, order_by=rows.day.desc(), preceding=None, following=0)
    rest = rows.mutate(
        **{column: rows[column].sum().over(rest_of) for column in ([name, count] if is_average else [name])}
    )
    fits = rest.filter(holds(leaf, rest, name, future.as_of))
    shown = fits.select("customer_id", start=later(fits.before, window + 1), stop=later(fits.day, window + 1))
    none = future.holders.mutate(**{name: ibis.literal(0), count: ibis.literal(0)})
    newest = rows.group_by("customer_id").aggregate(newest=rows.day.max()).rename(newest_id="customer_id")
    empty = none.filter(holds(leaf, none, name, future.as_of))
    empty = empty.left_join(newest, empty.customer_id == newest.newest_id)
    gone = empty.select("customer_id", start=later(empty.newest, window + 1), stop=ibis.literal(FOREVER))
    return _from_now(shown, future).union(_from_now(gone, future))


def _of_age_of_order(leaf: Orders, rows: Table, window: int | None) -> Table:
    """The first or the last order's day, while it is in the window, and limits of how long ago it is."""
    if leaf.measure == "last" or window is None:
        chosen = rows.day.max() if leaf.measure == "last" else rows.day.min()
        rows = rows.group_by("customer_id").aggregate(day=chosen, before=ibis.null("date"))
    low, high = _limits(leaf) if leaf.on is None else (1, leaf.on.last_days)
    start, stop = later(rows.day, low), later(rows.day, None if high is None else high + 1)
    if window is not None:
        start = ibis.greatest(start, later(rows.before, window + 1).fill_null(start))
        stop = ibis.least(stop, later(rows.day, window + 1))
    found = rows.select("customer_id", "day", start=start, stop=stop)
    if leaf.on is not None and leaf.on.from_ is not None:
        found = found.filter(found.day >= ibis.literal(leaf.on.from_))
    if leaf.on is not None and leaf.on.until is not None:
        found = found.filter(found.day < ibis.literal(leaf.on.until))
    return found.drop("day")


def _of_birthday(leaf: Age | Birthday, future: Future) -> Table:
    people = future.facts.customers.semi_join(future.holders, "customer_id")
    people = people.filter(people.birthday.notnull())
    if isinstance(leaf, Age):
        low, high = _limits(leaf, MOST_YEARS)
        start = later(_turns(people.birthday, low), 1)
        stop = ibis.literal(FOREVER) if high is None else later(_turns(people.birthday, high + 1), 1)
        return people.select("customer_id", start=start, stop=stop)
    born = later(people.birthday, 1)  # "today" is the day before the one asked for
    if leaf.within_days == 366:  # every day of every year
        return people.select("customer_id", start=born, stop=ibis.literal(FOREVER))
    month, day = people.birthday.month(), people.birthday.day()
    is_leap_day = (month == 2) & (day == 29)
    found = []
    for year in range(future.as_of.today.year, future.as_of.today.year + _BIRTHDAYS_AHEAD + 1):
        is_leap_year = (date(year, 12, 31) - date(year, 1, 1)).days == 365
        kept = ibis.date(ibis.literal(year), month, day if is_leap_year else is_leap_day.ifelse(28, day))
        start = ibis.greatest(later(kept, 1 - leaf.within_days), born)
        found.append(people.select("customer_id", start=start, stop=later(kept, 2)))
    return ibis.union(*found)


def _turns(birthday: Expression, age: int) -> Expression:
    """The day on which somebody is `age`: of 29 February, 1 March in common years, where DuckDB steps back."""
    day = (birthday + ibis.interval(years=age)).cast("timestamp").cast("date")
    return (day.day() == birthday.day()).ifelse(day, later(day, 1))


def _of_tag(leaf: Tagged, future: Future) -> Table:
    on = future.on.semi_join(future.holders, "customer_id")
    on = on.filter(on.tag == leaf.name)
    # a person's last day is kept to its end; what is computed is off as of the start of its day
    stop = on.source.isin(BY_PEOPLE).ifelse(later(on.falls_off_on, 1), on.falls_off_on)
    stop = stop.fill_null(ibis.literal(FOREVER))
    start: Expression = ibis.literal(future.as_of.day)
    if leaf.days is not None:
        low, high = _limits(leaf.days)
        start = later(on.since.date(), low)
        stop = ibis.least(stop, later(on.since.date(), None if high is None else high + 1))
    return on.select("customer_id", start=start, stop=stop)


def _of_segment(leaf: InSegment, future: Future) -> Table:
    if leaf.on is not None:
        return _lasting(leaf, future)
    rows = future.facts.segments.semi_join(future.holders, "customer_id")
    is_personal = leaf.model in ("nesl_personal", "nes_personal")
    cycle = rows.cycle_days if is_personal else ibis.literal(future.cycle_days)
    last = rows.last_ordered_on
    wanted = set(leaf.in_) | ({"S1", "S2", "L"} if "S" in leaf.in_ else set())
    bought = {"N": rows.frequency == 1, "E": rows.frequency > 1}
    found = [rows.filter(last.isnull(), ibis.literal("never" in wanted)).select("customer_id", start=last, stop=last)]
    found += [
        rows.filter(test).select("customer_id", start=last, stop=later(last, cycle + 1))
        for state, test in bought.items()
        if state in wanted
    ]
    for state, cycles in (("S1", 1), ("S2", 2), ("L", 3)):
        if state in wanted:
            start = later(last, cycles * cycle + 1)
            stop = ibis.literal(FOREVER) if state == "L" else later(last, (cycles + 1) * cycle + 1)
            found.append(rows.filter(last.notnull()).select("customer_id", start=start, stop=stop))
    return _from_now(ibis.union(*[_dated(part) for part in found]), future)


def _of_measure(leaf: Measure, future: Future) -> Table:
    if leaf.name in LASTING:
        return _lasting(leaf, future)
    rows = future.facts.segments.semi_join(future.holders, "customer_id")
    rows = rows.filter(rows.last_ordered_on.notnull())
    low, high = _limits(leaf)
    stop = later(rows.last_ordered_on, None if high is None else high + 1)
    return rows.select("customer_id", start=later(rows.last_ordered_on, low), stop=stop)


def _limits(bounds: Bounds, most: int = MOST_DAYS) -> tuple[int, int | None]:
    """Whole limits, both inclusive and none above `most`; the upper None when there is none."""
    low = bounds.at_least if bounds.more_than is None else bounds.more_than + 1
    high = bounds.at_most if bounds.less_than is None else bounds.less_than - 1
    return min(int(low or 0), most), None if high is None else min(int(high), most)


def _dated(rows: Table) -> Table:
    return rows.select("customer_id", start=rows.start.cast("date"), stop=rows.stop.cast("date"))


def _from_now(rows: Table, future: Future) -> Table:
    """Without a start it has begun already."""
    rows = _dated(rows)
    return rows.mutate(start=rows.start.fill_null(ibis.literal(future.as_of.day)))
