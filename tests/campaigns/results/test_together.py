"""Runs of a campaign added up: what many small ones tell together, and what the same people can't tell twice."""

from datetime import timedelta

import numpy as np
import pytest

from campaigns.results.lift import Arm, conversion_lift
from campaigns.results.runs import results_by_run, runs_of
from campaigns.results.together import by_step, campaign_results, times_each, together
from store.engine import reading
from tests.campaigns.results.conftest import Story

MINUTE = timedelta(minutes=1)


def test_the_small_runs_of_an_automation_tell_together_what_none_tells_alone(story: Story) -> None:
    runs = [story.run(story.at + n * MINUTE, by_enrolment=True) for n in range(30)]
    for place, run in enumerate(runs):
        side = "held_out" if place % 3 == 0 else "accepted"  # one person each: no run has both sides
        for _ in range(2):
            who = story.person(run, side)
            if side == "accepted" or place == 0:
                story.order(who, story.at + timedelta(hours=1))
    results = story.results()
    with reading(story.engine) as session:
        assert all(one.lift is None for one in results_by_run(session, runs).values())
        assert times_each(session, runs) == {story.campaign_id: 1.0}
    assert results.lift is not None
    assert results.lift.people == 40
    alone = conversion_lift(Arm(40, 40), Arm(20, 2))
    assert results.lift.buyers == alone
    assert results.variant_lifts[story.variant_id].buyers == alone


def letters(
    story: Story, count: int, apart: timedelta, *, sent: int, held: int
) -> tuple[list[int], list[int], list[int]]:
    """So many runs, each to the same people: the runs, who was sent to and who was held out."""
    runs = [story.run(story.at + n * apart) for n in range(count)]
    arms = {"accepted": [story.person(runs[0]) for _ in range(sent)]}
    arms["held_out"] = [story.person(runs[0], "held_out") for _ in range(held)]
    for run in runs[1:]:
        for state, people in arms.items():
            for who in people:
                story.person(run, state, who=who)
    return runs, arms["accepted"], arms["held_out"]


def test_a_letter_to_the_same_people_every_week_is_as_wide_as_one(story: Story) -> None:
    runs, sent, held = letters(story, 4, timedelta(days=7), sent=12, held=6)
    for run_number in range(4):
        for who in (*sent[:9], *held[:2]):
            story.order(who, story.at + run_number * timedelta(days=7, hours=1))
    results = story.results()
    with reading(story.engine) as session:
        single = results_by_run(session, [runs[0]])[runs[0]]
        assert times_each(session, runs) == {story.campaign_id: 4.0}
        assert together([single], times=4.0).lift == single.lift  # in one run nobody is four times
    assert results.lift is not None
    assert single.lift is not None
    found, one = results.lift.buyers, single.lift.buyers
    assert (found.difference, found.low, found.high) == pytest.approx((one.difference, one.low, one.high))


def test_who_enters_again_counts_for_more_than_who_enters_once(story: Story) -> None:
    runs = [story.run(story.at + n * MINUTE, by_enrolment=True) for n in range(3)]
    often = story.person(runs[0])
    story.person(runs[0])
    story.person(runs[0], "skipped", reason="cap_day")  # on neither side
    for run in runs[1:]:
        story.person(run, who=often)
    other = story.another_campaign(days=7)
    whole = [story.run(story.at + n * MINUTE, campaign_id=other) for n in range(2)]
    with reading(story.engine) as session:
        times = times_each(session, [*runs, *whole])
    assert times == {story.campaign_id: pytest.approx((9 + 1) / 4), other: 2.0}


def test_each_step_is_held_against_those_held_out_of_it(story: Story) -> None:
    first, second = story.run(), story.run(story.at + MINUTE, step_number=2, by_enrolment=True)
    later = story.variant("again")
    sent = [story.person(first) for _ in range(8)]
    held = [story.person(first, "held_out") for _ in range(4)]
    for who in sent[:4]:
        story.person(second, who=who, variant_id=later)
    story.person(second, "held_out", who=held[0], variant_id=None)
    story.order(sent[0], story.at + MINUTE)
    story.order(held[0], story.at + MINUTE)
    results = story.results()
    with reading(story.engine) as session:
        runs = runs_of(session, story.campaign_id)
        steps = by_step(session, runs, results_by_run(session, [first, second]))
        assert by_step(session, runs[:1], results_by_run(session, [second])) == {}
        assert campaign_results(session, story.campaign_id) == results
    assert {n: (one.total.sent.people, one.total.held_out.people) for n, one in steps.items()} == {1: (8, 4), 2: (4, 1)}
    assert results.variant_lifts[later].buyers.difference == pytest.approx(1 / 4 - 1)
    assert results.variant_lifts[story.variant_id].buyers.difference == pytest.approx(1 / 8 - 1 / 4)


def test_a_run_that_was_broken_off_tells_nothing_of_the_lift(story: Story) -> None:
    kept, broken = story.run(), story.run(story.at + MINUTE, state="cancelled")
    for run in (kept, broken):
        who = story.person(run)
        story.person(run, "held_out")
    story.person(broken, "skipped", reason="cancelled")
    story.order(who, story.at + MINUTE)
    with reading(story.engine) as session:
        single = results_by_run(session, [kept])[kept]
    results = story.results()
    assert results.lift is not None
    assert results.lift.people == 1
    assert results.lift.buyers == (single.lift.buyers if single.lift else None)


def test_the_interval_of_people_who_come_again_holds_the_truth() -> None:
    rng = np.random.default_rng(11)
    inside = 0
    for _ in range(600):
        arms = []
        squares = count = 0
        for rate in (0.30, 0.20):
            entered = rng.integers(1, 6, 150)  # so many runs each; whoever buys does so after all of them
            bought = rng.random(150) < rate
            arms.append(Arm(int(entered.sum()), int(entered[bought].sum())))
            squares, count = squares + int((entered**2).sum()), count + int(entered.sum())
        lift = conversion_lift(arms[0], arms[1], times=squares / count)
        assert lift is not None
        inside += lift.low <= 0.10 <= lift.high
    assert inside / 600 >= 0.935


def test_an_order_in_the_windows_of_several_runs_counts_once_in_what_all_brought(story: Story) -> None:
    """A letter to the same people every day: each order is in the windows of up to seven runs."""
    runs, sent, held = letters(story, 10, timedelta(days=1), sent=30, held=20)
    for day in range(10):
        for who in (*sent[:10], *held[:4]):
            story.order(who, story.at + day * timedelta(days=1) + MINUTE, total="100")
    results = story.results()
    assert results.added_revenue is not None
    # 10 of 30 spend 100 a day, and without the letters 4 of 20 would: 30 people bring 1,000 a day in place of 600
    assert results.added_revenue.difference == pytest.approx(10 * (1_000 - 600))
    with reading(story.engine) as session:
        first = results_by_run(session, [runs[0]])[runs[0]]
    assert first.lift is not None
    assert first.lift.revenue is not None
    assert first.lift.revenue.difference == pytest.approx(7 * (1_000 / 30 - 400 / 20))  # its whole window


def test_orders_are_in_the_last_run_before_them_of_each_campaign_and_side(story: Story) -> None:
    other = story.another_campaign(days=7)
    first, second, elsewhere = story.run(), story.run(story.at + MINUTE), story.run(campaign_id=other)
    who = story.person(first)
    story.person(elsewhere, who=who)
    story.person(second, "skipped", who=who, reason="cap_day")  # on neither side of it
    story.order(who, story.at + 2 * MINUTE)
    story.catch_up()
    with reading(story.engine) as session:
        found = results_by_run(session, [first, second, elsewhere])
    assert {key: one.total.own_sent.orders for key, one in found.items()} == {first: 1, second: 0, elsewhere: 1}
