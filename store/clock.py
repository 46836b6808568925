"""Time comes in as an argument: a Clock is anything that, called, says the aware UTC time."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]
YEARS = range(1900, 2200)  # that days given by people lie in, as imports take times


def system_clock() -> datetime:
    """Now, aware UTC."""
    return datetime.now(UTC)


def today(clock: Clock, zone: ZoneInfo) -> date:
    """The calendar day it is now in the brand's time zone."""
    return clock().astimezone(zone).date()


def tomorrow(clock: Clock, zone: ZoneInfo) -> date:
    """The day as of which everything up to now counts: what happens on a day counts from the day after it on, so that
    whoever buys today is one day away from the purchase."""
    return today(clock, zone) + timedelta(days=1)
