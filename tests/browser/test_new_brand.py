"""The pages of a brand that has nothing yet: each says so, in its language; and what isn't there is told in words."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page
from werkzeug.serving import make_server

from console.access.passwords import hash_of
from console.access.roles import Role
from console.access.users import make_user
from console.frame.site import Site
from console.pages import create_console
from store.clock import system_clock
from store.engine import open_engine, transaction
from store.migrate import upgrade
from tests.browser.looks import WHOLE, chinese_in, in_language, wrong_in
from tests.browser.test_pages import IN_CHINESE, PAGES

OF_ONE = re.compile(r"/\d+")  # the page of something, which a new brand has not got
HAVE_FORMS_ONLY = {  # what these show is there from the start
    *("/", "/tags/new?source=rule", "/rules/edit", "/campaigns/new", "/campaigns/calendar", "/keywords/write"),
    *("/keywords/words", "/start", "/people", "/account", "/guide", "/guide/lift", "/settings/audit"),
    *("/settings/campaigns", "/settings/segments", "/settings/plan", "/settings/copy", "/settings/report"),
}
EMAIL, PASSWORD = "new@example.com", "a passphrase of tests"


@dataclass(frozen=True)
class NewBrand:
    """Where its console is, and cookies of its owner."""

    url: str
    cookies: Path


@pytest.fixture(scope="module")
def brand(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewBrand]:
    folder = tmp_path_factory.mktemp("new")
    engine = open_engine(f"sqlite:///{folder / 'new.db'}")
    upgrade(engine)
    with transaction(engine) as session:
        one = make_user(session, email=EMAIL, name="Owner", role=Role.OWNER, actor="test", now=system_clock())
        one.password_hash = hash_of(PASSWORD)
    app = Flask(__name__)
    app.secret_key = "a key of tests"
    app.register_blueprint(create_console(Site(engine, ZoneInfo("Asia/Taipei"), system_clock)))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/console"
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("input[name=email]", EMAIL)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/console/")
    context.storage_state(path=folder / "cookies.json")
    context.close()
    yield NewBrand(url, folder / "cookies.json")
    server.shutdown()
    thread.join()
    engine.dispose()


@pytest.fixture
def signed_in(brand: NewBrand) -> Path:  # of conftest.py's context and tab
    return brand.cookies


@pytest.mark.parametrize("path", sorted(one for one in PAGES if not OF_ONE.search(one)))
def test_a_page_without_anything_to_show_says_so(tab: Page, brand: NewBrand, path: str) -> None:
    for language in ("zh", "en"):
        tab.goto(in_language(f"{brand.url}{path}", language), wait_until="networkidle")
        assert wrong_in(tab, WHOLE) == []
        if path not in HAVE_FORMS_ONLY:
            assert tab.locator("main .empty, main .note").count() > 0
    if path not in IN_CHINESE:
        assert chinese_in(tab) == set()


@pytest.mark.parametrize("path", sorted({OF_ONE.sub("/999", one) for one in PAGES if OF_ONE.search(one)} | {"/none"}))
def test_what_is_not_there_is_told_in_words(context: BrowserContext, brand: NewBrand, path: str) -> None:
    tab = context.new_page()
    for language in ("zh", "en"):
        answer = tab.goto(in_language(f"{brand.url}{path}", language), wait_until="networkidle")
        assert answer
        assert answer.status == 404
        assert tab.locator("main .empty").count() == 1
        assert tab.locator("nav a").count() > 5
        assert wrong_in(tab, WHOLE) == []
    assert chinese_in(tab) == set()
