"""Charts for everybody: read with the keys as with the pointer, named in the page's language, with a table beneath; the
small drawings that the server makes answer too."""

import re

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


@pytest.mark.parametrize("path", ["/segments", "/segments/nesl", "/tags"])
def test_a_small_line_says_the_day_and_the_number(tab: Page, served: Served, path: str) -> None:
    open_page(tab, f"{served.url}/console{path}", "zh")
    drawn = tab.locator("svg.spark:visible")
    line, tip, told = drawn.first, tab.locator(".tip"), tab.locator("main > [role=status].unseen")
    said = (line.get_attribute("data-said") or "").split("|")
    assert len(said) > 1
    assert re.fullmatch(r"2\d{3}-\d\d-\d\d [\d,]+", said[0])
    line.focus()
    tab.keyboard.press("ArrowRight")
    expect(tip).to_have_text(said[0])
    expect(told).to_have_text(said[0])
    tab.keyboard.press("ArrowRight")
    expect(told).to_have_text(said[1])
    tab.keyboard.press("End")
    expect(tip).to_have_text(said[-1])
    tab.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    expect(told).to_have_text("")
    other = drawn.nth(1)
    box = other.bounding_box()
    assert box
    tab.mouse.move(box["x"] + box["width"] - 1, box["y"] + 5)
    expect(tip).to_have_text((other.get_attribute("data-said") or "").split("|")[-1])
    tab.mouse.move(box["x"] + 1, box["y"] + 5)
    expect(tip).to_have_text((other.get_attribute("data-said") or "").split("|")[0])
    expect(told).to_have_text("")  # the pointer is no key
    tab.mouse.move(2, 2)
    expect(tip).to_be_hidden()


def test_the_flow_of_nesl_is_walked_through_and_leads_to_its_people(tab: Page, served: Served) -> None:
    for language in LANGUAGES:
        open_page(tab, f"{served.url}/console/segments/nesl", language)
        flow, tip = tab.locator("svg[data-flow]"), tab.locator(".tip")
        links = flow.locator("a")
        assert links.count() > 6  # six boxes, and an arrow that somebody went along
        assert flow.locator("[tabindex='0']").count() == 1  # one stop of the Tab key
        for name in flow.locator("[data-states]").evaluate_all("all => all.map(one => one.ariaLabel)"):
            assert bool(HAN.search(name)) == (language == "zh"), name
        links.first.focus()
        for place in range(links.count()):
            expect(links.nth(place)).to_be_focused()
            expect(tip).to_have_text(links.nth(place).get_attribute("aria-label") or "")
            tab.keyboard.press("ArrowRight")
        expect(links.last).to_be_focused()
        tab.keyboard.press("Home")
        expect(links.first).to_be_focused()
        tab.keyboard.press("Escape")
        expect(tip).to_be_hidden()
        arrow = flow.locator("a[data-states*=' ']").first
        arrow.locator("text").hover()
        expect(tip).to_have_text(arrow.get_attribute("aria-label") or "")
        assert flow.locator(".aside").count() > 0
        arrow.locator("text").click()
        expect(tab).to_have_url(re.compile("r0-type=moved"))
        expect(tab.locator("main .card p").first).to_be_visible()


def test_drawings_stand_still_for_who_wants_no_motion(tab: Page, served: Served) -> None:
    tab.emulate_media(reduced_motion="reduce")
    open_page(tab, f"{served.url}/console/segments/nesl", "zh")
    tab.locator("svg[data-flow] a").first.focus()
    tab.locator("svg.spark").first.focus()
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(".tip")).to_be_visible()
    moving = "document.getAnimations().filter(one => one.playState === 'running').length"
    assert tab.evaluate(moving) == 0
