"""How numbers, money, shares and times are shown on every page."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from babel.dates import get_timezone_name
from markupsafe import Markup

from campaigns.results.lift import Lift

NONE = "–"
MARKS = {"TWD": "NT$"}  # of other currencies their code
LOCALES = {"zh": "zh_Hant_TW", "en": "en"}


def money_mark(currency: str) -> str:
    """What stands before an amount."""
    return MARKS.get(currency, currency)


def in_money(currency: str) -> Markup:
    """HTML behind what names an amount."""
    return Markup(" <small>{}</small>").format(money_mark(currency))


@cache
def zone_name(zone: ZoneInfo, language: str) -> str:
    """What people call the time of a zone, in "zh" or "en": 台北時間."""
    return get_timezone_name(zone, locale=LOCALES[language])


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
    """An amount in the brand's currency, without a fraction where there is none."""
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
