"""What a run brought, worked out by hand beside it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from campaigns.money.gain import past_lift
from campaigns.results.lift import Arm
from campaigns.results.runs import Credited, run_results
from store.engine import reading, transaction
from store.errors import NotFound
from store.models import CampaignStep, UnitStatistic
from tests.campaigns.results.conftest import DAY, TINY, Story
from tests.conftest import StillClock


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
    story.tap(run, ben, story.at + DAY, kind="forward")
    story.tap(run, cat, story.at + DAY)
    story.order(amy, story.at + 2 * DAY, "120.5")  # after delivery and after a tap
    story.order(amy, story.at + 3 * DAY, "50", status="refunded")
    story.order(ben, story.at + 3 * DAY, "80")  # only a robot tapped
    story.order(cat, story.at + timedelta(hours=1), "70")  # before the tap
    story.order(dan, story.at - TINY, "999")  # before the message
    story.order(eve, story.at + 3 * DAY, "30")  # held out, bought all the same
    story.order(fay, story.at + 8 * DAY, "30")  # too late
    story.leave(dan, story.at + DAY)
    story.leave(eve, story.at - TINY)  # had left before
    results = story.results()
    assert results.deliveries == {
        "chosen": 0, "held_out": 2, "skipped": 2, "accepted": 4, "failed": 1, "unknown": 1,
    }  # fmt: skip
    total = results.total
    assert (total.skipped, total.failed) == ({"refused": 1, "blocked": 1}, {"400: bad": 1})
    assert (total.called, total.messages) == (6, 4)
    assert (results.clicks, results.fetches) == (2, {"person": 3, "robot": 1, "forward": 1})
    assert (results.conversions, results.revenue) == (1, Decimal("120.50"))
    assert total.after_tap == Credited(1, 1, Decimal("120.50"))
    assert total.after_delivery == Credited(3, 3, Decimal("270.50"))
    assert (total.sent.people, total.sent.buyers, total.sent.revenue) == (6, 3, Decimal("270.50"))
    assert total.sent.squares == pytest.approx(120.5**2 + 80**2 + 70**2)
    assert total.held_out == Arm(2, 1, 1, Decimal(30), 900.0)
    assert (total.blocked, total.held_out_blocked) == (1, 0)
    assert results.lift is not None
    assert results.lift.buyers.difference == pytest.approx(0.0)
    assert results.lift.revenue is None  # too few to tell
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
    total = results.total
    assert (results.conversions, total.after_delivery.buyers) == (counts, counts)
    assert (total.sent.buyers, total.held_out.buyers) == (counts, counts)


def test_a_later_tap_opens_a_window_of_its_own(story: Story) -> None:
    run = story.run()
    who = story.person(run)
    story.tap(run, who)
    story.tap(run, who, story.at + 6 * DAY)
    story.order(who, story.at + 9 * DAY)
    assert (story.results().conversions, story.results().revenue) == (1, Decimal(100))


def test_lift_counts_both_sides_from_the_firing_however_late_a_message_went(story: Story) -> None:
    run = story.run(reply_until=story.at + 2 * DAY)
    sent = story.person(run, sent_at=story.at + 2 * DAY)
    held = story.person(run, "held_out")
    for who in (sent, held):
        story.order(who, story.at + DAY)  # before the message, but in the window of both
        story.order(who, story.at + 9 * DAY - TINY)  # seven days after the last free reply
        story.order(who, story.at + 9 * DAY)
    total = story.results().total
    assert (total.sent.orders, total.held_out.orders) == (2, 2)
    assert total.after_delivery.orders == 1


def test_an_order_is_credited_once_over_several_runs(story: Story) -> None:
    first, second = story.run(), story.run(story.at + DAY)
    sent, held = story.person(first), story.person(first, "held_out")
    story.person(second, who=sent, sent_at=story.at + DAY)
    story.person(second, "held_out", who=held)
    for run in (first, second):
        story.tap(run, sent, story.at + DAY)
    story.order(sent, story.at + 2 * DAY)
    story.order(sent, story.at + 7 * DAY + timedelta(hours=1), "11")
    story.order(held, story.at + 2 * DAY)
    results = story.results()
    assert (results.clicks, results.conversions, results.revenue) == (2, 1, Decimal(111))
    assert results.total.after_delivery == Credited(1, 2, Decimal(111))
    with reading(story.engine) as session:
        assert run_results(session, first).total.after_tap == Credited()
        assert run_results(session, first).total.sent.orders == 1  # lift counts it in each run all the same
    assert results.total.held_out.buyers == 2
    assert results.deliveries["accepted"] == 2


def test_people_are_told_apart_by_variant_and_segment(story: Story) -> None:
    run, other = story.run(), story.variant("B")
    people = {}
    for variant in (story.variant_id, other):
        for segment in ("important_value", None):
            people[variant, segment] = story.person(run, variant_id=variant, segment=segment)
    held = story.person(run, "held_out", variant_id=None, segment="important_value")
    story.tap(run, people[other, None])
    story.order(people[other, None], story.at + DAY, "50")
    story.order(held, story.at + DAY, "20")
    results = story.results()
    assert {key: part.clicked for key, part in results.variants.items()} == {story.variant_id: 0, other: 1, None: 0}
    assert {key: part.sent.people for key, part in results.segments.items()} == {"important_value": 2, "none": 2}
    assert results.segments["none"].after_tap.revenue == 50
    assert set(results.variant_lifts) == {story.variant_id, other}  # both against the whole holdout
    assert set(results.segment_lifts) == {"important_value"}  # nobody of the others was held out
    assert results.lift is not None
    single, widened = results.lift.buyers, results.variant_lifts[other].buyers
    assert widened.difference == pytest.approx(-0.5)
    assert widened.high - widened.low > single.high - single.low


def test_a_multicasts_people_follow_their_batch(engine: Engine, clock: StillClock) -> None:
    story = Story(engine, clock, way="multicast")
    run = story.run(state="sending")
    states = ("accepted", "failed", "unknown", "due", "claimed")
    for number, state in enumerate(states, 1):
        story.batch(run, number, state, problem="400: no" if state == "failed" else None)
    who = [[story.person(run, "chosen", batch_number=n, sent_at=None) for _ in range(2)] for n in range(1, 6)]
    story.person(run, "skipped", batch_number=1, reason="refused")
    story.tap(run, None)
    story.tap(run, None)
    story.tap(run, None, tapped_by_id=who[0][0])  # LIFF has told
    for people in who:
        story.order(people[0], story.at + DAY)
    results = story.results()
    assert results.deliveries == {
        "chosen": 4, "held_out": 0, "skipped": 1, "accepted": 2, "failed": 2, "unknown": 2,
    }  # fmt: skip
    assert (results.total.failed, results.total.skipped) == ({"400: no": 2}, {"refused": 1})
    assert (results.clicks, results.unnamed_taps, results.total.clicked) == (3, 2, 1)
    assert results.total.after_delivery == Credited(1, 1, Decimal(100))
    assert results.total.after_tap.orders == 1


def test_who_was_skipped_after_chance_had_spoken_stays_on_the_side_of_those_sent_to(story: Story) -> None:
    """Everybody buys by themselves; half of those meant to be sent to do so before their message comes, and then don't
    get it: no message did anything, and the lift says so."""
    run = story.run()
    sent = [story.person(run) for _ in range(10)]
    gone = [story.person(run, "skipped", reason="goal", variant_id=story.variant_id) for _ in range(10)]
    held = [story.person(run, "held_out", variant_id=None) for _ in range(20)]
    story.person(run, "skipped", reason="cap_day")  # by the gate, before chance spoke
    for who in (*sent[:5], *gone, *held[:15]):
        story.order(who, story.at + DAY)
    total = story.results().total
    assert (total.sent.people, total.sent.buyers) == (20, 15)
    assert (total.held_out.people, total.held_out.buyers) == (20, 15)
    assert (total.deliveries["skipped"], total.skipped) == (11, {"goal": 10, "cap_day": 1})
    lift = story.results().lift
    assert lift is not None
    assert lift.buyers.difference == pytest.approx(0.0)
    with reading(story.engine) as session:
        past = past_lift(session)
    assert (past.sent.tolist(), past.held.tolist()) == ([20.0], [20.0])
    assert past.sent_sum.tolist() == past.held_sum.tolist() == [1500.0]


def test_nothing_is_learned_of_gains_from_a_run_that_was_broken_off(story: Story) -> None:
    run = story.run(state="cancelled")
    story.person(run)
    story.person(run, "held_out")
    story.catch_up()
    with reading(story.engine) as session:
        assert past_lift(session).run == []


def test_nothing_is_learned_of_one_message_from_a_campaign_of_several_steps(story: Story) -> None:
    run = story.run()
    for state in ("accepted", "held_out"):
        story.person(run, state)
    story.catch_up()
    with transaction(story.engine) as session:
        assert len(past_lift(session).run) == 1
        session.add(CampaignStep(campaign_id=story.campaign_id, step_number=2, wait_minutes=60))
        session.flush()
        assert past_lift(session).run == []


def test_there_is_no_lift_of_a_run_that_was_cancelled_midway(story: Story) -> None:
    run = story.run(state="cancelled")
    story.person(run)
    story.person(run, "held_out")
    story.person(run, "skipped", reason="cancelled")
    results = story.results()
    assert (results.lift, results.variant_lifts, results.segment_lifts) == (None, {}, {})


def test_lines_figures_stay_lines_and_null_stays_missing(story: Story) -> None:
    run = story.run()
    with transaction(story.engine) as session:
        session.add(
            UnitStatistic(
                channel_id=story.channel_id, run_id=run, variant_id=story.variant_id, unit="r1", month="2026-11",
                delivered=120, opened=40, clicked=None,
            )
        )  # fmt: skip
    told = story.results().to_json()["line"]
    assert [(one["source"], one["opened"], one["clicked"]) for one in told] == [("LINE, aggregate", 40, None)]


def test_nothing_yet_is_all_zeros(story: Story) -> None:
    results = story.results()
    assert set(results.deliveries.values()) == {0}
    assert (results.clicks, results.conversions, results.revenue, results.lift) == (0, 0, Decimal(0), None)
    with reading(story.engine) as session, pytest.raises(NotFound):
        run_results(session, 999)
