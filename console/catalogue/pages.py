"""商品需求: what growing segments and tags want, against what the catalogue has: the newest kept report."""

from typing import Any

from flask import Blueprint, g, render_template

from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.segments.segment_words import TITLES
from console.words.catalog import translate
from segmentation.demand.run import EVERYBODY, newest_demand
from segmentation.models import MODELS
from store.engine import reading

SHOWN = 15  # rows of a group
WORDS_SHOWN = 30
CHART_WIDTH = 160  # units of the drawing
MOST_TIMES = 10.0  # a ratio beyond it is drawn at the edge


def show_demand() -> str:
    with reading(site.engine) as session:
        report = newest_demand(session)
    return render_template("console/catalogue/demand.html", report=report, groups=_groups(report), width=CHART_WIDTH)


def _groups(report: Any) -> list[dict[str, Any]]:
    """Everybody first, then the groups that grow: name, sizes, the rows to show with their drawing, and the words."""
    if report is None:
        return []
    return [
        {
            **group,
            "name": group_name(group["key"], g.language),
            "short": [(row, _places(row)) for row in group["wanted"] if row["is_short"]][:SHOWN],
            "enough": [row for row in group["wanted"] if not row["is_short"]][:SHOWN],
            "words": group["words"][:WORDS_SHOWN],
        }
        for group in report.result["groups"]
    ]


def group_name(key: str, language: str) -> str:
    """A group of a report in the marketer's words."""
    if key == EVERYBODY:
        return translate("所有人", language)
    if key.startswith("tag:"):
        return translate("標籤 {name}", language, name=key.removeprefix("tag:"))
    model, _, name = key.partition("=")
    found = next((segment for segment in MODELS.get(model, ()) if segment.name == name), None)
    if found is None:
        return key
    name = found.name.replace("_", " ") if language == "en" else found.chinese
    return f"{translate(TITLES[model], language)} · {name}"


def _places(row: dict[str, Any]) -> tuple[float, float, float, float]:
    """x of 1 (as much wanted as there is), the low end, the ratio and the high end; the scale ends at MOST_TIMES."""
    numbers = (1.0, row["ratio_low"], row["ratio"], row["ratio_high"])
    one, low, middle, high = (round(min(number, MOST_TIMES) / MOST_TIMES * CHART_WIDTH, 1) for number in numbers)
    return one, low, middle, high


ROUTES = (get("/demand", show_demand),)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/demand."""
    add_routes(blueprint, ROUTES)
