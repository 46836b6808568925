"""When a recurring campaign fires: five-field cron expressions in the brand's time zone, as cron(8) reads them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from store.errors import BadInput

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def next_firing(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    """The first time strictly after `after` that the five-field cron expression names in `zone`.

    Raises BadInput for an expression that can't be read or never comes.
    """
    fields = cron.split()
    try:
        if len(fields) != 5:
            raise ValueError(f"it has {len(fields)}")
        if fields[2] != "*" and fields[4] != "*":
            raise ValueError("a day of the month and a weekday together mean different things to different programs")
        fields[4] = _weekdays(fields[4])
        trigger = CronTrigger.from_crontab(" ".join(fields), timezone=UTC)
    except ValueError as error:
        raise BadInput(f"{cron!r} is not a cron expression of five fields: {error}") from error
    # APScheduler counts on the wall clock, as if it were UTC: given a zone with summer time, version 3 goes round in
    # circles in the hour that comes twice. A time in that hour fires once, at its first coming; one in the hour that
    # is left out fires as much later.
    wall = after.astimezone(zone).replace(tzinfo=UTC, fold=0)
    while True:
        wall = trigger.get_next_fire_time(None, wall + timedelta(microseconds=1))
        if wall is None:
            raise BadInput(f"the cron expression {cron!r} never comes")
        moment: datetime = wall.replace(tzinfo=zone).astimezone(UTC)
        if moment > after:
            return moment


def _weekdays(field: str) -> str:
    """Cron's weekday field (0 and 7 are Sunday, names too) as a list of names: APScheduler counts from Monday = 0."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = 0, 6
        else:
            low = _weekday(first)
            high = _weekday(last) if dash else 6 if step else low
        high += 7 if high < low else 0  # fri-mon, or 5-0
        days |= {day % 7 for day in range(low, high + 1, _step(step))}
    return ",".join(WEEKDAYS[day] for day in sorted(days))


def _step(words: str) -> int:
    if words and (not words.isdigit() or int(words) == 0):
        raise ValueError(f"{words!r} is not a step")
    return int(words or 1)


def _weekday(words: str) -> int:
    """0 (Sunday) to 7 (Sunday again)."""
    if words in WEEKDAYS:
        return WEEKDAYS.index(words)
    if words not in tuple("01234567"):
        raise ValueError(f"{words!r} is not a weekday")
    return int(words)
