"""廣告受眾: a file for Meta, Google or LINE of those of any audience who consented to ads. Each is audited."""

from pathlib import Path
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlalchemy import select

from campaigns.audience.target import Audience
from campaigns.results.ads import export_ads
from campaigns.settings import read_settings
from console.access.roles import Role, needs
from console.campaigns.choices import audience_choices
from console.frame.download import download
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.results.ad_uploads import uploads_shown
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, table_of
from store.errors import BadInput, ExpectedError
from store.models import Channel

PLATFORMS = {"meta": "Meta", "google": "Google Ads", "line": "LINE"}

channel = table_of(Channel)


@needs(Role.MARKETER)
def show_ads() -> str:
    with reading(site.engine) as session:
        return render_template(
            "console/results/ads.html",
            groups=audience_choices(session, g.language),
            chosen=request.args.get("to", ""),
            platforms=PLATFORMS,
            channels=session.execute(select(channel.c.id, channel.c.name).order_by(channel.c.id)).all(),
            consent=read_settings(session).ads_consent,
            **uploads_shown(session),
        )


@needs(Role.MARKETER)
def export_for_ads() -> Any:
    target, platform = request.form.get("to", ""), request.form.get("platform", "")
    if platform not in PLATFORMS:
        raise BadInput(f"platform must be one of {', '.join(PLATFORMS)}, not {platform!r}")
    channel_id = request.form.get("channel", 0, type=int)

    def write(path: Path) -> None:
        export_ads(
            site.engine,
            Audience((target,)),
            path,
            platform=platform,
            channel_id=channel_id,
            actor=g.user.email,
            zone=site.zone,
            clock=site.clock,
        )

    try:
        return download(f"ads-{platform}.csv", write)
    except ExpectedError as error:
        flash(translate("無法執行：{why}", g.language, why=told(error, g.language)), "error")
        return redirect(url_for("console.show_ads", to=target), 303)


ROUTES = (
    get("/ads", show_ads),
    post("/ads", export_for_ads),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET and POST /console/ads."""
    add_routes(blueprint, ROUTES)
