"""What a run brought, per variant and segment: who was sent to, tapped, bought and left, and what sending added.

Read from kept sums (`tally`, `responses`) and as fresh as they are: deliveries at once, taps and orders within seconds.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlmodel import Session

from campaigns.results.lift import Arm, Lift, conversion_lift, revenue_lift, z_of
from campaigns.results.line_figures import LineFigures, line_figures
from campaigns.results.sides import CALLED, is_meant
from campaigns.results.sums import Sums, response_sums
from campaigns.results.tally import tallies
from store.engine import table_of
from store.errors import NotFound
from store.models import CampaignRun, Click
from store.types import from_ten_thousandths

STATES = ("chosen", "held_out", "skipped", "accepted", "failed", "unknown")
NOT_BY_CHANCE = ("cancelled",)  # a person broke it off, seeing how it went: what a lift would tell is no run's


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

    @property
    def is_by_chance(self) -> bool:
        """Whether chance alone says who was sent to."""
        return not any(self.skipped.get(reason) for reason in NOT_BY_CHANCE)

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
    lift: Lifts | None  # None without anyone held out or sent to, or where chance was overruled
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


def run_results(session: Session, run_id: int) -> RunResults:
    """Results of one run. Raises NotFound."""
    if session.get(CampaignRun, run_id) is None:
        raise NotFound(f"there is no run {run_id}")
    return results_by_run(session, [run_id])[run_id]


def results_by_run(session: Session, run_ids: Sequence[int]) -> dict[int, RunResults]:
    """Run id -> its results, for each of `run_ids`. A few queries for all of them."""
    cells = _cells(session, run_ids)
    fetches, unnamed = _fetches(session, run_ids)
    figures = line_figures(session, run_ids)
    of_run: dict[int, dict[tuple[int | None, str], Part]] = defaultdict(dict)
    for (run_id, variant_id, segment), part in cells.items():
        of_run[run_id][variant_id, segment] = part
    made = {}
    for run_id in run_ids:
        mine = of_run[run_id]
        variants = _summed(mine, lambda key: key[0])
        segments = _summed(mine, lambda key: key[1])
        total = _together(mine.values())
        by_chance = total.is_by_chance
        pairs = {key: (part.sent, total.held_out) for key, part in variants.items() if key is not None}
        made[run_id] = RunResults(
            total=total,
            variants=variants,
            segments=segments,
            fetches=fetches.get(run_id, {}),
            unnamed_taps=unnamed.get(run_id, 0),
            line=figures.get(run_id, []),
            lift=lifts_of({"all": (total.sent, total.held_out)}).get("all") if by_chance else None,
            variant_lifts=lifts_of(pairs) if by_chance else {},
            segment_lifts=lifts_of({key: (p.sent, p.held_out) for key, p in segments.items()}) if by_chance else {},
        )
    return made


_Cell = tuple[int, int | None, str]  # run, variant, segment


def _cells(session: Session, run_ids: Sequence[int]) -> dict[_Cell, Part]:
    cells: dict[_Cell, Part] = defaultdict(Part)
    for one in tallies(session, run_ids):
        part = cells[one.run_id, one.variant_id, one.segment]
        part.deliveries[one.state] = part.deliveries.get(one.state, 0) + one.people
        if one.state in ("skipped", "failed"):
            reasons = part.skipped if one.state == "skipped" else part.failed
            reasons[one.reason] = reasons.get(one.reason, 0) + one.people
        if one.state == "accepted" and one.by_reply:
            part.by_reply += one.people
    for (_, variant_id, _), part in cells.items():
        meant = sum(people for state, people in part.deliveries.items() if is_meant(state, variant_id))
        part.sent = part.own_sent = Arm(meant)
        part.held_out = part.own_held_out = Arm(part.deliveries["held_out"])
    for row in response_sums(session, run_ids):
        _add_responses(cells[row.run_id, row.variant_id, row.segment], row)
    return cells


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


def _fetches(session: Session, run_ids: Sequence[int]) -> tuple[dict[int, dict[str, int]], dict[int, int]]:
    """Run -> kind -> fetches of its links; run -> taps by people of whom nothing tells who they are."""
    click = table_of(Click)
    is_unnamed = and_(click.c.customer_id.is_(None), click.c.tapped_by_id.is_(None))
    rows = session.execute(
        select(click.c.run_id, click.c.kind, func.count(), _people(is_unnamed))
        .where(click.c.run_id.in_(run_ids))
        .group_by(click.c.run_id, click.c.kind)
    ).all()
    fetches: dict[int, dict[str, int]] = defaultdict(dict)
    for run_id, kind, count, _ in rows:
        fetches[run_id][kind] = count
    return fetches, {run_id: int(unnamed) for run_id, kind, _, unnamed in rows if kind == "person"}


def _summed(cells: dict[tuple[int | None, str], Part], key_of: Callable[[tuple[int | None, str]], Any]) -> Any:
    parts: dict[Any, list[Part]] = defaultdict(list)
    for key, part in sorted(cells.items(), key=lambda item: (item[0][0] or 0, item[0][1])):
        parts[key_of(key)].append(part)
    return {key: _together(some) for key, some in parts.items()}


def _together(parts: Iterable[Part]) -> Part:
    """All of them; one alone as it is, which of the many small runs of an automation most are."""
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
