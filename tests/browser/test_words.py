"""The words of the house on the pages that show them: each links to its meaning, in both languages."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from console.guide.terms import segment_terms, terms
from tests.browser.conftest import Served

RFM = {"recency", "frequency", "monetary", "score"}
MODELS = {"rf4", "rf11", "rfm3", "rfm8", "nesl", "nes", "activity"}
SHOWN = {
    "/": {"quota", "billed", "moves"},
    "/customers": {"rf11", "nesl"},
    "/customers/1": {"segment", "tag", "prediction", "loyalty", *RFM, *MODELS},
    "/segments": {"segment", "loyalty", "groups", "high", "purchase-cycle", *RFM, *MODELS},
    "/segments/nesl": {"nesl", "moves", "monetary"},
    "/tags": {"tag", "tag-kind", "line"},
    "/tags/1": {"tag-kind", "line", "strength", "evidence"},
    "/rules/edit": {"rule"},
    "/predictions": {"prediction"},
    "/campaigns/1": {"accepted", "held-out", "tap-click", "credit", "billed", "way", "target"},
    "/campaigns/1/results": {
        "lift",
        "held-out",
        "interval",
        "funnel",
        "variant",
        "block",
        "aggregation-unit",
        "credit",
    },
    "/results": {"lift", "interval", "accepted"},
    "/keywords": {"effect", "interval", "term"},
    "/settings/campaigns": {"quiet-hours", "frequency-cap", "global-holdout", "approval", "block"},
    "/settings/segments": {"purchase-cycle", "loyalty", "activity", "recency", "frequency", "monetary", "high"},
    "/settings/copy": {"worn"},
    "/account": {"second-factor"},
}
ADDRESS = re.compile(r"/console/guide/([^#]+)(?:#(.+))?$")


@pytest.mark.parametrize("path", SHOWN)
def test_words_that_a_page_shows_link_to_an_anchor_that_there_is(tab: Page, served: Served, path: str) -> None:
    for language in ("zh", "en"):
        tab.goto(f"{served.url}/console{path}?lang={language}")
        links = tab.evaluate("[...document.querySelectorAll('main a.word, main a.term')].map(a => [a.href, a.title])")
        found = {(match[1], match[2]): title for href, title in links if (match := ADDRESS.search(href))}
        assert len(found) == len({href for href, _title in links})
        assert {slug for slug, _segment in found} >= SHOWN[path]
        for (slug, segment), title in found.items():
            named = {one.segment.name: one.meaning(language) for one in segment_terms().get(slug, ())}
            assert title == (named[segment] if segment else terms()[slug].meaning(language))


def test_a_definition_is_shown_where_the_word_stands_and_takes_away_nothing_typed(tab: Page, served: Served) -> None:
    tab.goto(f"{served.url}/console/rules/edit?lang=zh", wait_until="networkidle")
    tab.fill("input[name=name]", "打到一半")
    word = tab.locator("legend a.word")
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        word.click()
        box = tab.locator("#definition")
        expect(box).to_contain_text(terms()["rule"].meaning_zh)
        place = box.bounding_box()
        assert place
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= width
        assert Axe().run(tab).response["violations"] == []
        tab.keyboard.press("Escape")
        expect(box).not_to_be_visible()
        expect(word).to_be_focused()
    assert tab.input_value("input[name=name]") == "打到一半"
    word.click()
    with tab.expect_popup() as opened:
        tab.click("#definition a")
    assert opened.value.url.endswith("/console/guide/rule")
