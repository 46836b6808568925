"""Every page of the console in a real browser, in both languages, light and dark, wide and phone: no error, no
violation that axe knows, nothing wider than the screen, no word of the house without a link to its definition, and no
Chinese on English pages but the brand's own words."""

from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from playwright.sync_api import Page

from console.frame.site import Site
from console.pages import create_console
from store.clock import system_clock
from store.engine import open_engine
from tests.browser.conftest import Served
from tests.browser.looks import (
    LANGUAGES,
    LOOKS,
    WHOLE,
    chinese_in,
    code_in,
    open_page,
    take,
    undefined_in,
    wait_for_parts,
    words_kept,
    wrong_in,
)

# Every page that is opened by its address. Parts, files and forms aren't pages; tests/browser/test_day.py walks those.
PAGES = (
    *("/", "/customers", "/customers?r0-type=segment&r0-value=nesl=E", "/customers/1"),
    *("/segments", "/segments/nesl", "/segments/rf11", "/tags", "/tags/1", "/tags/new?source=rule"),
    *(
        "/rules",
        "/rules/edit",
        "/predictions",
        "/products",
        "/products/labels",
        "/demand",
        "/campaigns",
        "/campaigns/1",
        "/campaigns/new",
    ),
    *("/campaigns/together", "/campaigns/calendar", "/campaigns/1/results", "/results", "/results?id=1&id=2"),
    "/ads",
    *("/keywords", "/keywords/write", "/keywords/words"),
    *("/settings", "/settings/campaigns", "/settings/segments", "/settings/plan", "/settings/copy"),
    "/settings/preferences",
    *("/settings/report", "/settings/keys", "/settings/audit", "/settings/channels/1/webhook"),
    *("/automations", "/import", "/start", "/people", "/account", "/guide", "/guide/lift"),
)
NOT_PAGES = {
    *("console.static", "console.sign_in", "console.give_code", "console.welcome", "console.make_first_owner"),
    "console.show_uploads",
    *("console.show_progress", "console.show_moves", "console.show_waiting_moves"),  # parts of pages, like the next
    "console.suggest_words",
    *("console.take_template", "console.show_import", "console.show_import_progress"),  # a file, and test_day.py
    "console.edit_tag",  # the form of /tags/new; the demo's tags are all the product's own: tests/browser/walks.py
    *("console.show_computing", "console.show_waiting", "console.show_sample_waiting"),
    "console.show_nothing",  # of every wrong address
    "console.edit_draft",  # tests/browser/walks.py, test_day.py and test_editor.py go through its steps
    *("console.show_experiment", "console.show_coupons"),  # parts of its steps
    "console.name_tags",  # options of a field
}
# Lists of the product's own Chinese words, which are what these pages are about.
OF_COLUMNS = {"/import"}  # names them as files must
IN_CHINESE = {"/keywords/words", "/keywords/write", "/settings/copy"}


def test_no_page_is_forgotten() -> None:
    app = Flask(__name__)
    site = Site(open_engine("sqlite://"), ZoneInfo("Asia/Taipei"), system_clock)
    app.register_blueprint(create_console(site))
    adapter = app.url_map.bind("localhost")
    walked = {adapter.match("/console" + path.split("?")[0])[0] for path in PAGES}
    rules = {rule.endpoint for rule in app.url_map.iter_rules() if "GET" in (rule.methods or set())}
    assert {one for one in rules if one.startswith("console.")} - NOT_PAGES == walked


# Tables beneath charts, forms and lists that stand closed at first, and the menu of a narrow screen
UNFOLD = """() => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  document.querySelector("#menu").classList.add("open");
}"""


@pytest.fixture(scope="module")
def kept(served: Served) -> str:
    return words_kept(served.stage.engine)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_in_both_languages_lights_and_widths(tab: Page, served: Served, path: str, kept: str) -> None:
    for language in LANGUAGES:
        take(tab, LOOKS[0])
        open_page(tab, f"{served.url}/console{path}", language)
        assert tab.locator("h1").count() == 1
        assert tab.title()
        assert wrong_in(tab) == []
        tab.evaluate(UNFOLD)
        wait_for_parts(tab)
        assert wrong_in(tab, WHOLE) == []
        assert undefined_in(tab, language) == set()
        if path not in OF_COLUMNS:
            assert {word for word in code_in(tab) if word not in kept} == set()
    if path not in IN_CHINESE:
        assert {run for run in chinese_in(tab) if run not in kept} == set()


def test_the_keyboard_reaches_the_content_first(tab: Page, served: Served) -> None:
    tab.goto(f"{served.url}/console/?lang=zh")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
