"""Days and time zones on the command line."""

from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from store.clock import YEARS, system_clock, tomorrow
from store.errors import BadInput


def day_option(text: str, option: str = "--as-of") -> date:
    """The day of `option`. Raises BadInput."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a calendar day has no zone
    except ValueError as error:
        raise BadInput(f"{option} {text!r} is not a day such as 2026-11-02") from error
    if day.year not in YEARS:
        raise BadInput(f"{option} {day} is outside {YEARS.start}-{YEARS.stop - 1}")
    return day


def reached_day(text: str, zone: ZoneInfo) -> date:
    """The day of --as-of for results that are stored. Raises BadInput for one after tomorrow too: results for it would
    stand as the newest, and nothing would be computed until it comes."""
    day, latest = day_option(text), tomorrow(system_clock, zone)
    if day > latest:
        raise BadInput(f"--as-of {day} lies ahead: what counts is known up to today, so it is {latest} at the latest")
    return day


def zone_option(name: str) -> ZoneInfo:
    """The zone of `--zone`. Raises BadInput."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(f"--zone {name!r} is not an IANA time zone such as Asia/Taipei") from error
