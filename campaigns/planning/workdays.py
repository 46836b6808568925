"""Which days are worked on: public holidays and make-up workdays (補班日) of the brand's country, from the library
`holidays`, with the days that the brand has added itself.

The government announces each year's bridging days about half a year ahead and the library follows with a release, so a
day is looked up when a firing is computed, never earlier than it must be.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Literal

from store.errors import BadInput

ONE_DAY = timedelta(days=1)
LONGEST_BREAK = 60  # days: no country shuts for longer; a brand that never works is told so


@dataclass(frozen=True)
class Workdays:
    """The brand's working days. Of one day in both, `extra_workdays` holds; both go before the country's calendar."""

    country: str = "TW"  # ISO 3166-1 alpha-2
    extra_holidays: frozenset[date] = frozenset()
    extra_workdays: frozenset[date] = frozenset()

    def is_workday(self, day: date) -> bool:
        """Whether `day` is worked on: Monday to Friday (as the country has it) but for public holidays and bridging
        days, and make-up workdays."""
        if day in self.extra_workdays:
            return True
        return day not in self.extra_holidays and bool(_country(self.country).is_working_day(day))

    def is_holiday(self, day: date) -> bool:
        """Whether `day` is a public holiday, a bridging day or one of the brand's own. An ordinary weekend is not."""
        if day in self.extra_workdays:
            return False
        return day in self.extra_holidays or day in _country(self.country)

    def name_of(self, day: date, language: Literal["zh", "en"] = "zh") -> str | None:
        """What the holiday of `day` is called, in the country's language or, where the library has it, in English
        (several joined by `; `); None for no holiday."""
        if not self.is_holiday(day):
            return None
        own = "品牌假日" if language == "zh" else "the brand's own holiday"
        return str(_country(self.country, in_english=language == "en").get(day) or own)

    def workday_from(self, day: date) -> date:
        """`day` if it is a workday, else the next one. Raises BadInput when there is none for two months."""
        return self._nearest(day, ONE_DAY)

    def workday_until(self, day: date) -> date:
        """`day` if it is a workday, else the one before. Raises BadInput as `workday_from`."""
        return self._nearest(day, -ONE_DAY)

    def _nearest(self, day: date, step: timedelta) -> date:
        for n in range(LONGEST_BREAK):
            if self.is_workday(day + n * step):
                return day + n * step
        raise BadInput(f"there is no workday within {LONGEST_BREAK} days of {day}; look at the brand's holidays")


def check_country(country: str) -> None:
    """Raise BadInput for a country whose holidays aren't known."""
    _country(country)


@lru_cache(maxsize=8)
def _country(country: str, in_english: bool = False) -> Any:
    """The country's calendar, a dict of its holidays that fills itself year by year."""
    import holidays  # here, not above: it takes most of a second to import, and few commands need it

    try:
        own = holidays.country_holidays(country, language="zh_TW" if country == "TW" else None)
        if in_english and "en_US" in own.supported_languages:
            return holidays.country_holidays(country, language="en_US")
        return own
    except NotImplementedError as error:
        raise BadInput(f"the holidays of {country!r} are not known; say a code such as TW, HK or JP") from error
