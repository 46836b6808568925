"""How many customers segments and tags had, day by day, from the sums that each whole computation keeps. Reads only;
never counts customers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlmodel import Session

from store.engine import table_of
from store.models import SegmentSizeOnDay

DAYS_SHOWN = 26  # days with sizes that a line shows, the newest
SPANS = (DAYS_SHOWN, 90, 365)  # days with sizes that a model's page may show
WEEK = timedelta(days=7)

size = table_of(SegmentSizeOnDay)


@dataclass(frozen=True)
class Size:
    """Customers and what they had paid, on a day."""

    customers: int
    value: Decimal


@dataclass(frozen=True)
class Sizes:
    """The sizes of all segments of a model on its newest days: `days` ascending; `on` by day and segment."""

    days: list[date]
    on: Mapping[date, Mapping[str, Size]]

    @property
    def newest(self) -> Mapping[str, Size]:
        """Of the newest day; empty when there is none."""
        return self.on[self.days[-1]] if self.days else {}

    def over_time(self, segment: str) -> list[int]:
        """Customers in `segment` on each of `days`, 0 where it had none."""
        return [self.on[day][segment].customers if segment in self.on[day] else 0 for day in self.days]

    def a_week_before(self) -> Mapping[str, Size] | None:
        """Of the newest day that is at least a week older than the newest; None when there is none."""
        older = [day for day in self.days if day <= self.days[-1] - WEEK]
        return self.on[older[-1]] if older else None


def read_sizes(session: Session, model: str, most: int = DAYS_SHOWN, *, names: Collection[str] | None = None) -> Sizes:
    """The newest days with sizes of `model` ("tag": of the tags, by name), `most` of them. `names`: the only segments
    whose sizes are wanted, for there may be thousands of tags; the days are those of all."""
    wanted = read_days(session, model, most)
    if not wanted:
        return Sizes([], {})
    found_by = select(size).where(size.c.model == model, size.c.as_of.in_(wanted))
    rows = session.execute(found_by if names is None else found_by.where(size.c.segment.in_(names)))
    found: dict[date, dict[str, Size]] = {day: {} for day in wanted}
    for row in rows:
        found[row.as_of][row.segment] = Size(row.customers, row.value)
    return Sizes(wanted, found)


def read_days(session: Session, model: str, most: int) -> list[date]:
    """The newest days with sizes of `model`, `most` of them, ascending."""
    days = select(size.c.as_of).where(size.c.model == model).distinct().order_by(size.c.as_of.desc())
    return sorted(session.scalars(days.limit(most)))


def days_with_sizes(session: Session) -> tuple[date, date] | None:
    """The first and the newest day with sizes; None when there is none."""
    first, last = session.execute(select(func.min(size.c.as_of), func.max(size.c.as_of))).one()
    return (first, last) if first else None
