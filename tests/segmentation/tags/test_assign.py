"""Computed tags go on and off by themselves, with evidence and history, on SQLite and on PostgreSQL."""

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import Engine, select

from segmentation.tags.assign import TagChanges
from segmentation.tags.catalogue import create_group_tags, create_tag
from store.engine import reading, transaction
from store.models import Tag
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


def make_tag(engine: Engine, name: str, source: str, definition: dict[str, object]) -> None:
    with transaction(engine) as session:
        create_tag(session, name, source=source, definition=definition, now=on(100))


REGULAR = {"type": "orders", "measure": "count", "at_least": 3, "window": {"last_days": 90}}


def test_a_rule_tag_goes_on_with_its_evidence_and_off_when_the_facts_no_longer_match(engine: Engine) -> None:
    three, two = customers(engine, [(10, "5"), (20, "5"), (80, "5")], [(10, "5"), (20, "5")])
    make_tag(engine, "常客", "rule", {"when": REGULAR})
    assert renew(engine) == TagChanges(put_on=1)
    row = tags_on(engine, three)["常客"]
    assert row.evidence == {"as_of": "2026-11-03", "rule": None, "found": {"$": 3}}
    assert (row.source, row.strength, row.since) == ("rule", 1.0, on(1, 20))
    assert tags_on(engine, two) == {}
    # the oldest order, of 80 days before, is the last time in a window of 90 days on the 10th day
    assert row.falls_off_on == AS_OF + 11 * DAY
    assert renew(engine, AS_OF + 10 * DAY) == TagChanges()
    assert renew(engine, AS_OF + 11 * DAY) == TagChanges(taken_off=1)
    (past,) = history(engine, "常客")
    assert past.until == on(1, 20, AS_OF + 11 * DAY)
    assert past.off_evidence == {"as_of": "2026-11-14", "rule": None, "found": {"$": 2}}
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
        customer = session.get_one(type(make_customer(session)), poor)
        make_order(session, customer, ordered_at=on(3), total=Decimal(80))
    assert renew(engine, customer_ids=[poor]) == TagChanges(put_on=1)
    assert set(tags_on(engine, rich)) == set(tags_on(engine, poor)) == {"大戶"}
