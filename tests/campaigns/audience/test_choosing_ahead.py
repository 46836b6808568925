"""A slice is chosen before the lock is taken: what changes in between is obeyed all the same."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, event, select
from sqlmodel import Session

from campaigns.audience.freezing import choose_ahead, freeze_run, freeze_slice
from campaigns.audience.slices import Statements
from campaigns.settings import change_settings, read_settings
from store.engine import reading, table_of, transaction
from store.erasure import erase_person
from store.imports.merging import merge_customers
from store.models import CampaignRun, Customer, Delivery
from tests.campaigns.conftest import ZONE
from tests.conftest import StillClock
from tests.factories import make_account, make_campaign, make_channel, make_customer, make_run


class Town:
    """Four people, and a run to all of them that is planned; at most one message a day."""

    def __init__(self, engine: Engine, clock: StillClock) -> None:
        self.engine, self.clock = engine, clock
        with transaction(engine) as session:
            self.channel = make_channel(session)
            people = [make_customer(session) for _ in range(4)]
            self.ids = [one.id or 0 for one in people]
            for one in people:
                make_account(session, self.channel, one)
            change_settings(session, {"cap_day": 1}, actor="test", now=clock())
        self.run_id = self.plan()

    def plan(self) -> int:
        with transaction(self.engine) as session:
            session.add(self.channel)
            campaign = make_campaign(session, self.channel, holdout_percent=0)
            return make_run(session, campaign, fired_at=self.clock()).id or 0

    def freeze(self, meanwhile: Callable[[], None], asked: list[str]) -> None:
        """One slice, `meanwhile` between its choosing and its writing; `asked`: what was executed for the latter."""
        with self.engine.connect() as connection:
            with Session(connection.execution_options(writes=False)) as session, session.begin():
                ahead = choose_ahead(session, self.run_id, zone=ZONE, size=10, kept=Statements(self.clock()))
            meanwhile()
            event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2]))
            with Session(connection.execution_options(writes=True)) as session, session.begin():
                freeze_slice(session, self.run_id, zone=ZONE, now=self.clock(), size=10, ahead=ahead)

    def outcome(self) -> dict[int, tuple[str, str | None]]:
        delivery = table_of(Delivery)
        with reading(self.engine) as session:
            rows = session.execute(select(delivery).where(delivery.c.run_id == self.run_id)).all()
        return {row.customer_id: (row.state, row.reason) for row in rows}


@pytest.fixture
def town(engine: Engine, clock: StillClock) -> Town:
    return Town(engine, clock)


GOES = ("chosen", None)


def test_what_still_holds_is_not_chosen_again(town: Town) -> None:
    asked: list[str] = []
    town.freeze(lambda: None, asked)
    assert town.outcome() == dict.fromkeys(town.ids, GOES)
    assert any(statement.startswith("INSERT INTO delivery") for statement in asked)
    assert not any(statement.startswith("INSERT INTO frozen_slice") for statement in asked)


def test_a_refusal_an_erasure_and_a_merge_meanwhile_are_obeyed(town: Town) -> None:
    refusing, erased, old, new = town.ids

    def meanwhile() -> None:
        with transaction(town.engine) as session:
            session.execute(
                table_of(Customer)
                .update()
                .where(table_of(Customer).c.id == refusing)
                .values(marketing_refused_at=town.clock())
            )
            erase_person(session, erased, actor="test", now=town.clock())
            merge_customers(session.connection(), {old: new})

    town.freeze(meanwhile, [])
    outcome = town.outcome()
    assert outcome[refusing] == outcome[erased] == ("skipped", "refused")
    assert outcome[new] == GOES
    assert old not in outcome


@pytest.mark.parametrize("which", [0, 1])
def test_each_change_alone_is_enough(town: Town, which: int) -> None:
    def meanwhile() -> None:
        with transaction(town.engine) as session:
            if which:
                merge_customers(session.connection(), {town.ids[3]: town.ids[0]})
            else:
                erase_person(session, town.ids[0], actor="test", now=town.clock())

    town.freeze(meanwhile, [])
    assert len(town.outcome()) == (3 if which else 4)
    assert town.outcome()[town.ids[0]] == (GOES if which else ("skipped", "refused"))


def test_a_setting_that_is_changed_meanwhile_holds(town: Town) -> None:
    def meanwhile() -> None:
        with transaction(town.engine) as session:
            change_settings(session, {"needs_opt_in": True}, actor="test", now=town.clock())

    town.freeze(meanwhile, [])
    assert town.outcome() == dict.fromkeys(town.ids, ("skipped", "not_agreed"))


def test_another_run_that_claims_the_people_meanwhile_counts_towards_their_cap(town: Town) -> None:
    other = town.plan()
    town.freeze(lambda: freeze_run(town.engine, other, zone=ZONE, clock=town.clock), [])
    assert town.outcome() == dict.fromkeys(town.ids, ("skipped", "cap_day"))


def test_a_slice_that_another_worker_froze_meanwhile_is_not_written_twice(town: Town) -> None:
    town.freeze(lambda: freeze_run(town.engine, town.run_id, zone=ZONE, clock=town.clock), [])
    assert town.outcome() == dict.fromkeys(town.ids, GOES)
    with reading(town.engine) as session:
        assert session.get_one(CampaignRun, town.run_id).frozen_at == town.clock()


def test_nobody_waits_for_the_choosing(town: Town) -> None:
    with reading(town.engine) as choosing:
        choose_ahead(choosing, town.run_id, zone=ZONE, size=10, kept=Statements(town.clock()))
        with transaction(town.engine) as session:  # would wait for half a minute, and fail, were the lock held
            change_settings(session, {"collision_minutes": 30}, actor="test", now=town.clock())
    with reading(town.engine) as session:
        assert read_settings(session).collision_minutes == 30
