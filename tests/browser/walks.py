"""What the console shows beside its plain pages, a walk each: steps of the editor, what opens on a page, a file that
comes in, the door, errors. A walk stops at everything that there is to see, in both languages; there pictures are taken
(screenshots.py), and all is checked that must hold of a page (test_walks.py)."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Page, expect

from console.access.roles import Role
from console.access.totp import new_secret
from segmentation.demand.run import find_demand, keep_demand
from service.brand_words import tokenize_for_brand
from service.worker import propose_labels
from store.clock import system_clock
from store.engine import reading
from store.imports import import_events, import_products
from tests.browser.conftest import Served
from tests.browser.looks import LANGUAGES, open_page, wait_for_parts
from tests.browser.new_brand import PASSWORD, serve_new_brand
from tests.browser.writing import nested_rule

STEPS = ("who", "what", "when", "then", "policy", "check")
ORDERS = "order_id,customer_id,ordered_at,amount\nS-1,W1,2026-01-05,100\nS-2,W2,2026-01-06,abc\n"
# What the walks write themselves: pages in English show it as it was written.
COPY, AGAIN = "限時下殺！羽絨外套全館 79 折，買一送一只到週日", "還在猶豫嗎？優惠只到週日。"
CARD = {"alt": "冬季新品", "title": "冬季新品", "text": "要看看哪一種？"}
CHOICES = ("羽絨外套", "發熱衣")
RULE, TAG = "走一走的規則", "走一走的標籤"
WRITTEN = "\n".join((COPY, AGAIN, *CARD.values(), *CHOICES, RULE, TAG))
EMAIL, SECOND = "new@example.com", "second@example.com"
# A form of the page's own, to another address, with another token where one is given.
SEND = """([path, token]) => {
  const form = document.querySelector("form[action$='/logout']");
  form.action = path;
  if (token) form.csrf_token.value = token;
  form.submit();
}"""


class View(NamedTuple):
    """What stands open now, in "zh" or "en"."""

    name: str
    language: str


Walk = Iterator[View]


def views(tab: Page, address: str, name: str, status: int = 200) -> Walk:
    """The page at `address`, in both languages. It must answer with `status`."""
    for language in LANGUAGES:
        open_page(tab, address, language, status)
        yield View(name, language)


def through_the_editor(tab: Page, served: Served, folder: Path) -> Walk:
    """A campaign of two messages and a second step, at each of its steps."""
    del folder
    begin_campaign(tab, served)
    write_campaign(tab)
    tab.click("button:has-text('儲存並繼續')")
    tomorrow = system_clock() + timedelta(days=1)
    tab.fill("input[name=at]", f"{tomorrow:%Y-%m-%d}T10:00")
    tab.click("button:has-text('儲存並繼續')")
    tab.click("button:has-text('加一步')")
    tab.click("button:has-text('寫內容') >> nth=1")
    tab.fill("[name='v0-m0-text']", AGAIN)
    tab.click("button:has-text('儲存並繼續')")
    draft = tab.url.rpartition("/")[0]
    for number, step in enumerate(STEPS, 1):
        yield from views(tab, f"{draft}/{step}", f"editor-{number}-{step}")
    for language in LANGUAGES:
        open_page(tab, f"{draft}/when", language)
        for kind in ("recurs", "trigger"):
            tab.check(f"input[name=kind][value={kind}]")
            yield View(f"editor-3-when-{kind}", language)


def begin_campaign(tab: Page, served: Served) -> None:
    """A new one for people at risk, at its contents, in Chinese."""
    open_page(tab, f"{served.url}/console/campaigns/new?target=rf11=at_risk", "zh")
    tab.fill("input[name=name]", "冬季喚回")
    tab.click("main button:has-text('開始')")
    tab.click("button:has-text('儲存並繼續')")


def write_campaign(tab: Page) -> None:
    """Its two messages, seen in the chat."""
    tab.fill("input[name=theme]", "冬季服飾")
    tab.fill("[name='v0-m0-text']", '{{ name or "您" }}，羽絨外套限時下殺，全館 79 折 👉 https://shop.example/winter')
    tab.click("#press-add-v0")
    tab.select_option("[id='v0-m1-kind']", "buttons")
    expect(tab.locator("[name='v0-m1-text']")).to_be_visible()
    for field, words in CARD.items():
        tab.fill(f"[name='v0-m1-{field}']", words)
    for number, words in enumerate(CHOICES):
        tab.select_option(f"[name='v0-m1-a{number}-do']", "uri")
        tab.fill(f"[name='v0-m1-a{number}-label']", words)
        tab.fill(f"[name='v0-m1-a{number}-value']", "https://shop.example/winter")
    expect(tab.locator("#chat .said-by-brand")).to_contain_text("發熱衣")


def what_opens(tab: Page, served: Served, folder: Path) -> Walk:
    """What a page shows when it is asked for."""
    del folder
    for language in LANGUAGES:
        open_page(tab, f"{served.url}/console/customers", language)
        tab.locator("summary").first.click()
        yield View("customers-filter", language)
        open_page(tab, f"{served.url}/console/customers?r0-type=attribute&r0-name=city&r0-value=A", language)
        yield View("customers-nobody", language)
        open_page(tab, f"{served.url}/console/customers/1?words=1", language)
        yield View("customer-words", language)
        open_page(tab, f"{served.url}/console/keywords/write", language)
        tab.fill("main textarea >> nth=0", COPY)
        with tab.expect_navigation():
            tab.locator("main form button").first.click()
        wait_for_parts(tab)
        yield View("keywords-write-scored", language)


def a_rule_and_its_tag(tab: Page, served: Served, folder: Path) -> Walk:
    """A rule of nested rows, and a tag by it; both are opened again."""
    del folder
    nested_rule(tab, served.url, RULE)
    tab.click("button:has-text('儲存')")
    tab.click(f"td.name >> text={RULE}")
    expect(tab.locator("select[name='r1.0-value']")).to_be_visible()
    yield from views(tab, tab.url, "rule-nested")
    expect(tab.locator("select[name='r1.0-value']")).to_be_visible()
    for source in ("rule", "measure", "hand"):
        yield from views(tab, f"{served.url}/console/tags/new?source={source}", f"tag-new-{source}")
    open_page(tab, f"{served.url}/console/tags/new?source=hand", "zh")
    tab.fill("input[name=name]", TAG)
    tab.click("main button:has-text('儲存')")
    expect(tab.locator("h1")).to_contain_text(TAG)
    yield from views(tab, tab.url.partition("?")[0], "tag-by-hand")
    yield from views(tab, f"{tab.url.partition('?')[0]}/edit", "tag-edit")


def a_file_of_orders(tab: Page, served: Served, folder: Path) -> Walk:
    """One row of it can be used, one can't."""
    path = folder / "訂單.csv"
    path.write_text(ORDERS)
    open_page(tab, f"{served.url}/console/import", "zh")
    tab.select_option("select[name=kind]", "orders")
    tab.set_input_files("input[name=file]", path)
    tab.click("button:has-text('上傳並預覽')")
    expect(tab.locator("tbody").first).to_contain_text("S-2")
    address = tab.url.partition("?")[0]
    yield from views(tab, address, "import-preview")
    open_page(tab, address, "zh")
    tab.click("button:has-text('開始匯入')")
    expect(tab.locator("main")).to_contain_text("amount 不是單純的數字")
    yield from views(tab, address, "import-done")


def a_catalogue(tab: Page, served: Served, folder: Path) -> Walk:
    """Twelve products, of which one is against dandruff, and forty people who search for that."""
    stage, (products, events) = served.stage, (folder / "products.csv", folder / "events.csv")
    wanted = "亮澤抗屑洗髮精"
    shelf = [f"P-{n},{'亮澤洗髮精' if n else wanted} {n},洗髮,溫和" for n in range(12)]
    products.write_text("\n".join(["sku,name,categories,labels", *shelf]))
    searched = [f"Q-{n},W{n},search,{system_clock() - timedelta(days=n + 1):%Y-%m-%d},抗屑" for n in range(40)]
    events.write_text("\n".join(["event_id,customer_id,kind,occurred_at,text", *searched]))
    for bring, path in ((import_products, products), (import_events, events)):
        bring(stage.engine, path, zone=stage.settings.zone, clock=system_clock)
    yield from views(tab, f"{served.url}/console/products", "products-some")
    propose_labels(stage.engine, system_clock)
    yield from views(tab, f"{served.url}/console/products/labels", "products-labels-some")
    with reading(stage.engine) as session:
        tokenize = tokenize_for_brand(session)
    demand = find_demand(stage.engine, zone=stage.settings.zone, clock=system_clock, tokenize=tokenize)
    keep_demand(stage.engine, demand, system_clock)
    yield from views(tab, f"{served.url}/console/demand", "demand-some")


def through_the_door(stranger: Page, folder: Path) -> Walk:
    """Of a brand that has no account at first, for somebody who is not signed in."""
    with serve_new_brand(folder) as brand:
        yield from views(stranger, f"{brand.url}/first", "door-first-owner")
        brand.user(EMAIL)
        brand.user(SECOND, Role.READER, totp_secret=new_secret())
        token = brand.invited("invited@example.com")
        yield from views(stranger, f"{brand.url}/login", "door-sign-in")
        yield from views(stranger, f"{brand.url}/welcome/{token}", "door-welcome")
        yield from views(stranger, f"{brand.url}/welcome/none", "door-used-invitation", 404)
        for language in LANGUAGES:
            for name, email, password in (
                ("door-wrong-password", EMAIL, "not the one"),
                ("door-second-factor", SECOND, PASSWORD),
            ):
                open_page(stranger, f"{brand.url}/login", language)
                stranger.fill("input[name=email]", email)
                stranger.fill("input[name=password]", password)
                with stranger.expect_navigation():
                    stranger.click("main button")
                yield View(name, language)


def errors(tab: Page, served: Served, folder: Path) -> Walk:
    """Pages that say why something was not done; the browser's own console tells of each."""
    del folder
    yield from views(tab, f"{served.url}/console/none", "error-404", 404)
    yield from views(tab, f"{served.url}/console/campaigns/999/pause", "error-address-of-a-form", 404)
    for language in LANGUAGES:
        for name, path, token, status in (("400", "/rules/edit", "none", 400), ("405", "/segments", None, 405)):
            open_page(tab, f"{served.url}/console/", language)
            with tab.expect_navigation():
                tab.evaluate(SEND, [f"{served.url}/console{path}", token])
            assert tab.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == status
            yield View(f"error-{name}", language)


INSIDE = (through_the_editor, what_opens, a_rule_and_its_tag, a_file_of_orders, a_catalogue, errors)
