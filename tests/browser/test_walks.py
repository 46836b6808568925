"""What must hold of every page holds of the editor's steps, of what opens, of the door and of errors too."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import Engine

from tests.browser.conftest import Served
from tests.browser.looks import chinese_in, words_kept, wrong_in
from tests.browser.walks import INSIDE, WRITTEN, Walk, errors, through_the_door


def look(tab: Page, walk: Walk, engine: Engine | None) -> None:
    """At everything on the walk; `engine` holds the brand's own words."""
    seen = set()
    for view in walk:
        seen.add(view.language)
        assert wrong_in(tab) == [], view
        if view.language == "en":
            kept = WRITTEN + (words_kept(engine) if engine else "")
            assert {run for run in chinese_in(tab) if run not in kept} == set(), view
    assert seen == {"zh", "en"}


@pytest.mark.parametrize("walk", [one for one in INSIDE if one is not errors], ids=lambda walk: walk.__name__)
def test_a_walk_through_the_console(
    tab: Page, served: Served, tmp_path: Path, walk: Callable[[Page, Served, Path], Walk]
) -> None:
    look(tab, walk(tab, served, tmp_path), served.stage.engine)


def test_errors(context: BrowserContext, served: Served, tmp_path: Path) -> None:
    tab = context.new_page()
    look(tab, errors(tab, served, tmp_path), served.stage.engine)


def test_the_door(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context()
    stranger = context.new_page()
    look(stranger, through_the_door(stranger, tmp_path), None)
    context.close()
