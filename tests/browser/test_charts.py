"""Charts for everybody: read with the keys as with the pointer, named in the page's language, with a table beneath."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.looks import HAN, LANGUAGES, open_page

WITH_CHARTS = ("/", "/segments/nesl", "/keywords", "/results?id=1&id=2", "/campaigns/5/results")


@pytest.mark.parametrize("path", WITH_CHARTS)
def test_a_chart_says_what_it_shows_in_a_name_axes_and_a_table(tab: Page, served: Served, path: str) -> None:
    for language in LANGUAGES:
        open_page(tab, f"{served.url}/console{path}", language)
        charts = tab.locator("figure.chart")
        assert charts.count() > 0
        for chart in charts.all():
            drawn = chart.locator("[data-chart]")
            name = drawn.get_attribute("aria-label") or ""
            assert bool(HAN.search(name)) == (language == "zh"), name  # the library's own name is always English
            assert drawn.locator("svg text").count() > 0
            chart.locator("summary").click()
            expect(chart.locator("tbody tr").first).to_be_visible()


@pytest.mark.parametrize("path", WITH_CHARTS)
def test_a_chart_is_read_with_the_keys(tab: Page, served: Served, path: str) -> None:
    open_page(tab, f"{served.url}/console{path}", "zh")
    for chart in tab.locator("figure.chart").all():
        told = chart.locator("[data-chart-said]")
        expect(told).to_have_text("")
        chart.locator("[data-chart]").focus()
        tab.keyboard.press("ArrowRight")
        expect(told).not_to_have_text("")
        first = told.inner_text()
        tab.keyboard.press("End")
        if chart.locator("tbody tr").count() > 1:
            expect(told).not_to_have_text(first)
        tab.keyboard.press("Home")
        expect(told).to_have_text(first)
        tab.keyboard.press("Escape")
        expect(told).to_have_text("")
