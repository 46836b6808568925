"""The outlook of a campaign of many people: asked for once, found out by one worker, and good for a while."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, update

from campaigns.audience.lists import make_list
from campaigns.audience.reach import Reach
from campaigns.audience.target import Audience
from campaigns.money import outlook_kept
from campaigns.money.forecast import Expectation, Expected, Outlook, find_outlook
from campaigns.money.outlook_kept import (
    AGAIN,
    HOLDS,
    LEASE,
    LEASE_NAME,
    ask_for_outlook,
    find_asked_outlooks,
    kept_outlook,
    outlook_asked_at,
)
from campaigns.money.quota import QuotaState
from segmentation.leases import leased
from store.engine import reading, table_of, transaction
from store.models import Campaign, CampaignOutlook, Customer
from tests.campaigns.conftest import PLAIN, ZONE, Shop

OpenShop = Callable[[int], Shop]


def ask(shop: Shop, campaign_id: int) -> datetime | None:
    """Ask; since when it has been waited for."""
    with transaction(shop.engine) as session:
        ask_for_outlook(session, campaign_id, shop.clock())
        return outlook_asked_at(session, campaign_id)


def find(shop: Shop) -> int:
    return find_asked_outlooks(shop.engine, zone=ZONE, clock=shop.clock)


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
        assert kept_outlook(session, campaign_id) is None
    assert find(shop) == 1
    assert find(shop) == 0
    with reading(shop.engine) as session:
        found = kept_outlook(session, campaign_id)
    assert found == find_outlook(shop.engine, campaign_id, zone=ZONE, clock=shop.clock)
    assert found is not None
    assert found.reach.skipped == {"refused": 3}
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
        assert kept_outlook(session, campaign_id) is None
    shop.clock.advance(seconds=AGAIN.total_seconds() + 1)
    assert ask(shop, campaign_id) == shop.clock()  # it may be there again


def test_an_answer_to_an_asking_before_is_not_kept(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = open_shop(5)
    campaign_id = shop.plan(messages=PLAIN)
    found_before = find_outlook(shop.engine, campaign_id, zone=ZONE, clock=shop.clock)
    asked = 0

    def slow(*args: Any, **rest: Any) -> Outlook:
        nonlocal asked
        asked += 1
        if asked == 1:  # SQLite gives the next draft the id of the one that is gone
            with transaction(shop.engine) as session:
                session.execute(delete(CampaignOutlook))
            with transaction(shop.engine) as session:
                session.execute(update(Customer).values(marketing_refused_at=shop.clock()))
            shop.clock.advance(seconds=1)
            ask(shop, campaign_id)
            return found_before
        return find_outlook(*args, **rest)

    monkeypatch.setattr(outlook_kept, "find_outlook", slow)
    ask(shop, campaign_id)
    assert find(shop) == 2
    with reading(shop.engine) as session:
        found = kept_outlook(session, campaign_id)
    assert found is not None
    assert found.reach.skipped == {"refused": 5}


def test_an_outlook_comes_back_from_json_as_it_was() -> None:
    expected = Expectation(Expected(1.5, 1.0, 2.0), None, Expected(9.0, 8.0, 10.0), None, 7, ["too little history"])
    quota = QuotaState("main", 3_000, 12, datetime(2026, 11, 30, 9, 15, tzinfo=UTC), 14, 5)
    for one in (quota, replace(quota, limit=None, line_used=None, read_at=None)):
        outlook = Outlook(Reach({"important_value": 3}, 2, {"refused": 1}), one, expected)
        assert Outlook.from_json(json.loads(json.dumps(outlook.to_json()))) == outlook
