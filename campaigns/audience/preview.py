"""Whom an audience means, before it is saved: how many, and ten of them with why each would be skipped. Reads only.

Without rules it is counted in the database, as it is now. Rules are asked of the newest snapshot of the facts, or of
the database before the first. The ten are people who would be sent to, as far as there are any, judged by the gate as
it stands; then others. The gate is asked of so many only, `LOOKED_AT`, that the page doesn't wait for it: who can't be
reached at all is left out before, so only where caps hold for thousands in a row may recipients be missed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import Engine, exists, func, not_, or_, select, true, union
from sqlmodel import Session

from campaigns.audience.ahead import planned_ahead
from campaigns.audience.gate import best_account, contacts_of, counting_of, limits_of, reason_to_skip
from campaigns.audience.target import Audience, Target, Targets, all_of, members, read_targets
from campaigns.settings import read_settings
from segmentation.engine import kept, open_duckdb
from segmentation.facts import keep
from segmentation.reading import read_facts
from segmentation.rules.compile import compile_rules
from segmentation.rules.narrowing import narrowed
from segmentation.rules.references import References
from segmentation.rules.saved import load_rules
from segmentation.rules.types import InSegment, Rule, Tagged
from segmentation.snapshot import newest_snapshot, read_snapshot, written_at
from store.clock import Clock, tomorrow
from store.engine import is_sqlite, reading, table_of
from store.models import Campaign, Customer, CustomerSegment, LineAccount

SHOWN = 10
LOOKED_AT = (200, 1_000, 4_000)  # people at once: mostly the first have ten recipients among them

customer, segment, account = table_of(Customer), table_of(CustomerSegment), table_of(LineAccount)


@dataclass(frozen=True)
class PreviewedPerson:
    """One of an audience. `segment`: rfm8. `reason`: why they would be skipped now; None: they wouldn't."""

    customer_id: int
    member_id: str | None
    name: str | None
    segment: str | None
    reason: str | None


@dataclass(frozen=True)
class Preview:
    """`people`: how many the audience means. `counted_at`: of the snapshot that was asked; None: the database.
    `first`: ten of them at most, those who would be sent to before the others, each by id."""

    people: int
    counted_at: datetime | None
    first: list[PreviewedPerson]

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs."""
        return asdict(self)


def preview(
    engine: Engine,
    audience: Audience,
    *,
    snapshot_folder: Path,
    channel_id: int,
    is_capped: bool = True,
    priority: int = 0,
    zone: ZoneInfo,
    clock: Clock,
) -> Preview:
    """How many `audience` means, and ten of them. Raises UnknownTarget and RuleError."""
    with reading(engine) as session:
        targets = read_targets(session, audience)
        rules = load_rules(session)
        if not targets.rules():
            meant, people = _meant(session, targets).subquery(), _people(session, targets)
            needs_opt_in = is_capped and read_settings(session).needs_opt_in
            likely, ids = _ids(session, channel_id, meant, needs_opt_in) if people else ([], [])
            counted_at = None
        else:
            listed = {t.name: _listed(session, t) for t in (*targets.wanted, *targets.unwanted) if t.kind == "list"}
    if targets.rules():
        people, likely, counted_at = _asked(engine, targets, listed, References(rules), snapshot_folder, zone, clock)
        ids = sorted(likely)
    with reading(engine) as session:
        as_if = Campaign(channel_id=channel_id, name="", way="push", created_at=clock(), priority=priority)
        as_if.is_capped = is_capped
        return Preview(people, counted_at, _ten(session, as_if, likely, ids, zone=zone, now=clock()))


def _people(session: Session, targets: Targets) -> int:
    """How many `targets` mean, without rules."""

    def count(of: Targets) -> int:
        return session.scalar(select(func.count()).select_from(_meant(session, of).subquery())) or 0

    wants_all, leaves_all = (any(target.kind == "all" for target in of) for of in (targets.wanted, targets.unwanted))
    if wants_all and not leaves_all:
        everybody = session.scalar(select(func.count()).select_from(customer)) or 0
        return everybody - (count(Targets(targets.unwanted, ())) if targets.unwanted else 0)
    return count(targets)


def _meant(session: Session, targets: Targets) -> Any:
    """SQL: the ids of those whom `targets` mean. To ask of each customer takes half a second for a million: one target
    is found by its index, several segments in their table, others by their indexes together."""
    if any(target.kind == "all" for target in (*targets.wanted, *targets.unwanted)):
        return select(customer.c.id).where(targets.condition(0))
    if targets.alone is not None and not targets.unwanted:
        return all_of(targets.alone)
    if all(target.kind == "segment" for target in targets.wanted):
        return _of_segments(session, targets)
    found = union(*map(all_of, targets.wanted)).subquery()
    unwanted = (exists(_of(target, found.c.id).correlate(found)) for target in targets.unwanted)
    return select(found.c.id).where(*map(not_, unwanted))


def _of_segments(session: Session, targets: Targets) -> Any:
    """The same where only segments are wanted."""
    theirs = table_of(CustomerSegment).alias()

    def is_in(target: Target) -> Any:
        # Not by an index on SQLite, which would look up each of several segments' people by itself, and sort them.
        column = func.coalesce(theirs.c[target.name], "") if is_sqlite(session) else theirs.c[target.name]
        return column == target.segment

    others = (
        theirs.c[target.name].is_distinct_from(target.segment)
        if target.kind == "segment"
        else ~exists(_of(target, theirs.c.customer_id).correlate(theirs))
        for target in targets.unwanted
    )
    return select(theirs.c.customer_id.label("id")).where(or_(*map(is_in, targets.wanted)), *others)


def _of(target: Target, ids: Any) -> Any:
    """SQL: the row that says of a customer that the target means them."""
    if target.kind != "segment":
        return members(target, 0, lambda customer_id: customer_id == ids)
    row = table_of(CustomerSegment).alias()
    return select(row.c.customer_id).where(row.c.customer_id == ids, row.c[target.name] == target.segment)


def _ids(session: Session, channel_id: int, meant: Any, needs_opt_in: bool) -> tuple[list[int], list[int]]:
    """Of those whom `meant` means: who can be reached on the channel, as many as the gate may be asked of; and the
    first ten of all, where those are fewer. Both by id."""
    theirs = (account.c.customer_id == customer.c.id, account.c.channel_id == channel_id)
    reachable = (
        customer.c.marketing_refused_at.is_(None),
        customer.c.marketing_agreed_at.is_not(None) if needs_opt_in else true(),
        exists().where(*theirs, account.c.is_following.is_not(False)),
    )
    by_id = select(meant.c.id).order_by(meant.c.id)
    reached = by_id.join(customer, customer.c.id == meant.c.id).where(*reachable)
    likely = list(session.scalars(reached.limit(sum(LOOKED_AT))))
    return likely, [] if len(likely) >= SHOWN else list(session.scalars(by_id.limit(SHOWN)))


def _ten(
    session: Session, campaign: Campaign, likely: Sequence[int], ids: Sequence[int], *, zone: ZoneInfo, now: datetime
) -> list[PreviewedPerson]:
    """Ten of whom the gate lets pass, looked for among `likely` in its order; less than ten are filled up from others
    of both, the first by id."""
    found: list[PreviewedPerson] = []
    others: dict[int, PreviewedPerson] = {}
    start = 0
    for size in LOOKED_AT if likely else ():
        looked_at = _judged(session, campaign, likely[start : start + size], zone=zone, now=now)
        found += [one for one in looked_at if one.reason is None]
        others |= {one.customer_id: one for one in looked_at if one.reason is not None}
        start += size
        if len(found) >= SHOWN:
            return found[:SHOWN]
    passed = {one.customer_id for one in found}
    unseen = [one for one in ids if one not in others and one not in passed][:SHOWN]
    others |= {one.customer_id: one for one in _judged(session, campaign, unseen, zone=zone, now=now)}
    return [*found, *sorted(others.values(), key=lambda one: one.customer_id)][:SHOWN]


def _judged(
    session: Session, campaign: Campaign, ids: Sequence[int], *, zone: ZoneInfo, now: datetime
) -> list[PreviewedPerson]:
    def of(column: Any) -> Any:
        return column.in_(ids)

    settings = read_settings(session)
    ahead = planned_ahead(session, campaign, settings, run_id=0, zone=zone, now=now)
    limits = limits_of(campaign, settings, zone=zone, now=now, ahead=ahead)
    best, is_theirs = best_account(session, campaign.channel_id, of)
    counting = counting_of(session, limits, but_run=None)
    contacts = contacts_of(session, counting, limits, of, but_run=None, now=now)
    joined = customer.outerjoin(best, is_theirs)
    joined = joined.outerjoin(segment, segment.c.customer_id == customer.c.id)
    if contacts is not None:
        joined = joined.outerjoin(contacts, contacts.c.customer_id == customer.c.id)
    reason = reason_to_skip(customer, best, contacts, limits, cut=None)
    rows = session.execute(
        select(customer.c.id, customer.c.member_id, customer.c.name, segment.c.rfm8, reason)
        .select_from(joined)
        .where(of(customer.c.id))
        .order_by(customer.c.id)
    )
    return [PreviewedPerson(*row) for row in rows]


def _listed(session: Session, target: Target) -> list[int]:
    return list(session.scalars(members(target, 0, lambda customer_id: customer_id.is_not(None))))


def _asked(
    engine: Engine,
    targets: Targets,
    listed: dict[str, list[int]],
    references: References,
    snapshot_folder: Path,
    zone: ZoneInfo,
    clock: Clock,
) -> tuple[int, list[int], datetime | None]:
    """People, ids of as many as the gate may be asked of, who seems to follow first, and the time of the snapshot that
    was asked. All targets are asked in one pass."""
    both = [*targets.wanted, *targets.unwanted]
    asked = {f"t{place}": rule for place, target in enumerate(both) if (rule := _as_rule(target)) is not None}
    compiled = compile_rules(asked, tomorrow(clock, zone), zone, references)
    needed = {"customers", *compiled.facts_needed()}
    newest = newest_snapshot(snapshot_folder)
    with open_duckdb(zone) as connection:
        if newest is None:
            facts = read_facts(connection, engine, *needed)
        else:
            facts = read_snapshot(connection, snapshot_folder, *needed)
        if len(targets.wanted) == 1 and "t0" in asked:  # nobody else can be meant
            facts = narrowed(connection, facts, asked["t0"], compiled.as_of.day, zone, references, read=needed).facts
        measured = compiled.measured(facts)
        columns = {name: compiled.holds(measured, name) for name in asked}
        found = kept(connection, "audience", measured.select("customer_id", **columns))
        tests = [_test(connection, found, target, f"t{place}", listed) for place, target in enumerate(both)]
        wanted, unwanted = tests[: len(targets.wanted)], tests[len(targets.wanted) :]
        fits = found.filter(_any(wanted))
        for test in unwanted:
            fits = fits.filter(~test)
        count = int(connection.to_pyarrow(fits.count()).as_py())
        known = fits.join(facts.customers.select("customer_id", "is_following", "is_refused"), "customer_id")
        hope = (
            (known.is_following & ~known.is_refused)
            .fill_null(False)
            .ifelse(0, known.is_following.isnull().ifelse(1, 2))
        )
        first = connection.to_pyarrow(known.order_by(hope, "customer_id").select("customer_id").limit(sum(LOOKED_AT)))
        return count, first.column("customer_id").to_pylist(), None if newest is None else written_at(newest)


def _any(tests: Sequence[Any]) -> Any:
    found = tests[0]
    for test in tests[1:]:
        found = found | test
    return found


def _as_rule(target: Target) -> Rule | None:
    """The rule that says the same; None where none does."""
    if target.kind == "segment":
        return InSegment(model=target.name, in_=(target.segment,))
    return Tagged(name=target.name) if target.kind == "tag" else target.rule


def _test(connection: Any, found: Any, target: Target, name: str, listed: dict[str, list[int]]) -> Any:
    if target.kind == "all":
        return found.customer_id.notnull()
    if target.kind != "list":
        return found[name]
    ids = pa.table({"id": pa.array(listed[target.name], pa.int64())})
    return found.customer_id.isin(keep(connection, f"list_{name}", ids).id)
