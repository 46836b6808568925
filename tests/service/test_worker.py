"""The worker's jobs: what is due is found in rows, a failure is shown and tried again."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Engine, func, insert, select

from campaigns.audience.target import Audience
from campaigns.planning.plan import Plan, create_campaign, one_step
from segmentation.history import latest_run
from segmentation.settings import change_settings
from segmentation.snapshot import newest_snapshot
from service.channels import channel_ids
from service.settings import Settings
from service.worker import (
    Job,
    dispatching,
    jobs,
    renew_demand,
    renew_segments,
    run_job,
    start_scheduler,
    tick_campaigns,
)
from simulator.channels import ChannelOptions, Friend
from simulator.faults import Fault, FaultKind
from simulator.server import Simulator, SimulatorThread
from store.bodies import open_bodies
from store.engine import reading, table_of, transaction
from store.errors import ExpectedError
from store.models import (
    BehaviourEvent,
    Campaign,
    Channel,
    DemandReport,
    Heartbeat,
    Product,
    Reply,
    SegmentRun,
    WebhookBody,
)
from tests.conftest import StillClock
from tests.factories import make_account, make_customer, make_order


@pytest.fixture
def line() -> Iterator[SimulatorThread]:
    with SimulatorThread(Simulator()) as running:
        yield running


@pytest.fixture
def settings(line: SimulatorThread, tmp_path: Path) -> Settings:
    options = ChannelOptions()
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        line_api_base=line.url,
        snapshot_dir=tmp_path / "snapshot",
        line_channel_secret=options.secret,  # type: ignore[arg-type]
        line_channel_access_token=options.access_token,  # type: ignore[arg-type]
    )


def heartbeat(engine: Engine, job: str) -> Heartbeat | None:
    with reading(engine) as session:
        return session.get(Heartbeat, job)


def test_a_job_that_fails_is_shown_with_its_problem_and_then_clears(engine: Engine, clock: StillClock) -> None:
    outcomes: list[Exception | None] = [RuntimeError("broken"), ExpectedError("busy, later"), None]

    def work() -> None:
        if (error := outcomes.pop(0)) is not None:
            raise error

    job = Job("a job", IntervalTrigger(seconds=1), work)
    beats: dict[str, object] = {}
    for expected in ("RuntimeError: broken", "busy, later", None):
        run_job(engine, job, clock, beats)  # type: ignore[arg-type]
        beat = heartbeat(engine, "a job")
        assert beat is not None
        assert beat.problem == expected
        assert beat.finished_at == clock()
        clock.advance(seconds=1)


def test_an_idle_job_writes_its_heartbeat_only_now_and_then(engine: Engine, clock: StillClock) -> None:
    job = Job("idle", IntervalTrigger(seconds=1), lambda: None)
    beats: dict[str, object] = {}
    started = clock()
    for _ in range(5):
        run_job(engine, job, clock, beats)  # type: ignore[arg-type]
        clock.advance(seconds=1)
    beat = heartbeat(engine, "idle")
    assert beat is not None
    assert beat.finished_at == started


def test_segments_are_computed_at_once_then_daily_from_their_hour(
    engine: Engine, clock: StillClock, settings: Settings
) -> None:
    def runs() -> int:
        with reading(engine) as session:
            return session.scalar(select(func.count()).select_from(table_of(SegmentRun))) or 0

    with transaction(engine) as session:
        make_order(session, make_customer(session))
    renew_segments(engine, settings, clock)
    assert runs() == 1
    renew_segments(engine, settings, clock)
    assert runs() == 1
    clock.now = clock.now.replace(hour=16, minute=30)  # half past midnight in Taipei: the next day, but too early
    renew_segments(engine, settings, clock)
    assert runs() == 1
    clock.advance(hours=3)
    renew_segments(engine, settings, clock)
    assert runs() == 2
    with reading(engine) as session:
        newest = latest_run(session)
    assert newest is not None
    assert newest.as_of == clock().astimezone(settings.zone).date() + timedelta(days=1)
    assert newest_snapshot(settings.snapshot_folder) is not None


def test_settings_chosen_anew_with_the_same_values_compute_nobody_again(
    engine: Engine, clock: StillClock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew_segments(engine, settings, clock)
    computed: list[datetime] = []
    monkeypatch.setattr("service.worker.compute_everyone", lambda *_: computed.append(clock()))
    for cycle, times in ((30, 0), (40, 1), (30, 1)):
        clock.advance(minutes=1)
        with transaction(engine) as session:
            change_settings(session, {"cycle": cycle}, defaults=settings.segment_defaults, actor="me", now=clock())
        renew_segments(engine, settings, clock)
        assert len(computed) == times


def test_demand_is_looked_at_once_a_day_when_there_is_a_catalogue_and_the_segments_are_done(
    engine: Engine, clock: StillClock, settings: Settings
) -> None:
    def reports() -> list[date]:
        renew_demand(engine, settings, clock)
        with reading(engine) as session:
            return list(session.scalars(select(table_of(DemandReport).c.as_of).order_by(table_of(DemandReport).c.id)))

    with transaction(engine) as session:
        make_order(session, make_customer(session))
    renew_segments(engine, settings, clock)
    assert reports() == []  # no catalogue
    with transaction(engine) as session:
        session.add(Product(sku="1", name="頭皮養護洗髮精", labels=["頭皮養護"]))
    assert reports() == [date(2026, 11, 2)]
    assert reports() == [date(2026, 11, 2)]
    clock.advance(days=1)
    assert reports() == [date(2026, 11, 2)]  # the day's segments come first
    renew_segments(engine, settings, clock)
    assert reports() == [date(2026, 11, 2), date(2026, 11, 3)]


def test_every_job_of_the_table_runs_on_an_empty_database(
    engine: Engine, clock: StillClock, settings: Settings
) -> None:
    for job in jobs(engine, settings, clock):
        run_job(engine, job, clock, {})
        beat = heartbeat(engine, job.name)
        assert beat is not None
        assert beat.problem is None, job.name


def test_jobs_begin_each_at_another_part_of_the_second(engine: Engine, clock: StillClock, settings: Settings) -> None:
    scheduler = start_scheduler(engine, settings, clock)
    try:
        firsts = [job.next_run_time for job in scheduler.get_jobs()]
    finally:
        scheduler.shutdown(wait=True)
    each_second = [first for first in firsts if first - min(firsts) < timedelta(seconds=3)]
    assert len(each_second) > 10
    assert len({round(first.timestamp() % 1, 2) for first in each_second}) > len(each_second) / 2


def test_a_campaign_goes_from_tick_to_sent_and_a_vanished_target_fails_it(
    engine: Engine, clock: StillClock, settings: Settings, line: SimulatorThread
) -> None:
    channel_id = channel_ids(engine, settings)["main"]
    with transaction(engine) as session:
        channel = session.get_one(Channel, channel_id)
        account = make_account(session, channel, make_customer(session))
        line.platform.add_friends([Friend(account.line_user_id, "朋友")])
        plan = Plan(
            "n", Audience(("all",)), one_step([{"type": "text", "text": "嗨"}]), clock(), holdout_percent=Decimal(0)
        )
        good = create_campaign(session, plan, channel_id=channel_id, zone=settings.zone, now=clock()).id
        bad = create_campaign(session, plan, channel_id=channel_id, zone=settings.zone, now=clock())
        bad.audience = Audience(("tag:gone",)).to_json()
        session.add(bad)
    tick_campaigns(engine, settings, clock)

    async def send() -> None:
        async with AsyncExitStack() as stack:
            await (await dispatching(engine, settings, clock, stack)).drain()

    asyncio.run(send())
    clock.advance(seconds=1)
    tick_campaigns(engine, settings, clock)
    with reading(engine) as session:
        assert session.get_one(Campaign, good).state == "sent"
        failed = session.get_one(Campaign, bad.id)
    assert (failed.state, failed.problem) == ("failed", "there is no tag 'gone'")
    with line.platform.lock:
        assert [entry.to for entry in line.platform.channels[0].ledger.entries] == [(account.line_user_id,)]


def test_a_worker_on_a_quiet_night_changes_nothing(engine: Engine, clock: StillClock, settings: Settings) -> None:
    assert tick_campaigns(engine, settings, clock) == 0
    clock.advance(days=1)
    assert tick_campaigns(engine, settings, clock) == 0


def test_events_are_stored_without_waiting_for_line_which_answers_slowly(
    engine: Engine, clock: StillClock, settings: Settings, line: SimulatorThread
) -> None:
    ms = int(clock().timestamp() * 1000)
    source = {"type": "user", "userId": "U" + "1" * 32}
    event = {"type": "follow", "webhookEventId": "e1", "timestamp": ms, "source": source, "replyToken": "t1"}
    body = orjson.dumps({"events": [event]})
    row = {"channel_id": channel_ids(engine, settings)["main"], "received_at": clock(), "body": body}
    with transaction(open_bodies(engine)) as session:
        session.execute(insert(table_of(WebhookBody)).values(**row))
    work = {job.name: job.work for job in jobs(engine, settings, clock)}
    work["inbox"]()
    assert reply_states(engine) == ["due"]  # stored, and LINE not called
    with reading(engine) as session:
        assert session.scalar(select(table_of(BehaviourEvent).c.event_key)) == "e1"
    line.simulator.faults.replace([Fault("*", FaultKind.DROP_BEFORE)])
    work["replies"]()
    assert reply_states(engine) == ["unknown"]  # called, once


def reply_states(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return list(session.scalars(select(table_of(Reply).c.state)))
