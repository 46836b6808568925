"""The editor's last step: all that is known of a campaign before it is sent, and sending it."""

from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from sqlalchemy import func, select
from sqlmodel import Session

from campaigns.experiments.design import experiment_of
from campaigns.money.forecast import Forecast, Outlook, forecast
from campaigns.money.outlook_kept import ask_for_outlook, kept_outlook, outlook_asked_at
from campaigns.planning.automations import steps_in_words
from campaigns.planning.coming import when_words
from campaigns.planning.conditions import condition_words
from campaigns.planning.plan import campaign_needs
from campaigns.planning.recurrence import recurrence_words
from campaigns.planning.schedule import first_firing, schedule_draft
from campaigns.planning.triggers import Language
from campaigns.sending.ways import ways_for
from campaigns.settings import read_settings
from console.access.roles import Role, needs
from console.campaigns.draft_line import line_facts
from console.campaigns.draft_show import show_step
from console.campaigns.draft_store import STEPS, find_draft, locked_draft, made_campaign, note_of_draft, place_of_error
from console.campaigns.draft_when import filled_when, when_of
from console.campaigns.draft_wrong import WrongStep
from console.frame.formats import Times
from console.frame.routes import add_routes, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, table_of, transaction
from store.errors import ExpectedError
from store.models import Campaign, CampaignDraft, CampaignRun, Customer

# Judged by the newest one's number: to ask the gate of so many customers takes 0.1 s, to learn from so many runs 0.2 s.
MANY, MANY_RUNS = 50_000, 3_000
WORKER_ANSWERS_WITHIN = timedelta(minutes=1)  # two seconds for a million; longer, and it isn't there, or very busy


@needs(Role.MARKETER)
def send_draft(draft_id: int) -> Any:
    """Schedule the version that the form shows; where a second person must approve, ask for that first."""
    with transaction(site.engine) as session:
        one = locked_draft(session, draft_id)
        if (step := _not_yet(session, site, one)) is not None:
            return redirect(url_for("console.edit_draft", draft_id=draft_id, step=step), 303)
        campaign_id = one.campaign_id
    flash(translate("已排程。", g.language))
    return redirect(url_for("console.show_campaign", campaign_id=campaign_id), 303)


def _not_yet(session: Session, site: Site, one: CampaignDraft) -> str | None:
    """The step to go to, its reason flashed, where the draft can't be scheduled now; None: it was."""
    now, seen = site.clock(), request.form.get("version", type=int)
    if one.campaign_id is None or not seen == one.version == one.campaign_version:
        flash(translate("內容在檢查之後又改過了，請再檢查一次。", g.language), "error")
        return "check"
    if read_settings(session).needs_approval and one.requested_by in (None, g.user.email):
        one.requested_by = g.user.email
        session.add(one)
        note_of_draft(session, "ask for approval of campaign", one, now)
        flash(translate("已送審；另一位同事核准後才會發送。", g.language))
        return "check"
    try:
        at, recurs = when_of(one.values, zone=site.zone, now=now)
    except WrongStep as wrong:
        flash(wrong.told(g.language), "error")
        return "when"
    schedule_draft(session, one.campaign_id, at=at, recurs=recurs, zone=site.zone, now=now)
    one.done_at = now
    session.add(one)
    note_of_draft(session, "schedule campaign", one, now)
    return None


def show_check(site: Site, one: CampaignDraft) -> Any:
    """Make the campaign of the draft, as a draft of its own, and tell all that is known before sending; what is wrong
    is told in its step. Where there are many customers or runs the worker finds that out, and the page looks for it
    again and again."""
    here, is_part = url_for("console.edit_draft", draft_id=one.id, step="check"), "HX-Request" in request.headers
    try:
        with transaction(site.engine) as session:
            checked = locked_draft(session, one.id or 0)  # another tab may look at it too
            campaign_id, version = made_campaign(session, site, checked), checked.version
            waits_since, outlook = _of_the_worker(session, campaign_id, site.clock())
        if waits_since is not None:
            is_silent = site.clock() - waits_since > WORKER_ANSWERS_WITHIN
            if is_part and is_silent == ("silent" in request.args):
                return "", 204  # nothing new: what stands there stays, and isn't read out again
            shown = {"draft": one, "steps": STEPS, "step": "check", "here": here, "is_worker_silent": is_silent}
            return render_template("console/campaigns/edit_check_later.html", **shown)
        found = forecast(site.engine, campaign_id, zone=site.zone, clock=site.clock, outlook=outlook)
        with reading(site.engine) as session:
            one = find_draft(session, one.id or 0, "check")
            facts = _facts(session, site, one, campaign_id, found, now=site.clock())
    except (WrongStep, ExpectedError) as wrong:
        # A part can't tell what is wrong in its step: the whole page can.
        return Response(headers={"HX-Redirect": here}) if is_part else _in_its_step(site, one, wrong)
    shown = {"draft": one, "values": one.values, "steps": STEPS, "step": "check", "version": version}
    return render_template("console/campaigns/edit_check.html", **shown, **facts)


def _of_the_worker(session: Session, campaign_id: int, now: datetime) -> tuple[datetime | None, Outlook | None]:
    """Since when the worker has been asked for an outlook without an answer, and what it found; neither where it need
    not be asked, or could not find it out."""
    customers, runs = (session.scalar(select(func.max(table_of(one).c.id))) or 0 for one in (Customer, CampaignRun))
    if customers <= MANY and runs <= MANY_RUNS:
        return None, None
    ask_for_outlook(session, campaign_id, now)
    return outlook_asked_at(session, campaign_id), kept_outlook(session, campaign_id)


def _in_its_step(site: Site, one: CampaignDraft, wrong: WrongStep | ExpectedError) -> Any:
    if isinstance(wrong, WrongStep):
        told_at = {"wrong_field": wrong.field, "place": wrong.place}
        return show_step(site, one, wrong.step, why=wrong.told(g.language), **told_at)
    step, field = place_of_error(wrong)
    why = translate("還不能發送：{why}", g.language, why=told(wrong, g.language))
    return show_step(site, one, step, why=why, wrong_field=field, place=0)


def _facts(
    session: Session, site: Site, one: CampaignDraft, campaign_id: int, found: Forecast, *, now: datetime
) -> dict[str, Any]:
    """What edit_check.html tells of the campaign that the draft was made into."""
    campaign = session.get_one(Campaign, campaign_id)
    language: Language = "en" if g.language == "en" else "zh"
    starts = _starts(session, site, one, campaign, language, now=now)
    approval = read_settings(session).needs_approval
    ways = ways_for(found.reach.messages, campaign_needs(session, campaign))
    return {
        "campaign": campaign,
        "forecast": found,
        "ways": ways,
        "why_not": {way.name: [told(reason, language) for reason in way.why_not] for way in ways},
        "starts": starts,
        "told": steps_in_words(session, campaign_id, language, starts=None if campaign.trigger else starts),
        "goal": condition_words(session, campaign.goal, language) if campaign.goal else None,
        "experiment": experiment_of(campaign.experiment),
        "line": line_facts(session, campaign, g.user.id),
        "needs_approval": approval,
        "may_approve": approval and one.requested_by is not None and one.requested_by != g.user.email,
    }


def _starts(
    session: Session, site: Site, one: CampaignDraft, campaign: Campaign, language: Language, *, now: datetime
) -> str:
    """When it goes out, in words. Raises WrongStep."""
    if campaign.trigger is not None:
        return when_words(campaign, language) or ""
    at, recurs = when_of(one.values, zone=site.zone, now=now)
    if recurs:
        kept, _ = first_firing(session, at, recurs, zone=site.zone, now=now)
        return recurrence_words(kept or recurs, language)
    if filled_when(one.values["when"])["kind"] == "now":
        return translate("檢查後立刻發送", language)
    return Times(site.zone).when(at)


ROUTES = (post("/campaigns/drafts/<int:draft_id>/send", send_draft),)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """POST /console/campaigns/drafts/<id>/send."""
    add_routes(blueprint, ROUTES)
