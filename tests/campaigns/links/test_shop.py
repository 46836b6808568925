"""Codes that hang in a shop: made once, followed by GET /r/<token>, counted, printed."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from werkzeug.test import Client
from werkzeug.wrappers import Response

from campaigns.links.book import LinkBook
from campaigns.links.clicks import make_click_events, record_tap
from campaigns.links.door import LinkDoor
from campaigns.links.shop import NameTaken, ShopCode, code_named, create_code, qr_image, shop_codes
from campaigns.links.tokens import Tap, TokenSigner
from segmentation.tags.history import tags_of
from store.engine import reading, transaction
from store.errors import BadInput, NotFound
from store.journal import Journal
from store.models import TrackedLink
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_customer

URL = "https://shop.example/winter?b=1"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
SIGNER = TokenSigner("k" * 40)


@pytest.fixture
def journal(engine: Engine) -> Iterator[Journal]:
    journal = Journal(engine)
    yield journal
    journal.close()


def test_a_code_is_followed_and_counted(engine: Engine, clock: StillClock, journal: Journal) -> None:
    with transaction(engine) as session:
        link_id = create_code(session, " 忠孝店櫃台 ", URL, topic="維他命 C").id or 0
        customer_id = make_customer(session).id
    browser = Client(LinkDoor(Response("inner"), SIGNER, LinkBook(engine), journal, clock))
    for agent in (PHONE, PHONE, "curl/8"):
        answer = browser.get(f"/r/{SIGNER.sign(link_id, None, None)}", headers={"User-Agent": agent})
        assert (answer.status_code, answer.headers["Location"]) == (302, URL)
    tap = Tap(link_id, None, None)
    record_tap(journal, tap, kind="person", user_agent=PHONE, now=clock(), tapped_by_id=customer_id)
    with transaction(engine) as session:
        assert make_click_events(session, now=clock()) == 4
        assert shop_codes(session) == [
            ShopCode(link_id, "忠孝店櫃台", URL, "維他命 C", {"person": 3, "robot": 1}, people_known=1)
        ]
        assert [put_on.tag for put_on in tags_of(session, customer_id or 0)] == ["維他命 C"]


def test_a_shops_token_opens_no_campaigns_link_nor_the_other_way_round(
    engine: Engine, clock: StillClock, journal: Journal
) -> None:
    with transaction(engine) as session:
        code_id = create_code(session, "櫃台", URL).id or 0
        link = TrackedLink(campaign_id=make_campaign(session, make_channel(session)).id, url=URL)
        session.add(link)
        session.flush()
        link_id = link.id or 0
    browser = Client(LinkDoor(Response("inner"), SIGNER, LinkBook(engine), journal, clock))
    for token in (SIGNER.sign(link_id, None, None), SIGNER.sign(code_id, 1, None)):
        assert browser.get(f"/r/{token}", headers={"User-Agent": PHONE}).status_code == 404


def test_a_name_is_taken_once_and_nonsense_is_refused(engine: Engine) -> None:
    with transaction(engine) as session:
        create_code(session, "櫃台", URL)
        with pytest.raises(NameTaken):
            create_code(session, "櫃台", "https://other.example/")
        assert code_named(session, "櫃台").url == URL
        for name, url in ((" ", URL), ("a" * 101, URL), ("b", "ftp://x"), ("b", "https://a b"), ("b", "javascript:1")):
            with pytest.raises(BadInput):
                create_code(session, name, url)
    with reading(engine) as session, pytest.raises(NotFound):
        code_named(session, "沒有")


def test_a_code_is_printed_as_svg_and_png() -> None:
    address = f"https://b.example/r/{SIGNER.sign(1, None, None)}"
    assert qr_image(address, "svg").startswith(b"<?xml")
    assert qr_image(address, "png").startswith(b"\x89PNG")
