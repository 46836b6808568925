"""Pages offer to each role only what it may do: every link and form that they show is walked as that role."""

from collections import Counter
from copy import deepcopy
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, update
from werkzeug.routing import MapAdapter

from console.access.guard import OPEN
from console.access.roles import Role
from console.campaigns.draft_values import NEW
from keywords.text.brand import add_words
from segmentation.rules.saved import save_rule
from segmentation.tags.catalogue import create_tag
from store.engine import table_of, transaction
from store.models import Campaign, CampaignDraft, FileImport
from tests.campaigns.results.conftest import Story, story
from tests.conftest import StillClock
from tests.console.conftest import console_app, sign_in

__all__ = ["story"]
EACH = 12  # pages of a kind that are walked
STATES = ("scheduled", "paused", "failed")


class Offered(HTMLParser):
    """What a page lets somebody ask for: (method, address as it stands in the page)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.found.append(("GET", given["href"] or ""))
        if tag == "form":
            self.found.append(((given.get("method") or "get").upper(), given.get("action") or ""))
        for name, method in (("hx-get", "GET"), ("hx-post", "POST")):
            if given.get(name):
                self.found.append((method, given[name] or ""))


@pytest.fixture
def brand(engine: Engine, clock: StillClock, story: Story) -> None:
    """A campaign with results and one of each state that has buttons, a rule, a tag, a word, a file that failed, and a
    draft to approve."""
    run_id = story.run(campaign_id=story.campaign_id)
    story.tap(run_id, story.person(run_id))
    story.catch_up()
    for state in STATES:
        campaign_id = story.another_campaign(days=3)
        with transaction(engine) as session:
            session.execute(update(Campaign).where(table_of(Campaign).c.id == campaign_id).values(state=state))
    now = clock()
    with transaction(engine) as session:
        save_rule(session, "臺中人", '{"type": "attribute", "name": "city", "is": "臺中"}', now, actor="me")
        asked: dict[str, Any] = {"requested_by": "x@example.com", "updated_by": "x@example.com"}
        session.add(CampaignDraft(name="等核准", values=deepcopy(NEW), created_at=now, updated_at=now, **asked))
        file: dict[str, Any] = {"kind": "orders", "file_name": "訂單.csv", "file_hash": "0" * 64, "size_bytes": 9}
        failed: dict[str, Any] = {"state": "failed", "finished_at": now, "problem": "no column order_id"}
        session.add(FileImport(**file, **failed, uploaded_at=now, uploaded_by="x@example.com"))
        create_tag(session, "講座", now=now)
        add_words(session, ["聚暖絨"], actor="test", now=now)


def may(adapter: MapAdapter, client: FlaskClient, role: Role, method: str, address: str) -> bool:
    """Whether the role may ask for it. A form isn't sent, since it would change what is walked: its view says whom it
    needs, and one that says nothing needs a marketer, as the guard has it."""
    if method == "GET":
        return client.get(address).status_code != 403
    endpoint, _values = adapter.match(urlsplit(address).path, method=method)
    view = client.application.view_functions[endpoint]
    return role.may(getattr(view, "needed_role", Role.MARKETER))


@pytest.mark.usefixtures("brand")
@pytest.mark.parametrize("role", list(Role))
def test_every_link_and_form_that_a_page_shows_is_for_whoever_sees_it(
    engine: Engine, clock: StillClock, role: Role
) -> None:
    app = console_app(engine, clock)
    client, adapter = sign_in(app.test_client(), engine, clock, role), app.url_map.bind("localhost")
    plain = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or set()) and not rule.arguments]
    waiting = [rule.rule for rule in plain if rule.endpoint not in OPEN]
    walked, seen, refused = Counter[str](), set[tuple[str, str]](), list[tuple[str, str, str]]()
    while waiting:
        page = waiting.pop()
        answer = client.get(page)
        if answer.status_code != 200 or answer.mimetype != "text/html":
            continue
        for method, found in Offered(answer.get_data(as_text=True)).found:
            address = urljoin(page, found).split("#")[0]
            if not address.startswith("/console/") or (method, address) in seen:
                continue
            seen.add((method, address))
            endpoint = adapter.match(urlsplit(address).path, method=method)[0]
            if endpoint in OPEN or walked[f"{method} {endpoint}"] >= EACH:
                continue
            walked[f"{method} {endpoint}"] += 1
            if not may(adapter, client, role, method, address):
                refused.append((page, method, address))
            elif method == "GET":
                waiting.append(address)
    assert refused == []
    assert walked["GET console.show_results"]
    assert walked["GET console.show_campaign"] >= 1 + len(STATES)
    offers_changes = role.may(Role.MARKETER)
    for form in ("pause_campaign", "resume_campaign", "cancel_campaign", "delete_rule_form", "make_audience"):
        assert bool(walked[f"POST console.{form}"]) is offers_changes, form
    assert bool(walked["POST console.export_results"]) is role.may(Role.ANALYST)
    assert bool(walked["POST console.change_settings"]) is role.may(Role.OWNER)
