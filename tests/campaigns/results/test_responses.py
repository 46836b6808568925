"""Credits, responses and tallies kept up to date by changes, against a slow reference that computes all anew."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlmodel import Session

from campaigns.results import sums
from campaigns.results.catch_up import catch_up
from campaigns.results.responses import known_by_now, note_known, work_out_due
from campaigns.results.tally import forget_tally, tallies, tally_batches
from store.engine import reading, table_of, transaction
from store.imports.merging import merge_customers
from store.models import (
    BehaviourEvent,
    Campaign,
    CampaignRun,
    Click,
    Delivery,
    OrderCredit,
    ResponseDue,
    RunResponse,
    RunTally,
    SalesOrder,
    SendBatch,
)
from tests.campaigns.results.conftest import DAY, Story
from tests.conftest import StillClock
from tests.factories import make_customer


def rows_of(session: Any, model: Any) -> list[Any]:
    return list(session.execute(select(table_of(model))).all())


class Reference:
    """Everything from the facts, order by order and person by person, as domain.md says it."""

    def __init__(self, engine: Engine) -> None:
        with reading(engine) as session:
            self.campaigns = {c.id: c for c in rows_of(session, Campaign)}
            self.runs = {r.id: r for r in rows_of(session, CampaignRun)}
            self.batches = {(b.run_id, b.batch_number): b for b in rows_of(session, SendBatch)}
            self.deliveries = rows_of(session, Delivery)
            self.orders = [o for o in rows_of(session, SalesOrder) if o.status == "paid"]
            self.clicks = [c for c in rows_of(session, Click) if c.kind == "person" and c.run_id is not None]
            self.left = [e for e in rows_of(session, BehaviourEvent) if e.kind == "unfollow"]

    def state(self, d: Any) -> tuple[str, datetime | None]:
        b = self.batches.get((d.run_id, d.batch_number))
        if d.state == "chosen" and b is not None and b.state in ("accepted", "failed", "unknown"):
            return b.state, b.sent_at
        return d.state, d.sent_at

    def days(self, run_id: int) -> timedelta:
        return timedelta(days=self.campaigns[self.runs[run_id].campaign_id].conversion_days)

    def person_of(self, click: Any) -> int | None:
        if click.customer_id is None:
            return click.tapped_by_id  # type: ignore[no-any-return]
        return click.customer_id if click.tapped_by_id in (None, click.customer_id) else None

    def in_window(self, run_id: int, at: datetime) -> bool:
        run = self.runs[run_id]
        closes_at: datetime = (run.reply_until or run.fired_at) + self.days(run_id)
        return bool(run.fired_at <= at < closes_at)

    def credits(self) -> set[tuple[Any, ...]]:
        found = set()
        for order in self.orders:
            mine = {d.run_id: self.state(d) for d in self.deliveries if d.customer_id == order.customer_id}
            taps = [
                (c.clicked_at, c.id, c.run_id)
                for c in self.clicks
                if self.person_of(c) == order.customer_id
                and c.run_id in mine
                and mine[c.run_id][0] not in ("held_out", "skipped")
                and c.clicked_at <= order.ordered_at < c.clicked_at + self.days(c.run_id)
            ]
            sent = [
                (at, run_id, run_id)
                for run_id, (state, at) in mine.items()
                if state == "accepted" and at is not None and at <= order.ordered_at < at + self.days(run_id)
            ]
            for basis, moments in (("tap", taps), ("delivery", sent)):
                if moments:
                    found.add((order.id, basis, max(moments)[2], order.customer_id, order.total))
        return found

    def last_run(self, order: Any, campaign_id: int) -> int | None:
        """The last run of a campaign before an order in whose window it lies, and that has its person on a side."""
        runs = [
            (self.runs[d.run_id].fired_at, d.run_id)
            for d in self.deliveries
            if d.customer_id == order.customer_id
            and self.runs[d.run_id].campaign_id == campaign_id
            and self.in_window(d.run_id, order.ordered_at)
            and (self.state(d)[0] != "skipped" or d.variant_id is not None)
        ]
        return max(runs)[1] if runs else None

    def responses(self) -> dict[tuple[int, int], tuple[Any, ...]]:
        found, credited = {}, self.credits()
        for d in self.deliveries:
            state, _ = self.state(d)
            tapped = state not in ("held_out", "skipped") and any(
                c.run_id == d.run_id and self.person_of(c) == d.customer_id for c in self.clicks
            )
            channel = self.campaigns[self.runs[d.run_id].campaign_id].channel_id
            gone = any(
                e.customer_id == d.customer_id and e.channel_id == channel and self.in_window(d.run_id, e.occurred_at)
                for e in self.left
            )
            paid = [
                o.total
                for o in self.orders
                if o.customer_id == d.customer_id and self.in_window(d.run_id, o.ordered_at)
            ]
            own = [
                o.total
                for o in self.orders
                if o.customer_id == d.customer_id and self.last_run(o, self.runs[d.run_id].campaign_id) == d.run_id
            ]
            by = {
                basis: [c[4] for c in credited if c[1:4] == (basis, d.run_id, d.customer_id)]
                for basis in ("tap", "delivery")
            }
            if tapped or gone or paid or by["tap"] or by["delivery"]:
                found[d.run_id, d.customer_id] = (
                    d.variant_id, d.segment or "none", state, tapped, gone, len(paid), sum(paid, Decimal(0)),
                    len(own), sum(own, Decimal(0)),
                    len(by["tap"]), sum(by["tap"], Decimal(0)), len(by["delivery"]), sum(by["delivery"], Decimal(0)),
                )  # fmt: skip
        return found

    def tallies(self) -> Counter[tuple[Any, ...]]:
        counted: Counter[tuple[Any, ...]] = Counter()
        for d in self.deliveries:
            state, _ = self.state(d)
            b = self.batches.get((d.run_id, d.batch_number))
            reason = d.reason or (b.problem or "" if b is not None and state != d.state else "")
            counted[d.run_id, d.variant_id, d.segment or "none", state, reason, d.by_reply] += 1
        return counted


def sums_key(one: sums.Sums) -> tuple[Any, ...]:
    return one.run_id, one.variant_id, one.segment, one.state


def check(engine: Engine) -> None:
    reference = Reference(engine)
    with reading(engine) as session:
        credited = {
            (c.sales_order_id, c.basis, c.run_id, c.customer_id, c.amount) for c in rows_of(session, OrderCredit)
        }
        responses = {(r.run_id, r.customer_id): tuple(r)[2:] for r in rows_of(session, RunResponse)}
        counted = Counter[tuple[Any, ...]]()
        for t in tallies(session, list(reference.runs)):
            counted[t.run_id, t.variant_id, t.segment, t.state, t.reason, t.by_reply] += t.people
        kept = {sums_key(one): one for one in sums.response_sums(session, list(reference.runs))}
        fresh = {sums_key(one): one for one in sums._summed(session, list(reference.runs))}
        assert session.scalar(select(func.count()).select_from(table_of(ResponseDue))) == 0
    assert credited == reference.credits()
    assert responses == reference.responses()
    assert kept == fresh
    assert counted == reference.tallies()


class Chaos:
    """Random facts in a random order, with pieces of the job in between."""

    def __init__(self, story: Story, seed: int) -> None:
        self.story, self.random = story, random.Random(seed)
        with transaction(story.engine) as session:
            self.people = [make_customer(session).id or 0 for _ in range(6)]
        self.campaigns = [story.campaign_id, story.another_campaign(2), story.another_campaign(14)]
        self.now = story.at
        self.planned: list[int] = []
        self.runs: list[int] = []
        self.orders: list[int] = []
        for _ in range(3):
            self.fire()
            self.freeze()

    def moment(self) -> datetime:
        """Some time up to now: facts are often heard of late."""
        return self.now - timedelta(hours=self.random.randrange(0, 72))

    def fire(self) -> None:
        self.now += timedelta(minutes=1)
        way = self.random.choice(("push", "multicast"))
        campaign_id = self.random.choice(self.campaigns)
        self.planned.append(self.story.run(self.now, "planned", campaign_id, way=way, frozen_at=None))

    def freeze(self) -> None:
        if not self.planned:
            return
        pick = self.random
        with reading(self.story.engine) as session:
            row = session.get_one(CampaignRun, self.planned.pop())
            run, way = row.id or 0, row.way
        later = {who: self.now + timedelta(minutes=pick.randrange(0, 60)) for who in self.people}
        for who in self.people:
            kind = pick.choice(("held_out", "skipped", "batch", "batch", "batch", "none"))
            segment = pick.choice(("important_value", None))
            if kind == "batch":
                state = "chosen" if way == "multicast" else pick.choice(("chosen", "accepted", "failed"))
                sent_at = later[who] if state == "accepted" else None
                number = pick.choice((1, 2))
                self.story.person(run, state, who, sent_at=sent_at, batch_number=number, segment=segment)
            elif kind != "none":
                reason = "refused" if kind == "skipped" else None
                self.story.person(run, kind, who, segment=segment, reason=reason)
        for number in (1, 2):  # never without its people, as when freezing: an empty one may be tallied at once
            self.story.batch(run, number)
        with transaction(self.story.engine) as session:
            row = session.get_one(CampaignRun, run)
            row.state, row.frozen_at = "sending", self.now
            session.add(row)
        self.runs.append(run)

    def freeze_all(self) -> None:
        while self.planned:
            self.freeze()

    def finish_batch(self) -> None:
        run, number = self.random.choice(self.runs), self.random.choice((1, 2))
        with reading(self.story.engine) as session:
            row = session.get_one(CampaignRun, run)
            done = session.get_one(SendBatch, (run, number)).state != "due"
        if done:
            return
        at = self.now
        if row.way == "multicast":
            state = self.random.choice(("accepted", "failed", "unknown"))
            self.story.change_batch(run, number, state=state, sent_at=at if state == "accepted" else None, problem="x")
            return
        with transaction(self.story.engine) as session:  # as the sending does: claimed, recorded, let go
            found = select(Delivery).where(
                table_of(Delivery).c.run_id == run,
                table_of(Delivery).c.batch_number == number,
                table_of(Delivery).c.state == "chosen",
            )
            for one in session.scalars(found):
                one.state, one.sent_at = self.random.choice((("accepted", at), ("unknown", None)))
                session.add(one)
        self.story.change_batch(run, number, state="done", is_tallied=False)

    def finish_run(self) -> None:
        run = self.random.choice(self.runs)
        with transaction(self.story.engine) as session:
            row = session.get_one(CampaignRun, run)
            batches = [session.get_one(SendBatch, (run, number)).state for number in (1, 2)]
            if "due" not in batches and row.finished_at is None:
                row.state, row.finished_at = "sent", self.story.at
                session.add(row)

    def new_order(self) -> None:
        total = str(self.random.randrange(1, 50) * 10)
        self.orders.append(self.story.order(self.random.choice(self.people), self.moment(), total))

    def change_order(self) -> None:
        if not self.orders:
            return
        change = self.random.choice(("customer_id", "status", "ordered_at", "total"))
        values = {
            "customer_id": self.random.choice(self.people),
            "status": self.random.choice(("paid", "refunded", "cancelled")),
            "ordered_at": self.moment(),
            "total": Decimal(self.random.randrange(1, 50)),
        }
        self.story.change_order(self.random.choice(self.orders), **{change: values[change]})

    def tap(self) -> None:
        run, who = self.random.choice(self.runs), self.random.choice(self.people)
        kind = self.random.choice(("person", "person", "robot", "forward"))
        if self.random.random() < 0.3:
            self.story.tap(run, None, self.moment(), kind, tapped_by_id=who)
        else:
            self.story.tap(run, who, self.moment(), kind)

    def leave(self) -> None:
        self.story.leave(self.random.choice(self.people), self.moment())

    def merge(self) -> None:
        """Somebody known by LINE alone turns out to be somebody else."""
        if len(self.people) < 5 or self.random.random() < 0.7:
            return
        old, new = self.random.sample(self.people, 2)
        delivery = table_of(Delivery)
        with reading(self.story.engine) as session:  # it comes only where the member could not be sent to
            both = select(delivery.c.run_id).where(delivery.c.customer_id == old)
            sent = select(delivery.c.run_id).where(
                delivery.c.customer_id == new, delivery.c.state != "skipped", delivery.c.run_id.in_(both)
            )
            if session.execute(sent).first() is not None:
                return
        with self.story.engine.begin() as connection:
            merge_customers(connection, {old: new})
        self.people.remove(old)

    def job(self) -> None:
        def note(session: Session) -> None:
            if known := known_by_now(session):
                note_known(session, known)

        def tick() -> None:
            with transaction(self.story.engine) as session:
                self.random.choice((work_out_due, note, tally_batches))(session)

        self.random.choice((tick, self.story.catch_up))()

    def play(self, steps: int) -> None:
        acts = (
            self.new_order, self.new_order, self.change_order, self.change_order, self.tap, self.tap, self.leave,
            self.finish_batch, self.finish_batch, self.finish_run, self.fire, self.freeze, self.merge,
            self.job, self.job,
        )  # fmt: skip
        for _ in range(steps):
            self.now += timedelta(minutes=self.random.randrange(0, 300))
            self.random.choice(acts)()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_in_whatever_order_it_ends_as_if_computed_anew(
    engine: Engine, clock: StillClock, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "WORTH_KEEPING", 1)
    story = Story(engine, clock)
    chaos = Chaos(story, seed)
    for _ in range(3):
        chaos.play(60)
        chaos.freeze_all()
        story.catch_up()
        check(engine)


def test_the_tally_can_be_thrown_away_and_counted_anew(engine: Engine, clock: StillClock) -> None:
    story = Story(engine, clock)
    chaos = Chaos(story, 11)
    chaos.play(80)
    chaos.freeze_all()
    story.catch_up()
    for run_id in chaos.runs:
        with transaction(engine) as session:
            forget_tally(session, run_id)
    check(engine)  # counted live
    story.catch_up()
    check(engine)


def test_the_sums_of_a_run_that_is_over_are_one_set(engine: Engine, clock: StillClock) -> None:
    story = Story(engine, clock)
    run = story.run(state="sending")
    for number in range(1, 31):
        story.batch(run, number, "done")
        story.person(run, batch_number=number)
    story.person(run, "held_out", batch_number=None)
    story.catch_up()
    tally = table_of(RunTally)
    with transaction(engine) as session:
        assert session.scalar(select(func.count()).select_from(tally)) == 31
        row = session.get_one(CampaignRun, run)
        row.state, row.finished_at = "sent", story.at
        session.add(row)
    story.catch_up()
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(tally)) == 2
        assert session.get_one(CampaignRun, run).tallied_at == clock()
    assert story.results().deliveries["accepted"] == 30


def test_an_order_that_comes_while_the_audience_is_frozen_is_not_missed(story: Story) -> None:
    run = story.run(state="planned", frozen_at=None)
    with transaction(story.engine) as session:
        who = make_customer(session).id or 0
    story.order(who, story.at + DAY)
    story.catch_up()  # sees no delivery yet
    story.person(run, who=who)
    with transaction(story.engine) as session:
        row = session.get_one(CampaignRun, run)
        row.state, row.frozen_at = "sending", story.at
        session.add(row)
    assert story.results().total.sent.orders == 1
    check(story.engine)


def test_orders_of_people_in_no_run_leave_nothing_to_do(story: Story) -> None:
    run = story.run()
    story.person(run)
    with transaction(story.engine) as session:
        stranger = make_customer(session).id or 0
    story.order(stranger, story.at)
    with reading(story.engine) as session:
        assert session.scalar(select(func.count()).select_from(table_of(ResponseDue))) == 0


def test_two_workers_catch_up_beside_each_other(
    engine: Engine, clock: StillClock, in_threads: Callable[..., None]
) -> None:
    story = Story(engine, clock)
    chaos = Chaos(story, 21)
    chaos.play(100)

    def work() -> None:
        for _ in range(5):
            catch_up(engine, clock)

    in_threads(work, work, lambda: chaos.play(40))
    chaos.freeze_all()
    story.catch_up()
    check(engine)
