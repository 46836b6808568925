"""Results and lift of small random worlds, against a plain reading of the rows, person by person and order by order."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select

from campaigns.results.lift import Arm, Lift
from campaigns.results.runs import RunResults, run_results
from campaigns.results.together import campaign_results
from campaigns.results.whole import wholes
from store.engine import reading, table_of, transaction
from store.erasure import erase_person
from store.imports.merging import merge_customers
from store.models import Campaign, CampaignRun, Click, Customer, Delivery, SalesOrder, SendBatch
from tests.campaigns.results.conftest import DAY, TINY, Story
from tests.conftest import StillClock
from tests.factories import make_customer

STATES = ("accepted", "accepted", "accepted", "failed", "unknown", "held_out", "held_out", "skipped", "left", "batch")


@dataclass
class Side:
    """People of one side, each with the money of each of their orders; somebody in two runs is there twice."""

    people: list[list[Decimal]] = field(default_factory=list)

    def equals(self, arm: Arm) -> bool:
        buyers = [sum(orders, Decimal(0)) for orders in self.people if orders]
        assert arm.squares == pytest.approx(float(sum(money**2 for money in buyers)))
        found = (arm.people, arm.buyers, arm.orders, arm.revenue)
        return found == (len(self.people), len(buyers), sum(map(len, self.people)), sum(buyers, Decimal(0)))

    @property
    def rates(self) -> tuple[float, float]:
        """Buyers and money per person."""
        money = float(sum(sum(orders, Decimal(0)) for orders in self.people))
        return sum(1 for orders in self.people if orders) / len(self.people), money / len(self.people)


class Plain:
    """What the rows say."""

    def __init__(self, engine: Engine) -> None:
        with reading(engine) as session:
            tables = (Campaign, CampaignRun, Delivery, SendBatch, Click, SalesOrder)
            rows = [list(session.execute(select(table_of(table))).all()) for table in tables]
        campaigns, self.runs, self.deliveries, batches, self.clicks, orders = rows
        self.window = {one.id: timedelta(days=one.conversion_days) for one in campaigns}
        self.batches = {(one.run_id, one.batch_number): one.state for one in batches}
        self.orders = [one for one in orders if one.status == "paid"]

    def state(self, one: Any) -> str:
        its_batch = self.batches.get((one.run_id, one.batch_number), "")
        is_told = one.state == "chosen" and its_batch in ("accepted", "failed", "unknown")
        return its_batch if is_told else str(one.state)

    def side(self, one: Any) -> str | None:
        """Chance put somebody on one of two sides, or the gate kept them out before."""
        if self.state(one) == "held_out":
            return "held_out"
        return None if self.state(one) == "skipped" and one.variant_id is None else "sent"

    def is_compared(self, run: Any) -> bool:
        return not any(one.run_id == run.id and one.reason == "cancelled" for one in self.deliveries)

    def bought(self, one: Any, run: Any) -> list[Any]:
        closes_at = (run.reply_until or run.fired_at) + self.window[run.campaign_id]
        theirs = [order for order in self.orders if order.customer_id == one.customer_id]
        return [order for order in theirs if run.fired_at <= order.ordered_at < closes_at]

    def sides(self, run_ids: list[int], *, once: bool, **only: Any) -> tuple[Side, Side]:
        """Of these runs; `once`: an order counts in the last of its campaign's runs that have it."""
        found = {"sent": Side(), "held_out": Side()}
        of_run = {run.id: run for run in self.runs if run.id in run_ids and self.is_compared(run)}
        of_all = [(one, next(run for run in self.runs if run.id == one.run_id)) for one in self.deliveries]
        holds = [
            (order.id, run.campaign_id, (run.fired_at, run.id))
            for one, run in of_all
            if self.side(one) is not None
            for order in self.bought(one, run)
        ]
        for one, run in of_all:
            side = self.side(one) if run.id in of_run else None
            is_meant = all(getattr(one, name) == value for name, value in only.items())
            if side is None or not (is_meant or (side == "held_out" and "variant_id" in only)):
                continue
            mine = [
                order.total
                for order in self.bought(one, run)
                if not once
                or max(place for of, campaign, place in holds if (of, campaign) == (order.id, run.campaign_id))[1]
                == run.id
            ]
            found[side].people.append(mine)
        return found["sent"], found["held_out"]

    def tapped(self, run_ids: list[int]) -> int:
        took = {
            (one.run_id, one.customer_id)
            for one in self.deliveries
            if self.state(one) not in ("held_out", "skipped") and one.run_id in run_ids
        }
        return len({(tap.run_id, tap.customer_id) for tap in self.clicks if tap.kind == "person"} & took)


class World:
    """Two campaigns, some runs of each, of the same dozen people."""

    def __init__(self, story: Story, seed: int) -> None:
        self.story, self.random = story, random.Random(seed)
        self.share = self.random.choice((0, 3, 10))  # of ten are held out
        with transaction(story.engine) as session:
            self.people = [make_customer(session).id or 0 for _ in range(12)]
        self.variants = [story.variant_id, story.variant("二")]
        self.campaigns = [story.campaign_id, story.another_campaign(2)]
        self.moments: list[datetime] = []
        self.runs: dict[int, list[int]] = {one: [] for one in self.campaigns}
        for number in range(self.random.randrange(1, 5)):
            self.add_run(self.campaigns[number % 2 if number < 2 else 0], story.at + number * 3 * DAY)

    def add_run(self, campaign_id: int, at: datetime) -> None:
        is_entered = self.random.random() < 0.3
        waits = at + DAY if self.random.random() < 0.3 else None
        run_id = self.story.run(at=at, campaign_id=campaign_id, by_enrolment=is_entered, reply_until=waits)
        self.runs[campaign_id].append(run_id)
        days = 7 if campaign_id == self.story.campaign_id else 2
        self.moments += [at, at - TINY, (waits or at) + days * DAY, (waits or at) + days * DAY - TINY]
        self.story.batch(run_id, 1, state=self.random.choice(("accepted", "failed", "unknown")))
        for who in self.random.sample(self.people, self.random.randrange(1, len(self.people))):
            state = "held_out" if self.random.randrange(10) < self.share else self.random.choice(STATES)
            state = "accepted" if state == "held_out" and self.share == 0 else state
            facts: dict[str, Any] = {"segment": self.random.choice((None, "important_value"))}
            facts["variant_id"] = None if state in ("held_out", "skipped") else self.random.choice(self.variants)
            if state == "accepted":
                facts["sent_at"] = at
            if state in ("skipped", "left"):
                reason = "blocked" if self.random.random() < 0.95 or state == "skipped" else "cancelled"
                state, facts["reason"] = "skipped", reason
            if state == "batch":
                state, facts["batch_number"] = "chosen", 1
            self.story.person(run_id, state, who=who, **facts)

    def happen(self) -> None:
        """Taps, orders within and at the edges, refunds, merges of who could not be sent to, erasures."""
        orders = []
        for _ in range(20):
            at = self.random.choice((*self.moments, self.story.at + self.random.randrange(400) * timedelta(hours=1)))
            total = str(Decimal(self.random.randrange(1, 99_999)) / 10)
            orders.append(self.story.order(self.random.choice(self.people), at, total))
        for run_id in (run_id for ids in self.runs.values() for run_id in ids):
            self.story.tap(run_id, self.random.choice(self.people), self.random.choice(self.moments))
        if self.random.random() < 0.5:
            self.story.catch_up()
        for order_id in self.random.sample(orders, 5):
            self.story.change_order(order_id, status=self.random.choice(("refunded", "cancelled")))
        with transaction(self.story.engine) as session:
            member_id = make_customer(session).id or 0
        for run_id in self.runs[self.story.campaign_id][:1]:  # there before, without an account
            self.story.person(run_id, "skipped", who=member_id, reason="no_line_account")
        self.story.order(member_id, self.random.choice(self.moments), "77")
        if self.random.random() < 0.5:
            self.story.catch_up()
        with transaction(self.story.engine) as session:
            merge_customers(session.connection(), {self.people[0]: member_id})
            erase_person(session, self.people[1], actor="test", now=self.story.clock())


def check_lift(found: RunResults, sides: tuple[Side, Side]) -> None:
    assert all(side.equals(arm) for side, arm in zip(sides, found.sides, strict=True))
    if not all(side.people for side in sides):
        assert found.lift is None
        return
    assert found.lift is not None
    (buyers, money), (held_buyers, held_money) = (side.rates for side in sides)
    is_about(found.lift.buyers, buyers - held_buyers)
    if found.lift.revenue is not None:
        is_about(found.lift.revenue, money - held_money)


def is_about(lift: Lift, difference: float) -> None:
    assert lift.difference == pytest.approx(difference)
    assert lift.low <= lift.difference <= lift.high


@pytest.mark.parametrize("seed", range(12))
def test_results_are_what_the_rows_say(engine: Engine, clock: StillClock, seed: int) -> None:
    story = Story(engine, clock)
    world = World(story, seed)
    world.happen()
    story.catch_up()
    plain = Plain(engine)
    with reading(engine) as session:
        customers = session.scalars(select(table_of(Customer).c.id)).all()
        assert world.people[0] not in customers
        for campaign_id, run_ids in world.runs.items():
            whole = campaign_results(session, campaign_id)
            check_lift(whole, plain.sides(run_ids, once=True))
            assert whole.clicks == plain.tapped(run_ids)
            assert wholes(session, [campaign_id])[campaign_id].lift == whole.lift
            for run_id in run_ids:
                found = run_results(session, run_id)
                check_lift(found, plain.sides([run_id], once=False))
                assert found.clicks == plain.tapped([run_id])
                for variant_id in world.variants:
                    if variant_id in found.variant_lifts:
                        sent, held = plain.sides([run_id], once=False, variant_id=variant_id)
                        is_about(found.variant_lifts[variant_id].buyers, sent.rates[0] - held.rates[0])
                for segment in found.segment_lifts:
                    only = None if segment == "none" else segment
                    sent, held = plain.sides([run_id], once=False, segment=only)
                    is_about(found.segment_lifts[segment].buyers, sent.rates[0] - held.rates[0])
