"""What LINE reports of a run: aggregates that never tell who. Asked for by campaigns/sending/figures.py, read here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import or_, select
from sqlmodel import Session

from campaigns.sending.units import month_of
from store.engine import table_of
from store.models import CampaignRun, UnitStatistic


@dataclass(frozen=True)
class LineFigures:
    """LINE's own counts. None is missing, never 0: LINE hides what fewer than 20 people did ("Get statistics per
    unit"). `by`: what LINE counted by: unit, request (a narrowcast), month (one unit for all runs of a step that people
    enter one by one, so the figures are those of all these runs), or none: sent when the month's names of units were
    used up."""

    variant_id: int
    language: str  # of a narrowcast's version; "": the plain one, or all versions
    by: Literal["unit", "request", "month", "none"]
    month: str
    fetched_at: datetime | None = None  # None: not asked yet
    delivered: int | None = None
    opened: int | None = None  # unique impressions
    clicked: int | None = None  # unique clicks

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs, labelled as LINE's."""
        fetched = self.fetched_at.isoformat() if self.fetched_at else None
        return {**asdict(self), "fetched_at": fetched, "source": "LINE, aggregate"}


def line_figures(session: Session, run_ids: Sequence[int]) -> dict[int, list[LineFigures]]:
    """Run id -> LINE's figures of each of its variants, or of a narrowcast's versions, in their order; runs not sent
    yet are absent."""
    run, statistic = table_of(CampaignRun), table_of(UnitStatistic)
    runs = session.execute(
        select(run.c.id, run.c.variants, run.c.way, run.c.by_enrolment, run.c.fired_at).where(
            run.c.id.in_(run_ids), run.c.state != "planned"
        )
    ).all()
    variant_ids = {variant["variant_id"] for row in runs for variant in row.variants}
    kept = session.scalars(
        select(UnitStatistic)
        .where(
            statistic.c.variant_id.in_(variant_ids), or_(statistic.c.run_id.in_(run_ids), statistic.c.run_id.is_(None))
        )
        .order_by(statistic.c.id)
    )
    found = {(s.variant_id, s.language, s.run_id or s.month): s for s in kept}
    figures: dict[int, list[LineFigures]] = {}
    for row in runs:
        month = month_of(row.fired_at)
        key = month if row.by_enrolment else row.id
        nothing: Literal["request", "none"] = "request" if row.way == "narrowcast" else "none"
        figures[row.id] = [
            _as_figures(there) if (there := found.get((*version, key))) else LineFigures(*version, nothing, month)
            for version in _versions(row)
        ]
    return figures


def _versions(run: Any) -> list[tuple[int, str]]:
    """What LINE counts apart: variant id, and a narrowcast's language."""
    by_language = run.way == "narrowcast"
    return [
        (variant["variant_id"], language)
        for variant in run.variants
        for language in ("", *((variant.get("languages") or {}) if by_language else ()))
    ]


def _as_figures(row: UnitStatistic) -> LineFigures:
    by: Literal["unit", "request", "month"] = "unit" if row.run_id is not None else "month"
    if row.unit is None:
        by = "request"
    counts = (row.delivered, row.opened, row.clicked)
    return LineFigures(row.variant_id, row.language, by, row.month, row.fetched_at, *counts)
