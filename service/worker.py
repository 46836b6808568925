"""The worker: one table of jobs for one scheduler, and the sending of runs.

APScheduler (memory store) is only the heartbeat: what is due stands in rows, so any number of workers may tick.
"""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from threading import Thread

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Engine, select
from sqlmodel import Session

from bot.inbox import process_inbox
from bot.profiles import fetch_due_profiles
from bot.replies import ReplyTexts, send_due_replies
from campaigns.audience import freezing
from campaigns.links.buttons import Buttons
from campaigns.links.clicks import make_click_events
from campaigns.money.outlook_kept import find_asked_outlooks
from campaigns.planning import schedule
from campaigns.planning.hours import renew_hours
from campaigns.planning.steps import move_people
from campaigns.results.ad_uploads import upload_asked
from campaigns.results.catch_up import catch_up
from campaigns.results.learning import count_message_results, store_message_results
from campaigns.sending.calls import Rates
from campaigns.sending.dispatch import Dispatch
from campaigns.sending.figures import ask_for_figures, count_units
from campaigns.sending.narrowcast import Ground as NarrowcastGround
from campaigns.sending.narrowcast import step_narrowcasts
from campaigns.sending.rides import Rides
from keywords.effects.stored import renew_learning
from keywords.text.brand import brand_tokenizer
from segmentation.demand.run import find_demand, keep_demand, newest_demand
from segmentation.history import latest_run
from segmentation.labelling import renew_proposals
from segmentation.movement import ask_for_newest_moves, find_asked_moves
from segmentation.predict.checks import check_tags
from segmentation.predict.latest import latest_prediction_run
from segmentation.predict.run import run_predictions
from segmentation.renew import prepare, renew_changed, renew_everyone
from segmentation.settings import changed_at, read_settings
from segmentation.snapshot import take_snapshot
from segmentation.tags.needs import needed_facts
from service.asked import Works, do_what_is_asked
from service.brand_words import tokenize_for_brand
from service.channels import channel_ids
from service.doors import bulk_door, insight_doors, line_doors, narrowcast_doors
from service.keyword_report_delivery import send_keyword_reports
from service.links import link_maker, token_signer
from service.quota import read_quotas
from service.renewal import renewal_ground, segment_settings
from service.sample.load import load_sample
from service.sample.remove import remove_sample
from service.settings import Settings
from service.waves import release_waves
from store.asked import LABELS, SAMPLE_LOAD, SAMPLE_REMOVE, SEGMENTS
from store.bodies import open_bodies
from store.clock import Clock, system_clock
from store.currencies import check_currencies
from store.engine import insert_for, reading, table_of, transaction
from store.erasure import forget_settled
from store.errors import BadInput, ExpectedError
from store.imports.uploads import forget_files, import_waiting
from store.models import Heartbeat, Product, SegmentRun

log = structlog.get_logger()

# Python's own is 5 ms. While one thread computes (the first look at the words takes 0.6 s), each database call of the
# others waits as long to go on, permits among them, and for half a second nothing is sent.
SWITCH_SECONDS = 0.0005
BEAT_EVERY = timedelta(seconds=10)
JOBS_END_WITHIN_SECONDS = 5.0  # most do; one that computes everybody may need minutes


@dataclass(frozen=True)
class Job:
    """One row of the table: what runs how often. `work` is repeatable and keeps its own transactions short."""

    name: str
    trigger: IntervalTrigger
    work: Callable[[], object]


def tick_campaigns(engine: Engine, settings: Settings, clock: Clock) -> int:
    """Fire what is due, freeze what is planned, close what is over; returns the runs made now.

    A run that can't be frozen holds up no other: its error is raised when all else is done, as an ExceptionGroup.
    """
    with transaction(engine) as session:
        put_off = schedule.mind_quiet_hours(session, zone=settings.zone, now=clock())
        made = schedule.fire_due(session, zone=settings.zone, now=clock())
        planned = freezing.planned_runs(session, now=clock())
    broken = [error for run_id in planned if (error := _freeze(engine, run_id, settings, clock)) is not None]
    for run_id in made:
        log.info("run_fired", run_id=run_id)
    for run_id in put_off:
        log.info("run_put_off_by_quiet_hours", run_id=run_id)
    is_more = True
    while is_more:
        with transaction(engine) as session:
            closed, is_more = schedule.settle(session, now=clock())
        for run_id in closed:
            log.info("run_closed", run_id=run_id)
    if broken:
        raise ExceptionGroup("runs whose audience could not be frozen", broken)
    return len(made)


def _freeze(engine: Engine, run_id: int, settings: Settings, clock: Clock) -> Exception | None:
    try:
        freezing.freeze_run(engine, run_id, zone=settings.zone, clock=clock)
    except BadInput as error:
        with transaction(engine) as session:
            schedule.fail_run(session, run_id, str(error))
        log.warning("run_failed", run_id=run_id)
    except Exception as error:
        return error
    return None


def derive_from_clicks(engine: Engine, clock: Clock) -> None:
    """Turn new clicks into behaviour events until none is left."""
    looked_at = 1
    while looked_at:
        with transaction(engine) as session:
            looked_at = make_click_events(session, now=clock())


def learn_from_runs(engine: Engine, clock: Clock) -> None:
    """Renew what keywords are learned from."""
    with reading(engine) as session:
        counted = count_message_results(session, now=clock())
    with transaction(engine) as session:
        store_message_results(session, counted)


def learn_keywords(engine: Engine, settings: Settings, clock: Clock) -> None:
    """Learn the effects of words anew if their results changed."""
    with reading(engine) as session:
        tokenizer = brand_tokenizer(session)
    renew_learning(engine, tokenizer, zone=settings.zone, clock=clock)


def renew_segments(engine: Engine, settings: Settings, clock: Clock) -> None:
    """Compute everybody's segments and tags unless they are there: each day from SEGMENT_AT_HOUR on, at once when there
    never were any or the brand has chosen other settings; and leave a snapshot of the facts.

    As of tomorrow, so that everything up to now counts. Looked at every minute, so that a worker that was down at that
    hour makes up for it.
    """
    now = clock().astimezone(settings.zone)
    with reading(engine) as session:
        newest, chosen_at = latest_run(session), changed_at(session)
        wanted = read_settings(session, settings.segment_defaults).as_dict()
    is_there = newest is not None and newest.as_of > now.date() and "population" in newest.settings
    is_early = newest is not None and "population" in newest.settings and now.hour < settings.segment_at_hour
    # What was chosen again, or there and back, makes no run of its own: it would be asked for each minute.
    is_outdated = (
        newest is not None
        and chosen_at is not None
        and chosen_at > newest.started_at
        and newest.settings.get("chosen") != wanted
    )
    if (is_there or is_early) and not is_outdated:
        return
    compute_everyone(engine, settings, clock)


def works(engine: Engine, settings: Settings, clock: Clock) -> Works:
    """What people may ask for, by name."""
    return {
        SEGMENTS: lambda _asked: compute_everyone(engine, settings, clock),
        LABELS: lambda _asked: propose_labels(engine, clock),
        SAMPLE_LOAD: lambda asked: load_sample(
            engine, zone=settings.zone, currency=settings.currency, actor=asked.asked_by, clock=clock
        ),
        SAMPLE_REMOVE: lambda asked: remove_sample(engine, actor=asked.asked_by, clock=clock),
    }


def propose_labels(engine: Engine, clock: Clock) -> None:
    """Look for labels in the words of all products: nothing is labelled until a person approves."""
    with reading(engine) as session:
        tokenize = tokenize_for_brand(session)
    renew_proposals(engine, tokenize, clock)


def compute_everyone(engine: Engine, settings: Settings, clock: Clock) -> None:
    """Everybody's segments and tags, and a snapshot of the facts; who moved since the day before is then found out."""
    renew_everyone(renewal_ground(engine, settings, clock), segment_settings(engine, settings))
    with transaction(engine) as session:
        ask_for_newest_moves(session, clock())
    take_snapshot(engine, settings.snapshot_folder, zone=settings.zone, now=clock())


def renew_after_changes(engine: Engine, settings: Settings, clock: Clock) -> int:
    """Put right the segments and tags of whoever's facts changed; returns how many customers. While there are none, get
    ready for them."""
    ground = renewal_ground(engine, settings, clock)
    renewed = renew_changed(ground, segment_settings(engine, settings))
    if not renewed:
        prepare(ground)
    return renewed


def renew_predictions(engine: Engine, settings: Settings, clock: Clock) -> None:
    """Once the day's segments are there: predict for the day, with their cycle, check the predictive tags that are due,
    and judge everybody's tags by the new predictions where tags look at them; nothing when that is done. Looked at
    every minute, as segments are."""
    today = clock().astimezone(settings.zone).date()
    with reading(engine) as session:
        segments, newest = _segments_of(session, today, settings), latest_prediction_run(session)
    if segments is None or (newest is not None and newest.as_of >= today):
        return
    cycle_days = int(segments.settings["cycle_days"])
    made = run_predictions(engine, as_of=today, zone=settings.zone, clock=clock, cycle_days=cycle_days)
    check_tags(engine, today=today, zone=settings.zone, clock=clock, cycle_days=cycle_days)
    with reading(engine) as session:
        is_asked_for = "predictions" in needed_facts(session)
    if made.change_count and is_asked_for:
        compute_everyone(engine, settings, clock)


def renew_demand(engine: Engine, settings: Settings, clock: Clock) -> None:
    """Once the day's segments are there: hold what growing groups want against the catalogue, if there is one; nothing
    when that is done. Looked at every minute, as segments are."""
    today, product = clock().astimezone(settings.zone).date(), table_of(Product)
    with reading(engine) as session:
        newest = newest_demand(session)
        if _segments_of(session, today, settings) is None or (newest is not None and newest.as_of >= today):
            return
        if session.execute(select(product.c.id).where(product.c.in_stock.is_not(False)).limit(1)).first() is None:
            return
        tokenize = tokenize_for_brand(session)
    keep_demand(engine, find_demand(engine, zone=settings.zone, clock=clock, tokenize=tokenize), clock)


def finish_erasures(engine: Engine) -> None:
    """Take the addresses of people erased earlier out of messages that were under way then."""
    with transaction(engine) as session:
        forget_settled(session)


def _segments_of(session: Session, today: date, settings: Settings) -> SegmentRun | None:
    """The newest segment run, if it was finished today; what builds on the day's segments waits for it."""
    newest = latest_run(session)
    if newest is None or newest.finished_at is None:
        return None
    return newest if newest.finished_at.astimezone(settings.zone).date() >= today else None


def upload_ad_audiences(engine: Engine, settings: Settings, clock: Clock) -> int:
    """Give LINE the ad audiences that were asked for; returns how many are over."""
    return upload_asked(engine, narrowcast_doors(engine, settings), zone=settings.zone, clock=clock)


def narrowcast_ground(engine: Engine, settings: Settings, clock: Clock) -> NarrowcastGround:
    """What the narrowcasts of all channels with a token stand on."""
    return NarrowcastGround(
        engine,
        narrowcast_doors(engine, settings),
        links=link_maker(settings),
        lease=timedelta(seconds=settings.lease_seconds),
        clock=clock,
    )


def import_files(engine: Engine, settings: Settings, clock: Clock) -> None:
    """Import the files that wait, and delete those that were kept long enough."""
    import_waiting(engine, settings.upload_folder, zone=settings.zone, clock=clock, currency=settings.currency)
    forget_files(engine, settings.upload_folder, clock())


def reply_texts(settings: Settings) -> ReplyTexts:
    """The answers of the settings."""
    return ReplyTexts(welcome=settings.welcome_text, refused=settings.refused_text, resumed=settings.resumed_text)


def reply_riders(settings: Settings) -> Rides:
    """What waits for free replies, with links as dispatch makes them."""
    return Rides(link_maker(settings))


def jobs(engine: Engine, settings: Settings, clock: Clock) -> list[Job]:
    """The table of jobs."""
    doors = line_doors(engine, settings)
    texts, riders, buttons = reply_texts(settings), reply_riders(settings), Buttons(token_signer(settings))
    figures = insight_doors(engine, settings)
    narrowcasts, bodies = narrowcast_ground(engine, settings, clock), open_bodies(engine)

    def inbox() -> None:
        while process_inbox(engine, bodies, clock=clock, texts=texts, riders=riders, buttons=buttons):
            pass

    def replies() -> None:  # a job of its own: events must not wait for a slow LINE
        while send_due_replies(engine, doors, clock=clock, riders=riders):
            pass

    def asked() -> None:
        do_what_is_asked(engine, works(engine, settings, clock), clock)

    soon = clock() + timedelta(minutes=1)  # a worker that is started anew each day learns all the same
    return [
        Job("inbox", IntervalTrigger(seconds=0.25), inbox),
        Job("replies", IntervalTrigger(seconds=0.25), replies),
        Job("campaigns", IntervalTrigger(seconds=0.15), lambda: tick_campaigns(engine, settings, clock)),
        Job("waves", IntervalTrigger(seconds=20), lambda: release_waves(engine, clock)),
        Job("quotas", IntervalTrigger(minutes=10), lambda: read_quotas(engine, settings, clock)),
        Job("steps", IntervalTrigger(seconds=2), lambda: move_people(engine, zone=settings.zone, clock=clock)),
        Job(
            "best hours",
            IntervalTrigger(hours=6, start_date=soon),
            lambda: renew_hours(engine, zone=settings.zone, clock=clock),
        ),
        Job("click events", IntervalTrigger(seconds=2), lambda: derive_from_clicks(engine, clock)),
        Job("results", IntervalTrigger(seconds=1), lambda: catch_up(engine, clock)),
        Job("narrowcasts", IntervalTrigger(seconds=1), lambda: step_narrowcasts(narrowcasts)),
        Job("ad audiences", IntervalTrigger(seconds=2), lambda: upload_ad_audiences(engine, settings, clock)),
        Job("LINE's figures", IntervalTrigger(seconds=10), lambda: ask_for_figures(engine, figures, clock=clock)),
        Job("LINE's units", IntervalTrigger(minutes=10), lambda: count_units(engine, figures, clock=clock)),
        Job("imports", IntervalTrigger(seconds=1), lambda: import_files(engine, settings, clock)),
        Job("profiles", IntervalTrigger(seconds=5), lambda: fetch_due_profiles(engine, doors, clock=clock)),
        Job("learning", IntervalTrigger(seconds=30), lambda: learn_from_runs(engine, clock)),
        Job("keywords", IntervalTrigger(seconds=30), lambda: learn_keywords(engine, settings, clock)),
        Job("reports", IntervalTrigger(minutes=1), lambda: send_keyword_reports(engine, settings, clock)),
        Job("changes", IntervalTrigger(seconds=1), lambda: renew_after_changes(engine, settings, clock)),
        Job("segments", IntervalTrigger(seconds=60), lambda: renew_segments(engine, settings, clock)),
        Job("asked", IntervalTrigger(seconds=2), asked),
        Job(
            "outlooks",
            IntervalTrigger(seconds=0.5),
            lambda: find_asked_outlooks(engine, zone=settings.zone, clock=clock),
        ),
        Job("movements", IntervalTrigger(seconds=2), lambda: find_asked_moves(engine, clock)),
        Job("predictions", IntervalTrigger(seconds=60), lambda: renew_predictions(engine, settings, clock)),
        Job("erasures", IntervalTrigger(hours=1, start_date=soon), lambda: finish_erasures(engine)),
        Job(
            "currencies",
            IntervalTrigger(hours=6, start_date=soon),
            lambda: check_currencies(engine, settings.currency),
        ),
        Job("demand", IntervalTrigger(seconds=60), lambda: renew_demand(engine, settings, clock)),
    ]


def run_job(engine: Engine, job: Job, clock: Clock, beats: dict[str, tuple[datetime, str | None]]) -> None:
    """Do one job and write its heartbeat, at most every few seconds unless it changed; `beats` holds the last ones.

    A failure is logged and shown beside the job; the next tick tries again.
    """
    problem = None
    try:
        job.work()
    except ExpectedError as error:
        problem = str(error)
        log.warning("job_put_off", job=job.name, problem=problem)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"[:500]
        log.exception("job_failed", job=job.name)
    now = clock()
    last_at, last_problem = beats.get(job.name, (datetime.min.replace(tzinfo=UTC), None))
    if now - last_at < BEAT_EVERY and problem == last_problem:
        return
    beats[job.name] = (now, problem)
    beat = {"finished_at": now, "problem": problem}
    with transaction(engine) as session:
        session.execute(
            insert_for(session, Heartbeat)
            .values(job=job.name, **beat)
            .on_conflict_do_update(index_elements=["job"], set_=beat)
        )


def start_scheduler(engine: Engine, settings: Settings, clock: Clock = system_clock) -> BackgroundScheduler:
    """A running scheduler over the table of jobs; each job alone at a time, late ticks merged into one."""
    # A job still at work when its next tick comes is ordinary here, not worth a line each quarter of a second.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler = BackgroundScheduler(timezone=settings.zone)
    beats: dict[str, tuple[datetime, str | None]] = {}
    table = jobs(engine, settings, clock)
    for place, job in enumerate(table):
        first = job.trigger.get_next_fire_time(None, datetime.now(UTC))
        scheduler.add_job(
            run_job,
            job.trigger,
            args=[engine, job, clock, beats],
            id=job.name,
            # Each at another part of the second, so that they don't all want the processor when a permit is due.
            next_run_time=first and first + timedelta(seconds=place / len(table)),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,  # the default of one second drops ticks that come late
        )
    scheduler.start()
    return scheduler


async def dispatching(engine: Engine, settings: Settings, clock: Clock, stack: AsyncExitStack) -> Dispatch:
    """A Dispatch for every channel with a token, its doors closed by `stack`. Called inside the loop that uses it."""
    ids = channel_ids(engine, settings)
    senders = {}
    for channel in settings.channels:
        if channel.access_token.get_secret_value():
            senders[ids[channel.name]] = await stack.enter_async_context(bulk_door(channel, settings))
    return Dispatch(
        engine,
        senders,
        rates=Rates(
            push_per_second=settings.push_per_second,
            multicast_per_second=settings.multicast_per_second,
            connections=settings.send_connections,
        ),
        links=link_maker(settings),
        lease=timedelta(seconds=settings.lease_seconds),
        clock=clock,
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loops, a fifth cheaper for each call, where there is uvloop; None for asyncio's own."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _send_until_told(engine: Engine, settings: Settings, clock: Clock) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        dispatch = await dispatching(engine, settings, clock, stack)
        log.info("worker_started", worker=dispatch.worker)
        await dispatch.run_until(stop)


def work(engine: Engine, settings: Settings, clock: Clock = system_clock) -> bool:
    """Run the jobs and send until SIGTERM or SIGINT; calls under way are finished and recorded first.

    False: a job is still at work after JOBS_END_WITHIN_SECONDS, and the caller must end the process all the same. What
    it leaves in the middle is taken up by the next worker, as what a killed one leaves is.
    """
    scheduler = start_scheduler(engine, settings, clock)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()  # what imports made stays for good: walking over it time and again cost a sixth of a push
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_send_until_told(engine, settings, clock))
    finally:
        gc.unfreeze()
        have_ended = end_jobs(scheduler, JOBS_END_WITHIN_SECONDS)
    return have_ended


def end_jobs(scheduler: BackgroundScheduler, seconds: float) -> bool:
    """Begin no job any more, and wait for those at work; whether all ended within so many seconds."""
    ending = Thread(target=scheduler.shutdown, name="jobs end", daemon=True)
    ending.start()
    ending.join(seconds)
    return not ending.is_alive()
