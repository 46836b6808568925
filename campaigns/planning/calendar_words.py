"""Calendar words: when something recurs, as people say it: 每月最後一個工作日 10:00, or `every second Monday at 10:00`.

Read in Traditional Chinese or English, kept and shown back in either. The grammar, with what can be put for each part:

    每天 10:00                          every day at 10:00
    每個工作日 10:00                     every workday at 10:00
    每週一、三 10:00                     every Monday and Wednesday at 10:00
    每 2 週的週一 10:00，自 2026-11-02 起   every second Monday at 10:00, from 2026-11-02
    每月 5、20 日 10:00                  every month on the 5th and 20th at 10:00
    每月最後一天 10:00                   last day of every month at 10:00
    每月第一個工作日 10:00 (倒數第二個)     first workday of every month at 10:00 (second to last)
    每月第二個週一 10:00 (最後一個)        second Monday of every month at 10:00 (last)
    每年 5 月 20 日 10:00                every year on May 20 at 10:00

and at the end, for a day that is a holiday: `，遇假日跳過` `, skip holidays` (public holidays and the brand's own; an
ordinary weekend is none), `，遇假日順延` `, on holidays the next workday`, `，遇假日提前` `, on holidays the workday
before` (for these, weekends too). A day of the month that a month lacks is its last one, as 29 February is the 28th.
"""

import calendar as months
import re
from dataclasses import replace
from datetime import date, time
from typing import Literal

from campaigns.planning.calendar import LAST_DAY, Calendar, OnHoliday
from store.errors import BadInput

_ENGLISH_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ENGLISH_MONTHS = tuple(months.month_name[1:])
_CHINESE_DAYS = "一二三四五六日"
_CHINESE_NUMBERS = {"一": 1, "二": 2, "兩": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10}
_ENGLISH_NUMBERS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_MOST_NTH = len(_ENGLISH_NUMBERS)
HOLIDAY_WORDS: tuple[tuple[OnHoliday, str, str], ...] = (
    ("skip", "遇假日跳過", "skip holidays"),
    ("next", "遇假日順延", "on holidays the next workday"),
    ("before", "遇假日提前", "on holidays the workday before"),
)
_TIME = r"(?P<time>\d{1,2}:\d{2})"
_SINCE = r"(?:, ?(?:自 ?(?P<zh_since>\d{4}-\d{2}-\d{2}) ?起|from (?P<since>\d{4}-\d{2}-\d{2})))?"
_HOLIDAY = "(?:, ?(?P<holiday>" + "|".join(w for _, zh, en in HOLIDAY_WORDS for w in (zh, en)) + "))?"
_DAY = "(?:" + "|".join(name.lower() for name in _ENGLISH_DAYS) + ")"
_ORDINAL = "|".join(_ENGLISH_NUMBERS)
_AND = r"(?:, ?| and |, ?and )"
_NTH = r"(?:the )?\d{1,2}(?:st|nd|rd|th)"
_ZH_DAYS = f"[{_CHINESE_DAYS}](?:、?[{_CHINESE_DAYS}])*"
_ZH_NUMBER = f"[{''.join(_CHINESE_NUMBERS)}]|\\d{{1,2}}"
_ZH_PLACE = rf"每個?月的?(?P<zh_nth>最後一|(?:倒數)?第(?:{_ZH_NUMBER}))"
_EN_PLACE = rf"(?:the )?(?P<en_nth>last|(?:{_ORDINAL})(?: to last)?)"

_FORMS: tuple[tuple[str, str], ...] = (
    (r"每[天日]|every day", "day"),
    (r"每個?工作日|every workday", "workday"),
    (rf"每(?: ?(?P<zh_every>{_ZH_NUMBER}) ?週的?(?:週|星期)|週|星期)(?P<zh_days>{_ZH_DAYS})", "week"),
    (rf"每隔(?:一週|週)的?(?:週|星期)(?P<zh_other>[{_CHINESE_DAYS}])", "week"),
    (rf"every (?P<second>second |other )?(?P<en_days>{_DAY}(?:{_AND}{_DAY})*)", "week"),
    (rf"every (?P<en_every>\d{{1,2}}) weeks on (?P<en_days_of>{_DAY}(?:{_AND}{_DAY})*)", "week"),
    (r"每個?月 ?(?P<zh_month_days>\d{1,2} ?[日號]?(?:、 ?\d{1,2} ?[日號]?)*)", "month"),
    (rf"every month on (?P<en_month_days>{_NTH}(?:{_AND}{_NTH})*)", "month"),
    (r"每個?月(?:的?最後一[天日]|底)|(?:the )?last day of every month", "month"),
    (rf"{_ZH_PLACE}個工作日|{_EN_PLACE} workday of every month", "nth_workday"),
    (
        rf"{_ZH_PLACE}個(?:週|星期)(?P<zh_weekday>[{_CHINESE_DAYS}])"
        rf"|{_EN_PLACE} (?P<en_weekday>{_DAY}) of every month",
        "nth_weekday",
    ),
    (r"每年 ?(?P<zh_month>\d{1,2}) ?月 ?(?P<zh_day>\d{1,2}) ?[日號]", "year"),
    (rf"every year on (?P<en_month>{'|'.join(_ENGLISH_MONTHS).lower()}) (?P<en_day>\d{{1,2}})", "year"),
)
_READERS = tuple((re.compile(rf"(?:{form}) ?(?:at )?{_TIME}{_SINCE}{_HOLIDAY}\.?"), kind) for form, kind in _FORMS)
_ALIKE = (
    *(("，", ","), ("：", ":"), ("每一個", "每個"), ("禮拜", "星期"), ("周", "週")),
    *(("星期天", "星期日"), ("週天", "週日"), ("each ", "every "), ("of the month", "of every month")),
)
HOW_TO_SAY = (
    "say it as 每天 10:00, 每個工作日 10:00, 每週一 10:00, 每月 5 日 10:00, 每月最後一個工作日 10:00, "
    "`every second Monday at 10:00` or `last workday of every month at 10:00` (docs/campaigns.md)"
)


def read_calendar(words: str, today: date) -> Calendar:
    """The recurrence that `words` name. Several weeks apart without `from`: counted from the week of `today`. Raises
    BadInput."""
    tidy = _tidied(words)
    for pattern, kind in _READERS:
        if found := pattern.fullmatch(tidy):
            said = {name: value for name, value in found.groupdict().items() if value is not None}
            try:
                return _made(kind, said, today)
            except ValueError as error:
                raise BadInput(f"{words!r} is not a time that recurs: {error}") from error
    raise BadInput(f"{words!r} is not a time that recurs; {HOW_TO_SAY}")


def _tidied(words: str) -> str:
    tidy = re.sub(r"\s+", " ", words.strip()).lower()
    for said, meant in _ALIKE:
        tidy = tidy.replace(said, meant)
    return re.sub(r" ?, ?", ", ", tidy).replace("、 ", "、")


def _made(kind: str, said: dict[str, str], today: date) -> Calendar:
    at = time.fromisoformat(said["time"].zfill(5))
    made = Calendar(kind=kind, at=at, on_holiday=_holiday(said.get("holiday")))  # type: ignore[arg-type]
    if kind == "week":
        made = _of_weeks(made, said, today)
    elif "zh_since" in said or "since" in said:
        raise ValueError("`from` goes with several weeks apart only")
    if kind == "month":
        digits = said.get("zh_month_days") or said.get("en_month_days")
        days = [int(n) for n in re.findall(r"\d+", digits)] if digits else [LAST_DAY]
        return replace(made, days=tuple(sorted({_checked(day, 31, "day of a month") for day in days})))
    if kind == "nth_workday":
        return replace(made, nth=_nth(said.get("zh_nth"), said.get("en_nth")))
    if kind == "nth_weekday":
        weekday = _weekdays(said.get("zh_weekday", ""), said.get("en_weekday", ""))
        nth = _nth(said.get("zh_nth"), said.get("en_nth"))
        return replace(made, days=weekday, nth=_checked(nth, 5, "week of a month"))
    if kind == "year":
        month = int(said["zh_month"]) if "zh_month" in said else _english_month(said["en_month"])
        _checked(month, 12, "month")
        day = _checked(
            int(said.get("zh_day") or said["en_day"]), months.monthrange(2024, month)[1], "day of that month"
        )
        return replace(made, month=month, days=(day,))
    return made


def _of_weeks(made: Calendar, said: dict[str, str], today: date) -> Calendar:
    chinese = said.get("zh_days", "") + said.get("zh_other", "")
    days = _weekdays(chinese, said.get("en_days", "") + said.get("en_days_of", ""))
    every = (
        2 if "second" in said or "zh_other" in said else int(_number(said.get("zh_every") or said.get("en_every", "1")))
    )
    if not 1 <= every <= 52:
        raise ValueError(f"{every} weeks are not 1 to 52")
    given = said.get("zh_since") or said.get("since")
    if every == 1:
        if given:
            raise ValueError("`from` goes with several weeks apart only")
        return replace(made, days=days)
    return replace(made, days=days, every=every, since=date.fromisoformat(given) if given else today)


def _weekdays(chinese: str, english: str) -> tuple[int, ...]:
    found = {_CHINESE_DAYS.index(sign) for sign in chinese if sign in _CHINESE_DAYS}
    found |= {number for number, name in enumerate(_ENGLISH_DAYS) if name.lower() in english}
    return tuple(sorted(found))


def _holiday(words: str | None) -> OnHoliday:
    return next((choice for choice, zh, en in HOLIDAY_WORDS if words in (zh, en)), "fire")


def _nth(chinese: str | None, english: str | None) -> int:
    """1 for the first, -1 for the last."""
    if chinese == "最後一" or english == "last":
        return -1
    if chinese is not None:
        number = _number(chinese.removeprefix("倒數").removeprefix("第"))
        return (
            -_checked(number, _MOST_NTH, "place")
            if chinese.startswith("倒數")
            else _checked(number, _MOST_NTH, "place")
        )
    assert english is not None
    number = _ENGLISH_NUMBERS.index(english.removesuffix(" to last")) + 1
    return -number if english.endswith(" to last") else number


def _number(words: str) -> int:
    return _CHINESE_NUMBERS.get(words) or int(words)


def _english_month(name: str) -> int:
    return [month.lower() for month in _ENGLISH_MONTHS].index(name) + 1


def _checked(number: int, most: int, what: str) -> int:
    if not 1 <= abs(number) <= most:
        raise ValueError(f"{abs(number)} is not a {what}")
    return number


# --- shown -----------------------------------------------------------------------------------------------------


def in_words(recurs: Calendar, language: Literal["zh", "en"]) -> str:
    """The recurrence in words, which `read_calendar` reads back as an equal one."""
    said = (_in_chinese if language == "zh" else _in_english)(recurs)
    if recurs.every > 1:
        assert recurs.since is not None
        said += f"，自 {recurs.since} 起" if language == "zh" else f", from {recurs.since}"
    for choice, zh, en in HOLIDAY_WORDS:
        if choice == recurs.on_holiday:
            said += f"，{zh}" if language == "zh" else f", {en}"
    return said


def _in_chinese(recurs: Calendar) -> str:
    nth = f"{'倒數' if recurs.nth < 0 else ''}第{_chinese_number(abs(recurs.nth))}" if recurs.nth != -1 else "最後一"
    match recurs.kind:
        case "day" | "workday":
            when = "每天" if recurs.kind == "day" else "每個工作日"
        case "week":
            when = f"{'每週' if recurs.every == 1 else f'每 {recurs.every} 週的週'}{_chinese_days(recurs)}"
        case "month":
            last = recurs.days == (LAST_DAY,)
            when = "每月最後一天" if last else f"每月 {'、'.join(map(str, recurs.days))} 日"
        case "year":
            when = f"每年 {recurs.month} 月 {recurs.days[0]} 日"
        case "nth_workday":
            when = f"每月{nth}個工作日"
        case "nth_weekday":
            when = f"每月{nth}個週{_chinese_days(recurs)}"
    return f"{when} {recurs.at:%H:%M}"


def _in_english(recurs: Calendar) -> str:
    nth = "last" if recurs.nth == -1 else _ENGLISH_NUMBERS[abs(recurs.nth) - 1] + " to last" * (recurs.nth < 0)
    match recurs.kind:
        case "day" | "workday":
            when = f"every {recurs.kind}"
        case "week":
            days = _english_days(recurs)
            second = recurs.every == 2 and len(recurs.days) == 1
            weeks = f"every second {days}" if second else f"every {recurs.every} weeks on {days}"
            when = f"every {days}" if recurs.every == 1 else weeks
        case "month":
            listed = _listed([_ordinal(day) for day in recurs.days])
            when = "last day of every month" if recurs.days == (LAST_DAY,) else f"every month on the {listed}"
        case "year":
            when = f"every year on {_ENGLISH_MONTHS[recurs.month - 1]} {recurs.days[0]}"
        case "nth_workday":
            when = f"{nth} workday of every month"
        case "nth_weekday":
            when = f"{nth} {_english_days(recurs)} of every month"
    return f"{when} at {recurs.at:%H:%M}"


def _chinese_days(recurs: Calendar) -> str:
    return "、".join(_CHINESE_DAYS[day] for day in recurs.days)


def _english_days(recurs: Calendar) -> str:
    return _listed([_ENGLISH_DAYS[day] for day in recurs.days])


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _ordinal(number: int) -> str:
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _chinese_number(number: int) -> str:
    return {value: sign for sign, value in _CHINESE_NUMBERS.items() if sign != "兩"}.get(number, str(number))
