"""分群: every model with its settings and sizes, when it was computed and whether that is stuck; and one model with who
moved between two days, what its segments are worth, and their people and value day by day."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from flask import Blueprint, g, render_template, request
from sqlmodel import Session

from console.frame.charts import Chart, Format, lines, sankey
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.frame.spark import spark
from console.segments.computing import computing
from console.segments.moves import days_asked, span_asked, waiting_of
from console.segments.nesl_flow import nesl_flow
from console.segments.segment_words import TITLES, name_of, segment_named
from console.segments.size_table import segment_size, table_rows
from console.segments.sizes import SPANS, Size, Sizes, read_sizes
from console.words.catalog import translate
from segmentation.history import Computation, SegmentSize, last_computed, run_of_day
from segmentation.models import GROUPS, MODELS, RF11_CELLS, Segment, segments_of
from segmentation.movement import Movement, moved
from segmentation.predict.horizons import SPEND_365
from segmentation.predict.latest import latest_prediction_run
from segmentation.predict.ltv import kept_values
from segmentation.results import CELLS
from segmentation.tags.definitions import GROUP_TAGS
from store.engine import reading
from store.models import PredictionRun

SCORES = (5, 4, 3, 2, 1)
SHOWN = ("rf11", "nesl")  # whose segments stand open on the page of all models; the others are folded
LOYALTY_PERCENTS = (25, 50, 75, 90)


def show_segments() -> str:
    with reading(site.engine) as session:
        sizes = {model: read_sizes(session, model) for model in TITLES}
        computed = _computed(session, sizes["nesl"])  # which everybody is in
        run = computed.run
        groups = [name for name, _line in GROUP_TAGS.values()]
        tags = read_sizes(session, "tag", names=groups) if run else Sizes([], {})
        return render_template(
            "console/segments/all.html",
            computed=computed,
            computing=computing(session, site.clock()),
            run=run,
            models=[(model, TITLES[model], table_rows(model, found)) for model, found in sizes.items()] if run else [],
            groups=_groups(tags),
            group_tags={group: name for group, (name, _line) in GROUP_TAGS.items()},
            loyalty=_loyalty(run.settings) if run else None,
            grid=_grid(read_sizes(session, CELLS).newest) if run else [],
            scores=SCORES[::-1],
            shown=SHOWN,
        )


def show_model(model: str) -> str:
    segments = segments_of(model)
    span = span_asked(request.args)
    with reading(site.engine) as session:
        sizes = read_sizes(session, model, span)
        computed = _computed(session, sizes)
        found = _movement(session, model, sizes)
        prediction = latest_prediction_run(session)
        return render_template(
            "console/segments/model.html",
            model=model,
            title=TITLES[model],
            segments=segments,
            computed=computed,
            run=computed.run,
            rows=table_rows(model, sizes),
            sizes=sizes,
            span=span,
            spans=SPANS,
            compared=_compared(sizes, found),
            moves=found,
            waiting=waiting_of(found, site.clock()) if found is not None else None,
            flow=_flow(model, found),
            drawing=nesl_flow(model, sizes.newest, found),
            names=segment_named,
            history=_history(model, sizes, "customers", "人數", "whole"),
            spent=_history(model, sizes, "value", "消費金額", "money"),
            prediction=prediction,
            values=kept_values(prediction, model),
            value_problem=_value_problem(prediction),
        )


def _computed(session: Session, sizes: Sizes) -> Computation:
    """When and by which settings the newest of `sizes` were found. A day of the past may have been computed since."""
    computed = last_computed(session, site.clock())
    shown = run_of_day(session, sizes.days[-1]) if sizes.days else None
    return replace(computed, run=shown or computed.run)


def _compared(sizes: Sizes, found: Movement | None) -> dict[str, date]:
    """The days of a link to the same comparison; none for the two newest, which need not be asked for."""
    if found is None or [found.first, found.last] == sizes.days[-2:]:
        return {}
    return {"from": found.first, "to": found.last}


def _groups(tags: Sizes) -> list[tuple[SegmentSize, Any]]:
    """The five groups as their tags were last counted; empty before that."""
    if not any(name in tags.newest for name, _ in GROUP_TAGS.values()):
        return []
    rows = []
    for segment in GROUPS:
        name, _line = GROUP_TAGS[segment.name]
        rows.append((segment_size(segment, tags.newest, name), spark(tags.days, tags.over_time(name))))
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
    if (days := days_asked(sizes.days, request.args)) is None:
        return None
    first, last = days
    return moved(session, model, first, last, {name: size.customers for name, size in sizes.on[last].items()})


def _flow(model: str, moves: Movement | None) -> Chart:
    """Who moved, without those who stayed: they would hide everybody else."""
    if moves is None or moves.counts is None:
        return sankey([], source="", target="", people="")
    names = {segment.name: name_of(segment, g.language) for segment in segments_of(model)}
    none = translate("沒有分群", g.language)
    flows = [
        (names.get(before or "", none), names.get(after or "", none), count)
        for (before, after), count in moves.counts.items()
        if before != after and count
    ]
    words = [translate(text, g.language) for text in ("從", "到", "人數")]
    return sankey(sorted(flows, key=lambda flow: -flow[2]), source=words[0], target=words[1], people=words[2])


def _value_problem(prediction: PredictionRun | None) -> str | None:
    """Why nothing is expected of the next 365 days; None when something is, or nothing was ever predicted."""
    if prediction is None:
        return None
    problem: str | None = prediction.quality.get(SPEND_365, {}).get("problem") or prediction.problem
    return problem


def _history(model: str, sizes: Sizes, what: str, name: str, shown: Format) -> Chart:
    """The `what` (a field of Size), called `name`, of each segment, day by day."""
    parts: dict[str, list[float | None]] = {
        name_of(segment, g.language): [
            float(getattr(sizes.on[day][segment.name], what)) if segment.name in sizes.on[day] else 0
            for day in sizes.days
        ]
        for segment in segments_of(model)
    }
    days = [str(day) for day in sizes.days]
    step, value = (translate(words, g.language) for words in ("資料截至", name))
    return lines(days, parts, step=step, value=value, format=shown, is_stacked=True)


def _grid(cells: Mapping[str, Size]) -> list[tuple[int, list[tuple[Segment, Size]]]]:
    """For each R score, best first: the five cells of F 1 to 5 as (segment, size). Empty when they were never
    counted."""
    if not cells:
        return []
    by_name = {segment.name: segment for segment in MODELS["rf11"]}
    of = {(r, f): by_name[name] for name, (rs, fs) in RF11_CELLS.items() for r in rs for f in fs}

    def size(r: int, f: int) -> Size:
        return cells.get(f"r{r}f{f}", Size(0, Decimal(0)))

    return [(r, [(of[r, f], size(r, f)) for f in SCORES[::-1]]) for r in SCORES]


ROUTES = (
    get("/segments", show_segments),
    get("/segments/<model>", show_model),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/segments and /console/segments/<model>."""
    add_routes(blueprint, ROUTES)
