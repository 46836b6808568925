"""活動: what was and will be sent; and one campaign with its runs and what they brought."""

from flask import Blueprint, render_template, request
from sqlalchemy import Engine, func, select

from campaigns.planning.schedule import variants_of
from campaigns.results.runs import STATES, campaign_results, run_results, runs_of
from store.engine import reading, table_of
from store.errors import NotFound
from store.models import Campaign, CampaignRun

PAGE_ROWS = 50
RUNS_SHOWN = 20
campaign, run = table_of(Campaign), table_of(CampaignRun)


def add_pages(blueprint: Blueprint, engine: Engine) -> None:
    """GET /console/campaigns and /console/campaigns/<id>."""

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
            return render_template("console/campaigns.html", rows=rows[:PAGE_ROWS], before=before, more=more)

    @blueprint.get("/campaigns/<int:campaign_id>")
    def show_campaign(campaign_id: int) -> str:
        with reading(engine) as session:
            one = session.get(Campaign, campaign_id) if campaign_id < 2**63 else None
            if one is None:
                raise NotFound(f"there is no campaign {campaign_id}")
            runs = [(r, run_results(session, r.id or 0)) for r in runs_of(session, campaign_id)[:RUNS_SHOWN]]
            return render_template(
                "console/campaign.html",
                campaign=one,
                texts=[
                    message.get("text") or message.get("altText") or message.get("type")
                    for variant in variants_of(session, campaign_id)
                    for message in variant.messages
                ],
                results=campaign_results(session, campaign_id),
                runs=runs,
                states=STATES,
            )
