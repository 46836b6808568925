"""What a draft asks of LINE: its coupons, while the content is written; in the last step LINE's own check of every
version, and a test to oneself."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlmodel import Session

from campaigns.content.asking import Version, ask_line, versions_of
from console.access.roles import Role, needs
from console.campaigns.draft_store import channel_of, find_draft
from console.campaigns.draft_wrong import WrongStep
from console.frame.once import FIELD
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.start.own_line import own_lines
from console.start.testing import coupons_of, send_to_oneself, validator_of
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading
from store.errors import BadInput, ExpectedError
from store.models import Campaign

CHANGED = "內容在檢查之後又改過了，請再檢查一次。"
FINE = "LINE 檢查過了，每個版本都可以發送。"
MOST_COUPONS = 300


@dataclass(frozen=True)
class LineFacts:
    """What the check step needs: the versions to be tested, and whether the person's own LINE is bound."""

    versions: list[Version]
    is_bound: bool


def line_facts(session: Session, campaign: Campaign, user_id: int) -> LineFacts:
    """Of the campaign that a draft was made into."""
    mine = own_lines(session, user_id).get(campaign.channel_id)
    return LineFacts(versions_of(session, campaign.id or 0), mine is not None and mine.line_account_id is not None)


@needs(Role.MARKETER)
def check_with_line(draft_id: int) -> Any:
    verdicts, why = [], None
    try:
        channel_id, versions = _checked(draft_id)
        verdicts = ask_line(versions, validator_of(site, channel_id))
    except BadInput as error:
        why = told(error, g.language)
    if request.headers.get("HX-Request"):
        return render_template("console/campaigns/_verdicts.html", verdicts=verdicts, why=why)
    problem = why or next((one.problem for one in verdicts if one.problem), None)
    said = translate("LINE 說：{why}", g.language, why=problem) if problem else translate(FINE, g.language)
    flash(said, "error" if problem else "message")
    return _back(draft_id)


@needs(Role.MARKETER)
def test_draft(draft_id: int) -> Any:
    try:
        channel_id, versions = _checked(draft_id)
        which = request.form.get("which", 0, type=int)
        if not 0 <= which < len(versions):
            raise BadInput(f"the draft has no version {which}")
        send_to_oneself(
            site,
            channel_id,
            g.user.id,
            versions[which].messages,
            form_key=request.form.get(FIELD, ""),
            actor=g.user.email,
        )
        flash(translate("已傳到您的 LINE，請看手機。", g.language))
    except ExpectedError as error:
        why = told(error, g.language)
        flash(translate("無法執行：{why}", g.language, why=why), "error")
    return _back(draft_id)


@needs(Role.MARKETER)
def show_coupons(draft_id: int) -> Any:
    """What a coupon's field offers: the coupons that the draft's channel has on LINE."""
    coupons, why = [], None
    try:
        with reading(site.engine) as session:
            channel_id = channel_of(session, find_draft(session, draft_id, "what").values["channel"])
        coupons = coupons_of(site, channel_id, most=MOST_COUPONS)
    except WrongStep as wrong:
        why = wrong.told(g.language)
    except ExpectedError as error:
        why = told(error, g.language)
    return render_template("console/campaigns/_coupons.html", coupons=coupons, why=why, most=MOST_COUPONS)


def _checked(draft_id: int) -> tuple[int, list[Version]]:
    """(channel, versions) of the version that the form shows. Raises BadInput when it was changed since."""
    with reading(site.engine) as session:
        one = find_draft(session, draft_id, "check")
        seen = request.form.get("version", type=int)
        if one.campaign_id is None or not seen == one.version == one.campaign_version:
            raise BadInput(CHANGED)
        campaign = session.get_one(Campaign, one.campaign_id)
        return campaign.channel_id, versions_of(session, one.campaign_id)


def _back(draft_id: int) -> Any:
    return redirect(url_for("console.edit_draft", draft_id=draft_id, step="check", _anchor="line"), 303)


ROUTES = (
    post("/campaigns/drafts/<int:draft_id>/line", check_with_line),
    post("/campaigns/drafts/<int:draft_id>/test", test_draft),
    get("/campaigns/drafts/<int:draft_id>/coupons", show_coupons),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """POST /console/campaigns/drafts/<id>/line and …/test; GET …/coupons, a part of the content's form."""
    add_routes(blueprint, ROUTES)
