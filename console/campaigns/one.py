"""One campaign: where it stands and what it does now, its content and runs; pausing, resuming and ending it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug.wrappers import Response

from campaigns.planning.coming import when_words
from campaigns.planning.schedule import cancel, pause, resume, variants_of
from campaigns.results.cost import cost_of_campaign
from campaigns.results.learning import TEACHES_AFTER, teaches_from
from campaigns.results.newest import count_of_runs, page_of_runs
from campaigns.results.runs import STATES, results_by_run
from campaigns.results.together import campaign_results
from campaigns.sending.slowing import slowed_words
from console.access.roles import Role, needs
from console.frame.paging import before_id
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.words.catalog import translate
from keywords.effects.lessons import Lesson, lessons_of
from keywords.effects.stored import stored_learning
from store.engine import reading, transaction
from store.errors import ExpectedError, NotFound
from store.models import AuditEntry, Campaign, CampaignRun

RUNS_SHOWN = 20  # on a page of the table
LESSONS_SHOWN = 12
AT_WORK = ("planned", "sending")
ENDED = ("cancelled", "failed", "sent")
AGAIN_SECONDS = 2  # a live page asks so often
IMMINENT = timedelta(minutes=1)  # before it fires, the page begins to be live
ASKED_AHEAD = timedelta(days=1)  # a page left open is live by itself when a firing within this comes


@dataclass(frozen=True)
class Taught:
    """What a run taught, as of the last time that effects were computed."""

    run: CampaignRun
    computed_at: datetime
    lessons: list[Lesson]


@dataclass(frozen=True)
class YetToTeach:
    """A run that will teach keywords: from `at` on; None: `hours` after it is over."""

    run: CampaignRun
    at: datetime | None
    hours: int = int(TEACHES_AFTER.total_seconds() // 3600)


@dataclass(frozen=True)
class Progress:
    """How far a run is: people done of all those for whom LINE is to be called, and those still to be called. `states`:
    state of deliveries -> people, of those in which somebody can end."""

    run: CampaignRun
    done: int
    due: int
    is_freezing: bool
    states: dict[str, int]
    slowed: str | None  # how much and why, as slowed_words tells it; None: it isn't

    @property
    def share(self) -> float:
        """Of those due, 0..1."""
        return self.done / self.due if self.due else 0.0


def show_campaign(campaign_id: int) -> str:
    before = before_id()
    with reading(site.engine) as session:
        one = find_campaign(session, campaign_id)
        newest, _ = page_of_runs(session, campaign_id, limit=RUNS_SHOWN)
        shown, more = page_of_runs(session, campaign_id, before=before, limit=RUNS_SHOWN)
        listed = results_by_run(session, [r.id or 0 for r in shown])
        return render_template(
            "console/campaigns/one.html",
            campaign=one,
            variants=variants_of(session, campaign_id),
            starts=when_words(one, "en" if g.language == "en" else "zh"),
            results=campaign_results(session, campaign_id),
            run_count=count_of_runs(session, campaign_id),
            cost=cost_of_campaign(session, campaign_id, site.zone),
            runs=[(r, listed[r.id or 0]) for r in shown],
            before=before,
            more=more,
            **_live(session, one, newest, site.clock()),
            states=STATES,
            taught=_taught(session, newest),
            yet_to_teach=_yet_to_teach(newest, site.clock()),
            may_pause=one.state in ("scheduled", "sending"),
            may_resume=one.state == "paused",
            may_cancel=one.state not in (*ENDED, "draft"),
        )


def show_progress(campaign_id: int) -> Any:
    """The live part; where the state is another than when the page was made, the page renews itself whole."""
    with reading(site.engine) as session:
        one = find_campaign(session, campaign_id)
        newest, _ = page_of_runs(session, campaign_id, limit=RUNS_SHOWN)
        live = _live(session, one, newest, site.clock())
        page = render_template("console/campaigns/_progress.html", campaign=one, **live)
    return page, 200, {} if request.args.get("seen", live["seen"]) == live["seen"] else {"HX-Refresh": "true"}


@needs(Role.MARKETER)
def pause_campaign(campaign_id: int) -> Response:
    return _act(campaign_id, "pause campaign", "已暫停，不會再發出任何訊息。", lambda s: pause(s, campaign_id))


@needs(Role.MARKETER)
def resume_campaign(campaign_id: int) -> Response:
    now = site.clock()
    return _act(campaign_id, "resume campaign", "已繼續。", lambda s: resume(s, campaign_id, zone=site.zone, now=now))


@needs(Role.MARKETER)
def cancel_campaign(campaign_id: int) -> Response:
    if request.form.get("sure") != "yes":
        flash(translate("請先勾選確認，再結束活動。", g.language), "error")
        return _back(campaign_id)
    return _act(campaign_id, "cancel campaign", "已取消，還沒發送的人都不會收到。", lambda s: cancel(s, campaign_id))


def _act(campaign_id: int, action: str, said: str, change: Callable[[Session], Any]) -> Response:
    try:
        with transaction(site.engine) as session:
            find_campaign(session, campaign_id)
            change(session)
            detail = {"campaign_id": campaign_id}
            session.add(AuditEntry(at=site.clock(), actor=g.user.email, action=action, detail=detail))
        flash(translate(said, g.language))
    except NotFound:
        raise
    except ExpectedError:
        flash(translate("活動的狀態已經變了，沒有做任何更動。", g.language), "error")
    return _back(campaign_id)


def _back(campaign_id: int) -> Response:
    """To the page whose button was pressed."""
    if request.form.get("from") == "automations":
        return redirect(url_for("console.list_automations"), 303)
    return redirect(url_for("console.show_campaign", campaign_id=campaign_id), 303)


def find_campaign(session: Session, campaign_id: int) -> Campaign:
    """The campaign. Raises NotFound, also for a number that no database holds."""
    one = session.get(Campaign, campaign_id) if campaign_id < 2**63 else None
    if one is None:
        raise NotFound(f"there is no campaign {campaign_id}")
    return one


def _live(session: Session, one: Campaign, newest: list[CampaignRun], now: datetime) -> dict[str, Any]:
    """What the live part shows; by what it knows that the rest of the page is old (`seen`: the campaign's state and
    those of its newest runs); and by what that more than numbers is new in it (`said`)."""
    progress = _progress(session, newest)
    seen = ".".join([one.state, *(f"{run.id}-{run.state}" for run in newest if run.state != "sent")])
    last = newest[0].id if newest else 0
    said = ".".join(f"{p.run.id}-{'freezing' if p.is_freezing else 'sending'}-{p.run.slow_step}" for p in progress)
    again = _again_seconds(one, progress, now)
    return {"progress": progress, "again_seconds": again, "seen": f"{last}.{seen}", "said": said}


def _again_seconds(one: Campaign, progress: list[Progress], now: datetime) -> int | None:
    """After how many seconds the page asks again; None: there is nothing to wait for. A firing that is due counts
    before the worker has made its run."""
    if progress or one.state == "sending":
        return AGAIN_SECONDS
    if one.state != "scheduled" or one.next_fire_at is None or one.next_fire_at - now > ASKED_AHEAD:
        return None
    return max(AGAIN_SECONDS, int((one.next_fire_at - IMMINENT - now).total_seconds()))


def _progress(session: Session, newest: list[CampaignRun]) -> list[Progress]:
    """Of each of these runs that is at work."""
    at_work = [run for run in newest if run.state in AT_WORK]
    found = results_by_run(session, [run.id or 0 for run in at_work])
    made = []
    for run in at_work:
        total = found[run.id or 0].total
        done = total.called
        ended = {state: total.deliveries[state] for state in ("accepted", "skipped", "failed")}
        slowed = slowed_words(run.slow_step) if run.slow_step else None
        made.append(Progress(run, done, done + total.deliveries["chosen"], run.frozen_at is None, ended, slowed))
    return made


def _taught(session: Session, newest: list[CampaignRun]) -> Taught | None:
    """What the newest of these runs that taught anything taught; None while none did."""
    stored = stored_learning(session)
    if stored is None:
        return None
    found = ((one, lessons_of(stored.learning, one.id or 0)) for one in newest)
    return next((Taught(one, stored.computed_at, some[:LESSONS_SHOWN]) for one, some in found if some), None)


def _yet_to_teach(newest: list[CampaignRun], now: datetime) -> YetToTeach | None:
    """The newest run that has not had its time yet; None where none is waited for. Without a link nobody could tap."""
    for run in newest:
        at = teaches_from(run)
        if run.way == "push" and run.link_ids and (run.state == "sending" or (at is not None and at > now)):
            return YetToTeach(run, at)
    return None


ROUTES = (
    get("/campaigns/<int:campaign_id>", show_campaign),
    get("/campaigns/<int:campaign_id>/progress", show_progress),
    post("/campaigns/<int:campaign_id>/pause", pause_campaign),
    post("/campaigns/<int:campaign_id>/resume", resume_campaign),
    post("/campaigns/<int:campaign_id>/cancel", cancel_campaign),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/campaigns/<id>, its live part, and what its buttons do."""
    add_routes(blueprint, ROUTES)
