"""`make screenshots`: every page, the editor's steps, the door, errors and empty states, in both languages, light and
dark, wide and narrow, as screenshots/NAME-LANGUAGE-SCHEME-WIDTH.png; and those that docs/images/ shows, as
screenshots/docs/NAME.png."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from console.access.roles import Role
from console.access.totp import new_secret
from store.clock import system_clock
from tests.browser.conftest import Served
from tests.browser.looks import LOOKS, in_language, take
from tests.browser.new_brand import PASSWORD, NewBrand, serve_new_brand
from tests.browser.test_new_brand import EMAIL, OF_ONE, brand, cookies
from tests.browser.test_pages import PAGES

__all__ = ["brand", "cookies"]
FOLDER = Path("screenshots")
LANGUAGES = ("zh", "en")
DRAWN_MS = 400  # charts are drawn in 300
IN_DOCS = {
    "start": "/start",
    "console": "/segments",
    "calendar": "/campaigns/calendar",
    "keywords": "/keywords",
    "results": "/campaigns/5/results",
}
# A form of the page's own, to another address, with another token where one is given.
SEND = """([path, token]) => {
  const form = document.querySelector("form[action$='/logout']");
  form.action = path;
  if (token) form.csrf_token.value = token;
  form.submit();
}"""
STEPS = ("who", "what", "when", "then", "policy", "check")


def name_of(path: str) -> str:
    return re.sub(r"\W+", "-", path).strip("-") or "today"


def picture(page: Page, name: str, language: str) -> None:
    """The open page in every look."""
    for look in LOOKS:
        take(page, look)
        if page.locator("[data-chart]").count():
            page.wait_for_timeout(DRAWN_MS)
        page.screenshot(path=FOLDER / f"{name}-{language}-{look.scheme}-{look.width}.png", full_page=True)


def picture_for_docs(page: Page, name: str) -> None:
    """What the open page shows first, in Chinese, light and wide."""
    take(page, LOOKS[0])
    page.set_viewport_size({"width": LOOKS[0].width, "height": 860})
    page.wait_for_timeout(DRAWN_MS)
    page.screenshot(path=FOLDER / "docs" / f"{name}.png")


def pictures(page: Page, address: str, name: str, status: int = 200) -> None:
    """Of the page at `address`, in both languages. It must answer with `status`."""
    for language in LANGUAGES:
        answer = page.goto(in_language(address, language), wait_until="networkidle")
        assert answer is not None
        assert answer.status == status, address
        picture(page, name, language)


@pytest.mark.parametrize("path", PAGES)
def test_pages(tab: Page, served: Served, path: str) -> None:
    pictures(tab, f"{served.url}/console{path}", name_of(path))


@pytest.mark.parametrize("name", IN_DOCS)
def test_pictures_of_the_docs(tab: Page, served: Served, name: str) -> None:
    answer = tab.goto(in_language(f"{served.url}/console{IN_DOCS[name]}", "zh"), wait_until="networkidle")
    assert answer is not None
    assert answer.ok
    picture_for_docs(tab, name)


def test_steps_of_the_editor(tab: Page, served: Served) -> None:
    tab.goto(f"{served.url}/console/campaigns/new?lang=zh&target=rf11=at_risk")
    tab.fill("input[name=name]", "冬季喚回")
    tab.click("main button:has-text('開始')")
    tab.click("button:has-text('儲存並繼續')")
    tab.fill("input[name=theme]", "冬季服飾")
    tab.fill("[name='v0-m0-text']", '{{ name or "您" }}，羽絨外套限時下殺，全館 79 折 👉 https://shop.example/winter')
    tab.click("#press-add-v0")
    tab.select_option("[id='v0-m1-kind']", "buttons")
    expect(tab.locator("[name='v0-m1-text']")).to_be_visible()
    for field, words in {"alt": "冬季新品", "title": "冬季新品", "text": "要看看哪一種？"}.items():
        tab.fill(f"[name='v0-m1-{field}']", words)
    for number, words in enumerate(("羽絨外套", "發熱衣")):
        tab.select_option(f"[name='v0-m1-a{number}-do']", "uri")
        tab.fill(f"[name='v0-m1-a{number}-label']", words)
        tab.fill(f"[name='v0-m1-a{number}-value']", "https://shop.example/winter")
    expect(tab.locator("#chat .said-by-brand")).to_contain_text("發熱衣")
    tab.evaluate("document.querySelector('#written').scrollIntoView()")
    picture_for_docs(tab, "editor")
    tab.click("button:has-text('儲存並繼續')")
    tomorrow = system_clock() + timedelta(days=1)
    tab.fill("input[name=at]", f"{tomorrow:%Y-%m-%d}T10:00")
    tab.click("button:has-text('儲存並繼續')")
    tab.click("button:has-text('加一步')")
    tab.click("button:has-text('寫內容') >> nth=1")
    tab.fill("[name='v0-m0-text']", "還在猶豫嗎？優惠只到週日。")
    tab.click("button:has-text('儲存並繼續')")
    draft = tab.url.rpartition("/")[0]
    for number, step in enumerate(STEPS, 1):
        pictures(tab, f"{draft}/{step}", f"editor-{number}-{step}")
    tab.goto(f"{draft}/when?lang=zh")
    tab.check("input[name=kind][value=recurs]")
    picture(tab, "editor-3-when-recurs", "zh")
    tab.check("input[name=kind][value=trigger]")
    picture(tab, "editor-3-when-trigger", "zh")


def test_what_opens_on_a_page(tab: Page, served: Served) -> None:
    for language in LANGUAGES:
        tab.goto(in_language(f"{served.url}/console/customers", language))
        tab.locator("summary").first.click()
        picture(tab, "customers-filter", language)
        tab.goto(in_language(f"{served.url}/console/keywords/write", language))
        tab.fill("main textarea >> nth=0", "限時下殺！羽絨外套全館 79 折，買一送一只到週日")
        tab.locator("main form button").first.click()
        tab.wait_for_load_state("networkidle")
        picture(tab, "keywords-write-scored", language)


def test_a_file_of_orders(tab: Page, served: Served, tmp_path: Path) -> None:
    path = tmp_path / "訂單.csv"
    path.write_text("order_id,customer_id,ordered_at,amount\nS-1,W1,2026-01-05,100\nS-2,W2,2026-01-06,abc\n")
    tab.goto(f"{served.url}/console/import?lang=zh")
    tab.select_option("select[name=kind]", "orders")
    tab.set_input_files("input[name=file]", path)
    tab.click("button:has-text('上傳並預覽')")
    expect(tab.locator("tbody").first).to_contain_text("S-2")
    pictures(tab, tab.url, "import-preview")
    tab.goto(in_language(tab.url.partition("?")[0], "zh"))
    tab.click("button:has-text('開始匯入')")
    expect(tab.locator("main")).to_contain_text("amount 不是單純的數字", timeout=20_000)
    pictures(tab, tab.url, "import-done")


@pytest.fixture
def stranger(browser: Browser) -> Iterator[Page]:
    """Somebody who is not signed in."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def sign_in(page: Page, email: str, password: str) -> None:
    page.fill("input[name=email]", email)
    page.fill("input[name=password]", password)
    page.click("main button")
    page.wait_for_load_state("networkidle")


def test_the_door(stranger: Page, tmp_path: Path) -> None:
    with serve_new_brand(tmp_path) as brand:
        pictures(stranger, f"{brand.url}/first", "door-first-owner")  # before there is any account
        brand.user(EMAIL)
        brand.user("second@example.com", Role.READER, totp_secret=new_secret())
        token = brand.invited("invited@example.com")
        pictures(stranger, f"{brand.url}/login", "door-sign-in")
        pictures(stranger, f"{brand.url}/welcome/{token}", "door-welcome")
        pictures(stranger, f"{brand.url}/welcome/none", "door-used-invitation", 404)
        for language in LANGUAGES:
            stranger.goto(in_language(f"{brand.url}/login", language))
            sign_in(stranger, EMAIL, "not the one")
            picture(stranger, "door-wrong-password", language)
            stranger.goto(in_language(f"{brand.url}/login", language))
            sign_in(stranger, "second@example.com", PASSWORD)
            picture(stranger, "door-second-factor", language)


@pytest.mark.parametrize("path", [one for one in PAGES if not OF_ONE.search(one)])
def test_empty_pages(browser: Browser, brand: NewBrand, cookies: Path, path: str) -> None:
    context = browser.new_context(storage_state=cookies)
    pictures(context.new_page(), f"{brand.url}{path}", f"empty-{name_of(path)}")
    context.close()


def test_errors(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    pictures(page, f"{served.url}/console/none", "error-404", 404)
    pictures(page, f"{served.url}/console/campaigns/999/pause", "error-address-of-a-form", 404)
    for language in LANGUAGES:
        for name, path, token, status in (("400", "/rules/edit", "none", 400), ("405", "/segments", None, 405)):
            page.goto(in_language(f"{served.url}/console/", language))
            with page.expect_navigation():
                page.evaluate(SEND, [f"{served.url}/console{path}", token])
            assert page.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == status
            picture(page, f"error-{name}", language)
