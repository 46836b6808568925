"""Results to take away: files, and audiences of those who did or didn't. Each is audited."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from flask import Blueprint, flash, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from campaigns.audience.lists import free_name
from campaigns.results.audiences import Asked, list_of_result
from campaigns.results.export import export_campaign
from console.access.roles import Role, needs
from console.campaigns.one import find_campaign
from console.frame.download import download
from console.frame.routes import add_routes, post
from console.frame.site import Site, site
from console.segments.segment_words import segment_words
from console.words.catalog import translate
from console.words.names import WHO_WORDS
from console.words.refusals import told
from store.engine import reading
from store.errors import BadInput, ExpectedError
from store.models import Variant

KINDS = (".csv", ".xlsx", ".json")
WHATS = ("summary", "people", "orders")


@needs(Role.ANALYST)
def export_results(campaign_id: int) -> AnyResponse:
    kind, what = _one_of("kind", KINDS), _one_of("what", WHATS)

    def write(path: Path) -> None:
        export_campaign(site.engine, campaign_id, path, what=what, zone=site.zone, actor=g.user.email, now=site.clock())

    return _file(f"campaign-{campaign_id}-{what}{kind}", write, campaign_id)


@needs(Role.MARKETER)
def make_audience(campaign_id: int) -> AnyResponse:
    """A list of those whom the form means; without a name, it is called after them."""
    try:
        asked = _asked()
        name = request.form.get("name", "").strip() or _name_of(campaign_id, asked)
        people = list_of_result(site.engine, campaign_id, asked, name=name, actor=g.user.email, clock=site.clock)
    except ExpectedError as error:
        return _refused(campaign_id, error)
    flash(translate("名單「{name}」已建立，共 {n} 人。", g.language, name=name, n=f"{people:,}"))
    target = f"list:{name}"
    if request.form.get("then") == "campaign":
        return redirect(url_for("console.new_campaign", target=target), 303)
    if request.form.get("then") == "ads":
        return redirect(url_for("console.show_ads", to=target), 303)
    return _back(campaign_id)


def _asked() -> Asked:
    """Whom the form means: `part` is "variant-<id>", "segment-<name of rfm8>", or empty for everybody."""
    kind, _, which = request.form.get("part", "").partition("-")
    who, run_id = request.form.get("who", ""), request.form.get("run", type=int)
    if kind == "variant" and which.isascii() and which.isdigit() and len(which) < 19:
        return Asked(who, run_id, variant_id=int(which))
    if kind == "segment":
        return Asked(who, run_id, segment=which)
    if kind:
        raise BadInput(f"part must name a variant or a segment, not {kind!r}")
    return Asked(who, run_id)


def _name_of(campaign_id: int, asked: Asked) -> str:
    """What a list of them is called: after the campaign, the part of it and what they did; not taken yet."""
    with reading(site.engine) as session:
        words = [find_campaign(session, campaign_id).name]
        if asked.variant_id is not None:
            variant = session.get(Variant, asked.variant_id)
            words.append(translate("版本 {name}", g.language, name=variant.name if variant else asked.variant_id))
        if asked.segment is not None:
            words.append(segment_words(asked.segment))
        if asked.who in WHO_WORDS:
            words.append(translate(WHO_WORDS[asked.who], g.language))
        return free_name(session, "・".join(words))


def _one_of(field: str, allowed: Collection[str]) -> str:
    """The form's value of `field`. Raises BadInput for one that the page doesn't offer."""
    value = request.form.get(field, "")
    if value not in allowed:
        raise BadInput(f"{field} must be one of {', '.join(allowed)}, not {value!r}")
    return value


def _refused(campaign_id: int, error: ExpectedError) -> AnyResponse:
    flash(translate("無法執行：{why}", g.language, why=told(error, g.language)), "error")
    return _back(campaign_id)


def _back(campaign_id: int) -> AnyResponse:
    return redirect(url_for("console.show_results", campaign_id=campaign_id), 303)


def _file(name: str, write: Callable[[Path], Any], campaign_id: int) -> AnyResponse:
    """What `write` puts into a file of that name, as a download; back to the page when it is refused."""
    try:
        return download(name, write)
    except ExpectedError as error:
        return _refused(campaign_id, error)


ROUTES = (
    post("/campaigns/<int:campaign_id>/results/export", export_results),
    post("/campaigns/<int:campaign_id>/results/audience", make_audience),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """POST /console/campaigns/<id>/results/export and …/audience."""
    add_routes(blueprint, ROUTES)
