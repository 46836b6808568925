"""Content that was stored before a check became stricter stops its own run, which says so, and no other."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from campaigns.planning import schedule
from store.engine import reading, table_of, transaction
from store.models import CampaignRun, SendBatch
from tests.campaigns.conftest import PLAIN, ZONE, Shop, user_id
from tests.campaigns.sending.test_narrowcast import work
from tests.campaigns.sending.test_rides import answer, read_inbox, writes

OpenShop = Callable[[int], Shop]
REFUSED = [{"type": "text", "text": "長" * 5_001}]


def say(shop: Shop, run_id: int, messages: list[dict[str, Any]]) -> None:
    """A run's stored content, changed behind the checks."""
    with transaction(shop.engine) as session:
        variants = [{**v, "messages": messages} for v in session.get_one(CampaignRun, run_id).variants]
        session.execute(
            update(table_of(CampaignRun)).where(table_of(CampaignRun).c.id == run_id).values(variants=variants)
        )


def resume(shop: Shop, campaign_id: int) -> None:
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())


def is_told(shop: Shop, campaign_id: int) -> bool:
    campaign = shop.campaign(campaign_id)
    return campaign.state == "paused" and (campaign.problem or "").startswith("its content can't be sent: messages[0]")


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_its_run_is_paused_the_others_go_on_and_mended_it_is_sent_once(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(3)
    broken = shop.plan(way=way, messages=PLAIN)
    (run_id,) = shop.tick()
    say(shop, run_id, REFUSED)
    other = shop.plan(way=way, messages=PLAIN)
    shop.tick()
    shop.send()
    assert is_told(shop, broken)
    assert shop.results(broken).deliveries["chosen"] == 3
    assert shop.results(other).deliveries["accepted"] == 3
    with reading(shop.engine) as session:  # in nobody's hands: no lease has to lapse first
        states = session.scalars(select(table_of(SendBatch).c.state).where(table_of(SendBatch).c.run_id == run_id))
        assert list(states) == ["due"]
    resume(shop, broken)
    shop.send()
    assert is_told(shop, broken)
    say(shop, run_id, PLAIN)
    resume(shop, broken)
    shop.send()
    assert shop.results(broken).deliveries["accepted"] == 3
    assert set(shop.got().values()) == {2}  # one of each


def test_a_narrowcast_is_paused_before_the_request(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = shop.plan(way="narrowcast", messages=PLAIN)
    (run_id,) = shop.tick()
    say(shop, run_id, REFUSED)
    work(shop, 60)
    assert is_told(shop, campaign_id)
    assert shop.got() == {}
    say(shop, run_id, PLAIN)
    resume(shop, campaign_id)
    work(shop, 120)
    assert shop.everyone_once([1, 2, 3])


def test_a_free_reply_goes_without_it(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    broken = shop.plan(messages=PLAIN, reply_first_minutes=60)
    (run_id,) = shop.tick()
    say(shop, run_id, REFUSED)
    shop.plan(messages=PLAIN, reply_first_minutes=60)
    shop.tick()
    writes(shop, 2)
    read_inbox(shop)
    answer(shop)
    assert shop.got() == {user_id(2): 1}  # the other campaign's
    shop.clock.advance(minutes=61)
    shop.send()
    assert is_told(shop, broken)
