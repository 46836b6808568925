"""行事曆: a month of campaigns in the brand's zone: what ran, what is scheduled, and the holidays."""

import calendar
import re
from dataclasses import dataclass
from datetime import date

from babel.dates import format_skeleton
from flask import Blueprint, g, render_template, request

from campaigns.planning.by_day import COUNTED, OnDay, by_day
from campaigns.planning.workdays import Workdays
from campaigns.settings import read_settings
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from store.engine import reading
from store.errors import NotFound

FIRST_YEAR, LAST_YEAR = 2010, 2099
SHOWN = 5  # of a day; the others are folded
WEEKDAYS = ("週日", "週一", "週二", "週三", "週四", "週五", "週六")  # as calendars in Taiwan begin
SATURDAY = 5  # of date.weekday()


@dataclass(frozen=True)
class Day:
    """One day as it is drawn. `column`: 0 (Sunday) to 6. `holiday`: its name; `is_makeup`: a Saturday or Sunday that is
    worked on."""

    day: date
    column: int
    holiday: str | None
    is_makeup: bool
    is_weekend: bool
    is_today: bool
    campaigns: list[OnDay]


def show_calendar() -> str:
    now = site.clock()
    today = now.astimezone(site.zone).date()
    first = _month(request.args.get("month"), today)
    length = calendar.monthrange(first.year, first.month)[1]
    with reading(site.engine) as session:
        workdays = read_settings(session).calendar()
        found = by_day(session, first, length, zone=site.zone, now=now)
    return render_template(
        "console/campaigns/calendar.html",
        first=first,
        title=format_skeleton("yMMMM", first, locale="en" if g.language == "en" else "zh_Hant_TW"),
        days=[_drawn(day, some, workdays, today) for day, some in found.items()],
        before=_moved(first, -1),
        after=_moved(first, 1),
        this_month=today.replace(day=1),
        weekdays=WEEKDAYS,
        shown=SHOWN,
        counted=COUNTED,
    )


def _month(words: str | None, today: date) -> date:
    """The first day of the month that the address names, else of today's. Raises NotFound."""
    if words is None:
        return today.replace(day=1)
    found = re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", words, re.ASCII)
    if found is None or not FIRST_YEAR <= int(found[1]) <= LAST_YEAR:
        raise NotFound(f"there is no month {words!r} from {FIRST_YEAR}-01 to {LAST_YEAR}-12")
    return date(int(found[1]), int(found[2]), 1)


def _moved(first: date, months: int) -> date | None:
    """The first day of a month before or after; None where the calendar ends."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month + 1, 1) if FIRST_YEAR <= year <= LAST_YEAR else None


def _drawn(day: date, campaigns: list[OnDay], workdays: Workdays, today: date) -> Day:
    is_weekend = day.weekday() >= SATURDAY
    return Day(
        day,
        (day.weekday() + 1) % 7,
        workdays.name_of(day, "en" if g.language == "en" else "zh"),
        is_weekend and workdays.is_workday(day),
        is_weekend,
        day == today,
        campaigns,
    )


ROUTES = (get("/campaigns/calendar", show_calendar),)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/campaigns/calendar."""
    add_routes(blueprint, ROUTES)
