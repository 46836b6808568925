"""預測: how good the newest predictions are, beside BG/NBD and the plain score, or why there are none."""

from typing import Any

from flask import Blueprint, render_template
from sqlalchemy import select

from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from segmentation.predict.horizons import BUY, CHURN, SPEND_90, SPEND_365
from segmentation.predict.latest import latest_prediction_run
from store.engine import reading, table_of
from store.models import PredictionRun

TITLES = {BUY: "下個購買週期", CHURN: "流失", SPEND_90: "未來 90 天", SPEND_365: "未來 365 天"}
WAYS = (("learned", "本系統"), ("bgnbd", "BG/NBD"), ("rfm_score", "RFM 分數"))

run_table = table_of(PredictionRun)


def show_predictions() -> str:
    with reading(site.engine) as session:
        run = latest_prediction_run(session)
        at_work = session.scalars(select(PredictionRun).where(run_table.c.state == "running").limit(1)).first()
    return render_template(
        "console/predictions/predictions.html",
        run=run,
        at_work=at_work,
        is_stuck=at_work is not None and at_work.lease_until < site.clock(),
        horizons=_horizons(run) if run else [],
        ways=WAYS,
    )


def _horizons(run: PredictionRun) -> list[tuple[str, dict[str, Any]]]:
    """(title, report) of each horizon that the run speaks of."""
    return [(TITLES[name], run.quality[name]) for name in TITLES if name in run.quality]


ROUTES = (get("/predictions", show_predictions),)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/predictions."""
    add_routes(blueprint, ROUTES)
