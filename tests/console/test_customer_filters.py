"""The customers' list, narrowed by conditions; and views of it that are kept."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from console.access.roles import Role
from console.customers.filters import page_of, read_filter
from console.customers.pages import PAGE_ROWS
from segmentation.tags.catalogue import create_tag
from segmentation.tags.hand import put_on
from store.engine import is_sqlite, reading, table_of, transaction
from store.models import AuditEntry, CustomerSegment, CustomerView, SegmentSizeOnDay
from tests.conftest import StillClock
from tests.console.conftest import page, send
from tests.factories import make_customer

PEOPLE = PAGE_ROWS + 20
NESL = {"r0-type": "segment", "r0-value": "nesl=E"}
AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def crowd(engine: Engine, clock: StillClock) -> list[int]:
    """Customers M000 …: every other one is E of NESL (the others S1), the last ten have the tag 講座, in two cities."""
    with transaction(engine) as session:
        ids = []
        for n in range(2 * PEOPLE):
            who = make_customer(session, member_id=f"M{n:03}", name=f"客人{n:03}", city="臺中" if n % 4 < 2 else "臺北")
            ids.append(who.id or 0)
            state: dict[str, Any] = {"nesl": "S1" if n % 2 else "E", "nes": "S" if n % 2 else "E"}
            session.add(CustomerSegment(customer_id=who.id or 0, computed_at=clock(), **state))
        create_tag(session, "講座", now=clock())
        put_on(session, "講座", ids[-10:], actor="小陳", now=clock(), today=date(2026, 11, 2))
        session.add(
            SegmentSizeOnDay(as_of=date(2026, 11, 1), model="nesl", segment="E", customers=PEOPLE, value=Decimal(0))
        )
    return ids


def members(text: str) -> list[str]:
    return re.findall(r">(M\d{3})</a>", text)


def walked(client: FlaskClient, address: str) -> list[str]:
    """Member ids on this page and all that follow it."""
    found: list[str] = []
    while True:
        text = page(client, address)
        found += members(text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        if following is None:
            return found
        address = unescape(following[1])


def test_people_of_a_segment_are_paged_by_key(client: FlaskClient, crowd: list[int]) -> None:
    address = "/console/customers?r0-type=segment&r0-value=nesl%3DE"
    assert walked(client, address) == [f"M{n:03}" for n in range(0, 2 * PEOPLE, 2)]
    text = page(client, address)
    assert f"{PEOPLE} 人" in text
    assert "資料截至 2026-11-01" in text
    assert "nesl%3DE" in text  # send them something
    links = unescape(page(client, "/console/segments/nesl"))
    assert "沒有分群結果" in links or "/console/customers?r0-type=segment&r0-value=nesl%3D" in links


def test_people_of_a_tag_and_conditions_together(client: FlaskClient, crowd: list[int]) -> None:
    tagged = walked(client, "/console/customers?r0-type=tag&r0-value=講座")
    assert tagged == [f"M{n:03}" for n in range(2 * PEOPLE - 10, 2 * PEOPLE)]
    both = "/console/customers?r0-type=tag&r0-value=講座&r1-type=attribute&r1-name=city&r1-value=臺中"
    inside = [name for name in tagged if int(name[1:]) % 4 < 2]
    assert members(page(client, both)) == inside
    assert f"{len(inside)} 人" in page(client, both)
    assert members(page(client, f"{both}&q={inside[0]}")) == inside[:1]
    city = "/console/customers?r0-type=attribute&r0-name=city&r0-value=臺中&r0-not=yes"
    assert walked(client, city) == [f"M{n:03}" for n in range(2 * PEOPLE) if n % 4 >= 2]


def test_what_is_not_filled_in_narrows_nothing_and_a_mistake_is_shown(client: FlaskClient, crowd: list[int]) -> None:
    blank = page(client, "/console/customers?r0-type=segment&r0-value=&r1-type=tag&r1-value=")
    assert len(members(blank)) == PAGE_ROWS
    wrong = page(client, "/console/customers?r0-type=age&r0-at_least=many&r1-type=tag&r1-value=講座")
    assert "還不能使用" in wrong
    assert wrong.count("message wrong") == 1
    assert 'value="many"' in wrong
    assert members(wrong) == []
    assert "找不到符合的顧客" in page(client, "/console/customers?r0-type=age&r0-at_least=99")


def test_a_row_is_added_without_losing_the_others(client: FlaskClient, crowd: list[int]) -> None:
    added = page(client, "/console/customers?r0-type=segment&r0-value=nesl%3DE&press=add&new=orders")
    assert 'name="r1-category"' in added
    assert 'value="nesl=E" selected' in added
    assert members(added)[:2] == ["M000", "M002"]
    asked = client.get(
        "/console/customers?r0-type=segment&r0-value=nesl%3DE&press=add&new=orders", headers={"HX-Request": "true"}
    )
    part = asked.get_data(as_text=True)
    assert asked.status_code == 200
    assert 'name="r1-category"' in part
    assert members(part) == []


def test_a_view_is_kept_opened_renamed_shared_and_deleted(
    client: FlaskClient, engine: Engine, crowd: list[int], client_of: Callable[[Role], FlaskClient]
) -> None:
    rule = '{"type": "all", "of": [{"type": "segment", "model": "nesl", "in": ["E"]}]}'
    answer = send(client, "/console/customers/views", name="主力客", rule=rule)
    address = answer.location
    assert answer.status_code == 303
    assert re.search(r"view=\d+", address)
    assert walked(client, address) == [f"M{n:03}" for n in range(0, 2 * PEOPLE, 2)]
    assert "主力客" in page(client, "/console/customers")
    assert 'value="nesl=E" selected' in page(client, address)
    assert "已經有叫" in page(client, send(client, "/console/customers/views", name="主力客", rule=rule).location)
    view_id = address.rpartition("=")[2]
    colleague, reader = client_of(Role.MARKETER), client_of(Role.READER)
    assert colleague.get(address).status_code == 404  # one's own
    assert send(colleague, f"/console/customers/views/{view_id}", name="別人的").status_code == 404
    send(client, f"/console/customers/views/{view_id}", name="主力", shared="on")
    assert "主力" in page(reader, "/console/customers")
    assert send(reader, f"/console/customers/views/{view_id}/delete", sure="yes").status_code == 403
    assert send(colleague, f"/console/customers/views/{view_id}", name="我們的主力").status_code == 303
    with reading(engine) as session:
        one = session.scalars(select(CustomerView)).one()
        assert (one.name, one.is_shared) == ("我們的主力", True)
    assert send(client, f"/console/customers/views/{view_id}", name=" ").status_code == 303
    unsure = send(client, f"/console/customers/views/{view_id}/delete")
    assert "請先勾選確認" in page(client, unsure.location)
    assert send(client, f"/console/customers/views/{view_id}/delete", sure="yes").status_code == 303
    assert client.get(address).status_code == 404
    with reading(engine) as session:
        said = session.scalars(select(table_of(AuditEntry).c.action).order_by(table_of(AuditEntry).c.id)).all()
        assert session.scalars(select(CustomerView)).all() == []
    assert [one for one in said if "view" in one] == ["keep view", "change view", "change view", "delete view"]


def test_a_reader_keeps_views_for_themselves_only(engine: Engine, client_of: Callable[[Role], FlaskClient]) -> None:
    reader = client_of(Role.READER)
    rule = '{"type": "age", "at_least": 30}'
    assert send(reader, "/console/customers/views", name="三十歲", rule=rule, shared="on").status_code == 303
    with reading(engine) as session:
        assert session.scalars(select(CustomerView)).one().is_shared is False
    assert "無法執行" in page(reader, send(reader, "/console/customers/views", name="壞的", rule="{").location)


@pytest.mark.parametrize("query", [NESL, {"r0-type": "tag", "r0-value": "講座"}, {}])
def test_a_page_of_one_segment_or_tag_goes_by_an_index_without_sorting(
    engine: Engine, crowd: list[int], query: dict[str, str]
) -> None:
    with reading(engine) as session:
        chosen = read_filter(session, query, None)
        assert chosen.is_indexed
        statement = page_of(session, chosen, 5, PAGE_ROWS).compile(engine, compile_kwargs={"literal_binds": True})
        connection = session.connection()
        if is_sqlite(engine):
            steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
        else:
            # PostgreSQL reads small tables whole, and sorts them, unless it is told that both cost too much
            for node in ("seqscan", "bitmapscan", "sort"):
                connection.exec_driver_sql(f"SET LOCAL enable_{node} = off")
            text = str(statement).replace("%", "%%")
            steps = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {text}")]
    assert not [step for step in steps if re.search(r"TEMP B-TREE|^SCAN|Seq Scan|Sort", step)], steps
