"""Freezing: a run's whole audience becomes delivery rows, with retry keys, before any call to LINE.

Set-based and in slices of people, each its own short transaction under the run's row lock: any number of workers may
freeze one run together, and a crash goes on where the last slice was committed (`CampaignRun.frozen_up_to`).
"""

import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import structlog
from sqlalchemy import (
    BigInteger,
    Engine,
    String,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
)
from sqlmodel import Session

from campaigns.audience.gate import (
    Counting,
    best_account,
    contacts_of,
    counting_holds,
    counting_of,
    limits_of,
    reason_to_skip,
)
from campaigns.audience.members import find_members, targets_of
from campaigns.audience.numbering import are_still_there, numbered
from campaigns.audience.target import Targets, members
from campaigns.content.languages import version_column
from campaigns.content.parts import ONE_BODY
from campaigns.experiments.arms import armed, is_in_rule_arm
from campaigns.experiments.assignment import is_held_out, is_held_out_of_all, period_of, variant_place, wave_place
from campaigns.experiments.design import experiment_of
from campaigns.money.gain import EVERYBODY, Cut, gain_cut, gains_of
from campaigns.money.quota import quota_state
from campaigns.planning.best_hour import HOURS
from campaigns.planning.enrolments import enrol_frozen
from campaigns.planning.hours import hour_of, moments_of_hours
from campaigns.planning.schedule import audience_is_frozen
from campaigns.results.tally import tally_frozen
from campaigns.sending.units import reserve_units
from campaigns.settings import read_settings
from store.clock import Clock
from store.engine import is_sqlite, let_others_write, reading, table_of, transaction
from store.locks import DELIVERIES, lock_until_end
from store.models import (
    Campaign,
    CampaignRun,
    Customer,
    CustomerSegment,
    Delivery,
    Enrolment,
    RunMember,
    SendBatch,
)

log = structlog.get_logger()

BATCH_SIZE = 500  # recipients: LINE's limit of one multicast ("Send multicast message")
SLICE = 20_000  # people looked at in one transaction
FIRST_SLICE = 4_000  # small, so that the first are soon on their way
NARROW_SLICE = 4_000  # of an audience that is narrow: their ids stand in the statement
SLICE_SECONDS = 0.15  # on SQLite clicks wait as long as a slice takes (webhooks don't): slices are made to fit
EVERY_ID = 2**62  # beyond every customer's id

customer, segment, delivery = table_of(Customer), table_of(CustomerSegment), table_of(Delivery)
run_member, enrolment, batch = table_of(RunMember), table_of(Enrolment), table_of(SendBatch)


def planned_runs(session: Session, *, now: datetime) -> list[int]:
    """Ids of the runs whose audience is to be frozen now, not of those that quiet hours put off: the highest priority
    first, which so claims its people, then the oldest."""
    run, campaign = table_of(CampaignRun), table_of(Campaign)
    begins = (run.c.state == "planned", or_(run.c.send_from.is_(None), run.c.send_from <= now))
    planned = select(run.c.id).join(campaign, campaign.c.id == run.c.campaign_id).where(*begins)
    return list(session.scalars(planned.order_by(campaign.c.priority.desc(), run.c.id)))


def freeze_run(engine: Engine, run_id: int, *, zone: ZoneInfo, clock: Clock) -> None:
    """Freeze the whole audience of a planned run, and make it ready to send; nothing when another worker asks its rules
    at this moment, or it is no longer planned.

    Raises BadInput (UnknownTarget, RuleError) when what it is for has gone meanwhile, LeaseLost as find_members.
    """
    if not find_members(engine, run_id, zone=zone, clock=clock):
        return
    with transaction(engine) as session:  # before the first slice: batches may be sent while later ones are frozen
        unnamed = reserve_units(session, run_id, now=clock())
    if unnamed:
        log.warning("no_aggregation_units_left", run_id=run_id, variants=unnamed)
    find_arms(engine, run_id, zone=zone, clock=clock)
    find_cut(engine, run_id, zone=zone, clock=clock)
    freeze = _freeze_on_sqlite if is_sqlite(engine) else _freeze_on_postgres
    freeze(engine, run_id, Statements(clock()), zone=zone, clock=clock)


def _freeze_on_postgres(engine: Engine, run_id: int, kept: "Statements", *, zone: ZoneInfo, clock: Clock) -> None:
    is_more, size = True, FIRST_SLICE
    while is_more:
        with transaction(engine) as session:
            is_more = freeze_slice(session, run_id, zone=zone, now=clock(), size=size, kept=kept)
        size = SLICE


def _freeze_on_sqlite(engine: Engine, run_id: int, kept: "Statements", *, zone: ZoneInfo, clock: Clock) -> None:
    """Choosing takes as long as writing: it is done before the lock is taken for which everybody else would wait."""
    is_more, size = True, FIRST_SLICE
    while is_more:
        with engine.connect() as connection:
            with Session(connection.execution_options(writes=False)) as session, session.begin():
                ahead = choose_ahead(session, run_id, zone=zone, size=size, kept=kept)
            with Session(connection.execution_options(writes=True)) as session, session.begin():
                start = time.perf_counter()
                is_more = freeze_slice(session, run_id, zone=zone, now=clock(), size=size, kept=kept, ahead=ahead)
        size = _fitting(size, time.perf_counter() - start)
        let_others_write(engine)


def find_arms(engine: Engine, run_id: int, *, zone: ZoneInfo, clock: Clock) -> None:
    """Where learned targeting runs against the hand rule (campaigns/experiments/arms.py): settle whom expected gain
    chooses in its half, as many as the rule would choose there. Looks only as long as nobody is frozen."""
    with reading(engine) as session:
        run = session.get_one(CampaignRun, run_id)
        campaign = session.get_one(Campaign, run.campaign_id)
        if not experiment_of(campaign.experiment).learned_targeting or run.by_enrolment:
            return
        if run.state != "planned" or run.frozen_up_to or run.arms is not None:
            return
        freeze, whole, targets = Freeze(session, run, zone, clock()), _whole(session, run), targets_of(session, run)
        by_rule = and_(~is_in_rule_arm(customer.c.id, run.campaign_id), whole.condition)
        in_half = and_(~is_in_rule_arm(customer.c.id, run.campaign_id), targets.exclusion(run_id))
        wanted, half = (
            select(judged.c.customer_id).where(judged.c.state == "chosen")
            for judged in (freeze.judged(replace(whole, condition=c)).subquery() for c in (by_rule, in_half))
        )
        allowed = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        gains = gains_of(session, np.random.default_rng(run_id))
        cut = gain_cut(session, half, allowed=allowed, run_id=run_id, gains=gains)
    arms = cut or Cut(gains, run_id, EVERYBODY)
    with transaction(engine) as session:
        run = session.get_one(CampaignRun, run_id, with_for_update=True)
        if run.state == "planned" and not run.frozen_up_to and run.arms is None:
            run.arms = arms.to_json()
            session.add(run)


def find_cut(engine: Engine, run_id: int, *, zone: ZoneInfo, clock: Clock) -> None:
    """Where the quota is too short for a run that is about to be frozen: settle who is left out, those with the least
    expected gain (campaigns/money/gain.py). Looks only as long as nobody is frozen; holds no lock while it counts."""
    with reading(engine) as session:
        run = session.get_one(CampaignRun, run_id)
        if run.state != "planned" or run.frozen_up_to or run.gain_cut is not None:
            return
        channel_id = session.get_one(Campaign, run.campaign_id).channel_id
        left = quota_state(session, channel_id, zone=zone, now=clock(), but_run=run_id).left
        if left is None or left >= (session.scalar(select(func.count()).select_from(customer)) or 0):
            return
        judged = Freeze(session, run, zone, clock()).judged(_whole(session, run)).subquery()
        chosen = select(judged.c.customer_id).where(judged.c.state == "chosen")
        gains = gains_of(session, np.random.default_rng(run_id))
        cut = gain_cut(session, chosen, allowed=left, run_id=run_id, gains=gains)
    if cut is None:
        return
    with transaction(engine) as session:
        run = session.get_one(CampaignRun, run_id, with_for_update=True)
        if run.state == "planned" and not run.frozen_up_to and run.gain_cut is None:
            run.gain_cut = cut.to_json()
            session.add(run)


def _fitting(size: int, seconds: float) -> int:
    """The size of the next slice after one of `size` took so long: at most half as much again, at most SLICE."""
    return max(SLICE // 80, min(SLICE, size * 3 // 2, int(size * SLICE_SECONDS / max(seconds, 1e-6))))


class Statements:
    """What a worker keeps from slice to slice of a run: the statements that write one, which take longer to build than
    a small slice takes; and the moment as of which all of its slices are chosen."""

    def __init__(self, as_of: datetime) -> None:
        self.as_of = as_of
        self._ground: Any = None
        self._made: list[Any] = []

    def on(self, ground: Any, make: Callable[[], list[Any]]) -> list[Any]:
        """The statements that `make` made for the same ground, or makes now."""
        if ground != self._ground:
            self._ground, self._made = ground, make()
        return self._made


def freeze_slice(
    session: Session,
    run_id: int,
    *,
    zone: ZoneInfo,
    now: datetime,
    size: int = SLICE,
    kept: Statements | None = None,
    ahead: "Choice | None" = None,
) -> bool:
    """Freeze the next slice of a planned run, `size` people looked at; False when nothing was left to do. `ahead`:
    whom `choose_ahead` chose for it on this connection; they are chosen anew unless that still holds.

    With the last slice the run becomes ready to send. Rules must have been asked: see members.py. Raises UnknownTarget
    and RuleError when the target has gone meanwhile.
    """
    kept = kept or Statements(now)
    run = session.get(CampaignRun, run_id, with_for_update=True, populate_existing=True)
    if run is None or run.state != "planned":
        return False
    lock_until_end(session.connection(), DELIVERIES)
    targets = None if run.by_enrolment else targets_of(session, run)
    if targets is not None and targets.rules() and run.members_at is None:
        return False
    frozen = Freeze(session, run, zone, kept.as_of)
    if ahead is None or not frozen.still_holds(ahead):
        part = _next_part(session, run, targets, size)
        if part is None:
            if _forget_members(session, run_id, size):
                return True
            audience_is_frozen(session, run, now=now)
            return False
        ahead = frozen.choose(part, kept)
    part = ahead.part
    frozen.write(ahead)
    frozen.batches()
    enrol_frozen(session, run_id, part.low, part.high)
    session.execute(delete(run_member).where(run_member.c.run_id == run_id, run_member.c.customer_id <= part.high))
    run.frozen_up_to = part.high
    session.add(run)
    return True


def choose_ahead(session: Session, run_id: int, *, zone: ZoneInfo, size: int, kept: Statements) -> "Choice | None":
    """Whom the next slice of a planned run will have, for `freeze_slice` on the same connection; None where that is to
    find out for itself. For SQLite: reads only, but for a temporary table of the connection, so nobody waits for it."""
    run = session.get(CampaignRun, run_id, populate_existing=True)
    if run is None or run.state != "planned":
        return None
    targets = None if run.by_enrolment else targets_of(session, run)
    if targets is not None and targets.rules() and run.members_at is None:
        return None
    part = _next_part(session, run, targets, size)
    return None if part is None else Freeze(session, run, zone, kept.as_of).choose(part, kept)


def _forget_members(session: Session, run_id: int, size: int) -> bool:
    """Delete members whom no slice came to: those who were to be left out of a narrow audience. False: none is left."""
    some = select(run_member.c.customer_id).where(run_member.c.run_id == run_id).limit(size)
    gone = session.execute(delete(run_member).where(run_member.c.run_id == run_id, run_member.c.customer_id.in_(some)))
    return bool(gone.rowcount)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Part:
    """The customers of a slice: those above `low` up to `high` that fit `condition`, or, where the audience is narrow,
    those of `ids` (ascending)."""

    low: Any  # an int; a parameter, in statements for any slice
    high: Any
    condition: Any
    ids: Sequence[int] | None

    def of(self, column: Any) -> Any:
        """SQL: whether a column of customer ids is of the slice."""
        if self.ids is None:
            return and_(column > self.low, column <= self.high)
        # Written into the statement: as parameters they would be too many for either database.
        return column.in_(bindparam("slice_ids", self.ids, expanding=True, literal_execute=True))


def _next_part(session: Session, run: CampaignRun, targets: Targets | None, size: int) -> _Part | None:
    """The next slice of a run; None: nobody is left."""
    assert run.id is not None
    low = run.frozen_up_to
    if targets is not None and (run.arms is not None or not targets.is_narrow()):
        following = select(customer.c.id).where(customer.c.id > low)
        high = session.scalar(following.order_by(customer.c.id).offset(size - 1).limit(1))
        if high is None:  # fewer are left
            high = session.scalar(following.with_only_columns(func.max(customer.c.id)))
        return None if high is None else _Part(low, high, _condition(run, targets), None)
    size = min(size, NARROW_SLICE)
    if targets is None:
        sources = [select(enrolment.c.customer_id.label("id")).where(*_taken(run.id), enrolment.c.customer_id > low)]
        exclusion = true()
    else:
        sources = [members(target, run.id, lambda customer_id: customer_id > low) for target in targets.wanted]
        exclusion = targets.exclusion(run.id)
    found: set[int] = set()
    for source in sources:
        found.update(session.scalars(source.order_by("id").limit(size)))
    ids = sorted(found)[:size]
    return _Part(low, ids[-1], exclusion, ids) if ids else None


@dataclass(frozen=True)
class Choice:
    """A slice whose people are chosen: what writes them, and what it rests on."""

    part: _Part
    after: int  # up to which customer the run was frozen
    is_anybody_there: bool
    write: Any  # the statement; numbers of batches are parameters of it
    values: dict[str, Any]


def _whole(session: Session, run: CampaignRun) -> _Part:
    """Everybody a run is for, as one part."""
    assert run.id is not None
    high = session.scalar(select(func.max(customer.c.id))) or 0
    if not run.by_enrolment:
        return _Part(0, high, _condition(run, targets_of(session, run)), None)
    return _Part(0, high, exists().where(*_taken(run.id), enrolment.c.customer_id == customer.c.id), None)


def _condition(run: CampaignRun, targets: Targets) -> Any:
    """SQL on the `customer` table: whom a run is for."""
    assert run.id is not None
    rule = targets.condition(run.id)
    if run.arms is None:
        return rule
    return armed(run, customer.c.id, rule=rule, exclusion=targets.exclusion(run.id))


def _taken(run_id: int) -> tuple[Any, ...]:
    return enrolment.c.run_id == run_id, enrolment.c.state == "taken"


def judged_now(session: Session, campaign: Campaign, condition: Any, *, zone: ZoneInfo, now: datetime) -> Any:
    """SELECT of everybody whom `condition` (SQL on the `customer` table) means, as a run of the campaign that fires now
    would find them: customer_id, segment, reason, state … Nothing is written."""
    variants = [{"variant_id": 0, "weight": 1.0, "languages": {}}]  # who gets which doesn't matter here
    given: dict[str, Any] = {"variants": variants, "scheduled_for": now, "fired_at": now}
    run = CampaignRun(id=0, campaign_id=campaign.id or 0, way=campaign.way, **given)
    return Freeze(session, run, zone, now).judged(_Part(0, EVERY_ID, condition, None))


class Freeze:
    """One slice being written. A batch holds people of one kind: of one wave and one hour, and, where a call has one
    body, of one variant and one language. Kinds are numbers from 0; a batch's number tells its kind. Variants of later
    waves are given when they are let go: campaigns/experiments/waves.py."""

    def __init__(self, session: Session, run: CampaignRun, zone: ZoneInfo, now: datetime) -> None:
        self._session, self._run, self._zone, self._now = session, run, zone, now
        self._campaign = session.get_one(Campaign, run.campaign_id)
        self._settings = read_settings(session)
        self._limits = limits_of(self._campaign, self._settings, zone=zone, now=now)
        has_one_body = run.way in ONE_BODY
        languages = {language for variant in run.variants for language in variant["languages"]}
        self._languages = [None, *sorted(languages)] if has_one_body else [None]
        self._variants = [variant["variant_id"] for variant in run.variants] if has_one_body else [None]
        self._cut = Cut.from_json(run.id or 0, run.gain_cut) if run.gain_cut is not None else None
        self._waves = experiment_of(self._campaign.experiment).parts()
        self._hours = [*moments_of_hours(now, zone), None] if self._campaign.at_best_hour else [None]
        last = select(func.coalesce(func.max(batch.c.batch_number), 0)).where(batch.c.run_id == run.id)
        self._first = session.scalars(last).one() + 1

    @property
    def _kinds(self) -> int:
        return len(self._hours) * len(self._waves) * len(self._variants) * len(self._languages)

    def choose(self, part: _Part, kept: Statements) -> Choice:
        """Choose the people of a slice; nothing is written yet."""
        counting = counting_of(self._session, self._limits, but_run=self._run.id)
        is_there = self._is_anybody_there(part)
        values: dict[str, Any] = {}
        if part.ids is None:
            values |= {"slice_low": part.low, "slice_high": part.high}
            bounds = replace(part, low=bindparam("slice_low"), high=bindparam("slice_high"))
            ground = (self._limits, counting, is_there)
            *first, write = kept.on(ground, lambda: self._statements(bounds, counting, is_there))
        else:
            *first, write = self._statements(part, counting, is_there)
        for statement in first:
            self._session.execute(statement, values)
        return Choice(part, self._run.frozen_up_to, is_there, write, values)

    def still_holds(self, choice: Choice) -> bool:
        """On SQLite, under the lock: whether a choice made on this connection before it would be made again. Since then
        another worker may have frozen the slice, or another run that counts towards caps, and people may have been
        merged, erased, or have refused."""
        return (
            choice.after == self._run.frozen_up_to
            and not choice.is_anybody_there
            and not self._is_anybody_there(choice.part)
            and counting_holds(self._session, self._limits, but_run=self._run.id)
            and are_still_there(self._session)
        )

    def write(self, choice: Choice) -> None:
        """Write the deliveries of a slice."""
        values = choice.values | {"slice_first": self._first}
        if self._run.way == "push" and is_sqlite(self._session):
            values |= {"slice_key": str(uuid.uuid4())[:-12], "slice_digits": secrets.randbits(48)}
        self._session.execute(choice.write, values)

    def _statements(self, part: _Part, counting: Counting, is_there: bool) -> list[Any]:
        """What writes a slice, to be executed in order; its numbers and its keys are parameters."""
        run = self._run
        first, person = numbered(self._session, self._judged(part, counting, is_there))
        is_chosen = person.c.state == "chosen"
        number = bindparam("slice_first", type_=BigInteger) + person.c.place // BATCH_SIZE * self._kinds + person.c.kind
        variant_id = case({n: v["variant_id"] for n, v in enumerate(run.variants)}, value=person.c.variant_place)
        is_first_wave = and_(is_chosen, person.c.wave_place == 0)
        key = case((is_chosen, _new_key(self._session, person.c.customer_id))) if run.way == "push" else null()
        rows = select(
            literal(run.id),
            person.c.customer_id,
            person.c.line_user_id,
            case((is_first_wave, variant_id)),
            person.c.segment,
            person.c.state,
            person.c.reason,
            case((is_chosen, number)),
            cast(key, String),
            false(),
        )
        names = ["run_id", "customer_id", "line_user_id", "variant_id", "segment", "state", "reason", "batch_number"]
        names += ["retry_key", "by_reply"]
        return [*first, insert(delivery).from_select(names, rows, include_defaults=False)]

    def judged(self, part: _Part) -> Any:
        """SELECT of everybody in a slice: what the gate says, and what they would get and when."""
        counting = counting_of(self._session, self._limits, but_run=self._run.id)
        return self._judged(part, counting, self._is_anybody_there(part))

    def _judged(self, part: _Part, counting: Counting, is_there: bool) -> Any:
        run, campaign = self._run, self._campaign
        assert campaign.id is not None
        assert run.id is not None
        account, is_theirs = best_account(self._session, campaign.channel_id, part.of)
        contacts = contacts_of(self._session, counting, self._limits, part.of, but_run=run.id, now=self._now)
        reason = reason_to_skip(customer, account, contacts, self._limits, cut=self._cut)
        period = period_of(self._now.astimezone(self._zone).date(), self._settings.global_holdout_days)
        percent = self._settings.global_holdout_percent
        of_all = is_held_out_of_all(customer.c.id, percent, period) if percent else false()
        # Skipped, not held out: whoever gets nothing from any campaign is no fair comparison for a single run.
        is_skipped = or_(reason.is_not(None), of_all)
        held_out = is_held_out(customer.c.id, campaign.id, campaign.holdout_percent)
        shares = [variant["weight"] for variant in run.variants]
        variant = variant_place(customer.c.id, campaign.id, run.step_number, shares)
        wave = wave_place(customer.c.id, run.id, self._waves)
        there = exists().where(delivery.c.run_id == run.id, delivery.c.customer_id == customer.c.id)
        joined = customer.outerjoin(account, is_theirs)
        # Its own bounds, too: PostgreSQL would read the segments of everybody for every slice.
        has_segment = and_(segment.c.customer_id == customer.c.id, part.of(segment.c.customer_id))
        joined = joined.outerjoin(segment, has_segment)
        if contacts is not None:
            joined = joined.outerjoin(contacts, contacts.c.customer_id == customer.c.id)
        return (
            select(
                customer.c.id.label("customer_id"),
                account.c.line_user_id,
                segment.c.rfm8.label("segment"),
                func.coalesce(reason, case((of_all, "global_holdout"))).label("reason"),
                case((is_skipped, "skipped"), (held_out, "held_out"), else_="chosen").label("state"),
                variant.label("variant_place"),
                wave.label("wave_place"),
                self._kind(variant, wave, account).label("kind"),
            )
            .select_from(joined)
            .where(part.of(customer.c.id), part.condition, ~there if is_there else true())
        )

    def _is_anybody_there(self, part: _Part) -> bool:
        """Whether somebody of a slice is in the run already: frozen in an earlier one, and merged into a customer of
        this."""
        there = (delivery.c.run_id == self._run.id, part.of(delivery.c.customer_id))
        return self._session.execute(select(delivery.c.customer_id).where(*there).limit(1)).first() is not None

    def _kind(self, variant: Any, wave: Any, account: Any) -> Any:
        """SQL for somebody's kind of batch: hour, wave, variant and language by their places, as digits of a number."""
        kind: Any = literal(0)
        if len(self._hours) > 1:
            kind = func.coalesce(hour_of(customer.c.id, segment.c.rfm8), HOURS)
        if len(self._waves) > 1:
            kind = kind * len(self._waves) + wave
        if len(self._variants) > 1:
            kind = kind * len(self._variants) + case((wave == 0, variant), else_=0)
        if len(self._languages) > 1:
            kind = kind * len(self._languages) + self._language_place(variant, wave, account)
        return kind

    def _language_place(self, variant: Any, wave: Any, account: Any) -> Any:
        """SQL for the place of the version that somebody reads of their variant; of one to be given later, a version
        that all variants have."""
        spoken = (customer.c.language, account.c.profile_language)
        versions = [list(found["languages"]) for found in self._run.variants]
        common = [name for name in versions[0] if all(name in names for names in versions)]
        by_variant = [(variant == place, version_column(names, *spoken)) for place, names in enumerate(versions)]
        later = version_column(common, *spoken)
        version = case(*((and_(wave == 0, is_it), chosen) for is_it, chosen in by_variant), else_=later)
        return case({name: place for place, name in enumerate(self._languages) if name}, value=version, else_=0)

    def batches(self) -> None:
        """Write the batches of the deliveries just written, and, where a call has one body, what stands in them: those
        people change with their batch, so that their sums hold from now on (campaigns/results/tally.py)."""
        run = self._run
        kind = (delivery.c.batch_number, delivery.c.variant_id, delivery.c.segment)
        mine = (delivery.c.run_id == run.id, delivery.c.batch_number >= self._first)
        counts = self._session.execute(select(*kind, func.count()).where(*mine).group_by(*kind)).all()
        people: Counter[int] = Counter()
        for number, _, _, count in counts:
            people[number] += count
        if people:
            rows = [self._batch(number, count) for number, count in sorted(people.items())]
            self._session.connection().execute(insert(batch), rows)
        if run.way in ONE_BODY:
            tally_frozen(self._session, run.id or 0, counts)

    def _batch(self, number: int, people: int) -> dict[str, Any]:
        run, kind = self._run, (number - self._first) % self._kinds
        kind, language = divmod(kind, len(self._languages))
        kind, variant = divmod(kind, len(self._variants))
        hour, wave = divmod(kind, len(self._waves))
        moments = [moment for moment in (run.reply_until, self._hours[hour]) if moment is not None]
        return {
            "run_id": run.id,
            "batch_number": number,
            "recipient_count": people,
            "variant_id": self._variants[variant] if wave == 0 else None,
            "language": self._languages[language],
            "wave": wave,
            "state": "due" if wave == 0 else "waiting",
            "attempts": 0,
            "retry_key": str(uuid.uuid4()) if run.way == "multicast" else None,
            "not_before": max(moments, default=None),
            "is_tallied": run.way in ONE_BODY,
        }


def _new_key(session: Session, customer_id: Any) -> Any:
    """SQL for a fresh UUID (version 4) for each customer of a slice: LINE's retry key is one in hex form."""
    if not is_sqlite(session):
        return cast(func.gen_random_uuid(), String)
    # All but the last 48 bits are the slice's own, and the customer's id goes into those: SQLite formats one number.
    start, digits = bindparam("slice_key", type_=String), bindparam("slice_digits", type_=BigInteger)
    return func.printf("%s%012x", start, (customer_id + digits).op("&")(literal(2**48 - 1)))
