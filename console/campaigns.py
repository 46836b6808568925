"""活動: what was and will be sent; and one campaign with its runs and what they brought."""

from dataclasses import dataclass
from datetime import datetime
from math import exp
from zoneinfo import ZoneInfo

from flask import Blueprint, render_template, request
from sqlalchemy import Engine, func, select
from sqlmodel import Session

from campaigns.experiments.arms import newest_comparison
from campaigns.planning.schedule import variants_of
from campaigns.results.all_campaigns import PERIODS_SHOWN, all_campaigns
from campaigns.results.cost import costs_of, sum_of
from campaigns.results.exploration import explored
from campaigns.results.runs import STATES, Part, RunResults, results_by_run, runs_of
from campaigns.results.runs import together as summed_up
from campaigns.settings import read_settings
from console.segment_words import segment_words
from keywords.effects.lessons import Lesson, lessons_of
from keywords.effects.stored import stored_learning
from store.clock import Clock
from store.engine import reading, table_of
from store.errors import NotFound
from store.models import Campaign, CampaignRun

PAGE_ROWS = 50
RUNS_SHOWN = 20
LESSONS_SHOWN = 12
campaign, run = table_of(Campaign), table_of(CampaignRun)


@dataclass(frozen=True)
class Taught:
    """What a run taught, as of the last time that effects were computed."""

    run: CampaignRun
    computed_at: datetime
    lessons: list[Lesson]


def add_pages(blueprint: Blueprint, engine: Engine, zone: ZoneInfo, clock: Clock) -> None:
    """GET /console/campaigns, /console/campaigns/together and /console/campaigns/<id>."""

    @blueprint.get("/campaigns")
    def list_campaigns() -> str:
        before = request.args.get("before", type=int)
        run_count = select(func.count()).where(run.c.campaign_id == campaign.c.id).scalar_subquery()
        found = select(Campaign, run_count).order_by(campaign.c.id.desc()).limit(PAGE_ROWS + 1)
        if before is not None:
            found = found.where(campaign.c.id < before)
        with reading(engine) as session:
            rows = session.execute(found).all()
            more = rows[PAGE_ROWS - 1][0].id if len(rows) > PAGE_ROWS else None
            holds_out = bool(read_settings(session).global_holdout_percent)
            shown = rows[:PAGE_ROWS]
            return render_template("console/campaigns.html", rows=shown, before=before, more=more, holds_out=holds_out)

    @blueprint.get("/campaigns/together")
    def show_together() -> str:  # a page of its own: it looks at everybody
        with reading(engine) as session:
            earlier = "earlier" in request.args
            found = all_campaigns(session, zone=zone, now=clock(), periods=PERIODS_SHOWN if earlier else 1)
            return render_template("console/campaigns_together.html", together=found, earlier=earlier)

    @blueprint.get("/campaigns/<int:campaign_id>")
    def show_campaign(campaign_id: int) -> str:
        with reading(engine) as session:
            one = session.get(Campaign, campaign_id) if campaign_id < 2**63 else None
            if one is None:
                raise NotFound(f"there is no campaign {campaign_id}")
            runs = runs_of(session, campaign_id)
            found = results_by_run(session, [r.id or 0 for r in runs])
            results = summed_up(list(found.values()))
            return render_template(
                "console/campaign.html",
                campaign=one,
                texts=[
                    message.get("text") or message.get("altText") or message.get("type")
                    for variant in variants_of(session, campaign_id)
                    for message in variant.messages
                ],
                results=results,
                explored=explored(session, campaign_id),
                arms=newest_comparison(session, runs),
                cost=sum_of(costs_of(session, runs, zone).values()),
                variant_rows=_variant_rows(runs, results),
                segment_rows=[(key, segment_words(key), part) for key, part in results.segments.items()],
                runs=[(r, found[r.id or 0]) for r in runs[:RUNS_SHOWN]],
                states=STATES,
                taught=_taught(session, runs),
                exp=exp,
            )


def _variant_rows(runs: list[CampaignRun], results: RunResults) -> list[tuple[int, str, Part]]:
    names = {variant["variant_id"]: variant["name"] for run in runs for variant in run.variants}
    return [(key, names.get(key, "–"), part) for key, part in results.variants.items() if key is not None]


def _taught(session: Session, runs: list[CampaignRun]) -> Taught | None:
    """What the newest run that taught anything taught; None while none did."""
    stored = stored_learning(session)
    if stored is None:
        return None
    found = ((one, lessons_of(stored.learning, one.id or 0)) for one in runs[:RUNS_SHOWN])
    return next((Taught(one, stored.computed_at, some[:LESSONS_SHOWN]) for one, some in found if some), None)
