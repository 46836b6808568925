"""`make screenshots`: every page in both languages, light and dark, wide and narrow, into screenshots/."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Served
from tests.browser.test_pages import PAGES

FOLDER = Path("screenshots")
PHONE, DESK = 390, 1280


@pytest.mark.parametrize("path", PAGES)
def test_take_screenshots(tab: Page, served: Served, path: str) -> None:
    name = re.sub(r"\W+", "-", path).strip("-") or "today"
    for language in ("zh", "en"):
        for scheme in ("light", "dark"):
            for width in (DESK, PHONE):
                tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                tab.set_viewport_size({"width": width, "height": 900})
                join = "&" if "?" in path else "?"
                answer = tab.goto(f"{served.url}/console{path}{join}lang={language}", wait_until="networkidle")
                assert answer is not None
                assert answer.ok, path  # no picture of an error
                tab.wait_for_timeout(500)  # charts are drawn in 300 ms
                tab.screenshot(path=FOLDER / f"{name}-{language}-{scheme}-{width}.png", full_page=True)
