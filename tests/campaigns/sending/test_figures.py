"""LINE's own figures over HTTP on both databases: what people did, asked within LINE's limits; null stays missing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from bot.line.audiences import NarrowcastDoor
from bot.line.insight import InsightDoor
from campaigns.links.making import LinkMaker
from campaigns.links.tokens import TokenSigner
from campaigns.results.line_figures import line_figures
from campaigns.sending.figures import AN_HOUR, ask_for_figures, count_units, next_look
from campaigns.sending.narrowcast import Ground, step_narrowcasts
from simulator.faults import Fault, FaultKind
from store.engine import reading, table_of, transaction
from store.errors import ExpectedError
from store.models import CampaignRun, Channel, UnitStatistic
from tests.campaigns.conftest import PLAIN, TOKEN, Shop

OpenShop = Callable[[int], Shop]
START = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)


def doors(shop: Shop) -> dict[int, InsightDoor]:
    return {shop.channel_id: InsightDoor(api_base=shop.line.url, access_token=TOKEN, timeout_seconds=5)}


def ask(shop: Shop) -> int:
    return ask_for_figures(shop.engine, doors(shop), clock=shop.clock)


def sent(shop: Shop, **fields: Any) -> int:
    """A run sent to everybody; its id."""
    shop.plan(**{"messages": PLAIN, **fields})
    run_id = shop.tick()[0]
    shop.send()
    shop.tick()
    return run_id


def people_do(shop: Shop, opened: int, tapped: int) -> None:
    """So many of the people of all requests so far open and tap what they got."""
    channel = shop.line.platform.channels[0]
    got = [(entry.request_id, who) for entry in channel.ledger.entries for who in entry.to]
    for request_id, who in got[:opened]:
        shop.line.platform.note(request_id, who, shop.clock(), channel=channel, url=None)
    for request_id, who in got[:tapped]:
        shop.line.platform.note(request_id, who, shop.clock(), channel=channel, url="https://shop.example")


def figures(shop: Shop, run_id: int) -> list[tuple[str, int | None, int | None, int | None]]:
    with reading(shop.engine) as session:
        return [(f.by, f.delivered, f.opened, f.clicked) for f in line_figures(session, [run_id])[run_id]]


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_a_units_figures_are_lines_and_what_few_did_is_missing(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(30)
    run_id = sent(shop, way=way)
    people_do(shop, opened=25, tapped=19)
    assert ask(shop) == 0  # not yet due
    assert figures(shop, run_id) == [("unit", None, None, None)]
    shop.clock.advance(hours=1)
    assert ask(shop) == 1
    assert figures(shop, run_id) == [("unit", None, 25, None)]
    people_do(shop, opened=30, tapped=21)
    shop.clock.advance(hours=5)
    ask(shop)
    assert figures(shop, run_id) == [("unit", None, 30, 21)]


def test_a_narrowcasts_figures_come_by_its_request(open_shop: OpenShop) -> None:
    shop = open_shop(25)
    shop.plan(messages=PLAIN, way="narrowcast")
    run_id = shop.tick()[0]
    door = NarrowcastDoor(api_base=shop.line.url, access_token=TOKEN, timeout_seconds=5)
    ground = Ground(
        shop.engine, {shop.channel_id: door}, LinkMaker(TokenSigner("k" * 40), ""), timedelta(seconds=10), shop.clock
    )
    for _ in range(6):
        step_narrowcasts(ground)
        shop.clock.advance(seconds=10)
    people_do(shop, opened=22, tapped=3)
    shop.clock.advance(hours=1)
    assert ask(shop) == 1
    assert figures(shop, run_id) == [("request", 25, 22, None)]


def test_a_run_without_a_unit_says_so(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    with transaction(shop.engine) as session:
        session.execute(update(table_of(Channel)).values(units_of_others=1_000, units_month="2026-11"))
    run_id = sent(shop)
    assert shop.everyone_once([1, 2, 3])
    assert figures(shop, run_id) == [("none", None, None, None)]


def test_line_is_asked_less_than_sixty_times_an_hour(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    sent(shop)
    with transaction(shop.engine) as session:
        statistic = table_of(UnitStatistic)
        first = session.execute(select(statistic)).one()
        more = {name: value for name, value in first._mapping.items() if name not in ("id", "unit")}
        session.execute(insert(statistic), [more | {"unit": f"u{n}"} for n in range(99)])
    shop.clock.advance(hours=2)
    came = 0
    for _ in range(360):  # the job, each ten seconds, of two workers
        came += ask(shop) + ask(shop)
        shop.clock.advance(seconds=10)
    assert 50 <= came <= AN_HOUR
    with reading(shop.engine) as session:
        asked = session.scalars(select(statistic.c.id).where(statistic.c.fetched_at.is_not(None))).all()
    assert len(asked) == came  # the ones due longest first, none twice


@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.DROP_BEFORE, FaultKind.ERROR_429])
def test_a_question_that_came_to_nothing_is_asked_again(open_shop: OpenShop, kind: FaultKind) -> None:
    shop = open_shop(20)
    run_id = sent(shop)
    people_do(shop, opened=20, tapped=0)
    shop.line.simulator.faults.replace([Fault("insight_unit", kind, count=1)])
    shop.clock.advance(hours=1)
    assert [ask(shop), ask(shop)] == [0, 0]
    shop.clock.advance(minutes=15)
    assert ask(shop) == 1
    assert figures(shop, run_id) == [("unit", None, 20, None)]


def test_figures_are_asked_after_an_hour_six_hours_and_daily_until_they_stand() -> None:
    now, looks = START + timedelta(minutes=61), []
    while (look := next_look(START, START + timedelta(hours=2), now)) is not None:
        looks.append((look - START) / timedelta(hours=1))
        now = look + timedelta(minutes=10)
    assert looks == [6, *(24 * day for day in range(1, 15)), 14 * 24 + 2]
    assert next_look(START, START, START) == START + timedelta(hours=1)


def test_after_fourteen_days_nothing_is_asked_any_more(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    sent(shop)
    for _ in range(20):
        shop.clock.advance(days=1)
        ask(shop)
    with reading(shop.engine) as session:
        assert session.scalars(select(UnitStatistic)).one().due_at is None


def test_a_month_of_runs_that_share_a_unit_is_one_figure(open_shop: OpenShop) -> None:
    shop = open_shop(25)
    run_id = sent(shop)
    with transaction(shop.engine) as session:
        session.execute(update(table_of(CampaignRun)).values(by_enrolment=True))
        session.execute(update(table_of(UnitStatistic)).values(run_id=None))
    people_do(shop, opened=23, tapped=0)
    shop.clock.advance(hours=1)
    assert ask(shop) == 1
    assert figures(shop, run_id) == [("month", None, 23, None)]
    with reading(shop.engine) as session:
        assert session.scalars(select(UnitStatistic)).one().due_at == datetime(2026, 11, 2, 15, 0, tzinfo=UTC)


def test_the_units_of_others_are_counted(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    channel = shop.line.platform.channels[0]
    for n in range(7):
        channel.count_unit(f"theirs_{n}", shop.clock(), 1_000)
    sent(shop)
    count_units(shop.engine, doors(shop), clock=shop.clock)
    with reading(shop.engine) as session:
        assert session.scalars(select(Channel)).one().units_of_others == 7
    shop.line.simulator.faults.replace([Fault("units", FaultKind.ERROR_500)])
    with pytest.raises(ExpectedError):
        count_units(shop.engine, doors(shop), clock=shop.clock)
