"""Time comes in as an argument: a Clock is anything that, called, says the aware UTC time."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Now, aware UTC."""
    return datetime.now(UTC)


def today(clock: Clock, zone: ZoneInfo) -> date:
    """The calendar day it is now in the brand's time zone."""
    return clock().astimezone(zone).date()
