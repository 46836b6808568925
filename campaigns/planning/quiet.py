"""Quiet hours: the time of the day in which nobody is written to. Numeric, knows no database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from store.errors import BadInput


@dataclass(frozen=True)
class QuietHours:
    """From `start` (inclusive) until `end` (exclusive) on the brand's clock; over midnight when end is before start."""

    start: time
    end: time

    @classmethod
    def from_words(cls, words: str) -> "QuietHours":
        """Of `22:00-08:00`. Raises BadInput."""
        start, dash, end = words.partition("-")
        try:
            found = cls(time.fromisoformat(start.strip()), time.fromisoformat(end.strip()))
        except ValueError as error:
            raise BadInput(f"{words!r} are not quiet hours such as 22:00-08:00") from error
        if not dash or found.start == found.end or found.start.tzinfo or found.end.tzinfo:
            raise BadInput(f"{words!r} are not quiet hours such as 22:00-08:00")
        return found

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def end_of(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """When (aware UTC) the quiet hours around `moment` are over; None when it isn't quiet then. Later than
        `moment`, and never quiet itself."""
        end = None
        for begins, ends in self._spans(moment, zone):
            if begins <= (end or moment) < ends:
                end = ends
        return end

    def next_start(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """When (aware UTC) it next becomes quiet, strictly after `moment`."""
        return next(begins for begins, ends in self._spans(moment, zone) if begins > moment and ends > begins)

    def _spans(self, moment: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
        """Beginnings and ends around a moment, as instants: by the clock's times alone, an hour that comes twice would
        be quiet twice."""
        nights = timedelta(days=1 if self.end < self.start else 0)
        first = moment.astimezone(zone).date() - timedelta(days=2)
        for n in range(6):
            day = first + timedelta(days=n)
            yield moment_at(day, self.start, zone), moment_at(day + nights, self.end, zone)


def moment_at(day: date, clock_time: time, zone: ZoneInfo) -> datetime:
    """When (aware UTC) the clock of `zone` shows a time on a day. A time that comes twice: its first coming; one that
    is left out for summer time: as much later."""
    return datetime.combine(day, clock_time, zone).astimezone(UTC)
