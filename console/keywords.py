"""關鍵字: which words bring taps, with their intervals, drawn as one chart; and what a text may expect."""

from datetime import datetime
from math import exp
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, render_template, request
from sqlalchemy import Engine
from sqlmodel import Session

from console.segment_words import segment_words
from keywords.copy.score import Score, score
from keywords.effects.current import current_learning
from keywords.effects.learning import NothingToLearn
from keywords.effects.prediction import Situation
from keywords.report import make_report
from keywords.sharing.chart import CHART_WIDTH, ROW_HEIGHT, both_ends, draw
from keywords.text.brand import brand_tokenizer
from segmentation.models import RFM8
from store.engine import reading

TRENDS = {"rising": "上升", "fading": "下降", "worn": "疲乏"}
SHOWN = 15  # best and worst, each
MAX_TEXT = 500  # characters of a text to judge: it travels in the address


def add_pages(blueprint: Blueprint, engine: Engine, zone: ZoneInfo) -> None:
    """GET /console/keywords."""

    @blueprint.get("/keywords")
    def show_keywords() -> str:
        with reading(engine) as session:
            scored = _scored(session, zone)
            try:
                report = make_report(session)
            except NothingToLearn:
                return render_template("console/keywords.html", report=None, scored=scored, **_form())
        zero, bars = draw(both_ends(report.terms, SHOWN))
        return render_template(
            "console/keywords.html",
            report=report,
            bars=bars,
            zero=zero,
            to_try=report.to_try[:SHOWN],
            width=CHART_WIDTH,
            row_height=ROW_HEIGHT,
            exp=exp,
            TRENDS=TRENDS,
            segment_words=segment_words,
            scored=scored,
            **_form(),
        )


def _form() -> dict[str, Any]:
    """What the form of a text to judge is filled with."""
    names = ("text", "segment", "theme", "at")
    return {"asked": {name: request.args.get(name, "") for name in names}, "groups": RFM8, "max_text": MAX_TEXT}


def _scored(session: Session, zone: ZoneInfo) -> Score | None:
    """The text of the address judged; None without one. A time that can't be read is none."""
    asked = _form()["asked"]
    text = asked["text"].strip()[:MAX_TEXT]
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(asked["at"]) if asked["at"] else None
    except ValueError:
        moment = None
    situation = Situation.at(moment, zone, segment=asked["segment"] or None, theme=asked["theme"].strip() or None)
    tokenizer = brand_tokenizer(session)
    return score(text, current_learning(session), tokenizer, situation)
