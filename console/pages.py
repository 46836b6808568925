"""The blueprint of the console: its rooms, words, formats and headers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from flask import Blueprint, Response, g, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import MethodNotAllowed

from console.access import account, login, people
from console.access.guard import guard
from console.assets import missing_parts
from console.automations import pages as automations
from console.campaigns import draft_before, draft_check, draft_line, draft_parts, drafts, month
from console.campaigns import one as one_campaign
from console.campaigns import pages as campaigns
from console.catalogue import pages as catalogue
from console.catalogue import products
from console.customers import actions as customer_actions
from console.customers import pages as customers
from console.customers import person as one_customer
from console.customers import views as customer_views
from console.frame.site import Site
from console.guide import pages as guide
from console.guide.linking import linked
from console.imports import pages as imports
from console.keywords import brand_words, writing
from console.keywords import pages as keywords
from console.page_words import words_of_pages
from console.predictions import pages as predictions
from console.results import ad_uploads, ads, taking
from console.results import pages as results
from console.rules import pages as rules
from console.segments import computing
from console.segments import moves as segment_moves
from console.segments import pages as segments
from console.settings import channels, keys
from console.settings import pages as settings
from console.start import pages as start
from console.tags import editing as tag_editing
from console.tags import pages as tags
from console.today import pages as today
from console.words.catalog import LANGUAGES, translate
from console.words.refusals import told
from store.errors import ExpectedError, NotFound

ROOMS = (
    login,
    today,
    start,
    customers,
    customer_views,
    one_customer,
    customer_actions,
    segments,
    computing,
    segment_moves,
    tags,
    tag_editing,
    rules,
    predictions,
    catalogue,
    products,
    campaigns,
    month,
    drafts,
    draft_before,
    draft_check,
    draft_parts,
    draft_line,
    one_campaign,
    automations,
    results,
    taking,
    ads,
    ad_uploads,
    keywords,
    writing,
    brand_words,
    imports,
    channels,
    keys,
    settings,
    guide,
    account,
    people,
)
HEADERS = {
    # Attributes of style may stand in a page (previews of Flex, the tooltips of charts); a script may not.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " style-src-attr 'unsafe-inline'; img-src 'self' data: https:; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
NOT_ALLOWED = "您的帳號沒有這個權限；需要時請找擁有者調整。"
TOO_LARGE = "這個檔案或表單太大了。"
STALE_FORM = "這個表單已經過期或不是從這裡送出的；請回上一頁重新整理後再送一次。"
BAD_FORM = "這個請求少了什麼或讀不懂；請回上一頁重新整理後再送一次。"
NOT_THIS_WAY = "這個網址不是這樣用的；請從選單打開頁面，再按頁面上的按鈕。"
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
A_YEAR = 31_536_000  # seconds


def create_console(site: Site, *, allow_first_owner: bool = False) -> Blueprint:
    """The console under /console, for `app.register_blueprint`; the application needs its `secret_key`.

    `allow_first_owner`: while there is no account, whoever sits at this machine may make the first.
    """
    blueprint = Blueprint(
        "console", __name__, url_prefix="/console", template_folder="templates", static_folder="static"
    )
    if missing := missing_parts():
        structlog.get_logger().warning("console_parts_missing", parts=missing, remedy="run make, or console.assets")
    site = replace(site, allow_first_owner=allow_first_owner)

    @blueprint.before_request
    def begin() -> None:
        g.site = site
        wanted = request.args.get("lang") or request.cookies.get("console_language")
        g.language = wanted if wanted in LANGUAGES else "zh"

    guard(blueprint, site, allow_first_owner=allow_first_owner, is_https=site.public_base_url.startswith("https://"))
    for room in ROOMS:
        room.add_pages(blueprint, site)
    blueprint.add_url_rule("/<path:address>", view_func=show_nothing, methods=["GET", *CHANGING])
    blueprint.after_request(finish)
    for error, page in REFUSALS.items():
        blueprint.register_error_handler(error, page)
    blueprint.context_processor(words_of_pages)
    return blueprint


def show_nothing(address: str) -> Any:
    """Of every wrong address under /console, and of a page that takes no form, so that it has our door, words and
    headers."""
    if request.method in CHANGING:
        raise MethodNotAllowed(valid_methods=["GET", "HEAD", "OPTIONS"])
    raise NotFound(f"there is no page {address}")


def finish(response: Response) -> Response:
    """The headers of every answer, the words of the house that a page says linked, and the language that was chosen."""
    response.headers.update(HEADERS)
    if g.get("user") and response.mimetype == "text/html" and not response.is_streamed:  # a file is streamed
        response.set_data(linked(response.get_data(as_text=True), g.language))
    if request.endpoint != "console.static":
        response.headers["Cache-Control"] = "no-store"  # people's data stays out of shared caches
    if request.args.get("lang") in LANGUAGES:
        response.set_cookie(
            "console_language", g.language, path="/console", samesite="Lax", httponly=True, max_age=A_YEAR
        )
    return response


def not_found(_error: Exception) -> tuple[str, int]:
    """What isn't there."""
    return render_template("console/frame/not_found.html"), 404


def broken(_error: Exception) -> tuple[str, int]:
    """Our own fault, which Flask has logged."""
    return render_template("console/frame/broken.html"), 500


def refused(error: ExpectedError) -> tuple[str, int]:
    """What a room of the house refused and no page has told itself."""
    return render_template("console/frame/refused.html", why=told(error, g.language)), error.http_status


def refused_by_frame(why: str, status: int) -> Callable[[Exception], tuple[str, int]]:
    """The page of what is refused before any room is asked."""
    return lambda _error: (render_template("console/frame/refused.html", why=translate(why, g.language)), status)


def not_this_way(error: MethodNotAllowed) -> tuple[str, int, dict[str, str]]:
    """What a page that takes no form says to one, with the methods that it takes (RFC 9110, 15.5.6)."""
    why = translate(NOT_THIS_WAY, g.language)
    page = render_template("console/frame/refused.html", why=why)
    return page, 405, {"Allow": ", ".join(error.valid_methods or ())}


REFUSALS: dict[Any, Any] = {
    NotFound: not_found,
    ExpectedError: refused,
    CSRFError: refused_by_frame(STALE_FORM, 400),
    400: refused_by_frame(BAD_FORM, 400),
    403: refused_by_frame(NOT_ALLOWED, 403),
    404: not_found,
    405: not_this_way,
    413: refused_by_frame(TOO_LARGE, 413),
    500: broken,
}
