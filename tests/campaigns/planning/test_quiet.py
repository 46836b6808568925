"""Quiet hours: their exact ends, over midnight, and where the clock is put forward or back."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.planning.quiet import QuietHours
from store.errors import BadInput

TAIPEI, NEW_YORK = ZoneInfo("Asia/Taipei"), ZoneInfo("America/New_York")
NIGHT = QuietHours.from_words("22:00-08:00")


def here(words: str, zone: ZoneInfo = TAIPEI) -> datetime:
    return datetime.fromisoformat(words).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-11-02T21:59:59.999999", None),
        ("2026-11-02T22:00", "2026-11-03T08:00"),
        ("2026-11-02T23:59:59", "2026-11-03T08:00"),
        ("2026-11-03T00:00", "2026-11-03T08:00"),
        ("2026-11-03T07:59:59.999999", "2026-11-03T08:00"),
        ("2026-11-03T08:00", None),
        ("2026-12-31T23:00", "2027-01-01T08:00"),
    ],
)
def test_quiet_hours_over_midnight_hold_from_their_start_until_their_end(moment: str, end: str | None) -> None:
    assert NIGHT.end_of(here(moment), TAIPEI) == (here(end) if end else None)


def test_quiet_hours_inside_a_day() -> None:
    siesta = QuietHours.from_words(" 13:00 - 15:00 ")
    assert siesta.end_of(here("2026-11-02T13:00"), TAIPEI) == here("2026-11-02T15:00")
    assert siesta.end_of(here("2026-11-02T15:00"), TAIPEI) is None
    assert siesta.next_start(here("2026-11-02T13:00"), TAIPEI) == here("2026-11-03T13:00")
    assert str(siesta) == "13:00-15:00"


@pytest.mark.parametrize("words", ["", "22:00", "22:00-", "22:00-22:00", "22-25", "-08:00", "22:00+08:00-08:00"])
def test_wrong_words_are_refused(words: str) -> None:
    with pytest.raises(BadInput, match="quiet hours such as"):
        QuietHours.from_words(words)


def test_an_hour_that_comes_twice_is_quiet_once() -> None:
    quiet = QuietHours.from_words("22:00-01:30")
    first = here("2026-11-01T01:15", NEW_YORK)
    assert quiet.end_of(first, NEW_YORK) == first + timedelta(minutes=15)
    assert quiet.end_of(first + timedelta(hours=1), NEW_YORK) is None  # 01:15 again


def test_quiet_hours_whose_end_is_left_out_end_as_much_later() -> None:
    quiet = QuietHours.from_words("22:00-02:30")
    assert quiet.end_of(here("2026-03-08T01:30", NEW_YORK), NEW_YORK) == here("2026-03-08T03:30", NEW_YORK)


minutes = st.integers(0, 24 * 60 - 1)


@given(minutes, minutes, st.integers(0, 365 * 24 * 60), st.sampled_from([TAIPEI, NEW_YORK]))
def test_the_end_is_later_and_not_quiet_and_quiet_begins_at_the_next_start(
    start: int, end: int, moment: int, zone: ZoneInfo
) -> None:
    if start == end:
        return
    quiet = QuietHours.from_words(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}")
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=moment)
    ends = quiet.end_of(at, zone)
    if ends is not None:
        assert at < ends <= at + timedelta(hours=49)
        assert quiet.end_of(ends, zone) is None
    begins = quiet.next_start(at, zone)
    assert begins > at
    assert quiet.end_of(begins, zone) is not None
    if ends is None:
        assert quiet.end_of(begins - timedelta(microseconds=1), zone) is None
