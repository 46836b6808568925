"""The catalogue on the console: products found, and labels that a person approves or rejects."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from console.access.roles import Role
from segmentation.labelling import decide
from segmentation.tags.catalogue import create_tag
from service.settings import Settings
from service.worker import works
from store.asked import LABELS, waiting_work
from store.engine import reading, table_of, transaction
from store.models import AuditEntry, Product, ProductLabel
from tests.conftest import StillClock
from tests.console.conftest import page, send


@pytest.fixture
def catalogue(engine: Engine, clock: StillClock) -> None:
    """60 products; 抗屑 is proposed for the first seven."""
    with transaction(engine) as session:
        for n in range(60):
            session.add(Product(sku=f"S{n:02}", name=f"洗髮精 {n:02}", categories=["洗髮"], labels=["溫和"]))
        session.flush()
        for product_id in range(1, 8):
            why = {"score": 0.9, "source": "word", "words": ["抗屑"]}
            fields: dict[str, Any] = {"state": "proposed", "evidence": why, "proposed_at": clock()}
            session.add(ProductLabel(product_id=product_id, label="抗屑", **fields))


def labelled(engine: Engine) -> list[str]:
    with reading(engine) as session:
        found = session.scalars(select(Product).order_by(table_of(Product).c.id))
        return [one.sku for one in found if "抗屑" in one.labels]


def test_products_are_listed_by_the_page_and_found(client: FlaskClient, catalogue: None) -> None:
    first = page(client, "/console/products")
    assert first.count("<tr><td") == 50
    assert "/console/products?after=50" in first
    assert page(client, "/console/products?after=50").count("<tr><td") == 10
    assert page(client, "/console/products?q=精 4").count("<tr><td") == 10
    assert page(client, "/console/products?q=S07").count("<tr><td") == 1
    assert "沒有符合的商品" in page(client, "/console/products?q=100%25")


def test_without_products_each_page_says_what_to_do(client: FlaskClient) -> None:
    assert "匯入商品檔" in page(client, "/console/products")
    assert "沒有等待決定的標籤" in page(client, "/console/products/labels")


def test_a_label_is_approved_for_all_or_for_some_and_rejected(
    client: FlaskClient, engine: Engine, catalogue: None
) -> None:
    text = page(client, "/console/products/labels")
    assert "7 件商品" in text
    assert "抗屑" in text
    one_by_one = page(client, "/console/products/labels?label=抗屑")
    assert one_by_one.count('name="sku"') == 7
    send(client, "/console/products/labels", label="抗屑", press="approve", each="1", sku=["S00", "S02"])
    assert labelled(engine) == ["S00", "S02"]
    send(client, "/console/products/labels", label="抗屑", press="approve", each="1")  # nothing ticked: nothing done
    assert labelled(engine) == ["S00", "S02"]
    send(client, "/console/products/labels", label="抗屑", press="reject")
    assert labelled(engine) == ["S00", "S02"]
    assert "沒有等待決定的標籤" in page(client, "/console/products/labels")
    with reading(engine) as session:
        actions = [one.action for one in session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id))]
        noted = [action for action in actions if action.endswith("product label")]
    assert noted == ["approve product label", "reject product label"]


def test_what_a_colleague_decided_since_the_page_was_opened_stands(
    client: FlaskClient, engine: Engine, clock: StillClock, catalogue: None
) -> None:
    decide(engine, "抗屑", ["S00"], approve=False, clock=clock, actor="colleague")
    send(client, "/console/products/labels", label="抗屑", press="approve", each="1", sku=["S00", "S02"])
    assert labelled(engine) == ["S02"]
    text = page(client, "/console/products/labels")
    assert "已貼上 1 件商品" in text
    assert "1 件商品已有同事先決定，沒有更動。" in text
    send(client, "/console/products/labels", label="抗屑", press="reject", each="1", sku=["S02"])
    assert labelled(engine) == ["S02"]
    decide(engine, "抗屑", ["S00"], approve=True, clock=clock, actor="command line")  # who names it means it
    assert labelled(engine) == ["S00", "S02"]


def test_a_label_that_nobody_proposed_is_refused(client: FlaskClient, engine: Engine, catalogue: None) -> None:
    assert client.get("/console/products/labels?label=x").status_code == 404
    send(client, "/console/products/labels", label="x", press="approve")
    assert "無法執行" in page(client, "/console/products/labels")
    assert labelled(engine) == []


def test_the_worker_looks_for_labels_when_asked(
    client: FlaskClient, engine: Engine, clock: StillClock, client_of: Callable[[Role], FlaskClient]
) -> None:
    with transaction(engine) as session:
        for n in range(3):
            session.add(Product(sku=f"A{n}", name=f"去屑洗髮精 {n}"))
    send(client, "/console/products/labels/propose")
    send(client, "/console/products/labels/propose")  # twice is once
    with reading(engine) as session:
        (asked,) = waiting_work(session)
    works(engine, Settings(), clock)[LABELS](asked)
    assert "去屑" in page(client, "/console/products/labels")
    reader = client_of(Role.READER)
    assert send(reader, "/console/products/labels/propose").status_code == 403
    assert "press" not in page(reader, "/console/products/labels")


@pytest.mark.parametrize("address", ["/console/products", "/console/customers", "/console/tags/1"])
@pytest.mark.parametrize("after", ["-1", "x", str(10**30)])
def test_what_can_be_no_id_begins_at_the_beginning(
    client: FlaskClient, catalogue: None, clock: StillClock, engine: Engine, address: str, after: str
) -> None:
    with transaction(engine) as session:
        create_tag(session, "講座", now=clock())
    assert page(client, f"{address}?after={after}")


def test_a_nul_finds_nothing_and_is_not_kept(client: FlaskClient, catalogue: None) -> None:
    assert page(client, "/console/products?q=S0%007").count("<tr><td") == 1
    assert page(client, "/console/customers?q=%00nobody")
    assert send(client, "/console/products/labels", label="\x00x", press="approve").status_code == 400
    assert "整句文案" in page(client, "/console/keywords/ideas?theme=冬季服飾%00")
    assert send(client, "/console/keywords/words", press="add", words="小\x00蜜罐").status_code == 400
