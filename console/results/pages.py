"""成果: campaigns compared side by side, and what one campaign (or one run of it) brought, in detail."""

from collections.abc import Collection
from typing import Any

from flask import Blueprint, g, render_template, request
from sqlalchemy import select
from sqlmodel import Session

from campaigns.experiments.arms import compare_arms, newest_comparison
from campaigns.planning.schedule import variants_of
from campaigns.results.audiences import WHO
from campaigns.results.cost import added_per_money, cost_of_campaign, costs_of
from campaigns.results.exploration import explored
from campaigns.results.hours import taps_by_hour
from campaigns.results.movement import Movement, movement_after
from campaigns.results.newest import count_of_runs, page_of_runs, run_of
from campaigns.results.runs import STATES, RunResults, run_results
from campaigns.results.sides import FIRST_STEP
from campaigns.results.together import results_and_steps
from campaigns.results.whole import wholes
from console.campaigns.one import find_campaign
from console.frame.paging import before_id
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.results import charts
from console.segments.segment_words import TITLES, name_of, segment_words
from console.words.catalog import translate
from segmentation.models import segments_of
from store.engine import reading, table_of
from store.errors import NotFound
from store.models import Campaign, CampaignRun

COMPARED_AT_MOST = 6
LISTED = 50
LINE_SHOWN = 24
MOVES_SHOWN = 12
MOVEMENT_MODELS = ("nesl", "rf11", "rfm8")

campaign, run = table_of(Campaign), table_of(CampaignRun)


def list_results() -> str:
    before = before_id()
    asked = [key for key in dict.fromkeys(request.args.getlist("id", type=int)) if 0 < key < 2**63]
    chosen = asked[:COMPARED_AT_MOST]
    with reading(site.engine) as session:
        listed, more = _with_runs(session, before)
        found = wholes(session, list({one.id or 0 for one in listed} | set(chosen)))
        compared = [(one, found[one.id or 0]) for one in _chosen(session, chosen)]
        return render_template(
            "console/results/all.html",
            rows=[(one, found[one.id or 0]) for one in listed],
            compared=compared,
            lift_chart=charts.lifts([(one.name, whole.lift) for one, whole in compared if whole.lift], _t),
            chosen=chosen,
            at_most=COMPARED_AT_MOST,
            before=before,
            more=more,
        )


def show_results(campaign_id: int) -> str:
    wanted = request.args.get("run", type=int)
    with reading(site.engine) as session:
        one = find_campaign(session, campaign_id)
        listed, _ = page_of_runs(session, campaign_id, limit=LISTED)
        asked = None if wanted is None else run_of(session, campaign_id, wanted)
        return render_template(
            "console/results/one.html",
            campaign=one,
            runs=listed,
            run_count=count_of_runs(session, campaign_id),
            run=asked if len(listed) > 1 else None,
            **_told(session, one, asked),
            explored=explored(session, campaign_id),
            arms=newest_comparison(session, campaign_id) if asked is None else compare_arms(session, asked.id or 0),
            states=STATES,
            who=WHO,
            movement_models=[(model, TITLES[model]) for model in MOVEMENT_MODELS],
        )


def show_moves(campaign_id: int) -> str:
    """A part of its own: it reads the changes of everybody since the run."""
    model = request.args.get("model", MOVEMENT_MODELS[0])
    with reading(site.engine) as session:
        find_campaign(session, campaign_id)
        wanted = request.args.get("run", type=int)
        newest, _ = page_of_runs(session, campaign_id, limit=1)
        asked = run_of(session, campaign_id, wanted) if wanted is not None else next(iter(newest), None)
        if asked is None:
            raise NotFound(f"campaign {campaign_id} has had no run yet")
        found = movement_after(session, asked.id or 0, model, until=site.clock())
        return render_template(
            "console/results/_movement.html",
            moves=_named(found),
            run=asked,
            sent=found.sent,
            held=found.held_out,
        )


def _told(session: Session, one: Campaign, asked: CampaignRun | None) -> dict[str, Any]:
    """What one.html tells of a run, or without one of all of the campaign's together."""
    key = one.id or 0
    which = run.c.campaign_id == key if asked is None else run.c.id == asked.id
    steps: dict[int, RunResults] = {}
    if asked is None:
        results, steps = results_and_steps(session, key)
        cost, variants = cost_of_campaign(session, key, site.zone), variants_of(session, key)
        names = {v.id or 0: _named_by_step(v.step_number, v.name, steps) for v in variants}
    else:
        run_id = asked.id or 0
        results = run_results(session, run_id)
        cost = costs_of(session, which, site.zone, {run_id: results})[run_id]
        names = {variant["variant_id"]: variant["name"] for variant in asked.variants}
    taps, lifts = taps_by_hour(session, which), charts.named_lifts(results, names, segment_words, _t)
    line = list(dict.fromkeys(results.line))  # of people who enter one by one, all runs of a month have one
    return {
        "results": results,
        "cost": cost,
        "per_money": added_per_money(cost, results),
        "is_later_step": asked is not None and asked.step_number > FIRST_STEP,
        "funnel": charts.funnel(results, _t),
        "by_hour": charts.by_hour(taps, _t),
        "hours_shown": charts.HOURS_SHOWN,
        "late_taps": charts.late_taps(taps),
        # Steps are few, and stand in their table.
        "lift_charts": {name: charts.lifts(rows, _t) for name, rows in lifts.items()} | {"steps": charts.lifts([], _t)},
        "step_rows": [(n, _t("第 {n} 步", n=n), one.total) for n, one in steps.items()],
        "step_lifts": {n: one.lift for n, one in steps.items() if one.lift},
        "variant_rows": [
            (key, names.get(key, "–"), results.variants[key]) for key in sorted(filter(None, results.variants))
        ],
        "segment_rows": [(key, segment_words(key), part) for key, part in results.segments.items()],
        "variant_names": names,
        "line": line[:LINE_SHOWN],
        "more_line": len(line) > LINE_SHOWN,
    }


def _named_by_step(step_number: int, name: str, steps: Collection[int]) -> str:
    """Versions of several steps may have the same name."""
    return f"{_t('第 {n} 步', n=step_number)} {name}" if steps else name


def _t(text: str, **values: object) -> str:
    return translate(text, g.language, **values)


def _with_runs(session: Session, before: int | None) -> tuple[list[Campaign], int | None]:
    """A page of the campaigns that were sent, the newest first, and the id to go on from."""
    had_run = select(run.c.id).where(run.c.campaign_id == campaign.c.id).exists()
    found = select(Campaign).where(had_run).order_by(campaign.c.id.desc()).limit(LISTED + 1)
    rows = list(session.scalars(found.where(campaign.c.id < before) if before else found))
    return rows[:LISTED], rows[LISTED - 1].id if len(rows) > LISTED else None


def _chosen(session: Session, ids: list[int]) -> list[Campaign]:
    return [one for one in (session.get(Campaign, key) for key in ids) if one is not None]


def _named(found: Movement) -> list[dict[str, Any]]:
    names = {segment.name: name_of(segment, g.language) for segment in segments_of(found.model)}
    return [
        {
            "before": names.get(move.before or "", "–"),
            "after": names.get(move.after or "", "–"),
            "sent": move.sent,
            "held_out": move.held_out,
            "lift": move.lift,
        }
        for move in found.moves[:MOVES_SHOWN]
    ]


ROUTES = (
    get("/results", list_results),
    get("/campaigns/<int:campaign_id>/results", show_results),
    get("/campaigns/<int:campaign_id>/results/movement", show_moves),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/results, /console/campaigns/<id>/results and its part on movement."""
    add_routes(blueprint, ROUTES)
