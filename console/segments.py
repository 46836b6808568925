"""分群: every model of the newest run, the eleven RF segments as their five by five grid."""

from typing import Any

from flask import Blueprint, render_template
from sqlalchemy import Engine, func, select
from sqlmodel import Session

from segmentation.history import latest_run, segment_sizes
from segmentation.models import MODELS, RF11_CELLS, Segment
from store.engine import reading, table_of
from store.models import CustomerSegment

TITLES = {
    "rf11": "十一群（R × F）",
    "nesl": "活躍狀態（NESL）",
    "rf4": "四群（RF）",
    "rfm3": "三群（RFM）",
    "rfm8": "八群（RFM）",
    "nes": "活躍狀態（NES）",
}
SCORES = (5, 4, 3, 2, 1)


def add_pages(blueprint: Blueprint, engine: Engine) -> None:
    """GET /console/segments."""

    @blueprint.get("/segments")
    def show_segments() -> str:
        with reading(engine) as session:
            run = latest_run(session)
            models = [(model, title, segment_sizes(session, model)) for model, title in TITLES.items()] if run else []
            grid = _grid(session) if run else []
            return render_template("console/segments.html", run=run, models=models, grid=grid, scores=SCORES[::-1])


def _grid(session: Session) -> list[tuple[int, list[tuple[Segment, int]]]]:
    """For each R score, best first: the five cells of F 1 to 5 as (segment, customers)."""
    now: Any = table_of(CustomerSegment).c
    counted = select(now.r, now.f, func.count()).where(now.rf11.is_not(None)).group_by(now.r, now.f)
    counts = {(r, f): count for r, f, count in session.execute(counted)}
    by_name = {segment.name: segment for segment in MODELS["rf11"]}
    cells = {(r, f): by_name[name] for name, (rs, fs) in RF11_CELLS.items() for r in rs for f in fs}
    return [(r, [(cells[r, f], counts.get((r, f), 0)) for f in SCORES[::-1]]) for r in SCORES]
