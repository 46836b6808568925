"""The sample goes in whole and comes out whole: every table is as it was before, and what is real stays."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import typer
from sqlalchemy import Engine, select
from sqlmodel import SQLModel

from campaigns.results.catch_up import catch_up
from segmentation.renew import Ground, renew_everyone
from segmentation.settings import SegmentSettings
from service.cli.sample import app
from service.sample.load import SampleIsIn, load_sample
from service.sample.remove import _can_go, remove_sample
from service.settings import Settings
from service.worker import works
from store.asked import SAMPLE_LOAD
from store.currencies import OtherCurrencies, check_currencies
from store.engine import open_engine, reading, table_of, transaction
from store.errors import NotFound
from store.models import Campaign, Customer, Delivery, RunResponse, RunTally, SampleRow, WorkRequest
from tests.conftest import StillClock
from tests.factories import make_account, make_campaign, make_channel, make_customer, make_order, make_run
from tests.service.conftest import Retarget

TAIPEI = ZoneInfo("Asia/Taipei")
LEFT = {"audit_entry", "work_request"}  # that it was loaded and removed, and what was asked for


def everything(engine: Engine, but: set[str]) -> dict[str, list[Any]]:
    with reading(engine) as session:
        tables = [table for table in SQLModel.metadata.sorted_tables if table.name not in but]
        return {t.name: sorted(map(repr, session.execute(select(t)).all())) for t in tables}


@pytest.fixture
def real(engine: Engine, clock: StillClock) -> None:
    """A brand with somebody who bought, and a run that has sent to them."""
    with transaction(engine) as session:
        channel, customer = make_channel(session, name="main"), make_customer(session, name="真")
        make_account(session, channel, customer)
        make_order(session, customer)
        campaign = make_campaign(session, channel, state="sent")
        run = make_run(session, campaign, state="sent", frozen_at=clock(), finished_at=clock())
        session.add(Delivery(run_id=run.id or 0, customer_id=customer.id or 0, state="accepted", sent_at=clock()))


@pytest.fixture
def load(engine: Engine, clock: StillClock) -> Callable[[], dict[str, int]]:
    return lambda: load_sample(engine, zone=TAIPEI, currency="TWD", actor="anna", clock=clock)


def remove(engine: Engine, clock: StillClock) -> int:
    return remove_sample(engine, actor="anna", clock=clock)


@pytest.mark.usefixtures("real")
def test_every_table_is_afterwards_as_it_was(
    engine: Engine, clock: StillClock, load: Callable[[], dict[str, int]]
) -> None:
    catch_up(engine, clock)
    before = everything(engine, LEFT)
    counts = load()
    assert counts["customers"] == 240
    assert counts["orders"] > 400
    with reading(engine) as session:
        responses = session.scalars(select(RunResponse)).all()
        assert sum(one.has_clicked for one in responses) > 30
        assert sum(one.tap_orders for one in responses) > 0
        marked = session.scalars(select(SampleRow)).all()
        assert {one.table_name for one in marked} == {"channel", "customer", "product", "campaign"}
    assert remove(engine, clock) > 2_000
    assert everything(engine, LEFT) == before


@pytest.mark.usefixtures("real")
def test_real_rows_made_meanwhile_stay(engine: Engine, clock: StillClock, load: Callable[[], dict[str, int]]) -> None:
    load()
    renew_everyone(Ground(engine, TAIPEI, clock), SegmentSettings())
    with transaction(engine) as session:
        newcomer = make_customer(session, name="新")
        make_order(session, newcomer, ordered_at=clock() - timedelta(days=3))
        of_sample = session.scalar(select(Customer).where(table_of(Customer).c.member_id == "SAMPLE-0001"))
        campaign = session.scalars(select(Campaign).order_by(table_of(Campaign).c.id)).first()
        assert campaign is not None
        assert of_sample is not None
        run = make_run(session, campaign, scheduled_for=clock(), state="sent", frozen_at=clock(), finished_at=clock())
        skipped: dict[str, Any] = {"run_id": run.id or 0, "state": "skipped", "reason": "no_line_account"}
        session.add(Delivery(**skipped, customer_id=of_sample.id or 0))
        session.add(Delivery(**skipped, customer_id=newcomer.id or 0))
    catch_up(engine, clock)
    remove(engine, clock)
    with reading(engine) as session:
        assert sorted(one.name or "" for one in session.scalars(select(Customer))) == ["新", "真"]
        deliveries = session.scalars(select(Delivery).where(table_of(Delivery).c.run_id == run.id)).all()
        assert [one.customer_id for one in deliveries] == [newcomer.id]
        kept = session.scalars(select(RunTally).where(table_of(RunTally).c.run_id == run.id)).all()
        assert [(one.state, one.people) for one in kept if one.people] == [("skipped", 1)]
    load()  # and it can be loaded again
    remove(engine, clock)


def test_it_is_refused_while_it_is_in_and_when_there_is_none(
    engine: Engine, clock: StillClock, load: Callable[[], dict[str, int]]
) -> None:
    with pytest.raises(NotFound, match="no sample data"):
        remove(engine, clock)
    load()
    before = everything(engine, set())
    with pytest.raises(SampleIsIn):
        load()
    assert everything(engine, set()) == before


def test_its_orders_are_in_the_brands_currency(engine: Engine, clock: StillClock) -> None:
    settings = Settings(_env_file=None, currency="usd")  # type: ignore[call-arg]
    works(engine, settings, clock)[SAMPLE_LOAD](WorkRequest(work=SAMPLE_LOAD, asked_by="anna", asked_at=clock()))
    check_currencies(engine, "USD")
    with pytest.raises(OtherCurrencies, match=r"USD × [\d,]+;"):
        check_currencies(engine, "TWD")


def test_so_are_those_that_the_command_line_loads(
    command_line: Callable[[typer.Typer], Retarget], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    retarget = command_line(app)
    monkeypatch.setenv("CURRENCY", "JPY")
    assert retarget("load").startswith("loaded 240 customers")
    engine = open_engine(database_url)
    check_currencies(engine, "JPY")
    engine.dispose()


def test_every_table_that_names_a_customer_goes_along() -> None:
    named = [t for t in SQLModel.metadata.sorted_tables if "customer_id" in t.columns]
    assert len(named) > 15
    # a reply waits for one event, and hangs on that
    assert [table.name for table in named if not _can_go(table)] == []
