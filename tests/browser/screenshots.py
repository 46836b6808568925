"""`make screenshots`: every page, the editor's steps, the door, errors and empty states, in both languages, light and
dark, wide and narrow, as screenshots/NAME-LANGUAGE-SCHEME-WIDTH.png; and those that docs/images/ shows, as
screenshots/docs/NAME.png."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Served
from tests.browser.looks import LOOKS, open_page, take
from tests.browser.new_brand import NewBrand
from tests.browser.test_new_brand import OF_ONE, brand, cookies
from tests.browser.test_pages import PAGES
from tests.browser.walks import INSIDE, Walk, begin_campaign, through_the_door, views, write_campaign

__all__ = ["brand", "cookies"]
FOLDER = Path("screenshots")
IN_DOCS = {
    "start": "/start",
    "console": "/segments",
    "calendar": "/campaigns/calendar",
    "keywords": "/keywords",
    "results": "/campaigns/5/results",
}


@contextmanager
def opened(browser: Browser, signed_in: Path | None) -> Iterator[Page]:
    """A tab in which nothing moves. It is kept for many pictures, with the scripts and styles that it has loaded."""
    context = browser.new_context(storage_state=signed_in, reduced_motion="reduce")
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def ours(browser: Browser, signed_in: Path) -> Iterator[Page]:
    with opened(browser, signed_in) as tab:
        yield tab


@pytest.fixture(scope="module")
def theirs(browser: Browser, cookies: Path) -> Iterator[Page]:
    """Of the brand that has nothing yet."""
    with opened(browser, cookies) as tab:
        yield tab


def name_of(path: str) -> str:
    return re.sub(r"\W+", "-", path).strip("-") or "today"


def pictures(tab: Page, walk: Walk) -> None:
    """Everything on a walk, in every look."""
    for name, language in walk:
        for look in LOOKS:
            take(tab, look)
            tab.screenshot(path=FOLDER / f"{name}-{language}-{look.scheme}-{look.width}.png", full_page=True)


def picture_for_docs(tab: Page, name: str) -> None:
    """What the open page shows first, in Chinese, light and wide."""
    take(tab, LOOKS[0])
    tab.set_viewport_size({"width": LOOKS[0].width, "height": 860})
    tab.screenshot(path=FOLDER / "docs" / f"{name}.png")


@pytest.mark.parametrize("path", PAGES)
def test_pages(ours: Page, served: Served, path: str) -> None:
    pictures(ours, views(ours, f"{served.url}/console{path}", name_of(path)))


@pytest.mark.parametrize("path", [one for one in PAGES if not OF_ONE.search(one)])
def test_empty_pages(theirs: Page, brand: NewBrand, path: str) -> None:
    pictures(theirs, views(theirs, f"{brand.url}{path}", f"empty-{name_of(path)}"))


@pytest.mark.parametrize("walk", INSIDE, ids=lambda walk: walk.__name__)
def test_walks(ours: Page, served: Served, tmp_path: Path, walk: Callable[[Page, Served, Path], Walk]) -> None:
    pictures(ours, walk(ours, served, tmp_path))


def test_the_door(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, None) as stranger:
        pictures(stranger, through_the_door(stranger, tmp_path))


@pytest.mark.parametrize("name", IN_DOCS)
def test_pictures_of_the_docs(ours: Page, served: Served, name: str) -> None:
    open_page(ours, f"{served.url}/console{IN_DOCS[name]}", "zh")
    picture_for_docs(ours, name)


def test_picture_of_the_editor(ours: Page, served: Served) -> None:
    begin_campaign(ours, served)
    write_campaign(ours)
    ours.evaluate("document.querySelector('#written').scrollIntoView()")
    picture_for_docs(ours, "editor")
