"""廣告受眾 given to LINE: asked for on the page, uploaded by the worker, with how far each has come."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlmodel import Session

from campaigns.results.ad_uploads import UNDER_WAY, ask_for_upload, newest_uploads
from console.access.roles import Role, needs
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, transaction
from store.errors import BadInput

LISTED = 20


def uploads_shown(session: Session) -> dict[str, Any]:
    """What _uploads.html tells."""
    found = newest_uploads(session, LISTED)
    said = ".".join(f"{one.id}-{one.state}" for one in found if one.state in UNDER_WAY)
    return {"uploads": found, "is_under_way": bool(said), "said": said}


@needs(Role.MARKETER)
def ask_line_upload() -> Any:
    target, name = request.form.get("to", ""), request.form.get("name", "")
    channel_id = request.form.get("channel", 0, type=int)
    try:
        with transaction(site.engine) as session:
            is_new = ask_for_upload(session, target, name, channel_id=channel_id, actor=g.user.email, now=site.clock())
        flash(translate("已交給背景程式上傳。" if is_new else "這個名稱的受眾已經在等著上傳了。", g.language))
    except BadInput as error:
        flash(translate("無法執行：{why}", g.language, why=told(error, g.language)), "error")
    return redirect(url_for("console.show_ads", to=target, _anchor="line"), 303)


@needs(Role.MARKETER)
def show_uploads() -> Any:
    with reading(site.engine) as session:
        shown = uploads_shown(session)
    if not shown["is_under_way"]:
        return "", 200, {"HX-Refresh": "true"}
    if shown["said"] == request.args.get("said"):
        return "", 204  # nothing new: what stands there stays, and isn't read out again
    return render_template("console/results/_uploads.html", **shown)


ROUTES = (
    post("/ads/line", ask_line_upload),
    get("/ads/uploads", show_uploads),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """POST /console/ads/line and GET /console/ads/uploads, a part of the page."""
    add_routes(blueprint, ROUTES)
