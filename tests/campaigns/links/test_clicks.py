"""Tracked links: durable taps, the redirect, and what follows from a tap."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, select, update
from sqlmodel import Session
from werkzeug.test import Client
from werkzeug.wrappers import Response

from campaigns.links.book import LinkBook, check_utm, with_utm
from campaigns.links.clicks import make_click_events
from campaigns.links.door import LinkDoor
from campaigns.links.tokens import TokenSigner
from segmentation.tags.history import tags_of
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.imports.merging import merge_customers
from store.journal import Journal
from store.models import BehaviourEvent, Campaign, Click, CustomerChange, TrackedLink
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_customer, make_run

KEY = "k" * 40
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
URL = "https://shop.example/sale?utm_source=line&x=1#top"


class Links:
    """A campaign of one link, its run, a customer, and a browser."""

    def __init__(self, engine: Engine, browser: Client) -> None:
        self.engine, self.browser = engine, browser
        with transaction(engine) as session:
            campaign = make_campaign(session, make_channel(session))
            customer = make_customer(session)
            assert campaign.id is not None
            link = TrackedLink(campaign_id=campaign.id, url=URL)
            session.add(link)
            run = make_run(session, campaign)
            session.flush()
            self.ids = (link.id or 0, run.id or 0, customer.id or 0)

    def token(self, customer: bool = True) -> str:
        return TokenSigner(KEY).sign(self.ids[0], self.ids[1], self.ids[2] if customer else None)

    def get(self, token: str, method: str = "GET", agent: str = PHONE, **headers: str) -> Any:
        return self.browser.open(f"/r/{token}", method=method, headers={"User-Agent": agent, **headers})

    def clicks(self) -> list[Any]:
        with reading(self.engine) as session:
            return list(session.execute(select(table_of(Click)).order_by(table_of(Click).c.id)).all())


def browser_of(engine: Engine, journal: Journal, clock: StillClock) -> Client:
    return Client(LinkDoor(Response("inner"), TokenSigner(KEY), LinkBook(engine), journal, clock))


@pytest.fixture
def links(engine: Engine, clock: StillClock) -> Iterator[Links]:
    journal = Journal(engine)
    yield Links(engine, browser_of(engine, journal, clock))
    journal.close()


def test_a_tap_is_stored_before_it_is_redirected_to_the_very_address(links: Links, clock: StillClock) -> None:
    answer = links.get(links.token())
    assert (answer.status_code, answer.headers["Location"]) == (302, URL)
    assert answer.headers["Cache-Control"] == "no-store"
    (click,) = links.clicks()
    assert (click.link_id, click.run_id, click.customer_id) == links.ids
    assert (click.clicked_at, click.kind, click.user_agent) == (clock(), "person", PHONE)


def test_a_link_sent_to_somebody_found_to_be_a_member_since_counts_as_the_members(links: Links) -> None:
    token, (*_, sent_to) = links.token(), links.ids
    for _ in range(2):  # and that member to be yet another
        with transaction(links.engine) as session:
            member_id = make_customer(session).id or 0
            merge_customers(session.connection(), {sent_to: member_id})
            stranger_id = make_customer(session, member_id=None).id or 0
        assert stranger_id > member_id  # an id is never given again: the link would be theirs
        assert links.get(token).status_code == 302
        assert {click.customer_id for click in links.clicks()} == {member_id}
        sent_to = member_id
    assert len(links.clicks()) == 2


def test_ids_of_who_was_merged_away_are_never_given_again(links: Links) -> None:
    with transaction(links.engine) as session:
        newest = make_customer(session, member_id=None).id or 0
        merge_customers(session.connection(), {newest: links.ids[2]})
        assert (make_customer(session).id or 0) > newest


def test_an_unknown_token_is_404_and_stores_nothing(links: Links) -> None:
    for token in ("A" * 32, "x", links.token()[:-1] + "!", TokenSigner(KEY).sign(999, links.ids[1], 1)):
        assert links.get(token).status_code == 404
    assert links.clicks() == []


def test_a_signed_link_of_another_campaigns_run_is_404(links: Links) -> None:
    other = Links(links.engine, links.browser)
    mixed = TokenSigner(KEY).sign(links.ids[0], other.ids[1], None)
    assert links.get(mixed).status_code == 404


def test_an_address_in_the_query_leads_nowhere_else(links: Links) -> None:
    answer = links.browser.get(f"/r/{links.token()}?url=https://evil.example&next=//evil.example")
    assert answer.headers["Location"] == URL
    assert links.browser.get(f"/r/{links.token()}/https://evil.example").status_code == 404


def test_looking_ahead_is_not_a_tap(links: Links) -> None:
    links.get(links.token(), method="HEAD")
    links.get(links.token(), **{"Sec-Purpose": "prefetch;prerender"})
    links.get(links.token(), Purpose="prefetch")
    links.get(links.token(), agent="facebookexternalhit/1.1")
    links.get(links.token(), agent="")
    assert [c.kind for c in links.clicks()] == ["preview", "preview", "preview", "preview", "robot"]


def test_a_very_long_agent_is_cut(links: Links) -> None:
    assert links.get(links.token(), agent=PHONE + "x" * 5_000).status_code == 302
    assert len(links.clicks()[0].user_agent) == 300


def _events(session: Session) -> list[Any]:
    return list(session.execute(select(table_of(BehaviourEvent))).all())


def test_each_tap_of_a_person_becomes_one_event_however_often_asked(links: Links, clock: StillClock) -> None:
    links.get(links.token())
    links.get(links.token())
    links.get(links.token(), agent="curl/8")
    links.get(links.token(customer=False))
    with transaction(links.engine) as session:
        assert make_click_events(session, now=clock(), limit=3) == 3
    with transaction(links.engine) as session:
        assert make_click_events(session, now=clock()) == 1
        assert make_click_events(session, now=clock()) == 0
    with transaction(links.engine) as session:  # as after a crash between the event and its mark
        session.execute(update(table_of(Click)).values(has_event=False))
        make_click_events(session, now=clock())
        events = _events(session)
    assert len(events) == 2
    assert {(e.kind, e.source, e.customer_id) for e in events} == {("click", "link", links.ids[2])}
    assert events[0].payload == {"link_id": links.ids[0], "run_id": links.ids[1]}


def test_a_tap_that_cant_be_stored_still_leads_to_the_shop_but_not_by_302(links: Links, clock: StillClock) -> None:
    journal = Journal(links.engine)
    browser = browser_of(links.engine, journal, clock)
    journal.close()
    answer = browser.get(f"/r/{links.token()}", headers={"User-Agent": PHONE})
    assert (answer.status_code, answer.headers["Location"]) == (307, URL)
    assert links.clicks() == []


def test_all_other_paths_go_on_to_the_application_behind(links: Links) -> None:
    for path in ("/", "/r", "/rx/y", "/webhook/main"):
        assert links.browser.get(path).text == "inner"
    assert links.browser.post(f"/r/{links.token()}").status_code == 405


def test_an_address_that_is_not_ascii_is_percent_encoded(links: Links) -> None:
    with transaction(links.engine) as session:
        session.execute(update(table_of(TrackedLink)).values(url="https://shop.example/冬季?q=a b"))
    assert links.get(links.token()).headers["Location"] == "https://shop.example/%E5%86%AC%E5%AD%A3?q=a%20b"


@pytest.mark.parametrize(
    ("url", "tagged"),
    [
        ("https://a.example/x", "https://a.example/x?utm_source=line&utm_campaign=%E5%86%AC%E5%AD%A3"),
        ("https://a.example/x?b=1#top", "https://a.example/x?b=1&utm_source=line&utm_campaign=%E5%86%AC%E5%AD%A3#top"),
        ("https://a.example/x?", "https://a.example/x?utm_source=line&utm_campaign=%E5%86%AC%E5%AD%A3"),
        ("https://a.example/x?utm_source=mail", "https://a.example/x?utm_source=mail"),
        ("https://a.example/x?b=1&UTM_Medium=y#t", "https://a.example/x?b=1&UTM_Medium=y#t"),
    ],
)
def test_a_campaigns_utm_is_added_to_links_that_have_none_of_their_own(url: str, tagged: str) -> None:
    assert with_utm(url, {"source": "line", "campaign": "冬季"}) == tagged
    assert with_utm(url, {}) == url


def test_utm_is_added_when_a_link_is_tapped(links: Links) -> None:
    with transaction(links.engine) as session:
        session.execute(update(table_of(TrackedLink)).values(url="https://shop.example/a"))
        session.execute(update(table_of(Campaign)).values(utm={"source": "line"}))
    assert links.get(links.token()).headers["Location"] == "https://shop.example/a?utm_source=line"
    for wrong in ({"sauce": "line"}, {"source": " "}, {"source": "x" * 201}):
        with pytest.raises(BadInput, match="utm_"):
            check_utm(wrong)


PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120 Line/14.9.0/IAB"


def test_a_tap_from_another_phone_is_a_forward_which_is_nobodys_behaviour(links: Links, clock: StillClock) -> None:
    links.get(links.token())
    with transaction(links.engine) as session:
        make_click_events(session, now=clock())
    links.get(links.token(), agent=PIXEL)  # in a later batch than the person's own
    links.get(links.token(), agent=PHONE)
    links.get(links.token(customer=False), agent=PIXEL)
    with transaction(links.engine) as session:
        make_click_events(session, now=clock())
        assert len(_events(session)) == 2
    assert [c.kind for c in links.clicks()] == ["person", "forward", "person", "person"]
    assert [c.user_agent for c in links.clicks()][1] == PIXEL


def test_a_tap_on_a_link_with_a_topic_puts_its_tag_on_and_says_so_in_the_event(links: Links, clock: StillClock) -> None:
    with transaction(links.engine) as session:
        session.execute(update(table_of(TrackedLink)).values(topic="維他命 C"))
    links.get(links.token())
    links.get(links.token())
    links.get(links.token(), agent="curl/8")
    for _ in range(2):  # the second time as after a crash between the event and its mark
        with transaction(links.engine) as session:
            session.execute(update(table_of(Click)).values(has_event=False))
            make_click_events(session, now=clock())
    with reading(links.engine) as session:
        assert {(e.topic, e.customer_id) for e in _events(session)} == {("維他命 C", links.ids[2])}
        campaign_id = session.get_one(TrackedLink, links.ids[0]).campaign_id
        assert {e.campaign_id for e in _events(session)} == {campaign_id}
        (put_on,) = tags_of(session, links.ids[2] or 0)
        assert {change.customer_id for change in session.scalars(select(CustomerChange))} == {links.ids[2]}
    assert (put_on.tag, put_on.source, put_on.until) == ("維他命 C", "link", None)
    assert put_on.evidence["link_id"] == links.ids[0]
    assert put_on.evidence["campaign_id"] == campaign_id
