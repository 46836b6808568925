"""Who moved between two days, where that is too much for a page: found out by the worker, kept, and found out anew."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, text

from segmentation.history import transitions
from segmentation.leases import leased
from segmentation.models import MODELS
from segmentation.movement import (
    LEASE,
    LEASE_NAME,
    MOST_CHANGES,
    Movement,
    ask_for_moves,
    ask_for_newest_moves,
    find_asked_moves,
    kept,
    moved,
)
from store.engine import reading, table_of, transaction
from store.errors import NotFound
from store.models import SegmentChange, SegmentMovement, SegmentRun, SegmentSizeOnDay
from tests.conftest import StillClock
from tests.factories import make_customer

FIRST, LAST = date(2026, 10, 26), date(2026, 11, 2)
PEOPLE = 80_000
OTHERS = ("nes", "nesl_personal", "nes_personal", "activity")
NUMBERS = f"WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {PEOPLE})"
# Everybody changes twice. Every fourth becomes E and comes back to N, one in a hundred of all by changed settings,
# which is no move. The others go from N to S1 and on to L, which is one way from N to L.
STEPS = (
    ("N", "CASE WHEN i % 4 = 0 THEN 'E' ELSE 'S1' END", "false"),
    ("CASE WHEN i % 4 = 0 THEN 'E' ELSE 'S1' END", "CASE WHEN i % 4 = 0 THEN 'N' ELSE 'L' END", "i % 100 = 0"),
)
MOVED = {("N", "N"): PEOPLE // 4 - PEOPLE // 100, ("N", "E"): PEOPLE // 100, ("N", "L"): PEOPLE * 3 // 4}
SIZES = {"N": PEOPLE // 4, "L": PEOPLE * 3 // 4}


def finish_run(engine: Engine, day: date, sizes: Mapping[str, int], *, last_change_id: int | None = None) -> None:
    """A whole run for the day is over, after what is written by now (or that change), with these people by segment."""
    with transaction(engine) as session:
        if last_change_id is None:
            last_change_id = session.scalar(select(func.max(table_of(SegmentChange).c.id))) or 0
        at = datetime(2026, 11, 1, tzinfo=UTC)
        times: dict[str, Any] = {"started_at": at, "lease_until": at, "finished_at": at}
        session.add(SegmentRun(as_of=day, state="finished", last_change_id=last_change_id, **times))
        size = table_of(SegmentSizeOnDay)
        session.execute(size.delete().where(size.c.as_of == day))
        rows = [{"as_of": day, "model": "nesl", "segment": s, "customers": n, "value": 0} for s, n in sizes.items()]
        if rows:
            session.execute(insert(size), rows)


def write_changes(engine: Engine, before: str, after: str, relabelled: str) -> None:
    """A change of everybody, in SQL of `i`, the customer's number."""
    before, after = (f"'{words}'" if words.isalnum() else words for words in (before, after))
    columns = "customer_id, as_of, changed_at, is_relabelled, old_nesl, nesl, " + ", ".join(OTHERS)
    values = f"i, '{LAST}', '2026-11-01 00:00+00:00', {relabelled}, {before}, {after}, " + ", ".join(
        ["'N'"] * len(OTHERS)
    )
    with transaction(engine) as session:
        session.execute(text(f"{NUMBERS} INSERT INTO segment_change ({columns}) SELECT {values} FROM numbers"))


@pytest.fixture
def large(engine: Engine) -> Engine:
    """80,000 people who change twice in a week: more than a page reads."""
    people = "INSERT INTO customer (id, attributes, created_at) SELECT i, '{}', '2026-01-01 00:00+00:00' FROM numbers"
    with transaction(engine) as session:
        session.execute(text(f"{NUMBERS} {people}"))
    finish_run(engine, FIRST, {"N": PEOPLE})
    for step in STEPS:
        write_changes(engine, *step)
    finish_run(engine, LAST, SIZES)
    assert PEOPLE * len(STEPS) > MOST_CHANGES
    return engine


def shown(engine: Engine, first: date = FIRST, last: date = LAST) -> Movement:
    with reading(engine) as session:
        return moved(session, "nesl", first, last, SIZES)


def counted(found: Movement) -> dict[tuple[str | None, str | None], int]:
    assert found.counts is not None
    return {pair: people for pair, people in found.counts.items() if people}


def test_more_changes_than_a_page_reads_are_found_out_by_the_worker_once(large: Engine, clock: StillClock) -> None:
    assert (shown(large).counts, shown(large).asked_at) == (None, None)
    assert find_asked_moves(large, clock) == 0
    for _ in range(2):
        with transaction(large) as session:
            ask_for_moves(session, "nesl", FIRST, LAST, clock())
        assert (shown(large).counts, shown(large).asked_at) == (None, datetime(2026, 11, 2, 4, tzinfo=UTC))
        clock.advance(seconds=1)
    with leased(large, LEASE_NAME, LEASE, clock):
        assert find_asked_moves(large, clock) == 0  # another worker is at it
    assert find_asked_moves(large, clock) == 1
    assert find_asked_moves(large, clock) == 0
    found = shown(large)
    assert counted(found) == MOVED
    assert found.relabelled == PEOPLE // 100
    with reading(large) as session:
        assert transitions(session, "nesl", FIRST, LAST) == MOVED
    with transaction(large) as session:
        ask_for_moves(session, "nesl", FIRST, LAST, clock())  # it is there
    assert find_asked_moves(large, clock) == 0


def test_a_day_computed_anew_has_its_moves_found_out_anew(large: Engine, clock: StillClock) -> None:
    with transaction(large) as session:
        ask_for_newest_moves(session, clock())
    assert find_asked_moves(large, clock) == 1  # nesl alone has sizes here
    write_changes(large, "L", "E", "false")
    finish_run(large, LAST, {"E": PEOPLE})
    assert shown(large).counts is None
    with transaction(large) as session:
        ask_for_newest_moves(session, clock())
    assert find_asked_moves(large, clock) == 1
    with reading(large) as session:
        assert counted(moved(session, "nesl", FIRST, LAST, {"E": PEOPLE})) == {("N", "E"): PEOPLE}
    with reading(large) as session, pytest.raises(NotFound):
        ask_for_moves(session, "nothing", FIRST, LAST, clock())


def test_what_nobody_asked_for_lately_is_not_kept(large: Engine, clock: StillClock) -> None:
    older = FIRST - timedelta(days=7)
    finish_run(large, older, {}, last_change_id=0)
    for first in (FIRST, older):
        with transaction(large) as session:
            ask_for_moves(session, "nesl", first, LAST, clock())
        find_asked_moves(large, clock)
        clock.advance(days=31)
    with reading(large) as session:
        assert [row.first_day for row in session.execute(select(kept))] == [older]


def test_an_earlier_day_computed_after_a_later_one_is_told_the_right_way_round(engine: Engine) -> None:
    change = table_of(SegmentChange)
    with transaction(engine) as session:
        people = [make_customer(session).id for _ in range(4)]
    steps = {"late": (LAST, ("E", "E", "S1", "N")), "early": (FIRST, ("N", "E", "E", "N"))}
    former: list[str | None] = [None] * 4
    for day, segments in steps.values():
        same = {"as_of": day, "changed_at": datetime(2026, 11, 1, tzinfo=UTC), "nes": "N"}
        rows = [
            {**same, "customer_id": who, "old_nesl": was, "nesl": becomes}
            for who, was, becomes in zip(people, former, segments, strict=True)
            if was != becomes
        ]
        with transaction(engine) as session:
            session.execute(insert(change), rows)
        former = list(segments)
        finish_run(engine, day, Counter(segments))
    with reading(engine) as session:
        found = moved(session, "nesl", FIRST, LAST, Counter(steps["late"][1]))
        assert counted(found) == transitions(session, "nesl", FIRST, LAST)
    assert counted(found) == {("N", "E"): 1, ("E", "S1"): 1, ("E", "E"): 1, ("N", "N"): 1}


def test_nothing_is_asked_of_the_worker_where_a_page_can_read_it(engine: Engine, clock: StillClock) -> None:
    finish_run(engine, FIRST, {})
    finish_run(engine, LAST, {})
    with transaction(engine) as session:
        for model in MODELS:
            ask_for_moves(session, model, FIRST, LAST, clock())
        assert session.execute(select(table_of(SegmentMovement))).all() == []
