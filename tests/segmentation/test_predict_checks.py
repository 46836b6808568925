"""Predictive tags held against what happened: who counts, on which day, and what a tag says."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import Engine, func, select

from segmentation.predict.checks import Happened, TagQuality, came_true, check_tags, checks_of, claim_of
from segmentation.tags.catalogue import change_tag
from store.engine import reading, table_of, transaction
from store.models import CustomerTag, PredictionRun, Tag, TagCheck
from tests.conftest import StillClock
from tests.factories import LONG_AGO, make_customer, make_order

TAIPEI = ZoneInfo("Asia/Taipei")
TODAY = date(2026, 11, 1)
BUYS = {"measure": "p_buy", "at_least": "0.5"}


def midnight(days_before: int) -> datetime:
    """The start, in Taipei, of the day so many days before TODAY."""
    day = TODAY - timedelta(days=days_before)
    return datetime(day.year, day.month, day.day, tzinfo=TAIPEI)


MOMENT = timedelta(microseconds=1)


def make_tag(engine: Engine, name: str = "會買", **fields: Any) -> int:
    with transaction(engine) as session:
        values = {"kind": "predictive", "source": "measure", "definition": BUYS, "created_at": LONG_AGO, **fields}
        made = Tag(name=name, **values)
        session.add(made)
        session.flush()
        assert made.id is not None
        return made.id


def make_person(
    engine: Engine, *orders: tuple[datetime, str], tag_id: int | None = None, on: datetime | None = None, **tag: Any
) -> int:
    """Somebody with orders at these times, who had the tag from `on` (long ago) until …"""
    with transaction(engine) as session:
        person = make_customer(session)
        for at, total in orders:
            make_order(session, person, ordered_at=at, total=Decimal(total))
        assert person.id is not None
        if tag_id is not None:
            session.add(
                CustomerTag(tag_id=tag_id, customer_id=person.id, since=on or LONG_AGO, source="measure", **tag)
            )
        return person.id


def checked(engine: Engine, clock: StillClock, **options: Any) -> list[TagCheck]:
    return check_tags(engine, **{"today": TODAY, "zone": TAIPEI, "clock": clock, "cycle_days": 30, **options})


def test_the_day_is_one_cycle_ago_and_every_bound_is_half_open(engine: Engine, clock: StillClock) -> None:
    tag_id = make_tag(engine)
    before, first = (midnight(30) - MOMENT, "10"), (midnight(30), "10")
    last, after = (midnight(0) - MOMENT, "10"), (midnight(0), "10")
    make_person(engine, before, first, tag_id=tag_id)  # hit on the first moment
    make_person(engine, before, last, tag_id=tag_id, on=midnight(30))  # on since the day's first moment; last moment
    make_person(engine, before, after, tag_id=tag_id, until=midnight(30) + MOMENT)  # too late: not bought
    make_person(engine, before, last, tag_id=tag_id, on=midnight(30) + MOMENT)  # not yet on
    make_person(engine, before, first, tag_id=tag_id, until=midnight(30))  # no longer on
    make_person(engine, before)
    make_person(engine, first, last, tag_id=tag_id)  # no order before the day: not judged
    (found,) = checked(engine, clock)
    assert (found.as_of, found.until) == (TODAY - timedelta(days=30), TODAY)
    assert (found.people, found.tagged, found.happened, found.hits) == (6, 3, 4, 2)
    with reading(engine) as session:
        ((name, quality),) = checks_of(session, tag_id)
    assert (name, quality.check.hits, quality.check.computed_at) == ("會買", 2, clock())
    assert (quality.precision, quality.recall, quality.base_rate) == (2 / 3, 2 / 4, 4 / 6)


def test_refunds_and_repeated_orders_do_not_count_twice(engine: Engine, clock: StillClock) -> None:
    tag_id = make_tag(engine)
    make_person(engine, (midnight(40), "10"), (midnight(20), "10"), (midnight(10), "10"), tag_id=tag_id)
    with transaction(engine) as session:
        refunded = make_customer(session)
        make_order(session, refunded, ordered_at=midnight(40))
        make_order(session, refunded, ordered_at=midnight(20), status="refunded")
        never = make_customer(session)
        make_order(session, never, ordered_at=midnight(40), status="cancelled")
    (found,) = checked(engine, clock)
    assert (found.people, found.happened) == (2, 1)


def test_a_check_is_made_once_a_week_and_only_of_tags_that_somebody_had_by_the_day(
    engine: Engine, clock: StillClock
) -> None:
    tag_id = make_tag(engine)
    make_tag(engine, "沒人有")
    make_tag(engine, "停用", is_active=False)
    make_tag(engine, "事實", kind="fact", source="hand", definition={})
    make_person(engine, (midnight(60), "10"), tag_id=tag_id, on=midnight(30))
    assert [one.tag_id for one in checked(engine, clock)] == [tag_id]
    assert checked(engine, clock) == []
    assert checked(engine, clock, today=TODAY + timedelta(days=6)) == []
    assert len(checked(engine, clock, today=TODAY + timedelta(days=7))) == 1
    late = make_tag(engine, "剛開始")
    make_person(engine, (midnight(60), "10"), tag_id=late, on=midnight(30) + MOMENT)
    assert checked(engine, clock) == []
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(table_of(TagCheck))) == 2
        assert [quality.check.as_of for _, quality in checks_of(session)] == [
            TODAY - timedelta(days=23),
            TODAY - timedelta(days=30),
        ]


def test_those_who_had_a_tag_are_not_judged_by_what_it_says_since(engine: Engine, clock: StillClock) -> None:
    tag_id = make_tag(engine)
    make_person(engine, (midnight(60), "10"), tag_id=tag_id, on=midnight(40))
    with transaction(engine) as session:
        change_tag(session, "會買", BUYS, now=midnight(10))  # saved again as it is
    assert len(checked(engine, clock, today=TODAY)) == 1
    with transaction(engine) as session:
        change_tag(session, "會買", {"measure": "p_buy", "at_most": "0.1"}, now=midnight(20))
    assert checked(engine, clock, today=TODAY + timedelta(days=9)) == []
    assert len(checked(engine, clock, today=TODAY + timedelta(days=10))) == 1  # its first day begins with it


def test_the_cycle_is_that_of_the_predictions_of_the_time(engine: Engine, clock: StillClock) -> None:
    tag_id = make_tag(engine)
    make_person(engine, (midnight(400), "10"), tag_id=tag_id)
    with transaction(engine) as session:
        for days_before, cycle, state in (
            (200, 45, "finished"),
            (20, 10, "finished"),
            (12, 7, "off"),
            (5, 20, "finished"),
        ):
            at = midnight(days_before)
            times: dict[str, Any] = {"started_at": at, "lease_until": at, "finished_at": at}
            row = PredictionRun(as_of=TODAY - timedelta(days=days_before), state=state, cycle_days=cycle, **times)
            session.add(row)
    (found,) = checked(engine, clock)
    assert found.as_of == TODAY - timedelta(days=10)


def test_churn_is_three_cycles_and_a_rule_says_what_it_foretells(engine: Engine, clock: StillClock) -> None:
    churns = make_tag(engine, "會流失", definition={"measure": "churn_risk", "top_percent": "10"})
    rule = {"when": {"all": []}, "foretells": "churns"}
    foretold = make_tag(engine, "預測流失", source="rule", definition=rule)
    silent = make_tag(engine, "不說", source="rule", definition={"when": {"all": []}})
    stayed = make_person(engine, (midnight(100), "10"), (midnight(89), "10"), tag_id=churns)
    gone = make_person(engine, (midnight(100), "10"), (midnight(91), "10"), tag_id=foretold)
    with transaction(engine) as session:
        for tag_id, person in ((churns, gone), (foretold, stayed), (silent, gone)):
            session.add(CustomerTag(tag_id=tag_id, customer_id=person, since=LONG_AGO))
    found = {one.tag_id: one for one in checked(engine, clock)}
    assert set(found) == {churns, foretold}
    assert {one.as_of for one in found.values()} == {TODAY - timedelta(days=90)}
    assert {(one.people, one.tagged, one.happened, one.hits) for one in found.values()} == {(2, 2, 1, 1)}


def test_spend_is_held_against_money_of_its_own_horizon(engine: Engine, clock: StillClock) -> None:
    tag_id = make_tag(engine, definition={"measure": "spend_90", "at_least": "100"})
    make_person(engine, (midnight(95), "500"), (midnight(90), "60"), (midnight(1), "40"), tag_id=tag_id)
    make_person(engine, (midnight(95), "500"), (midnight(90), "60"), (midnight(1), "39.9999"), tag_id=tag_id)
    (found,) = checked(engine, clock)
    assert (found.people, found.tagged, found.happened, found.hits) == (2, 2, 1, 1)


HAPPENED = Happened(np.arange(20), np.array([0] * 16 + [1, 1, 2, 3]), np.array([0.0] * 16 + [5, 7, 7, 30]) * 10_000)


@pytest.mark.parametrize(
    ("definition", "right"),
    [
        ({"measure": "p_buy", "top_percent": "5"}, [16, 17, 18, 19]),
        ({"measure": "p_buy", "at_most": "0.1"}, list(range(16))),
        ({"measure": "churn_risk", "above_mean": True}, list(range(16))),
        ({"measure": "churn_risk", "bottom_percent": "10"}, [16, 17, 18, 19]),
        ({"measure": "expected_orders", "at_least": "2"}, [18, 19]),
        ({"measure": "expected_orders", "above_mean": True}, [16, 17, 18, 19]),
        ({"measure": "spend_365", "top_percent": "5"}, [19]),
        ({"measure": "spend_365", "top_percent": "5.1"}, [17, 18, 19]),  # two people, and whoever equals the last
        ({"measure": "spend_365", "top_percent": "50"}, [16, 17, 18, 19]),  # who bought nothing is no top
        ({"measure": "spend_90", "at_least": "7"}, [17, 18, 19]),
        ({"measure": "spend_90", "at_most": "7"}, list(range(19))),
        ({"measure": "spend_90", "bottom_percent": "85"}, list(range(17))),
    ],
)
def test_what_a_tag_says_comes_true_for(definition: dict[str, Any], right: list[int]) -> None:
    claim = claim_of("measure", definition)
    assert claim is not None
    assert np.flatnonzero(came_true(claim, HAPPENED)).tolist() == right


def test_a_tag_that_says_nothing_of_the_future_has_no_claim() -> None:
    assert claim_of("measure", {"measure": "paid_total", "top_percent": "5"}) is None
    assert claim_of("rule", {"rule": "VIP"}) is None
    assert claim_of("hand", {}) is None


def test_nobody_judged_gives_no_rates() -> None:
    none = TagCheck(tag_id=1, as_of=TODAY, until=TODAY, people=0, tagged=0, happened=0, hits=0, computed_at=LONG_AGO)
    assert (TagQuality(none).precision, TagQuality(none).recall, TagQuality(none).base_rate) == (None, None, None)
    claim = claim_of("measure", {"measure": "spend_90", "top_percent": "5"})
    assert claim is not None
    assert len(came_true(claim, Happened(np.array([]), np.array([]), np.array([])))) == 0
