"""Who moved, day by day, in shops where everything happens: against their orders read plainly, on both databases.

Orders come late and are refunded, customers join, turn out to be one and are erased, the cycle is changed, days are
computed again; between days some are computed by themselves.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations, pairwise
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, update

from console.segments.sizes import read_sizes
from segmentation.engine import open_duckdb
from segmentation.history import movements, transitions
from segmentation.movement import moved
from segmentation.reading import read_facts
from segmentation.renew import Ground, renew_changed, renew_everyone
from segmentation.rules.compile import matching
from segmentation.rules.reading import read_rule
from segmentation.settings import SegmentSettings
from store.changes import note_changes
from store.clock import tomorrow
from store.engine import reading, table_of, transaction
from store.erasure import erase_person
from store.imports.merging import merge_customers
from store.models import Customer, SalesOrder
from tests.conftest import StillClock
from tests.factories import make_customer, make_order
from tests.segmentation.test_renew import TAIPEI, WalkingClock

STATES = ("never", "N", "E", "S1", "S2", "L")
Pair = tuple[str | None, str | None]


@dataclass
class Order:
    customer: int
    day: date
    total: int
    is_paid: bool = True


@dataclass(frozen=True)
class Change:
    as_of: date
    customer: int
    before: str | None
    after: str
    is_relabelled: bool


@dataclass
class Day:
    """A day that was computed: where everybody was, what they had paid, and how much had been written by then."""

    as_of: date
    states: dict[int, str]
    paid: dict[int, int]
    cycle: int
    written: int


@dataclass
class Shop:
    """The shop as its rows say, and the same kept in plain Python."""

    engine: Engine
    clock: StillClock
    random: Random
    cycle: int = 30
    orders: dict[int, Order] = field(default_factory=dict)
    states: dict[int, str | None] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    waiting: set[int] = field(default_factory=set)
    days: list[Day] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)  # how much had been written when somebody went

    @property
    def ground(self) -> Ground:
        return Ground(self.engine, TAIPEI, self.clock)

    def note(self, session: Any, who: int) -> None:
        note_changes(session, [who], self.clock())
        self.waiting.add(who)

    def joins(self) -> None:
        with transaction(self.engine) as session:
            one = make_customer(session)
            self.states[one.id or 0] = None
            self.note(session, one.id or 0)

    def buys(self, days_ago: int) -> None:
        who = self.random.choice(sorted(self.states))
        at, total = self.clock() - timedelta(days=days_ago), self.random.randrange(1, 100)
        with transaction(self.engine) as session:
            one = make_order(session, session.get_one(Customer, who), ordered_at=at, total=Decimal(total))
            self.orders[one.id or 0] = Order(who, at.astimezone(TAIPEI).date(), total)
            self.note(session, who)

    def refunds(self) -> None:
        number = self.random.choice(sorted(self.orders))
        self.orders[number].is_paid = False
        with transaction(self.engine) as session:
            session.execute(update(SalesOrder).where(table_of(SalesOrder).c.id == number).values(status="refunded"))
            self.note(session, self.orders[number].customer)

    def merges(self) -> None:
        old, new = self.random.sample(sorted(self.states), 2)
        with transaction(self.engine) as session:
            merge_customers(session.connection(), {old: new})
            self.note(session, new)
        for order in self.orders.values():
            order.customer = new if order.customer == old else order.customer
        self.forgets(old)

    def erases(self) -> None:
        who = self.random.choice(sorted(self.states))
        with transaction(self.engine) as session:
            erase_person(session, who, actor="me", now=self.clock())  # what they bought stays, of nobody's name
        self.waiting.add(who)

    def forgets(self, who: int) -> None:
        del self.states[who]
        self.waiting.discard(who)
        self.gone.append(len(self.changes))

    def state_of(self, who: int, as_of: date, cycle: int) -> str:
        days = sorted(one.day for one in self.orders.values() if one.customer == who and one.is_paid)
        if not days:
            return "never"
        since = (as_of - days[-1]).days
        return ("N" if len(days) == 1 else "E", "S1", "S2", "L")[min((since - 1) // cycle, 3)]

    def write(self, whom: set[int], *, cycle: int, is_relabelled: bool) -> None:
        as_of = tomorrow(self.clock, TAIPEI)
        for who in sorted(whom):
            before, after = self.states[who], self.state_of(who, as_of, cycle)
            if before != after:
                self.changes.append(Change(as_of, who, before, after, is_relabelled))
                self.states[who] = after
        self.waiting -= whom

    def is_computed(self) -> None:
        result = renew_everyone(self.ground, SegmentSettings(cycle=self.cycle))
        former = self.days[-1] if self.days else None
        is_anew = former is None or former.cycle != self.cycle
        self.write(set(self.states), cycle=self.cycle, is_relabelled=is_anew)
        as_of = tomorrow(self.clock, TAIPEI)
        paid = {
            who: sum(one.total for one in self.orders.values() if one.customer == who and one.is_paid)
            for who in self.states
        }
        if result.unchanged:
            return
        self.days = [day for day in self.days if day.as_of != as_of]
        here = {who: state for who, state in self.states.items() if state is not None}
        self.days.append(Day(as_of, here, paid, self.cycle, len(self.changes)))

    def is_renewed(self) -> None:
        if self.days:
            renew_changed(self.ground, SegmentSettings(cycle=self.cycle))
            self.write(set(self.waiting), cycle=self.days[-1].cycle, is_relabelled=False)

    def lives(self, steps: int) -> None:
        for _ in range(12):
            self.joins()
        for _ in range(20):
            self.buys(self.random.randrange(120))
        things = [self.joins, self.refunds, self.merges, self.erases, self.is_renewed, self.is_renewed]
        things += [lambda: self.buys(0)] * 4 + [lambda: self.buys(self.random.randrange(90))] * 2
        for step in range(steps):
            for thing in self.random.choices(things, k=5):
                thing()
                self.clock.advance(hours=1)
            if step == steps // 2:
                self.cycle = 45
            self.is_computed()
            self.clock.advance(days=self.random.choice((0, 7, 20)), hours=1)


def counted(pairs: Mapping[Pair, int] | None) -> dict[Pair, int]:
    return {pair: people for pair, people in (pairs or {}).items() if people}


def walked(shop: Shop, first: Day, last: Day, whom: set[int]) -> Counter[Pair]:
    """From where to where those went who are still there; the others of `whom` stayed where they were last."""
    found: Counter[Pair] = Counter()
    for who in whom:
        steps = [
            one
            for one in shop.changes[first.written : last.written]
            if one.customer == who and who in shop.states and not one.is_relabelled
        ]
        found[(steps[0].before, steps[-1].after) if steps else (last.states[who], last.states[who])] += 1
    return found


@pytest.mark.parametrize("seed", range(2))
def test_sizes_moves_and_rules_about_them_are_those_of_a_plain_reading(
    engine: Engine, clock: StillClock, seed: int
) -> None:
    shop = Shop(engine, WalkingClock(clock.now), Random(seed))
    shop.lives(7)
    days = shop.days
    assert len(days) >= 4
    with reading(engine) as session:
        sizes = read_sizes(session, "nesl")
        assert sizes.days == [day.as_of for day in days]
        for day in days:
            shown = {name: (one.customers, int(one.value)) for name, one in sizes.on[day.as_of].items()}
            people = Counter(day.states.values())
            assert shown == {
                name: (count, sum(day.paid[who] for who, state in day.states.items() if state == name))
                for name, count in people.items()
            }
        for first, last in combinations(days, 2):
            people = Counter(last.states.values())
            found = counted(moved(session, "nesl", first.as_of, last.as_of, people).counts)
            assert found == walked(shop, first, last, set(last.states))
            still = {who for who in last.states if who in shop.states}
            assert transitions(session, "nesl", first.as_of, last.as_of) == walked(shop, first, last, still)
            if first.cycle != last.cycle or any(at >= first.written for at in shop.gone):
                continue  # lines were drawn anew, or somebody is no longer known
            for name in STATES:
                assert sum(n for pair, n in found.items() if pair[0] == name) == Counter(first.states.values())[name]
                assert sum(n for pair, n in found.items() if pair[1] == name) == people[name]
        feed = movements(session, "nesl")
    assert [(one.customer_id, one.before, one.after, one.as_of) for one in feed] == [
        (one.customer, one.before, one.after, one.as_of)
        for one in shop.changes
        if one.customer in shop.states and not one.is_relabelled
    ]
    _rules_say_the_same(shop)


def _rules_say_the_same(shop: Shop) -> None:
    """`moved` in the days between two, and `segment` on a day."""
    spans = [(first.as_of, last.as_of) for first, last in pairwise(shop.days)]
    steps = [(before, after) for before in STATES for after in STATES if before != after]
    asked, said = {}, {}
    for place, (since, until) in enumerate(spans):
        for before, after in steps:
            window = {"from": str(since), "until": str(until)}
            condition = {"type": "moved", "model": "nesl", "from": [before], "to": [after], "window": window}
            asked[f"m{place}_{before}_{after}"] = read_rule(condition)
            said[f"m{place}_{before}_{after}"] = {
                one.customer
                for one in shop.changes
                if (one.before, one.after) == (before, after) and not one.is_relabelled and since < one.as_of <= until
            }
    for place, day in enumerate(shop.days):
        stood = {one.customer: one.after for one in shop.changes if one.as_of <= day.as_of}
        for name in STATES:
            condition = {"type": "segment", "model": "nesl", "in": [name], "on": str(day.as_of)}
            asked[f"d{place}_{name}"] = read_rule(condition)
            said[f"d{place}_{name}"] = {who for who, state in stood.items() if state == name}
    with open_duckdb(TAIPEI) as connection:
        facts = read_facts(connection, shop.engine, "customers", "runs", "changes")
        table = matching(facts, asked, tomorrow(shop.clock, TAIPEI), TAIPEI)
        rows = connection.to_pyarrow(table).to_pylist()
    assert {row["customer_id"] for row in rows} == set(shop.states)
    for key in asked:
        assert {row["customer_id"] for row in rows if row[key]} == said[key] & set(shop.states), key
