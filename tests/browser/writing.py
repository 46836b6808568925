"""What several stories write by clicks, stated once: a rule of nested rows, and a campaign with suggested words."""

from playwright.sync_api import Page, expect

COUNTED_MS = 30_000  # what is counted while one writes comes by then


def nested_rule(tab: Page, url: str, name: str) -> None:
    """On a new rule's form: who is lost, and any of champions or those with an order; not saved yet."""
    tab.goto(f"{url}/console/rules/edit?lang=zh")
    tab.fill("input[name=name]", name)
    tab.select_option("select[name=r0-value]", "rf11=lost")
    tab.select_option("select[name=new]", "any")
    tab.click("#press-add")
    tab.select_option("select[name='r1.0-value']", "rf11=champions")
    tab.select_option("select[name='new-1']", "orders")
    tab.click("#press-add-1")
    tab.fill("input[name='r1.1-at_least']", "1")


def suggested_campaign(page: Page, name: str, people: str) -> None:
    """From the form of a new campaign to its content, with suggested words and a link; its audience shows `people`."""
    page.fill("input[name=name]", name)
    page.click("main button:has-text('開始')")
    expect(page.locator("#people .big")).to_contain_text(people, timeout=COUNTED_MS)
    page.click("button:has-text('儲存並繼續')")
    page.fill("input[name=theme]", "冬季服飾")
    page.fill("textarea[name=v0-m0-text]", '{{ name or "您" }}，')
    page.click("summary:has-text('建議用詞')")
    page.click("#ideas [data-insert] >> nth=0")
    page.locator("textarea[name=v0-m0-text]").press("End")
    page.locator("textarea[name=v0-m0-text]").type(" https://shop.example/winter")
    expect(page.locator("#chat .bubble")).to_contain_text("shop.example", timeout=COUNTED_MS)


def on_to_the_check(page: Page) -> None:
    """From the content to the check: sent at once, in one step, with a fifth held out."""
    page.click("button:has-text('儲存並繼續')")
    page.check("input[name=kind][value=now]")
    page.click("button:has-text('儲存並繼續')")
    page.click("button:has-text('儲存並繼續')")  # one message, no further step
    page.fill("input[name=holdout]", "20")
    page.click("button:has-text('儲存並繼續')")
    expect(page.locator(".stepper [aria-current]")).to_have_text("6 檢查", timeout=COUNTED_MS)
