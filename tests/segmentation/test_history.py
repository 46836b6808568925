"""Who was in which segment when, who moved, and how sizes went: against a plain replay, on both databases."""

import itertools
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from segmentation.history import (
    history_of,
    movements,
    newest_change_id,
    relabelling_runs,
    segment_at,
    sizes_over_time,
    transitions,
)
from segmentation.models import MODELS
from segmentation.renew import Ground, renew_changed, renew_everyone
from segmentation.settings import SegmentSettings
from store.changes import note_changes
from store.engine import reading, table_of, transaction
from store.errors import NotFound
from store.models import SegmentChange, SegmentRun
from tests.conftest import StillClock
from tests.factories import make_customer, make_order
from tests.segmentation.test_renew import TAIPEI, WalkingClock

START = date(2026, 1, 1)
STATES = ("N", "E", "S1", "S2", "L", "never")
SETTINGS = SegmentSettings()


def write_random_history(engine: Engine, seed: int) -> list[tuple[str, Any]]:
    """A history as runs and renewals write it, days of runs in any order; what was written, in order, as ("run", day)
    and ("change", (id, customer, day, before, after, is single))."""
    chance = random.Random(seed)
    written: list[tuple[str, Any]] = []
    with transaction(engine) as session:
        people = [make_customer(session).id or 0 for _ in range(8)]
        now: dict[int, str | None] = dict.fromkeys(people)
        at = datetime(2026, 1, 1, tzinfo=TAIPEI)
        for _ in range(25):
            is_single = chance.random() < 0.5
            day = START + timedelta(days=chance.randrange(12))
            run = None
            if not is_single:
                run = SegmentRun(as_of=day, state="finished", started_at=at, lease_until=at, finished_at=at)
                session.add(run)
                session.flush()
            for who in chance.sample(people, 1 if is_single else chance.randrange(5)):
                before, after = now[who], chance.choice(STATES)
                of: dict[str, Any] = {"customer_id": who, "run_id": run.id if run else None, "as_of": day}
                change = SegmentChange(**of, changed_at=at, old_nesl=before, nesl=after, nes="N")
                session.add(change)
                session.flush()
                now[who] = after
                written.append(("change", (change.id, who, day, before, after, is_single)))
            if run is not None:
                run.last_change_id = max((row[0] for kind, row in written if kind == "change"), default=0)
                written.append(("run", day))
            at += timedelta(hours=1)
    return written


def replayed(written: list[tuple[str, Any]], day: date) -> dict[int, str]:
    """The plain way: the newest results for days up to `day`, and everything written until then."""
    ends = [
        (row if kind == "run" else row[2], place)
        for place, (kind, row) in enumerate(written)
        if kind == "run" or row[5]
    ]
    known = [(of, place) for of, place in ends if of <= day]
    if not known:
        return {}
    state: dict[int, str] = {}
    for kind, row in written[: max(known)[1] + 1]:
        if kind == "change":
            state[row[1]] = row[4]
    return state


@pytest.mark.parametrize("seed", range(4))
def test_segments_and_transitions_of_any_days_are_those_of_a_plain_replay(engine: Engine, seed: int) -> None:
    written = write_random_history(engine, seed)
    days = [START + timedelta(days=number) for number in range(-1, 13)]
    states = {day: replayed(written, day) for day in days}
    with reading(engine) as session:
        for day in days:
            assert segment_at(session, "nesl", day) == states[day], day
        for first, last in itertools.product(days[::3], days[::4]):
            people = states[first].keys() | states[last].keys()
            expected = Counter((states[first].get(who), states[last].get(who)) for who in people)
            assert transitions(session, "nesl", first, last) == expected


def test_the_feed_gives_every_movement_once_in_order_whatever_the_step(engine: Engine) -> None:
    written = write_random_history(engine, 7)
    moved = [row for kind, row in written if kind == "change" and row[3] != row[4]]
    with reading(engine) as session:
        assert newest_change_id(session) == max(row[0] for kind, row in written if kind == "change")
        for step in (1, 3, 1_000):
            found: list[tuple[int, int, str | None, str | None]] = []
            while some := movements(session, "nesl", after_id=found[-1][0] if found else 0, limit=step):
                found += [(m.id, m.customer_id, m.before, m.after) for m in some]
            assert found == [(row[0], row[1], row[3], row[4]) for row in moved]
        some_after, some_before = moved[-1][4], moved[-1][3]
        into = [m.id for m in movements(session, "nesl", from_=some_before, to=some_after)]
        assert into == [row[0] for row in moved if (row[3], row[4]) == (some_before, some_after)]
        with pytest.raises(NotFound):
            movements(session, "nothing")


def test_movements_of_a_span_of_time_take_its_start_and_not_its_end(engine: Engine) -> None:
    write_random_history(engine, 3)
    with reading(engine) as session:
        times = list(session.scalars(select(table_of(SegmentChange).c.changed_at)))
        since, until = sorted(times)[3], sorted(times)[-2]
        found = {m.changed_at for m in movements(session, "nesl", since=since, until=until)}
    assert found
    assert since <= min(found)
    assert max(found) < until


def test_a_customers_history_names_each_model_and_only_its_moves(engine: Engine, clock: StillClock) -> None:
    ground = Ground(engine, TAIPEI, WalkingClock(clock.now))
    with transaction(engine) as session:
        one = make_customer(session)
    renew_everyone(ground, SETTINGS)
    with transaction(engine) as session:
        make_order(session, one, ordered_at=ground.clock(), total=Decimal(5))
        note_changes(session, [one.id or 0], ground.clock())
    renew_changed(ground, SETTINGS)
    with reading(engine) as session:
        history = history_of(session, one.id or 0)
        nobody = history_of(session, 10**9)
    assert set(history) == set(MODELS) == set(nobody)
    assert [(m.before, m.after) for m in history["nesl"]] == [(None, "never"), ("never", "N")]
    assert [(m.before, m.after) for m in history["activity"]] == [(None, "none"), ("none", "new")]
    assert not any(nobody.values())


def test_sizes_over_time_are_of_each_days_newest_whole_run(engine: Engine, clock: StillClock) -> None:
    ground = Ground(engine, TAIPEI, WalkingClock(clock.now))
    with transaction(engine) as session:
        one, _ = make_customer(session), make_customer(session)
        make_order(session, one, ordered_at=ground.clock() - timedelta(days=20), total=Decimal("12.5"))
    first, second = date(2026, 11, 3), date(2026, 11, 20)
    renew_everyone(ground, SETTINGS, as_of=first)
    renew_everyone(ground, SETTINGS, as_of=second)
    renew_everyone(ground, SegmentSettings(cycle=100), as_of=second)
    with reading(engine) as session:
        sizes = sizes_over_time(session, "nesl")
        assert sizes == {
            first: {"N": (1, Decimal("12.5")), "never": (1, Decimal(0))},
            second: {"N": (1, Decimal("12.5")), "never": (1, Decimal(0))},
        }
        assert sum(count for count, _ in sizes_over_time(session, "nesl_personal")[second].values()) == 2
        with pytest.raises(NotFound):
            sizes_over_time(session, "nothing")


def test_runs_that_move_people_who_did_nothing_are_told_apart(engine: Engine) -> None:
    clock = WalkingClock(datetime(2026, 11, 2, 4, tzinfo=UTC))
    ground, settings, run_table = Ground(engine, TAIPEI, clock), SegmentSettings(), table_of(SegmentRun)
    with transaction(engine) as session:
        for days in (5, 40, 70, 100):
            make_order(session, make_customer(session), ordered_at=clock() - timedelta(days=days))
    day = date(2026, 11, 3)
    first = renew_everyone(ground, settings, as_of=day).run_id
    next_day = renew_everyone(ground, settings, as_of=day + timedelta(days=25)).run_id
    other = SegmentSettings(cycle=60)
    redrawn = renew_everyone(ground, other, as_of=day + timedelta(days=25)).run_id
    after = renew_everyone(ground, other, as_of=day + timedelta(days=40)).run_id
    earlier = renew_everyone(ground, other, as_of=day).run_id
    back = renew_everyone(ground, other, as_of=day + timedelta(days=41)).run_id
    last = renew_everyone(ground, other, as_of=day + timedelta(days=90)).run_id
    runs = [first, next_day, redrawn, after, earlier, back, last]
    assert sorted(set(runs)) == runs
    moving = (first, redrawn, earlier, back)
    with transaction(engine) as session:
        assert relabelling_runs(session, 0) == list(moving)
        rows = session.execute(select(run_table.c.id, run_table.c.last_change_id))
        ends = {row.id: row.last_change_id for row in rows}
        for number, one in enumerate(runs):  # wherever one reads on from
            assert relabelling_runs(session, ends[one]) == [run for run in moving if run in runs[number + 1 :]]
        session.execute(update(run_table).where(run_table.c.id == last).values(state="running"))
        assert relabelling_runs(session, ends[back]) == []
        session.execute(update(run_table).where(run_table.c.id == last).values(settings={"chosen": settings.as_dict()}))
        assert relabelling_runs(session, ends[back]) == [last]
