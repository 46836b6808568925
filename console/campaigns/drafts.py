"""The editor of campaigns: who, what, when, then, policy, check. Each step saves; nothing is lost on an error."""

from copy import deepcopy
from typing import Any

from flask import Blueprint, flash, g, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlmodel import Session

from console.access.roles import Role, needs
from console.campaigns.draft_check import show_check
from console.campaigns.draft_content import Pressed
from console.campaigns.draft_forms import READERS
from console.campaigns.draft_show import show_step
from console.campaigns.draft_steps import NEW_STEP, place_of
from console.campaigns.draft_store import (
    NAMES_OF_STEPS,
    drop_campaign,
    find_draft,
    locked_draft,
    note_of_draft,
    save_draft_values,
)
from console.campaigns.draft_values import NEW
from console.campaigns.draft_when import NEW_WHEN
from console.campaigns.draft_wrong import content_told
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.words.catalog import translate
from store.engine import reading, table_of, transaction
from store.errors import NotFound
from store.models import CampaignDraft

NEWEST_SHOWN = 20
CONFLICT = "{who} 在您編輯時存了這份草稿；請看看有沒有重複，再按一次儲存，您的內容會蓋過去。"

draft = table_of(CampaignDraft)


@needs(Role.MARKETER)
def new_campaign() -> Any:
    with reading(site.engine) as session:
        open_ones = select(CampaignDraft).where(draft.c.done_at.is_(None)).order_by(draft.c.id.desc())
        found = session.scalars(open_ones.limit(NEWEST_SHOWN)).all()
    asked = {name: request.args.get(name, "") for name in ("target", "kind")}
    return render_template("console/campaigns/new.html", drafts=found, **asked)


@needs(Role.MARKETER)
def begin_draft() -> Any:
    with transaction(site.engine) as session:
        draft_id = _begun(session, site)
    return redirect(url_for("console.edit_draft", draft_id=draft_id, step="who"), 303)


def _begun(session: Session, site: Site) -> int:
    """The id of a new draft, as the form asks for it."""
    values = deepcopy(NEW)
    if target := request.form.get("target", "").strip():
        values["any_of"] = [target]
    if (kind := request.form.get("kind")) in ("recurs", "trigger"):
        values["when"] = {**NEW_WHEN, "kind": kind}
    if kind == "steps":
        values["steps"] = [deepcopy(NEW_STEP)]
    now, name = site.clock(), request.form.get("name", "").strip()[:100]
    one = CampaignDraft(
        name=name or translate("未命名的活動", g.language),
        values=values,
        created_at=now,
        updated_at=now,
        updated_by=g.user.email,
    )
    session.add(one)
    session.flush()
    note_of_draft(session, "begin draft of campaign", one, now)
    return one.id or 0


@needs(Role.MARKETER)
def edit_draft(draft_id: int, step: str) -> Any:
    with reading(site.engine) as session:
        one = find_draft(session, draft_id, step)
    return show_check(site, one) if step == "check" else show_step(site, one, step)


@needs(Role.MARKETER)
def save_draft(draft_id: int, step: str) -> Any:
    if step not in READERS:
        raise NotFound(f"the editor has no step {step!r}")
    with transaction(site.engine) as session:
        one = find_draft(session, draft_id, step)
        values = deepcopy(one.values)
        pressed = READERS[step](values, request.form) or Pressed()
        name = request.form.get("name", one.name).strip()[:100] or one.name
        kept = save_draft_values(session, one, name, values, now=site.clock())
    if not kept:
        return _conflict(site, draft_id, step, values)
    if pressed.problem is not None:
        flash(content_told(pressed.problem, g.language), "error")
    return redirect(_following(draft_id, step, pressed), 303)


def _conflict(site: Site, draft_id: int, step: str, values: dict[str, Any]) -> Any:
    """The step again, with what was typed on top of what another saved meanwhile."""
    with reading(site.engine) as session:
        other = find_draft(session, draft_id, step)
    theirs, other.values = other.updated_by, values
    shown = show_step(site, other, step, why=translate(CONFLICT, g.language, who=theirs))
    if request.headers.get("HX-Request"):  # htmx shows no answer that is an error, and the reason is above the form
        return make_response(shown, 200, {"HX-Retarget": "#main", "HX-Reselect": "#main", "HX-Reswap": "outerHTML"})
    return make_response(shown, 409)


def _following(draft_id: int, step: str, pressed: Pressed) -> str:
    """Where a saved form leads: by its button to the same step again, the contents of another message, back, or on."""
    press, place = request.form.get("press", "next"), place_of(request.form)
    if press.startswith("content-"):  # of the steps, from their list
        there = press.removeprefix("content-")
        return url_for("console.edit_draft", draft_id=draft_id, step="what", place=there)
    if press not in ("next", "back"):
        focus = pressed.focus or None
        return url_for("console.edit_draft", draft_id=draft_id, step=step, place=place or None, focus=focus)
    at = NAMES_OF_STEPS.index(step)
    following = "then" if step == "what" and place else NAMES_OF_STEPS[at - 1 if press == "back" else at + 1]
    return url_for("console.edit_draft", draft_id=draft_id, step=following)


@needs(Role.MARKETER)
def delete_draft(draft_id: int) -> Any:
    with transaction(site.engine) as session:
        one = locked_draft(session, draft_id)
        drop_campaign(session, one)
        session.delete(one)
        note_of_draft(session, "delete draft of campaign", one, site.clock())
    flash(translate("草稿已刪除。", g.language))
    return redirect(url_for("console.new_campaign"), 303)


ROUTES = (
    get("/campaigns/new", new_campaign),
    post("/campaigns/new", begin_draft),
    get("/campaigns/drafts/<int:draft_id>/<step>", edit_draft),
    post("/campaigns/drafts/<int:draft_id>/<step>", save_draft),
    post("/campaigns/drafts/<int:draft_id>/delete", delete_draft),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/campaigns/new, /console/campaigns/drafts/<id>/<step>, and deleting a draft."""
    add_routes(blueprint, ROUTES)
