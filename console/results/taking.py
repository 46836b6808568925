"""Results to take away: files, and audiences of those who did or didn't. Each is audited."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from flask import Blueprint, flash, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from campaigns.results.audiences import list_of_result
from campaigns.results.export import export_campaign
from console.access.roles import Role, needs
from console.frame.download import download
from console.frame.site import Site
from console.words.catalog import translate
from console.words.refusals import told
from store.errors import BadInput, ExpectedError

KINDS = (".csv", ".xlsx", ".json")
WHATS = ("summary", "people", "orders")


def add_pages(blueprint: Blueprint, site: Site) -> None:
    """POST /console/campaigns/<id>/results/export and …/audience."""

    @blueprint.post("/campaigns/<int:campaign_id>/results/export")
    @needs(Role.ANALYST)
    def export_results(campaign_id: int) -> AnyResponse:
        kind, what = _one_of("kind", KINDS), _one_of("what", WHATS)

        def write(path: Path) -> None:
            export_campaign(
                site.engine, campaign_id, path, what=what, zone=site.zone, actor=g.user.email, now=site.clock()
            )

        return _file(f"campaign-{campaign_id}-{what}{kind}", write, campaign_id)

    @blueprint.post("/campaigns/<int:campaign_id>/results/audience")
    @needs(Role.MARKETER)
    def make_audience(campaign_id: int) -> AnyResponse:
        asked = {"who": request.form.get("who", ""), "name": request.form.get("name", "").strip()}
        run_id = request.form.get("run", type=int)
        try:
            people = list_of_result(
                site.engine, campaign_id, actor=g.user.email, clock=site.clock, run_id=run_id, **asked
            )
        except ExpectedError as error:
            return _refused(campaign_id, error)
        flash(translate("名單「{name}」已建立，共 {n} 人。", g.language, name=asked["name"], n=f"{people:,}"))
        if request.form.get("then") == "ads":
            return redirect(url_for("console.show_ads", to=f"list:{asked['name']}"), 303)
        return _back(campaign_id)


def _one_of(field: str, allowed: Collection[str]) -> str:
    """The form's value of `field`. Raises BadInput for one that the page doesn't offer."""
    value = request.form.get(field, "")
    if value not in allowed:
        raise BadInput(f"{field} must be one of {', '.join(allowed)}, not {value!r}")
    return value


def _refused(campaign_id: int, error: ExpectedError) -> AnyResponse:
    flash(translate("沒有做：{why}", g.language, why=told(error, g.language)), "error")
    return _back(campaign_id)


def _back(campaign_id: int) -> AnyResponse:
    return redirect(url_for("console.show_results", campaign_id=campaign_id), 303)


def _file(name: str, write: Callable[[Path], Any], campaign_id: int) -> AnyResponse:
    """What `write` puts into a file of that name, as a download; back to the page when it is refused."""
    try:
        return download(name, write)
    except ExpectedError as error:
        return _refused(campaign_id, error)
