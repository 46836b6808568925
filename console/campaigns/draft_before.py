"""What a draft's experiment takes, told before it is sent: a part of the editor's last step."""

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from flask import Blueprint, g, render_template, request

from campaigns.experiments.before import Before, Wanted, before
from console.access.roles import Role, needs
from console.campaigns.draft_experiment import OUTCOMES, experiment_values
from console.campaigns.draft_store import find_draft
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.frame.typed import as_number
from console.words.refusals import told
from store.engine import reading
from store.errors import BadInput, ExpectedError


@dataclass(frozen=True)
class Told:
    """What is asked of an experiment, in percent as it was written, and the answer or why there is none."""

    difference: str
    baseline: str
    outcome: str
    found: Before | None = None
    why: str | None = None


def told_before(site: Site, campaign_id: int, variants: int, outcome: str) -> Told:
    """What the campaign's experiment takes, as the page asks; with one version, what two would take."""
    asked = Told(
        request.args.get("difference", "").strip(),
        request.args.get("baseline", "").strip(),
        one if (one := request.args.get("outcome", outcome)) in OUTCOMES else "clicks",
    )
    try:
        wanted = Wanted(
            difference=_part(asked.difference),
            baseline=_part(asked.baseline),
            outcome="orders" if asked.outcome == "orders" else "clicks",
            variants=max(variants, 2),
        )
        found = before(site.engine, campaign_id, wanted, zone=site.zone, clock=site.clock)
    except ExpectedError as error:
        return replace(asked, why=told(error, g.language))
    return replace(asked, found=found)


def _part(percent: str) -> float | None:
    """A percentage as a part of 1; None: nothing was asked. Raises BadInput."""
    if not percent:
        return None
    try:
        found = Decimal(as_number(percent))
    except InvalidOperation as error:
        raise BadInput("請寫大於 0、小於 100 的百分比。") from error
    if not (found.is_finite() and 0 < found < 100):
        raise BadInput("請寫大於 0、小於 100 的百分比。")
    return float(found / 100)


@needs(Role.MARKETER)
def show_experiment(draft_id: int) -> Any:
    with reading(site.engine) as session:
        one = find_draft(session, draft_id, "check")
    shown = None
    if one.campaign_id is not None and one.campaign_version == one.version:
        outcome = experiment_values(one.values)["outcome"]
        shown = told_before(site, one.campaign_id, len(one.values["variants"]), outcome)
    page = "_experiment.html" if request.headers.get("HX-Request") else "experiment.html"
    return render_template(f"console/campaigns/{page}", draft=one, told=shown, outcomes=OUTCOMES)


ROUTES = (get("/campaigns/drafts/<int:draft_id>/experiment", show_experiment),)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/campaigns/drafts/<id>/experiment: a part of the check, which counts whom the draft means anew."""
    add_routes(blueprint, ROUTES)
