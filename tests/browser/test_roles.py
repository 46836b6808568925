"""What a role is shown it may do: every page to which links lead, as each role, has no link, form or button that would
be refused, and none of them breaks."""

from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from console.access.passwords import hash_of
from console.access.roles import Role
from console.access.users import make_user, user_by_email
from console.frame.site import Site
from console.pages import create_console
from store.clock import system_clock
from store.engine import open_engine, transaction
from tests.browser.conftest import Served
from tests.browser.new_brand import PASSWORD

OF_EACH = 4  # pages of one kind: of campaigns in other states, of customers who did other things
ROLES = (Role.MARKETER, Role.ANALYST, Role.READER)


class Offers(HTMLParser):
    """What a page offers to ask for: (method, address as the page has it)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in has:
            self.found.add(("GET", has["href"]))
        if tag == "form":
            self.found.add((has.get("method", "get").upper(), has.get("action", "")))
        for method in ("get", "post"):
            if (address := has.get(f"hx-{method}")) is not None:
                self.found.add((method.upper(), address))


@pytest.fixture(scope="module")
def console() -> Flask:
    app = Flask(__name__)
    app.register_blueprint(create_console(Site(open_engine("sqlite://"), ZoneInfo("Asia/Taipei"), system_clock)))
    return app


def endpoint_of(adapter: MapAdapter, method: str, address: str) -> str:
    try:
        return str(adapter.match(urlsplit(address).path, method=method)[0])
    except HTTPException as error:
        raise AssertionError(f"{method} {address}: {error}") from error


def needed(console: Flask, method: str, endpoint: str) -> Role:
    """The role that it needs: what changes something needs a marketer where it doesn't say another."""
    default = Role.READER if method == "GET" else Role.MARKETER
    role: Role = getattr(console.view_functions[endpoint], "needed_role", default)
    return role


def test_what_an_address_needs_is_known_by_what_it_is_asked_for(console: Flask) -> None:
    adapter = console.url_map.bind("localhost")
    asked = (
        *(("GET", "/console/people"), ("GET", "/console/import?before=3"), ("GET", "/console/customers")),
        *(("POST", "/console/campaigns/1/pause"), ("POST", "/console/logout")),
    )
    found = [needed(console, method, endpoint_of(adapter, method, address)) for method, address in asked]
    assert found == [Role.OWNER, Role.MARKETER, Role.READER, Role.MARKETER, Role.READER]


@pytest.fixture
def signed_in_as(browser: Browser, served: Served, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """Somebody of the role that the test names."""
    role: Role = request.param
    with transaction(served.stage.engine) as session:
        if user_by_email(session, f"{role}@example.com") is None:
            email, now = f"{role}@example.com", system_clock()
            one = make_user(session, email=email, name=role.title(), role=role, actor="test", now=now)
            one.password_hash = hash_of(PASSWORD)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{served.url}/console/")
    page.fill("input[name=email]", f"{role}@example.com")
    page.fill("input[name=password]", PASSWORD)
    page.click("button:has-text('登入')")
    page.wait_for_url("**/console/")
    yield context
    context.close()


@pytest.mark.parametrize(("signed_in_as", "role"), [(one, one) for one in ROLES], indirect=["signed_in_as"])
def test_nothing_is_offered_that_would_be_refused(
    signed_in_as: BrowserContext, served: Served, console: Flask, role: Role
) -> None:
    adapter, visited, refused = console.url_map.bind("localhost"), Counter[str](), set[str]()
    wanted, known = [f"{served.url}/console/"], {f"{served.url}/console/"}
    while wanted:
        here = wanted.pop(0)
        answer = signed_in_as.request.get(here)
        if not answer.ok:
            refused.add(f"{here} answers {answer.status}")
        page = Offers()
        if "text/html" in answer.headers.get("content-type", ""):
            page.feed(answer.text())
        for method, given in sorted(page.found):
            address = urljoin(here, given).partition("#")[0]
            if not address.startswith(f"{served.url}/console/") or "/static/" in address or "lang=" in address:
                continue
            endpoint = endpoint_of(adapter, method, address)
            if not role.may(needed(console, method, endpoint)):
                refused.add(f"{here} offers {method} {given}")
            elif method == "GET" and address not in known and visited[endpoint] < OF_EACH:
                known.add(address)
                visited[endpoint] += 1
                wanted.append(address)
    assert refused == set()
    assert len(known) > 50
    assert visited["console.show_customer"] == visited["console.show_campaign"] == OF_EACH


@pytest.mark.parametrize(("signed_in_as", "role"), [(one, one) for one in ROLES], indirect=["signed_in_as"])
def test_every_page_of_the_menu_opens_without_an_error(
    signed_in_as: BrowserContext, served: Served, role: Role
) -> None:
    tab, problems = signed_in_as.new_page(), list[str]()
    tab.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("response", lambda got: problems.append(f"{got.status} {got.url}") if got.status >= 400 else None)
    tab.goto(f"{served.url}/console/")
    addresses = tab.locator("nav a, .me a").evaluate_all("all => all.map(one => one.href)")
    for address in addresses:
        tab.goto(address)
        tab.wait_for_load_state("networkidle")
        assert tab.locator("h1").count() == 1
    assert len(addresses) > 12 + role.may(Role.MARKETER)
    assert problems == []
