"""Saved rules in the store, on both databases; counts, and why somebody is in or not."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlmodel import Session

from segmentation.rules.explain import Explained, why
from segmentation.rules.preview import MatchCount, count_each, count_matching
from segmentation.rules.reading import RuleError, read_rule
from segmentation.rules.references import References
from segmentation.rules.saved import RuleInUse, delete_rule, list_rules, load_rules, rule_named, save_rule
from segmentation.rules.types import RuleReference
from store.asked import SEGMENTS, request_for
from store.errors import BadInput, NotFound
from store.models import Tag
from tests.conftest import StillClock
from tests.segmentation.rules.people import TAIPEI, Rows, at, facts_with, people

ADULT = {"type": "age", "at_least": 18}


def mention(name: str) -> dict[str, Any]:
    return {"type": "not", "of": {"type": "rule", "name": name}}


def test_a_rule_saved_again_is_replaced_and_keeps_when_it_was_made(session: Session, clock: StillClock) -> None:
    made = clock()
    save_rule(session, "成年", ADULT, made, actor="me")
    save_rule(session, "成年", {**ADULT, "at_least": 20}, clock.advance(days=1), actor="me")
    (saved,) = list_rules(session)
    assert (saved.name, saved.created_at, saved.updated_at) == ("成年", made, made + timedelta(days=1))
    assert load_rules(session) == {"成年": read_rule({**ADULT, "at_least": 20})}
    assert rule_named(session, "成年") == saved


def test_amounts_come_back_from_the_store_to_the_last_digit(session: Session, clock: StillClock) -> None:
    rule = read_rule({"type": "measure", "name": "paid_total", "at_least": "12345678901234.5678"})
    save_rule(
        session,
        "rich",
        '{"type": "measure", "name": "paid_total", "at_least": 12345678901234.5678}',
        clock(),
        actor="me",
    )
    session.expire_all()
    assert load_rules(session)["rich"] == rule


@pytest.mark.parametrize("name", ["", " x", "x ", "a\nb", "x" * 101])
def test_a_name_that_cannot_be_one_is_refused(session: Session, clock: StillClock, name: str) -> None:
    with pytest.raises(BadInput, match="the name "):
        save_rule(session, name, ADULT, clock(), actor="me")


def test_a_circle_is_refused_when_it_would_close(session: Session, clock: StillClock) -> None:
    with pytest.raises(RuleError, match="circle: rule 'a' → rule 'a'"):
        save_rule(session, "a", mention("a"), clock(), actor="me")
    with pytest.raises(RuleError, match="no saved rule 'b'"):
        save_rule(session, "a", mention("b"), clock(), actor="me")
    save_rule(session, "a", ADULT, clock(), actor="me")
    save_rule(session, "b", mention("a"), clock(), actor="me")
    with pytest.raises(RuleError, match="circle: rule 'a' → rule 'b' → rule 'a'"):
        save_rule(session, "a", mention("b"), clock(), actor="me")
    assert load_rules(session)["a"] == read_rule(ADULT)


@pytest.mark.parametrize("definition", [{"rule": "a"}, {"when": mention("a")}, {"when": ADULT, "until_rule": "a"}])
def test_a_circle_through_a_tag_is_refused(session: Session, clock: StillClock, definition: dict[str, Any]) -> None:
    save_rule(session, "a", ADULT, clock(), actor="me")
    session.add(Tag(name="t", source="rule", definition=definition, created_at=clock()))
    session.flush()
    with pytest.raises(RuleError, match="circle: rule 'a' → tag 't' → rule 'a'"):
        save_rule(session, "a", {"type": "tag", "name": "t"}, clock(), actor="me")
    with pytest.raises(RuleInUse, match="needed by tag t"):
        delete_rule(session, "a")


def test_a_rule_that_another_needs_is_not_deleted(session: Session, clock: StillClock) -> None:
    save_rule(session, "a", ADULT, clock(), actor="me")
    save_rule(session, "b", mention("a"), clock(), actor="me")
    with pytest.raises(RuleInUse, match="needed by b;"):
        delete_rule(session, "a")
    delete_rule(session, "b")
    delete_rule(session, "a")
    assert list_rules(session) == []
    with pytest.raises(NotFound, match="no saved rule 'a'"):
        delete_rule(session, "a")


@pytest.mark.parametrize(
    ("definition", "is_active", "is_asked"),
    [
        ({"rule": "a"}, True, True),
        ({"when": mention("upon a")}, True, True),
        ({"when": ADULT, "until_rule": "upon a"}, True, True),
        ({"rule": "a"}, False, False),
        ({"rule": "other"}, True, False),
    ],
)
def test_the_worker_is_asked_when_a_changed_rule_has_tags_that_follow_it(
    session: Session, clock: StillClock, definition: dict[str, Any], *, is_active: bool, is_asked: bool
) -> None:
    for name, given in (("a", ADULT), ("upon a", mention("a")), ("other", ADULT)):
        assert not save_rule(session, name, given, clock(), actor="me").is_followed
    session.add(Tag(name="t", source="rule", definition=definition, is_active=is_active, created_at=clock()))
    session.flush()
    assert not save_rule(session, "a", ADULT, clock(), actor="me").is_followed  # nothing is other than it was
    assert request_for(session, SEGMENTS) is None
    changed = save_rule(session, "a", {**ADULT, "at_least": 20}, clock(), actor="me")
    asked = request_for(session, SEGMENTS)
    assert (changed.is_followed, asked is not None) == (is_asked, is_asked)
    assert asked is None or (asked.asked_by, asked.done_at) == ("me", None)


VIEWS = {"type": "events", "kinds": ["product_view"], "window": {"last_days": 30}, "more_than": 1}
RULE = read_rule({"type": "all", "of": [{"type": "rule", "name": "成年"}, {"type": "not", "of": VIEWS}]})
REFERENCES = References({"成年": read_rule(ADULT)})
AS_OF = date(2026, 11, 2)
FACTS: dict[str, Rows] = {
    "customers": [
        *people(1, 2, birthday=date(1990, 1, 1)),
        *people(3, birthday=date(2015, 1, 1)),
        *people(4),
    ],
    "events": [
        {"customer_id": 2, "occurred_at": at(2026, 11, 1)},
        {"customer_id": 2, "occurred_at": at(2026, 11, 1)},
        {"customer_id": 1, "occurred_at": at(2026, 11, 2)},  # the day asked for
    ],
}


def _flat(found: Explained) -> list[tuple[str, bool, Any]]:
    return [(found.path, found.holds, found.found)] + [row for part in found.parts for row in _flat(part)]


@pytest.mark.parametrize(
    ("customer", "holds", "age", "views"), [(1, True, 36, 0), (2, False, 36, 2), (3, False, 11, 0), (4, False, None, 0)]
)
def test_why_a_customer_is_in_or_not(customer: int, holds: bool, age: int | None, views: int) -> None:
    with facts_with(**FACTS) as (connection, facts):
        found = why(connection, facts, RULE, customer, AS_OF, TAIPEI, REFERENCES)
        again = why(connection, facts, RULE, customer, AS_OF, TAIPEI, REFERENCES)
    is_adult = age is not None and age >= 18
    assert _flat(found) == [
        ("$", holds, None),
        ("$.of[0]", is_adult, None),
        ("$", is_adult, age),  # what stands behind the saved rule's name
        ("$.of[1]", views <= 1, None),
        ("$.of[1].of", views > 1, views),
    ]
    assert found.parts[0].asked == RuleReference(name="成年")
    assert again == found


def test_why_of_somebody_unknown_is_told() -> None:
    with facts_with(**FACTS) as (connection, facts), pytest.raises(NotFound, match="no customer 99"):
        why(connection, facts, RULE, 99, AS_OF, TAIPEI, REFERENCES)


def test_counts_are_of_all_customers() -> None:
    with facts_with(**FACTS) as (connection, facts):
        assert count_matching(connection, facts, RULE, AS_OF, TAIPEI, REFERENCES) == MatchCount(1, 4)
        each = count_each(connection, facts, {"a": RULE, "v": read_rule(VIEWS)}, AS_OF, TAIPEI, REFERENCES)
    assert each == {"a": MatchCount(1, 4), "v": MatchCount(1, 4)}
    with facts_with() as (connection, facts):
        assert count_matching(connection, facts, RULE, AS_OF, TAIPEI, REFERENCES) == MatchCount(0, 0)
