"""A part of a page that could not be renewed says so, in the page's language, until it is renewed."""

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests.browser.conftest import Served

SAID = {"zh": "沒有更新成功", "en": "could not be renewed"}


@pytest.mark.parametrize("language", list(SAID))
@pytest.mark.parametrize("how", ["refused", "cut"])
def test_old_content_is_marked_while_the_server_fails(
    context: BrowserContext, served: Served, language: str, how: str
) -> None:
    page, failing = context.new_page(), True

    def answer(route: Route) -> None:
        if not failing:
            route.continue_()
        elif how == "cut":
            route.abort()
        else:
            route.fulfill(status=500, body="broken")

    page.route("**/console/rules/said", answer)
    page.goto(f"{served.url}/console/rules/edit?lang={language}")
    notice = page.locator("#said").locator("xpath=preceding-sibling::*[1][@role='alert']")
    expect(notice).to_contain_text(SAID[language])
    page.locator("#rule-form input[name=name]").fill("春季")
    page.wait_for_timeout(1_200)  # asked again, and failed again
    expect(page.locator(".part-failed")).to_have_count(1)  # said once
    failing = False
    page.locator("#rule-form input[name=name]").fill("夏季")
    expect(page.locator(".part-failed")).to_have_count(0)
    page.close()
