"""顧客: who they are, found by words, by conditions, or by a view that was kept; paged by key."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, g, render_template, request
from sqlmodel import Session

from console.customers.filters import Filter, ask, page_of, page_of_ids, read_filter, target_of
from console.customers.views import find_view, views_of
from console.frame.paging import after_id
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.rules.choices import rule_choices
from console.rules.form import filled, form_of, place_of, read_form
from console.segments.segment_words import segment_named
from console.segments.sizes import read_sizes
from console.tags.rule_words import rule_words
from console.words.refusals import told
from segmentation.rules.reading import RuleError
from segmentation.rules.types import to_builtins
from segmentation.tags.sizes import TAG_MODEL
from store.engine import reading
from store.models import CustomerView

PAGE_ROWS = 50


def list_customers() -> str:
    after = after_id()
    with reading(site.engine) as session:
        view = find_view(session, request.args.get("view", type=int), g.user)
        frame: dict[str, Any] = {
            "views": views_of(session, g.user),
            "view": view,
            "choices": rule_choices(session, g.language),
            "names": segment_named,
            "words": request.args.get("q", "").strip(),
            "after": after,
        }
        try:
            chosen = read_filter(session, request.args, view.rule if view else None)
        except RuleError as error:  # what is being written stays in its fields
            rows = filled(read_form(request.args))
            wrong = {"problem": told(error, g.language), "wrong": place_of(rows, error.path)}
            return render_template("console/customers/list.html", group=rows, rows=[], **wrong, **frame)
        said = _said(session, chosen)
    group = read_form(request.args) if "press" in request.args else chosen.rows
    is_renewing = "press" in request.args and "HX-Request" in request.headers  # only the rows are wanted
    found = {"rows": [], "people": None} if is_renewing else _people(site, chosen, after)
    frame |= {"group": group, "next_page": _next_page(chosen, view), **said}
    return render_template("console/customers/list.html", **found, **frame)


def _people(site: Site, chosen: Filter, after: int) -> dict[str, Any]:
    """A page of the people, how many there are (None: not counted), of which moment, and where the next page begins."""
    listed, counted_at = (None, None) if chosen.is_indexed else ask(site, chosen, after, PAGE_ROWS + 1)
    with reading(site.engine) as session:
        page = page_of(session, chosen, after, PAGE_ROWS + 1) if listed is None else page_of_ids(listed.ids)
        rows = list(session.execute(page))
        people, counted_on = (listed.people, None) if listed else _kept_size(session, chosen)
    ids = [row.id for row in rows] if listed is None else listed.ids
    more = ids[PAGE_ROWS - 1] if len(ids) > PAGE_ROWS else None
    rows = [row for row in rows if more is None or row.id <= more]
    return {"rows": rows, "more": more, "people": people, "counted_at": counted_at, "counted_on": counted_on}


def _kept_size(session: Session, chosen: Filter) -> tuple[int | None, Any]:
    """(people, day) by the sums of the last whole computation, for one segment or tag."""
    if chosen.rule is None or chosen.words:
        return None, None
    target = target_of(chosen.rule)
    model, name = (TAG_MODEL, target[4:]) if target.startswith("tag:") else tuple(target.split("=", 1))
    sizes = read_sizes(session, model, 1, names=[name])
    return (sizes.newest[name].customers, sizes.days[-1]) if name in sizes.newest else (None, None)


def _next_page(chosen: Filter, view: CustomerView | None) -> Mapping[str, Any]:
    """What the address of another page of the same people says, beside where it begins."""
    of_view = view is not None and not filled(read_form(request.args)).rows
    held = {"view": view.id} if view and of_view else form_of(filled(chosen.rows))
    return {**held, **({"q": chosen.words} if chosen.words else {})}


def _said(session: Session, chosen: Filter) -> dict[str, Any]:
    """The filter in words, as JSON for whoever keeps it, and the audience that means the same."""
    if chosen.rule is None:
        return {}
    target = target_of(chosen.rule)
    return {
        "said": rule_words(session, chosen.rule, g.language),
        "rule": to_builtins(chosen.rule),
        "form": form_of(filled(chosen.rows)),
        "target": None if target.startswith("rule:") else target,
    }


ROUTES = (get("/customers", list_customers),)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/customers."""
    add_routes(blueprint, ROUTES)
