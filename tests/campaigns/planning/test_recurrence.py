"""Calendar words: read, shown back, and when they come, held against a plain search day by day."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.planning.calendar import Calendar
from campaigns.planning.calendar_words import in_words, read_calendar
from campaigns.planning.recurrence import canonical, next_firing, recurrence_words
from campaigns.planning.workdays import Workdays
from store.errors import BadInput

TAIPEI, NEW_YORK = ZoneInfo("Asia/Taipei"), ZoneInfo("America/New_York")
TAIWAN = Workdays()
TODAY = date(2026, 11, 2)
ONE_DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("words", "chinese", "english"),
    [
        ("每天 10:00", "每天 10:00", "every day at 10:00"),
        ("每個工作日 9:30", "每個工作日 09:30", "every workday at 09:30"),
        ("每禮拜一三五10:00", "每週一、三、五 10:00", "every Monday, Wednesday and Friday at 10:00"),
        ("每周一 10：00", "每週一 10:00", "every Monday at 10:00"),
        ("every second monday at 10:00", "每 2 週的週一 10:00，自 2026-11-02 起", None),
        ("每隔一週的星期一 10:00", "每 2 週的週一 10:00，自 2026-11-02 起", None),
        ("每月 5 日 10:00", "每月 5 日 10:00", "every month on the 5th at 10:00"),
        ("每個月5號、20號 10:00", "每月 5、20 日 10:00", "every month on the 5th and 20th at 10:00"),
        ("每月底 10:00", "每月最後一天 10:00", "last day of every month at 10:00"),
        ("last workday of the month 10:00", "每月最後一個工作日 10:00", "last workday of every month at 10:00"),
        ("每月倒數第二個工作日 10:00", "每月倒數第二個工作日 10:00", "second to last workday of every month at 10:00"),
        ("每月第二個星期一 10:00", "每月第二個週一 10:00", "second Monday of every month at 10:00"),
        ("每年 2 月 29 日 10:00", "每年 2 月 29 日 10:00", "every year on February 29 at 10:00"),
        ("每月5日 10:00,遇假日順延", "每月 5 日 10:00，遇假日順延", None),
        ("every day at 10:00, skip holidays", "每天 10:00，遇假日跳過", "every day at 10:00, skip holidays"),
    ],
)
def test_words_are_read_and_shown_back_in_both_languages(words: str, chinese: str, english: str | None) -> None:
    found = read_calendar(words, TODAY)
    assert in_words(found, "zh") == chinese
    if english is not None:
        assert in_words(found, "en") == english
    assert read_calendar(in_words(found, "en"), date(2000, 1, 1)) == found


@pytest.mark.parametrize(
    "words",
    [
        *("", "每天", "每天 25:00", "每月 0 日 10:00", "每月 32 日 10:00", "每月第六個週一 10:00", "10 o'clock"),
        *("every Funday at 10:00", "每 60 週的週一 10:00", "每週一 10:00，自 2026-11-02 起", "0 10 * *"),
        *("每 2 週的週一 10:00，自 2026-13-02 起", "每天 10:00，自 2026-11-02 起"),
        *("每年 2 月 30 日 10:00", "每年 13 月 1 日 10:00"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(words: str) -> None:
    with pytest.raises(BadInput, match="not a"):
        canonical(words, workdays=TAIWAN, zone=TAIPEI, now=datetime(2026, 11, 2, tzinfo=UTC))


def test_what_never_comes_is_refused() -> None:
    now = datetime(2026, 11, 2, tzinfo=UTC)
    with pytest.raises(BadInput, match="never comes"):
        canonical("每年 1 月 1 日 10:00，遇假日跳過", workdays=TAIWAN, zone=TAIPEI, now=now)
    with pytest.raises(BadInput, match="holidays only"):
        canonical("0 10 1 1 *，遇假日跳過", workdays=TAIWAN, zone=TAIPEI, now=now)


def firings(words: str, after: str, count: int, workdays: Workdays = TAIWAN, zone: ZoneInfo = TAIPEI) -> list[str]:
    moment, found = datetime.fromisoformat(after).replace(tzinfo=zone), []
    for _ in range(count):
        moment = next_firing(words, workdays=workdays, zone=zone, after=moment)
        found.append(f"{moment.astimezone(zone):%Y-%m-%d %H:%M}")
    return found


def test_workdays_of_taiwan_count_bridging_days_and_make_up_workdays() -> None:
    # 2023: bridging days off on 20 January and 27 January, made up for on Saturdays 7 January and 4 February
    assert firings("每個工作日 10:00", "2023-01-05T12:00", 3) == [
        "2023-01-06 10:00",
        "2023-01-07 10:00",
        "2023-01-09 10:00",
    ]
    assert firings("每個工作日 10:00", "2023-01-19T12:00", 1) == ["2023-01-30 10:00"]
    assert firings("每個工作日 10:00", "2023-02-03T12:00", 2) == ["2023-02-04 10:00", "2023-02-06 10:00"]
    assert TAIWAN.is_workday(date(2025, 2, 8))  # the last one: for 27 January 2025
    saturdays = [date(2026, 1, 3) + n * timedelta(days=7) for n in range(2 * 52)]
    assert not any(TAIWAN.is_workday(day) for day in saturdays)  # none from 2026 on
    assert TAIWAN.name_of(date(2026, 10, 10)) == "國慶日"
    assert TAIWAN.name_of(date(2026, 11, 2)) is None


def test_days_of_the_brand_go_before_the_countrys_calendar() -> None:
    ours = Workdays("TW", frozenset({date(2026, 11, 30), date(2026, 12, 1)}), frozenset({date(2026, 11, 29)}))
    assert firings("每月最後一個工作日 10:00", "2026-11-02", 1, ours) == ["2026-11-29 10:00"]
    assert firings("每天 10:00，遇假日跳過", "2026-11-29T12:00", 1, ours) == ["2026-12-02 10:00"]
    assert firings("每月 1 日 10:00，遇假日順延", "2026-11-29T12:00", 1, ours) == ["2026-12-02 10:00"]
    assert firings("每月 1 日 10:00，遇假日提前", "2026-11-15T12:00", 1, ours) == ["2026-11-29 10:00"]
    assert ours.name_of(date(2026, 11, 30)) == "品牌假日"


def test_a_brand_that_never_works_is_told_so() -> None:
    closed = Workdays("TW", frozenset(date(2026, 1, 1) + n * ONE_DAY for n in range(800)))
    with pytest.raises(BadInput, match="there is no workday"):
        firings("每月 5 日 10:00，遇假日順延", "2026-11-02", 1, closed)
    with pytest.raises(BadInput, match="not known"):
        Workdays("XX").is_workday(TODAY)


def test_month_ends_and_leap_days() -> None:
    assert firings("每月 31 日 10:00", "2027-12-31T12:00", 3) == [
        "2028-01-31 10:00",
        "2028-02-29 10:00",
        "2028-03-31 10:00",
    ]
    assert firings("每年 2 月 29 日 10:00", "2026-11-02", 3) == [
        "2027-02-28 10:00",
        "2028-02-29 10:00",
        "2029-02-28 10:00",
    ]
    assert firings("每月 29、30 日 10:00", "2027-02-01", 2) == ["2027-02-28 10:00", "2027-03-29 10:00"]
    assert firings("每月第五個週五 10:00", "2026-11-02", 2) == ["2027-01-29 10:00", "2027-04-30 10:00"]


def test_two_days_moved_to_the_same_workday_fire_once() -> None:
    assert firings("每月 5、6 日 10:00，遇假日順延", "2026-12-01", 2) == ["2026-12-07 10:00", "2027-01-05 10:00"]


def test_cron_may_skip_holidays() -> None:
    assert firings("0 10 * * *，遇假日跳過", "2026-10-08T12:00", 2) == ["2026-10-11 10:00", "2026-10-12 10:00"]
    kept = canonical(
        " 0  10 * * * , skip holidays", workdays=TAIWAN, zone=TAIPEI, now=datetime(2026, 11, 2, tzinfo=UTC)
    )
    assert kept == "0 10 * * *，遇假日跳過"
    assert recurrence_words(kept, "en") == "cron 0 10 * * *, skip holidays"
    assert recurrence_words("每個工作日 10:00", "en") == "every workday at 10:00"


def test_summer_time_neither_doubles_nor_loses_a_firing() -> None:
    assert firings("每天 01:30", "2026-10-31T12:00", 2, zone=NEW_YORK) == ["2026-11-01 01:30", "2026-11-02 01:30"]
    assert firings("每天 02:30", "2026-03-07T12:00", 2, zone=NEW_YORK) == ["2026-03-08 03:30", "2026-03-09 02:30"]


calendars = st.builds(
    Calendar,
    kind=st.sampled_from(["day", "workday"]),
    at=st.times().map(lambda at: time(at.hour, at.minute)),
    on_holiday=st.sampled_from(["fire", "skip", "next", "before"]),
) | st.one_of(
    st.builds(
        Calendar,
        kind=st.just("week"),
        at=st.just(time(10)),
        days=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
        on_holiday=st.sampled_from(["fire", "skip", "next", "before"]),
    ),
    st.builds(
        Calendar,
        kind=st.just("week"),
        at=st.just(time(10)),
        days=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
        every=st.integers(2, 8),
        since=st.dates(date(2020, 1, 1), date(2026, 12, 31)),
    ),
    st.builds(
        Calendar,
        kind=st.just("month"),
        at=st.just(time(10)),
        days=st.sets(st.integers(1, 31), min_size=1).map(lambda days: tuple(sorted(days))),
        on_holiday=st.sampled_from(["fire", "skip", "next", "before"]),
    ),
    st.builds(
        Calendar,
        kind=st.just("nth_workday"),
        at=st.just(time(10)),
        nth=st.integers(1, 10) | st.integers(-10, -1),
    ),
    st.builds(
        Calendar,
        kind=st.just("nth_weekday"),
        at=st.just(time(10)),
        days=st.integers(0, 6).map(lambda day: (day,)),
        nth=st.integers(1, 5) | st.integers(-5, -1),
    ),
    st.builds(
        Calendar,
        kind=st.just("year"),
        at=st.just(time(10)),
        month=st.integers(1, 12),
        days=st.integers(1, 28).map(lambda day: (day,)),
        on_holiday=st.sampled_from(["fire", "next", "before"]),
    ),
)


def names_day(recurs: Calendar, day: date) -> bool:
    """Whether `recurs` names `day`, by counting along the calendar in the plainest way."""
    month = [date(day.year, day.month, 1) + n * ONE_DAY for n in range(31)]
    month = [other for other in month if other.month == day.month]
    if recurs.kind == "day":
        return True
    if recurs.kind == "workday":
        return TAIWAN.is_workday(day)
    if recurs.kind == "week":
        if day.weekday() not in recurs.days or recurs.every == 1:
            return day.weekday() in recurs.days
        assert recurs.since is not None
        monday = recurs.since - recurs.since.weekday() * ONE_DAY
        return day >= recurs.since and (day - monday).days // 7 % recurs.every == 0
    if recurs.kind == "month":
        return day.day in recurs.days or (day == month[-1] and any(n > day.day for n in recurs.days))
    if recurs.kind == "year":
        return (day.month, day.day) == (recurs.month, recurs.days[0])
    fits = [
        d for d in month if (TAIWAN.is_workday(d) if recurs.kind == "nth_workday" else d.weekday() == recurs.days[0])
    ]
    ordered = fits if recurs.nth > 0 else fits[::-1]
    return len(ordered) >= abs(recurs.nth) and ordered[abs(recurs.nth) - 1] == day


def shifted(recurs: Calendar, day: date) -> date | None:
    if recurs.on_holiday == "skip":
        return None if TAIWAN.is_holiday(day) else day
    step = {"next": ONE_DAY, "before": -ONE_DAY, "fire": None}[recurs.on_holiday]
    while step is not None and not TAIWAN.is_workday(day):
        day += step
    return day


@settings(max_examples=150, deadline=None)
@given(calendars, st.integers(0, 5 * 365 * 24 * 60))
def test_what_comes_next_is_the_first_day_of_a_plain_search(recurs: Calendar, minutes: int) -> None:
    moment = datetime(2022, 6, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    start = moment.astimezone(TAIPEI).date() - timedelta(days=30)
    days = (shifted(recurs, d) for n in range(900) if names_day(recurs, d := start + n * ONE_DAY))
    moments = (datetime.combine(day, recurs.at, TAIPEI).astimezone(UTC) for day in days if day is not None)
    expected = next((at for at in moments if at > moment), None)
    if expected is not None:
        assert recurs.next_after(moment, TAIWAN, TAIPEI) == expected


@settings(max_examples=150, deadline=None)
@given(calendars)
def test_every_recurrence_reads_back_from_its_words(recurs: Calendar) -> None:
    for language in ("zh", "en"):
        assert read_calendar(in_words(recurs, language), date(2001, 1, 1)) == recurs
