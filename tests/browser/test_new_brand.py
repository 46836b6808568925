"""The pages of a brand that has nothing yet: each says so, in its language; and what isn't there is told in words."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.looks import LANGUAGES, WHOLE, chinese_in, open_page, undefined_in, wrong_in
from tests.browser.new_brand import PASSWORD, NewBrand, serve_new_brand
from tests.browser.test_pages import IN_CHINESE, PAGES

OF_ONE = re.compile(r"/\d+")  # the page of something, which a new brand has not got
HAVE_FORMS_ONLY = {  # what these show is there from the start
    *("/", "/tags/new?source=rule", "/rules/edit", "/campaigns/new", "/campaigns/calendar", "/keywords/write"),
    *("/keywords/words", "/start", "/people", "/account", "/guide", "/guide/lift", "/settings/audit"),
    *("/settings/campaigns", "/settings/segments", "/settings/plan", "/settings/copy", "/settings/report"),
}
EMAIL = "new@example.com"


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewBrand]:
    with serve_new_brand(tmp_path_factory.mktemp("new")) as brand:
        brand.user(EMAIL)
        yield brand


@pytest.fixture(scope="module")
def cookies(browser: Browser, brand: NewBrand, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of its owner."""
    path = tmp_path_factory.mktemp("cookies") / "new.json"
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{brand.url}/login")
    page.fill("input[name=email]", EMAIL)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/console/")
    context.storage_state(path=path)
    context.close()
    return path


@pytest.fixture
def signed_in(cookies: Path) -> Path:  # of conftest.py's context and tab
    return cookies


@pytest.mark.parametrize("path", sorted(one for one in PAGES if not OF_ONE.search(one)))
def test_a_page_without_anything_to_show_says_so(tab: Page, brand: NewBrand, path: str) -> None:
    for language in LANGUAGES:
        open_page(tab, f"{brand.url}{path}", language)
        assert wrong_in(tab, WHOLE) == []
        assert undefined_in(tab, language) == set()
        if path not in HAVE_FORMS_ONLY:
            assert tab.locator("main .empty, main .note").count() > 0
    if path not in IN_CHINESE:
        assert chinese_in(tab) == set()


@pytest.mark.parametrize("path", sorted({OF_ONE.sub("/999", one) for one in PAGES if OF_ONE.search(one)} | {"/none"}))
def test_what_is_not_there_is_told_in_words(context: BrowserContext, brand: NewBrand, path: str) -> None:
    tab = context.new_page()
    for language in LANGUAGES:
        open_page(tab, f"{brand.url}{path}", language, 404)
        assert tab.locator("main .empty").count() == 1
        assert tab.locator("nav a").count() > 5
        assert wrong_in(tab, WHOLE) == []
    assert chinese_in(tab) == set()
