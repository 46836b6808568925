"""A brand with two months of past, served as `retarget up` serves it, with a simulated LINE; and a Chromium to look."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from service.demo.live import living
from service.demo.past import bring_orders, gain_friends, play_past, renew_segments
from service.demo.stage import Stage, free_port, make_owner, open_stage
from service.demo.summary import figures
from tests.browser.chromium import require_chromium

FRIENDS, CAMPAIGNS, SEED, HISTORY_DAYS = 150, 12, 7, 60
expect.set_options(timeout=30_000)  # ms; what is there at once is not waited for, and a busy machine takes its time
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


@dataclass(frozen=True)
class Served:
    """Where the console is, and who may do everything there."""

    url: str
    email: str
    password: str
    stage: Stage


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    def quietly(_what: str, _done: int, _of: int) -> None:
        return

    stage = open_stage(tmp_path_factory.mktemp("brand"), history_days=HISTORY_DAYS, seed=SEED, port=free_port(0))
    bring_orders(stage, quietly)
    gain_friends(stage, FRIENDS, SEED, quietly)
    play_past(stage, CAMPAIGNS, SEED, quietly)
    renew_segments(stage)
    with living(stage):
        email, password = make_owner(stage)
        figures(stage, 1)  # learns the keywords' effects, as the worker does in time
        yield Served(stage.settings.public_base_url, email, password, stage)
    stage.engine.dispose()


@pytest.fixture(scope="session")
def browser(served: Served) -> Iterator[Browser]:  # after the brand: Playwright keeps an event loop running here
    chromium = require_chromium()
    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, *root])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def signed_in(browser: Browser, served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cookies of somebody who signed in through the page."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{served.url}/console/")
    page.fill("input[name=email]", served.email)
    page.fill("input[name=password]", served.password)
    page.click("button:has-text('登入')")
    page.wait_for_url("**/console/")
    path = tmp_path_factory.mktemp("cookies") / "state.json"
    context.storage_state(path=path)
    context.close()
    return path


@pytest.fixture
def context(browser: Browser, signed_in: Path) -> Iterator[BrowserContext]:
    opened = browser.new_context(storage_state=signed_in, viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


@pytest.fixture
def tab(context: BrowserContext) -> Iterator[Page]:
    """A page that complains of everything that goes wrong in it."""
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("response", lambda got: problems.append(f"{got.status} {got.url}") if got.status >= 400 else None)
    yield page
    assert problems == []
