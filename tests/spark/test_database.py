"""A run of the operational database by way of the cluster stores what a run without it would, on both databases."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text

import segmentation.spark.database as database
from segmentation.run import Computed, Hold, run_segments
from store.clock import system_clock
from store.engine import open_engine, reading, transaction
from store.models import BehaviourEvent
from tests.factories import make_customer, make_order
from tests.spark.conftest import Cluster

TAIPEI = ZoneInfo("Asia/Taipei")
TABLE = "SELECT * FROM customer_segment ORDER BY customer_id"


@pytest.fixture
def small_tasks() -> Iterator[None]:
    """Ranges of a few ids, so that many tasks read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "IDS_A_TASK", 40)
        yield


def _fill(engine: Engine) -> None:
    first = datetime(2025, 1, 1, 15, 59, 59, 999_999, tzinfo=UTC)  # a moment before the next day in Taipei
    with transaction(engine) as session:
        customers = [make_customer(session) for _ in range(30)]
        for number in range(150):
            total = Decimal(10**12) if number == 60 else Decimal(number) / 8
            at = first + timedelta(days=7 * number % 500, microseconds=number % 2)
            status = "refunded" if number % 11 == 0 else "paid"
            make_order(session, customers[number % 23], ordered_at=at, total=total, status=status)
        for number, kind in enumerate(["message", "unfollow", "click", "page_view"] * 20):
            at = first + timedelta(days=number * 5)
            customer = None if number % 13 == 0 else customers[(number * 7) % 30].id
            names: dict[str, Any] = {"event_key": f"e{number}", "source": "line", "kind": kind, "payload": {}}
            session.add(BehaviourEvent(**names, customer_id=customer, occurred_at=at, received_at=at))


def _stored(engine: Engine) -> list[dict[str, object]]:
    with reading(engine) as session:
        rows = session.connection().execute(text(TABLE)).mappings()
        return [{name: value for name, value in row.items() if name != "computed_at"} for row in rows]


def test_a_run_on_the_cluster_stores_what_a_run_here_does(engine: Engine, cluster: Cluster, small_tasks: None) -> None:
    _fill(engine)
    day = {"as_of": date(2026, 6, 1), "zone": TAIPEI, "clock": system_clock}
    by_cycles: list[Any] = []

    def look(done: Computed, _hold: Hold) -> None:
        assert done.segmented.by_cycles is not None
        by_cycles.append(done.connection.to_pyarrow(done.segmented.by_cycles).sort_by("customer_id").to_pylist())

    here = run_segments(engine, **day, also=look)  # type: ignore[arg-type]
    stored = _stored(engine)
    assert len(stored) == 30
    assert len({row["activity"] for row in stored}) > 2
    there = run_segments(engine, **day, also=look, spark=cluster.master)  # type: ignore[arg-type]
    assert by_cycles[0] == by_cycles[1] != []
    assert there.unchanged
    assert there.settings == here.settings
    assert _stored(engine) == stored


def test_a_first_run_on_the_cluster_without_any_order(new_database_url: Callable[[str], str], cluster: Cluster) -> None:
    engine = open_engine(new_database_url("sqlite"))
    with transaction(engine) as session:
        make_customer(session)
    found = run_segments(engine, as_of=date(2026, 6, 1), zone=TAIPEI, clock=system_clock, spark=cluster.master)
    assert found.customer_count == 1
    assert [row["nesl"] for row in _stored(engine)] == ["never"]
    engine.dispose()
