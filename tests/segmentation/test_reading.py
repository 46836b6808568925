"""Facts out of the database: the same for everybody and for a few, on SQLite and on PostgreSQL."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from segmentation.engine import open_duckdb
from segmentation.facts import SCHEMAS, Facts
from segmentation.reading import read_facts
from store.engine import transaction
from store.models import (
    BehaviourEvent,
    CustomerPrediction,
    CustomerSegment,
    CustomerTag,
    OrderLine,
    PredictionRun,
    Product,
    SegmentChange,
    SegmentRun,
    Tag,
)
from tests.factories import make_account, make_campaign, make_channel, make_customer, make_order

TAIPEI = ZoneInfo("Asia/Taipei")
AT = datetime(2026, 10, 1, 16, 30, 5, 123456, tzinfo=UTC)


@pytest.fixture
def duck() -> Iterator[Any]:
    with open_duckdb(TAIPEI) as connection:
        yield connection


def rows(connection: Any, table: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = connection.to_pyarrow(table).to_pylist()
    return sorted(found, key=repr)


def fill(engine: Engine) -> tuple[int, int]:
    """A person of whom everything is known, and one of whom nothing is."""
    with transaction(engine) as session:
        anna = make_customer(
            session,
            member_id="a",
            name="安",
            gender="f",
            birthday=date(1990, 2, 28),
            city="台中市",
            attributes={"膚質": "油性"},
            marketing_refused_at=AT,
        )
        nobody = make_customer(session, member_id=None)
        channel = make_channel(session)
        make_account(session, channel, anna, is_following=False)
        make_account(session, make_channel(session), anna, is_following=True)
        campaign = make_campaign(session, channel)
        order = make_order(session, anna, ordered_at=AT, total=Decimal("120.5001"), coupon="滿千")
        other = make_order(session, nobody, ordered_at=AT, total=Decimal(1))
        refunded = make_order(session, anna, status="refunded", ordered_at=AT)
        half: dict[str, Any] = {"quantity": Decimal("1.5"), "unit_price": Decimal(80), "discount": Decimal("0.25")}
        for of in (order, refunded, other):
            session.add(OrderLine(sales_order_id=of.id or 0, line_number=1, sku="S1", **half))
        session.add(Product(sku="S1", name="洗髮精", categories=["頭髮"], labels=["去屑", "抗油"], price=Decimal(80)))
        session.add(Product(sku="S2", name="空"))
        event: dict[str, Any] = {"source": "line", "occurred_at": AT, "received_at": AT}
        words = {"message": {"type": "text", "text": "有沒有去屑的？"}}
        who = anna.id
        session.add(BehaviourEvent(event_key="1", kind="message", customer_id=who, payload=words, **event))
        image = {"message": {"type": "image"}}
        session.add(BehaviourEvent(event_key="2", kind="message", customer_id=who, payload=image, **event))
        about: dict[str, Any] = {"sku": "S1", "topic": "髮", "campaign_id": campaign.id}
        session.add(BehaviourEvent(event_key="3", kind="click", customer_id=who, **about, **event))
        session.add(BehaviourEvent(event_key="4", kind="message", customer_id=None, payload=words, **event))
        session.add(BehaviourEvent(event_key="5", kind="search", customer_id=who, payload={"text": "護髮"}, **event))
        _fill_results(session, anna.id or 0)
        return anna.id or 0, nobody.id or 0


def _fill_results(session: Any, who: int) -> None:
    tag = Tag(name="染護", created_at=AT)
    run = PredictionRun(as_of=AT.date(), state="finished", cycle_days=30, started_at=AT, lease_until=AT)
    session.add_all([tag, run])
    session.flush()
    session.add(CustomerTag(tag_id=tag.id or 0, customer_id=who, since=AT, until=AT, off_evidence={}))
    session.add(CustomerTag(tag_id=tag.id or 0, customer_id=who, since=AT, strength=0.5, source="preference"))
    scores: dict[str, Any] = {"last_ordered_on": date(2026, 10, 2), "frequency": 1, "monetary": Decimal("120.5001")}
    segments: dict[str, Any] = {"rf4": "new", "nesl": "N", "nes": "N", "activity": "new"}
    more: dict[str, Any] = {"r": 5, "cycle_days": 30, "loyalty": 0.5, "paid_total": Decimal(2)}
    session.add(CustomerSegment(customer_id=who, computed_at=AT, **scores, **segments, **more))
    session.add(SegmentChange(customer_id=who, as_of=AT.date(), changed_at=AT, **segments))
    for state in ("finished", "failed"):
        session.add(SegmentRun(as_of=AT.date(), state=state, started_at=AT, lease_until=AT, last_change_id=7))
    shares: dict[str, Any] = {"p_buy": 0.25, "churn_risk": 0.75, "expected_orders": 0.3}
    money: dict[str, Any] = {"spend_90": Decimal("1.5"), "spend_365": Decimal(4)}
    session.add(CustomerPrediction(customer_id=who, run_id=run.id or 0, **shares, **money))


def test_every_table_has_its_schema_and_everything_that_is_known(engine: Engine, duck: Any) -> None:
    anna, nobody = fill(engine)
    facts = read_facts(duck, engine)
    for name, schema in SCHEMAS.items():
        assert getattr(facts, name).schema() == schema, name
    person, empty = sorted(rows(duck, facts.customers), key=lambda row: row["customer_id"])
    assert (person["member_id"], person["name"], person["birthday"]) == ("a", "安", date(1990, 2, 28))
    assert (person["is_refused"], person["is_following"]) == (True, True)
    assert (empty["customer_id"], empty["is_refused"]) == (nobody, False)
    assert (empty["is_following"], empty["name"]) == (None, None)
    assert json.loads(person["attributes"]) == {"膚質": "油性"}
    orders = [row for row in rows(duck, facts.orders) if row["customer_id"] == anna]
    assert [(o["ordered_at"], o["amount"], o["coupon"]) for o in orders] == [(AT, 1_205_001, "滿千")]
    lines = [row for row in rows(duck, facts.lines) if row["customer_id"] == anna]
    assert [(x["order_id"], x["quantity"], x["unit_price"], x["discount"], x["ordered_at"]) for x in lines] == [
        (orders[0]["order_id"], 15_000, 800_000, 2_500, AT)
    ]
    known, bare = sorted(rows(duck, facts.products), key=lambda row: str(row["sku"]))
    assert (known["categories"], known["labels"], known["price"]) == (["頭髮"], ["去屑", "抗油"], 800_000)
    assert (bare["categories"], bare["labels"], bare["price"], bare["in_stock"]) == ([], [], None, None)


def test_events_words_and_results_are_as_stored(engine: Engine, duck: Any) -> None:
    anna, _ = fill(engine)
    facts = read_facts(duck, engine)
    events = rows(duck, facts.events)
    assert sorted(event["kind"] for event in events) == ["click", "message", "message", "search"]
    assert {event["customer_id"] for event in events} == {anna}
    click = next(event for event in events if event["kind"] == "click")
    assert (click["occurred_at"], click["sku"], click["topic"]) == (AT, "S1", "髮")
    assert sorted(word["text"] for word in rows(duck, facts.words)) == ["有沒有去屑的？", "護髮"]
    assert rows(duck, facts.tags) == [
        {"customer_id": anna, "tag": "染護", "since": AT, "strength": 0.5, "source": "preference"}
    ]
    (segment,) = rows(duck, facts.segments)
    assert (segment["monetary"], segment["paid_total"], segment["r"], segment["m"]) == (1_205_001, 20_000, 5, None)
    assert (segment["last_ordered_on"], segment["loyalty"], segment["nesl_personal"]) == (
        date(2026, 10, 2),
        0.5,
        "never",
    )
    (change,) = rows(duck, facts.changes)
    assert (change["as_of"], change["changed_at"], change["old_nesl"], change["nesl"]) == (AT.date(), AT, None, "N")
    assert rows(duck, facts.runs) == [{"as_of": AT.date(), "last_change_id": 7}]
    (prediction,) = rows(duck, facts.predictions)
    assert (prediction["p_buy"], prediction["spend_90"], prediction["spend_365"]) == (0.25, 15_000, 40_000)


def all_rows(duck: Any, facts: Facts) -> dict[str, list[dict[str, Any]]]:
    return {name: rows(duck, getattr(facts, name)) for name in SCHEMAS}


def test_a_few_customers_are_read_as_everybody_is(engine: Engine, duck: Any) -> None:
    anna, nobody = fill(engine)
    whole = all_rows(duck, read_facts(duck, engine))
    for ids in ([anna], [nobody], [nobody, anna, anna], []):
        few = all_rows(duck, read_facts(duck, engine, customer_ids=ids))
        for name, found in whole.items():
            is_nobodys = name in ("products", "runs")
            assert few[name] == [row for row in found if row.get("customer_id", anna) in ids or is_nobodys], name


def test_more_customers_than_one_statement_takes_are_all_read(
    engine: Engine, duck: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmentation.reading.IDS_AT_ONCE", 2)
    with transaction(engine) as session:
        ids = [make_customer(session).id or 0 for _ in range(5)]
    facts = read_facts(duck, engine, "customers", customer_ids=ids)
    assert sorted(row["customer_id"] for row in rows(duck, facts.customers)) == ids


def test_tables_not_named_are_empty_and_lines_bring_their_orders(engine: Engine, duck: Any) -> None:
    fill(engine)
    facts = read_facts(duck, engine, "lines")
    found = {name: len(rows(duck, getattr(facts, name))) for name in SCHEMAS}
    assert {name for name, count in found.items() if count} == {"orders", "lines"}


def test_an_empty_database_has_empty_facts(engine: Engine, duck: Any) -> None:
    for ids in (None, [1]):
        facts = read_facts(duck, engine, customer_ids=ids)
        assert all(rows(duck, getattr(facts, name)) == [] for name in SCHEMAS)
