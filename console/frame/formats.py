"""How numbers, money, shares and times are shown on every page."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from campaigns.results.lift import Lift

NONE = "–"


@dataclass(frozen=True)
class Times:
    """Times in the brand's zone."""

    zone: ZoneInfo

    def when(self, moment: datetime | None) -> str:
        """Day and minute; – without one."""
        return moment.astimezone(self.zone).strftime("%Y-%m-%d %H:%M") if moment else NONE

    def day(self, moment: datetime | None) -> str:
        """The day alone."""
        return moment.astimezone(self.zone).strftime("%Y-%m-%d") if moment else NONE


def whole(number: int | None) -> str:
    """A count."""
    return NONE if number is None else f"{number:,}"


def money(value: Decimal | None) -> str:
    """An amount in NT$, without a fraction where there is none."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value == value.to_integral_value() else f"{value:,.2f}"


def percent(share: float | None) -> str:
    """A share (0..1) as a percentage."""
    return NONE if share is None else f"{share:.1%}"


def number(value: float | None, places: int) -> str:
    """A measure with `places` digits after the point."""
    return NONE if value is None else f"{value:,.{places}f}"


def points(lift: Lift) -> str:
    """A difference of rates in percentage points, with its interval."""
    return f"{lift.difference * 100:+.2f} ({lift.low * 100:+.2f} … {lift.high * 100:+.2f})"


def amounts(lift: Lift) -> str:
    """A difference in money per person, with its interval."""
    return f"{lift.difference:+,.2f} ({lift.low:+,.2f} … {lift.high:+,.2f})"
