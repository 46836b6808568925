"""Who was in which segment when, who moved, and how sizes went: against a plain replay, on both databases."""

import itertools
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from console.segments.sizes import Size, read_sizes
from segmentation.history import (
    history_of,
    in_segment,
    movements,
    segment_at,
    segment_sizes,
    transitions,
)
from segmentation.models import MODELS
from segmentation.renew import Ground, renew_changed, renew_everyone
from segmentation.run import run_segments
from segmentation.settings import SegmentSettings
from segmentation.tags.catalogue import create_tag
from store.changes import note_changes
from store.engine import reading, table_of, transaction
from store.errors import NotFound
from store.models import CustomerSegment, SegmentChange, SegmentRun
from tests.conftest import StillClock
from tests.factories import make_customer, make_order
from tests.segmentation.test_renew import TAIPEI, WalkingClock

CHANGE, RUN = table_of(SegmentChange), table_of(SegmentRun)
START = date(2026, 1, 1)
STATES = ("N", "E", "S1", "S2", "L", "never")
SETTINGS = SegmentSettings()


def write_random_history(engine: Engine, seed: int) -> list[tuple[str, Any]]:
    """A history as runs and renewals write it, days of runs in any order; what was written, in order, as ("run", day)
    and ("change", (id, customer, day, before, after, is single, is relabelled))."""
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
            is_relabelled = chance.random() < 0.2
            if not is_single:
                run = SegmentRun(as_of=day, state="finished", started_at=at, lease_until=at, finished_at=at)
                session.add(run)
                session.flush()
            for who in chance.sample(people, 1 if is_single else chance.randrange(5)):
                before, after = now[who], chance.choice(STATES)
                of: dict[str, Any] = {"customer_id": who, "run_id": run.id if run else None, "as_of": day}
                of["is_relabelled"] = is_relabelled
                change = SegmentChange(**of, changed_at=at, old_nesl=before, nesl=after, nes="N")
                session.add(change)
                session.flush()
                now[who] = after
                written.append(("change", (change.id, who, day, before, after, is_single, is_relabelled)))
            if run is not None:
                run.last_change_id = max((row[0] for kind, row in written if kind == "change"), default=0)
                written.append(("run", day))
            at += timedelta(hours=1)
    return written


def end_of(written: list[tuple[str, Any]], day: date) -> int:
    """How much was written until the newest results for days up to `day`."""
    ends = [
        (row if kind == "run" else row[2], place)
        for place, (kind, row) in enumerate(written)
        if kind == "run" or row[5]
    ]
    known = [(of, place) for of, place in ends if of <= day]
    return max(known)[1] + 1 if known else 0


def replayed(written: list[tuple[str, Any]], end: int) -> dict[int, str]:
    """The plain way: everything written until then."""
    return {row[1]: row[4] for kind, row in written[:end] if kind == "change"}


def walked(written: list[tuple[str, Any]], start: int, end: int) -> Counter[tuple[str | None, str | None]]:
    """From where to where people moved between the two, one after the other; whoever did not is where they end."""
    low, high = sorted((start, end))
    stands = replayed(written, high)
    found: Counter[tuple[str | None, str | None]] = Counter()
    for who in stands:
        moves = [
            row
            for kind, row in written[low:high]
            if kind == "change" and row[1] == who and not row[6] and row[3] != row[4]
        ]
        pair = (moves[0][3], moves[-1][4]) if moves else (stands[who], stands[who])
        found[pair if start <= end else pair[::-1]] += 1
    return found


@pytest.mark.parametrize("seed", range(4))
def test_segments_and_transitions_of_any_days_are_those_of_a_plain_replay(engine: Engine, seed: int) -> None:
    written = write_random_history(engine, seed)
    days = [START + timedelta(days=number) for number in range(-1, 13)]
    ends = {day: end_of(written, day) for day in days}
    with reading(engine) as session:
        for day in days:
            assert segment_at(session, "nesl", day) == replayed(written, ends[day]), day
        for first, last in itertools.product(days[::3], days[::4]):
            assert transitions(session, "nesl", first, last) == walked(written, ends[first], ends[last])


def test_the_feed_gives_every_movement_once_in_order_whatever_the_step(engine: Engine) -> None:
    written = write_random_history(engine, 7)
    moved = [row for kind, row in written if kind == "change" and row[3] != row[4] and not row[6]]
    with reading(engine) as session:
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


def test_who_is_in_a_state_of_nes_is_found_by_nesl(engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        make_customer(session)  # never
        for days in (5, 45, 75, 200):  # E, S1, S2 and L by a cycle of 30
            customer = make_customer(session)
            for more in (0, 20):
                make_order(session, customer, ordered_at=clock() - timedelta(days=days + more))
        make_order(session, make_customer(session), ordered_at=clock() - timedelta(days=5))  # N
    run_segments(engine, as_of=clock().date(), zone=TAIPEI, clock=clock, settings=SegmentSettings(cycle=30))
    row = table_of(CustomerSegment)
    with reading(engine) as session:
        for model in ("nes", "nes_personal", "nesl", "rf4"):
            stored = session.execute(select(row.c.customer_id, row.c[model])).all()
            for segment in MODELS[model]:
                wanted = {who for who, state in stored if state == segment.name}
                for by_customer in (False, True):
                    named = in_segment(row, model, segment.name, by_customer=by_customer)
                    assert set(session.scalars(select(row.c.customer_id).where(named))) == wanted, segment.name
        assert Counter(session.scalars(select(row.c.nes))) == {"never": 1, "N": 1, "E": 1, "S": 3}


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
        sizes = read_sizes(session, "nesl").on
        by_person = read_sizes(session, "nesl_personal").newest
    one_each = {"N": Size(1, Decimal("12.5")), "never": Size(1, Decimal(0))}
    assert sizes == {first: one_each, second: one_each}
    assert sum(size.customers for size in by_person.values()) == 2


def test_a_segment_and_a_tag_may_be_worth_more_than_64_bits_hold(engine: Engine, clock: StillClock) -> None:
    amount, bought = Decimal("600000000000000.5"), {"type": "orders", "measure": "count", "at_least": 1}
    with transaction(engine) as session:
        create_tag(session, "買過", source="rule", definition={"when": bought}, now=clock())
        for number in range(3):
            make_order(session, make_customer(session), ordered_at=clock() - timedelta(days=number), total=amount)
    renew_everyone(Ground(engine, TAIPEI, WalkingClock(clock.now)), SETTINGS)
    with reading(engine) as session:
        now = {one.segment.name: one.value for one in segment_sizes(session, "nesl")}
        kept = {one: read_sizes(session, one).newest for one in ("nesl", "tag")}
    assert now["N"] == 3 * amount
    assert kept["nesl"]["N"] == Size(3, 3 * amount)
    assert kept["tag"]["買過"] == Size(3, 3 * amount)


def test_runs_that_move_people_who_did_nothing_are_told_apart(engine: Engine) -> None:
    clock = WalkingClock(datetime(2026, 11, 2, 4, tzinfo=UTC))
    ground, settings = Ground(engine, TAIPEI, clock), SegmentSettings()
    with transaction(engine) as session:
        for days in (5, 40, 70, 100):
            make_order(session, make_customer(session), ordered_at=clock() - timedelta(days=days))
    day = date(2026, 11, 3)
    first = renew_everyone(ground, settings, as_of=day).run_id
    next_day = renew_everyone(ground, settings, as_of=day + timedelta(days=25)).run_id
    other = SegmentSettings(cycle=60)
    redrawn = renew_everyone(ground, other, as_of=day + timedelta(days=25)).run_id
    after = renew_everyone(ground, other, as_of=day + timedelta(days=60)).run_id
    earlier = renew_everyone(ground, other, as_of=day).run_id
    back = renew_everyone(ground, other, as_of=day + timedelta(days=61)).run_id
    last = renew_everyone(ground, other, as_of=day + timedelta(days=120)).run_id
    runs = [first, next_day, redrawn, after, earlier, back, last]
    assert sorted(set(runs)) == runs
    with reading(engine) as session:
        rows = session.execute(select(CHANGE.c.run_id, CHANGE.c.is_relabelled).distinct()).all()
        history = [move for who in (1, 2, 3, 4) for move in history_of(session, who)["nesl"]]
        feed = movements(session, "nesl")
    assert {row.run_id for row in rows} == set(runs)
    assert sorted(row.run_id for row in rows if row.is_relabelled) == [first, redrawn, earlier, back]
    assert len(rows) == len(runs), "a run moves people, or lines do"
    assert sorted(feed, key=lambda move: move.id) == sorted(
        (move for move in history if not move.is_relabelled), key=lambda move: move.id
    )
    assert 0 < len(feed) < len(history)


def test_a_run_after_one_that_broke_off_is_held_to_the_last_that_was_finished(engine: Engine) -> None:
    ground = Ground(engine, TAIPEI, WalkingClock(datetime(2026, 11, 2, 4, tzinfo=UTC)))
    with transaction(engine) as session:
        make_order(session, make_customer(session), ordered_at=ground.clock() - timedelta(days=40))
    renew_everyone(ground, SegmentSettings())
    other = SegmentSettings(cycle=60)

    def fails(*_: Any) -> None:
        raise ZeroDivisionError

    at = date(2026, 11, 3)
    with pytest.raises(ZeroDivisionError):
        run_segments(engine, as_of=at, zone=TAIPEI, clock=ground.clock, settings=other, also=fails)
    with transaction(engine) as session:
        newest = select(func.max(RUN.c.id)).scalar_subquery()
        session.execute(update(SegmentRun).where(RUN.c.id == newest).values(state="failed"))
        session.execute(update(CustomerSegment).values(nesl="E"))  # as if it had been cut off before
    renew_everyone(ground, other)
    with reading(engine) as session:
        assert [move.is_relabelled for move in history_of(session, 1)["nesl"]] == [True, True, True]
