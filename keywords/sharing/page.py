"""The report as one HTML page that stands by itself: no script, nothing fetched from anywhere, all words escaped.

It holds terms and sums, never a person, so it may be passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from jinja2 import Environment, StrictUndefined, Template

from keywords.report import Report, TermRow
from keywords.sharing.chart import CHART_WIDTH, ROW_HEIGHT, Bar, both_ends, draw
from keywords.sharing.parts import Part

SHOWN = 12  # terms at each end of a section
_TRENDS = {"": "", "rising": "上升 rising", "fading": "下降 fading", "worn": "疲乏 worn"}


@dataclass(frozen=True)
class _Section:
    title: str
    report: Report
    bars: list[Bar]
    zero: float
    to_try: list[TermRow]


def report_page(parts: Sequence[Part], *, made_at: datetime, zone: ZoneInfo, period: str = "") -> str:
    """The page of `parts`, made at `made_at` (aware UTC), shown in the brand's `zone`."""
    sections = []
    for part in parts:
        zero, bars = draw(both_ends(part.report.terms, SHOWN))
        sections.append(_Section(part.title, part.report, bars, zero, part.report.to_try[:SHOWN]))
    return _template().render(
        sections=sections,
        made_at=made_at.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
        period=period,
        width=CHART_WIDTH,
        height=ROW_HEIGHT,
        trends=_TRENDS,
    )


@cache
def _template() -> Template:
    text = files(__package__ or "").joinpath("page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(text)
