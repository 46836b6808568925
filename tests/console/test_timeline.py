"""One customer's line of all that happened: merged by time, paged by key, by kind; and who reads what they wrote."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from console.access.roles import Role
from console.customers.timeline import KINDS, SOURCES, Place, moments
from segmentation.tags.catalogue import create_tag
from segmentation.tags.hand import put_on, take_off
from store.engine import reading, table_of, transaction
from store.models import (
    AuditEntry,
    BehaviourEvent,
    Campaign,
    ConsentChange,
    Delivery,
    OrderLine,
    Product,
    SegmentChange,
    SegmentRun,
)
from store.persons import note_refusal
from tests.conftest import StillClock
from tests.console.conftest import page, send, without_token
from tests.factories import make_campaign, make_channel, make_customer, make_order, make_run

AT = datetime(2026, 10, 1, 4, tzinfo=UTC)


@pytest.fixture
def anna(engine: Engine) -> int:
    """A customer with six things of each kind, two of them at the same moment as those of the other kinds; and somebody
    else with some too."""
    with transaction(engine) as session:
        channel = make_channel(session)
        one, other = make_customer(session, member_id="A1"), make_customer(session)
        campaign = make_campaign(session, channel, name="冬季特賣")
        run_of_segments = SegmentRun(as_of=date(2026, 10, 1), state="finished", started_at=AT, lease_until=AT)
        session.add(run_of_segments)
        create_tag(session, "講座", now=AT)
        session.flush()
        for n in range(6):
            at = AT + timedelta(days=n // 2)
            for who in (one, other):
                customer_id = who.id or 0
                make_order(session, who, ordered_at=at)
                note: dict[str, Any] = {"source": "line", "received_at": at, "customer_id": customer_id}
                words = {"message": {"text": f"悄悄話{n}"}}
                key = f"{customer_id}-{n}"
                session.add(BehaviourEvent(event_key=key, kind="message", occurred_at=at, payload=words, **note))
                change: dict[str, Any] = {"old_nesl": "E" if n % 2 else "S1", "nesl": "S1" if n % 2 else "E"}
                change |= {"old_nes": "E", "nes": "E", "old_nesl_personal": "E", "nesl_personal": "E"}
                change |= {"old_nes_personal": "E", "nes_personal": "E", "old_activity": "none"}
                session.add(
                    SegmentChange(customer_id=customer_id, as_of=at.date(), changed_at=at, run_id=None, **change)
                )
                session.add(ConsentChange(customer_id=customer_id, at=at, refuses=n % 2 == 0, actor="customer"))
            run = make_run(session, campaign, scheduled_for=at + timedelta(minutes=n), state="sent")
            for who in (one, other):
                session.add(Delivery(run_id=run.id or 0, customer_id=who.id or 0, state="accepted", sent_at=at))
            for change_tag in (put_on, take_off) if n % 2 else ():
                more: dict[str, Any] = {"today": date(2026, 9, 1)} if change_tag is put_on else {}
                change_tag(session, "講座", [one.id or 0], actor="小陳", now=at, **more)
        return one.id or 0


def walked(engine: Engine, customer_id: int, limit: int, kind: str | None = None) -> list[Any]:
    found: list[Any] = []
    with reading(engine) as session:
        while True:
            after = Place.read(str(found[-1].place)) if found else None
            some = moments(session, customer_id, kind=kind, after=after, limit=limit)
            if not some:
                return found
            found += some


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_every_moment_is_met_once_in_the_order_of_time(engine: Engine, anna: int, limit: int) -> None:
    found = walked(engine, anna, limit)
    assert len(found) == 5 * 6 + 2 * 3  # and the tag, put on and taken off three times
    assert len({moment.place for moment in found}) == len(found)
    assert [moment.at for moment in found] == sorted((moment.at for moment in found), reverse=True)
    assert {moment.kind for moment in found} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_alone_is_that_part_of_the_whole(engine: Engine, anna: int, kind: str) -> None:
    whole = [moment.place for moment in walked(engine, anna, 7) if moment.kind == kind]
    assert [moment.place for moment in walked(engine, anna, 2, kind)] == whole


def test_an_address_that_is_no_place_begins_at_the_newest(client: FlaskClient, anna: int) -> None:
    whole = without_token(page(client, f"/console/customers/{anna}"))
    for wrong in ("x", "1.2", "1.2.-3", "9" * 30 + ".1.1", f"{2**62}.1.1"):
        text = page(client, f"/console/customers/{anna}?before={wrong}&kind=nothing")
        assert without_token(text) == whole


def test_the_page_tells_each_kind_and_leads_on(client: FlaskClient, engine: Engine, anna: int) -> None:
    with transaction(engine) as session:
        for n in range(60):
            make_order(session, make_customer(session, member_id=f"x{n}"), ordered_at=AT)
            note: dict[str, Any] = {"source": "brand", "received_at": AT, "payload": {}}
            session.add(
                BehaviourEvent(event_key=f"more{n}", kind="product_view", customer_id=anna, occurred_at=AT, **note)
            )
    text = page(client, f"/console/customers/{anna}")
    assert "LINE 官方帳號" in text
    for shown in ("冬季特賣", "已受理", "講座", "小陳", "瞌睡客 → 主力客", "拒收行銷訊息", "顧客本人", "傳送訊息"):
        assert shown in text, shown
    following = re.search(r'rel="next" href="([^"]+)"', text)
    assert following is not None
    assert "瀏覽商品" in page(client, unescape(following[1]).partition("#")[0])
    orders = page(client, f"/console/customers/{anna}?kind=order")
    assert "傳送訊息" not in orders
    assert orders.count('<li class="order">') == 6


def test_an_order_says_what_was_bought_by_the_names_of_the_catalogue(client: FlaskClient, engine: Engine) -> None:
    with transaction(engine) as session:
        ben = make_customer(session, member_id="B1")
        order = make_order(session, ben, ordered_at=AT)
        session.add_all([Product(sku="P-1", name="羽絨外套"), Product(sku="P-2", name="發熱衣")])
        for n, (sku, quantity) in enumerate({"P-1": "1", "P-9": "1.5", **{f"Q-{n}": "100" for n in range(8)}}.items()):
            each: dict[str, Any] = {"quantity": Decimal(quantity), "unit_price": Decimal(5)}
            session.add(OrderLine(sales_order_id=order.id or 0, line_number=n, sku=sku, **each))
        note: dict[str, Any] = {
            "source": "brand",
            "received_at": AT,
            "payload": {},
            "sku": "P-2",
            "customer_id": ben.id,
        }
        session.add(BehaviourEvent(event_key="looked", kind="product_view", occurred_at=AT, **note))
    text = page(client, f"/console/customers/{ben.id}")
    assert "羽絨外套 × 1、P-9 × 1.5、Q-0 × 100、" in text
    assert "Q-5 × 100，還有 2 項" in text
    assert "瀏覽商品 <b>發熱衣</b>" in text


def test_a_click_is_told_with_the_name_of_its_campaign(client: FlaskClient, engine: Engine, anna: int) -> None:
    with transaction(engine) as session:
        campaign_id = session.scalars(select(table_of(Campaign).c.id)).one()
        note: dict[str, Any] = {"source": "link", "received_at": AT, "payload": {}, "campaign_id": campaign_id}
        session.add(BehaviourEvent(event_key="tap", kind="click", customer_id=anna, occurred_at=AT, **note))
    text = page(client, f"/console/customers/{anna}?kind=event")
    assert f'<a href="/console/campaigns/{campaign_id}">冬季特賣</a> <small>追蹤連結</small>' in text


def test_what_somebody_wrote_is_read_by_marketers_only_on_asking_and_that_is_noted(
    engine: Engine, anna: int, client_of: Callable[[Role], FlaskClient]
) -> None:
    address = f"/console/customers/{anna}"
    for role in Role:
        reader = client_of(role)
        may = role in (Role.OWNER, Role.MARKETER)
        assert "悄悄話" not in page(reader, address)
        assert ("顯示說過的話" in page(reader, address)) is may
        assert ("悄悄話5" in page(reader, f"{address}?words=yes")) is may
    with reading(engine) as session:
        audit = table_of(AuditEntry)
        noted = session.execute(select(audit.c.actor, audit.c.detail).where(audit.c.action == "read chat")).all()
    assert [tuple(one) for one in noted] == [
        ("owner@example.com", {"customer_id": anna}),
        ("marketer@example.com", {"customer_id": anna}),
    ]


def test_consent_that_a_person_notes_stands_in_the_line_once(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    with transaction(engine) as session:
        who = make_customer(session).id or 0
        note_refusal(session, who, True, actor="小林", now=clock())
        note_refusal(session, who, True, actor="小林", now=clock())
    clock.advance(hours=1)
    send(client, f"/console/customers/{who}/refusal", press="resume")
    with reading(engine) as session:
        found = [(one.row.refuses, one.row.actor) for one in moments(session, who, kind="consent", limit=10)]
    assert found == [(False, "owner@example.com"), (True, "小林")]


def test_each_kind_has_a_source() -> None:
    assert {source.kind for source in SOURCES} == set(KINDS)
