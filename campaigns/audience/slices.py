"""One slice of a run's audience: whom it has, what each of them gets, in which batch, and why others are skipped.

Chosen by one statement and written by another; what a choice rests on is kept, so that one made before SQLite's lock
was taken can be proven under it.
"""

import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    String,
    and_,
    bindparam,
    case,
    cast,
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

from campaigns.audience.ahead import planned_ahead
from campaigns.audience.gate import (
    Counting,
    Limits,
    Recent,
    best_account,
    contacts_of,
    counting_of,
    limits_of,
    reason_to_skip,
    recent_of,
)
from campaigns.audience.members import targets_of
from campaigns.audience.numbering import are_still_there, numbered
from campaigns.audience.target import Targets, members
from campaigns.content.languages import version_column
from campaigns.content.parts import ONE_BODY
from campaigns.experiments.arms import armed
from campaigns.experiments.assignment import is_held_out, is_held_out_of_all, period_of, variant_place, wave_place
from campaigns.experiments.design import experiment_of
from campaigns.money.gain import Cut
from campaigns.planning.best_hour import HOURS
from campaigns.planning.hours import hour_of, moments_of_hours
from campaigns.results.tally import tally_frozen
from campaigns.settings import read_settings
from store.engine import is_sqlite, table_of
from store.models import (
    Campaign,
    CampaignRun,
    Customer,
    CustomerSegment,
    Delivery,
    Enrolment,
    SendBatch,
)

BATCH_SIZE = 500  # recipients: LINE's limit of one multicast ("Send multicast message")
NARROW_SLICE = 4_000  # of an audience that is narrow: their ids stand in the statement
EVERY_ID = 2**62  # beyond every customer's id

customer, segment, delivery = table_of(Customer), table_of(CustomerSegment), table_of(Delivery)
enrolment, batch = table_of(Enrolment), table_of(SendBatch)


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


@dataclass(frozen=True)
class Part:
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


def next_part(
    session: Session, run: CampaignRun, targets: Targets | None, size: int, *, after: int | None = None
) -> Part | None:
    """The next slice of a run, of `size` people looked at, after the customer `after` or up to whom it is frozen; None:
    nobody is left."""
    assert run.id is not None
    low = run.frozen_up_to if after is None else after
    if targets is not None and (run.arms is not None or not targets.is_narrow()):
        following = select(customer.c.id).where(customer.c.id > low)
        high = session.scalar(following.order_by(customer.c.id).offset(size - 1).limit(1))
        if high is None:  # fewer are left
            high = session.scalar(following.with_only_columns(func.max(customer.c.id)))
        return None if high is None else Part(low, high, _condition(run, targets), None)
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
    return Part(low, ids[-1], exclusion, ids) if ids else None


@dataclass(frozen=True)
class Choice:
    """A slice whose people are chosen: what writes them, and what it rests on."""

    part: Part
    limits: Limits | None
    recent: Recent
    is_anybody_there: bool
    write: Any  # the statement; numbers of batches are parameters of it
    values: dict[str, Any]


def whole(session: Session, run: CampaignRun) -> Part:
    """Everybody a run is for, as one part."""
    assert run.id is not None
    high = session.scalar(select(func.max(customer.c.id))) or 0
    if not run.by_enrolment:
        return Part(0, high, _condition(run, targets_of(session, run)), None)
    return Part(0, high, exists().where(*_taken(run.id), enrolment.c.customer_id == customer.c.id), None)


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
    return Freeze(session, run, zone, now).judged(Part(0, EVERY_ID, condition, None))


class Freeze:
    """One slice being written. A batch holds people of one kind: of one wave and one hour, and, where a call has one
    body, of one variant and one language. Kinds are numbers from 0; a batch's number tells its kind. Variants of later
    waves are given when they are let go: campaigns/experiments/waves.py."""

    def __init__(self, session: Session, run: CampaignRun, zone: ZoneInfo, now: datetime) -> None:
        self._session, self._run, self._zone, self._now = session, run, zone, now
        self._campaign = session.get_one(Campaign, run.campaign_id)
        self._settings = read_settings(session)
        ahead = planned_ahead(session, self._campaign, self._settings, run_id=run.id or 0, zone=zone, now=now)
        self._limits = limits_of(self._campaign, self._settings, zone=zone, now=now, ahead=ahead)
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

    def choose(self, part: Part, kept: Statements) -> Choice:
        """Choose the people of a slice; nothing is written yet."""
        recent = recent_of(self._session, self._limits, but_run=self._run.id)  # first: what changes from now on is seen
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
        return Choice(part, self._limits, recent, is_there, write, values)

    def still_holds(self, choice: Choice) -> bool:
        """Under the lock: whether a choice made on this connection before it would be made again. Since then another
        worker may have frozen the slice, or another run that counts towards caps; settings may have changed, or what is
        planned with a higher priority; and people may have been merged, erased, or have refused."""
        return (
            choice.part.low == self._run.frozen_up_to
            and choice.limits == self._limits
            and not choice.is_anybody_there
            and not self._is_anybody_there(choice.part)
            and choice.recent == recent_of(self._session, self._limits, but_run=self._run.id)
            and are_still_there(self._session, choice.part.of)
        )

    def write(self, choice: Choice) -> None:
        """Write the deliveries of a slice."""
        values = choice.values | {"slice_first": self._first}
        if self._run.way == "push" and is_sqlite(self._session):
            values |= {"slice_key": str(uuid.uuid4())[:-12], "slice_digits": secrets.randbits(48)}
        self._session.execute(choice.write, values)

    def _statements(self, part: Part, counting: Counting, is_there: bool) -> list[Any]:
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

    def judged(self, part: Part) -> Any:
        """SELECT of everybody in a slice: what the gate says, and what they would get and when."""
        counting = counting_of(self._session, self._limits, but_run=self._run.id)
        return self._judged(part, counting, self._is_anybody_there(part))

    def _judged(self, part: Part, counting: Counting, is_there: bool) -> Any:
        run, campaign = self._run, self._campaign
        assert campaign.id is not None
        assert run.id is not None
        account, is_theirs = best_account(self._session, campaign.channel_id, part.of)
        contacts = contacts_of(self._session, counting, self._limits, part.of, but_run=run.id, now=self._now)
        reason = reason_to_skip(customer, account, contacts, self._limits, cut=self._cut)
        period = period_of(self._now.astimezone(self._zone).date(), self._settings.global_holdout_days)
        percent = self._settings.global_holdout_percent
        # A service message is no marketing: whoever is held out of that gets it all the same.
        is_kept_back = percent > 0 and campaign.is_capped
        of_all = is_held_out_of_all(customer.c.id, percent, period) if is_kept_back else false()
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

    def _is_anybody_there(self, part: Part) -> bool:
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
