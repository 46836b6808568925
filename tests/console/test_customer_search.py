"""The search box finds any part of a name, whoever wrote it, and the same whether it finds few or many."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select
from sqlmodel import Session

from console.customers.search import searched
from store.engine import reading, table_of, transaction
from store.erasure import erase_person
from store.imports import import_customers, import_events, import_orders
from store.models import Customer, CustomerWord
from store.posted_events import record_events
from tests.conftest import StillClock
from tests.factories import make_account, make_channel, make_customer

TAIPEI = ZoneInfo("Asia/Taipei")
LONG = "阿" * 30 + "里山的長名字"
PEOPLE = (
    *(("A1", "王小明"), ("a2", "王大明"), ("b-1", "Anna Lee"), ("B_2", "lee anna"), ("c1", "明明明"), ("d1", LONG)),
    *(("d2", "阿" * 40), ("e1", None), ("f1", "100% 真"), (None, "無號")),
)
FOUND = {
    "明": ["A1", "a2", "c1"],
    "王小": ["A1"],
    "小明": ["A1"],
    "明王": [],
    "ANNA": ["b-1", "B_2"],
    "lee a": ["B_2"],
    "a": ["A1", "a2", "b-1", "B_2"],
    "b_": ["B_2"],
    "0%": ["f1"],
    "%": ["f1"],
    "1": ["f1"],
    LONG[:33]: ["d1"],
    LONG: ["d1"],
    LONG[3:]: ["d1"],
    "阿" * 33: ["d2"],
    "無號": [None],
}


def found(session: Session, words: str, *, page_rows: int, many: int) -> list[str | None]:
    """The member ids on all pages."""
    customer, after, all_pages = table_of(Customer), 0, list[str | None]()
    while True:
        these = searched(session, words, after, page_rows, many)
        page = select(customer.c.id, customer.c.member_id).where(these, customer.c.id > after)
        rows = session.execute(page.order_by(customer.c.id).limit(page_rows)).all()
        if not rows:
            return all_pages
        all_pages += [row.member_id for row in rows]
        after = rows[-1].id


@pytest.mark.parametrize("many", [1, 1000])
def test_any_part_of_a_name_is_found_on_its_page_once(engine: Engine, many: int) -> None:
    with transaction(engine) as session:
        for member_id, name in PEOPLE:
            make_customer(session, member_id=member_id, name=name)
    with reading(engine) as session:
        assert {words: found(session, words, page_rows=2, many=many) for words in FOUND} == FOUND


def words_in(engine: Engine) -> set[str]:
    with reading(engine) as session:
        return set(session.scalars(select(table_of(CustomerWord).c.word)))


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.csv"
    path.write_text(text)
    return path


def test_who_is_imported_is_found_by_the_name_of_now(engine: Engine, clock: StillClock, tmp_path: Path) -> None:
    for name in ("林美", "陳美"):
        path = write(tmp_path, f"customer_id,name\nM1,{name}\n")
        import_customers(engine, path, channel_id=None, zone=TAIPEI, clock=clock)
        assert words_in(engine) == {"m1", name, "美"}


def test_who_comes_with_an_order_or_an_event_is_found(engine: Engine, clock: StillClock, tmp_path: Path) -> None:
    path = write(tmp_path, "order_id,customer_id,ordered_at,amount\n1,M1,2026-10-01,10\n")
    import_orders(engine, path, zone=TAIPEI, clock=clock)
    path = write(tmp_path, "event_id,customer_id,kind,occurred_at\n1,M2,view,2026-10-01\n")
    import_events(engine, path, zone=TAIPEI, clock=clock)
    event = {"event_id": "2", "customer_id": "M3", "kind": "view", "occurred_at": "2026-10-01"}
    with transaction(engine) as session:
        record_events(session, [event], zone=TAIPEI, now=clock())
    assert words_in(engine) == {"m1", "m2", "m3"}


def test_who_turns_out_to_be_a_member_is_found_once(engine: Engine, clock: StillClock, tmp_path: Path) -> None:
    with transaction(engine) as session:
        channel = make_channel(session)
        make_customer(session, member_id="M1")
        account = make_account(session, channel, make_customer(session, member_id=None, name="林美"))
    path = write(tmp_path, f"customer_id,line_user_id\nM1,{account.line_user_id}\n")
    import_customers(engine, path, channel_id=channel.id, zone=TAIPEI, clock=clock)
    with reading(engine) as session:
        assert found(session, "林", page_rows=5, many=10) == ["M1"]
    assert words_in(engine) == {"m1", "林美", "美"}


def test_who_is_erased_is_found_no_more(engine: Engine) -> None:
    with transaction(engine) as session:
        one = make_customer(session, member_id="M1", name="林美")
        erase_person(session, one.id or 0, actor="t", now=datetime(2026, 1, 1, tzinfo=UTC))
    assert words_in(engine) == set()
