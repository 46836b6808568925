"""Who was in which segment on a day, whatever the order in which the days were computed: against what the orders say,
on both databases."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from segmentation.engine import open_duckdb
from segmentation.reading import read_facts
from segmentation.rules.compile import matching
from segmentation.rules.reading import read_rule
from store.engine import table_of, transaction
from store.models import SegmentChange, SegmentRun
from tests.conftest import StillClock
from tests.segmentation.test_run import AS_OF, TAIPEI, add_customers, run

STATES = ("N", "E", "S1", "S2", "L")
CYCLE = 30


def state_of(ordered: tuple[int, ...], days_before: int) -> str:
    """NESL as of the start of the day so many days before AS_OF, from the orders alone."""
    gone = [ago - days_before for ago in ordered if ago > days_before]
    if not gone:
        return "never"
    fresh = "N" if len(gone) == 1 else "E"
    return (fresh, "S1", "S2", "L")[min((min(gone) - 1) // CYCLE, 3)]


def said(engine: Engine, days: list[int]) -> dict[int, dict[int, set[str]]]:
    """By day (before AS_OF) and customer: the states that a rule says they were in."""
    asked = {
        f"d{day}_{state}": read_rule(
            {"type": "segment", "model": "nesl", "in": [state], "on": str(AS_OF - timedelta(days=day))}
        )
        for day in days
        for state in STATES
    }
    with open_duckdb(TAIPEI) as connection:
        facts = read_facts(connection, engine, "customers", "runs", "changes")
        rows = connection.to_pyarrow(matching(facts, asked, AS_OF + timedelta(days=1), TAIPEI)).to_pylist()
    return {
        day: {row["customer_id"]: {state for state in STATES if row[f"d{day}_{state}"]} for row in rows} for day in days
    }


# One customer each: among several, scores move with each day, and there would be a change for every one of them.
@pytest.mark.parametrize(
    ("ordered", "computed"),
    [
        ((52,), (40, 0, 2)),  # the last finds what the one before it, of a later day, left
        ((90, 50, 45, 5), (30, 4, 0, 10, 2)),  # 10 differs from 4 and 0, between which nothing moved
        ((90, 50, 45, 5), (10, 30, 0, 4, 30, 10)),
    ],
)
def test_a_segment_on_a_day_is_that_of_the_newest_day_computed(
    engine: Engine, clock: StillClock, ordered: tuple[int, ...], computed: tuple[int, ...]
) -> None:
    (one,) = add_customers(engine, [(ago, "10") for ago in ordered])
    for day in computed:
        run(engine, clock, as_of=AS_OF - timedelta(days=day))
        clock.advance(hours=1)
    days = sorted({other for day in computed for other in (day, day + 1, max(day - 1, 0))})
    found = said(engine, days)
    for day in days:
        known = [one for one in computed if one >= day]
        state = state_of(ordered, min(known)) if known else "never"
        assert found[day][one] == ({state} - {"never"}), day


def test_what_single_customers_became_after_a_days_run_goes_before_it(engine: Engine, clock: StillClock) -> None:
    (one, _) = add_customers(engine, [(50, "10")], [(50, "10")])
    run(engine, clock, as_of=AS_OF)
    with transaction(engine) as session:
        values: dict[str, Any] = {"customer_id": one, "changed_at": clock.now, "nes": "E"}
        session.add(SegmentChange(as_of=AS_OF, old_nesl="S1", nesl="E", **values))
    run(engine, clock, as_of=AS_OF - timedelta(days=30))
    assert [said(engine, [day])[day][one] for day in (31, 30, 1, 0)] == [set(), {"N"}, {"N"}, {"E"}]
    with transaction(engine) as session:  # a run that came to nothing is no end
        newest = session.scalar(select(func.max(table_of(SegmentRun).c.id)))
        session.execute(update(SegmentRun).where(table_of(SegmentRun).c.id == newest).values(state="failed"))
    assert said(engine, [0])[0][one] == {"E"}
