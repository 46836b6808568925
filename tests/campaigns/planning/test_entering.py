"""Events that make people enter a campaign one by one, end to end over a simulated LINE: who enters, and once."""

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

from campaigns.audience.target import Audience
from campaigns.planning import schedule
from campaigns.planning.feeds import LIMIT, entries_of
from campaigns.settings import change_settings
from segmentation.rules.saved import save_rule
from segmentation.tags.hand import put_on
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.imports.merging import merge_customers
from store.models import (
    Campaign,
    CampaignRun,
    Click,
    Customer,
    Tag,
    TrackedLink,
)
from tests.campaigns.conftest import ZONE, Shop
from tests.campaigns.planning.sequences import Opener, event, moved, on_the_way, order, says, step_on, told


def test_a_movement_enters_once_and_what_was_before_the_campaign_does_not(open_shop: Opener) -> None:
    shop = open_shop(4)
    moved(shop, 1, "E", "S1")
    campaign = shop.plan(steps=says("wake up", wait1=30), trigger="nesl:E→S1")
    moved(shop, 2, "E", "S1")
    moved(shop, 3, "N", "S1")
    moved(shop, 4, "E", "E")
    step_on(shop)
    assert on_the_way(shop, campaign) == [(2, "waiting", None, 1)]
    assert told(shop) == []
    step_on(shop, minutes=30)
    step_on(shop, minutes=5)
    assert told(shop) == [(2, "wake up")]
    moved(shop, 2, "S1", "E")
    moved(shop, 2, "E", "S1")  # once more, later: another entry
    step_on(shop)
    step_on(shop, minutes=30)
    assert told(shop) == [(2, "wake up")] * 2
    assert shop.campaign(campaign).state == "scheduled"  # a trigger listens until it is cancelled


def test_lines_drawn_anew_move_nobody_into_a_campaign(open_shop: Opener) -> None:
    shop = open_shop(3)
    campaign = shop.plan(steps=says("wake up"), trigger="nesl:→S1")
    for number in (1, 2, 3):
        moved(shop, number, "E", "S1", is_relabelled=number != 2)
    step_on(shop, minutes=1)
    assert [number for number, *_ in on_the_way(shop, campaign)] == [2]


def test_who_is_on_the_way_does_not_enter_a_second_time(open_shop: Opener) -> None:
    shop = open_shop(1)
    campaign = shop.plan(steps=says("a", "b", wait2=60), trigger="nesl:→S1")
    moved(shop, 1, "E", "S1")
    step_on(shop)
    moved(shop, 1, "E", "S1")
    step_on(shop, minutes=10)
    assert told(shop) == [(1, "a")]
    assert on_the_way(shop, campaign) == [(1, "waiting", None, 2), (1, "left", "already_in", 1)]
    step_on(shop, minutes=60)
    step_on(shop, minutes=60)
    assert told(shop) == [(1, "a"), (1, "b")]


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 1)])
def test_two_on_the_way_who_turn_out_to_be_one_go_on_as_who_entered_first(
    open_shop: Opener, old: int, new: int
) -> None:
    shop = open_shop(3)
    campaign = shop.plan(steps=says("a", "b", wait1=10, wait2=60), trigger="nesl:→S1")
    for number in (1, 2, 3):
        moved(shop, number, "E", "S1")
        step_on(shop, minutes=1)
    with transaction(shop.engine) as session:
        merge_customers(session.connection(), {shop.ids[old - 1]: shop.ids[new - 1]})
    for _ in range(4):
        step_on(shop, minutes=40)
    told_them = [text for number, text in told(shop) if number != 3]
    assert told_them == ["a", "b"]
    ways = [(state, reason) for number, state, reason, _ in on_the_way(shop, campaign) if number == new]
    assert ways == [("finished", None), ("left", "already_in")]


def test_entering_and_leaving_segments_of_several(open_shop: Opener) -> None:
    shop = open_shop(4)
    enters = shop.plan(steps=says("in"), trigger={"on": "segment", "model": "nesl", "to": ["S1", "S2"]})
    leaves = shop.plan(steps=says("out"), trigger={"on": "segment", "model": "nesl", "from": ["S1", "S2"]})
    for number, (before, after) in enumerate([("E", "S1"), ("S1", "S2"), ("S2", "E"), (None, "S2")], 1):
        moved(shop, number, before, after)
    step_on(shop)
    assert [number for number, *_ in on_the_way(shop, enters)] == [1, 4]
    assert [number for number, *_ in on_the_way(shop, leaves)] == [3]


def test_a_tag_put_on_enters_and_an_unknown_tag_is_refused(open_shop: Opener) -> None:
    shop = open_shop(2)
    with pytest.raises(BadInput, match="no tag 'VIP'"):
        shop.plan(steps=says("vip"), trigger="tag:VIP")
    with transaction(shop.engine) as session:
        session.add(Tag(name="VIP", created_at=shop.clock()))
        session.flush()
        put_on(session, "VIP", [shop.ids[0]], actor="ann", now=shop.clock(), today=shop.clock().date())
    shop.clock.advance(seconds=1)
    campaign = shop.plan(steps=says("vip"), trigger="tag:VIP")
    with transaction(shop.engine) as session:
        put_on(session, "VIP", [shop.ids[1]], actor="ann", now=shop.clock(), today=shop.clock().date())
    step_on(shop)
    step_on(shop, minutes=1)
    assert told(shop) == [(2, "vip")]
    assert len(on_the_way(shop, campaign)) == 1


def tap(shop: Shop, number: int, campaign_id: int, run_id: int, at: datetime, kind: str = "person") -> None:
    with transaction(shop.engine) as session:
        link = session.scalar(
            select(table_of(TrackedLink).c.id).where(table_of(TrackedLink).c.campaign_id == campaign_id)
        )
        row = {"link_id": link, "run_id": run_id, "customer_id": shop.ids[number - 1], "clicked_at": at, "kind": kind}
        session.execute(insert(table_of(Click)).values(**row, user_agent="Line/1", has_event=True))


def test_a_tap_enters_once_a_link_and_run_but_not_by_the_campaigns_own_links(open_shop: Opener) -> None:
    shop = open_shop(3)
    first = shop.plan(topics={"https://shop.example/a?utm_source=line": "維他命 C"})
    step_on(shop)
    with reading(shop.engine) as session:
        run_id = session.scalar(select(table_of(CampaignRun).c.id))
    assert run_id is not None
    text = "看 https://shop.example/b"
    by_topic = shop.plan(steps=says(text), trigger="click:維他命 C")
    by_any = shop.plan(steps=says(text), trigger="click")
    by_other = shop.plan(steps=says(text), trigger="click:魚油")
    for _ in range(3):
        tap(shop, 1, first, run_id, shop.clock.advance(seconds=1))
    tap(shop, 2, first, run_id, shop.clock(), kind="robot")
    step_on(shop, minutes=1)
    assert [number for number, *_ in on_the_way(shop, by_topic)] == [1]
    assert on_the_way(shop, by_other) == []
    with reading(shop.engine) as session:
        run = table_of(CampaignRun)
        own_run = session.scalar(select(run.c.id).where(run.c.campaign_id == by_any))
    assert own_run is not None
    tap(shop, 1, by_any, own_run, shop.clock.advance(seconds=1))
    step_on(shop, minutes=2)
    assert [number for number, *_ in on_the_way(shop, by_any)] == [1]  # not by its own link
    assert len(on_the_way(shop, by_topic)) == 1


def test_many_taps_of_a_link_for_everyone_enter_each_tapper_once_and_hold_up_nobody(open_shop: Opener) -> None:
    shop = open_shop(3)
    first = shop.plan(way="multicast", messages=[{"type": "text", "text": "看 https://shop.example/a"}])
    step_on(shop)
    campaign = shop.plan(steps=says("hi"), trigger=f"click campaign {first}")
    link, run = table_of(TrackedLink), table_of(CampaignRun)
    with transaction(shop.engine) as session:
        of_first = select(link.c.id, run.c.id).join(run, run.c.campaign_id == link.c.campaign_id)
        link_id, run_id = session.execute(of_first.where(link.c.campaign_id == first)).one()
        at = shop.clock.advance(seconds=1)
        tap = {"link_id": link_id, "run_id": run_id, "clicked_at": at, "kind": "person", "user_agent": "Line/1"}
        numbers = [1] * LIMIT + [2]  # told by LIFF; the link itself is nobody's
        taps = [{**tap, "tapped_by_id": shop.ids[number - 1], "has_event": True} for number in numbers]
        session.execute(insert(table_of(Click)), taps)
    found = []
    for _ in range(3):
        with transaction(shop.engine) as session:
            answer = entries_of(session, session.get_one(Campaign, campaign), zone=ZONE, now=shop.clock())
            schedule.has_read(session, campaign, answer)
        found.append({shop.ids.index(entry.customer_id) + 1 for entry in answer.entries})
    assert found == [{1}, {2}, set()]
    step_on(shop)
    assert [one for one in told(shop) if one[1] == "hi"] == [(1, "hi"), (2, "hi")]


def test_a_cart_left_without_an_order(open_shop: Opener) -> None:
    shop = open_shop(4)
    campaign = shop.plan(steps=says("still there?"), trigger="購物車放置 4 小時")
    start = shop.clock()
    for number in (1, 2, 3):
        event(shop, number, "add_to_cart", start)
    order(shop, 2, start + timedelta(hours=1))
    event(shop, 3, "add_to_cart", start + timedelta(hours=2))  # went on filling
    event(shop, 4, "product_view", start)
    step_on(shop, minutes=4 * 60 - 1)
    assert told(shop) == []
    step_on(shop, minutes=1)
    assert told(shop) == [(1, "still there?")]
    step_on(shop, minutes=2 * 60)
    step_on(shop, minutes=10 * 60)
    assert told(shop) == [(1, "still there?"), (3, "still there?")]
    assert len(on_the_way(shop, campaign)) == 2


def test_who_buys_in_the_night_is_not_reminded_of_the_cart_in_the_morning(open_shop: Opener) -> None:
    shop = open_shop(2)
    with transaction(shop.engine) as session:
        change_settings(session, {"quiet_hours": "22:00-08:00"}, actor="ann", now=shop.clock())
    shop.clock.now = datetime(2026, 11, 2, 20, tzinfo=ZONE)
    campaign = shop.plan(steps=says("still there?"), trigger="購物車放置 4 小時")
    for number in (1, 2):
        event(shop, number, "add_to_cart", shop.clock())
    step_on(shop, minutes=4 * 60)  # midnight: both are due, and put off
    order(shop, 2, shop.clock() + timedelta(hours=6))
    shop.clock.now = datetime(2026, 11, 3, 8, tzinfo=ZONE)
    step_on(shop)
    assert told(shop) == [(1, "still there?")]
    assert on_the_way(shop, campaign)[1][1:3] == ("left", "goal")


def test_the_goal_of_a_cart_is_the_one_that_is_given(open_shop: Opener) -> None:
    shop = open_shop(1)
    carts = {"steps": says("a"), "trigger": "購物車放置 4 小時"}
    goals = [shop.campaign(shop.plan(**carts, **more)).goal for more in ({}, {"goal": "clicked"})]
    assert goals == [{"did": "buy", "is": True}, {"did": "click", "is": True}]
    assert shop.campaign(shop.plan(steps=says("a"), trigger="生日")).goal is None


def test_days_after_a_purchase_several_of_one_day_count_once(open_shop: Opener) -> None:
    shop = open_shop(3)
    start = shop.clock()
    order(shop, 1, start - timedelta(days=30, hours=1))  # its thirtieth day was over before the campaign
    order(shop, 2, start - timedelta(days=29))  # but this one comes to be
    campaign = shop.plan(steps=says("again?"), trigger="購買後 30 天")
    order(shop, 3, start + timedelta(hours=1))
    order(shop, 3, start + timedelta(hours=2))
    order(shop, 1, start + timedelta(hours=2), status="refunded")
    step_on(shop)
    assert told(shop) == []
    step_on(shop, minutes=24 * 60)
    assert told(shop) == [(2, "again?")]
    for _ in range(30):
        step_on(shop, minutes=24 * 60)
    assert told(shop) == [(2, "again?"), (3, "again?")]
    assert len(on_the_way(shop, campaign)) == 2


def test_birthdays_and_leap_days(open_shop: Opener) -> None:
    shop = open_shop(4)
    birthdays = [date(1990, 11, 5), date(1992, 2, 29), date(1990, 2, 28), None]
    with transaction(shop.engine) as session:
        customer = table_of(Customer)
        for who, birthday in zip(shop.ids, birthdays, strict=True):
            session.execute(update(customer).where(customer.c.id == who).values(birthday=birthday))
    shop.plan(steps=says("soon"), trigger="生日前 3 天 15:00")  # it is noon on 2 November
    step_on(shop, minutes=179)
    assert told(shop) == []
    step_on(shop, minutes=1)
    assert told(shop) == [(1, "soon")]
    for _ in range(4):
        step_on(shop, minutes=60)
    assert told(shop) == [(1, "soon")]
    shop.plan(steps=says("happy"), trigger={"on": "birthday", "days_before": 0, "at": "10:00"})
    here = datetime(2027, 2, 28, 10, 0, tzinfo=ZONE)
    shop.clock.now = here - timedelta(minutes=1)
    step_on(shop)
    assert [n for n, text in told(shop) if text == "happy"] == []
    step_on(shop, minutes=1)
    assert [n for n, text in told(shop) if text == "happy"] == [2, 3]  # 29 February is kept on the 28th
    step_on(shop, minutes=24 * 60)
    shop.clock.now = datetime(2028, 2, 28, 10, 0, tzinfo=ZONE)
    step_on(shop)
    step_on(shop, minutes=24 * 60)
    assert [n for n, text in told(shop) if text == "happy"] == [2, 2, 3, 3]


def test_a_coupon_about_to_end(open_shop: Opener) -> None:
    shop = open_shop(3)
    until = ["2026-11-05", "2026-11-06T23:59:00+08:00", "soon"]
    with transaction(shop.engine) as session:
        customer = table_of(Customer)
        for who, day in zip(shop.ids, until, strict=True):
            session.execute(update(customer).where(customer.c.id == who).values(attributes={"coupon_until": day}))
    shop.plan(steps=says("ends"), trigger="優惠券到期前 3 天 15:00")
    step_on(shop, minutes=180)
    assert told(shop) == [(1, "ends")]
    step_on(shop, minutes=24 * 60)
    step_on(shop, minutes=24 * 60)
    assert told(shop) == [(1, "ends"), (2, "ends")]


def test_what_triggers_during_a_pause_is_not_made_up_for(open_shop: Opener) -> None:
    shop = open_shop(2)
    campaign = shop.plan(steps=says("a"), trigger="nesl:→S1")
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign)
    moved(shop, 1, "E", "S1")
    step_on(shop, minutes=10)
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign, zone=ZONE, now=shop.clock())
    step_on(shop, minutes=1)
    moved(shop, 2, "E", "S1")
    step_on(shop, minutes=1)
    assert told(shop) == [(2, "a")]


def test_a_moment_that_was_missed_for_a_day_enrols_nobody(open_shop: Opener) -> None:
    shop = open_shop(1)
    with transaction(shop.engine) as session:
        session.execute(update(table_of(Customer)).values(birthday=date(1990, 11, 3)))
        session.add(Tag(name="VIP", created_at=shop.clock()))
    birthday = shop.plan(steps=says("happy"), trigger="生日 10:00")
    tagged, entered = shop.plan(steps=says("vip"), trigger="tag:VIP"), shop.plan(steps=says("e"), trigger="nesl:→E")
    with transaction(shop.engine) as session:
        put_on(session, "VIP", shop.ids, actor="ann", now=shop.clock(), today=shop.clock().date())
    moved(shop, 1, "N", "E")
    step_on(shop, minutes=48 * 60)  # the worker was down
    assert [on_the_way(shop, campaign) for campaign in (birthday, tagged, entered)] == [[], [], []]


def test_who_is_not_in_the_audience_leaves_at_once(open_shop: Opener) -> None:
    shop = open_shop(3)
    with transaction(shop.engine) as session:
        customer = table_of(Customer)
        session.execute(update(customer).where(customer.c.id.in_(shop.ids[:2])).values(city="Taipei"))
        save_rule(
            session, "from Taipei", {"type": "attribute", "name": "city", "is": "Taipei"}, shop.clock(), actor="me"
        )
        session.add(Tag(name="staff", created_at=shop.clock()))
        session.flush()
        put_on(session, "staff", [shop.ids[0]], actor="ann", now=shop.clock(), today=shop.clock().date())
    audience = Audience(("rule:from Taipei",), ("tag:staff",))
    campaign = shop.plan(steps=says("a"), trigger="nesl:→S1", audience=audience)
    for number in (1, 2, 3):
        moved(shop, number, "E", "S1")
    step_on(shop)
    assert told(shop) == [(2, "a")]
    reasons = [reason for _, _, reason, _ in on_the_way(shop, campaign)]
    assert reasons == ["not_in_audience", None, "not_in_audience"]
