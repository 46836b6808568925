"""What somebody writes while a page is busy isn't lost, nor what the page has just told them."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.test_editor import begin

# Chooses another kind of the second message in the same moment in which it comes into the page.
AT_ONCE = """() => new MutationObserver((_, watching) => {
  const kind = document.getElementById("v0-m1-kind");
  if (!kind) return;
  watching.disconnect();
  kind.value = "buttons";
  kind.dispatchEvent(new Event("input", {bubbles: true}));
}).observe(document.body, {childList: true, subtree: true})"""
SLOW = {"offline": False, "latency": 700, "downloadThroughput": -1, "uploadThroughput": -1}  # ms


def far_away(tab: Page) -> None:
    """The server answers late from now on."""
    session = tab.context.new_cdp_session(tab)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", SLOW)


def test_what_is_written_while_a_message_is_added_is_kept(tab: Page, served: Served) -> None:
    begin(tab, served, "慢慢寫")
    tab.fill("#v0-m0-text", "第一則")
    far_away(tab)
    tab.click("#press-add-v0")
    tab.fill("#v0-m0-text", "第一則，還沒寫完")
    expect(tab.locator("[name='v0-m1-text']")).to_be_visible(timeout=60_000)
    expect(tab.locator("#v0-m0-text")).to_have_value("第一則，還沒寫完")
    expect(tab.locator("[name='v0-m2-text']")).to_have_count(0)  # pressed anew, not twice
    tab.reload()
    expect(tab.locator("#v0-m0-text")).to_have_value("第一則，還沒寫完")
    expect(tab.locator("[name='v0-m1-text']")).to_be_visible()


def test_what_came_into_a_page_works_at_once(tab: Page, served: Served) -> None:
    begin(tab, served, "手很快")
    tab.fill("#v0-m0-text", "第一則")
    tab.evaluate(AT_ONCE)
    tab.click("#press-add-v0")
    expect(tab.locator("[name='v0-m1-alt']")).to_be_visible()


def test_a_row_of_a_rule_written_in_while_another_is_added_is_kept(tab: Page, served: Served) -> None:
    tab.goto(f"{served.url}/console/rules/edit?lang=zh")
    tab.select_option("select[name=new]", "orders")
    tab.click("#press-add")
    expect(tab.locator("input[name=r1-at_least]")).to_be_visible()
    tab.select_option("select[name=new]", "orders")
    far_away(tab)
    tab.click("#press-add")
    tab.fill("input[name=r1-at_least]", "3")
    expect(tab.locator("input[name=r2-at_least]")).to_be_visible(timeout=60_000)
    expect(tab.locator("input[name=r1-at_least]")).to_have_value("3")
    expect(tab.locator("input[name=r3-at_least]")).to_have_count(0)  # pressed anew, not twice


def test_what_the_page_tells_outlives_its_renewal(tab: Page, served: Served) -> None:
    begin(tab, served, "馬上發")
    tab.fill("#v0-m0-text", "現在就發")
    tab.click("button:has-text('儲存並繼續')")
    tab.check("input[name=kind][value=now]")
    for _ in range(3):
        tab.click("button:has-text('儲存並繼續')")
    tab.click("button:has-text('排程發送給')")
    expect(tab.locator("#told")).to_have_text("已排程。")
    expect(tab.locator(".heading .pill")).to_have_text("已發送", timeout=60_000)  # the page was renewed, at least once
    expect(tab.locator("#told")).to_have_text("已排程。")
    tab.reload()
    expect(tab.locator("#told")).to_have_text("")
