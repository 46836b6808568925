"""關鍵字: which words bring taps, of all messages or those of one theme or segment, drawn and to take away."""

from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, g, render_template, request

from console.access.roles import Role, needs
from console.frame.charts import Chart, Interval, intervals
from console.frame.download import download
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.keywords.report_file import ENDINGS, note_export, write_report
from console.segments.segment_words import segment_words
from console.words.catalog import translate
from keywords.effects.learning import NothingToLearn
from keywords.report import make_report
from keywords.sharing.chart import Bar, both_ends, draw
from keywords.sharing.deliveries import newest_deliveries
from keywords.sharing.parts import known_segments, known_themes, report_parts
from store.engine import reading, transaction
from store.errors import BadInput

TRENDS = {"rising": "上升", "fading": "下降", "worn": "疲乏"}
SHOWN = 15  # best and worst, each
SENT = 5  # newest reports that were sent by themselves


def show_keywords() -> Any:
    chosen = _chosen(request.args)
    with reading(site.engine) as session:
        around = {
            "chosen": chosen,
            "themes": known_themes(session),
            "segments": known_segments(session),
            "sent": newest_deliveries(session, SENT),
            "segment_words": segment_words,
            "endings": ENDINGS,
        }
        try:
            report = make_report(session, **chosen)
        except NothingToLearn:
            return render_template("console/keywords/effects.html", report=None, **around)
    _, bars = draw(both_ends(report.terms, SHOWN))
    return render_template(
        "console/keywords/effects.html",
        report=report,
        bars=bars,
        effects=_effects(bars),
        to_try=report.to_try[:SHOWN],
        exp=exp,
        TRENDS=TRENDS,
        **around,
    )


@needs(Role.ANALYST)
def export_keywords() -> Response:
    ending, chosen, now = request.form.get("ending", ""), _chosen(request.form), site.clock()
    if ending not in ENDINGS:
        raise BadInput(f"ending must be one of {', '.join(ENDINGS)}, not {ending!r}")
    with reading(site.engine) as session:
        parts = report_parts(session, **chosen)
    rows = 0

    def write(path: Path) -> None:
        nonlocal rows
        rows = write_report(path, parts, made_at=now, zone=site.zone)

    name = f"keywords-{now.astimezone(site.zone):%Y-%m-%d}{ending}"
    made = download(name, write)
    with transaction(site.engine) as session:
        note_export(session, Path(name), rows, actor=g.user.email, now=now)
    return made


def _chosen(values: Mapping[str, str]) -> dict[str, str | None]:
    """Of which theme and which segment; None: of all."""
    return {name: values.get(name, "").strip() or None for name in ("theme", "segment")}


def _effects(bars: Sequence[Bar]) -> Chart:
    """The terms of the table, drawn: how many times the odds of a tap each makes."""
    found = [
        Interval(
            bar.row.term,
            bar.times_low,
            bar.times,
            bar.times_high,
            f"× {bar.times:.2f} ({bar.times_low:.2f}–{bar.times_high:.2f})",
            is_sure=bar.kind != "open",
        )
        for bar in bars
    ]
    words = [translate(text, g.language) for text in ("詞", "效果（90% 區間）")]
    return intervals(found, name=words[0], value=words[1], none=1.0)


ROUTES = (
    get("/keywords", show_keywords),
    post("/keywords/export", export_keywords),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/keywords and POST /console/keywords/export."""
    add_routes(blueprint, ROUTES)
