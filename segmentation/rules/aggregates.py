"""What rules measure of events, orders, lines, tags and moves: one grouped pass over each table, however many rules
there are. Every function gives one row per customer who has something (`customer_id`, one column per measure), or
None when nothing is asked of its table.

A measure is a condition without its limits: rules that ask for the same with other limits share a column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any

import ibis

from segmentation.facts import Facts, lend
from segmentation.rules.counting import Condition, counters
from segmentation.rules.days import ONE_DAY, AsOf, Span, days_before, hull, span_of
from segmentation.rules.types import Events, InSegment, Moved, Orders, Products, Tagged

Table = Any
Expression = Any

_WIDE = "decimal(38, 0)"  # exact where 64 bits might not be enough
_HALF = "decimal(19, 0)"  # any 64-bit number; two of them multiplied are exact in _WIDE
_numbers = count(1)  # several rules' counts may be asked at once
_ID_BITS = 2**40  # change ids below it: day and id fit one 64-bit number


def event_counts(facts: Facts, measures: Mapping[Events, str], as_of: AsOf) -> Table | None:
    """How many events each of `facts.customers` has, a row for each of them; counted here and now, kind by kind, each
    by the measures of its kind alone. None where that is no way to count them, as of a few customers."""
    counted = counters(facts.customers, list(measures.values())) if measures else None
    if counted is None:
        return None
    for kinds in dict.fromkeys(m.kinds for m in measures):
        found = _events(facts, {m: name for m, name in measures.items() if m.kinds == kinds}, as_of)
        inside = {name: None if span == found.whole else span for name, span in found.spans.items()}
        windows = {name: None if span is None else span.microseconds(as_of.zone) for name, span in inside.items()}
        counted.add(found.rows, {name: Condition(windows[name], _all(found.tests[name])) for name in windows})
    return lend(facts.customers.get_backend(), f"event_counts_{next(_numbers)}", counted.table())


def event_measures(facts: Facts, measures: Mapping[Events, str], as_of: AsOf) -> Table | None:
    """The same of whoever has any of them, whatever the ids look like; nothing is computed until it is read."""
    if not measures:
        return None
    found = _events(facts, measures, as_of)
    rows = found.rows
    tests = {
        name: _all([*_in_span(rows.occurred_at, span, found.whole, as_of), *found.tests[name]])
        for name, span in found.spans.items()
    }
    return rows.group_by("customer_id").aggregate(**{name: rows.count(where=test) for name, test in tests.items()})


@dataclass(frozen=True)
class _Events:
    """The events that some measure may count; by name in which span each does, and what else must hold."""

    rows: Table
    whole: Span  # around all spans: the rows lie in it
    spans: dict[str, Span]
    tests: dict[str, list[Expression]]


def _events(facts: Facts, measures: Mapping[Events, str], as_of: AsOf) -> _Events:
    asked = {name: m for m, name in measures.items()}
    kinds = sorted({kind for m in asked.values() for kind in m.kinds})
    spans = {name: span_of(m.window, as_of) for name, m in asked.items()}
    rows = facts.events.filter(facts.events.kind.isin(kinds))
    rows, whole = _in_hull(rows, "occurred_at", list(spans.values()), as_of)
    rows, of_products = _with_products(rows, facts.products, [m.products for m in asked.values()])
    found: dict[str, list[Expression]] = {name: [] for name in asked}
    for name, m in asked.items():
        if len({*m.kinds}) < len(kinds):  # a rule may name one twice
            found[name].append(rows.kind.isin(m.kinds))
        if m.topics:
            found[name].append(rows.topic.isin(m.topics))
        if m.campaigns:
            found[name].append(rows.campaign_id.isin(m.campaigns))
        if m.products:
            found[name].append(of_products[m.products])
    return _Events(rows, whole, spans, found)


def order_measures(facts: Facts, measures: Mapping[Orders, str], as_of: AsOf) -> Table | None:
    """Aggregates of whole orders. Sums are ten-thousandths; an average is its sum, with the count as `…_of`; first and
    last are times."""
    asked = {name: m for m, name in measures.items() if not needs_lines(m)}
    if not asked:
        return None
    spans = {name: span_of(m.window, as_of) for name, m in asked.items()}
    rows, whole = _in_hull(facts.orders, "ordered_at", list(spans.values()), as_of)
    found = {}
    for name, m in asked.items():
        where = _all(_in_span(rows.ordered_at, spans[name], whole, as_of))
        if m.measure in ("sum", "average"):
            found[name] = rows.amount.sum(where=where)
        else:
            found[name] = _times(rows.ordered_at, m.measure, where, rows.count(where=where))
        if m.measure == "average":
            found[f"{name}_of"] = rows.count(where=where)
    return rows.group_by("customer_id").aggregate(**found)


def needs_lines(measure: Orders) -> bool:
    """Whether order lines must be looked at, rather than whole orders."""
    return measure.products is not None or measure.measure == "quantity"


def line_measures(facts: Facts, measures: Mapping[Orders, str], as_of: AsOf) -> Table | None:
    """Aggregates of the order lines of some products, and quantities. Sums are in units of 10⁻⁸, quantities in
    ten-thousandths; otherwise as `order_measures`."""
    asked = {name: m for m, name in measures.items() if needs_lines(m)}
    if not asked:
        return None
    spans = {name: span_of(m.window, as_of) for name, m in asked.items()}
    rows, whole = _in_hull(facts.lines, "ordered_at", list(spans.values()), as_of)
    rows, of_products = _with_products(rows, facts.products, [m.products for m in asked.values()])
    cost = rows.quantity.cast(_HALF) * rows.unit_price.cast(_HALF) - rows.discount.cast(_HALF) * ibis.literal(
        10_000, type=_HALF
    )
    found = {}
    for name, m in asked.items():
        tests = _in_span(rows.ordered_at, spans[name], whole, as_of)
        where = _all([*tests, of_products[m.products]] if m.products else tests)
        orders = rows.order_id.nunique(where=where)
        if m.measure in ("sum", "average"):
            found[name] = cost.sum(where=where)
        elif m.measure == "quantity":
            found[name] = rows.quantity.cast(_WIDE).sum(where=where)
        else:
            found[name] = _times(rows.ordered_at, m.measure, where, orders)
        if m.measure == "average":
            found[f"{name}_of"] = orders
    return rows.group_by("customer_id").aggregate(**found)


def tag_measures(facts: Facts, measures: Mapping[Tagged, str]) -> Table | None:
    """Since when a tag is on (`…_since`) and its strength (`…_strength`); null: it isn't on."""
    if not measures:
        return None
    rows = facts.tags.filter(facts.tags.tag.isin([m.name for m in measures]))
    found = {}
    for m, name in measures.items():
        found[f"{name}_since"] = rows.since.max(where=rows.tag == m.name)
        found[f"{name}_strength"] = rows.strength.max(where=rows.tag == m.name)
    return rows.group_by("customer_id").aggregate(**found)


def past_segments(facts: Facts, measures: Mapping[InSegment, str], as_of: AsOf) -> Table | None:
    """The segment at the start of an earlier day; null: none yet.

    Days may be computed in any order, and a run writes only where it differs from what stood before it, whichever day
    that was of. So a day's newest whole run, or that of the newest day before it, left what the last change up to its
    end did, by the order in which they were written; and what was computed since then for a day up to the one asked
    for, between runs, goes before it.
    """
    days = {name: (m, day) for m, name in measures.items() if (day := day_of(m, as_of)) is not None}
    if not days:
        return None
    runs = facts.runs
    last = _place(runs, runs.last_change_id)
    ends = runs.aggregate(
        **{f"{name}_end": last.max(where=runs.as_of <= ibis.literal(day)) for name, (_, day) in days.items()}
    )
    rows = facts.changes.cross_join(ends)
    place, order, tests = _place(rows, rows.id), {}, {}
    for name, (_, day) in days.items():
        end = rows[f"{name}_end"].fill_null(-1)
        is_since = (rows.as_of <= ibis.literal(day)) & (place > end)
        order[name] = is_since.ifelse(place, rows.id)  # ids are below every place
        tests[name] = is_since | (rows.id <= end % _ID_BITS)
    found = {
        # a null segment must win too when it is the newest, which an argmax would pass over
        name: rows[m.model].fill_null("").argmax(order[name], where=tests[name]).nullif("")
        for name, (m, _) in days.items()
    }
    return rows.filter(ibis.or_(*tests.values())).group_by("customer_id").aggregate(**found)


def _place(rows: Table, change_id: Expression) -> Expression:
    """By the day computed for, then by the id of the change."""
    return rows.as_of.epoch_days().cast("int64") * _ID_BITS + change_id


def day_of(measure: InSegment, as_of: AsOf) -> date | None:
    """The earlier day that a segment is asked for; None: as last computed."""
    if measure.days_ago is not None:
        return days_before(as_of.day, measure.days_ago)
    return None if measure.on is None else min(measure.on, as_of.day)


def move_measures(facts: Facts, measures: Mapping[Moved, str], as_of: AsOf) -> Table | None:
    """The day of the newest such move; null: none. A change computed for a day is dated by the day before it. Lines
    drawn anew move nobody."""
    if not measures:
        return None
    spans = {name: span_of(m.window, as_of) for m, name in measures.items()}
    rows = facts.changes.filter(facts.changes.as_of <= ibis.literal(as_of.day), ~facts.changes.is_relabelled)
    found = {}
    for m, name in measures.items():
        old, new, span = rows[f"old_{m.model}"], rows[m.model], spans[name]
        tests = [~old.identical_to(new), rows.as_of <= ibis.literal(span.end)]
        if span.start is not None:
            tests.append(rows.as_of > ibis.literal(span.start))
        if m.from_:
            tests.append(old.isin(m.from_))
        if m.to:
            tests.append(new.isin(m.to))
        found[name] = rows.as_of.max(where=_all(tests)) - ibis.interval(days=ONE_DAY.days)
    return rows.group_by("customer_id").aggregate(**found)


def _times(at: Expression, measure: str, where: Expression | None, orders: Expression) -> Expression:
    """The aggregate of a measure that counts orders or looks at their times."""
    if measure == "days":
        return at.date().nunique(where=where)
    if measure == "first":
        return at.min(where=where)
    return at.max(where=where) if measure == "last" else orders


def _in_hull(rows: Table, column: str, spans: Sequence[Span], as_of: AsOf) -> tuple[Table, Span]:
    """Only the rows that some span may hold: two plain comparisons, so that a file's statistics can skip the rest."""
    whole = hull(list(spans))
    return rows.filter(whole.holds(rows[column], as_of.zone)), whole


def _in_span(at: Expression, span: Span, whole: Span, as_of: AsOf) -> list[Expression]:
    return [] if span == whole else [span.holds(at, as_of.zone)]


def _all(tests: Sequence[Expression]) -> Expression | None:
    return ibis.and_(*tests) if tests else None


def _with_products(
    rows: Table, products: Table, filters: Sequence[Products | None]
) -> tuple[Table, dict[Products, Expression]]:
    """`rows` with what is needed to tell which products they are about, and the test of each filter. Article numbers
    alone need no catalogue. Where every measure has a filter, rows about none of the products are left out."""
    wanted = dict.fromkeys(f for f in filters if f is not None)
    by_number = [f for f in wanted if not (f.categories or f.labels or f.name_contains)]
    by_catalogue = {f: f"is_{place}" for place, f in enumerate(wanted) if f not in by_number}
    if by_catalogue:
        flags = products.select("sku", **{name: _fits(products, f) for f, name in by_catalogue.items()})
        flags = flags.filter(ibis.or_(*[flags[name] for name in by_catalogue.values()]))
        is_all = not by_number and all(filters)
        flags = flags.rename(product_sku="sku")
        joined = rows.join(flags, rows.sku == flags.product_sku, how="inner" if is_all else "left")
        rows = joined.mutate(**{name: joined[name].fill_null(False) for name in by_catalogue.values()})
    tests = {f: rows[name] for f, name in by_catalogue.items()}
    return rows, tests | {f: rows.sku.isin(f.skus) for f in by_number}


def _fits(products: Table, wanted: Products) -> Expression:
    tests = [products.categories.contains(name) for name in wanted.categories or ()]
    tests += [products.labels.contains(name) for name in wanted.labels or ()]
    if wanted.skus:
        tests.append(products.sku.isin(wanted.skus))
    if wanted.name_contains:
        tests.append(products.name.lower().contains(wanted.name_contains.lower()))
    return ibis.and_(*[test.fill_null(False) for test in tests])
