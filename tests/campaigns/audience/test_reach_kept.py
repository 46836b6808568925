"""The reach of a campaign of many people: asked for once, found out by one worker, and good for a while."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import update

from campaigns.audience.lists import make_list
from campaigns.audience.reach import reach_now
from campaigns.audience.reach_kept import (
    HOLDS,
    LEASE,
    LEASE_NAME,
    ask_for_reach,
    find_asked_reach,
    kept_reach,
    reach_asked_at,
)
from campaigns.audience.target import Audience
from segmentation.leases import leased
from store.engine import reading, table_of, transaction
from store.models import Campaign, Customer
from tests.campaigns.conftest import PLAIN, ZONE, Shop

OpenShop = Callable[[int], Shop]


def ask(shop: Shop, campaign_id: int) -> datetime | None:
    """Ask; since when it has been waited for."""
    with transaction(shop.engine) as session:
        ask_for_reach(session, campaign_id, shop.clock())
        return reach_asked_at(session, campaign_id)


def find(shop: Shop) -> int:
    return find_asked_reach(shop.engine, zone=ZONE, clock=shop.clock)


def test_the_worker_finds_what_a_page_would_once_and_it_holds_for_a_while(open_shop: OpenShop) -> None:
    shop = open_shop(20)
    with transaction(shop.engine) as session:
        refused = table_of(Customer).c.id.in_(shop.ids[:3])
        session.execute(update(Customer).where(refused).values(marketing_refused_at=shop.clock()))
    campaign_id = shop.plan(messages=PLAIN)
    assert find(shop) == 0
    asked_at = ask(shop, campaign_id)
    assert asked_at == shop.clock()
    shop.clock.advance(seconds=5)
    assert ask(shop, campaign_id) == asked_at  # asked already
    with reading(shop.engine) as session:
        assert kept_reach(session, campaign_id) is None
    assert find(shop) == 1
    assert find(shop) == 0
    with reading(shop.engine) as session:
        found = kept_reach(session, campaign_id)
    assert found == reach_now(shop.engine, campaign_id, zone=ZONE, clock=shop.clock)
    assert found is not None
    assert found.skipped == {"refused": 3}
    shop.clock.advance(seconds=HOLDS.total_seconds())
    assert ask(shop, campaign_id) is None
    shop.clock.advance(seconds=1)
    assert ask(shop, campaign_id) == shop.clock()


def test_one_process_at_a_time_finds_out(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    ask(shop, shop.plan(messages=PLAIN))
    with leased(shop.engine, LEASE_NAME, LEASE, shop.clock):
        assert find(shop) == 0
    assert find(shop) == 1


def test_what_cannot_be_found_out_is_not_waited_for(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    make_list(shop.engine, "講座", shop.ids, origin={}, actor="test", clock=shop.clock)
    campaign_id = shop.plan(messages=PLAIN, audience=Audience(("list:講座",)))
    with transaction(shop.engine) as session:
        campaign = session.get_one(Campaign, campaign_id)
        campaign.audience = Audience(("list:不在了",)).to_json()
        session.add(campaign)
    ask(shop, campaign_id)
    assert find(shop) == 1
    assert ask(shop, campaign_id) is None
    with reading(shop.engine) as session:
        assert kept_reach(session, campaign_id) is None
