"""When a campaign recurs, as it stands in `Campaign.recurs`: five cron fields or calendar words.

Cron can skip holidays too: `0 10 * * *，遇假日跳過`.
"""

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from campaigns.planning import calendar, cron
from campaigns.planning.calendar_words import HOLIDAY_WORDS, in_words, read_calendar
from campaigns.planning.workdays import Workdays
from store.errors import BadInput

_SKIPPING = tuple(words for choice, *both in HOLIDAY_WORDS if choice == "skip" for words in both)


def canonical(words: str, *, workdays: Workdays, zone: ZoneInfo, now: datetime) -> str:
    """`words` as they are stored: cron as it is, calendar words in Chinese with everything said. Raises BadInput for
    what can't be read and for what never comes."""
    if _is_cron(words):
        fields, skips = _cron_of(words)
        kept = f"{fields}，{_SKIPPING[0]}" if skips else fields
    else:
        kept = in_words(read_calendar(words, now.astimezone(zone).date()), "zh")
    next_firing(kept, workdays=workdays, zone=zone, after=now)
    return kept


def next_firing(recurs: str, *, workdays: Workdays, zone: ZoneInfo, after: datetime) -> datetime:
    """The first time (aware UTC) strictly after `after` that `recurs` names on the clock of `zone`. Raises BadInput."""
    if not _is_cron(recurs):
        found = read_calendar(recurs, after.astimezone(zone).date()).next_after(after, workdays, zone)
        if found is None:
            raise BadInput(f"{recurs!r} never comes")
        return found
    fields, skips = _cron_of(recurs)
    moment = cron.next_firing(fields, zone, after)
    while skips and workdays.is_holiday(moment.astimezone(zone).date()):
        moment = cron.next_firing(fields, zone, moment)
        if moment > after + calendar.FURTHEST:
            raise BadInput(f"{recurs!r} falls on holidays only")
    return moment


def recurrence_words(recurs: str, language: Literal["zh", "en"]) -> str:
    """A stored recurrence for people."""
    if not _is_cron(recurs):
        return in_words(read_calendar(recurs, calendar.A_MONDAY), language)
    fields, skips = _cron_of(recurs)
    skipping = ("，" if language == "zh" else ", ") + _SKIPPING[language == "en"] if skips else ""
    return f"cron {fields}{skipping}"


def _is_cron(words: str) -> bool:
    return words.lstrip()[:1] in tuple("0123456789*")


def _cron_of(words: str) -> tuple[str, bool]:
    """Cron's fields, and whether holidays are skipped."""
    for skipping in _SKIPPING:
        head = words.strip().removesuffix(skipping)
        if head != words.strip():
            return " ".join(head.rstrip(" ，,").split()), True
    return " ".join(words.split()), False
