"""What a run brought, worked out by hand beside it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select

from campaigns.planning.schedule import variants_of
from campaigns.results.runs import (
    Bought,
    campaign_results,
    count_message_results,
    lift_of,
    run_results,
    store_message_results,
)
from store.engine import open_engine, reading, table_of, transaction
from store.errors import NotFound
from store.models import Campaign, Click, Customer, Delivery, MessageResult, SendBatch, TrackedLink
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_customer, make_order, make_run

DAY = timedelta(days=1)
TINY = timedelta(microseconds=1)


class Story:
    """One campaign with a link and a window of 7 days; people, taps and orders are added by the test."""

    def __init__(self, engine: Engine, clock: StillClock, way: str = "push") -> None:
        self.engine, self.at = engine, clock() + timedelta(microseconds=123_456)
        with transaction(engine) as session:
            campaign = make_campaign(session, make_channel(session), way=way, conversion_days=7, theme="冬季")
            assert campaign.id is not None
            self.campaign_id = campaign.id
            variant = variants_of(session, campaign.id)[0]
            variant.messages = [{"type": "text", "text": "發熱衣"}]
            self.variant_id = variant.id
            link = TrackedLink(campaign_id=self.campaign_id, url="https://a.example")
            session.add(link)
            session.flush()
            self.link_id = link.id or 0

    def run(self, at: datetime | None = None, state: str = "sent") -> int:
        fired = at or self.at
        with transaction(self.engine) as session:
            campaign = session.get_one(Campaign, self.campaign_id)
            return make_run(session, campaign, scheduled_for=fired, fired_at=fired, state=state).id or 0

    def person(self, run_id: int, state: str = "accepted", who: int | None = None, **fields: Any) -> int:
        with transaction(self.engine) as session:
            customer_id = who or make_customer(session).id or 0
            sent_at = self.at if state == "accepted" else None
            variant_id = None if state == "skipped" else self.variant_id
            facts = {"variant_id": variant_id, "sent_at": sent_at, **fields}
            session.add(Delivery(run_id=run_id, customer_id=customer_id, state=state, **facts))
        return customer_id

    def tap(self, run_id: int, who: int | None, at: datetime | None = None, kind: str = "person") -> None:
        with transaction(self.engine) as session:
            session.add(
                Click(
                    link_id=self.link_id,
                    run_id=run_id,
                    customer_id=who,
                    clicked_at=at or self.at,
                    kind=kind,
                    user_agent="x",
                )
            )

    def order(self, who: int, at: datetime, total: str = "100", status: str = "paid") -> None:
        with transaction(self.engine) as session:
            customer = session.get_one(Customer, who)
            make_order(session, customer, ordered_at=at, total=Decimal(total), status=status)

    def results(self) -> Any:
        with reading(self.engine) as session:
            return campaign_results(session, self.campaign_id)


@pytest.fixture
def story(engine: Engine, clock: StillClock) -> Story:
    return Story(engine, clock)


def test_a_campaign_worked_out_by_hand(story: Story) -> None:
    run = story.run()
    amy, ben, cat, dan = (story.person(run) for _ in range(4))
    eve, fay = (story.person(run, "held_out") for _ in range(2))
    story.person(run, "skipped", reason="refused")
    story.person(run, "skipped", reason="blocked")
    story.person(run, "failed", reason="400: bad")
    story.person(run, "unknown")
    story.tap(run, amy, story.at + DAY)
    story.tap(run, amy, story.at + 2 * DAY)
    story.tap(run, ben, story.at + DAY, kind="robot")
    story.tap(run, cat, story.at + DAY)
    story.order(amy, story.at + 2 * DAY, "120.5")  # after delivery and after a tap
    story.order(amy, story.at + 3 * DAY, "50", status="refunded")
    story.order(ben, story.at + 3 * DAY, "80")  # only a robot tapped
    story.order(cat, story.at + timedelta(hours=1), "70")  # before the tap
    story.order(dan, story.at - TINY, "999")  # before the message
    story.order(eve, story.at + 3 * DAY, "30")  # held out, bought all the same
    story.order(fay, story.at + 8 * DAY, "30")  # too late
    results = story.results()
    assert results.deliveries == {
        "chosen": 0, "held_out": 2, "skipped": 2, "accepted": 4, "failed": 1, "unknown": 1,
    }  # fmt: skip
    assert results.skipped == {"refused": 1, "blocked": 1}
    assert results.failed == {"400: bad": 1}
    assert (results.clicks, results.fetches) == (2, {"person": 3, "robot": 1})
    assert (results.conversions, results.revenue) == (1, Decimal("120.50"))
    assert results.after_delivery == Bought(4, 3, Decimal("270.50"))
    assert results.held_out == Bought(2, 1, Decimal(30))
    assert results.lift.difference == pytest.approx(0.25)
    with reading(story.engine) as session:
        assert run_results(session, run) == results


@pytest.mark.parametrize(
    ("after", "counts"),
    [(-TINY, 0), (timedelta(0), 1), (7 * DAY - TINY, 1), (7 * DAY, 0)],
    ids=["just before", "at once", "last moment", "one moment late"],
)
def test_the_window_opens_with_the_fact_and_closes_after_seven_days(
    story: Story, after: timedelta, counts: int
) -> None:
    run = story.run()
    sent, held = story.person(run), story.person(run, "held_out")
    story.tap(run, sent)
    for who in (sent, held):
        story.order(who, story.at + after)
    results = story.results()
    assert (results.conversions, results.after_delivery.buyers, results.held_out.buyers) == (counts, counts, counts)


def test_a_later_tap_opens_a_window_of_its_own(story: Story) -> None:
    run = story.run()
    who = story.person(run)
    story.tap(run, who)
    story.tap(run, who, story.at + 6 * DAY)
    story.order(who, story.at + 9 * DAY)
    assert (story.results().conversions, story.results().revenue) == (1, 100)


def test_an_order_counts_once_over_several_runs_and_so_does_a_person(story: Story) -> None:
    first, second = story.run(), story.run(story.at + DAY)
    sent, held = story.person(first), story.person(first, "held_out")
    story.person(second, who=sent, sent_at=story.at + DAY)
    story.person(second, "held_out", who=held)
    for run in (first, second):
        story.tap(run, sent, story.at + DAY)
    story.order(sent, story.at + 2 * DAY)
    story.order(sent, story.at + 7 * DAY + timedelta(hours=1), "11")  # in the second run's window only
    results = story.results()
    assert (results.clicks, results.conversions, results.revenue) == (1, 1, 111)
    assert results.after_delivery == Bought(1, 1, Decimal(111))
    assert results.held_out.people == 1
    assert results.deliveries["accepted"] == 2


def test_a_multicasts_people_follow_their_batch(engine: Engine, clock: StillClock) -> None:
    story = Story(engine, clock, way="multicast")
    run = story.run(state="sending")
    states = ("accepted", "failed", "unknown", "due", "claimed")
    with transaction(engine) as session:
        for number, state in enumerate(states, 1):
            session.add(
                SendBatch(
                    run_id=run,
                    batch_number=number,
                    recipient_count=2,
                    state=state,
                    sent_at=story.at if state == "accepted" else None,
                    problem="400: no" if state == "failed" else None,
                )
            )
    who = [[story.person(run, "chosen", batch_number=n) for _ in range(2)] for n in range(1, 6)]
    story.person(run, "skipped", batch_number=1, reason="refused")
    story.tap(run, None)
    story.tap(run, None)
    for people in who:
        story.order(people[0], story.at + DAY)
    results = story.results()
    assert results.deliveries == {
        "chosen": 4, "held_out": 0, "skipped": 1, "accepted": 2, "failed": 2, "unknown": 2,
    }  # fmt: skip
    assert results.failed == {"400: no": 2}
    assert results.skipped == {"refused": 1}
    assert results.clicks == 2  # fetches: nobody knows whose
    assert results.after_delivery == Bought(2, 1, Decimal(100))


def test_a_window_has_whole_days_whatever_the_databases_zone(
    new_database_url: Callable[[str], str], clock: StillClock
) -> None:
    url = new_database_url("postgresql")
    separator = "&" if "?" in url else "?"
    clock.now = datetime.fromisoformat("2026-10-30T12:00Z")  # the clocks of New York go back on 1 November
    engine = open_engine(f"{url}{separator}options=-c%20timezone%3DAmerica/New_York")
    story = Story(engine, clock)
    run = story.run()
    early, late = story.person(run), story.person(run)
    story.order(early, story.at + 7 * DAY - TINY)
    story.order(late, story.at + 7 * DAY)
    assert story.results().after_delivery.buyers == 1
    engine.dispose()


def test_nothing_yet_is_all_zeros(story: Story) -> None:
    results = story.results()
    assert set(results.deliveries.values()) == {0}
    assert (results.clicks, results.conversions, results.revenue, results.lift) == (0, 0, 0, None)
    with reading(story.engine) as session, pytest.raises(NotFound):
        run_results(session, 999)


@pytest.mark.parametrize(
    ("sent", "held", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_lift_is_newcombes_interval(sent: tuple[int, int], held: tuple[int, int], low: float, high: float) -> None:
    lift = lift_of(Bought(sent[1], sent[0], Decimal(0)), Bought(held[1], held[0], Decimal(0)))
    assert lift is not None
    assert [lift.low, lift.high] == pytest.approx([low, high], abs=5e-5)
    assert lift.difference == pytest.approx(sent[0] / sent[1] - held[0] / held[1])


def test_what_keywords_learn_from_is_renewed_and_complete(story: Story) -> None:
    run = story.run()
    known, other = (story.person(run, segment="important_value") for _ in range(2))
    nobody = story.person(run)
    story.person(run, "unknown", segment="important_value")
    story.tap(run, known)
    story.tap(run, known)
    story.tap(run, other, kind="robot")
    result = table_of(MessageResult)

    def rows() -> list[Any]:
        with transaction(story.engine) as session:
            counted = count_message_results(session, now=story.at + DAY)
            assert counted.run_ids == [run]
            store_message_results(session, counted)
            return list(session.execute(select(result).order_by(result.c.segment)).all())

    first = rows()
    assert [(r.segment, r.recipients, r.clicks) for r in first] == [("important_value", 2, 1), ("none", 1, 0)]
    assert {(r.theme, r.message_text, r.sent_at) for r in first} == {("冬季", "發熱衣", story.at)}
    story.tap(run, nobody)
    assert [(r.recipients, r.clicks) for r in rows()] == [(2, 1), (1, 1)]


def test_two_workers_may_store_what_keywords_learn_from_at_once(story: Story, in_threads: Callable[..., None]) -> None:
    run = story.run()
    story.person(run)
    with reading(story.engine) as session:
        counted = count_message_results(session, now=story.at + DAY)

    def store() -> None:
        for _ in range(20):
            with transaction(story.engine) as session:
                store_message_results(session, counted)

    in_threads(store, store, store)
    with reading(story.engine) as session:
        assert len(session.execute(select(table_of(MessageResult))).all()) == 1
