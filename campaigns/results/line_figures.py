"""What LINE reports of a run: aggregates that never tell who. Filled by campaigns/sending; only read here."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from store.engine import table_of
from store.models import UnitStatistic


@dataclass(frozen=True)
class LineFigures:
    """LINE's own counts. None is missing, never 0: LINE hides what fewer than 20 people did ("Get statistics per
    unit")."""

    variant_id: int | None  # None: all variants together
    month: str
    fetched_at: datetime | None  # None: not asked yet
    delivered: int | None
    opened: int | None  # unique impressions
    clicked: int | None  # unique clicks

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs, labelled as LINE's."""
        fetched = self.fetched_at.isoformat() if self.fetched_at else None
        return {**asdict(self), "fetched_at": fetched, "source": "LINE, aggregate"}


def line_figures(session: Session, run_ids: Sequence[int]) -> dict[int, list[LineFigures]]:
    """Run id -> LINE's figures of it, by month and variant; runs without any are absent."""
    statistic = table_of(UnitStatistic)
    names = ("variant_id", "month", "fetched_at", "delivered", "opened", "clicked")
    rows = session.execute(
        select(statistic.c.run_id, *(statistic.c[name] for name in names))
        .where(statistic.c.run_id.in_(run_ids))
        .order_by(statistic.c.month, statistic.c.id)
    )
    found: dict[int, list[LineFigures]] = defaultdict(list)
    for run_id, *values in rows:
        found[run_id].append(LineFigures(*values))
    return found
