"""Runs of a campaign added up: what many small ones tell together, and what the same people can't tell twice."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from campaigns.results import sums
from campaigns.results.again import times_of
from campaigns.results.lift import Arm, conversion_lift
from campaigns.results.runs import Part, results_by_run, runs_of
from campaigns.results.together import campaign_results, results_and_steps
from store.engine import reading, transaction
from store.models import CampaignStep
from tests.campaigns.results.conftest import DAY, Story

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
        assert times_of(session, [story.campaign_id], {}) == {story.campaign_id: 1.0}
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
        assert times_of(session, [story.campaign_id], {}) == {story.campaign_id: 4.0}
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
    letters_of_other = [story.run(story.at + n * MINUTE, campaign_id=other) for n in range(2)]
    people = [story.person(letters_of_other[0]) for _ in range(3)]
    story.person(letters_of_other[1], who=people[0])  # whoever it is: as if of the three
    story.catch_up()
    with reading(story.engine) as session:
        times = times_of(session, [story.campaign_id, other], {})
    assert times == {story.campaign_id: pytest.approx((9 + 1) / 4), other: pytest.approx((4 + 1 + 1) / 4)}


def test_a_run_under_way_widens_the_interval_as_when_it_is_over(story: Story) -> None:
    """Of letters, and of people who enter one by one, a second time to the same."""
    other = story.another_campaign(days=7)
    runs = {}
    for campaign_id, by_enrolment in ((story.campaign_id, True), (other, False)):
        first, second = (
            story.run(story.at + n * MINUTE, campaign_id=campaign_id, by_enrolment=by_enrolment, state=state)
            for n, state in enumerate(("sent", "sending"))
        )
        for _ in range(2):
            story.person(second, who=story.person(first), state="chosen", batch_number=1)
        story.batch(second, 1)
        runs[second] = 2
    story.catch_up()
    with reading(story.engine) as session:
        assert times_of(session, [story.campaign_id, other], {}) == {story.campaign_id: 1.0, other: 1.0}
        assert times_of(session, [story.campaign_id, other], runs) == {story.campaign_id: 2.0, other: 2.0}
        assert [campaign_results(session, one).times for one in (story.campaign_id, other)] == [2.0, 2.0]


def test_of_steps_people_are_compared_as_chance_told_them_apart_at_the_first(story: Story) -> None:
    """The second step, three days later, is for those who haven't tapped: of those held out all, of those sent to some.
    Nothing has any effect, so no lift may be told; step by step those held out would seem to buy more."""
    with transaction(story.engine) as session:
        session.add(CampaignStep(campaign_id=story.campaign_id, step_number=2, wait_minutes=3 * 24 * 60))
    first, second = story.run(), story.run(story.at + 3 * DAY, step_number=2, by_enrolment=True)
    later = story.variant("again")
    sent = [story.person(first) for _ in range(8)]
    held = [story.person(first, "held_out") for _ in range(4)]
    for who in sent[:4]:
        story.tap(first, who)
    for who in sent[4:]:
        story.person(second, who=who, variant_id=later)
    for who in held:
        story.person(second, "held_out", who=who, variant_id=None)
    for who in (*sent[:2], held[0]):
        story.order(who, story.at + DAY)
    for who in (*sent[2:4], held[1]):  # after the first step's window; two of them were not in the second
        story.order(who, story.at + 9 * DAY)
    for who in (sent[0], held[0]):  # once more: still one buyer
        story.order(who, story.at + 9 * DAY)
    story.order(held[2], story.at + 10 * DAY)  # for those held out no longer than for the others
    results, other = story.results(), story.another_campaign(days=7)
    assert results.sides == (
        Arm(8, 4, 5, Decimal(500), 70_000.0),
        Arm(4, 2, 3, Decimal(300), 50_000.0),
    )
    assert results.lift is not None
    assert (results.lift.people, results.lift.buyers.difference) == (8, 0.0)
    assert later not in results.variant_lifts
    assert results.variant_lifts[story.variant_id].buyers.difference == pytest.approx(2 / 8 - 1 / 4)
    with reading(story.engine) as session:
        whole, steps = results_and_steps(session, story.campaign_id)
        assert (whole, campaign_results(session, story.campaign_id)) == (results, results)
        alone = results_by_run(session, [first, second])
        assert results_and_steps(session, other)[1] == {}
    assert {n: (one.total.sent.people, one.total.held_out.people) for n, one in steps.items()} == {1: (8, 4), 2: (4, 4)}
    assert {n: one.lift is None for n, one in steps.items()} == {1: False, 2: True}
    assert (alone[first].lift is None, alone[second].lift) == (False, None)
    assert steps[1].lift == alone[first].lift


@pytest.mark.parametrize("worth_keeping", [1, 5_000])
def test_what_the_database_adds_up_is_what_each_run_has(
    story: Story, monkeypatch: pytest.MonkeyPatch, worth_keeping: int
) -> None:
    """Letters, small runs of an automation, some of them with kept sums, one broken off, one under way."""
    monkeypatch.setattr(sums, "WORTH_KEEPING", worth_keeping)
    rng = np.random.default_rng(5)
    variants = [story.variant_id, story.variant("B")]
    runs = [
        story.run(story.at + n * MINUTE, by_enrolment=n < 12, state="cancelled" if n == 3 else "sent")
        for n in range(16)
    ]
    runs.append(story.run(story.at + DAY, by_enrolment=True, state="sending"))
    story.batch(runs[-1], 1)
    for run in runs:
        for _ in range(int(rng.integers(1, 6))):
            state = str(rng.choice(["accepted", "accepted", "held_out", "skipped", "failed"]))
            fields = (
                {"variant_id": int(rng.choice(variants))} if state in ("accepted", "failed") else {"variant_id": None}
            )
            segment = str(rng.choice(["important_value", "ordinary_win_back"]))
            reason = {"skipped": "cap_day", "failed": "400"}.get(state)
            who = story.person(run, state, **fields, segment=segment, reason=reason, by_reply=bool(rng.random() < 0.2))
            if state == "accepted" and rng.random() < 0.5:
                story.tap(run, who, at=story.at + DAY)
            if rng.random() < 0.5:
                story.order(who, story.at + 2 * DAY, total=str(rng.integers(10, 900)))
            if rng.random() < 0.2:
                story.leave(who, story.at + DAY)
        story.tap(run, None)
    story.person(runs[3], "skipped", reason="cancelled")
    results = story.results()
    monkeypatch.setattr("campaigns.results.runs.RUNS_AT_ONCE", 4)
    with reading(story.engine) as session:
        each = results_by_run(session, [run.id or 0 for run in runs_of(session, story.campaign_id)])
    assert results.total == sum((one.total for one in each.values()), Part())
    assert results.unnamed_taps == len(runs)
    assert results.fetches == {"person": sum(one.fetches["person"] for one in each.values())}
    for name in ("variants", "segments"):
        keys = {key for one in each.values() for key in getattr(one, name)}
        parts = {key: [getattr(one, name)[key] for one in each.values() if key in getattr(one, name)] for key in keys}
        assert getattr(results, name) == {key: sum(some, Part()) for key, some in parts.items()}
    compared = [one.total for run, one in each.items() if run != runs[3]]
    assert results.sides == (
        sum((one.own_sent for one in compared), Arm()),
        sum((one.own_held_out for one in compared), Arm()),
    )


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
