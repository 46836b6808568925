"""A brand's first day, as the marketer's guide walks it and by clicks alone: from no account to a measured lift, at
`retarget up` and a simulated LINE that know nothing yet."""

import csv
import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from service.demo.live import living
from service.demo.stage import Stage, free_port, open_stage
from simulator.people import SpendingClass
from tests.browser.writing import COUNTED_MS, on_to_the_check, suggested_campaign

PEOPLE = 150
MINE = f"U{0:032x}"  # the LINE account of the first owner
ORDERS_OF = (1, 1, 2, 3, 5)  # a customer has so many
WORKER_MS = 90_000  # what the worker does in the background comes by then
PASSWORD = "a passphrase of the first day"


def with_friends(folder: Path) -> Stage:
    """A brand whose account people have added; nobody knows what they bought."""
    stage = open_stage(folder, history_days=1, seed=3, port=free_port(0))
    events = []
    for number in range(PEOPLE):
        spending = SpendingClass(min(3, ORDERS_OF[number % len(ORDERS_OF)]))
        stage.population.add(f"U{number:032x}", customer_id=f"A{number}", spending_class=spending)
        events += stage.simulator.life.follow(f"U{number:032x}", stage.clock())
    stage.webhook(events)
    return stage


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ThreadPoolExecutor(1) as elsewhere:  # Playwright keeps an event loop running here
        stage = elsewhere.submit(with_friends, tmp_path_factory.mktemp("first")).result()
        served = living(stage)
        elsewhere.submit(served.__enter__).result()
        yield stage
        elsewhere.submit(served.__exit__, None, None, None).result()
        stage.engine.dispose()


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def customers_of(stage: Stage) -> list[dict[str, str]]:
    people = stage.population.people.values()
    return [{"customer_id": one.customer_id, "line_user_id": one.line_user_id, "name": one.name} for one in people]


def orders_until(now: datetime) -> list[dict[str, str]]:
    return [
        {
            "order_id": f"O{number}-{n}",
            "customer_id": f"A{number}",
            "ordered_at": (now - timedelta(days=(number * 7) % 120 + 31 * n)).isoformat(),
            "amount": str(390 + 100 * (number % 9)),
        }
        for number in range(PEOPLE)
        for n in range(ORDERS_OF[number % len(ORDERS_OF)])
    ]


def orders_at(now: datetime) -> list[dict[str, str]]:
    """A part of the customers, held out or not, buys once more."""
    at, every = now.isoformat(), range(0, PEOPLE, 2)
    return [
        {"order_id": f"N{number}", "customer_id": f"A{number}", "ordered_at": at, "amount": "590"} for number in every
    ]


def bring(page: Page, kind: str, path: Path) -> None:
    page.click("nav >> text=匯入資料")
    page.select_option("select[name=kind]", kind)
    page.set_input_files("input[name=file]", path)
    page.click("button:has-text('上傳並預覽')")
    page.click("button:has-text('開始匯入')")
    expect(page.locator("main")).to_contain_text("讀到的列", timeout=WORKER_MS)


def make_the_first_owner(page: Page, url: str) -> None:
    page.goto(f"{url}/console/?lang=zh")
    page.fill("input[name=email]", "mei@example.com")
    page.fill("input[name=name]", "林小美")
    for field in ("password", "again"):
        page.fill(f"input[name={field}]", PASSWORD)
    page.click("button:has-text('建立並登入')")


def bind_own_line(page: Page, stage: Stage) -> None:
    """The digits of the page are sent from one's phone, which is the simulator's."""
    page.click("nav >> text=開始使用")
    page.click("button:has-text('檢查權杖')")
    expect(page.locator("#token .pill")).to_have_text("完成")
    page.click("button:has-text('取得綁定碼')")
    said = {"line_user_id": MINE, "text": page.locator("#own_line .big").inner_text()}
    asked = urllib.request.Request(
        f"{stage.thread.url}/simulator/say", json.dumps(said).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(asked).close()
    expect(page.locator("#own_line")).to_contain_text("已綁定", timeout=WORKER_MS)


def build_a_rule(page: Page, name: str) -> None:
    page.click("nav >> text=受眾規則")
    page.click("main >> text=新規則 >> nth=0")
    expect(page.locator("#said .note")).to_be_visible(timeout=COUNTED_MS)
    expect(page.locator("#said .warning")).to_have_count(0, timeout=COUNTED_MS)  # nothing was done yet
    page.fill("input[name=name]", name)
    page.select_option("select[name=new]", "orders")
    page.click("#press-add")
    page.fill("input[name='r1-at_least']", "1")
    expect(page.locator("#said")).to_contain_text("還沒填的條件先不算", timeout=COUNTED_MS)
    expect(page.locator("#said .big")).to_have_text(f"{PEOPLE} 人", timeout=COUNTED_MS)
    page.click("#press-drop-0")
    expect(page.locator("#said")).not_to_contain_text("還沒填", timeout=COUNTED_MS)
    page.click("button:has-text('儲存')")
    expect(page.locator("td.name", has_text=name)).to_be_visible(timeout=COUNTED_MS)


def invite_a_colleague(page: Page) -> str:
    """Let campaigns need a second person's word; returns the invitation's address."""
    page.click("nav >> text=設定")
    page.click(".tabs >> text=發送")
    page.check("input[name=needs_approval]")
    page.click("main button:has-text('儲存')")
    page.click("nav >> text=團隊")
    page.fill("form:has(h2) input[name=email]", "kai@example.com")
    page.click("button:has-text('產生邀請連結')")
    return page.locator("input.link").input_value()


def approve(page: Page, invitation: str) -> None:
    """As the colleague, who comes in by the invitation."""
    page.goto(f"{invitation}?lang=zh")
    page.fill("input[name=name]", "陳凱")
    for field in ("password", "again"):
        page.fill(f"input[name={field}]", PASSWORD)
    page.click("button:has-text('設定並登入')")
    page.click(".needs a:not(.word)")
    page.click("button:has-text('核准並排程')")


def test_from_no_account_to_a_measured_lift(browser: Browser, service: Stage, tmp_path: Path) -> None:
    url = service.settings.public_base_url
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    make_the_first_owner(page, url)
    bind_own_line(page, service)
    bring(page, "customers", write(tmp_path / "顧客.csv", customers_of(service)))
    bring(page, "orders", write(tmp_path / "訂單.csv", orders_until(datetime.now(UTC))))
    page.click("main >> text=回到開始使用")
    page.click("button:has-text('現在計算')")
    expect(page.locator("#segments .pill")).to_have_text("完成", timeout=WORKER_MS)
    page.click("nav >> text=分群")
    expect(page.locator(".grid")).to_be_visible()

    build_a_rule(page, "買過的人")
    page.click("a:has-text('發給他們')")
    suggested_campaign(page, "第一個活動", f"{PEOPLE} 人")
    on_to_the_check(page)
    draft = page.url
    page.click("button:has-text('傳給自己試看')")
    expect(page.locator(".said")).to_contain_text("已傳到您的 LINE")
    ledger = service.thread.platform.channels[0].ledger
    assert [entry.to for entry in ledger.entries if entry.endpoint == "push"] == [(MINE,)]
    invitation = invite_a_colleague(page)
    page.goto(draft)
    page.click("button:has-text('送審')")
    other = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    approve(other, invitation)
    expect(other.locator(".actions .pill")).to_have_text("已發送", timeout=WORKER_MS)  # by itself, without a reload

    campaign = other.url
    bring(other, "orders", write(tmp_path / "之後的訂單.csv", orders_at(datetime.now(UTC))))
    other.goto(campaign)
    other.click("main >> text=看成果")
    expect(other.locator(".strong dd").first).to_contain_text("…", timeout=COUNTED_MS)  # the lift, with its interval
    with other.expect_download() as waiting:
        other.click("button:has-text('匯出檔案')")
    assert Path(waiting.value.path()).stat().st_size > 0
    page.goto(f"{url}/console/start")
    expect(page.locator(".said")).to_contain_text("全部完成")
    for one in (page, other):
        one.context.close()
