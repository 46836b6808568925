"""What a run brought, per variant and segment: who was sent to, tapped, bought and left, and what sending added.

Read from kept sums (`tally`, `responses`) and as fresh as they are: deliveries at once, taps and orders within seconds.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlmodel import Session

from campaigns.results.lift import Arm, Lift, conversion_lift, revenue_lift, z_of
from campaigns.results.line_figures import LineFigures, line_figures
from campaigns.results.sides import CALLED, FIRST_STEP, NOT_BY_CHANCE, is_meant
from campaigns.results.sums import Sums, response_sums
from campaigns.results.tally import Tally, tallies
from store.engine import table_of
from store.errors import NotFound
from store.models import CampaignRun, Click
from store.types import from_ten_thousandths

RUNS_AT_ONCE = 5_000  # in one statement: the databases take some tens of thousands of values
STATES = ("chosen", "held_out", "skipped", "accepted", "failed", "unknown")


@dataclass(frozen=True)
class Credited:
    """Orders credited to messages, each to one only, over all campaigns."""

    buyers: int = 0
    orders: int = 0
    revenue: Decimal = Decimal(0)

    def __add__(self, other: "Credited") -> "Credited":
        return Credited(self.buyers + other.buyers, self.orders + other.orders, self.revenue + other.revenue)


@dataclass
class Part:
    """People of a run, or of a variant or segment in it; or of several runs, a person counted once in each."""

    deliveries: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))  # every state of STATES
    skipped: dict[str, int] = field(default_factory=dict)  # reason -> people
    failed: dict[str, int] = field(default_factory=dict)  # reason -> people
    by_reply: int = 0  # accepted with a free reply
    clicked: int = 0  # people known to have tapped
    after_tap: Credited = field(default_factory=Credited)
    after_delivery: Credited = field(default_factory=Credited)
    sent: Arm = field(default_factory=Arm)  # the two sides that lift compares
    held_out: Arm = field(default_factory=Arm)
    own_sent: Arm = field(default_factory=Arm)  # the same with the orders that count where several runs are added up
    own_held_out: Arm = field(default_factory=Arm)
    blocked: int = 0  # of those accepted, inside the window
    held_out_blocked: int = 0

    @property
    def called(self) -> int:
        """People for whom LINE was called."""
        return sum(self.deliveries[state] for state in CALLED)

    @property
    def messages(self) -> int:
        """What LINE counts in the quota: one per recipient accepted, replies free ("Messaging API pricing")."""
        return self.deliveries["accepted"] - self.by_reply

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs; money as strings."""
        plain = asdict(self)
        for name in ("after_tap", "after_delivery", "sent", "held_out", "own_sent", "own_held_out"):
            plain[name]["revenue"] = str(plain[name]["revenue"])
        return {**plain, "called": self.called, "messages": self.messages}

    def __add__(self, other: "Part") -> "Part":
        return Part(
            deliveries=added(self.deliveries, other.deliveries),
            skipped=added(self.skipped, other.skipped),
            failed=added(self.failed, other.failed),
            by_reply=self.by_reply + other.by_reply,
            clicked=self.clicked + other.clicked,
            after_tap=self.after_tap + other.after_tap,
            after_delivery=self.after_delivery + other.after_delivery,
            sent=self.sent + other.sent,
            held_out=self.held_out + other.held_out,
            own_sent=self.own_sent + other.own_sent,
            own_held_out=self.own_held_out + other.own_held_out,
            blocked=self.blocked + other.blocked,
            held_out_blocked=self.held_out_blocked + other.held_out_blocked,
        )


def added(mine: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: mine.get(key, 0) + other.get(key, 0) for key in {**mine, **other}}


@dataclass(frozen=True)
class Lifts:
    """What sending added per person: buyers, and revenue (None where too few bought to tell)."""

    people: int  # those meant to be sent to
    buyers: Lift
    revenue: Lift | None


@dataclass(frozen=True)
class RunResults:
    """One run, or several added up. `clicks` are people, where LINE's multicast lets them be known; else taps."""

    total: Part
    variants: dict[int | None, Part]  # variant id; None: those who got none, such as the held out
    segments: dict[str, Part]  # rfm8 when the audience was frozen; "none" without one
    fetches: dict[str, int]  # kind (person, forward, preview, robot) -> all fetches
    unnamed_taps: int  # taps by people on a link that was the same for everyone
    line: list[LineFigures]  # LINE's own, aggregates
    sides: tuple[Arm, Arm]  # that the lift compares: sent to and held out
    times: float  # how often each person is in them, as `times_of` counts it
    lift: Lifts | None  # None without anyone held out or sent to, or where it wasn't chance that told them apart
    variant_lifts: dict[int, Lifts]  # all of a table together right at 95 %
    segment_lifts: dict[str, Lifts]

    @property
    def deliveries(self) -> dict[str, int]:
        """Every state of STATES, zeros included -> people."""
        return self.total.deliveries

    @property
    def skipped(self) -> dict[str, int]:
        """Reason -> people."""
        return self.total.skipped

    @property
    def failed(self) -> dict[str, int]:
        """Reason -> people."""
        return self.total.failed

    @property
    def clicks(self) -> int:
        """People who tapped, and taps of whom nobody knows whose they are."""
        return self.total.clicked + self.unnamed_taps

    @property
    def conversions(self) -> int:
        """People with an order credited to their last tap."""
        return self.total.after_tap.buyers

    @property
    def revenue(self) -> Decimal:
        """Of those orders."""
        return self.total.after_tap.revenue

    @property
    def added_revenue(self) -> Lift | None:
        """What sending added in all; None where it can't be told."""
        if self.lift is None or self.lift.revenue is None:
            return None
        people, lift = self.lift.people, self.lift.revenue
        return Lift(people * lift.difference, people * lift.low, people * lift.high)

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs; money as strings."""
        return {
            **self.total.to_json(),
            "clicks": self.clicks,
            "unnamed_taps": self.unnamed_taps,
            "fetches": self.fetches,
            "conversions": self.conversions,
            "revenue": str(self.revenue),
            "lift": asdict(self.lift) if self.lift else None,
            "added_revenue": asdict(self.added_revenue) if self.added_revenue else None,
            "line": [figures.to_json() for figures in self.line],
            "variants": [
                {"variant_id": key, **part.to_json(), "lift": _plain(self.variant_lifts.get(key or 0))}
                for key, part in self.variants.items()
            ],
            "segments": [
                {"segment": key, **part.to_json(), "lift": _plain(self.segment_lifts.get(key))}
                for key, part in self.segments.items()
            ],
        }


def _plain(lifts: Lifts | None) -> dict[str, Any] | None:
    return asdict(lifts) if lifts else None


def runs_of(session: Session, campaign_id: int) -> list[CampaignRun]:
    """The runs of a campaign, newest first."""
    run = table_of(CampaignRun).c
    return list(session.scalars(select(CampaignRun).where(run.campaign_id == campaign_id).order_by(run.id.desc())))


Cell = tuple[int | None, str]  # variant, segment


@dataclass(frozen=True)
class Group:
    """Runs of one step looked at as one: a single one, or the many small ones of an automation. `is_compared`: whether
    chance alone told its people apart; so it is in first steps that nobody broke off."""

    step_number: int
    is_compared: bool
    cells: dict[Cell, Part]

    @property
    def held_out(self) -> Arm:
        """All of them, who have no variant."""
        return sum((part.held_out for part in self.cells.values()), Arm())

    @classmethod
    def of(cls, step_number: int, cells: dict[Cell, Part]) -> "Group":
        """A single run of a step."""
        is_broken = any(part.skipped.get(reason) for part in cells.values() for reason in NOT_BY_CHANCE)
        return cls(step_number, step_number == FIRST_STEP and not is_broken, cells)


@dataclass(frozen=True)
class Beside:
    """What else is told of runs: kind of fetch -> fetches of their links, taps of whom nothing tells who they are, and
    LINE's figures."""

    fetches: dict[str, int] = field(default_factory=dict)
    unnamed_taps: int = 0
    line: list[LineFigures] = field(default_factory=list)


def run_results(session: Session, run_id: int) -> RunResults:
    """Results of one run. Raises NotFound."""
    if session.get(CampaignRun, run_id) is None:
        raise NotFound(f"there is no run {run_id}")
    return results_by_run(session, [run_id])[run_id]


def results_by_run(session: Session, run_ids: Sequence[int]) -> dict[int, RunResults]:
    """Run id -> its results, for each of `run_ids`. A few queries for all of them."""
    found: dict[int, RunResults] = {}
    for first in range(0, len(run_ids), RUNS_AT_ONCE):
        found |= _results_by_run(session, run_ids[first : first + RUNS_AT_ONCE])
    return found


def _results_by_run(session: Session, run_ids: Sequence[int]) -> dict[int, RunResults]:
    run, click = table_of(CampaignRun), table_of(Click)
    rows = session.execute(select(run.c.id, run.c.step_number).where(run.c.id.in_(run_ids)))
    steps: dict[int, int] = {row[0]: row[1] for row in rows}
    cells = cells_of(tallies(session, run_ids), response_sums(session, run_ids))
    beside = fetches(session, click, click.c.run_id, click.c.run_id.in_(run_ids))
    figures = line_figures(session, run_ids)
    made = {}
    for run_id in run_ids:
        group = Group.of(steps.get(run_id, FIRST_STEP), cells.get(run_id, {}))
        kinds, unnamed = beside.get(run_id, ({}, 0))
        made[run_id] = results_of([group], Beside(kinds, unnamed, figures.get(run_id, [])))
    return made


def results_of(groups: Sequence[Group], beside: Beside, *, times: float = 1.0, adds_up: bool = False) -> RunResults:
    """Results of groups of runs together: people are counted once in each run. `times`: how often each person is in
    them, as `times_of` counts it. `adds_up`: these are all runs of a campaign, and its lift counts each order once."""
    compared = [group for group in groups if group.is_compared]
    pooled, everything = (
        [(cell, part) for group in some for cell, part in group.cells.items()] for some in (compared, groups)
    )
    whole, segments = _together(part for _, part in pooled), _by(pooled, 1)
    sides = (whole.own_sent, whole.own_held_out) if adds_up else (whole.sent, whole.held_out)
    return RunResults(
        total=_together(part for _, part in everything),
        variants=_by(everything, 0),
        segments=_by(everything, 1),
        fetches=beside.fetches,
        unnamed_taps=beside.unnamed_taps,
        line=beside.line,
        sides=sides,
        times=times,
        lift=lifts_of({"all": sides}, times=times).get("all"),
        variant_lifts=lifts_of(_variant_sides(compared), times=times),
        segment_lifts=lifts_of({key: (part.sent, part.held_out) for key, part in segments.items()}, times=times),
    )


def _variant_sides(groups: Sequence[Group]) -> dict[int, tuple[Arm, Arm]]:
    """Variant -> those who were to get it, and who was held out of the runs that had it."""
    sides: dict[int, tuple[Arm, Arm]] = {}
    for group in groups:
        held_out = group.held_out
        for key, part in _by(group.cells.items(), 0).items():
            if key is not None:
                sent, held = sides.get(key, (Arm(), Arm()))
                sides[key] = sent + part.sent, held + held_out
    return dict(sorted(sides.items()))


def cells_of(people: Iterable[Tally], responses: Iterable[Sums]) -> dict[int, dict[Cell, Part]]:
    """Run (or group of runs, as these sums name it) -> variant and segment -> its people with what they did."""
    found: dict[int, dict[Cell, Part]] = defaultdict(lambda: defaultdict(Part))
    for one in people:
        part = found[one.run_id][one.variant_id, one.segment]
        part.deliveries[one.state] = part.deliveries.get(one.state, 0) + one.people
        if one.state in ("skipped", "failed"):
            reasons = part.skipped if one.state == "skipped" else part.failed
            reasons[one.reason] = reasons.get(one.reason, 0) + one.people
        if one.state == "accepted" and one.by_reply:
            part.by_reply += one.people
    for cells in found.values():
        for (variant_id, _), part in cells.items():
            meant = sum(count for state, count in part.deliveries.items() if is_meant(state, variant_id))
            part.sent = part.own_sent = Arm(meant)
            part.held_out = part.own_held_out = Arm(part.deliveries["held_out"])
    for row in responses:
        _add_responses(found[row.run_id][row.variant_id, row.segment], row)
    return found


def fetches(session: Session, clicks: Any, key: Any, which: Any) -> dict[int, tuple[dict[str, int], int]]:
    """`key` (SQL: a run or campaign) -> kind -> fetches of its links, and the taps by people of whom nothing tells who
    they are. `clicks`: the table of clicks, or what joins it; `which` of them."""
    click = table_of(Click)
    is_unnamed = and_(click.c.customer_id.is_(None), click.c.tapped_by_id.is_(None))
    rows = session.execute(
        select(key, click.c.kind, func.count(), _people(is_unnamed))
        .select_from(clicks)
        .where(which)
        .group_by(key, click.c.kind)
    )
    kinds: dict[int, dict[str, int]] = defaultdict(dict)
    unnamed: dict[int, int] = defaultdict(int)
    for found, kind, count, without in rows:
        kinds[found][kind] = count
        unnamed[found] += int(without) if kind == "person" else 0
    return {found: (counts, unnamed[found]) for found, counts in kinds.items()}


def _people(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


def _add_responses(part: Part, row: Sums) -> None:
    part.clicked += row.clicked
    part.after_tap += Credited(row.tap_buyers, row.tap_orders, _money(row.tap_revenue))
    part.after_delivery += Credited(row.delivery_buyers, row.delivery_orders, _money(row.delivery_revenue))
    bought = Arm(0, row.buyers, row.orders, _money(row.revenue), row.squares / 1e8)
    own = Arm(0, row.own_buyers, row.own_orders, _money(row.own_revenue), row.own_squares / 1e8)
    if is_meant(row.state, row.variant_id):
        part.sent += bought
        part.own_sent += own
    if row.state == "accepted":
        part.blocked += row.blocked
    if row.state == "held_out":
        part.held_out += bought
        part.own_held_out += own
        part.held_out_blocked += row.blocked


def _money(raw: int) -> Decimal:
    return from_ten_thousandths(raw)


def _by(cells: Iterable[tuple[Cell, Part]], place: int) -> dict[Any, Part]:
    """The cells of each variant (`place` 0) or segment (1) together, in order."""
    parts: dict[Any, list[Part]] = defaultdict(list)
    for cell, part in sorted(cells, key=lambda item: (item[0][0] or 0, item[0][1])):
        parts[cell[place]].append(part)
    return {key: _together(some) for key, some in parts.items()}


def _together(parts: Iterable[Part]) -> Part:
    """All of them; one alone as it is, which of many small runs most are."""
    first, *others = list(parts) or [Part()]
    return sum(others, first)


def lifts_of(pairs: Mapping[Any, tuple[Arm, Arm]], *, times: float = 1.0) -> dict[Any, Lifts]:
    """The lift of each pair (sent, held out) that has both; with several, each interval is widened so that all of them
    together are right at 95 %. `times`: how often each person stands in the arms."""
    pairs = {key: (sent, held) for key, (sent, held) in pairs.items() if sent.people and held.people}
    z = z_of(comparisons=len(pairs))
    made = {}
    for key, (sent, held) in pairs.items():
        if (buyers := conversion_lift(sent, held, z, times=times)) is not None:
            made[key] = Lifts(sent.people, buyers, revenue_lift(sent, held, z, times=times))
    return made
