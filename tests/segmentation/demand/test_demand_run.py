"""Demand over the whole database, on both kinds: which groups grow, and what is kept for the console."""

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, func, select
from typer import Typer
from typer.testing import CliRunner

from segmentation.demand.growing import Group, growing_groups
from segmentation.demand.run import REPORTS_KEPT, as_json, find_demand, keep_demand, newest_demand
from service.cli import demand as demand_command
from store.clock import system_clock
from store.engine import reading, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import (
    BehaviourEvent,
    CustomerSegment,
    CustomerTag,
    DemandReport,
    OrderLine,
    Product,
    SegmentRun,
    SegmentSizeOnDay,
    Tag,
)
from tests.conftest import StillClock
from tests.factories import make_customer, make_order
from tests.segmentation.demand.test_shortage import by_words

TAIPEI = ZoneInfo("Asia/Taipei")
TODAY = date(2026, 11, 2)


def shop(engine: Engine, clock: StillClock) -> None:
    """20 products, one of them for 頭皮養護; 40 people turn to it, look, ask, tap and buy; 20 others buy 去屑."""
    with transaction(engine) as session:
        for n in range(19):
            session.add(Product(sku=f"S{n}", name=f"洗髮精{n}", labels=["去屑"], categories=["洗髮"], in_stock=True))
        session.add(Product(sku="T", name="精華液", labels=["頭皮養護"], categories=["養護"], in_stock=True))
        session.add(Product(sku="U", name="安瓶", labels=["頭皮養護"], categories=["養護"], in_stock=False))
        tag = Tag(name="換季", created_at=clock() - timedelta(days=200))
        session.add(tag)
        session.flush()
        for n in range(60):
            person = make_customer(session)
            who = person.id or 0
            is_turning = n < 40
            session.add(CustomerSegment(customer_id=who, nesl="E" if is_turning else "L", nes="E", computed_at=clock()))
            about: dict[str, Any] = {
                "customer_id": who,
                "source": "brand",
                "occurred_at": clock() - timedelta(days=3),
                "received_at": clock(),
            }
            sku, words = ("T", "頭皮養護 生髮") if is_turning else (f"S{n % 19}", "去屑")
            session.add(BehaviourEvent(event_key=f"v{n}", kind="product_view", sku=sku, **about))
            session.add(BehaviourEvent(event_key=f"s{n}", kind="search", payload={"text": words}, **about))
            if is_turning:
                session.add(BehaviourEvent(event_key=f"c{n}", kind="click", topic="頭皮養護", **about))
                session.add(CustomerTag(tag_id=tag.id or 0, customer_id=who, since=clock() - timedelta(days=5)))
            order = make_order(session, person, ordered_at=clock() - timedelta(days=2))
            session.add(
                OrderLine(
                    sales_order_id=order.id or 0, line_number=1, sku=sku, quantity=Decimal(1), unit_price=Decimal(9)
                )
            )
        for day, count in ((TODAY - timedelta(days=28), 5), (TODAY, 40)):
            session.add(SegmentSizeOnDay(as_of=day, model="nesl", segment="E", customers=count, value=Decimal(0)))


def find(engine: Engine, clock: StillClock, **options: Any) -> dict[str, Any]:
    return as_json(find_demand(engine, zone=TAIPEI, clock=clock, tokenize=by_words, **options))


def test_a_catalogue_short_of_scalp_care_is_found_for_the_groups_that_grow(engine: Engine, clock: StillClock) -> None:
    shop(engine, clock)
    found = find(engine, clock)
    assert found["products"] == 20
    assert [(g["key"], g["before"], g["now"]) for g in found["groups"]] == [
        ("all", 60, 60),
        ("tag:換季", 0, 40),
        ("nesl=E", 5, 40),
    ]
    for group in found["groups"]:
        first = group["wanted"][0]
        assert first["is_short"]
        assert first["value"] in ("頭皮養護", "養護")
        scalp = next(row for row in group["wanted"] if row["value"] == "頭皮養護")
        assert (scalp["people"], scalp["products"]) == (40, 1)
        assert group["words"] == [{"word": "生髮", "people": 40}]
    turning = found["groups"][1]["wanted"]
    scalp = next(row for row in turning if row["value"] == "頭皮養護")
    assert [scalp[f"{s}_share"] for s in ("looked", "clicked", "asked", "bought")] == [1.0, 1.0, 1.0, 1.0]


def test_everybody_are_also_those_who_only_said_what_no_product_answers(engine: Engine, clock: StillClock) -> None:
    shop(engine, clock)
    with transaction(engine) as session:
        for n, days in enumerate((3, 3, 89, 95)):  # the last before the days looked at
            who = make_customer(session).id
            at = clock() - timedelta(days=days)
            about: dict[str, Any] = {"customer_id": who, "source": "brand", "occurred_at": at, "received_at": clock()}
            session.add(BehaviourEvent(event_key=f"o{n}", kind="search", payload={"text": "生髮"}, **about))
    [everybody, *_] = find(engine, clock)["groups"]
    assert everybody["now"] == 63
    assert everybody["words"] == [{"word": "生髮", "people": 43}]
    assert {row["group_people"] for row in everybody["wanted"]} == {60}


def test_a_group_can_be_named_and_an_unknown_one_is_told(engine: Engine, clock: StillClock) -> None:
    shop(engine, clock)
    found = find(engine, clock, only=["nesl=L"])
    assert [g["key"] for g in found["groups"]] == ["all", "nesl=L"]
    assert {row["value"] for row in found["groups"][1]["wanted"]} == {"去屑", "洗髮"}
    assert (found["groups"][1]["before"], found["groups"][1]["now"]) == (None, None)  # not 0: nobody counted it
    for unknown in ("nesl=X", "nothing=E", "E", "tag:沒有"):
        with pytest.raises(NotFound, match=unknown.removeprefix("tag:")):
            find(engine, clock, only=[unknown])


def test_without_a_catalogue_there_is_nothing_to_compare_with(engine: Engine, clock: StillClock) -> None:
    with pytest.raises(BadInput, match="no product"):
        find(engine, clock)


def grown(engine: Engine, clock: StillClock, *rows: tuple[date, str, str, int]) -> list[Group]:
    with transaction(engine) as session:
        for day, model, segment, count in rows:
            session.add(SegmentSizeOnDay(as_of=day, model=model, segment=segment, customers=count, value=Decimal(0)))
    with reading(engine) as session:
        return growing_groups(session, now=clock(), days=28)


def test_growth_beyond_chance_is_told_most_people_first(engine: Engine, clock: StillClock) -> None:
    old = TODAY - timedelta(days=28)
    found = grown(
        engine,
        clock,
        *((old, "nesl", "E", 100), (TODAY, "nesl", "E", 120)),  # 2 × √100: not more than that
        *((old, "nesl", "N", 100), (TODAY, "nesl", "N", 121)),
        *((old, "nesl", "L", 900), (TODAY, "nesl", "L", 400)),
        *((TODAY, "rfm3", "high_value", 20), (TODAY, "rfm3", "new_high_value", 19)),  # new ones; 19 are too few
        *((old, "rf4", "regular", 1), (TODAY, "rf4", "regular", 500)),  # of a model that says the same again
        *((TODAY - timedelta(days=27), "nesl", "N", 1), (old - timedelta(days=9), "nesl", "N", 1)),
    )
    assert found == [Group("nesl=N", 100, 121), Group("rfm3=high_value", 0, 20)]


def test_without_an_old_enough_day_nothing_is_known_to_grow(engine: Engine, clock: StillClock) -> None:
    assert grown(engine, clock) == []
    assert grown(engine, clock, (TODAY, "nesl", "E", 500), (TODAY - timedelta(days=27), "nesl", "E", 1)) == []


def run_on(engine: Engine, clock: StillClock, day: date, cycle: int) -> None:
    """A whole run for the day by that cycle is over."""
    times: dict[str, Any] = dict.fromkeys(("started_at", "lease_until", "finished_at"), clock())
    with transaction(engine) as session:
        session.add(SegmentRun(as_of=day, state="finished", settings={"chosen": {"cycle": cycle}}, **times))


def test_a_segment_whose_lines_were_drawn_anew_did_not_grow(engine: Engine, clock: StillClock) -> None:
    old, older = TODAY - timedelta(days=28), TODAY - timedelta(days=40)
    rows = [(day, "nesl", "N", count) for day, count in ((older, 10), (old, 100), (TODAY, 200))]

    for day in (older, old):
        run_on(engine, clock, day, 30)
    run_on(engine, clock, TODAY, 30)
    assert grown(engine, clock, *rows) == [Group("nesl=N", 100, 200)]
    run_on(engine, clock, TODAY, 60)  # today once more, otherwise
    assert grown(engine, clock) == []
    run_on(engine, clock, old, 60)
    run_on(engine, clock, TODAY, 60)
    assert grown(engine, clock) == [Group("nesl=N", 100, 200)], "that day was computed by them too"


def test_a_day_computed_later_for_the_past_says_nothing_of_the_settings_of_the_newest_day(
    engine: Engine, clock: StillClock
) -> None:
    old, older = TODAY - timedelta(days=28), TODAY - timedelta(days=40)
    for day, cycle in ((old, 30), (TODAY, 30), (older, 60)):  # `retarget segment run --as-of`, by other settings
        run_on(engine, clock, day, cycle)
    rows = [(day, "nesl", "N", count) for day, count in ((older, 10), (old, 190), (TODAY, 200))]
    assert grown(engine, clock, *rows) == []


def test_a_day_with_sizes_of_tags_alone_is_no_former_day_of_segments(engine: Engine, clock: StillClock) -> None:
    old, older = TODAY - timedelta(days=28), TODAY - timedelta(days=29)
    rows = [(day, "nesl", "N", 200) for day in (older, TODAY)]  # a run broke off after its tags
    assert grown(engine, clock, *rows, (old, "tag", "VIP", 5), (TODAY + timedelta(days=1), "tag", "VIP", 5)) == []
    assert grown(engine, clock, (older, "rf11", "lost", 1), (TODAY, "rf11", "lost", 300)) == [
        Group("rf11=lost", 1, 300)
    ]


def test_a_tag_grows_by_those_who_have_it_now_against_those_who_had_it_then(engine: Engine, clock: StillClock) -> None:
    then = clock() - timedelta(days=28)
    with transaction(engine) as session:
        people = [make_customer(session).id or 0 for _ in range(30)]
        tags = [Tag(name=n, created_at=then) for n in ("up", "same", "young", "off")]
        tags[2].created_at = then + timedelta(seconds=1)
        tags[3].is_active = False
        session.add_all(tags)
        session.flush()
        up, same, young, off = (tag.id or 0 for tag in tags)
        late = then + timedelta(seconds=1)
        for n, who in enumerate(people):
            session.add(CustomerTag(tag_id=up, customer_id=who, since=then if n < 4 else late))
            session.add(CustomerTag(tag_id=same, customer_id=who, since=then, until=late))
            session.add(CustomerTag(tag_id=same, customer_id=who, since=clock()))
            session.add(CustomerTag(tag_id=young, customer_id=who, since=clock()))
            session.add(CustomerTag(tag_id=off, customer_id=who, since=clock()))
    with reading(engine) as session:
        assert growing_groups(session, now=clock(), days=28) == [Group("tag:up", 4, 30)]


def test_the_newest_report_is_kept_and_old_ones_go(engine: Engine, clock: StillClock) -> None:
    shop(engine, clock)
    found = find_demand(engine, zone=TAIPEI, clock=clock, tokenize=by_words)
    with reading(engine) as session:
        assert newest_demand(session) is None
    for _ in range(REPORTS_KEPT + 2):
        clock.advance(minutes=1)
        keep_demand(engine, found, clock)
    with reading(engine) as session:
        newest = newest_demand(session)
        assert newest is not None
        assert (newest.as_of, newest.made_at, newest.result) == (TODAY, clock(), json.loads(json.dumps(as_json(found))))
        assert session.scalar(select(func.count()).select_from(table_of(DemandReport))) == REPORTS_KEPT


def test_the_command_prints_keeps_and_names_groups(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str
) -> None:
    shop(engine, StillClock(system_clock()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    app = Typer()
    demand_command.register(app)
    run = CliRunner().invoke
    printed = run(app, ["--group", "nesl=E", "--json"])
    assert printed.exit_code == 0, printed.output
    report = json.loads(printed.output.splitlines()[-1])
    assert report["groups"][1]["wanted"][0]["is_short"]
    with reading(engine) as session:
        assert newest_demand(session) is None  # a question asked by hand is not the report of the day
    printed = run(app, [])
    assert "頭皮養護" in printed.output
    assert "生髮 (40)" in printed.output
    with reading(engine) as session:
        assert newest_demand(session) is not None
