"""Nested rows of a rule in a browser: renewed in place by htmx, with the sentence and the count following them."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.looks import wrong_in
from tests.browser.writing import nested_rule


def test_groups_are_put_together_without_losing_what_was_typed(tab: Page, served: Served) -> None:
    nested_rule(tab, served.url, "一組一組")
    tab.check("input[name='r1-not']")
    expect(tab.locator("#said")).to_contain_text("並非")
    expect(tab.locator("#said .big")).to_have_text("0 人")  # whoever was lost has bought once
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.wait_for_timeout(2_000)
    assert asked == []  # a count that was shown asks for nothing by itself
    assert tab.locator("select[name=r0-value]").input_value() == "rf11=lost"
    tab.click("#press-drop-1-1")
    expect(tab.locator("input[name='r1.1-at_least']")).to_have_count(0)
    expect(tab.locator("#said .big")).not_to_have_text("0 人")
    tab.click("button:has-text('儲存')")
    expect(tab.locator("td.name", has_text="一組一組")).to_be_visible()
    tab.click("td.name >> text=一組一組")
    expect(tab.locator("select[name='r1.0-value']")).to_have_value("rf11=champions")


def test_a_filter_is_built_kept_and_opened_again(tab: Page, served: Served) -> None:
    tab.goto(f"{served.url}/console/customers?lang=zh")
    tab.click("summary:has-text('篩選')")
    tab.select_option("select[name=r0-value]", "rf11=lost")
    tab.select_option("select[name=new]", "orders")
    tab.click("#press-add")
    tab.fill("input[name='r2-at_least']", "1")
    assert tab.locator("select[name=r0-value]").input_value() == "rf11=lost"
    tab.click("button:has-text('套用')")
    expect(tab.locator("main .card b")).to_contain_text("人")
    tab.fill(".card input[name=name]", "流失過的人")
    tab.click(".card button:has-text('儲存')")
    expect(tab.locator("h1")).to_have_text("流失過的人")
    expect(tab.locator("tbody tr").first).to_be_visible()
    tab.click("summary:has-text('改名或刪除')")
    tab.check("input[name=sure]")
    tab.click("button:has-text('刪除')")
    expect(tab.locator(".said")).to_contain_text("已刪除")


def test_a_long_name_leaves_the_other_columns_of_a_table_in_sight(tab: Page, served: Served) -> None:
    tab.goto(f"{served.url}/console/tags/new?source=hand&lang=zh")
    tab.fill("input[name=name]", "長" * 100)
    tab.click("button:has-text('儲存')")
    expect(tab.locator("h1")).to_contain_text("長" * 100)
    tab.goto(f"{served.url}/console/tags")
    name = tab.locator("td.name", has_text="長" * 100).bounding_box()
    assert name is not None
    assert name["width"] < 400
    assert wrong_in(tab) == []
