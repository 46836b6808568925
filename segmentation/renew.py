"""Segments and tags put right after a change: only the customers whose facts changed, within seconds, by the values
of the population that the newest whole run found; and everybody, when that is due.

What is to be done stands in the log of changes (store/changes.py); its rows are deleted when their results are
committed, so a process that dies leaves them to the next one. One process at a time does it, by a lease.

Beside a whole run, single customers go on being computed: by the former population, so they are noted to be computed
once more when that run is over. It never overwrites them (writing.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine, select
from sqlmodel import Session

from segmentation.backlog import (
    LEASE_NAME,
    backlog,
    changed_since,
    customer,
    forget_changes,
    log,
    may_be_done,
    seen_changes,
)
from segmentation.engine import Segmented, compute, kept, open_duckdb
from segmentation.facts import Facts
from segmentation.history import draws_anew, latest_run, put_elsewhere
from segmentation.leases import Held, leased
from segmentation.measures import all_acts
from segmentation.population import Population
from segmentation.preference.words import Tokenize
from segmentation.reading import PASSIVE_KINDS, read_changes_again, read_current, read_facts
from segmentation.results import differences, targets
from segmentation.run import Computed, Hold, SegmentRunResult, run_segments, run_table
from segmentation.settings import SegmentSettings, settings_from
from segmentation.tags.assign import are_prepared, renew_tags
from segmentation.tags.catalogue import create_group_tags
from segmentation.tags.needs import needed_facts
from segmentation.writing import Stamp, lock_segments, write_changes
from store.changes import note_changes
from store.clock import Clock, tomorrow
from store.engine import reading, transaction
from store.models import SegmentRun

LEASE = timedelta(seconds=15)  # a slice takes about one; a dead process's work waits that long
SLICE_CUSTOMERS = 500  # computed together: few enough to be done in about a second, and below counting.FEWEST
SLICE_ROWS = 20_000  # of the log, looked at together
MOST_SINGLE = 20_000  # customers waiting; beyond it, computing everybody is faster

Table = Any
logger = structlog.get_logger()


@dataclass(frozen=True)
class Ground:
    """What renewals need of their surroundings. `tokenize` gives the words of what people said; None: without them."""

    engine: Engine
    zone: ZoneInfo
    clock: Clock
    tokenize: Tokenize | None = None
    spark: str | None = None  # the master of a cluster that computes everybody; None: DuckDB, here


@dataclass(frozen=True)
class Slice:
    """Rows of the log, and whose they are."""

    row_ids: dict[int, int]  # row of the log -> customer
    fresh: frozenset[int]  # customers with new facts; of the others only a run's population is new

    @property
    def customer_ids(self) -> list[int]:
        """Ascending, each once."""
        return sorted(set(self.row_ids.values()))


def renew_everyone(ground: Ground, settings: SegmentSettings, *, as_of: date | None = None) -> SegmentRunResult:
    """Compute everybody's segments and tags as of `as_of`; tomorrow when left out, so that everything up to now counts.
    Tags are on now: a day before one that is computed already judges none, and who waits in the log waits on. Raises
    what `run_segments` does."""
    as_of = as_of or tomorrow(ground.clock, ground.zone)
    with transaction(ground.engine) as session:
        create_group_tags(session, ground.clock())

    def tags(done: Computed, hold: Hold) -> None:
        facts = read_facts(done.connection, ground.engine, *_facts_of_tags(ground.engine))
        _renew_tags(ground, done.connection, replace(facts, segments=done.segments), done, hold)

    return run_segments(
        ground.engine,
        as_of=as_of,
        zone=ground.zone,
        clock=ground.clock,
        settings=settings,
        also=tags,
        spark=ground.spark,
    )


def renew_changed(ground: Ground, settings: SegmentSettings) -> int:
    """Compute anew whoever waits in the log; returns how many customers were computed, 0 when nobody waits, or another
    process is at it, or nobody has ever been computed. With more than MOST_SINGLE waiting, everybody is, by
    `settings`."""
    if not 0 < (waiting := _waiting(ground)) <= MOST_SINGLE:
        return renew_everyone(ground, settings).customer_count if waiting else 0
    renewed = 0
    with leased(ground.engine, LEASE_NAME, LEASE, ground.clock) as held:
        while held is not None and 0 < _waiting(ground) <= MOST_SINGLE and (part := _next_slice(ground)) is not None:
            renewed += _renew_slice(ground, held, part)
    return renewed


def prepare(ground: Ground) -> None:
    """Work out how single customers' tags are judged now (tags/program.py), on nobody, unless that is known already. It
    takes seconds, which else the first customer waits who changes on a day, or after tags were changed or a worker was
    started. Writes nothing."""
    stamp = Stamp(None, tomorrow(ground.clock, ground.zone), ground.clock())
    with reading(ground.engine) as session:
        newest = latest_run(session)
        if newest is None or not newest.settings.get("population"):
            return
        has_cycle = newest.settings["look_back_days"] is None
        cycle_days = Population.from_dict(newest.settings["population"]).cycle_days if has_cycle else None
        if are_prepared(session, stamp.as_of, ground.zone, cycle_days):
            return
    with open_duckdb(ground.zone) as connection:
        facts = read_facts(connection, ground.engine, *_facts_of_renewal(ground.engine), customer_ids=())
        done = _computed(connection, facts, newest, ground.zone, stamp)
        _renew_tags(ground, connection, replace(facts, segments=done.segments), done, None, ())


def _waiting(ground: Ground) -> int:
    """How many customers wait; 0 as long as there is no population to measure them by."""
    with reading(ground.engine) as session:
        waiting = backlog(session, ground.clock()).customers
        newest = latest_run(session) if waiting else None
    return waiting if newest and newest.settings.get("population") else 0


def _next_slice(ground: Ground) -> Slice | None:
    """The oldest rows that may be done; None when there are none."""
    columns = (log.c.id, log.c.customer_id, log.c.after_run_id)
    rows = select(*columns).where(may_be_done(ground.clock())).order_by(log.c.id).limit(SLICE_ROWS)
    with reading(ground.engine) as session:
        found = session.execute(rows).all()
    chosen = set(list(dict.fromkeys(row.customer_id for row in found))[:SLICE_CUSTOMERS])
    mine = [row for row in found if row.customer_id in chosen]
    fresh = frozenset(row.customer_id for row in mine if row.after_run_id is None)
    return Slice({row.id: row.customer_id for row in mine}, fresh) if mine else None


def _renew_slice(ground: Ground, held: Held, part: Slice) -> int:
    """Compute, write and forget some customers; returns how many are done. Those who were overtaken stay in the log."""
    engine, ids = ground.engine, part.customer_ids
    with reading(engine) as session:
        newest = latest_run(session)
        assert newest is not None
        is_relabelled = draws_anew(session, newest.id or 0, newest.as_of, newest.settings["chosen"])
    relabelled = set(ids) - part.fresh if is_relabelled else set()
    stamp = Stamp(None, tomorrow(ground.clock, ground.zone), ground.clock())
    seen = seen_changes(engine)
    with open_duckdb(ground.zone) as connection:
        current = read_current(connection, engine, customer_ids=ids)  # before the facts: see results.differences
        names = _facts_of_renewal(engine)
        facts = read_facts(connection, engine, *names, customer_ids=ids)
        with reading(engine) as session:  # after `current`: whom a run writes from here on is overtaken
            relabelled |= put_elsewhere(session, newest, ids)
        done = replace(_computed(connection, facts, newest, ground.zone, stamp), seen=seen)
        rows = differences(connection, done.segments, current, everyone=True, relabelled=relabelled)
        with transaction(engine) as session:
            held.hold(session)
            lock_segments(session, alone=True)  # first: until we have written, no run begins or ends
            if _newest_id(session) != newest.id:
                return 0  # a whole run has found another population meanwhile: once more, by that
            written = write_changes(session, stamp, rows)
            if (run_id := _running_id(session, stamp.at)) is not None:
                still = select(customer.c.id).where(customer.c.id.in_(ids))  # some were merged away meanwhile
                note_changes(session, still, stamp.at, after_run_id=run_id)
        if "changes" in names:  # a rule may ask for the very move that was just written
            facts = read_changes_again(connection, engine, facts, ids)
        _renew_tags(ground, connection, replace(facts, segments=done.segments), done, held.hold, ids)
    overtaken = set(written.overtaken)
    forget_changes(engine, [row_id for row_id, who in part.row_ids.items() if who not in overtaken], held.hold)
    logger.info("customers_renewed", customers=len(ids), moved=written.moved, overtaken=len(overtaken))
    return len(ids) - len(overtaken)


def _computed(connection: Any, facts: Facts, newest: SegmentRun, zone: ZoneInfo, stamp: Stamp) -> Computed:
    """The customers of `facts`, measured as the newest run measured everybody."""
    settings = settings_from(newest.settings["chosen"])
    population = Population.from_dict(newest.settings["population"])
    acts = all_acts(facts.orders, facts.events.filter(~facts.events.kind.isin(PASSIVE_KINDS)))
    orders = facts.orders.select("customer_id", "ordered_at", "amount")
    request = settings.request(stamp.as_of, zone)
    segmented: Segmented = compute(connection, orders, request, population=population, acts=acts)
    whole = kept(connection, "computed", segmented.table)
    segments = kept(connection, "target_segments", targets(facts.customers, whole, stamp.as_of))
    return Computed(connection, segments, whole, segmented, request, stamp)


def _renew_tags(
    ground: Ground,
    connection: Any,
    facts: Facts,
    done: Computed,
    hold: Hold | None,
    customer_ids: Sequence[int] | None = None,
) -> None:
    by_cycles = done.segmented.by_cycles
    renew_tags(
        connection,
        ground.engine,
        facts,
        done.groups if by_cycles is None else done.groups.left_join(by_cycles, "customer_id"),
        as_of=done.stamp.as_of,
        zone=ground.zone,
        now=ground.clock(),
        # with a look-back window nobody can say when a recency is passed
        cycle_days=None if done.request.look_back_days else done.segmented.cycle_days,
        customer_ids=customer_ids,
        hold=hold,
        overtaken=partial(_overtaken, done, customer_ids is None),
        tokenize=ground.tokenize,
    )


def _overtaken(done: Computed, is_whole: bool, session: Session, customer_ids: list[int]) -> set[int]:
    """Whose facts changed since `done` read them: they stand in the log, and are computed anew by what is true now."""
    return changed_since(session, done.seen, customer_ids, by_runs_too=is_whole)


def _facts_of_renewal(engine: Engine) -> frozenset[str]:
    """What single customers' segments and tags follow from."""
    return _facts_of_tags(engine) | {"customers", "orders", "events"}


def _facts_of_tags(engine: Engine) -> frozenset[str]:
    with reading(engine) as session:
        return needed_facts(session)


def _newest_id(session: Session) -> int | None:
    newest = select(run_table.c.id).where(run_table.c.state == "finished").order_by(run_table.c.id.desc()).limit(1)
    return session.scalar(newest)


def _running_id(session: Session, now: datetime) -> int | None:
    """The run that is at work, if any."""
    alive = (run_table.c.state == "running") & (run_table.c.lease_until >= now)
    return session.scalar(select(run_table.c.id).where(alive))
