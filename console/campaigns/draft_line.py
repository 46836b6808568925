"""A draft held against LINE in the editor's last step: LINE's own check of every version, and a test to oneself."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlmodel import Session

from campaigns.content.asking import Version, ask_line, versions_of
from console.access.roles import Role, needs
from console.campaigns.draft_store import find_draft
from console.frame.once import FIELD
from console.frame.site import Site
from console.start.own_line import own_lines
from console.start.testing import send_to_oneself, validator_of
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading
from store.errors import BadInput, ExpectedError
from store.models import Campaign

CHANGED = "內容在檢查之後又改過了，請再檢查一次。"


@dataclass(frozen=True)
class LineFacts:
    """What the check step needs: the versions to be tested, and whether the person's own LINE is bound."""

    versions: list[Version]
    is_bound: bool


def line_facts(session: Session, campaign: Campaign, user_id: int) -> LineFacts:
    """Of the campaign that a draft was made into."""
    mine = own_lines(session, user_id).get(campaign.channel_id)
    return LineFacts(versions_of(session, campaign.id or 0), mine is not None and mine.line_account_id is not None)


def add_pages(blueprint: Blueprint, site: Site) -> None:
    """POST /console/campaigns/drafts/<id>/line and …/test."""

    def checked(draft_id: int) -> tuple[int, list[Version]]:
        """(channel, versions) of the version that the form shows. Raises BadInput when it was changed since."""
        with reading(site.engine) as session:
            one = find_draft(session, draft_id, "check")
            seen = request.form.get("version", type=int)
            if one.campaign_id is None or not seen == one.version == one.campaign_version:
                raise BadInput(CHANGED)
            campaign = session.get_one(Campaign, one.campaign_id)
            return campaign.channel_id, versions_of(session, one.campaign_id)

    @blueprint.post("/campaigns/drafts/<int:draft_id>/line")
    @needs(Role.MARKETER)
    def check_with_line(draft_id: int) -> Any:
        verdicts, why = [], None
        try:
            channel_id, versions = checked(draft_id)
            verdicts = ask_line(versions, validator_of(site, channel_id))
        except BadInput as error:
            why = told(error, g.language)
        if request.headers.get("HX-Request"):
            return render_template("console/campaigns/_verdicts.html", verdicts=verdicts, why=why)
        problem = why or next((one.problem for one in verdicts if one.problem), None)
        said = translate("LINE 說：{why}", g.language, why=problem) if problem else translate(FINE, g.language)
        flash(said, "error" if problem else "message")
        return _back(draft_id)

    @blueprint.post("/campaigns/drafts/<int:draft_id>/test")
    @needs(Role.MARKETER)
    def test_draft(draft_id: int) -> Any:
        try:
            channel_id, versions = checked(draft_id)
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
            flash(translate("沒有做：{why}", g.language, why=why), "error")
        return _back(draft_id)


FINE = "LINE 檢查過了，每個版本都可以發送。"


def _back(draft_id: int) -> Any:
    return redirect(url_for("console.edit_draft", draft_id=draft_id, step="check", _anchor="line"), 303)
