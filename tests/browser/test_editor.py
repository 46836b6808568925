"""The editor of contents in a browser: one message of each kind, moved and copied with the keyboard, seen as LINE shows
them, and sent to a simulated LINE, which takes no message that LINE would refuse."""

from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from console.campaigns.message_kinds import KINDS
from tests.browser.conftest import Served

PICTURE, LINK = "https://cdn.shop.example/a.png", "https://shop.example/editor"
TAP = {"do": "uri", "label": "去看看", "value": LINK}
TAPS = {f"a{n}-{name}": value for n in range(2) for name, value in TAP.items()}
AREA = {"x": "0", "y": "0", "width": "1040", "height": "520"}
# Kind -> its fields, and the rows to be added; what they show in the chat
FORMS: dict[str, tuple[dict[str, str], list[dict[str, str]], str]] = {
    "text": ({"text": "編輯器的文字 🍎"}, [], "編輯器的文字 🍎"),
    "textV2": ({"text": "您好 {a}"}, [{"key": "a", "product": "5ac1bfd5040ab15980c9b435", "emoji": "001"}], "☺"),
    "image": ({"url": PICTURE}, [], ""),
    "video": ({"url": "https://cdn.shop.example/a.mp4", "preview": PICTURE}, [], ""),
    "imagemap": ({"url": "https://cdn.shop.example/map", "alt": "圖", "base_height": "520"}, [{**TAP, **AREA}], "1"),
    "card": ({"field-alt": "公告", "field-title": "新品", "field-body": "上市了", "field-link": LINK}, [], "上市了"),
    "buttons": ({"alt": "選單", "text": "要看看嗎", **TAPS}, [], "要看看嗎"),
    "confirm": ({"alt": "選單", "text": "要去嗎", **TAPS}, [], "要去嗎"),
    "carousel": ({"alt": "卡片"}, [{"text": "第一張", **TAPS}, {"text": "第二張", **TAPS}], "第二張"),
    "pictures": ({"alt": "圖片"}, [{"image": PICTURE, **TAP}], "去看看"),
    "coupon": ({"tag": "editor"}, [], "🎫"),
    "json": ({"json": '{"type": "text", "text": "手寫的 JSON"}'}, [], "手寫的 JSON"),
}


def begin(tab: Page, served: Served, name: str) -> None:
    """A new campaign for everybody, at its contents."""
    tab.goto(f"{served.url}/console/campaigns/new?lang=zh&target=all")
    tab.fill("input[name=name]", name)
    tab.click("main button:has-text('開始')")
    tab.click("button:has-text('儲存並繼續')")
    tab.wait_for_load_state("load")  # htmx works from then on
    expect(tab.locator("#written")).to_be_visible()


def write(tab: Page, prefix: str, kind: str) -> None:
    """A message of that kind in the place of that prefix."""
    fields, rows, _ = FORMS[kind]
    with tab.expect_response(lambda answer: "/what" in answer.url and answer.request.method == "GET"):
        tab.select_option(f"[id='{prefix}kind']", kind)
    name = next(iter(fields))
    expect(tab.locator(f"[name='{prefix}{name}']")).to_be_visible()
    for number, row in enumerate(rows):
        tab.click(f"[id='press-more-{prefix[:-1]}']")
        first = f"[name='{prefix}r{number}-{next(iter(row))}']"
        expect(tab.locator(first)).to_be_visible()
        # htmx gives the row its focus a little later: what is typed before would go there
        expect(tab.locator(f"[name^='{prefix}r{number}-']:focus")).to_have_count(1)
    values = fields | {f"r{n}-{key}": value for n, row in enumerate(rows) for key, value in row.items()}
    for key, value in values.items():
        field = tab.locator(f"[name='{prefix}{key}']")
        field.select_option(value) if key.endswith("do") else field.fill(value)


def a_coupon(served: Served) -> str:
    """The id of a coupon that the account has on LINE: LINE takes no message with another."""
    now = datetime.now(UTC)
    runs = {"startTimestamp": int(now.timestamp()), "endTimestamp": int(now.timestamp()) + 86_400}
    shape = {"title": "九折券", "acquisitionCondition": {"type": "normal"}, "maxUseCountPerTicket": 1}
    where = {"visibility": "UNLISTED", "timezone": "ASIA_TAIPEI"}
    made = served.stage.thread.platform.channels[0].coupons.create({**shape, **runs, **where}, now)
    return str(made["couponId"])


def violations(tab: Page) -> list[str]:
    """What axe has against the page, outside of the chat: that has LINE's colours, and the brand's."""
    found = Axe().run(tab, context={"exclude": [[".phone"]]}).response["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes'][:3]]}" for one in found]


@pytest.mark.parametrize("kinds", [list(FORMS)[n : n + 4] for n in range(0, len(FORMS), 4)], ids="-".join)
def test_messages_of_each_kind_are_written_without_json_and_sent(tab: Page, served: Served, kinds: list[str]) -> None:
    tab.route("https://cdn.shop.example/**", lambda route: route.fulfill(status=204))
    assert set(FORMS) == {*KINDS, "card", "json"}
    begin(tab, served, "內容 " + " ".join(kinds))
    for number, kind in enumerate(kinds):
        if number:
            tab.click("#press-add-v0")
            expect(tab.locator(f"[id='v0-m{number}-kind']")).to_be_focused()
        write(tab, f"v0-m{number}-", kind)
        if kind == "coupon":
            tab.fill(f"[name='v0-m{number}-coupon']", a_coupon(served))
    chat = tab.locator("#chat .said-by-brand")
    for kind in kinds:
        expect(chat).to_contain_text(FORMS[kind][2])
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(tab) == []
    tab.click("button:has-text('儲存並繼續')")
    tab.check("input[name=kind][value=now]")
    for _ in range(2):
        tab.click("button:has-text('儲存並繼續')")
    tab.fill("input[name=holdout]", "0")
    tab.click("button:has-text('儲存並繼續')")
    expect(tab.locator(".stepper [aria-current]")).to_have_text("6 檢查")
    tab.click("#line button:has-text('LINE 檢查')")
    expect(tab.locator("#verdicts")).to_contain_text("可以發送")
    tab.click("button:has-text('排程發送給')")
    expect(tab.locator(".said")).to_have_text("已排程。")
    for _ in range(60):
        tab.reload()
        if tab.locator(".pill").first.inner_text() == "已發送":
            break
        tab.wait_for_timeout(1000)
    assert tab.locator(".pill").first.inner_text() == "已發送"


def test_messages_are_moved_and_copied_by_keyboard_and_told_their_length(tab: Page, served: Served) -> None:
    begin(tab, served, "鍵盤")
    tab.fill("[name='v0-m0-text']", "第一則🍎")
    expect(tab.locator("[id='length-v0-m0-text']")).to_have_text("5 / 5,000")
    tab.focus("#press-add-v0")
    tab.keyboard.press("Enter")
    tab.locator("[name='v0-m1-text']").fill("第二則")
    tab.focus("#press-up-v0-m1")
    tab.keyboard.press("Enter")
    expect(tab.locator("[name='v0-m0-text']")).to_have_value("第二則")
    expect(tab.locator("#press-down-v0-m0")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("[name='v0-m1-text']")).to_have_value("第二則")
    expect(tab.locator("#press-up-v0-m1")).to_be_focused()
    tab.focus("#press-copy-v0-m1")
    tab.keyboard.press("Enter")
    expect(tab.locator("[name='v0-m2-text']")).to_have_value("第二則")
    tab.click("#press-json-v0-m2")
    expect(tab.locator("[name='v0-m2-json']")).to_have_value('{\n  "type": "text",\n  "text": "第二則"\n}')
    tab.click("#press-form-v0-m2")
    expect(tab.locator("[name='v0-m2-text']")).to_have_value("第二則")
    tab.fill("[name=theme]", "主題")
    tab.locator("[name=theme]").press("Enter")  # saves, and moves nothing
    expect(tab.locator("[name='v0-m0-text']")).to_have_value("第一則🍎")
    expect(tab.locator("[name=theme]")).to_have_value("主題")


def test_without_script_the_buttons_do_the_same(tab: Page, served: Served) -> None:
    begin(tab, served, "沒有程式")
    address, storage = tab.url, tab.context.storage_state()
    browser = tab.context.browser
    assert browser is not None
    plain = browser.new_context(storage_state=storage, java_script_enabled=False)
    page = plain.new_page()
    page.goto(address)
    page.locator("[name='v0-m0-text']").fill("甲")
    page.locator("#press-add-v0").click()
    page.locator("[name='v0-m1-kind']").select_option("confirm")
    page.locator("button:has-text('換種類')").nth(1).click()
    page.locator("[name='v0-m1-text']").fill("好嗎")
    page.locator("#press-up-v0-m1").click()
    expect(page.locator("[name='v0-m0-text']")).to_have_value("好嗎")
    plain.close()


def test_each_person_sees_the_version_in_their_language(tab: Page, served: Served) -> None:
    begin(tab, served, "語言")
    tab.fill("[name='v0-m0-text']", "您好嗎")
    tab.click("#press-translate-v0")
    expect(tab.locator("[name='v0l0-language']")).to_be_focused()
    tab.fill("[name='v0l0-language']", "en")
    tab.fill("[name='v0l0-m0-text']", "How are you")
    expect(tab.locator("#chat details li")).to_have_count(11)  # ten of the audience, and an example
    tab.select_option("#as", "10")
    expect(tab.locator("#chat .bubble")).to_have_text("How are you")
    tab.select_option("#as", "0")
    expect(tab.locator("#chat .bubble")).to_have_text("您好嗎")
    assert violations(tab) == []
