"""What is done while a renewal is at work: by what it read nothing is put on or taken off any more."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlmodel import Session

from campaigns.planning.renaming import rename_tag
from segmentation.backlog import changed_since, forget_changes, seen_changes
from segmentation.renew import Ground, renew_changed, renew_everyone
from segmentation.rules.saved import save_rule
from segmentation.settings import SegmentSettings
from segmentation.tags.catalogue import change_tag, create_tag, set_active, tag_named
from store.asked import SEGMENTS, request_for
from store.changes import note_changes
from store.engine import reading, table_of, transaction
from store.erasure import erase_person
from store.models import BehaviourEvent, Customer, CustomerTag, Product, SegmentSizeOnDay
from tests.conftest import StillClock
from tests.factories import make_customer, make_order
from tests.segmentation.tags.renewal import AS_OF, TAIPEI, history, on, renew, tags_on

DAY = timedelta(days=1)
LIVES_IN = {"type": "attribute", "name": "city", "is": "臺北"}
SLEEPS = {"type": "not", "of": {"type": "orders", "measure": "count", "at_least": 1, "window": {"last_days": 30}}}
Meddle = Callable[[Session], object]


def meddling(meddle: Meddle) -> Callable[[Session], None]:
    """`hold` of a whole renewal that does something once, when all is judged and nothing is written."""
    calls: list[Session] = []

    def hold(session: Session) -> None:
        calls.append(session)
        if len(calls) == 2:  # the first ends tags of people
            meddle(session)
            session.flush()

    return hold


@pytest.fixture
def rich(engine: Engine) -> int:
    """A customer whom the tag 大戶 is to be put on."""
    with transaction(engine) as session:
        create_tag(
            session, "大戶", source="measure", definition={"measure": "paid_total", "top_percent": 50}, now=on(9)
        )
        save_rule(session, "住這裡", LIVES_IN, on(9), actor="me")
        create_tag(session, "在地", source="rule", definition={"rule": "住這裡"}, now=on(9))
        one = make_customer(session, city="臺北")
        make_order(session, one, ordered_at=on(3))
        return one.id or 0


def test_a_tag_that_is_archived_meanwhile_is_put_on_nobody(engine: Engine, rich: int) -> None:
    renew(engine, hold=meddling(lambda session: set_active(session, "大戶", is_active=False)))
    assert tags_on(engine, rich).keys() == {"在地"}
    with reading(engine) as session:
        assert request_for(session, SEGMENTS) is None


def test_a_tag_that_is_changed_meanwhile_waits_for_its_own_renewal(engine: Engine, rich: int) -> None:
    days = {"measure": "recency_days", "top_percent": 50}
    renew(engine, hold=meddling(lambda session: change_tag(session, "大戶", days, now=on(0))))
    assert tags_on(engine, rich).keys() == {"在地"}
    with reading(engine) as session:
        assert tag_named(session, "大戶").cut is None  # a line over what was paid is none over days
        assert request_for(session, SEGMENTS) is not None
    renew(engine)
    assert tags_on(engine, rich).keys() == {"在地", "大戶"}


def test_a_saved_rule_that_is_changed_meanwhile_holds_its_tags_up(engine: Engine, rich: int) -> None:
    elsewhere = {**LIVES_IN, "is": "高雄"}
    renew(engine, hold=meddling(lambda session: save_rule(session, "住這裡", elsewhere, on(1), actor="me")))
    assert tags_on(engine, rich).keys() == {"大戶"}


def test_a_tag_that_is_renamed_meanwhile_is_counted_under_its_new_name(engine: Engine, rich: int) -> None:
    renew(engine, hold=meddling(lambda session: rename_tag(session, tag_named(session, "大戶"), "貴客")))
    assert tags_on(engine, rich).keys() == {"在地", "貴客"}
    size = table_of(SegmentSizeOnDay)
    with reading(engine) as session:
        sizes = session.execute(select(size.c.segment, size.c.customers).where(size.c.model == "tag"))
        assert {name: people for name, people in sizes} == {"在地": 1, "貴客": 1}  # noqa: C416 - rows are no pairs


def test_whoever_is_overtaken_is_left_alone(engine: Engine, rich: int) -> None:
    renew(engine, overtaken=lambda _, ids: set(ids))
    assert tags_on(engine, rich) == {}
    renew(engine, AS_OF + DAY, overtaken=lambda _, ids: set())
    assert tags_on(engine, rich).keys() == {"在地", "大戶"}


class Interrupted:
    """The words of what people said; before they are told for the first time, something happens, in a transaction of
    its own."""

    def __init__(self, engine: Engine, meddle: Meddle) -> None:
        self._engine = engine
        self.meddle: Meddle | None = meddle

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        if texts and self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            with transaction(self._engine) as session:
                meddle(session)
        return [["染護"] for _ in texts]


@pytest.fixture
def told(engine: Engine, clock: StillClock) -> int:
    """A customer of 臺北 who wrote of 染護, which is a label: their words are cut when facts are read and nothing is
    written yet."""
    with transaction(engine) as session:
        session.add(Product(sku="A", name="A", labels=["染護"], categories=[]))
        create_tag(session, "在地", source="rule", definition={"when": LIVES_IN}, now=clock())
        create_tag(session, "睡了", source="rule", definition={"when": SLEEPS}, now=clock())
        word = {"dimension": "word", "value": "染護"}
        create_tag(session, "偏好：染護", source="preference", definition=word, now=clock())
        one = make_customer(session, city="臺北", name="林小姐")
        payload = {"message": {"type": "text", "text": "染護"}}
        common: dict[str, Any] = {"source": "line", "kind": "message", "payload": payload, "received_at": clock()}
        session.add(BehaviourEvent(event_key="e1", customer_id=one.id, occurred_at=clock() - DAY, **common))
        return one.id or 0


def rows_of(engine: Engine, customer_id: int) -> list[CustomerTag]:
    row = table_of(CustomerTag)
    with reading(engine) as session:
        return list(session.scalars(select(CustomerTag).where(row.c.customer_id == customer_id)))


@pytest.mark.parametrize("is_whole", [True, False])
def test_nothing_is_written_of_whoever_is_erased_meanwhile(
    engine: Engine, clock: StillClock, told: int, is_whole: bool
) -> None:
    settings = SegmentSettings()
    if not is_whole:
        renew_everyone(Ground(engine, TAIPEI, clock), settings)
        with transaction(engine) as session:
            session.execute(table_of(CustomerTag).delete())
            note_changes(session, [told], clock())
        clock.advance(seconds=2)
    ground = Ground(
        engine, TAIPEI, clock, Interrupted(engine, lambda s: erase_person(s, told, actor="me", now=clock()))
    )
    if is_whole:
        renew_everyone(ground, settings)
        assert rows_of(engine, told) == []
    clock.advance(seconds=2)
    renew_changed(ground, settings)
    assert ground.tokenize.meddle is None  # type: ignore[union-attr] # it was interrupted
    assert "臺北" not in str([row.model_dump() for row in rows_of(engine, told)])
    assert {row.source for row in rows_of(engine, told)} <= {"rule"}  # of the orders that the books keep


def test_who_buys_while_everybody_is_computed_gets_no_tag_by_what_was_before(
    engine: Engine, clock: StillClock, told: int
) -> None:
    def buys(session: Session) -> None:
        one = session.get_one(Customer, told)
        make_order(session, one, ordered_at=clock())
        note_changes(session, [told], clock())

    ground = Ground(engine, TAIPEI, clock, Interrupted(engine, buys))
    renew_everyone(ground, SegmentSettings())
    assert history(engine, "睡了") == []
    clock.advance(seconds=2)
    assert renew_changed(ground, SegmentSettings()) == 1
    assert history(engine, "睡了") == []
    assert tags_on(engine, told).keys() >= {"在地"}


def test_the_log_tells_who_changed_since_it_was_seen(engine: Engine, clock: StillClock) -> None:
    def since(by_runs_too: bool = True) -> set[int]:
        with transaction(engine) as session:
            return changed_since(session, seen, people[:4], by_runs_too=by_runs_too)

    def note(*places: int, **more: Any) -> None:
        with transaction(engine) as session:
            note_changes(session, [people[place] for place in places], clock(), **more)

    with transaction(engine) as session:
        people = [make_customer(session).id or 0 for _ in range(5)]
    seen = seen_changes(engine)
    assert (seen, since()) == ([], set())
    note(0)
    assert since() == {people[0]}
    note(1)
    note(2)
    forget_changes(engine, [2])
    seen = seen_changes(engine)
    assert (seen, since()) == ([(1, 1), (3, 3)], set())
    note(3, after_run_id=1)
    note(0, 4)
    assert (since(), since(by_runs_too=False)) == ({people[0], people[3]}, {people[0]})
