"""成果: campaigns compared side by side, and what one campaign (or one run of it) brought, in detail."""

from collections.abc import Collection, Sequence
from typing import Any

from flask import Blueprint, g, render_template, request
from sqlalchemy import select
from sqlmodel import Session

from campaigns.experiments.arms import newest_comparison
from campaigns.results.audiences import WHO
from campaigns.results.cost import added_per_money, costs_of, sum_of
from campaigns.results.exploration import explored
from campaigns.results.hours import taps_by_hour
from campaigns.results.movement import Movement, movement_after
from campaigns.results.newest import newest_runs, page_of_runs, run_of
from campaigns.results.runs import STATES, RunResults, results_by_run
from campaigns.results.together import by_step, times_each, together
from campaigns.results.whole import all_runs
from console.campaigns.one import find_campaign
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
MOST_RUNS = 500  # of all campaigns on a page together, and of one on each of its pages
LINE_SHOWN = 24
MOVES_SHOWN = 12
MOVEMENT_MODELS = ("nesl", "rf11", "rfm8")

campaign, run = table_of(Campaign), table_of(CampaignRun)


def list_results() -> str:
    before = request.args.get("before", type=int)
    asked = [key for key in dict.fromkeys(request.args.getlist("id", type=int)) if 0 < key < 2**63]
    chosen = asked[:COMPARED_AT_MOST]
    with reading(site.engine) as session:
        listed, more = _with_runs(session, before)
        found, each = _wholes(session, [*(one.id or 0 for one in listed), *chosen])
        compared = [(one, found[one.id or 0]) for one in _chosen(session, chosen)]
        return render_template(
            "console/results/all.html",
            rows=[(one, found[one.id or 0]) for one in listed],
            compared=compared,
            lift_chart=charts.lifts([(one.name, whole.lift) for one, whole in compared if whole.lift], _t),
            chosen=chosen,
            at_most=COMPARED_AT_MOST,
            each=each,
            before=before,
            more=more,
        )


def show_results(campaign_id: int) -> str:
    before, wanted = request.args.get("before", type=int), request.args.get("run", type=int)
    with reading(site.engine) as session:
        one = find_campaign(session, campaign_id)
        runs, earlier = page_of_runs(session, campaign_id, before=before, limit=MOST_RUNS)
        asked = [run_of(session, campaign_id, wanted)] if wanted is not None else runs
        return render_template(
            "console/results/one.html",
            campaign=one,
            runs=runs,
            asked=asked,
            run=asked[0] if wanted is not None and (len(runs) > 1 or before) else None,
            before=before,
            earlier=earlier,
            all_of_them=all_runs(session, campaign_id) if earlier or before else None,
            **_told(session, asked),
            explored=explored(session, campaign_id),
            arms=newest_comparison(session, runs),
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


def _told(session: Session, asked: list[CampaignRun]) -> dict[str, Any]:
    """What one.html tells of these runs together."""
    run_ids = [one.id or 0 for one in asked]
    found = results_by_run(session, run_ids)
    times = times_each(session, run_ids).get(asked[0].campaign_id) if asked else None
    results, taps = together(list(found.values()), times=times), taps_by_hour(session, run_ids)
    cost, steps = sum_of(costs_of(session, asked, site.zone, found).values()), by_step(session, asked, found)
    names = {v["variant_id"]: _named_by_step(one, v["name"], steps) for one in asked for v in one.variants}
    lifts = charts.named_lifts(results, names, segment_words, _t)
    line = list(dict.fromkeys(results.line))  # of people who enter one by one, all runs of a month have one
    return {
        "results": results,
        "cost": cost,
        "per_money": added_per_money(cost, results),
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


def _named_by_step(one: CampaignRun, name: str, steps: Collection[int]) -> str:
    """Versions of several steps may have the same name."""
    return f"{_t('第 {n} 步', n=one.step_number)} {name}" if steps else name


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


def _wholes(session: Session, campaign_ids: Sequence[int]) -> tuple[dict[int, RunResults], int | None]:
    """Campaign id -> the results of its runs, in a few queries for all of them; and how many of each were added up at
    most (None: all)."""
    of_campaign, each = newest_runs(session, campaign_ids, MOST_RUNS)
    run_ids = [run_id for ids in of_campaign.values() for run_id in ids]
    found, times = results_by_run(session, run_ids), times_each(session, run_ids)
    wholes = {
        key: together([found[run_id] for run_id in ids], times=times.get(key)) for key, ids in of_campaign.items()
    }
    return wholes, each


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
