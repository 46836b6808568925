"""關鍵字: which words bring taps, with their intervals, drawn as one chart."""

from dataclasses import dataclass
from math import exp
from zoneinfo import ZoneInfo

from flask import Blueprint, render_template
from sqlalchemy import Engine

from keywords.effects.learning import NothingToLearn
from keywords.report import TermRow, make_report
from keywords.text.tokenizer import shared_tokenizer
from store.engine import reading

SHOWN = 15  # best and worst, each
CHART_WIDTH, ROW_HEIGHT = 320, 22  # units of the drawing


@dataclass(frozen=True)
class Bar:
    """One term of the chart: odds ratios for the text, x positions for the drawing."""

    row: TermRow
    times: float
    times_low: float
    times_high: float
    x_low: float
    x_high: float
    x_effect: float
    kind: str  # up | down | open: settled above 1, settled below 1, not settled


def add_pages(blueprint: Blueprint, engine: Engine, zone: ZoneInfo) -> None:
    """GET /console/keywords."""

    @blueprint.get("/keywords")
    def show_keywords() -> str:
        with reading(engine) as session:
            try:
                report = make_report(session, shared_tokenizer(), zone)
            except NothingToLearn:
                return render_template("console/keywords.html", report=None)
        shown = report.terms if len(report.terms) <= 2 * SHOWN else report.terms[:SHOWN] + report.terms[-SHOWN:]
        zero, bars = draw(shown)
        return render_template(
            "console/keywords.html",
            report=report,
            bars=bars,
            zero=zero,
            to_try=report.to_try[:SHOWN],
            width=CHART_WIDTH,
            row_height=ROW_HEIGHT,
        )


def draw(rows: list[TermRow]) -> tuple[float, list[Bar]]:
    """(x of no effect, one bar per row in the same order), on one log-odds scale that holds every interval."""
    low = min([0.0, *(row.low for row in rows)])
    high = max([0.0, *(row.high for row in rows)])
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return round((value - low) / span * CHART_WIDTH, 1)

    return x(0.0), [
        Bar(
            row,
            exp(row.effect),
            exp(row.low),
            exp(row.high),
            x(row.low),
            x(row.high),
            x(row.effect),
            "up" if row.low > 0 else "down" if row.high < 0 else "open",
        )
        for row in rows
    ]
