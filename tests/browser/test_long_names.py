"""Names as long as they may be, in signs that break anywhere and as one word that breaks nowhere: every page that shows
them can be read."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from sqlalchemy import delete, select, update

from campaigns.audience.lists import make_list
from segmentation.rules.saved import delete_rule, save_rule
from store.clock import system_clock
from store.engine import table_of, transaction
from store.models import Campaign, ConsoleUser, CustomerList, CustomerListMember, CustomerView, FileImport
from tests.browser.conftest import Served
from tests.browser.looks import WHOLE, open_page, wrong_in

NAMES = ("長" * 100, "https://shop.example/" + "a" * 79)
PROBLEM = "the audience can't be asked: " + "x" * 120
ADULT = {"type": "age", "at_least": 18}
PAGES = (
    *("/", "/customers", "/rules", "/tags", "/campaigns", "/campaigns/1", "/campaigns/1/results", "/campaigns/2"),
    *("/campaigns/2/results", "/campaigns/new", "/results", "/results?id=1&id=2", "/ads", "/import", "/automations"),
)

campaign, lists, member = table_of(Campaign), table_of(CustomerList), table_of(CustomerListMember)
view, file, user = table_of(CustomerView), table_of(FileImport), table_of(ConsoleUser)


@pytest.fixture(scope="module")
def import_id(served: Served) -> Iterator[int]:
    """A file that failed, beside all else that has such names; what other tests look at is as it was afterwards."""
    engine, now = served.stage.engine, system_clock()
    with transaction(engine) as session:
        before = session.execute(select(campaign).where(campaign.c.id <= len(NAMES))).all()
        owner = session.scalars(select(user.c.id).where(user.c.email == served.email)).one()
        for number, name in enumerate(NAMES, 1):
            broken = {"name": name, "state": "failed", "problem": PROBLEM}
            session.execute(update(campaign).where(campaign.c.id == number).values(broken))
            save_rule(session, name, ADULT, now, actor="test")
            kept = CustomerView(
                user_id=owner, name=name[-60:], rule=ADULT, is_shared=True, created_at=now, updated_at=now
            )
            session.add(kept)
        failed = FileImport(
            kind="orders",
            file_name=f"{'f' * 120}.csv",
            file_hash="0" * 64,
            size_bytes=1,
            state="failed",
            uploaded_by=served.email,
            uploaded_at=now,
            problem=PROBLEM,
        )
        session.add(failed)
        session.flush()
    for name in NAMES:
        make_list(engine, name, [1, 2], origin={}, actor="test", clock=system_clock)
    yield failed.id or 0
    with transaction(engine) as session:
        for row in before:
            was = {"name": row.name, "state": row.state, "problem": row.problem}
            session.execute(update(campaign).where(campaign.c.id == row.id).values(was))
        for name in NAMES:
            delete_rule(session, name)
            session.execute(delete(view).where(view.c.name == name[-60:]))
        made = select(lists.c.id).where(lists.c.name.in_(NAMES))
        session.execute(delete(member).where(member.c.list_id.in_(made)))
        session.execute(delete(lists).where(lists.c.name.in_(NAMES)))
        session.execute(delete(file).where(file.c.id == failed.id))


@pytest.mark.parametrize("path", PAGES)
def test_long_names_can_be_read_on_every_page(tab: Page, served: Served, import_id: int, path: str) -> None:
    open_page(tab, f"{served.url}/console{path}", "zh")
    assert wrong_in(tab, WHOLE) == []


def test_what_is_wrong_with_a_file_can_be_read(tab: Page, served: Served, import_id: int) -> None:
    open_page(tab, f"{served.url}/console/import/{import_id}", "zh")
    assert wrong_in(tab, WHOLE) == []
