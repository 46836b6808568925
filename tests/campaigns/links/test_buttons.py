"""A tap of a campaign's button, which comes back by webhook, is a click of its run: by whom, LINE tells."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from bot.inbox import process_inbox
from campaigns.content.message import InvalidMessage, check_messages, links_in
from campaigns.links.book import LinkBook
from campaigns.links.buttons import Buttons
from campaigns.links.clicks import make_click_events
from campaigns.links.tokens import Tap, TokenSigner, UnknownToken
from campaigns.results.catch_up import catch_up
from simulator.webhooks import body_of, postback
from store.bodies import open_bodies
from store.engine import reading, table_of, transaction
from store.models import BehaviourEvent, CampaignRun, Click, CustomerTag, Tag, TrackedLink, WebhookBody
from tests.campaigns.conftest import Shop, user_id
from tests.campaigns.sending.test_narrowcast import work
from tests.campaigns.sending.test_rides import TEXTS

OpenShop = Callable[[int], Shop]
SIGNER = TokenSigner("k" * 40)  # as Shop's


def asked(want: str = "want=vc", *, text: str = "要維他命 C 嗎") -> list[dict[str, Any]]:
    actions = [
        {"type": "postback", "label": "要", "data": want},
        {"type": "postback", "label": "不要", "data": "want=no"},
    ]
    return [{"type": "template", "altText": "問", "template": {"type": "confirm", "text": text, "actions": actions}}]


def presses(shop: Shop, number: int, data: str, *, channel: int = 0) -> None:
    """Somebody taps a button; the webhook has stored the body, and the worker has read it."""
    with shop.line.platform.lock:
        token = shop.line.platform.channels[channel].new_reply_token(user_id(number), shop.clock())
    body = body_of("U" + "b" * 32, [postback(user_id(number), shop.clock(), token, data)])
    bodies = open_bodies(shop.engine)
    for _ in range(2):  # LINE delivers it twice
        with transaction(bodies) as session:
            session.add(WebhookBody(channel_id=shop.channel_id, received_at=shop.clock(), body=body))
        while process_inbox(shop.engine, bodies, clock=shop.clock, texts=TEXTS, buttons=Buttons(SIGNER)):
            pass
    with transaction(shop.engine) as session:
        make_click_events(session, now=shop.clock())
    catch_up(shop.engine, shop.clock)


def sent_data(shop: Shop) -> list[str]:
    """The data of the buttons as the last message carried them."""
    with shop.line.platform.lock:
        entry = shop.line.platform.channels[0].ledger.entries[-1]
    return [action["data"] for action in entry.messages[0]["template"]["actions"]]


def clicks(shop: Shop) -> list[Any]:
    with reading(shop.engine) as session:
        return list(session.execute(select(table_of(Click)).order_by(table_of(Click).c.id)).all())


@pytest.mark.parametrize("way", ["push", "multicast", "narrowcast"])
def test_who_taps_is_counted_once_as_a_person_with_the_buttons_topic(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(3)
    campaign_id = shop.plan(way=way, messages=asked(), topics={"postback:want=vc": "維他命 C"})
    shop.tick()
    work(shop, 60) if way == "narrowcast" else shop.send()
    data = sent_data(shop)
    assert [one[:11] for one in data] == ["want=vc&rt=", "want=no&rt="]
    shop.clock.advance(minutes=5)
    presses(shop, 2, data[0])
    presses(shop, 2, data[0])
    presses(shop, 3, data[1])
    found = shop.results(campaign_id)
    assert (found.clicks, found.unnamed_taps, found.fetches) == (2, 0, {"person": 3})
    assert [(row.tapped_by_id, row.kind) for row in clicks(shop)] == [
        (shop.ids[1], "person"),
        (shop.ids[1], "person"),
        (shop.ids[2], "person"),
    ]
    with reading(shop.engine) as session:
        tagged = select(table_of(CustomerTag).c.customer_id).join(Tag).where(table_of(Tag).c.name == "維他命 C")
        assert set(session.scalars(tagged)) == {shop.ids[1]}
        kinds = select(table_of(BehaviourEvent).c.kind, func.count()).group_by(table_of(BehaviourEvent).c.kind)
        assert dict(session.execute(kinds).all()) == {"postback": 3, "click": 3}


def test_fields_stay_possible_in_a_buttons_data(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    campaign_id = shop.plan(messages=asked('who={{ name or "?" }}'))
    shop.tick()
    shop.send()
    data = sent_data(shop)[0]
    assert data.startswith("who=客1&rt=")
    presses(shop, 1, data)
    assert shop.results(campaign_id).clicks == 1


@pytest.mark.parametrize("data", ["want=vc", "action=stop", "want=vc&rt=" + "A" * 32, "&rt=", "要" * 300])
def test_buttons_of_others_leave_no_click(open_shop: OpenShop, data: str) -> None:
    shop = open_shop(1)
    shop.plan(messages=asked())
    shop.tick()
    shop.send()
    presses(shop, 1, data)
    assert clicks(shop) == []


def test_marks_of_what_is_gone_or_does_not_belong_together_leave_no_click(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    shop.plan(messages=asked())
    shop.plan(messages=asked("want=other"))
    shop.tick()
    shop.send()
    with reading(shop.engine) as session:
        links = list(session.scalars(select(table_of(TrackedLink).c.id).order_by(table_of(TrackedLink).c.id)))
        runs = list(session.scalars(select(table_of(CampaignRun).c.id).order_by(table_of(CampaignRun).c.id)))
    for link_id, run_id in ((links[0], runs[1]), (links[0], 999), (999, runs[0]), (links[0], None)):
        presses(shop, 1, f"want=vc&rt={SIGNER.sign(link_id, run_id, None)}")
    assert clicks(shop) == []
    presses(shop, 1, f"want=vc&rt={SIGNER.sign(links[0], runs[0], None)}")
    assert len(clicks(shop)) == 1
    with pytest.raises(UnknownToken):  # nobody is sent to "postback:"
        LinkBook(shop.engine).find(Tap(links[0], runs[0], None))


def test_a_run_of_before_buttons_were_marked_goes_out_as_it_was(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    shop.plan(messages=asked())
    (run_id,) = shop.tick()
    with transaction(shop.engine) as session:
        session.get_one(CampaignRun, run_id).link_ids = {}
    shop.send()
    assert sent_data(shop) == ["want=vc", "want=no"]


def test_a_buttons_data_leaves_room_for_the_mark() -> None:
    check_messages(asked("d" * 264), way="multicast")
    with pytest.raises(InvalidMessage, match="265 characters; at most 264, since a mark"):
        check_messages(asked("d" * 265), way="multicast")
    assert links_in(asked()) == ["postback:want=vc", "postback:want=no"]
