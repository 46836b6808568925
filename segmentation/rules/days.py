"""Windows of a rule as days and as moments, and the days that ages and birthdays are counted from."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt

from segmentation.rfm import start_of_day
from segmentation.rules.types import Window

Expression = Any
ONE_DAY = timedelta(days=1)
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True)
class AsOf:
    """The day at whose start a rule is asked, and the brand's zone."""

    day: date
    zone: ZoneInfo

    @property
    def today(self) -> date:
        """The last day that counts."""
        return self.day - ONE_DAY


@dataclass(frozen=True)
class Span:
    """Days [start, end); no start: from the beginning. Empty when start is not before end."""

    start: date | None
    end: date

    def holds(self, at: Expression, zone: ZoneInfo) -> Expression:
        """Whether the time `at` lies in it, as days of `zone`."""
        inside = at < moment(self.end, zone)
        return inside if self.start is None else inside & (at >= moment(self.start, zone))

    def microseconds(self, zone: ZoneInfo) -> range:
        """The same as moments, in microseconds since 1970; "from the beginning" is before everything."""
        start, end = ((instant(day, zone) - EPOCH) // MICROSECOND for day in (self.start or date.min, self.end))
        return range(-(2**63) if self.start is None else start, max(start, end))


def span_of(window: Window | None, as_of: AsOf) -> Span:
    """The days of `window`; none of them on or after the day asked for."""
    if window is None:
        return Span(None, as_of.day)
    if window.last_days is not None:
        return Span(days_before(as_of.day, window.last_days), as_of.day)
    end = as_of.day if window.until is None else min(window.until, as_of.day)
    return Span(window.from_, end)


def hull(spans: list[Span]) -> Span:
    """The shortest span with all of `spans` in it."""
    starts = [span.start for span in spans]
    return Span(None if None in starts else min(start for start in starts if start), max(span.end for span in spans))


def days_before(day: date, days: int) -> date:
    """The day `days` before; the first day of the calendar when that would lie before it."""
    return date.fromordinal(max(day.toordinal() - days, 1))


def moment(day: date, zone: ZoneInfo) -> Expression:
    """The instant at which `day` begins, as a literal."""
    return ibis.literal(instant(day, zone), type=dt.Timestamp(timezone="UTC"))


def instant(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which `day` begins. The calendar's first day stands for "from the beginning": east of Greenwich
    it began in a year that Python has not."""
    return start_of_day(max(day, date(2, 1, 1)), zone)
