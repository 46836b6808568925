"""When something recurs by the calendar: days found year by year, and shifted off holidays. Knows no words and no
database; its words are in calendar_words.py."""

import calendar as months
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from campaigns.planning.quiet import moment_at
from campaigns.planning.workdays import Workdays

Kind = Literal["day", "workday", "week", "month", "nth_workday", "nth_weekday", "year"]
OnHoliday = Literal["fire", "skip", "next", "before"]

LAST_DAY = 31  # of any month: a month that lacks a day has its last one instead
LONGEST_SHIFT = timedelta(days=31)  # from a holiday to the next workday
FURTHEST = timedelta(days=366 * 12)  # looked ahead: 29 February with everything else in its way
A_MONDAY = date(1970, 1, 5)


@dataclass(frozen=True)
class Calendar:
    """A recurrence, read. `days`: weekdays (Monday = 0), days of the month, or of the year's month. `nth`: 1 the first,
    -1 the last. `every`: weeks between; `since`: a day of a week that counts, when that is more than one."""

    kind: Kind
    at: time
    days: tuple[int, ...] = ()
    nth: int = 0
    month: int = 0
    every: int = 1
    since: date | None = None
    on_holiday: OnHoliday = "fire"

    def next_after(self, after: datetime, workdays: Workdays, zone: ZoneInfo) -> datetime | None:
        """The first time (aware UTC) strictly after `after`; None for one that never comes. Raises BadInput as
        `Workdays.workday_from`."""
        first = after.astimezone(zone).date() - LONGEST_SHIFT
        for day in self._days_from(first, workdays):
            if day > first + FURTHEST:
                break
            shifted = self._shifted(day, workdays)
            if shifted is not None and (moment := moment_at(shifted, self.at, zone)) > after:
                return moment
        return None

    def _shifted(self, day: date, workdays: Workdays) -> date | None:
        """The day on which it fires for `day`; None: not at all. Later days are never shifted before earlier ones."""
        if self.on_holiday == "next":
            return workdays.workday_from(day)
        if self.on_holiday == "before":
            return workdays.workday_until(day)
        return None if self.on_holiday == "skip" and workdays.is_holiday(day) else day

    def _days_from(self, first: date, workdays: Workdays) -> Iterator[date]:
        """The days that it names, ascending, from `first` on; ends some time after FURTHEST."""
        if self.kind in ("day", "workday", "week"):
            fits = self._fits(workdays)
            for n in range(FURTHEST.days + 2):
                if fits(day := first + timedelta(days=n)):
                    yield day
            return
        for n in range(FURTHEST.days // 28):
            year, month = divmod(first.year * 12 + first.month - 1 + n, 12)
            yield from (day for day in self._of_month(year, month + 1, workdays) if day >= first)

    def _fits(self, workdays: Workdays) -> Callable[[date], bool]:
        if self.kind == "day":
            return lambda day: True
        if self.kind == "workday":
            return workdays.is_workday
        start = self.since or A_MONDAY
        return lambda day: (
            day.weekday() in self.days and (day >= start or self.every == 1) and _weeks(start, day) % self.every == 0
        )

    def _of_month(self, year: int, month: int, workdays: Workdays) -> list[date]:
        length = months.monthrange(year, month)[1]
        if self.kind == "year":
            return [date(year, month, min(self.days[0], length))] if month == self.month else []
        if self.kind == "month":
            return sorted({date(year, month, min(day, length)) for day in self.days})
        every_day = [date(year, month, day) for day in range(1, length + 1)]
        if self.kind == "nth_workday":
            fitting = [day for day in every_day if workdays.is_workday(day)]
        else:
            fitting = [day for day in every_day if day.weekday() == self.days[0]]
        place = self.nth - 1 if self.nth > 0 else self.nth
        return fitting[place : place + 1 or None]  # a fifth Monday, or a workday of a closed month, may not be there


def _weeks(start: date, day: date) -> int:
    """Weeks, from Monday to Sunday, from that of `start` to that of `day`."""
    return ((day - A_MONDAY).days // 7) - ((start - A_MONDAY).days // 7)
