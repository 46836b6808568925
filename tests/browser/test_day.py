"""A marketer's day: sign in, look at segments, write a rule, plan a campaign with suggested words, watch it go out to a
simulated LINE, read what it brought, export it."""

import json
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.writing import on_to_the_check, suggested_campaign


def test_a_marketers_day(tab: Page, served: Served) -> None:
    tab.goto(f"{served.url}/console/?lang=zh")
    tab.click("nav >> text=分群")
    expect(tab.locator(".grid")).to_be_visible()

    tab.click("nav >> text=受眾規則")
    tab.click("main >> text=新規則 >> nth=0")
    tab.fill("input[name=name]", "常客")
    tab.select_option("select[name=r0-value]", "rf4=regular")
    expect(tab.locator("#said .big")).to_contain_text("人")
    tab.click("button:has-text('儲存')")
    ours = tab.locator("tr", has=tab.locator("td.name", has_text="常客"))  # other stories keep rules in the same store
    expect(ours).to_be_visible()

    ours.locator("a:has-text('發給他們')").click()
    suggested_campaign(tab, "今天的活動", "人")
    expect(tab.locator("#chat .score .big")).to_contain_text("%")
    on_to_the_check(tab)
    tab.click("button:has-text('排程發送給')")

    expect(tab.locator(".said")).to_have_text("已排程。")
    campaign = tab.url.rpartition("/")[2]
    expect(tab.locator(".actions .pill")).to_have_text("已發送", timeout=60_000)  # by itself, without a reload
    expect(tab.locator(".actions button")).to_have_count(0)  # nothing to pause any more
    reached = [entry for entry in served.stage.thread.platform.channels[0].ledger.entries if entry]
    assert reached  # LINE's side has what was sent

    tab.goto(f"{served.url}/console/campaigns/{campaign}/results")
    expect(tab.locator("figure.chart svg").first).to_be_visible()
    tab.select_option("select[name=what]", "summary")
    tab.select_option("select[name=kind]", ".json")
    with tab.expect_download() as waiting:
        tab.click("button:has-text('匯出檔案')")
    rows = json.loads(Path(waiting.value.path()).read_text(encoding="utf-8"))
    whole = next(row for row in rows if row["part"] in ("run", "all", "total"))
    assert whole["accepted"] > 0
    assert whole["held_out"] > 0
    tab.click("text=稽核紀錄") if tab.locator("text=稽核紀錄").count() else tab.goto(
        f"{served.url}/console/settings/audit"
    )
    expect(tab.locator("tbody")).to_contain_text("匯出成果")


def test_a_file_of_orders_goes_in_through_the_page(tab: Page, served: Served, tmp_path: Path) -> None:
    path = tmp_path / "訂單.csv"
    path.write_text("order_id,customer_id,ordered_at,amount\nWEB-1,W1,2026-01-05,100\nWEB-2,W2,2026-01-06,abc\n")
    tab.goto(f"{served.url}/console/import?lang=zh")
    tab.select_option("select[name=kind]", "orders")
    tab.set_input_files("input[name=file]", path)
    tab.click("button:has-text('上傳並預覽')")
    expect(tab.locator("tbody").first).to_contain_text("WEB-2")
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert Axe().run(tab).response["violations"] == []
    tab.click("button:has-text('開始匯入')")
    expect(tab.locator("main")).to_contain_text("amount 不是單純的數字")  # by htmx, without a reload
    assert Axe().run(tab).response["violations"] == []
    with tab.expect_download() as waiting:
        tab.click("button:has-text('下載這些列與原因')")
    assert "amount is not a plain number,3,WEB-2" in Path(waiting.value.path()).read_text(encoding="utf-8")
