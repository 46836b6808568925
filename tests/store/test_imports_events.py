"""The brand's own events, from files and posted, on both databases."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
import pytest
from sqlalchemy import Engine, delete
from sqlmodel import select

from store.engine import open_engine, reading, table_of, transaction
from store.errors import BadInput
from store.imports import ImportReport, import_events
from store.imports.events import RESERVED_KINDS
from store.models import AuditEntry, BehaviourEvent, Customer, CustomerChange
from store.posted_events import record_events
from tests.conftest import StillClock
from tests.factories import make_customer

TAIPEI = ZoneInfo("Asia/Taipei")
HEADER = "event_id,customer_id,kind,occurred_at"
Importer = Callable[..., ImportReport]


@pytest.fixture
def importer(engine: Engine, tmp_path: Path, clock: StillClock) -> Importer:
    """Import text as a file of the given name."""

    def run(text: str, name: str = "events.csv", **options: Any) -> ImportReport:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return import_events(engine, path, zone=TAIPEI, clock=clock, **options)

    return run


def stored(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """(member id, kind, time, sku, topic, payload) of every event, by its key."""
    with reading(engine) as session:
        rows = session.exec(select(BehaviourEvent, Customer).where(BehaviourEvent.customer_id == Customer.id))
        return {e.event_key: (c.member_id, e.kind, e.occurred_at, e.sku, e.topic, e.payload) for e, c in rows}


def noted(engine: Engine) -> list[str | None]:
    """Member ids of the customers noted as changed, in the order of the notes."""
    with reading(engine) as session:
        change, customer = table_of(CustomerChange), table_of(Customer)
        found = select(Customer.member_id).join(change, change.c.customer_id == customer.c.id).order_by(change.c.id)
        return list(session.exec(found))


def forget_notes(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(delete(table_of(CustomerChange)))


def test_events_arrive_with_all_their_columns_and_make_their_customers(engine: Engine, importer: Importer) -> None:
    with transaction(engine) as session:
        make_customer(session, member_id="known")
    report = importer(
        f"{HEADER},sku,topic,text,page,price\n"
        "1,known,product_view,2026-01-05 08:00,A-1,,,/a,9.5\n"
        "2,00004,search,2026-01-05T00:00:00Z,,,頭皮 養護,,\n"
        "3,00004,page_view,2026-01-06,,頭皮養護,,,\n"
    )
    assert (report.read, report.added, report.unchanged, report.refused_count) == (3, 3, 0, 0)
    at = datetime(2026, 1, 5, tzinfo=UTC)
    assert stored(engine) == {
        "brand:1": ("known", "product_view", at, "A-1", None, {"page": "/a", "price": "9.5"}),
        "brand:2": ("00004", "search", at, None, None, {"text": "頭皮 養護"}),
        "brand:3": ("00004", "page_view", datetime(2026, 1, 5, 16, tzinfo=UTC), None, "頭皮養護", {}),
    }
    with reading(engine) as session:
        events = session.exec(select(BehaviourEvent)).all()
        assert {(e.source, e.channel_id, e.campaign_id, e.message_id) for e in events} == {("brand", None, None, None)}
        [entry] = session.exec(select(AuditEntry)).all()
    assert (entry.action, entry.detail["added"]) == ("import events", 3)
    assert sorted(filter(None, noted(engine))) == ["00004", "known"]


def test_the_same_file_again_changes_nothing_and_notes_nobody(engine: Engine, importer: Importer) -> None:
    text = f"{HEADER}\n1,a,product_view,2026-01-05\n2,b,search,2026-01-05\n"
    importer(text)
    before = stored(engine)
    forget_notes(engine)
    again = importer(text.replace("search", "add_to_cart") + "3,b,search,2026-01-05\n")
    assert (again.added, again.changed, again.unchanged) == (1, 0, 2)
    after = stored(engine)
    assert after.pop("brand:3")[0] == "b"
    assert after == before
    assert noted(engine) == ["b"]


def test_an_event_whose_customer_was_merged_away_makes_nobody_anew(engine: Engine, importer: Importer) -> None:
    importer(f"{HEADER}\n1,a,product_view,2026-01-05\n")
    with transaction(engine) as session:
        session.execute(table_of(Customer).update().values(member_id="b"))
    assert importer(f"{HEADER}\n1,a,product_view,2026-01-05\n").unchanged == 1
    with reading(engine) as session:
        assert session.exec(select(Customer.member_id)).all() == ["b"]


def test_rows_of_one_event_that_disagree_are_refused_together_and_repeats_count_once(importer: Importer) -> None:
    report = importer(
        f"{HEADER},page\n1,a,search,2026-01-05,x\n1,a,search,2026-01-05,y\n2,a,search,2026-01-05,\n"
        "2,a,search,2026-01-05 00:00,\n"
    )
    assert (report.added, report.refused_count) == (1, 2)
    assert [row for row, _ in report.refused] == [2, 3]


def test_parquet_and_json_lines_keep_further_columns_typed(
    engine: Engine, importer: Importer, tmp_path: Path, clock: StillClock
) -> None:
    moment = datetime(2026, 1, 5, 0, 30, tzinfo=UTC)
    rows = {"event_id": [7], "customer_id": [4], "kind": ["add_to_cart"], "occurred_at": [moment], "count": [2]}
    pq.write_table(pa.table(rows), tmp_path / "made.parquet")
    import_events(engine, tmp_path / "made.parquet", zone=TAIPEI, clock=clock)
    line = {"event_id": "8", "customer_id": "4", "kind": "search", "occurred_at": "2026-01-05", "hits": [1, {"a": 2}]}
    importer(json.dumps(line), name="e.jsonl")
    found = stored(engine)
    assert found["brand:7"] == ("4", "add_to_cart", moment, None, None, {"count": 2})
    assert found["brand:8"][5] == {"hits": [1, {"a": 2}]}


def test_a_file_that_cannot_be_used_is_named(importer: Importer) -> None:
    with pytest.raises(BadInput, match="no column 'kind'"):
        importer("event_id,customer_id,occurred_at\n1,a,2026-01-05\n")


def test_a_file_of_many_chunks_arrives_whole(engine: Engine, importer: Importer) -> None:
    rows = "".join(f"{n},c{n % 700},page_view,2026-01-05 10:{n % 60:02}\n" for n in range(12_001))
    steps: list[tuple[int, int]] = []
    report = importer(f"{HEADER}\n{rows}", progress=lambda done, total: steps.append((done, total)))
    assert report.added == 12_001
    assert len(stored(engine)) == 12_001
    assert steps[-1][0] == steps[-1][1]


def test_refused_rows_are_all_written_down(importer: Importer, tmp_path: Path) -> None:
    importer(f"{HEADER}\n1,a,Search,2026-01-05\n", refused_path=tmp_path / "bad.csv")
    assert (tmp_path / "bad.csv").read_text().splitlines()[1].startswith('"kind is not a name such as product_view')


# --- posted ----------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"event_id": "1", "customer_id": "a", "kind": "search", "occurred_at": "2026-01-05 08:00"}
ODD: list[dict[str, Any]] = [
    {"event_id": ""},
    {"event_id": None},
    {"event_id": "x" * 101},
    {"event_id": "\u3000"},
    {"event_id": 12},
    {"customer_id": " "},
    {"customer_id": "y" * 100},
    {"kind": None},
    {"kind": "product view"},
    {"kind": "Search"},
    {"kind": "k" * 40},
    {"kind": "k" * 41},
    {"kind": "search\n"},
    *({"kind": kind} for kind in RESERVED_KINDS),
    {"occurred_at": ""},
    {"occurred_at": "yesterday"},
    {"occurred_at": "2026-02-30"},
    {"occurred_at": "2024-02-29"},
    {"occurred_at": "20260105"},
    {"occurred_at": "2026/1/5 9:30"},
    {"occurred_at": "2026-01-05T24:00"},
    {"occurred_at": "2026-01-05T23:59:59.123456Z"},
    {"occurred_at": "2026-01-05 00:00:00 -0930"},
    {"occurred_at": "2026-01-05T08:00:00+08"},
    {"occurred_at": "1899-12-31T23:59:59Z"},
    {"occurred_at": "1900-01-01T00:00:00Z"},
    {"occurred_at": "2199-12-31T00:00:00Z"},
    {"occurred_at": "2199-12-31T00:00:01Z"},
    {"occurred_at": "0001-01-01"},
    {"occurred_at": "٢٠٢٦-01-05"},
    {"sku": "s" * 100},
    {"sku": "s" * 101},
    {"sku": ""},
    {"sku": 42},
    {"topic": "t" * 500},
    {"topic": "t" * 501},
    {"text": " 洗髮精 ", "page": "/a", "empty": "", "nothing": None, "count": 2, "price": 9.5, "is_new": False},
    {"text": "w" * 20_100},
    {"page": "a\0b"},
    {"sku": "a\0b"},
]


def test_posted_events_are_judged_and_kept_as_those_from_a_file(
    importer: Importer, engine: Engine, clock: StillClock, new_database_url: Callable[[str], str]
) -> None:
    rows = [{**GOOD, "event_id": f"e{n}", "customer_id": f"c{n % 7}", **change} for n, change in enumerate(ODD)]
    report = importer("\n".join(json.dumps(row) for row in rows), name="all.jsonl")
    other = open_engine(new_database_url(engine.dialect.name))
    try:
        posted = post(other, clock, *rows)
        assert [(place + 1, reason) for place, reason in posted.refused] == report.refused
        assert (posted.added, posted.unchanged) == (report.added, report.unchanged)
        assert stored(other) == stored(engine)
        assert sorted(map(str, noted(other))) == sorted(map(str, noted(engine)))
    finally:
        other.dispose()
    assert 12 < posted.added < len(rows) - 30


def post(engine: Engine, clock: StillClock, *rows: Any) -> Any:
    with transaction(engine) as session:
        return record_events(session, list(rows), zone=TAIPEI, now=clock())


def test_posting_twice_changes_nothing(engine: Engine, clock: StillClock) -> None:
    second = {**GOOD, "event_id": "2", "customer_id": "b"}
    assert post(engine, clock, GOOD, second).added == 2
    assert sorted(filter(None, noted(engine))) == ["a", "b"]
    forget_notes(engine)
    clock.now += timedelta(hours=1)
    again = post(engine, clock, second, {**GOOD, "kind": "page_view"}, {**GOOD, "event_id": "3"})
    assert (again.added, again.unchanged, again.refused) == (1, 2, [])
    assert stored(engine)["brand:1"][1] == "search"
    assert noted(engine) == ["a"]


def test_the_same_event_twice_in_one_list_is_stored_once_and_a_contradiction_is_refused(
    engine: Engine, clock: StillClock
) -> None:
    other = {**GOOD, "event_id": "2"}
    posted = post(engine, clock, GOOD, other, GOOD, {**other, "kind": "page_view"}, other, 7)
    assert (posted.added, posted.unchanged) == (1, 1)
    assert [place for place, _ in posted.refused] == [1, 3, 4, 5]
    assert posted.refused[-1][1] == "not an object"
    assert list(stored(engine)) == ["brand:1"]


def test_a_thousand_events_of_a_thousand_people_go_in_at_once(engine: Engine, clock: StillClock) -> None:
    rows = [{**GOOD, "event_id": str(n), "customer_id": f"c{n}"} for n in range(1_000)]
    assert post(engine, clock, *rows).added == 1_000
    assert len(noted(engine)) == 1_000
