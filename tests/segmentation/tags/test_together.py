"""Tags with the rest: renewals after changes, one after the other in one process, and two writers at once."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest
from sqlalchemy import Engine, delete, func, select
from sqlmodel import Session

from segmentation.renew import Ground, renew_changed, renew_everyone
from segmentation.settings import SegmentSettings
from segmentation.tags.catalogue import create_tag
from segmentation.tags.hand import put_on
from segmentation.tags.writing import COLUMNS, SCHEMA, write_differences
from store.changes import note_changes
from store.engine import open_engine, reading, table_of, transaction
from store.models import Customer, CustomerTag, CustomerWord, SalesOrder, SegmentSizeOnDay
from tests.conftest import StillClock
from tests.factories import make_customer, make_order
from tests.segmentation.tags.renewal import AS_OF, TAIPEI, history, on, renew, tags_on

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 2, 4, tzinfo=UTC)
TWICE = {"type": "orders", "measure": "count", "at_least": 2, "window": {"last_days": 30}}


def test_an_order_puts_a_tag_on_within_one_renewal_and_time_takes_it_off(engine: Engine, clock: StillClock) -> None:
    ground = Ground(engine, TAIPEI, clock)
    with transaction(engine) as session:
        create_tag(session, "常客", source="rule", definition={"when": TWICE}, now=clock())
        one, other = make_customer(session), make_customer(session)
        for customer in (one, other):
            make_order(session, customer, ordered_at=clock() - 5 * DAY)
    renew_everyone(ground, SegmentSettings())
    assert "常客" not in tags_on(engine, one.id or 0)
    with transaction(engine) as session:
        make_order(session, one, ordered_at=clock() - DAY)
        note_changes(session, [one.id or 0], clock())
    clock.advance(seconds=2)
    assert renew_changed(ground, SegmentSettings()) == 1
    row = tags_on(engine, one.id or 0)["常客"]
    assert row.since == clock()
    assert "常客" not in tags_on(engine, other.id or 0)
    assert row.falls_off_on is not None
    today = clock().astimezone(TAIPEI).date()
    clock.advance(days=(row.falls_off_on - today).days - 2)  # the computation of a day is as of the next
    renew_everyone(ground, SegmentSettings())
    assert "常客" in tags_on(engine, one.id or 0)
    clock.advance(days=1)
    renew_everyone(ground, SegmentSettings())
    assert "常客" not in tags_on(engine, one.id or 0)
    assert [past.until for past in history(engine, "常客")] == [clock()]


def test_a_move_puts_a_tag_on_in_the_renewal_that_finds_it(engine: Engine, clock: StillClock) -> None:
    ground = Ground(engine, TAIPEI, clock)
    moved = {"type": "moved", "model": "nesl", "from": ["N"], "to": ["E"], "window": {"last_days": 7}}
    with transaction(engine) as session:
        create_tag(session, "又買了", source="rule", definition={"when": moved}, now=clock())
        one = make_customer(session)
        make_order(session, one, ordered_at=clock() - 5 * DAY)
    renew_everyone(ground, SegmentSettings())
    clock.advance(minutes=1)
    with transaction(engine) as session:
        make_order(session, one, ordered_at=clock())
        note_changes(session, [one.id or 0], clock())
    clock.advance(seconds=2)
    assert renew_changed(ground, SegmentSettings()) == 1
    assert tags_on(engine, one.id or 0)["又買了"].since == clock()


def test_a_day_of_the_past_puts_on_and_takes_off_nothing(engine: Engine, clock: StillClock) -> None:
    ground = Ground(engine, TAIPEI, clock)
    today = clock().astimezone(TAIPEI).date()
    with transaction(engine) as session:
        lately = {**TWICE, "at_least": 1, "window": {"last_days": 10}}
        create_tag(session, "近客", source="rule", definition={"when": lately}, now=clock())
        before, now = make_customer(session), make_customer(session)
        make_order(session, before, ordered_at=clock() - 20 * DAY)
        make_order(session, now, ordered_at=clock() - DAY)
    renew_everyone(ground, SegmentSettings())
    kept = history(engine, "近客")
    assert [row.customer_id for row in kept] == [now.id]
    clock.advance(minutes=1)
    renew_everyone(ground, SegmentSettings(), as_of=today - 15 * DAY)
    assert history(engine, "近客") == kept
    with reading(engine) as session:
        assert {row.as_of for row in session.scalars(select(SegmentSizeOnDay)) if row.model == "nesl"} == {
            today - 15 * DAY,
            today + DAY,
        }
    clock.advance(minutes=1)
    renew_everyone(ground, SegmentSettings())
    assert history(engine, "近客") == kept


def test_who_changed_before_a_run_for_a_day_of_the_past_gets_the_tags_after_it(
    engine: Engine, clock: StillClock
) -> None:
    ground = Ground(engine, TAIPEI, clock)
    today = clock().astimezone(TAIPEI).date()
    with transaction(engine) as session:
        create_tag(session, "買過", source="rule", definition={"when": {**TWICE, "at_least": 1}}, now=clock())
        before, now = make_customer(session), make_customer(session)
        make_order(session, before, ordered_at=clock() - 20 * DAY)
    assert not renew_everyone(ground, SegmentSettings()).is_past
    clock.advance(minutes=1)
    with transaction(engine) as session:
        make_order(session, now, ordered_at=clock() - timedelta(seconds=5))
        note_changes(session, [now.id or 0], clock())
    assert renew_everyone(ground, SegmentSettings(), as_of=today - 15 * DAY).is_past
    assert list(tags_on(engine, now.id or 0)) == []
    clock.advance(minutes=1)
    assert renew_changed(ground, SegmentSettings()) == 1
    assert list(tags_on(engine, now.id or 0)) == ["買過"]
    assert renew_changed(ground, SegmentSettings()) == 0


def test_one_renewal_after_another_judges_its_own_customers_at_its_own_time(engine: Engine) -> None:
    with transaction(engine) as session:
        create_tag(session, "貴賓", now=NOW)
        create_tag(session, "常客", source="rule", definition={"when": TWICE}, now=NOW)
        fresh = {"type": "tag", "name": "常客", "days": {"at_most": 1}}
        create_tag(session, "新常客", source="rule", definition={"when": fresh}, now=NOW)
        people = [make_customer(session) for _ in range(3)]
        for place, customer in enumerate(people):
            for number in range(place + 1):
                make_order(session, customer, ordered_at=on(number + 1))
    ids = [customer.id or 0 for customer in people]
    later = on(1, 21)
    for place, moment in ((2, on(1, 20)), (0, later), (1, later)):
        renew(engine, customer_ids=[ids[place]], now=moment)
    assert [set(tags_on(engine, one)) for one in ids] == [set(), {"常客", "新常客"}, {"常客", "新常客"}]
    assert [tags_on(engine, one)["新常客"].since for one in ids[1:]] == [later, on(1, 20)]
    assert {row.falls_off_on for row in history(engine, "新常客")} == {AS_OF + DAY}


@pytest.mark.parametrize("times", range(3))
def test_two_writers_at_once_never_make_two_current_rows(new_database_url: Callable[[str], str], times: int) -> None:
    engine = open_engine(new_database_url("postgresql"))
    with transaction(engine) as session:
        tag_ids = [create_tag(session, f"t{n}", now=NOW).id for n in range(3)]
        ids = [make_customer(session).id for _ in range(400)]
    wanted = [
        {"action": "put", "tag_id": t, "customer_id": c, "strength": 1.0, "source": "rule", "evidence": "{}"}
        for c in ids
        for t in tag_ids
    ]
    rows = pa.Table.from_pylist([{name: row.get(name) for name in COLUMNS} for row in wanted], schema=SCHEMA)
    written, gate = [], threading.Barrier(3)

    def write(part: pa.Table) -> None:
        gate.wait()
        for start in range(0, part.num_rows, 300):
            with transaction(engine) as session:
                written.append(write_differences(session, part.slice(start, 300), NOW)[0])

    def by_hand() -> None:
        gate.wait()
        with transaction(engine) as session:
            people = [one for one in ids if one]
            written.append(put_on(session, "t1", people, actor="mei", now=NOW, today=AS_OF))

    threads = [threading.Thread(target=write, args=(rows,)) for _ in range(2)] + [threading.Thread(target=by_hand)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = table_of(CustomerTag)
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(row)) == 1200
        pairs = select(row.c.tag_id, row.c.customer_id).where(row.c.until.is_(None)).distinct().subquery()
        assert session.scalar(select(func.count()).select_from(pairs)) == 1200
    assert sum(written) == 1200
    engine.dispose()


def test_two_writers_end_and_renew_the_same_rows_once(engine: Engine) -> None:
    with transaction(engine) as session:
        tag_id = create_tag(session, "t", now=NOW).id or 0
        ids = [make_customer(session).id or 0 for _ in range(4)]
        for one in ids:
            session.add(CustomerTag(tag_id=tag_id, customer_id=one, since=NOW - DAY, source="rule"))
    on_now = {row.customer_id: row.id for row in history(engine, "t")}
    put = {"action": "put", "tag_id": tag_id, "strength": 1.0, "source": "rule", "evidence": "{}"}
    wanted: list[dict[str, Any]] = [
        {"action": "take", "id": on_now[ids[0]], "evidence": '{"gone": true}'},
        {"action": "keep", "id": on_now[ids[1]], "strength": 0.5, "falls_off_on": "2026-12-01", "evidence": '{"x": 1}'},
        put | {"customer_id": ids[2]},
        put | {"customer_id": 999_999},
    ]
    rows = pa.Table.from_pylist([{name: row.get(name) for name in COLUMNS} for row in wanted], schema=SCHEMA)
    with transaction(engine) as session:
        assert write_differences(session, rows, NOW) == (0, 1, 1)
    with transaction(engine) as session:
        assert write_differences(session, rows.slice(0, 1), NOW + DAY) == (0, 0, 0)
    found = {row.customer_id: row for row in history(engine, "t")}
    assert (found[ids[0]].until, found[ids[0]].off_evidence) == (NOW, {"gone": True})
    assert (found[ids[1]].strength, found[ids[1]].falls_off_on, found[ids[1]].evidence) == (
        0.5,
        AS_OF + 28 * DAY,
        {"x": 1},
    )
    assert found[ids[2]].until is None
    assert found[ids[2]].falls_off_on is None


def test_a_customer_who_is_merged_away_meanwhile_is_left_out(engine: Engine) -> None:
    with transaction(engine) as session:
        create_tag(session, "全部", source="measure", definition={"measure": "paid_total", "at_least": 0}, now=NOW)
        gone = make_customer(session)
        for customer in (gone, make_customer(session)):
            make_order(session, customer, ordered_at=on(3))
    writes = []

    def hold(session: Session) -> None:
        writes.append(session)
        if len(writes) == 2:  # all is read and judged, and this is the first transaction of writing
            session.execute(delete(table_of(SalesOrder)).where(table_of(SalesOrder).c.customer_id == gone.id))
            session.execute(delete(table_of(CustomerWord)).where(table_of(CustomerWord).c.customer_id == gone.id))
            session.execute(delete(table_of(Customer)).where(table_of(Customer).c.id == gone.id))

    assert renew(engine, hold=hold).put_on == 1
    assert [row.customer_id for row in history(engine, "全部")] != [gone.id]
