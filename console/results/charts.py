"""Charts of results: the funnel, what sending added by part, and taps by the hour."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from campaigns.results.lift import Lift
from campaigns.results.runs import Lifts, RunResults
from console.frame import formats
from console.frame.charts import Bar, Chart, Interval, bars, intervals, lines

HOURS_SHOWN = 72  # of each run: what comes later is a thin tail, told beneath

HOURS = "發送後幾小時"

Translate = Callable[..., str]


def funnel(results: RunResults, t: Translate) -> Chart:
    """People at each stage of a run, from its audience to those who bought after a tap."""
    deliveries = results.deliveries
    meant = sum(deliveries.values()) - deliveries["skipped"]
    stages = (
        (t("名單"), sum(deliveries.values())),
        (t("可發送"), meant),
        (t("已受理"), deliveries["accepted"]),
        (t("不重複點擊"), results.clicks),
        (t("點擊後購買"), results.conversions),
    )
    top = stages[0][1]
    found = [Bar(name, count, f"{count:,} ({formats.percent(count / top if top else 0)})") for name, count in stages]
    return bars(found, name=t("階段"), value=t("人數"))


def lifts(found: Sequence[tuple[str, Lifts]], t: Translate) -> Chart:
    """The lift in the share of people who bought, of each named part: percentage points against the holdout."""
    rows = [_interval(name, one.buyers) for name, one in found]
    return intervals(rows, name=t("名稱"), value=t("提升（百分點，95% 區間）"), none=0.0, format="percent")


def _interval(name: str, lift: Lift) -> Interval:
    return Interval(name, lift.low, lift.difference, lift.high, formats.points(lift), is_sure=lift.is_sure)


def by_hour(taps: Sequence[tuple[int, int]], t: Translate) -> Chart:
    """Taps by people in each of the first hours since the beginning of their run (see taps_by_hour), as far as there
    are any; empty without one."""
    counts = dict(taps)
    last = max((hour for hour in counts if hour < HOURS_SHOWN), default=-1)
    steps = [str(hour) for hour in range(last + 1)]
    drawn = {t("點擊"): [counts.get(hour, 0) for hour in range(last + 1)]} if steps else {}
    return lines(steps, drawn, step=t(HOURS), value=t("點擊"))


def late_taps(taps: Sequence[tuple[int, int]]) -> int:
    """How many taps came after the hours that are drawn."""
    return sum(count for hour, count in taps if hour >= HOURS_SHOWN)


def named_lifts(
    results: RunResults, variant_names: Mapping[int, str], segment_name: Callable[[str], str], t: Translate
) -> dict[str, Any]:
    """The lifts of a run's whole, variants and segments, each list with its people's words for the parts."""
    whole = [(t("全部"), results.lift)] if results.lift else []
    return {
        "whole": whole,
        "variants": [(variant_names.get(key, "–"), one) for key, one in results.variant_lifts.items()],
        "segments": [(segment_name(key), one) for key, one in results.segment_lifts.items()],
    }
