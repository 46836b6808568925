"""Who moved after a run, sent to beside held out."""

from datetime import timedelta
from typing import Any

import pytest

from campaigns.results.movement import movement_after
from store.engine import reading, transaction
from store.errors import NotFound
from store.models import SegmentChange
from tests.campaigns.results.conftest import DAY, TINY, Story


def changed(
    story: Story, who: int, before: str | None, after: str, after_days: float, *, is_relabelled: bool = False
) -> None:
    at = story.at + timedelta(days=after_days)
    with transaction(story.engine) as session:
        change: dict[str, Any] = {
            "old_nesl": before,
            "nesl": after,
            "nes": after[0],
            "as_of": at.date(),
            "changed_at": at,
            "is_relabelled": is_relabelled,
        }
        session.add(SegmentChange(customer_id=who, **change))


def test_the_first_place_after_the_firing_and_the_last_one_count(story: Story) -> None:
    run = story.run()
    sent = [story.person(run) for _ in range(4)]
    held = [story.person(run, "held_out") for _ in range(2)]
    gone = story.person(run, "skipped", reason="quiet_hours", variant_id=story.variant_id)
    capped = story.person(run, "skipped", reason="cap_day")
    for who in (gone, capped):
        changed(story, who, "S1", "S2", 3)
    changed(story, sent[0], "N", "S1", -1)  # before it
    changed(story, sent[0], "S1", "N", 1)
    changed(story, sent[0], "N", "E", 2)
    changed(story, sent[1], "S1", "E", 3)
    changed(story, sent[2], "E", "E", 3)  # moved in another model
    changed(story, sent[3], "S1", "E", 30)  # after the time asked for
    changed(story, held[0], "S1", "S2", 3)
    changed(story, held[1], "E", "L", 3, is_relabelled=True)  # the settings did
    with reading(story.engine) as session:
        found = movement_after(session, run, "nesl", until=story.at + 7 * DAY)
    assert (found.sent, found.held_out) == (5, 2)  # one was meant to be sent to, and quiet hours came
    assert [(m.before, m.after, m.sent, m.held_out) for m in found.moves] == [("S1", "E", 2, 0), ("S1", "S2", 1, 1)]
    lift = found.moves[0].lift
    assert lift is not None
    assert lift.difference == pytest.approx(0.4)
    assert lift.low < 0 < lift.high  # six people tell nothing


def test_unknown_runs_and_models_are_named(story: Story) -> None:
    with reading(story.engine) as session:
        with pytest.raises(NotFound):
            movement_after(session, 99, "nesl", until=story.at + TINY)
        with pytest.raises(NotFound):
            movement_after(session, story.run(), "zodiac", until=story.at)


def test_where_chance_did_not_choose_the_people_no_lift_of_their_moves_is_told(story: Story) -> None:
    for step_number in (1, 2):
        run = story.run(step_number=step_number)
        changed(story, story.person(run), "S1", "E", 1)
        story.person(run, "held_out")
        with reading(story.engine) as session:
            (move,) = movement_after(session, run, "nesl", until=story.at + 7 * DAY).moves
        assert (move.sent, move.lift is not None) == (1, step_number == 1)
