"""Computed tags go on and off by themselves, with evidence and history, on SQLite and on PostgreSQL."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, select
from sqlmodel import Session

from segmentation.rules.reading import read_rule
from segmentation.rules.types import mark_of
from segmentation.tags.assign import TagChanges
from segmentation.tags.catalogue import create_group_tags, create_tag, set_active, tag_named
from segmentation.tags.hand import put_on
from segmentation.tags.rule_tags import Circle
from store.engine import open_engine, reading, transaction
from store.errors import BadInput
from store.models import Customer, CustomerTag, SegmentSizeOnDay, Tag
from tests.factories import make_customer, make_order
from tests.segmentation.tags.renewal import AS_OF, history, on, renew, tags_on

DAY = timedelta(days=1)


def customers(engine: Engine, *histories: list[tuple[int, str]]) -> list[int]:
    """One customer per history of (days before AS_OF, total); returns their ids."""
    ids = []
    with transaction(engine) as session:
        for orders in histories:
            customer = make_customer(session)
            for days, total in orders:
                make_order(session, customer, ordered_at=on(days), total=Decimal(total))
            assert customer.id is not None
            ids.append(customer.id)
    return ids


def make_tag(engine: Engine, name: str, source: str, definition: Mapping[str, object]) -> None:
    with transaction(engine) as session:
        create_tag(session, name, source=source, definition=definition, now=on(100))


REGULAR = {"type": "orders", "measure": "count", "at_least": 3, "window": {"last_days": 90}}


def test_a_rule_tag_goes_on_with_its_evidence_and_off_when_the_facts_no_longer_match(engine: Engine) -> None:
    three, two = customers(engine, [(10, "5"), (20, "5"), (80, "5")], [(10, "5"), (20, "5")])
    make_tag(engine, "常客", "rule", {"when": REGULAR})
    assert renew(engine) == TagChanges(put_on=1)
    row = tags_on(engine, three)["常客"]
    asked = {"rule": None, "mark": mark_of(read_rule(REGULAR))}
    assert row.evidence == {"as_of": "2026-11-03", **asked, "found": {"$": 3}}
    assert (row.source, row.strength, row.since) == ("rule", 1.0, on(1, 20))
    assert tags_on(engine, two) == {}
    # the oldest order, of 80 days before, is the last time in a window of 90 days on the 10th day
    assert row.falls_off_on == AS_OF + 11 * DAY
    assert renew(engine, AS_OF + 10 * DAY) == TagChanges()
    assert renew(engine, AS_OF + 11 * DAY) == TagChanges(taken_off=1)
    (past,) = history(engine, "常客")
    assert past.until == on(1, 20, AS_OF + 11 * DAY)
    assert past.off_evidence == {"as_of": "2026-11-14", **asked, "found": {"$": 2}}
    assert past.falls_off_on is None


def test_the_five_groups_are_tags_from_the_start_and_made_once(engine: Engine) -> None:
    with transaction(engine) as session:
        create_group_tags(session, on(5))
        create_group_tags(session, on(4))
    with reading(engine) as session:
        made = {tag.name: tag for tag in session.scalars(select(Tag))}
    assert set(made) == {"冠軍", "潛在忠誠者", "贏回", "風險人群", "回頭客"}
    back, gone = customers(engine, [(5, "9"), (40, "9"), (70, "9")], [(200, "9"), (240, "9")])
    renew(engine)
    row = tags_on(engine, back)["回頭客"]
    assert row.falls_off_on == AS_OF - 5 * DAY + 31 * DAY
    assert (row.evidence["group"], row.evidence["frequency"], row.evidence["monetary"]) == ("repeat_buyer", 3, 27.0)
    assert set(tags_on(engine, gone)) == {"贏回"}


def test_a_groups_evidence_tells_the_orders_and_the_cycle_that_it_is_judged_by(engine: Engine) -> None:
    with transaction(engine) as session:
        create_group_tags(session, on(5))
    fading, _ = customers(engine, [(10, "90"), (70, "90"), (80, "90"), (120, "90")], [(200, "1")])
    renew(engine)
    evidence = tags_on(engine, fading)["風險人群"].evidence
    assert (evidence["recent_orders"], evidence["former_orders"], evidence["cycle"]) == (1, 3, 30)
    assert {"recent_orders", "cycle"}.isdisjoint(tags_on(engine, fading)["冠軍"].evidence)


def test_top_percent_lets_all_in_who_equal_the_last(engine: Engine) -> None:
    ids = customers(engine, *([(5, total)] for total in ["50", "50", "50", *["10"] * 18]))
    make_tag(engine, "大戶", "measure", {"measure": "paid_total", "top_percent": 5})
    assert renew(engine) == TagChanges(put_on=3)
    row = tags_on(engine, ids[0])["大戶"]
    assert row.evidence == {
        "as_of": "2026-11-03",
        "measure": "paid_total",
        "value": 50.0,
        "top_percent": "5",
        "cut": 50.0,
    }
    with reading(engine) as session:
        tag = session.scalars(select(Tag)).one()
    assert (tag.cut, tag.line, tag.kind, tag.problem) == (50.0, "dynamic", "fact", None)
    assert tag.computed_at == on(1, 20)


def test_between_whole_renewals_single_customers_are_held_against_the_stored_line(engine: Engine) -> None:
    rich, poor = customers(engine, [(5, "90")], [(5, "10")])
    make_tag(engine, "大戶", "measure", {"measure": "paid_total", "top_percent": 50})
    assert renew(engine, customer_ids=[rich, poor]) == TagChanges()  # never drawn yet
    renew(engine)
    with transaction(engine) as session:
        make_order(session, session.get_one(Customer, poor), ordered_at=on(3), total=Decimal(80))
    assert renew(engine, customer_ids=[poor]) == TagChanges(put_on=1)
    assert set(tags_on(engine, rich)) == set(tags_on(engine, poor)) == {"大戶"}


@pytest.mark.parametrize(("people", "chosen"), [(1, 1), (19, 1), (20, 1), (21, 2)])
def test_five_percent_are_the_fewest_who_make_up_as_much(
    new_database_url: Callable[[str], str], people: int, chosen: int
) -> None:
    engine = open_engine(new_database_url("sqlite"))
    ids = customers(engine, *([(5, str(10 + place))] for place in range(people)))
    make_tag(engine, "前五", "measure", {"measure": "paid_total", "top_percent": 5})
    make_tag(engine, "後五", "measure", {"measure": "monetary", "bottom_percent": 5})
    make_tag(engine, "高於平均", "measure", {"measure": "paid_total", "above_mean": True})
    renew(engine)
    having = {name: sorted(row.customer_id for row in history(engine, name)) for name in ("前五", "後五", "高於平均")}
    assert having == {"前五": ids[-chosen:], "後五": ids[:chosen], "高於平均": ids[(people + 1) // 2 :]}


def test_nobody_is_above_the_mean_when_all_are_equal(engine: Engine) -> None:
    customers(engine, *[[(5, "0.1")]] * 7)
    make_tag(engine, "高於平均", "measure", {"measure": "paid_total", "above_mean": True})
    make_tag(engine, "忠誠高於平均", "measure", {"measure": "loyalty", "above_mean": True})
    assert renew(engine) == TagChanges()


def test_a_static_line_includes_its_bound_to_the_last_digit(engine: Engine) -> None:
    on_it, below = customers(engine, [(5, "9999.9999"), (6, "0.0001")], [(5, "9999.9999")])
    make_tag(engine, "滿萬", "measure", {"measure": "paid_total", "at_least": "10000"})
    renew(engine)
    assert set(tags_on(engine, on_it)) == {"滿萬"}
    assert tags_on(engine, below) == {}


def test_a_limit_of_recency_falls_off_on_the_day_said(engine: Engine) -> None:
    (one,) = customers(engine, [(4, "1")])
    make_tag(engine, "近十日", "measure", {"measure": "recency_days", "at_most": 10})
    renew(engine)
    day = tags_on(engine, one)["近十日"].falls_off_on
    assert day == AS_OF + 7 * DAY
    assert renew(engine, day - DAY) == TagChanges()
    assert renew(engine, day) == TagChanges(taken_off=1)


def test_with_a_second_rule_a_tag_stays_on_between_the_two(engine: Engine) -> None:
    (one,) = customers(engine, [(10, "1"), (20, "1"), (40, "1")])
    count = {"type": "orders", "measure": "count", "window": {"last_days": 60}}
    definition = {"when": count | {"at_least": 3}, "until": count | {"at_most": 1}}
    make_tag(engine, "穩定", "rule", definition)
    assert renew(engine) == TagChanges(put_on=1)
    # two orders are left when that of 40 days before leaves the window, one when that of 20 days before does
    assert tags_on(engine, one)["穩定"].falls_off_on == AS_OF + 41 * DAY
    assert renew(engine, AS_OF + 21 * DAY) == TagChanges()
    assert renew(engine, AS_OF + 40 * DAY) == TagChanges()
    assert renew(engine, AS_OF + 41 * DAY) == TagChanges(taken_off=1)
    (two,) = customers(engine, [(10, "1"), (20, "1")])
    assert renew(engine, customer_ids=[two]) == TagChanges()  # never above the upper one


def test_rules_may_ask_for_tags_of_every_kind_and_for_each_other(engine: Engine) -> None:
    with transaction(engine) as session:
        create_group_tags(session, on(5))
        create_tag(session, "貴賓", now=on(5))
    one, other = customers(engine, [(5, "9"), (40, "9"), (70, "9")], [(5, "9"), (40, "9"), (70, "9")])
    make_tag(engine, "大戶", "measure", {"measure": "paid_total", "at_least": 1})
    both = [{"type": "tag", "name": name} for name in ("回頭客", "大戶")]
    make_tag(engine, "一", "rule", {"when": {"type": "all", "of": both}})
    vip = [{"type": "tag", "name": "一"}, {"type": "not", "of": {"type": "tag", "name": "貴賓"}}]
    make_tag(engine, "二", "rule", {"when": {"type": "all", "of": vip}})
    with transaction(engine) as session:
        put_on(session, "貴賓", [other], actor="tester", now=on(2), today=AS_OF - 2 * DAY)
    renew(engine)
    assert set(tags_on(engine, one)) == {"贏回", "回頭客", "大戶", "一", "二"} - {"贏回"}
    assert set(tags_on(engine, other)) == {"回頭客", "大戶", "一", "貴賓"}
    # 回頭客 falls off by itself, and what stands on it with it
    day = AS_OF - 5 * DAY + 31 * DAY
    assert {name: row.falls_off_on for name, row in tags_on(engine, one).items()} == {
        "回頭客": day,
        "大戶": None,
        "一": day,
        "二": day,
    }
    renew(engine, day)
    assert set(tags_on(engine, one)) == {"大戶"}


def test_tags_that_wait_for_each_other_are_refused_and_those_that_came_about_are_left_alone(engine: Engine) -> None:
    make_tag(engine, "甲", "rule", {"when": {"type": "measure", "name": "paid_total", "at_least": 0}})
    make_tag(engine, "乙", "rule", {"when": {"type": "tag", "name": "甲"}})
    with pytest.raises(Circle, match="丙 → 丙"):
        make_tag(engine, "丙", "rule", {"when": {"type": "tag", "name": "丙"}})
    (one,) = customers(engine, [(5, "9")])
    renew(engine)
    with transaction(engine) as session:
        tag_named(session, "甲").definition = {"when": {"type": "tag", "name": "乙"}}
    assert renew(engine) == TagChanges()
    assert set(tags_on(engine, one)) == {"甲", "乙"}
    with reading(engine) as session:
        problems = {tag.name: tag.problem for tag in session.scalars(select(Tag))}
    assert set(problems) == {"甲", "乙"}
    assert all(problem and "round in a circle" in problem for problem in problems.values())


def test_a_tag_that_cannot_be_judged_says_why_and_the_others_go_on(engine: Engine) -> None:
    make_tag(engine, "好", "measure", {"measure": "paid_total", "at_least": 1})
    with transaction(engine) as session:
        session.add(Tag(name="壞", source="rule", definition={"rule": "不存在"}, created_at=on(5)))
        session.add(Tag(name="更壞", source="measure", definition={"measure": "height"}, created_at=on(5)))
    customers(engine, [(5, "9")])
    assert renew(engine) == TagChanges(put_on=1)
    with reading(engine) as session:
        assert "there is no saved rule '不存在'" in (tag_named(session, "壞").problem or "")
        assert "there is no measure 'height'" in (tag_named(session, "更壞").problem or "")
        assert tag_named(session, "好").problem is None


def test_what_people_put_on_is_left_alone_even_under_a_tag_of_a_computation(engine: Engine) -> None:
    (one,) = customers(engine, [])
    make_tag(engine, "大戶", "measure", {"measure": "paid_total", "at_least": 1})
    with transaction(engine) as session:
        tag_id = tag_named(session, "大戶").id or 0
        session.add(CustomerTag(tag_id=tag_id, customer_id=one, since=on(9), source="import"))
    assert renew(engine) == TagChanges()
    assert set(tags_on(engine, one)) == {"大戶"}


def test_a_tag_that_is_switched_off_stays_where_it_is(engine: Engine) -> None:
    (one,) = customers(engine, [(4, "1")])
    make_tag(engine, "近十日", "measure", {"measure": "recency_days", "at_most": 10})
    renew(engine)
    with transaction(engine) as session:
        set_active(session, "近十日", is_active=False)
    assert renew(engine, AS_OF + 50 * DAY) == TagChanges()
    assert set(tags_on(engine, one)) == {"近十日"}


def test_a_renewal_of_a_few_touches_nobody_else_and_comes_to_the_same(engine: Engine) -> None:
    with transaction(engine) as session:
        create_group_tags(session, on(5))
    make_tag(engine, "常客", "rule", {"when": REGULAR})
    ids = customers(engine, [(10, "5"), (20, "5"), (80, "5")], [(10, "5"), (20, "5"), (30, "7")], [(400, "1")])
    renew(engine, customer_ids=ids[:1])
    assert [set(tags_on(engine, one)) for one in ids] == [set(tags_on(engine, ids[0])), set(), set()]
    alone = {name: (row.evidence, row.falls_off_on) for name, row in tags_on(engine, ids[0]).items()}
    assert alone.keys() >= {"常客", "回頭客"}
    renew(engine)
    whole = {name: (row.evidence, row.falls_off_on) for name, row in tags_on(engine, ids[0]).items()}
    assert {name: whole[name] for name in ("常客", "回頭客")} == {name: alone[name] for name in ("常客", "回頭客")}


def test_a_new_order_moves_the_day_and_renews_the_evidence_in_the_same_row(engine: Engine) -> None:
    (one,) = customers(engine, [(10, "5"), (20, "5"), (80, "5")])
    make_tag(engine, "常客", "rule", {"when": REGULAR})
    renew(engine)
    before = tags_on(engine, one)["常客"]
    with transaction(engine) as session:
        make_order(session, session.get_one(Customer, one), ordered_at=on(2))
    assert renew(engine, customer_ids=[one]) == TagChanges(renewed=1)
    after = tags_on(engine, one)["常客"]
    assert (after.id, after.since) == (before.id, before.since)
    assert after.falls_off_on == AS_OF + 71 * DAY
    assert after.evidence["found"] == {"$": 4}


def test_the_same_renewal_again_changes_nothing(engine: Engine) -> None:
    with transaction(engine) as session:
        create_group_tags(session, on(5))
    customers(engine, [(5, "9"), (40, "9"), (70, "9")], [(200, "9"), (240, "9")])
    make_tag(engine, "常客", "rule", {"when": REGULAR})
    assert renew(engine).put_on >= 3
    assert renew(engine) == TagChanges()


def test_sizes_of_the_day_are_stored_with_what_the_people_paid(engine: Engine) -> None:
    customers(engine, [(4, "1.5")], [(3, "2")], [(40, "7")])
    make_tag(engine, "近十日", "measure", {"measure": "recency_days", "at_most": 10})
    make_tag(engine, "無人", "measure", {"measure": "recency_days", "at_least": 1000})
    renew(engine)
    renew(engine)
    with reading(engine) as session:
        rows = session.scalars(select(SegmentSizeOnDay)).all()
    assert {(r.as_of, r.model, r.segment, r.customers, r.value) for r in rows} == {
        (AS_OF, "tag", "近十日", 2, Decimal("3.5")),
        (AS_OF, "tag", "無人", 0, Decimal(0)),
    }


def test_a_renewal_stops_when_it_is_no_longer_its_turn(engine: Engine) -> None:
    customers(engine, [(4, "1")])
    make_tag(engine, "近十日", "measure", {"measure": "recency_days", "at_most": 10})

    def hold(_session: Session) -> None:
        raise BadInput("taken over")

    with pytest.raises(BadInput, match="taken over"):
        renew(engine, hold=hold)
    assert history(engine, "近十日") == []


def test_a_rule_that_asks_for_a_tag_that_is_switched_off_has_no_day_of_its_own(engine: Engine) -> None:
    (who,) = customers(engine, [(10, "5")])
    make_tag(engine, "近客", "rule", {"when": {**REGULAR, "at_least": 1}})
    make_tag(engine, "跟著", "rule", {"when": {"type": "tag", "name": "近客"}})
    renew(engine)
    assert [tags_on(engine, who)[name].falls_off_on for name in ("近客", "跟著")] == [AS_OF + 81 * DAY] * 2
    with transaction(engine) as session:
        set_active(session, "近客", is_active=False)
    renew(engine, AS_OF + DAY)
    assert tags_on(engine, who)["跟著"].falls_off_on is None
    renew(engine, AS_OF + 90 * DAY)
    assert set(tags_on(engine, who)) == {"近客", "跟著"}


def test_limits_beyond_the_calendar_hold_nobody_up(engine: Engine) -> None:
    (who,) = customers(engine, [(10, "5")])
    with transaction(engine) as session:
        for one in session.scalars(select(Customer)):
            one.birthday = AS_OF - 9_000 * DAY
            session.add(one)
    for limit in (3_000_000, 3 * 10**9, 10**14 - 1):
        make_tag(engine, f"量{limit}", "measure", {"measure": "recency_days", "at_most": str(limit)})
        for place, leaf in enumerate(
            (
                {"type": "age", "at_most": limit},
                {"type": "not", "of": {"type": "age", "at_least": limit}},
                {"type": "orders", "measure": "last", "at_most": limit},
                {"type": "measure", "name": "recency_days", "less_than": limit},
                {"type": "tag", "name": f"量{limit}", "days": {"at_most": limit}},
            )
        ):
            make_tag(engine, f"規{place} {limit}", "rule", {"when": leaf})
    renew(engine)
    on_now = tags_on(engine, who)
    # the tag of a tag counts the days since that was put on: in this very renewal
    assert len(on_now) == 3 * 6
    assert {row.falls_off_on for row in on_now.values()} == {None}
