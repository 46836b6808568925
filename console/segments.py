"""分群: every model with its settings and sizes, when it was computed and whether that is stuck; and one model with who
moved between two days."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy import Engine
from sqlmodel import Session

from console.charts import spark
from console.movement import Movement, moved
from console.sizes import Size, Sizes, read_sizes
from segmentation.history import SegmentSize, last_computed
from segmentation.models import GROUPS, MODELS, RF11_CELLS, Segment, segments_of
from segmentation.results import CELLS
from segmentation.tags.definitions import GROUP_TAGS
from store.clock import Clock
from store.engine import reading

TITLES = {
    "rf11": "十一群（R × F）",
    "nesl": "活躍狀態（NESL）",
    "nesl_personal": "活躍狀態（NESL，個人週期）",
    "rf4": "四群（RF）",
    "rfm3": "三群（RFM）",
    "rfm8": "八群（RFM）",
    "nes": "活躍狀態（NES）",
    "nes_personal": "活躍狀態（NES，個人週期）",
    "activity": "顧客狀態（活躍度）",
}
SCORES = (5, 4, 3, 2, 1)
LOYALTY_PERCENTS = (25, 50, 75, 90)


def add_pages(blueprint: Blueprint, engine: Engine, clock: Clock) -> None:
    """GET /console/segments and /console/segments/<model>."""

    @blueprint.get("/segments")
    def show_segments() -> str:
        with reading(engine) as session:
            computed = last_computed(session, clock())
            run = computed.run
            sizes = {model: read_sizes(session, model) for model in TITLES} if run else {}
            tags = read_sizes(session, "tag") if run else Sizes([], {})
            return render_template(
                "console/segments.html",
                computed=computed,
                run=run,
                models=[(model, TITLES[model], table_rows(model, found)) for model, found in sizes.items()],
                groups=_groups(tags),
                loyalty=_loyalty(run.settings) if run else None,
                grid=_grid(read_sizes(session, CELLS).newest) if run else [],
                scores=SCORES[::-1],
            )

    @blueprint.get("/segments/<model>")
    def show_model(model: str) -> str:
        segments = segments_of(model)
        with reading(engine) as session:
            sizes = read_sizes(session, model)
            computed = last_computed(session, clock())
            found = _movement(session, model, sizes)
            return render_template(
                "console/segment_model.html",
                model=model,
                title=TITLES[model],
                segments=segments,
                run=computed.run,
                rows=table_rows(model, sizes),
                sizes=sizes,
                moves=found,
            )


def table_rows(model: str, sizes: Sizes) -> list[tuple[SegmentSize, Any]]:
    """Every segment of `model` in the order marketers read them, with its newest size and its line over time."""
    return [(_size(s, sizes.newest), spark(sizes.over_time(s.name))) for s in segments_of(model)]


def _size(segment: Segment, newest: Mapping[str, Size], name: str | None = None) -> SegmentSize:
    found = newest.get(name or segment.name)
    return SegmentSize(segment, found.customers if found else 0, found.value if found else Decimal(0))


def _groups(tags: Sizes) -> list[tuple[SegmentSize, Any]]:
    """The five groups as their tags were last counted; empty before that."""
    if not any(name in tags.newest for name, _ in GROUP_TAGS.values()):
        return []
    rows = []
    for segment in GROUPS:
        name, _line = GROUP_TAGS[segment.name]
        rows.append((_size(segment, tags.newest, name), spark(tags.over_time(name))))
    return rows


def _loyalty(settings: Mapping[str, Any]) -> list[tuple[int, float]] | None:
    """(percentile, loyalty there) of those with a loyalty; None when there are none."""
    points = (settings.get("population") or {}).get("loyalty_points")
    months = (settings.get("chosen") or {}).get("loyalty_months")
    if not points or not months:
        return None
    return [(percent, points[percent * len(points) // 100 - 1] / months) for percent in LOYALTY_PERCENTS]


def _movement(session: Session, model: str, sizes: Sizes) -> Movement | None:
    """Between the days that the form asks for, else the two newest; None with fewer than two days."""
    if len(sizes.days) < 2:
        return None
    asked = [_day(request.args.get(name)) for name in ("from", "to")]
    first = asked[0] if asked[0] in sizes.days[:-1] else sizes.days[-2]
    assert first is not None
    last = asked[1] if asked[1] in sizes.days and asked[1] > first else sizes.days[-1]
    assert last is not None
    return moved(session, model, first, last, sizes.on[first])


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def _grid(cells: Mapping[str, Size]) -> list[tuple[int, list[tuple[Segment, int]]]]:
    """For each R score, best first: the five cells of F 1 to 5 as (segment, customers). Empty when they were never
    counted."""
    if not cells:
        return []
    by_name = {segment.name: segment for segment in MODELS["rf11"]}
    of = {(r, f): by_name[name] for name, (rs, fs) in RF11_CELLS.items() for r in rs for f in fs}

    def people(r: int, f: int) -> int:
        return cells[f"r{r}f{f}"].customers if f"r{r}f{f}" in cells else 0

    return [(r, [(of[r, f], people(r, f)) for f in SCORES[::-1]]) for r in SCORES]
