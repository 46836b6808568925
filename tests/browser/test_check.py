"""The editor's last step for many customers: it comes at once, and the figures as soon as the worker has them."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from console.campaigns.draft_check import MANY
from store.clock import system_clock
from store.engine import table_of, transaction
from store.models import Customer
from tests.browser.conftest import Served
from tests.browser.test_editor import begin


@pytest.fixture
def many(served: Served) -> Iterator[None]:
    """A customer whose number says that there are many."""
    customer = table_of(Customer)
    with transaction(served.stage.engine) as session:
        session.add(Customer(id=MANY + 1, created_at=system_clock()))
    yield
    with transaction(served.stage.engine) as session:
        session.execute(delete(customer).where(customer.c.id == MANY + 1))


@pytest.mark.usefixtures("many")
def test_the_figures_come_by_themselves_once_the_worker_has_them(tab: Page, served: Served) -> None:
    begin(tab, served, "很多人")
    tab.fill("[name='v0-m0-text']", "您好，新品上市")
    tab.click("button:has-text('儲存並繼續')")
    tab.check("input[name=kind][value=now]")
    tab.click("button:has-text('儲存並繼續')")
    tab.goto(f"{tab.url.rpartition('/')[0]}/check")
    expect(tab.locator("#checked progress")).to_be_visible()
    assert not Axe().run(tab).response["violations"]
    expect(tab.locator("#checked button:has-text('排程發送給')")).to_be_visible()
    assert tab.locator("#checked").count() == 1
