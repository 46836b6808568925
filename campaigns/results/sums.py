"""What people did after runs, summed by variant, segment and state; kept for large runs, so that no page adds up a
hundred thousand rows. Kept sums are thrown away with the first change to what they sum: they are never outdated."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, and_, case, cast, func, select, type_coerce, update
from sqlmodel import Session

from store.engine import table_of
from store.models import CampaignRun, Click, RunResponse

WORTH_KEEPING = 5_000  # people with a response; fewer are summed within some 20 ms

run, response, click = table_of(CampaignRun), table_of(RunResponse), table_of(Click)


@dataclass(frozen=True, slots=True)
class Sums:
    """Of the people of one cell. Money in ten-thousandths; `squares` of it, each person's. `own_`: of the orders that
    count in this run where several of its campaign are added up."""

    run_id: int
    variant_id: int | None
    segment: str
    state: str
    clicked: int
    blocked: int
    buyers: int
    orders: int
    revenue: int
    squares: float
    own_buyers: int
    own_orders: int
    own_revenue: int
    own_squares: float
    tap_buyers: int
    tap_orders: int
    tap_revenue: int
    delivery_buyers: int
    delivery_orders: int
    delivery_revenue: int


def response_sums(session: Session, run_ids: Sequence[int]) -> list[Sums]:
    """The sums of these runs, as of this moment. Reads only."""
    kept = session.execute(
        select(run.c.id, run.c.response_sums).where(run.c.id.in_(run_ids), run.c.response_sums.is_not(None))
    ).all()
    found = [Sums(*row) for kept_run in kept for row in kept_run.response_sums]
    others = set(run_ids) - {kept_run.id for kept_run in kept}
    return found + (_summed(session, sorted(others)) if others else [])


def summed(session: Session, key: Any, source: Any, which: Any) -> list[Sums]:
    """The sums of the responses of `source` (`run_response`, or what joins it) that are meant by `which`; `key` (SQL, a
    whole number) says of which run, or group of runs, each is. Reads only."""
    cell = (key, response.c.variant_id, response.c.segment, response.c.state)
    rows = session.execute(select(*cell, *SUMMED).select_from(source).where(which).group_by(*cell))
    return [
        Sums(*row[:4], *(float(value) if place in SQUARES else int(value) for place, value in enumerate(row[4:], 4)))
        for row in rows
    ]


@dataclass(frozen=True)
class Acted:
    """After runs added up: `clicks` are people who tapped and taps of whom nobody knows whose they are; buyers (people,
    once in each run), orders and money (ten-thousandths) are those credited to a tap."""

    clicks: int = 0
    buyers: int = 0
    orders: int = 0
    revenue: int = 0

    def __add__(self, other: "Acted") -> "Acted":
        return Acted(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


def acted_after(session: Session, campaign_ids: Sequence[int], since: datetime | None = None) -> dict[int, Acted]:
    """Campaign id -> what people did after its runs that fired at `since` or later (None: after all of them); those
    after whose runs nobody did anything are left out. The database adds up, however many runs there are."""
    mine = [run.c.campaign_id.in_(campaign_ids)]
    if since is not None:
        mine.append(run.c.fired_at >= since)
    kept = select(run.c.id, run.c.campaign_id, run.c.response_sums).where(*mine, run.c.response_sums.is_not(None))
    found: dict[int, Acted] = defaultdict(Acted)
    large = session.execute(kept).all()
    for _, campaign_id, cells in large:
        for one in (Sums(*cell) for cell in cells):
            found[campaign_id] += Acted(one.clicked, one.tap_buyers, one.tap_orders, one.tap_revenue)
    acted = select(
        *(run.c.campaign_id, _people(response.c.has_clicked), _people(response.c.tap_orders > 0)),
        *(func.sum(response.c.tap_orders), func.sum(type_coerce(response.c.tap_revenue, BigInteger))),
    )
    acted = acted.select_from(run.join(response, response.c.run_id == run.c.id)).where(*mine)
    # by their ids, few: whether sums are kept stands in the run's wide row
    acted = acted.where(run.c.id.not_in([row.id for row in large])).group_by(run.c.campaign_id)
    for campaign_id, *sums in session.execute(acted):
        found[campaign_id] += Acted(*(int(one) for one in sums))
    for campaign_id, clicked in unnamed_taps(session, and_(*mine)).items():
        found[campaign_id] += Acted(clicked)
    return dict(found)


def unnamed_taps(session: Session, which: Any) -> dict[int, int]:
    """Campaign id -> taps by people of whom nothing tells who they are, on links of its runs that are meant by `which`
    (SQL on `campaign_run`)."""
    is_unnamed = (click.c.kind == "person", click.c.customer_id.is_(None), click.c.tapped_by_id.is_(None))
    taps = select(run.c.campaign_id, func.count()).select_from(run.join(click, click.c.run_id == run.c.id))
    rows = session.execute(taps.where(which, *is_unnamed).group_by(run.c.campaign_id))
    return {row[0]: row[1] for row in rows}


def sums_to_keep(session: Session) -> list[tuple[int, int, list[Sums]]]:
    """(Run, the version that was summed, its sums) of the large runs whose sums are not kept. Reads only."""
    large = (
        select(response.c.run_id)
        .join(run, run.c.id == response.c.run_id)
        .where(run.c.response_sums.is_(None))
        .group_by(response.c.run_id)
        .having(func.count() >= WORTH_KEEPING)
    )
    rows = session.execute(select(run.c.id, run.c.response_version).where(run.c.id.in_(large)).order_by(run.c.id))
    return [(row.id, row.response_version, _summed(session, [row.id])) for row in rows.all()]


def keep_sums(session: Session, run_id: int, version: int, found: Sequence[Sums]) -> None:
    """Keep what `sums_to_keep` found, unless it has changed since."""
    same = (run.c.id == run_id, run.c.response_version == version)
    session.execute(update(run).where(*same).values(response_sums=[list(astuple(one)) for one in found]))


def forget_sums(session: Session, run_ids: Sequence[int]) -> None:
    """What people did after these runs has changed."""
    if run_ids:
        changed = {"response_sums": None, "response_version": run.c.response_version + 1}
        session.execute(update(run).where(run.c.id.in_(run_ids)).values(**changed))


def _summed(session: Session, run_ids: Sequence[int]) -> list[Sums]:
    return summed(session, response.c.run_id, response, response.c.run_id.in_(run_ids))


def _people(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


def _money(column: Any) -> Any:
    return type_coerce(column, BigInteger)


def _squared(column: Any) -> Any:
    return cast(_money(column), Float) * cast(_money(column), Float)


SUMMED = (  # as Sums has them
    _people(response.c.has_clicked),
    _people(response.c.has_blocked),
    _people(response.c.orders > 0),
    func.sum(response.c.orders),
    func.sum(_money(response.c.revenue)),
    func.sum(_squared(response.c.revenue)),
    _people(response.c.own_orders > 0),
    func.sum(response.c.own_orders),
    func.sum(_money(response.c.own_revenue)),
    func.sum(_squared(response.c.own_revenue)),
    _people(response.c.tap_orders > 0),
    func.sum(response.c.tap_orders),
    func.sum(_money(response.c.tap_revenue)),
    _people(response.c.delivery_orders > 0),
    func.sum(response.c.delivery_orders),
    func.sum(_money(response.c.delivery_revenue)),
)
SQUARES = {place for place, name in enumerate(Sums.__dataclass_fields__) if name.endswith("squares")}
