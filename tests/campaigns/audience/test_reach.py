"""What is told before sending is what would be sent now: one gate for the forecast and for freezing."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, func, insert, select, update

from campaigns.audience.asked import ask_audience
from campaigns.audience.lists import make_list
from campaigns.audience.reach import Reach, reach_now
from campaigns.audience.target import Audience
from campaigns.money.forecast import forecast
from campaigns.settings import change_settings
from segmentation.rules.saved import save_rule
from segmentation.tags.catalogue import create_tag
from segmentation.tags.hand import put_on
from store.engine import is_sqlite, reading, table_of, transaction
from store.errors import NotFound
from store.models import CampaignRun, Customer, CustomerList, CustomerSegment, Delivery, LineAccount
from tests.campaigns.conftest import PLAIN, ZONE, Shop
from tests.conftest import StillClock
from tests.factories import make_order

OpenShop = Callable[[int], Shop]
BOUGHT = {"type": "orders", "measure": "count", "at_least": 1}


def a_day_in_a_shop(shop: Shop) -> None:
    """Somebody has refused, somebody has blocked; some have had today's message; others an urgent one just now."""
    with transaction(shop.engine) as session:
        customer, account = table_of(Customer), table_of(LineAccount)
        refused, blocked = customer.c.id == shop.ids[0], account.c.customer_id == shop.ids[1]
        session.execute(update(customer).where(refused).values(marketing_refused_at=shop.clock()))
        session.execute(update(account).where(blocked).values(is_following=False))
        chosen = {"cap_day": 1, "global_holdout_percent": Decimal(10), "collision_minutes": 30}
        change_settings(session, chosen, actor="test", now=shop.clock())
        for customer_id in shop.ids[:180]:
            make_order(session, session.get_one(Customer, customer_id))
        save_rule(session, "買過", BOUGHT, shop.clock(), actor="me")
    for name, people in (("早上", shop.ids[2:40]), ("急件", shop.ids[40:80])):
        make_list(shop.engine, name, people, origin={}, actor="test", clock=shop.clock)
    shop.plan(messages=PLAIN, audience=Audience(("list:早上",)))
    shop.tick()
    shop.send()
    shop.clock.advance(minutes=60)
    shop.plan(messages=PLAIN, audience=Audience(("list:急件",)), priority=5)
    shop.tick()


def frozen(shop: Shop, campaign_id: int) -> tuple[Counter[str], Counter[str]]:
    """By state, and by reason of those skipped, as the campaign's run found its people."""
    delivery, run = table_of(Delivery), table_of(CampaignRun)
    with reading(shop.engine) as session:
        rows = session.execute(
            select(delivery.c.state, delivery.c.reason, func.count())
            .join(run, run.c.id == delivery.c.run_id)
            .where(run.c.campaign_id == campaign_id)
            .group_by(delivery.c.state, delivery.c.reason)
        ).all()
    states: Counter[str] = Counter()
    for state, _, people in rows:
        states[state] += people
    return states, Counter({reason: people for state, reason, people in rows if state == "skipped"})


@pytest.mark.parametrize(
    "audience", [Audience(("all",)), Audience(("rule:買過",)), Audience(("all",), ("rule:買過", "list:早上"))]
)
def test_it_is_what_the_run_then_finds(open_shop: OpenShop, audience: Audience) -> None:
    shop = open_shop(300)
    a_day_in_a_shop(shop)
    later = shop.clock() + timedelta(minutes=5)
    campaign_id = shop.plan(messages=PLAIN, audience=audience, holdout_percent=Decimal(20), at=later)
    shop.clock.advance(minutes=5)
    told = reach_now(shop.engine, campaign_id, zone=ZONE, clock=shop.clock)
    assert frozen(shop, campaign_id) == (Counter(), Counter())  # looking writes nothing
    shop.tick()
    states, skipped = frozen(shop, campaign_id)
    assert told.skipped == dict(skipped)
    assert (told.messages, told.held_out) == (states["chosen"], states["held_out"])
    assert told.audience == states.total()
    if audience.any_of == ("all",) and not audience.none_of:
        assert {"refused", "blocked", "outranked", "cap_day", "global_holdout"} == set(skipped)


def test_the_forecast_tells_messages_and_why_not_more(open_shop: OpenShop) -> None:
    shop = open_shop(100)
    a_day_in_a_shop(shop)
    campaign_id = shop.plan(messages=PLAIN, audience=Audience(("rule:買過",)), at=None)
    told = forecast(shop.engine, campaign_id, zone=ZONE, clock=shop.clock).to_json()
    assert told["audience"] == 100
    assert told["messages"] == 100 - sum(told["skipped"].values())
    assert told["skipped"]["cap_day"] > 30


def test_of_nobody_it_is_nothing_and_of_a_campaign_that_there_is_not_it_says_so(open_shop: OpenShop) -> None:
    shop = open_shop(0)
    campaign_id = shop.plan(messages=PLAIN)
    assert reach_now(shop.engine, campaign_id, zone=ZONE, clock=shop.clock) == Reach({}, 0, {})
    with pytest.raises(NotFound):
        reach_now(shop.engine, campaign_id + 1, zone=ZONE, clock=shop.clock)


@pytest.mark.parametrize("target", ["nesl=E", "tag:常客", "list:講座"])
def test_a_segment_tag_or_list_alone_is_found_without_looking_at_everybody(
    engine: Engine, clock: StillClock, target: str
) -> None:
    with transaction(engine) as session:
        create_tag(session, "常客", now=clock())
        session.add(CustomerList(name="講座", origin={}, created_at=clock()))
    asked = ask_audience(engine, Audience((target,), ("rf4=new",)), zone=ZONE, clock=clock)
    found = select(table_of(Customer).c.id).where(asked.condition())
    with reading(engine) as session:
        assert session.scalars(found).all() == []
        if is_sqlite(engine):  # PostgreSQL plans by statistics, of which there are none here
            statement = found.compile(engine, compile_kwargs={"literal_binds": True})
            steps = [row[3] for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
            assert "SEARCH customer USING INTEGER PRIMARY KEY (rowid=?)" in steps


@pytest.mark.parametrize("target", ["nesl=E", "tag:常客", "list:講座"])
def test_a_page_of_such_an_audience_reads_nobody_elses_part_of_it(
    open_shop: OpenShop, clock: StillClock, target: str
) -> None:
    shop = open_shop(7)
    engine, even = shop.engine, shop.ids[1::2]
    with transaction(engine) as session:
        create_tag(session, "常客", now=clock())
        put_on(session, "常客", even, actor="me", now=clock(), today=clock().date())
        segment = {"computed_at": clock(), "nesl": "E", "nes": "E"}
        session.execute(insert(table_of(CustomerSegment)), [{"customer_id": one, **segment} for one in even])
    make_list(engine, "講座", even, origin={}, actor="test", clock=clock)
    asked = ask_audience(engine, Audience((target,)), zone=ZONE, clock=clock)
    customer = table_of(Customer)
    pages = [(0, shop.ids[2]), (shop.ids[2], shop.ids[4]), (shop.ids[4], shop.ids[6])]
    conditions = [asked.condition(after, up_to) for after, up_to in pages]
    with reading(engine) as session:
        found = [session.scalars(select(customer.c.id).where(condition)).all() for condition in conditions]
        assert session.scalars(select(customer.c.id).where(asked.condition()).order_by(customer.c.id)).all() == even
    assert [list(page) for page in found] == [even[:1], even[1:2], even[2:]]
    # A list of all would be made for each page; PostgreSQL might even walk it for each person.
    assert all(" IN (SELECT" not in str(condition) for condition in conditions)
    assert " IN (SELECT" in str(asked.condition())
