"""The renewal of tags: which tags each customer should have, compared with what is on, and the differences written.

The same code serves the whole population and a few customers after a change. Order: groups and measures, then
preferences, then rule tags, which may ask for all of those and for each other. Lines that are relative to the
population (top 5 %) are drawn by whole renewals only, stored, and held against single customers in between.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import Engine
from sqlmodel import Session

from segmentation.facts import Facts, keep
from segmentation.preference.words import Tokenize
from segmentation.tags.current import keep_moment, read_current
from segmentation.tags.definitions import MeasureTag, line_of
from segmentation.tags.hand import take_off_ended
from segmentation.tags.lines import drawn
from segmentation.tags.live import Live, LiveTag, live_tags, still_judged
from segmentation.tags.measures import MEASURES, measured
from segmentation.tags.preferred import judge_preferences
from segmentation.tags.program import Program, Programs, Writing
from segmentation.tags.ruled import Ground, judge_measures, judge_rules
from segmentation.tags.sizes import sizes_after, store_outcome
from segmentation.tags.writing import SCHEMA, write_differences
from store.asked import SEGMENTS, ask_for
from store.engine import let_others_write, reading, transaction

CHUNK_ROWS = 6_000  # about 70 ms of writing on SQLite

_programs = Programs()

Table = Any
Hold = Callable[[Session], None]
# Those of these customers whose facts changed since they were read; nobody is erased until the transaction ends.
Overtaken = Callable[[Session, list[int]], set[int]]


@dataclass(frozen=True)
class TagChanges:
    """What a renewal came to."""

    put_on: int = 0
    taken_off: int = 0
    renewed: int = 0  # strength, evidence, or the day on which it falls off


def renew_tags(
    connection: Any,
    engine: Engine,
    facts: Facts,
    groups: Table,
    *,
    as_of: date,
    zone: ZoneInfo,
    now: datetime,
    cycle_days: int | None,
    customer_ids: Sequence[int] | None = None,
    hold: Hold | None = None,
    overtaken: Overtaken | None = None,
    tokenize: Tokenize | None = None,
) -> TagChanges:
    """Put on and take off every active computed tag, as of the start of `as_of` in `zone` (the session's zone).

    `facts` are of the whole population, or of `customer_ids` alone; their segments are those just computed. `groups`
    has `customer_id` and the five columns of segmentation/groups.py, and may have the orders by cycles that evidence
    tells of (`Segmented.by_cycles`). `cycle_days` is the brand's purchase cycle; None when a look-back window lets
    orders vanish, so that nobody can say when a recency is passed. Without `tokenize`, words said in chat are no
    preferences.

    Whole renewals also draw the dynamic lines, make tags of preferences that enough people have, end what people put
    on until a day that has come, and store sizes. Writes in short transactions of its own, in each of which `hold` is
    called first: it may raise to stop. Tags that can't be judged are left as they are, with `Tag.problem` saying why.
    So are, by what is not yet written, a tag that is archived meanwhile, one that is changed (the worker is asked for
    everybody once more), and whoever is `overtaken`: they wait for a renewal of their own.
    """
    is_whole = customer_ids is None

    def writing() -> Any:
        return held_transaction(engine, hold)

    if is_whole:
        with writing() as session:
            take_off_ended(session, today=now.astimezone(zone).date(), now=now)
    with reading(engine) as session:
        live = live_tags(session)
    current = read_current(connection, engine, customer_ids)
    found = keep(connection, "tag_difference", SCHEMA.empty_table())
    if is_whole:
        live = replace(live, tags=[_drawn(connection, facts, tag, as_of) for tag in live.tags])
    at_once = Writing(connection, Program())
    ground = Ground(facts, current, found, keep_moment(connection, now), as_of, zone, cycle_days, at_once)
    live = judge_preferences(live, ground, tokenize, now, writing if is_whole else None)
    _judge(live, ground, groups, is_whole=is_whole)
    changes = _write(connection, engine, writing, now, live, overtaken)
    if is_whole:
        sizes = sizes_after(connection, current, found, facts.segments, ground.moment)
        with writing() as session:
            store_outcome(session, live, sizes, as_of, now)
    return changes


@contextmanager
def held_transaction(engine: Engine, hold: Hold | None) -> Iterator[Session]:
    """A transaction in which `hold` was called first."""
    with transaction(engine) as session:
        if hold is not None:
            hold(session)
        yield session


def _judge(live: Live, ground: Ground, groups: Table, *, is_whole: bool) -> None:
    """Add the differences of all tags but those of preferences; of a few customers by the statements of a former
    renewal if there are any. Those of everybody speak of what was counted for them alone."""

    def write(statements: Writing) -> None:
        before = dict(live.problems)
        judge_measures(live, replace(ground, writing=statements), groups)
        judge_rules(live, replace(ground, writing=statements))
        statements.program.problems.update({k: v for k, v in live.problems.items() if before.get(k) != v})

    if is_whole:
        write(ground.writing)
        return
    connection = ground.writing.connection
    given = [*vars(ground.facts).values(), groups, ground.now, ground.found, ground.moment]
    asked = _asked(live, ground.as_of, ground.zone, ground.cycle_days)
    key = (asked, tuple(connection.compile(table) for table in given))
    live.problems.update(_programs.run(connection, key, write).problems)


def _asked(live: Live, as_of: date, zone: ZoneInfo, cycle_days: int | None) -> Any:
    """All that the statements for a few customers follow from, but the tables' own names."""
    tags = tuple((tag.tag_id, tag.name, tag.source, repr(tag.definition), tag.cut) for tag in live.tags)
    rules = repr(sorted(live.rules.items(), key=lambda item: item[0]))
    return (as_of, zone.key, cycle_days), tags, rules, tuple(live.names.items())


def are_prepared(session: Session, as_of: date, zone: ZoneInfo, cycle_days: int | None) -> bool:
    """Whether this process knows the statements by which `renew_tags` would judge a few customers now."""
    asked = _asked(live_tags(session), as_of, zone, cycle_days)
    return any(key[0] == asked for key in _programs.made_for())


def _drawn(connection: Any, facts: Facts, tag: LiveTag, as_of: date) -> LiveTag:
    """The tag with its line drawn in this population; static ones as they are."""
    definition = tag.definition
    if not isinstance(definition, MeasureTag) or line_of(definition) == "static":
        return tag
    population = measured(facts, MEASURES[definition.measure], as_of)
    return replace(tag, cut=drawn(connection, population, definition))


def _write(
    connection: Any,
    engine: Engine,
    writing: Callable[[], Any],
    now: datetime,
    live: Live,
    overtaken: Overtaken | None,
) -> TagChanges:
    """The kept differences into the database, a short transaction per chunk."""
    # By customer, then tag: next to each other in both indexes, and one order for everybody who writes.
    rows = connection.con.sql("FROM tag_difference ORDER BY customer_id, tag_id")
    total, is_outdated = (0, 0, 0), False
    for number, batch in enumerate(rows.to_arrow_reader(CHUNK_ROWS)):
        if number:
            let_others_write(engine)
        with writing() as session:
            part, has_other = _still_true(session, pa.Table.from_batches([batch]), live, overtaken)
            done = write_differences(session, part, now)
        total = (total[0] + done[0], total[1] + done[1], total[2] + done[2])
        is_outdated |= has_other
    if is_outdated:  # renaming what a rule asks for rewrites the rule, too, and asks for nothing
        with writing() as session:
            ask_for(session, SEGMENTS, actor="worker", now=now, anew=True)
    return TagChanges(*total)


def _still_true(session: Session, rows: pa.Table, live: Live, overtaken: Overtaken | None) -> tuple[pa.Table, bool]:
    """The differences of tags that are judged as they were read, on people whose facts are as they were read; and
    whether a tag is judged otherwise now."""
    same, has_other = still_judged(session, live, pc.unique(rows["tag_id"]).to_pylist())
    rows = rows.filter(pc.is_in(rows["tag_id"], value_set=pa.array(sorted(same), pa.int64())))
    people = pc.unique(rows["customer_id"]).to_pylist()
    gone = overtaken(session, people) if overtaken is not None and people else ()
    is_gone = pc.is_in(rows["customer_id"], value_set=pa.array(sorted(gone), pa.int64()))
    return rows.filter(pc.invert(is_gone)), has_other
