"""What all campaigns bring together: by chance alone, in one window, whatever the messages made people do."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine

from campaigns.experiments.assignment import is_held_out_of_all, period_of
from campaigns.results.all_campaigns import Together, all_campaigns
from campaigns.settings import change_settings
from store.engine import reading, transaction
from store.models import Channel, Customer, LineAccount
from tests.campaigns.conftest import ZONE
from tests.conftest import StillClock
from tests.factories import make_account, make_channel, make_customer, make_order

DAY = timedelta(days=1)
HALF = Decimal(50)


class Brand:
    """A brand that holds half of its people out of everything since `since`, 30 days a period."""

    def __init__(self, engine: Engine, clock: StillClock) -> None:
        self.engine, self.clock = engine, clock
        with transaction(engine) as session:
            self.channel_id = make_channel(session).id or 0
        self.choose(global_holdout_percent=HALF, global_holdout_days=30)
        self.since = clock()

    def choose(self, **changes: Any) -> None:
        with transaction(self.engine) as session:
            change_settings(session, changes, actor="test", now=self.clock())

    def person(self, account: dict[str, Any] | None = None, **fields: Any) -> int:
        with transaction(self.engine) as session:
            made = make_customer(session, **fields)
            if account is not None:
                make_account(session, session.get_one(Channel, self.channel_id), made, **account)
            return made.id or 0

    def people(self, count: int) -> list[int]:
        return [self.person({}) for _ in range(count)]

    def buys(self, who: int, at: datetime, total: int = 100, **fields: Any) -> None:
        with transaction(self.engine) as session:
            make_order(session, session.get_one(Customer, who), ordered_at=at, total=Decimal(total), **fields)

    def is_held_out(self, who: int, at: datetime | None = None) -> bool:
        period = period_of((at or self.clock()).astimezone(ZONE).date(), 30)
        return bool(is_held_out_of_all(who, HALF, period))

    def report(self) -> list[Together]:
        with reading(self.engine) as session:
            return all_campaigns(session, zone=ZONE, now=self.clock())


@pytest.fixture
def brand(engine: Engine, clock: StillClock) -> Brand:
    return Brand(engine, clock)


def test_what_campaigns_add_per_person_stands_beside_its_interval(brand: Brand) -> None:
    people = brand.people(400)
    held = [who for who in people if brand.is_held_out(who)]
    sent_to = [who for who in people if who not in held]
    for who in sent_to[:60]:
        brand.buys(who, brand.since + DAY, 200)
    for who in held[:20]:
        brand.buys(who, brand.since + DAY, 200)
    brand.clock.advance(days=2)
    (found,) = brand.report()
    assert (found.sent_to.people, found.held_out.people) == (len(sent_to), len(held))
    assert (found.sent_to.buyers, found.held_out.buyers) == (60, 20)
    assert (found.since, found.until, found.is_over, found.percent) == (brand.since, brand.clock(), False, HALF)
    assert found.buyers is not None
    assert found.revenue is not None
    assert found.added is not None
    assert found.buyers.difference == pytest.approx(60 / len(sent_to) - 20 / len(held))
    assert found.buyers.low > 0  # it is sure
    assert found.revenue.difference == pytest.approx(12_000 / len(sent_to) - 4_000 / len(held))
    assert found.added.difference == pytest.approx(found.revenue.difference * len(sent_to))
    assert found.to_json()["held_out"]["revenue"] == "4000.00"


def test_only_orders_that_stand_and_fall_into_the_period_count(brand: Brand) -> None:
    (who,) = brand.people(1)
    brand.buys(who, brand.since - timedelta(microseconds=1))
    brand.buys(who, brand.since)
    brand.buys(who, brand.since + DAY, status="refunded")
    brand.buys(who, brand.since + 3 * DAY)  # not yet
    brand.clock.advance(days=2)
    (found,) = brand.report()
    both = found.sent_to + found.held_out
    assert (both.people, both.buyers, both.orders, both.revenue) == (1, 1, 1, Decimal(100))
    assert (found.buyers, found.revenue, found.added) == (None, None, None)  # one side is empty


def test_who_counts_is_settled_by_what_was_so_when_it_began(brand: Brand) -> None:
    before_ms, after_ms = (int((brand.since + turn * DAY).timestamp() * 1000) for turn in (-1, 1))
    expected = {
        brand.person({}),
        brand.person({}, marketing_refused_at=brand.since + DAY),  # perhaps because of a message
        brand.person({"is_following": False, "follow_changed_ms": after_ms}),
        brand.person({"is_following": None}),
    }
    brand.person(None)
    brand.person({}, created_at=brand.since)
    brand.person({}, marketing_refused_at=brand.since - DAY)
    brand.person({"is_following": False, "follow_changed_ms": before_ms})
    brand.clock.advance(days=2)
    (found,) = brand.report()
    assert found.sent_to.people + found.held_out.people == len(expected)
    assert found.held_out.people == sum(brand.is_held_out(who) for who in expected)


def test_each_period_holds_others_out_and_is_told_by_itself(brand: Brand) -> None:
    people = brand.people(50)
    brand.clock.advance(days=45)
    found = brand.report()
    assert [one.is_over for one in found] in ([False, True], [False, True, True])
    assert all(newer.since == older.until for newer, older in pairwise(found))
    assert found[-1].since == brand.since
    for one in found:
        assert one.held_out.people == sum(brand.is_held_out(who, one.since) for who in people)
    brand.clock.advance(days=200)
    assert len(brand.report()) == 4


def test_another_share_begins_anew_and_without_any_there_is_nothing_to_tell(brand: Brand) -> None:
    brand.people(10)
    brand.clock.advance(days=3)
    brand.choose(global_holdout_percent=Decimal(20))
    changed_at = brand.clock()
    brand.clock.advance(days=1)
    brand.choose(cap_day=3)  # says nothing of the holdout
    assert [(one.since, one.percent) for one in brand.report()] == [(changed_at, Decimal(20))]
    brand.choose(global_holdout_percent=None)
    assert brand.report() == []


def test_an_account_on_another_channel_is_enough_and_counts_once(brand: Brand) -> None:
    who = brand.person({"is_following": False})
    with transaction(brand.engine) as session:
        session.add(LineAccount(channel_id=make_channel(session).id or 0, line_user_id="U2", customer_id=who))
    brand.clock.advance(days=1)
    (found,) = brand.report()
    assert found.sent_to.people + found.held_out.people == 1
