"""Tags of people: by hand, by import, by tapping a link; never undone by a computation."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from segmentation.tags.catalogue import create_tag, set_active
from segmentation.tags.definitions import InvalidTag
from segmentation.tags.hand import ArchivedTag, ComputedTag, TopicTap, put_on, put_on_by_taps, take_off
from store.engine import reading, transaction
from store.errors import BadInput, NotFound
from store.imports.customers import import_customers
from store.models import AuditEntry, CustomerChange, Tag
from tests.conftest import StillClock
from tests.factories import make_customer
from tests.segmentation.tags.renewal import AS_OF, TAIPEI, history, on, renew, tags_on

NOW = datetime(2026, 11, 2, 4, tzinfo=UTC)
TODAY = NOW.astimezone(TAIPEI).date()
DAY = timedelta(days=1)


@pytest.fixture
def people(engine: Engine) -> list[int]:
    """Three customers, and the tags 貴賓, of people, and 大戶, of a computation."""
    with transaction(engine) as session:
        create_tag(session, "貴賓", now=NOW)
        definition = {"measure": "paid_total", "at_least": 1}
        create_tag(session, "大戶", source="measure", definition=definition, now=NOW)
        return [make_customer(session).id or 0 for _ in range(3)]


def changed(engine: Engine) -> list[int]:
    with reading(engine) as session:
        return sorted(session.scalars(select(CustomerChange.customer_id)))  # type: ignore[call-overload]


def test_a_tag_by_hand_is_history_audited_and_told_to_the_rules(engine: Engine, people: list[int]) -> None:
    one, two, _ = people
    with transaction(engine) as session:
        assert put_on(session, "貴賓", [one, two, one], actor="mei", now=NOW, today=TODAY, note="抽獎") == 2
    with transaction(engine) as session:
        assert put_on(session, "貴賓", [one], actor="mei", now=NOW + DAY, today=TODAY) == 0
    with transaction(engine) as session:
        assert take_off(session, "貴賓", [two, people[2]], actor="lin", now=NOW + DAY) == 1
    rows = {row.customer_id: row for row in history(engine, "貴賓")}
    assert (rows[one].source, rows[one].evidence) == ("hand", {"by": "mei", "note": "抽獎"})
    assert (rows[one].since, rows[one].until) == (NOW, None)
    assert (rows[two].until, rows[two].off_evidence) == (NOW + DAY, {"by": "lin"})
    assert changed(engine) == [one, two, two]
    with reading(engine) as session:
        audit = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()  # type: ignore[arg-type]
    assert [(a.actor, a.action, a.detail["customers"]) for a in audit] == [
        ("mei", "put tag on", 2),
        ("mei", "put tag on", 0),
        ("lin", "take tag off", 1),
    ]
    assert "抽獎" not in str([a.detail for a in audit])


def test_renewals_leave_it_on_until_its_last_day_has_passed(engine: Engine, people: list[int]) -> None:
    one, two, _ = people
    with transaction(engine) as session:
        put_on(session, "貴賓", [one], actor="mei", now=NOW, today=TODAY)
        put_on(session, "貴賓", [two], actor="mei", now=NOW, today=TODAY, until=TODAY + 2 * DAY)
    renew(engine, AS_OF)
    renew(engine, AS_OF + DAY)
    assert set(tags_on(engine, two)) == {"貴賓"}
    renew(engine, AS_OF + 2 * DAY)  # made on that day
    assert set(tags_on(engine, one)) == {"貴賓"}
    assert tags_on(engine, two) == {}
    row = history(engine, "貴賓")[1]
    assert row.off_evidence == {"reason": "its last day has passed"}
    assert row.until == on(1, 20, AS_OF + 2 * DAY)


def test_a_day_that_has_come_is_no_end(engine: Engine, people: list[int]) -> None:
    with transaction(engine) as session, pytest.raises(BadInput, match="after today"):
        put_on(session, "貴賓", people, actor="mei", now=NOW, today=TODAY, until=TODAY)


def test_a_day_beyond_the_centuries_that_are_reckoned_with_is_no_end(engine: Engine, people: list[int]) -> None:
    with transaction(engine) as session:
        with pytest.raises(BadInput, match="lies before 2200, not on 2200-01-01"):
            put_on(session, "貴賓", people, actor="mei", now=NOW, today=TODAY, until=date(2200, 1, 1))
        last = date(2199, 12, 31)
        assert put_on(session, "貴賓", people, actor="mei", now=NOW, today=TODAY, until=last) == len(people)


def test_a_tag_of_a_computation_and_unknown_people_are_refused_with_nothing_written(
    engine: Engine, people: list[int]
) -> None:
    with transaction(engine) as session:
        with pytest.raises(ComputedTag, match="by a computation \\(measure\\)"):
            put_on(session, "大戶", people, actor="mei", now=NOW, today=TODAY)
        with pytest.raises(ComputedTag):
            take_off(session, "大戶", people, actor="mei", now=NOW)
        with pytest.raises(NotFound, match="no tag '無'"):
            put_on(session, "無", people, actor="mei", now=NOW, today=TODAY)
        with pytest.raises(BadInput, match="no customer 777777"):
            put_on(session, "貴賓", [*people, 777_777], actor="mei", now=NOW, today=TODAY)
    assert history(engine, "貴賓") == []
    assert changed(engine) == []


def test_a_tap_puts_on_the_tag_of_the_topic_once_however_often_it_is_told(engine: Engine, people: list[int]) -> None:
    taps = [TopicTap(people[0], "維他命 C", 7, 3, NOW), TopicTap(people[0], "維他命 C", 8, 3, NOW + DAY)]
    for _ in range(2):
        with transaction(engine) as session:
            put_on_by_taps(session, taps, NOW + DAY)
    (row,) = history(engine, "維他命 C")
    assert (row.source, row.since) == ("link", NOW + DAY)
    assert row.evidence == {"link_id": 7, "campaign_id": 3, "clicked_at": NOW.isoformat()}
    with reading(engine) as session:
        assert [(tag.source, tag.kind) for tag in session.scalars(select(Tag).where(Tag.name == "維他命 C"))] == [  # type: ignore[arg-type]
            ("hand", "fact")
        ]


def test_a_topic_named_like_a_tag_of_a_computation_puts_nothing_on(engine: Engine, people: list[int]) -> None:
    with transaction(engine) as session:
        assert put_on_by_taps(session, [TopicTap(people[0], "大戶", 7, 3, NOW)], NOW) == 0
    assert history(engine, "大戶") == []


def test_an_import_may_not_put_on_what_a_computation_decides(
    engine: Engine, people: list[int], clock: StillClock, tmp_path: Path
) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("customer_id,tags\na1,貴賓\na2,貴賓;大戶\n", encoding="utf-8")
    report = import_customers(engine, path, channel_id=None, zone=TAIPEI, clock=clock)
    assert (report.added, report.refused) == (
        1,
        [(3, "the tag '大戶' is put on by a computation (measure) and can't be imported")],
    )
    assert [row.source for row in history(engine, "貴賓")] == ["import"]
    assert history(engine, "大戶") == []


def test_a_tag_that_is_switched_off_stays_where_it_is(
    engine: Engine, people: list[int], clock: StillClock, tmp_path: Path
) -> None:
    with transaction(engine) as session:
        put_on(session, "貴賓", people[:1], actor="mei", now=NOW, today=TODAY)
        put_on(session, "貴賓", people[1:2], actor="mei", now=NOW, today=TODAY, until=TODAY + DAY)
        set_active(session, "貴賓", is_active=False)
    before = history(engine, "貴賓")
    with transaction(engine) as session:
        with pytest.raises(ArchivedTag, match="switched off"):
            put_on(session, "貴賓", people, actor="mei", now=NOW, today=TODAY)
        with pytest.raises(ArchivedTag, match="switched off"):
            take_off(session, "貴賓", people, actor="mei", now=NOW)
        assert put_on_by_taps(session, [TopicTap(people[2], "貴賓", 7, 3, NOW)], NOW) == 0
    path = tmp_path / "customers.csv"
    path.write_text("customer_id,city,tags\na1,台中市,貴賓\nnew,台北市,貴賓;老客\n", encoding="utf-8")
    report = import_customers(engine, path, channel_id=None, zone=TAIPEI, clock=clock)
    assert (report.added, report.refused) == (2, [])  # the rest of a row is no less true
    assert history(engine, "貴賓") == before
    assert len(history(engine, "老客")) == 1
    renew(engine, AS_OF + DAY)  # the last day that was given with it holds
    assert [row.until is None for row in history(engine, "貴賓")] == [True, False]
    with transaction(engine) as session:
        set_active(session, "貴賓", is_active=True)
        assert put_on(session, "貴賓", people[2:], actor="mei", now=NOW, today=TODAY) == 1


def test_names_that_an_import_could_not_write_are_refused(engine: Engine) -> None:
    with transaction(engine) as session:
        for name in ("", " x", "a;b", "x" * 101, "a\nb"):
            with pytest.raises(InvalidTag, match="can't be"):
                create_tag(session, name, now=NOW)
