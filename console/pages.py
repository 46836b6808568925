"""The blueprint of the console: its pages, words, number and time formats, and headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import exp
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, g, render_template, request
from sqlalchemy import Engine

from campaigns.results.lift import Lift
from console import campaigns, customers, demand, keywords, overview, predictions, segments, tags
from console.access import require_access
from console.model_settings import model_settings
from console.words import DIMENSIONS, FETCHES, LANGUAGES, REASONS, STATES, TAG_WORDS, translate
from segmentation.models import MODELS, Segment
from store.clock import Clock
from store.errors import NotFound

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MENU = (
    ("console.show_overview", "總覽"),
    ("console.list_customers", "顧客"),
    ("console.show_segments", "分群"),
    ("console.list_tags", "標籤"),
    ("console.show_predictions", "預測"),
    ("console.show_demand", "商品需求"),
    ("console.list_campaigns", "活動"),
    ("console.show_keywords", "關鍵字"),
)


@dataclass(frozen=True)
class _Formats:
    """How times are shown: in the brand's zone."""

    zone: ZoneInfo

    def when(self, moment: datetime | None) -> str:
        return moment.astimezone(self.zone).strftime("%Y-%m-%d %H:%M") if moment else "–"


def create_console(
    engine: Engine, *, zone: ZoneInfo, clock: Clock, password: str | None = None, allow_without: bool = False
) -> Blueprint:
    """The console under /console, for `app.register_blueprint`. Reads only. Who may see it: see `require_access`."""
    blueprint = Blueprint(
        "console", __name__, url_prefix="/console", template_folder="templates", static_folder="static"
    )
    require_access(blueprint, password=password, allow_without=allow_without)
    overview.add_pages(blueprint, engine, clock)
    customers.add_pages(blueprint, engine)
    segments.add_pages(blueprint, engine, clock)
    tags.add_pages(blueprint, engine)
    predictions.add_pages(blueprint, engine, clock)
    demand.add_pages(blueprint, engine)
    campaigns.add_pages(blueprint, engine, zone, clock)
    keywords.add_pages(blueprint, engine, zone)

    @blueprint.before_request
    def choose_language() -> None:
        wanted = request.args.get("lang") or request.cookies.get("console_language")
        g.language = wanted if wanted in LANGUAGES else "zh"

    @blueprint.after_request
    def finish(response: Response) -> Response:
        response.headers.update(HEADERS)
        if request.endpoint != "console.static":
            response.headers["Cache-Control"] = "no-store"  # people's data stays out of shared caches
        if request.args.get("lang") in LANGUAGES:
            response.set_cookie(
                "console_language", g.language, path="/console", samesite="Lax", httponly=True, max_age=31_536_000
            )
        return response

    @blueprint.errorhandler(NotFound)
    def not_found(_error: NotFound) -> tuple[str, int]:
        return render_template("console/not_found.html"), 404

    formats = _Formats(zone)

    @blueprint.context_processor
    def words() -> dict[str, Any]:
        return {
            "t": lambda text: translate(text, g.language),
            "reason_words": lambda why: translate(REASONS[why], g.language) if why in REASONS else why or "–",
            "state": lambda name: translate(STATES[name], g.language) if name in STATES else name,
            "points": _points,
            "amounts": _amounts,
            "FETCHES": FETCHES,
            "audience_words": lambda audience: _audience_words(audience, g.language),
            "segment_name": lambda segment: _segment_name(segment, g.language),
            "tag_word": lambda name: translate(TAG_WORDS[name], g.language) if name in TAG_WORDS else name,
            "dimension_words": DIMENSIONS,
            "model_settings": lambda model, settings: model_settings(model, settings, g.language),
            "html_language": LANGUAGES[g.language],
            "language": g.language,
            "menu": MENU,
            "when": formats.when,
            "whole": lambda number: f"{number:,}",
            "money": _money,
            "times": exp,  # log-odds as a multiple of the odds
            "percent": lambda share: f"{share:.1%}",
            "number": lambda value, places: "–" if value is None else f"{value:,.{places}f}",
        }

    return blueprint


def _segment_name(segment: Segment, language: str) -> str:
    return segment.name.replace("_", " ") if language == "en" else segment.chinese


def _audience_words(audience: Mapping[str, list[str]], language: str) -> str:
    """A campaign's audience (Campaign.audience) in the marketer's words."""
    wanted = " + ".join(_target_words(target, language) for target in audience["any_of"])
    return " − ".join([wanted, *(_target_words(target, language) for target in audience["none_of"])])


def _target_words(target: str, language: str) -> str:
    """A target (all, tag:NAME, list:NAME or MODEL=SEGMENT) in the marketer's words; as written when it is unknown."""
    if target == "all":
        return translate("所有人", language)
    if target.startswith("tag:"):
        return f"{translate('標籤', language)} {target.removeprefix('tag:')}"
    if target.startswith("list:"):
        return f"{translate('名單', language)} {target.removeprefix('list:')}"
    model, _, name = target.partition("=")
    found = next((segment for segment in MODELS.get(model, ()) if segment.name == name), None)
    return f"{model.upper()} · {_segment_name(found, language)}" if found else target


def _points(lift: Lift) -> str:
    """A difference of rates in percentage points, with its interval."""
    return f"{lift.difference * 100:+.2f} ({lift.low * 100:+.2f} … {lift.high * 100:+.2f})"


def _amounts(lift: Lift) -> str:
    """A difference in money per person, with its interval."""
    return f"{lift.difference:+,.2f} ({lift.low:+,.2f} … {lift.high:+,.2f})"


def _money(value: Decimal | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == value.to_integral_value() else f"{value:,.2f}"
